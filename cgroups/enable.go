package cgroups

import (
	"fmt"
	"path"
	"strings"

	"davit/cgroups/failure"
	"davit/cgroups/fs"
	"davit/cgroups/limits"
	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// enable enables every controller that cgroup v2 has on this host for the container's cgroup, from
// the root down. It enables all of them, as runc and crun do: engines also read statistics of
// controllers without limits. A controller that cannot be enabled is an error only if the config
// needs it.
func (m *Manager) enable(fd int) error {
	all := m.layout.controllers()
	have := " " + readControllers(fd, "cgroup.controllers") + " "
	if have == all && all != "  " {
		return nil // nothing to do; a threaded cgroup never has all of them, so it is checked below
	}
	dir := m.state.Dirs[""]
	if err := m.checkType(fd, dir); err != nil {
		return err
	}
	var refused error
	for _, parent := range between(m.layout.v2, dir) {
		if err := giveAll(parent, all); err != nil && refused == nil {
			refused = err
		}
	}
	have = " " + readControllers(fd, "cgroup.controllers") + " "
	for i := range m.writes {
		w := &m.writes[i]
		if m.version(w.Ctrl) != 2 || w.Ctrl == "cgroup" || strings.Contains(have, " "+w.Ctrl+" ") {
			continue
		}
		e := limits.Missing(w)
		if refused != nil {
			e.Err, e.Hint = refused, fault.Hint(refused)
		}
		return e
	}
	return nil
}

// between returns the directories from mount down to dir's parent.
func between(mount, dir string) []string {
	var list []string
	for p := path.Dir(dir); len(p) >= len(mount); p = path.Dir(p) {
		list = append([]string{p}, list...)
	}
	return list
}

// giveAll enables for the children of dir all controllers that dir has itself. It uses a single
// write; if the kernel refuses that, it tries the controllers one by one, and returns the first
// error.
func giveAll(dir, all string) error {
	fd, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	own := " " + readControllers(fd, "cgroup.controllers") + " "
	given := " " + readControllers(fd, "cgroup.subtree_control") + " "
	var want []string
	for _, c := range strings.Fields(own) {
		if strings.Contains(all, " "+c+" ") && !strings.Contains(given, " "+c+" ") {
			want = append(want, "+"+c)
		}
	}
	if len(want) == 0 {
		return nil
	}
	if crowded(fd) {
		return refusedToGive(fd, dir, strings.Join(want, " "), unix.EBUSY)
	}
	if fs.WriteAt(fd, "cgroup.subtree_control", strings.Join(want, " ")) == nil {
		return nil
	}
	for _, c := range want {
		if e := fs.WriteAt(fd, "cgroup.subtree_control", c); e != nil && err == nil {
			err = refusedToGive(fd, dir, c, e)
		}
	}
	return err
}

// crowded reports whether a cgroup other than the host's root has processes itself. For its
// children the kernel would refuse controllers like memory with EBUSY. But it would accept those
// that work on threads, like cpu, and thereby turn the cgroup into a threaded domain, below which
// there can only be threads. The host's root has no cgroup.type.
func crowded(fd int) bool {
	if _, err := fs.ReadString(fd, "cgroup.type"); err != nil {
		return false
	}
	procs, err := fs.ReadString(fd, "cgroup.procs")
	return err == nil && procs != ""
}

// refusedToGive returns the error for controllers that dir cannot enable for its children.
func refusedToGive(fd int, dir, c string, err error) *fault.Error {
	e := &fault.Error{Text: fmt.Sprintf("write %q to %s/cgroup.subtree_control", c, dir), Err: err}
	switch err {
	case unix.EBUSY:
		e.Hint = dir + " has processes itself, so it cannot enable controllers for its children"
		if procs, err := fs.ReadString(fd, "cgroup.procs"); err == nil && procs != "" {
			e.Hint += ": move away " + strings.ReplaceAll(procs, "\n", ", ")
		}
	case unix.EACCES, unix.EPERM, unix.EROFS:
		e.Hint = "the cgroup is not delegated to this user with that controller"
	case unix.EOPNOTSUPP:
		e.Hint = "threaded cgroups below " + dir + " exclude this controller"
	case unix.EINVAL:
		e.Hint = "a realtime process outside the root cgroup keeps the cpu controller off"
	}
	return e
}

// checkType makes a cgroup in a threaded subtree usable. Such a cgroup can only have controllers
// that work on threads: if the config needs another one, checkType returns an error.
func (m *Manager) checkType(fd int, dir string) error {
	kind, err := fs.ReadString(fd, "cgroup.type")
	if err != nil || kind == "domain" {
		return nil // the host's root has no cgroup.type
	}
	for i := range m.writes {
		w := &m.writes[i]
		if m.version(w.Ctrl) == 2 && w.Ctrl != "cpu" && w.Ctrl != "cpuset" && w.Ctrl != "pids" && w.Ctrl != "cgroup" {
			return &fault.Error{Field: failure.Resources + w.Field, Text: fmt.Sprintf("cgroup %s is %q: controller %s needs a domain", dir, kind, w.Ctrl),
				Hint: "choose a linux.cgroupsPath outside the threaded subtree"}
		}
	}
	if kind == "domain invalid" {
		if err := fs.WriteAt(fd, "cgroup.type", "threaded"); err != nil {
			return &fault.Error{Field: "linux.cgroupsPath", Text: "make " + dir + " threaded, like its parent", Err: err}
		}
	}
	return nil
}
