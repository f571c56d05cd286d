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

// Create makes the cgroups, and the directories above them. A cgroup that exists already must not
// be frozen or have processes. After an error it removes what it has made.
//
// With Options.Owner it gives the cgroup2 directory to that user, and those of its files that the
// kernel lists in /sys/kernel/cgroup/delegate (runtime-spec, "Cgroup ownership").
//
// With the systemd driver it does nothing: systemd makes a scope only together with a process (see
// Add).
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

// mkdir makes dir and its parents below mount, and calls each for every directory that it has made.
// fresh is false if dir existed already.
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

// checkEmpty2 refuses a cgroup that has processes, also in its sub-cgroups, and a frozen one: the
// container would never start in it, and davit would wait for it without reacting to signals. A new
// cgroup is frozen if an ancestor is.
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

// isFrozen returns the error for a frozen cgroup. itself says that it is not frozen by an ancestor;
// value is what has to be written to file to thaw it.
func isFrozen(dir string, itself bool, value, file string) error {
	hint := "write " + value + " to its " + file
	if !itself {
		hint = "write " + value + " to the " + file + " of the ancestor that is"
	}
	return &fault.Error{Field: "linux.cgroupsPath", Text: "cgroup " + dir + " is frozen", Hint: hint}
}

// checkThawed2 refuses a cgroup2 directory that does not exist yet and would be frozen because an
// ancestor is.
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

// notEmpty returns the error for a cgroup that has processes. Its beginning is runc's: "container's
// cgroup is not empty: N process(es) found".
func notEmpty(dir string, pids []int) error {
	if len(pids) == 0 {
		return &fault.Error{Field: "linux.cgroupsPath",
			Text: "container's cgroup is not empty: " + dir + " has processes of another pid namespace, which are not visible here",
			Hint: "another container or service, seen from the host, uses this cgroup: choose another linux.cgroupsPath"}
	}
	return &fault.Error{Field: "linux.cgroupsPath",
		Text: fmt.Sprintf("container's cgroup is not empty: %d process(es) found in %s", len(pids), dir),
		Hint: "another container or service uses this cgroup: choose another linux.cgroupsPath"}
}

// How many cgroups a container may make below its own, and how deep. They take kernel memory that
// no limit counts, and time of everyone who walks through them. systemd, a container engine or a
// Kubernetes node in a container need far fewer. linux.resources.unified can set other limits.
const (
	maxDepth       = "64"
	maxDescendants = "16384"
)

// bound limits the cgroups below a delegated one (cgroup-v2.rst, "Core Interface Files"). Where the
// user may not write these files, the limits of the parent's owner apply.
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

// chown gives a cgroup2 directory to a user.
func chown(fd int, dir string, uid int) error {
	if err := unix.Fchownat(fd, "", uid, -1, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chown %s to %d: %w", dir, uid, err)
	}
	list, err := fs.ReadString(unix.AT_FDCWD, "/sys/kernel/cgroup/delegate")
	if err != nil {
		list = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads" // runtime-spec, "Cgroup ownership"
	}
	for name := range strings.SplitSeq(list, "\n") {
		err := unix.Fchownat(fd, name, uid, -1, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) { // not every controller is enabled
			return fmt.Errorf("chown %s/%s to %d: %w", dir, name, uid, err)
		}
	}
	return nil
}

// Add moves a process to the container's cgroups. inV2 says that it was cloned into the cgroup2
// directory already. With the systemd driver the first Add starts the scope with that process,
// unless Start has done so, and then applies the limits that Set was given before.
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
		var err error
		if m.state.Leaf != "" {
			err = m.join(unix.AT_FDCWD, m.state.Dirs[""]+m.state.Leaf, pid)
		} else if fd, failed := m.dir2(); failed != nil {
			return failed
		} else {
			err = m.join(fd, m.state.Dirs[""], pid)
		}
		if m.unit != nil && m.unit.User && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
			return m.unit.Attach(m.unit.sub+m.state.Leaf, pid)
		}
		if err != nil {
			return err
		}
	}
	return m.add1(pid)
}

// join moves a process to dir. fd is dir if the caller has it open, otherwise unix.AT_FDCWD.
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
		e.Hint = "the cgroup enables controllers for its children, so it cannot have processes itself"
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

// FD returns the container's cgroup2 directory for clone3(2) with CLONE_INTO_CGROUP, opened with
// O_PATH. It is nil if processes cannot be cloned into the cgroup: there is no cgroup2 directory,
// the scope does not exist before Add, or the user may not move processes there, for which Add asks
// systemd. The file belongs to the manager, whose Close closes it.
//
// If the clone fails with EBUSY, the container's init has moved to a sub-cgroup and enabled
// controllers for the children, so that the cgroup itself may have no process any more: clone again
// with InitFD.
func (m *Manager) FD() (*os.File, error) {
	if !m.has2() || m.unit != nil && !m.unit.started || !m.mayJoin() {
		return nil, nil
	}
	if m.state.Leaf != "" {
		if m.leaf == nil {
			var err error
			if m.leaf, err = m.leafFile(); err != nil {
				return nil, err
			}
		}
		return m.leaf, nil
	}
	fd, err := m.dir2()
	if err != nil {
		return nil, err
	}
	if m.file == nil {
		m.file = os.NewFile(uintptr(fd), m.state.Dirs[""])
	}
	return m.file, nil
}

// InitFD returns the cgroup2 directory that the process pid is in now, opened with O_PATH. exec
// clones its process there if FD's directory is busy. The caller closes it.
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
