package cgroups

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"davit/cgroups/fs"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// group is a directory in a v1 hierarchy.
type group struct {
	dir         string
	controllers []string // the names that State.Dirs has for it, sorted
	fd          int      // an O_PATH descriptor, -1 if it is not open yet
}

// group fills m.dirs from State.Dirs. Controllers that are mounted together have the same
// directory.
func (m *Manager) group() {
	names := make([]string, 0, len(m.state.Dirs))
	for name := range m.state.Dirs {
		if name != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	m.dirs = make([]group, 0, len(names))
next:
	for _, name := range names {
		dir := m.state.Dirs[name]
		for i := range m.dirs {
			if g := &m.dirs[i]; g.dir == dir {
				g.controllers = append(g.controllers, name)
				continue next
			}
		}
		m.dirs = append(m.dirs, group{dir, []string{name}, -1})
	}
}

// dir1 returns a controller's v1 directory, which it opens at the first call.
func (m *Manager) dir1(ctrl string) (int, error) {
	dir := m.state.Dirs[ctrl]
	for i := range m.dirs {
		if g := &m.dirs[i]; g.dir == dir {
			return g.open()
		}
	}
	return -1, unix.ENOENT
}

func (g *group) open() (int, error) {
	if g.fd < 0 {
		fd, err := fs.OpenDir(g.dir)
		if err != nil {
			return -1, openError(g.dir, err)
		}
		g.fd = fd
	}
	return g.fd, nil
}

// mountOf returns the mount point of the hierarchy that dir is in. Those of v1 are directories in
// /sys/fs/cgroup.
func mountOf(dir string) string {
	name, _, _ := strings.Cut(dir[len(root)+1:], "/")
	return root + "/" + name
}

// checkThawed1 refuses a cgroup of v1's freezer that is frozen, or that would be once it is made.
func checkThawed1(dir string) error {
	for at := dir; at != mountOf(dir); at = path.Dir(at) {
		s, err := fs.ReadString(unix.AT_FDCWD, at+"/freezer.state")
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s/freezer.state: %w", at, err)
		}
		if s == "THAWED" {
			return nil
		}
		self, _ := fs.ReadString(unix.AT_FDCWD, at+"/freezer.self_freezing")
		return isFrozen(dir, at == dir && self == "1", "THAWED", "freezer.state")
	}
	return nil
}

// initialise returns the function that prepares a new directory of the hierarchy for processes.
func (g *group) initialise() func(dir string) error {
	for _, c := range g.controllers {
		if c == "cpuset" {
			return inheritCpuset
		}
	}
	return func(string) error { return nil }
}

func (m *Manager) create1(g *group) error {
	each := g.initialise()
	fresh, err := m.mkdir(g.dir, mountOf(g.dir), each)
	if err == nil && g.controllers[0] == "freezer" {
		err = checkThawed1(g.dir)
	}
	if err != nil || fresh {
		return err
	}
	pids, err := fs.AllPids(g.dir)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return notEmpty(g.dir, pids)
	}
	return each(g.dir)
}

// inheritCpuset copies the parent's CPUs and memory nodes. A new v1 cpuset has none, and so takes
// no process. If the parent has none either, it gets them first.
func inheritCpuset(dir string) error {
	for _, file := range [...]string{"cpuset.cpus", "cpuset.mems"} {
		if err := inherit(dir, file); err != nil {
			return fmt.Errorf("initialise %s/%s from its parent: %w", dir, file, err)
		}
	}
	return nil
}

func inherit(dir, file string) error {
	own, err := fs.ReadString(unix.AT_FDCWD, dir+"/"+file)
	if err != nil || own != "" {
		return err
	}
	parent, err := fs.ReadString(unix.AT_FDCWD, path.Dir(dir)+"/"+file)
	if err == nil && parent == "" {
		if err = inherit(path.Dir(dir), file); err == nil {
			parent, err = fs.ReadString(unix.AT_FDCWD, path.Dir(dir)+"/"+file)
		}
	}
	if err != nil {
		return err
	}
	return fs.WriteAt(unix.AT_FDCWD, dir+"/"+file, parent)
}

func (m *Manager) add1(pid int) error {
	for i := range m.dirs {
		g := &m.dirs[i]
		if err := m.join(unix.AT_FDCWD, g.dir, pid); err != nil {
			return err
		}
	}
	return nil
}

