package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long the kernel is given. A process in uninterruptible sleep (a dead NFS server) is neither
// frozen nor gone before it wakes.
const (
	freezeTimeout = 10 * time.Second
	emptyTimeout  = 10 * time.Second
	// removeTimeout is for cgroups without processes, of which 10,000 take about a second.
	removeTimeout = 60 * time.Second
)

// ErrNoFreezer is a container whose processes cannot be stopped.
var ErrNoFreezer = errors.New("the container has no cgroup with a freezer")

// Freeze stops every process, and returns when all are stopped; after a failure nothing stays frozen.
// Cgroup v2's freezer is used on a hybrid host too: it tells when it is done, and a frozen process can be killed.
func (m *Manager) Freeze() error {
	if m.has2() {
		return m.freeze2()
	}
	if m.state.Dirs["freezer"] == "" {
		return ErrNoFreezer
	}
	return m.freeze1()
}

func (m *Manager) freeze2() error {
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	if err := writeAt(fd, "cgroup.freeze", "1"); err != nil {
		return fmt.Errorf("freeze: write 1 to %s/cgroup.freeze: %w", m.state.Dirs[""], err)
	}
	err = awaitEvent(fd, "frozen 1", freezeTimeout)
	if err != nil {
		return errors.Join(fmt.Errorf("freeze %s: %w", m.state.Dirs[""], err), m.unfreeze())
	}
	return nil
}

// freeze1 repeats the order: v1's freezer can miss a process that is being forked, and stays
// FREEZING until it is told again.
func (m *Manager) freeze1() error {
	fd, err := m.dir1("freezer")
	if err != nil {
		return err
	}
	deadline := time.Now().Add(freezeTimeout)
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		if err = writeAt(fd, "freezer.state", "FROZEN"); err != nil {
			break
		}
		var s string
		if s, err = readString(fd, "freezer.state"); err != nil || s == "FROZEN" {
			break
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("still %s after %v", s, freezeTimeout)
			break
		}
		Sleep(wait)
		if wait > 5*time.Millisecond { // a vfork's parent waits for a frozen child: let them run
			_ = writeAt(fd, "freezer.state", "THAWED")
			Sleep(10 * time.Microsecond)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("freeze %s: %w", m.state.Dirs["freezer"], err), m.unfreeze())
	}
	return nil
}

// Thaw undoes Freeze, and a freeze by others through either version. It tries again what fails for a moment.
func (m *Manager) Thaw() error {
	var errs []error
	if m.has2() {
		err := insist(func() error {
			fd, err := m.dir2()
			if err == nil {
				err = writeAt(fd, "cgroup.freeze", "0")
			}
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("thaw: write 0 to %s/cgroup.freeze: %w", m.state.Dirs[""], err))
		}
	}
	if m.state.Dirs["freezer"] != "" {
		err := insist(func() error {
			fd, err := m.dir1("freezer")
			if err == nil {
				err = writeAt(fd, "freezer.state", "THAWED")
			}
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("thaw: write THAWED to %s/freezer.state: %w", m.state.Dirs["freezer"], err))
		}
	}
	return errors.Join(errs...)
}

// unfreeze is Thaw of a container that may be gone by now.
func (m *Manager) unfreeze() error {
	if err := m.Thaw(); !gone(err) {
		return err
	}
	return nil
}

// ThawAll thaws what would keep killed processes from their death: a frozen container, and v1's freezer below it.
func (m *Manager) ThawAll() error {
	if frozen, err := m.Frozen(); err == nil && frozen {
		if err := m.unfreeze(); err != nil {
			return err
		}
	}
	return m.thawAll1()
}

// thawAll1 thaws the container's v1 freezer and all below it.
func (m *Manager) thawAll1() error {
	dir := m.state.Dirs["freezer"]
	if dir == "" {
		return nil
	}
	err := insist(func() error {
		return walk(dir, func(at, _ int) (bool, error) {
			if err := writeAt(at, "freezer.state", "THAWED"); err != nil {
				return true, fmt.Errorf("thaw: write THAWED to freezer.state: %w", err)
			}
			return true, nil
		})
	})
	if gone(err) {
		return nil
	}
	return err
}

// Frozen says whether the container is frozen, by whomever. A cgroup that is gone is not. It tries again what fails for
// a moment.
func (m *Manager) Frozen() (frozen bool, err error) {
	err = insist(func() error {
		frozen, err = m.frozen()
		return err
	})
	return frozen, err
}

func (m *Manager) frozen() (bool, error) {
	if m.has2() {
		fd, err := m.dir2()
		if err == nil {
			var s string
			if s, err = readString(fd, "cgroup.freeze"); err == nil && s == "1" {
				return true, nil
			}
		}
		if err != nil {
			if gone(err) {
				return false, nil
			}
			return false, fmt.Errorf("read %s/cgroup.freeze: %w", m.state.Dirs[""], err)
		}
	}
	if m.state.Dirs["freezer"] == "" {
		return false, nil
	}
	fd, err := m.dir1("freezer")
	if err == nil {
		var s string
		if s, err = readString(fd, "freezer.self_freezing"); err == nil {
			return s == "1", nil
		}
	}
	if gone(err) {
		return false, nil
	}
	return false, fmt.Errorf("read %s/freezer.self_freezing: %w", m.state.Dirs["freezer"], err)
}

// Freezes says whether the container's cgroup is frozen, by itself or by an ancestor, of which Frozen does not know.
func (m *Manager) Freezes() (bool, error) {
	if m.state.Dirs["freezer"] != "" {
		fd, err := m.dir1("freezer")
		if err != nil {
			return false, err
		}
		if s, err := readString(fd, "freezer.state"); err != nil || s != "THAWED" {
			return err == nil, err
		}
	}
	if !m.has2() {
		return false, nil
	}
	fd, err := m.dir2()
	if err != nil {
		return false, err
	}
	events, err := readString(fd, "cgroup.events")
	return strings.Contains(events, "frozen 1"), err
}

// awaitEvent waits until cgroup.events in dir has a line; the kernel wakes poll at each change.
func awaitEvent(dir int, line string, timeout time.Duration) error {
	fd, err := openAt(dir, "cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(timeout)
	var buf [256]byte
	for {
		n, err := unix.Pread(fd, buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if strings.Contains(string(buf[:n]), line) {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("not %q in cgroup.events after %v", line, timeout)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
