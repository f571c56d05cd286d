package cgroups

import (
	"errors"
	"fmt"
	"time"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Destroy removes the cgroups and their sub-cgroups. It kills nobody, but waits for the processes
// in them to end, at most ten seconds. It thaws a frozen container, so that killed processes can
// end. A cgroup that does not exist is no error. The directories above stay: other containers may
// use them.
func (m *Manager) Destroy() error {
	if m.unit != nil {
		if !m.unit.started { // a scope of that name, and its cgroups, belong to somebody else
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

// RemoveEmpty removes those of the cgroups that have no processes and no sub-cgroups. It is for a
// davit that was killed before it recorded that they belong to its container. With the systemd
// driver it does nothing: a scope ends with its processes.
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

// remove removes one cgroup and all below it. It first tries a plain rmdir, which is enough for an
// empty cgroup.
func (m *Manager) remove(dir string, v2 bool) error {
	err := fs.Rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EBUSY {
		// rmdir returns EROFS also for a directory that does not exist (runc issue 4518).
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