// freeze1 writes FROZEN until the state is FROZEN. v1's freezer can miss a process that is just
// being forked; then it stays FREEZING until it is told again.
func (m *Manager) freeze1() error {
	if m.state.Dirs["freezer"] == "" {
		return ErrNoFreezer
	}
	fd, err := m.dir1("freezer")
	if err != nil {
		return err
	}
	deadline := time.Now().Add(freezeTimeout)
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		if err = fs.WriteAt(fd, "freezer.state", "FROZEN"); err != nil {
			break
		}
		var s string
		if s, err = fs.ReadString(fd, "freezer.state"); err != nil || s == "FROZEN" {
			break
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("still %s after %v", s, freezeTimeout)
			break
		}
		sys.Sleep(wait)
		if wait > 5*time.Millisecond { // the parent of a vfork may wait for a frozen child: let both run
			_ = fs.WriteAt(fd, "freezer.state", "THAWED")
			sys.Sleep(10 * time.Microsecond)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("freeze %s: %w", m.state.Dirs["freezer"], err), m.Thaw())
	}
	return nil
}

// thaw1 undoes freeze1.
func (m *Manager) thaw1() error {
	if m.state.Dirs["freezer"] == "" {
		return nil
	}
	err := fs.Retry(func() error {
		fd, err := m.dir1("freezer")
		if err == nil {
			err = fs.WriteAt(fd, "freezer.state", "THAWED")
		}
		return err
	})
	if err != nil && !thawed(m.frozen1()) {
		return fmt.Errorf("thaw: write THAWED to %s/freezer.state: %w", m.state.Dirs["freezer"], err)
	}
	return nil
}

// frozen1 is Frozen for v1's freezer.
func (m *Manager) frozen1() (bool, error) {
	if m.state.Dirs["freezer"] == "" {
		return false, nil
	}
	fd, err := m.dir1("freezer")
	if err == nil {
		var s string
		if s, err = fs.ReadString(fd, "freezer.self_freezing"); err == nil {
			return s == "1", nil
		}
	}
	if fs.Gone(err) {
		return false, nil
	}
	return false, fmt.Errorf("read %s/freezer.self_freezing: %w", m.state.Dirs["freezer"], err)
}

// freezes1 is Freezes for v1's freezer.
func (m *Manager) freezes1() (bool, error) {
	if m.state.Dirs["freezer"] == "" {
		return false, nil
	}
	fd, err := m.dir1("freezer")
	if err != nil {
		return false, err
	}
	s, err := fs.ReadString(fd, "freezer.state")
	return err == nil && s != "THAWED", err
}

// thawAll1 thaws the container's cgroup of v1's freezer, and all below it.
func (m *Manager) thawAll1() error {
	dir := m.state.Dirs["freezer"]
	if dir == "" {
		return nil
	}
	err := fs.Retry(func() error {
		return fs.Walk(dir, func(at, _ int) (bool, error) {
			if err := fs.WriteAt(at, "freezer.state", "THAWED"); err != nil {
				return true, fmt.Errorf("thaw: write THAWED to freezer.state: %w", err)
			}
			return true, nil
		})
	})
	if fs.Gone(err) {
		return nil
	}
	return err
}

// killStrays kills, on a hybrid host, the processes that are no longer in the cgroup2 directory but
// still in those of v1.
func (m *Manager) killStrays() error {
	dir := m.leader1()
	if dir == "" {
		return nil
	}
	if err := m.thawAll1(); err != nil { // a process that v1's freezer has stopped does not die
		return err
	}
	in1, err := fs.AllPids(dir)
	if err != nil || len(in1) == 0 {
		return err
	}
	in2, err := fs.AllPids(m.state.Dirs[""])
	if err != nil {
		return err
	}
	killed := make(map[int]bool, len(in2))
	for _, pid := range in2 {
		killed[pid] = true
	}
	for _, pid := range in1 {
		if !killed[pid] {
			return m.signal(unix.SIGKILL)
		}
	}
	return nil
}

// strays reports whether there may be processes that are only in v1 hierarchies: cgroup2's freezer
// does not stop those.
func (m *Manager) strays() bool { return m.has2() && len(m.dirs) > 0 }

// leader1 returns the v1 directory whose list of processes counts, "" if there is none.
func (m *Manager) leader1() string {
	for _, name := range [...]string{"freezer", "pids", "devices"} {
		if dir := m.state.Dirs[name]; dir != "" {
			return dir
		}
	}
	return ""
}

// mount1 is a mounted v1 hierarchy.
type mount1 struct {
	controllers []string // "cpu", "cpuacct"; or "name=systemd"
	dir         string   // the mount point
	own         string   // davit's own cgroup in it
}

