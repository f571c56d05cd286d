package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Destroy removes the cgroups and their sub-cgroups, once the processes in them are gone, which it
// waits for at most ten seconds; it kills nobody. A frozen container is thawed, so that killed processes
// can go. What is gone already is fine. Parents, which other containers may share, stay.
func (m *Manager) Destroy() error {
	if m.unit != nil {
		if !m.unit.started { // a unit of that name is another's, and so are its cgroups
			m.Close()
			return nil
		}
		if err := m.stopUnit(); err != nil {
			return err
		}
	}
	defer m.Close()
	if dir := m.state.Dirs[""]; dir != "" {
		if err := m.remove(dir, true); err != nil {
			return err
		}
	}
	var errs []error
	for i := range m.dirs {
		if err := m.remove(m.dirs[i].dir, false); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RemoveEmpty removes the cgroups that nobody is in and that have no sub-cgroups: those of a davit which was killed
// before it knew them to be its container's own. With systemd's driver there is nothing to remove: a scope ends with its processes.
func (m *Manager) RemoveEmpty() error {
	if m.unit != nil {
		return nil
	}
	var errs []error
	for _, dir := range m.state.Dirs {
		err := rmdir(dir)
		if err != nil && err != unix.EBUSY && unix.Access(dir, unix.F_OK) != unix.ENOENT {
			errs = append(errs, fmt.Errorf("rmdir %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// remove tries rmdir alone first: it is all that an empty cgroup takes.
func (m *Manager) remove(dir string, v2 bool) error {
	err := rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EBUSY {
		// EROFS comes for what does not exist too (runc issue 4518).
		if unix.Access(dir, unix.F_OK) == unix.ENOENT {
			return nil
		}
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	if frozen, _ := m.Frozen(); frozen {
		if err := m.Thaw(); err != nil && !gone(err) {
			return err
		}
	}
	deadline := time.Now().Add(emptyTimeout)
	if v2 {
		if err := awaitEmpty(dir, time.Until(deadline)); err != nil {
			return err
		}
	}
	return removeAll(dir, deadline)
}

// awaitEmpty waits until nobody is in a cgroup2 directory and below.
func awaitEmpty(dir string, timeout time.Duration) error {
	fd, err := openDir(dir)
	if err == nil {
		defer unix.Close(fd)
		err = awaitEvent(fd, "populated 0", timeout)
	}
	if err == nil || gone(err) {
		return nil
	}
	return stillThere(dir, err)
}

func stillThere(dir string, err error) error {
	pids, _ := allPids(dir)
	return fmt.Errorf("remove cgroup %s: %d process(es) are still in it, %s: %w", shorten(dir), len(pids), some(pids), err)
}

// some is a list of processes that is not too long for an error.
func some(pids []int) string {
	if len(pids) > 10 {
		return strings.TrimSuffix(fmt.Sprint(pids[:10]), "]") + " …]"
	}
	return fmt.Sprint(pids)
}

// awaitExit waits until the first of the processes is gone, or for a moment if there is none to
// wait for (it is just leaving).
func awaitExit(pids []int, timeout time.Duration) {
	// Also after an exit: v1 lets go of a process a moment after it became a zombie.
	defer Sleep(100 * time.Microsecond)
	if len(pids) == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pids[0], 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(timeout/time.Millisecond)+1)
}
