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

// group is a v1 directory with the descriptor that writes go through.
type group struct {
	dir         string
	controllers []string // of State.Dirs, sorted
	fd          int      // -1 if not opened yet
}

// group fills m.dirs from the state: controllers that are mounted together share a directory.
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

// dir1 opens a controller's v1 directory, once.
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

// mountOf is the mount point of a hierarchy that dir is in: v1's are direct children of root.
func mountOf(dir string) string {
	name, _, _ := strings.Cut(dir[len(root)+1:], "/")
	return root + "/" + name
}

// checkThawed1 refuses a frozen cgroup of v1's freezer, and one that would be when made.
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

// initialise is what a new directory of the hierarchy needs before a process can enter it.
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

// inheritCpuset copies the parent's CPUs and memory nodes: a v1 cpuset starts without any, and
// no process can enter it. A parent that was made without any gets them first.
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

// freeze1 repeats the order: v1's freezer can miss a process that is being forked, and stays
// FREEZING until it is told again.
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
		if wait > 5*time.Millisecond { // a vfork's parent waits for a frozen child: let them run
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

// frozen1 says whether the container is frozen by v1's freezer.
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

// thawAll1 thaws the container's v1 freezer and all below it.
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

// killStrays kills on a hybrid host what left the cgroup2 directory but not those of v1.
func (m *Manager) killStrays() error {
	dir := m.leader1()
	if dir == "" {
		return nil
	}
	if err := m.thawAll1(); err != nil { // a v1-frozen process would not die
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

// strays says that processes may be in v1 hierarchies only, which cgroup2's freezer does not stop.
func (m *Manager) strays() bool { return m.has2() && len(m.dirs) > 0 }

// leader1 is the v1 directory that is asked for processes, "" if there is none that counts.
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
	dir         string   // mount point
	own         string   // davit's own cgroup in it
}

// mountNames are the names in /sys/fs/cgroup of a host with v1 hierarchies.
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

// probe is a file that only this controller's hierarchy has, "" if there is none.
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

// findMount is the mount point of a hierarchy, found by the name that it usually has: its
// controllers in some order, one of them, or a named hierarchy's name. A hierarchy mounted under
// another name is known by its files. "" means that it is not mounted there.
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

// on1 is the v1 hierarchy of a controller.
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

// watchMemory1 binds an eventfd to memory.oom_control (kernel, cgroup-v1/memory.rst, 9 and 10). The
// kernel also signals it when the cgroup is removed.
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

// hierarchies1 are those of v1.
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

// whileFrozen keeps processes from missing a device that is taken away for a moment. That they cannot
// be frozen is no reason to leave their limits as they are.
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

// next finds a living process to watch, and says whether there is one.
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

// removed1 takes what v1's eventfd announces: that memory ran out, or that the cgroup was removed, which it returns.
func (w *watcher) removed1() bool {
	var n [8]byte
	_, _ = unix.Read(w.oom, n[:])
	if unix.Access(w.dir+"/cgroup.procs", unix.F_OK) != nil {
		return true
	}
	w.again = 10 // v1 announces before it kills, and tells nothing after
	return false
}
