package libcontainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends a signal to the container process; with all, or if the container
// has no pid namespace that would die with that process and the signal is
// SIGKILL, to every process of the container, provided that a cgroup says which they are. With all a container
// that has no process any more is no error, as in runc and crun: engines clean up with it.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if c.Broken != nil {
		return c.Broken
	}
	if all || sig == unix.SIGKILL && !c.OwnPid && c.Pid != 0 && len(c.Cgroup.Dirs) > 0 {
		return c.signalAll(sig, all)
	}
	if c.pidfd < 0 {
		return errors.New(textNotRunning)
	}
	logf("send signal %d to process %d", sig, c.Pid)
	err := unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return errors.New(textNotRunning)
	}
	if err != nil {
		return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
	}
	// A frozen process takes its death only once it is thawed (v1; v2 kills it as it is).
	if sig == unix.SIGKILL {
		m := c.Cgroups()
		defer m.Close()
		if err := m.ThawAll(); err != nil && !waitExit(c.pidfd, dying) {
			return err
		}
	}
	return nil
}

// signalAll signals every process of the container. mayLack: that there is none is no error.
func (c *Container) signalAll(sig unix.Signal, mayLack bool) error {
	none := errors.New(textNotRunning)
	if mayLack && c.pidfd < 0 {
		none = nil
	}
	if !c.grouped() || none == nil && len(c.Cgroup.Dirs) == 0 {
		return none
	}
	m := c.Cgroups()
	defer m.Close()
	pids, err := m.Pids()
	if err == nil && len(pids) == 0 && c.pidfd < 0 {
		return none
	}
	logf("send signal %d to every process in the container's cgroup: %v", sig, pids)
	err = m.Kill(sig)
	if err != nil && sig == unix.SIGKILL && (c.pidfd < 0 || waitExit(c.pidfd, dying)) {
		if left, unknown := m.Pids(); unknown == nil && len(left) == 0 { // it was done, all the same
			return nil
		}
	}
	if err != nil || c.pidfd < 0 || slices.Contains(pids, c.Pid) {
		return err
	}
	// It has moved to another cgroup; its own may be gone.
	if err := unix.PidfdSendSignal(c.pidfd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
	}
	return nil
}

// killTimeout is how long a killed process may take to go: it may have to come
// out of an uninterruptible sleep.
const killTimeout = 10 * time.Second

// killAll ends every process of the container and waits until they are gone.
func (c *Container) killAll() error {
	logf("kill every process")
	if c.pidfd >= 0 {
		if err := unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
		}
	}
	if !c.grouped() {
		return nil
	}
	m := c.Cgroups()
	defer m.Close()
	if err := m.ThawAll(); err != nil {
		logf("%v", err) // it matters only if a process does not end
	}
	if len(c.Cgroup.Dirs) > 0 && (!c.OwnPid || c.pidfd < 0) {
		err := m.Kill(unix.SIGKILL)
		if err != nil { // which can be said twice
			err = m.Kill(unix.SIGKILL)
		}
		if err != nil {
			return err
		}
	}
	if c.pidfd >= 0 && !waitExit(c.pidfd, killTimeout) {
		return fmt.Errorf("process %d is still there %s after SIGKILL: it may be stuck in the kernel", c.Pid, killTimeout)
	}
	return nil
}
