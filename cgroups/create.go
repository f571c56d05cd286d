package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"davit/cgroups/fs"
	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// Create makes the cgroups. One that exists already must have no process in it and not be frozen.
// What was made is removed again on an error.
//
// With Options.Owner, the cgroup2 directory and the files that the kernel names in
// /sys/kernel/cgroup/delegate are given to that user (runtime-spec, "Cgroup ownership").
//
// With systemd's driver this does nothing: systemd makes a scope only with a process in it (Add).
func (m *Manager) Create() error {
	if m.unit != nil {
		return nil
	}
	err := m.create()
	if err != nil {
		for i := len(m.made) - 1; i >= 0; i-- {
			_ = fs.Rmdir(m.made[i])
		}
		m.made = nil
	}
	return err
}

func (m *Manager) create() error {
	if m.has2() {
		if err := m.create2(); err != nil {
			return err
		}
	}
	for i := range m.dirs {
		if err := m.create1(&m.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes dir and its parents below mount; fresh is false if dir was there already.
func (m *Manager) mkdir(dir string, mount string, each func(dir string) error) (fresh bool, err error) {
	err = fs.Mkdir(unix.AT_FDCWD, dir)
	if err == unix.ENOENT && dir != mount {
		if _, err := m.mkdir(path.Dir(dir), mount, each); err != nil {
			return false, err
		}
		err = fs.Mkdir(unix.AT_FDCWD, dir)
	}
	switch err {
	case nil:
		m.made = append(m.made, dir)
		return true, each(dir)
	case unix.EEXIST:
		return false, nil
	}
	return false, &fault.Error{Field: "linux.cgroupsPath", Text: "mkdir " + dir, Err: err, Hint: mkdirHint(err)}
}

func mkdirHint(err error) string {
	switch err {
	case unix.EACCES, unix.EPERM, unix.EROFS:
		return "the parent cgroup must be writable: run as root, or have it delegated"
	case unix.EAGAIN:
		return "cgroup.max.descendants or cgroup.max.depth of a parent is reached"
	case unix.ENOSPC:
		return "the kernel has no more memory cgroups (65535): are removed containers still holding theirs?"
	}
	return ""
}

func (m *Manager) create2() error {
	dir := m.state.Dirs[""]
	if _, err := m.mkdir(dir, m.layout.v2, func(string) error { return nil }); err != nil {
		return err
	}
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	if err := checkEmpty2(fd, dir); err != nil {
		return err
	}
	if err := m.enable(fd); err != nil {
		return err
	}
	if err := m.bound(fd); err != nil {
		return err
	}
	if m.opts.Owner != 0 && m.state.Mode == Unified {
		return chown(fd, dir, m.opts.Owner)
	}
	return nil
}

// checkEmpty2 refuses a cgroup with processes, its sub-cgroups included, and a frozen one, in which
// the container would never start, and davit wait for it beyond the reach of signals. A fresh one is when an ancestor is.
func checkEmpty2(fd int, dir string) error {
	events, err := fs.ReadString(fd, "cgroup.events")
	if err != nil {
		return fmt.Errorf("read %s/cgroup.events: %w", dir, err)
	}
	if strings.Contains(events, "populated 1") {
		pids, _ := fs.AllPids(dir)
		return notEmpty(dir, pids)
	}
	if !strings.Contains(events, "frozen 1") {
		return nil
	}
	self, _ := fs.ReadString(fd, "cgroup.freeze")
	return isFrozen(dir, self == "1", "0", "cgroup.freeze")
}

func isFrozen(dir string, itself bool, value, file string) error {
	hint := "write " + value + " to its " + file
	if !itself {
		hint = "write " + value + " to the " + file + " of the ancestor that is"
	}
	return &fault.Error{Field: "linux.cgroupsPath", Text: "cgroup " + dir + " is frozen", Hint: hint}
}

// checkThawed2 refuses a cgroup2 directory that would be frozen when made, by an ancestor.
func checkThawed2(dir, mount string) error {
	for at := path.Dir(dir); len(at) > len(mount); at = path.Dir(at) {
		self, err := fs.ReadString(unix.AT_FDCWD, at+"/cgroup.freeze")
		if err != nil && err != unix.ENOENT {
			return fmt.Errorf("read %s/cgroup.freeze: %w", at, err)
		}
		if self == "1" {
			return isFrozen(dir, false, "0", "cgroup.freeze")
		}
	}
	return nil
}

// notEmpty: runc's wording, "container's cgroup is not empty: N process(es) found", is kept.
func notEmpty(dir string, pids []int) error {
	if len(pids) == 0 {
		return &fault.Error{Field: "linux.cgroupsPath",
			Text: "container's cgroup is not empty: the processes in " + dir + " are not visible here: they are in another pid namespace",
			Hint: "another container or service, seen from the host, uses this cgroup: choose another linux.cgroupsPath"}
	}
	return &fault.Error{Field: "linux.cgroupsPath",
		Text: fmt.Sprintf("container's cgroup is not empty: %d process(es) found in %s", len(pids), dir),
		Hint: "another container or service uses this cgroup: choose another linux.cgroupsPath"}
}

// What a container may make below its cgroup, which takes memory of the kernel's that no limit counts, and time of
// whoever walks through it: far more than systemd, a container engine or a Kubernetes node in a container make.
// linux.resources.unified can say otherwise.
const (
	maxDepth       = "64"
	maxDescendants = "16384"
)

// bound limits the cgroups below a delegated one (kernel, cgroup-v2.rst "Core Interface Files"). A user who may not
// write these files cannot change what the parent's owner has set.
func (m *Manager) bound(fd int) error {
	if !m.opts.Delegated {
		return nil
	}
	for _, f := range [...]struct{ name, value string }{{"cgroup.max.depth", maxDepth}, {"cgroup.max.descendants", maxDescendants}} {
		err := fs.WriteAt(fd, f.name, f.value)
		if err != nil && err != unix.EACCES && err != unix.EPERM {
			return fmt.Errorf("write %s to %s/%s: %w", f.value, m.state.Dirs[""], f.name, err)
		}
	}
	return nil
}

// chown delegates a cgroup2 directory to a user.
func chown(fd int, dir string, uid int) error {
	if err := unix.Fchownat(fd, "", uid, -1, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chown %s to %d: %w", dir, uid, err)
	}
	list, err := fs.ReadString(unix.AT_FDCWD, "/sys/kernel/cgroup/delegate")
	if err != nil {
		list = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads" // what the spec prescribes then
	}
	for name := range strings.SplitSeq(list, "\n") {
		err := unix.Fchownat(fd, name, uid, -1, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) { // not every controller is enabled
			return fmt.Errorf("chown %s/%s to %d: %w", dir, name, uid, err)
		}
	}
	return nil
}

// Add puts a process into every hierarchy; inV2: it was cloned into the cgroup2 one already.
// With systemd's driver the first Add starts the scope with that process in it, if Start has not, and applies what
// Set was given.
func (m *Manager) Add(pid int, inV2 bool) error {
	if m.unit != nil {
		if err := m.Start(pid); err != nil {
			return err
		}
		if m.unit.unfinished {
			m.unit.unfinished = false
			return m.finishUnit(pid)
		}
	}
	if m.has2() && !inV2 {
		fd, err := m.dir2()
		if err != nil {
			return err
		}
		err = m.join(fd, m.state.Dirs[""], pid)
		if m.unit != nil && m.unit.User && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
			return m.unit.Attach(m.unit.sub, pid)
		}
		if err != nil {
			return err
		}
	}
	return m.add1(pid)
}

// join moves a process to dir, whose descriptor may be at hand.
func (m *Manager) join(fd int, dir string, pid int) error {
	defer m.span(func() string { return "move to " + dir })()
	file := "cgroup.procs"
	if fd == unix.AT_FDCWD {
		file = dir + "/cgroup.procs"
	}
	err := fs.WriteAt(fd, file, strconv.Itoa(pid))
	if err == nil {
		return nil
	}
	e := &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("move process %d to %s", pid, dir), Err: err}
	switch err {
	case unix.EBUSY:
		e.Hint = "the cgroup gives controllers to its children, so it may have no process itself"
	case unix.EOPNOTSUPP:
		e.Hint = "the cgroup is threaded, or below a threaded one"
	case unix.EACCES, unix.EPERM:
		e.Hint = "the nearest common parent of both cgroups must be delegated to this user"
	case unix.ENOSPC:
		e.Hint = "the cpuset has no CPUs or no memory nodes"
	case unix.EINVAL:
		e.Hint = "a realtime process needs linux.resources.cpu.realtimeRuntime, or a kernel without realtime groups"
	case unix.ENOENT:
		e.Hint = "is a cgroup hierarchy mounted there?"
	}
	return e
}

// InitFD is the cgroup2 directory that process pid is in now: where exec goes if FD's is
// busy. The caller closes it.
func (m *Manager) InitFD(pid int) (*os.File, error) {
	file := "/proc/" + strconv.Itoa(pid) + "/cgroup"
	s, err := fs.ReadString(unix.AT_FDCWD, file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	mount := root
	if m.state.Mode == Hybrid {
		mount = hybridRoot
	}
	for line := range strings.Lines(s) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			dir := path.Join(mount, own)
			fd, err := fs.OpenDir(dir)
			if err != nil {
				return nil, fmt.Errorf("open cgroup %s of process %d: %w", dir, pid, err)
			}
			return os.NewFile(uintptr(fd), dir), nil
		}
	}
	return nil, fmt.Errorf("%s has no cgroup2 line", file)
}
