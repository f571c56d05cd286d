package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/cgroups/fs"
)

// How long the kernel is given. A process in uninterruptible sleep (a dead NFS server) is neither
// frozen nor gone before it wakes.
const (
	freezeTimeout = 10 * time.Second
	emptyTimeout  = 10 * time.Second
)

// ErrNoFreezer is a container whose processes cannot be stopped.
var ErrNoFreezer = errors.New("the container has no cgroup with a freezer")

// Freeze stops every process, and returns when all are stopped; after a failure nothing stays frozen.
// Cgroup v2's freezer is used on a hybrid host too: it tells when it is done, and a frozen process can be killed.
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

// Thaw undoes Freeze, and a freeze by others through either version. It tries again what fails for a moment. That a
// hierarchy cannot be thawed is no error if the container is not frozen there.
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

// thawed says whether the answer of frozen1 or frozen2 is a certain no.
func thawed(frozen bool, err error) bool { return err == nil && !frozen }

// ThawAll thaws what would keep killed processes from their death: a frozen container, and v1's freezer below it.
func (m *Manager) ThawAll() error {
	if frozen, err := m.Frozen(); err == nil && frozen {
		if err := m.Thaw(); err != nil {
			return err
		}
	}
	return m.thawAll1()
}

// Frozen says whether the container is frozen, by whomever. A cgroup that is gone is not. It tries again what fails for
// a moment.
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

// frozen2 says whether the container is frozen by cgroup2's freezer.
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

// Freezes says whether the container's cgroup is frozen, by itself or by an ancestor, of which Frozen does not know.
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
