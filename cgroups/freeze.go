package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/cgroups/fs"
)

// How long davit waits for the kernel to freeze processes, and for processes to end. One in
// uninterruptible sleep, as for a dead NFS server, does neither until it wakes.
const (
	freezeTimeout = 10 * time.Second
	emptyTimeout  = 10 * time.Second
)

// ErrNoFreezer says that the container has no cgroup in which its processes can be frozen.
var ErrNoFreezer = errors.New("the container has no cgroup with a freezer")

// Freeze stops all processes of the container, and returns once all are stopped. It waits at most
// ten seconds. After an error it thaws them again. On a hybrid host it uses cgroup v2's freezer,
// which reports when it is done, and whose frozen processes can be killed. The error is
// [ErrNoFreezer] if there is none.
func (m *Manager) Freeze() error {
	if m.has2() {
		return m.freeze2()
	}
	return m.freeze1()
}

func (m *Manager) freeze2() error {
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	if err := fs.WriteAt(fd, "cgroup.freeze", "1"); err != nil {
		return fmt.Errorf("freeze: write 1 to %s/cgroup.freeze: %w", m.state.Dirs[""], err)
	}
	err = fs.AwaitEvent(fd, "frozen 1", freezeTimeout)
	if err != nil {
		return errors.Join(fmt.Errorf("freeze %s: %w", m.state.Dirs[""], err), m.Thaw())
	}
	return nil
}

// Thaw lets the container's processes continue, whoever has frozen them, and in which hierarchy. It
// repeats calls that may fail for a moment only. A hierarchy that cannot be thawed is no error if
// the container is not frozen there, or if the cgroup does not exist.
func (m *Manager) Thaw() error {
	var errs []error
	if m.has2() {
		err := fs.Retry(func() error {
			fd, err := m.dir2()
			if err == nil {
				err = fs.WriteAt(fd, "cgroup.freeze", "0")
			}
			return err
		})
		if err != nil && !thawed(m.frozen2()) {
			errs = append(errs, fmt.Errorf("thaw: write 0 to %s/cgroup.freeze: %w", m.state.Dirs[""], err))
		}
	}
	if err := m.thaw1(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// thawed reports whether frozen1 or frozen2 has found the container not frozen.
func thawed(frozen bool, err error) bool { return err == nil && !frozen }

// ThawAll thaws the container if it is frozen, and all v1 cgroups below it: killed processes would
// not end there.
func (m *Manager) ThawAll() error {
	if frozen, err := m.Frozen(); err == nil && frozen {
		if err := m.Thaw(); err != nil {
			return err
		}
	}
	return m.thawAll1()
}

// Frozen reports whether the container itself is frozen, whoever has done that. A cgroup that does
// not exist is not frozen. It repeats calls that may fail for a moment only.
func (m *Manager) Frozen() (frozen bool, err error) {
	err = fs.Retry(func() error {
		frozen, err = m.frozen()
		return err
	})
	return frozen, err
}

func (m *Manager) frozen() (bool, error) {
	if m.has2() {
		if frozen, err := m.frozen2(); frozen || err != nil {
			return frozen, err
		}
	}
	return m.frozen1()
}

// frozen2 is Frozen for cgroup v2's freezer.
func (m *Manager) frozen2() (bool, error) {
	fd, err := m.dir2()
	if err == nil {
		var s string
		if s, err = fs.ReadString(fd, "cgroup.freeze"); err == nil {
			return s == "1", nil
		}
	}
	if fs.Gone(err) {
		return false, nil
	}
	return false, fmt.Errorf("read %s/cgroup.freeze: %w", m.state.Dirs[""], err)
}

// Freezes reports whether the container's processes are frozen, by the container's cgroup or by one
// above it, which Frozen does not consider.
func (m *Manager) Freezes() (bool, error) {
	if frozen, err := m.freezes1(); frozen || err != nil || !m.has2() {
		return frozen, err
	}
	fd, err := m.dir2()
	if err != nil {
		return false, err
	}
	events, err := fs.ReadString(fd, "cgroup.events")
	return strings.Contains(events, "frozen 1"), err
}
