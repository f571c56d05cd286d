package libcontainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/internal/store"

	"golang.org/x/sys/unix"
)

// dying is how long delete waits for a running process to end. kill returns before the process has ended, and people write
// `davit kill ID KILL && davit delete ID`.
const dying = 200 * time.Millisecond

// Kill sends a signal to the container's first process. With all it sends the signal to every process in the container's cgroup. It
// does that also without all if the signal is SIGKILL and the container has no pid namespace of its own, because then the
// others would survive the first process. Kill fails with [ErrNotRunning] if there is no process. With all that is not an
// error, as in runc and crun, because engines clean up with it.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if c.Broken != nil {
		return c.Broken
	}
	// The kernel kills all processes of a pid namespace with its first one: that does without a cgroup.
	first := sig == unix.SIGKILL && c.OwnPid && len(c.Cgroup.Dirs) == 0 && c.Pidfd.Int() >= 0
	if all && !first || sig == unix.SIGKILL && !c.OwnPid && c.Pid != 0 && len(c.Cgroup.Dirs) > 0 {
		return c.signalAll(sig, all)
	}
	if c.Pidfd.Int() < 0 {
		return store.ErrNotRunning
	}
	c.rt.log().Debugf("send signal %d to process %d", sig, c.Pid)
	err := unix.PidfdSendSignal(c.Pidfd.Int(), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return store.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
	}
	// A frozen process takes its death only once it is thawed (v1; v2 kills it as it is).
	if sig == unix.SIGKILL {
		m := c.Cgroups()
		defer m.Close()
		if err := m.ThawAll(); err != nil && !store.WaitExit(c.Pidfd.Int(), dying) {
			return err
		}
	}
	return nil
}

// signalAll sends a signal to every process of the container. If mayLack is set, it is not an error that there is none.
func (c *Container) signalAll(sig unix.Signal, mayLack bool) error {
	none := store.ErrNotRunning
	if mayLack && c.Pidfd.Int() < 0 {
		none = nil
	}
	if !c.OwnsCgroup() || c.endedTaken() || none == nil && len(c.Cgroup.Dirs) == 0 {
		return none
	}
	m := c.Cgroups()
	defer m.Close()
	pids, err := m.Pids()
	if err == nil && len(pids) == 0 && c.Pidfd.Int() < 0 {
		return none
	}
	c.rt.log().Debugf("send signal %d to every process in the container's cgroup: %v", sig, pids)
	err = m.Kill(sig)
	if err != nil && sig == unix.SIGKILL && (c.Pidfd.Int() < 0 || store.WaitExit(c.Pidfd.Int(), dying)) {
		if left, unknown := m.Pids(); unknown == nil && len(left) == 0 { // it was done, all the same
			return nil
		}
	}
	if err != nil || c.Pidfd.Int() < 0 || slices.Contains(pids, c.Pid) {
		return err
	}
	// It has moved to another cgroup; its own may be gone.
	if err := unix.PidfdSendSignal(c.Pidfd.Int(), sig, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
	}
	return nil
}

// killAll kills every process of the container, and waits at most store.KillTimeout until the first one has ended.
func (c *Container) killAll() error {
	c.rt.log().Debugf("kill every process")
	if c.Pidfd.Int() >= 0 {
		if err := unix.PidfdSendSignal(c.Pidfd.Int(), unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("pidfd_send_signal %d: %w", c.Pid, err)
		}
	}
	if !c.OwnsCgroup() {
		return nil
	}
	m := c.Cgroups()
	defer m.Close()
	if err := m.ThawAll(); err != nil {
		c.rt.log().Debugf("%v", err) // it matters only if a process does not end
	}
	if len(c.Cgroup.Dirs) > 0 && (!c.OwnPid || c.Pidfd.Int() < 0) {
		err := m.Kill(unix.SIGKILL)
		if err != nil { // which can be said twice
			err = m.Kill(unix.SIGKILL)
		}
		if err != nil {
			return err
		}
	}
	if c.Pidfd.Int() >= 0 && !store.WaitExit(c.Pidfd.Int(), store.KillTimeout) {
		why := "it may be stuck in the kernel"
		if tracer := store.Tracer(c.Pid); tracer != "" {
			why = tracer + " traces it"
		}
		return fmt.Errorf("process %d is still there %s after SIGKILL: %s", c.Pid, store.KillTimeout, why)
	}
	return nil
}
