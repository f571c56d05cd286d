package cgroups

import (
	"errors"
	"fmt"
	"time"

	"davit/cgroups/fs"

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
		err := fs.Rmdir(dir)
		if err != nil && err != unix.EBUSY && unix.Access(dir, unix.F_OK) != unix.ENOENT {
			errs = append(errs, fmt.Errorf("rmdir %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// remove tries rmdir alone first: it is all that an empty cgroup takes.
func (m *Manager) remove(dir string, v2 bool) error {
	err := fs.Rmdir(dir)
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
		if err := m.Thaw(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(emptyTimeout)
	if v2 {
		if err := fs.AwaitEmpty(dir, time.Until(deadline)); err != nil {
			return err
		}
	}
	return fs.RemoveAll(dir, deadline)
}