// mountNames returns the names of the directories in /sys/fs/cgroup.
func mountNames() ([]string, error) {
	fd, err := fs.OpenAt(unix.AT_FDCWD, root, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	var names []string
	err = fs.EachEntry(fd, func(name []byte, kind byte) {
		if kind == unix.DT_DIR {
			names = append(names, string(name))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", root, err)
	}
	return names, nil
}

// probe returns a file that only this controller's hierarchy has, "" if davit knows none.
func probe(ctrl string) string {
	switch ctrl {
	case "cpu":
		return "cpu.shares"
	case "cpuacct":
		return "cpuacct.usage"
	case "cpuset":
		return "cpuset.mems"
	case "memory":
		return "memory.limit_in_bytes"
	case "devices":
		return "devices.list"
	case "blkio":
		return "blkio.reset_stats"
	case "net_cls":
		return "net_cls.classid"
	case "net_prio":
		return "net_prio.ifpriomap"
	}
	return ""
}

// findMount returns the mount point of a hierarchy, "" if it is not mounted. It looks for the usual
// names: the controllers in any order, one of them, or the name of a named hierarchy. A hierarchy
// that is mounted under another name is recognised by its files.
func findMount(list string, names []string) string {
	want := strings.Split(strings.TrimPrefix(list, "name="), ",")
	for _, name := range names {
		if sameSet(strings.Split(name, ","), want) {
			return root + "/" + name
		}
	}
	for _, name := range names {
		for _, c := range want {
			if name == c {
				return root + "/" + name
			}
		}
	}
	file := probe(want[0])
	for _, name := range names {
		if file != "" && unix.Access(root+"/"+name+"/"+file, unix.F_OK) == nil {
			return root + "/" + name
		}
	}
	return ""
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
next:
	for _, x := range a {
		for _, y := range b {
			if x == y {
				continue next
			}
		}
		return false
	}
	return true
}

// on1 returns the v1 hierarchy that has a controller, nil if there is none.
func (l *layout) on1(ctrl string) *mount1 {
	for i := range l.v1 {
		for _, c := range l.v1[i].controllers {
			if c == ctrl {
				return &l.v1[i]
			}
		}
	}
	return nil
}

// watchMemory1 makes memory.oom_control signal an eventfd (kernel, cgroup-v1/memory.rst, 9 and 10).
// The kernel also signals it when the cgroup is removed.
func (m *Manager) watchMemory1(w *watcher) error {
	dir, err := m.dir1("memory")
	if err != nil {
		return err
	}
	w.v1, w.dir = true, m.state.Dirs["memory"]
	if w.memory, err = fs.OpenAt(dir, "memory.oom_control", unix.O_RDONLY); err != nil {
		return fmt.Errorf("open %s/memory.oom_control: %w", w.dir, err)
	}
	if w.oom, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err := fs.WriteAt(dir, "cgroup.event_control", strconv.Itoa(w.oom)+" "+strconv.Itoa(w.memory)); err != nil {
		return fmt.Errorf("write %s/cgroup.event_control: %w", w.dir, err)
	}
	w.kills = w.count()
	return nil
}

// hierarchies1 returns the v1 hierarchies for Hierarchies.
func (m *Manager) hierarchies1() []Hierarchy {
	var out []Hierarchy
	for i := range m.dirs {
		g := &m.dirs[i]
		h := Hierarchy{Dir: g.dir, Mountpoint: mountOf(g.dir)}
		h.Name = h.Mountpoint[len(root)+1:]
		h.Options = strings.Join(g.controllers, ",")
		if strings.HasPrefix(h.Options, "name=") {
			h.Options = "none," + h.Options
		}
		for _, c := range g.controllers {
			if c = strings.TrimPrefix(c, "name="); c != h.Name {
				h.Links = append(h.Links, c)
			}
		}
		out = append(out, h)
	}
	return out
}

// whileFrozen calls f while the processes are frozen, so that none misses a device that is
// forbidden for a moment. If they cannot be frozen, it calls f all the same: their limits have to
// change.
func (m *Manager) whileFrozen(f func() error) error {
	if frozen, err := m.Frozen(); err != nil || frozen || m.Freeze() != nil {
		return f()
	}
	err := f()
	if thaw := m.Thaw(); thaw != nil {
		return errors.Join(err, thaw)
	}
	return err
}

// next finds a living process to watch, and reports whether there is one.
func (w *watcher) next() bool {
	if w.proc >= 0 && !ended(w.proc) {
		return true
	}
	for {
		if w.proc >= 0 {
			unix.Close(w.proc)
			w.proc = -1
		}
		pids, err := fs.AllPids(w.procs)
		if err != nil || len(pids) == 0 {
			return false
		}
		for _, pid := range pids {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			if !ended(fd) {
				w.proc = fd
				return true
			}
			unix.Close(fd)
		}
	}
}

func ended(pidfd int) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return n == 1
}

// removed1 reads v1's eventfd. It was signalled because the cgroup was removed, for which removed1
// returns true, or because memory has run out.
func (w *watcher) removed1() bool {
	var n [8]byte
	_, _ = unix.Read(w.oom, n[:])
	if unix.Access(w.dir+"/cgroup.procs", unix.F_OK) != nil {
		return true
	}
	w.again = 10 // v1 signals before it kills, and not afterwards
	return false
}
