package cgroups

import (
	"fmt"
	"os"
	"path"
	"strings"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Delegate makes the cgroup that Options.Delegate names below the container's, gives it all
// controllers and, with Options.Owner, to that user, and moves the container's process pid there;
// with pid 0 all processes are there already. From then on State has it, so that exec starts
// processes there, too. The limits stay those of the container's cgroup.
func (m *Manager) Delegate(pid int) error {
	leaf := path.Clean("/" + m.opts.Delegate)
	if m.opts.Delegate == "" || leaf == "/" || !m.has2() {
		return nil
	}
	top := m.state.Dirs[""]
	dir := top + leaf
	var made []string
	for at := dir; at != top; at = path.Dir(at) {
		made = append([]string{at}, made...)
	}
	for _, dir := range made {
		if err := fs.Mkdir(unix.AT_FDCWD, dir); err != nil && err != unix.EEXIST {
			return fmt.Errorf("mkdir %s: %w", dir, err)
		}
	}
	if pid != 0 {
		if err := m.join(unix.AT_FDCWD, dir, pid); err != nil {
			return err
		}
	}
	for _, dir := range made {
		if err := giveAll(path.Dir(dir), m.layout.controllers()); err != nil {
			return err
		}
		if m.opts.Owner != 0 {
			if err := give(dir, m.opts.Owner); err != nil {
				return err
			}
		}
	}
	m.state.Leaf = leaf
	return nil
}

// give makes a user the owner of a cgroup2 directory.
func give(dir string, uid int) error {
	fd, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	return chown(fd, dir, uid)
}

// leafFile returns the directory of State.Leaf for FD, opened with O_PATH.
func (m *Manager) leafFile() (*os.File, error) {
	dir := m.state.Dirs[""] + m.state.Leaf
	fd, err := fs.OpenDir(dir)
	if err != nil {
		return nil, openError(dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// sub returns the cgroup in the scope that Options.Subgroup asks for, as "/sub", or "".
func (o *Options) sub() string {
	return strings.TrimSuffix(path.Clean("/"+o.Subgroup), "/")
}
