package cgroups

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"davit/cgroups/fs"
	"davit/internal/fault"
	"davit/internal/host"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLifeOfACgroup(t *testing.T) {
	m := made(t, nil)
	c := start(t, m, "wait")
	for name, dir := range m.State().Dirs {
		pids, err := fs.AllPids(dir)
		if err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
			t.Errorf("hierarchy %q: processes %v, %v; want %d", name, pids, err, c.Process.Pid)
		}
	}
	// A later verb knows only the state.
	later := Open(m.State())
	defer later.Close()
	if pids, err := later.Pids(); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Errorf("Pids: %v, %v", pids, err)
	}
	c.in.Close()
	if s := c.exit(); s != "exit status 0" {
		t.Error(s)
	}
	if err := later.Destroy(); err != nil {
		t.Error(err)
	}
	for _, dir := range m.State().Dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	if err := later.Destroy(); err != nil {
		t.Errorf("Destroy of what is gone: %v", err)
	}
}

// Every view mounts all its hierarchies. The one of v1's memory has another name.
func TestEveryHierarchyIsFound(t *testing.T) {
	m := made(t, nil)
	if m.State().Mode == Unified {
		return
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		list := strings.Split(line, ":")[1]
		for c := range strings.SplitSeq(list, ",") {
			if c != "" && m.State().Dirs[c] == "" {
				t.Errorf("no directory for %s", c)
			}
		}
	}
}

func TestCreateEnablesEveryController(t *testing.T) {
	l, err := detect(false)
	if err != nil || l.v2 == "" {
		t.Skip("only of cgroup v2")
	}
	m := made(t, nil)
	dir := m.State().Dirs[""]
	if got, want := readControllers(unix.AT_FDCWD, dir+"/cgroup.controllers"), strings.TrimSpace(l.controllers()); got != want {
		t.Errorf("%s has controllers %q, the host %q", dir, got, want)
	}
}

func TestCreateRefusesAUsedCgroup(t *testing.T) {
	m := made(t, nil)
	start(t, m, "wait")
	_, err := try(t, Options{})
	if err == nil || !strings.Contains(err.Error(), "container's cgroup is not empty: 1 process(es) found in ") {
		t.Fatalf("got %v", err)
	}
	for _, dir := range m.State().Dirs {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the refused Create removed what it had not made: %v", err)
		}
	}
}

// TestHiddenProcesses removes a cgroup whose process is not visible. The error does not claim that
// there are no processes.
func TestHiddenProcesses(t *testing.T) {
	m := made(t, nil)
	inside := start(t, m, "wait")
	for _, dir := range m.State().Dirs {
		for flags, want := range map[uintptr]string{
			0: fmt.Sprintf("remove cgroup %s: process %d is still in it: device or resource busy; hint:", dir, inside.Process.Pid),
			unix.CLONE_NEWPID: "remove cgroup " + dir + ": processes are still in it that are not visible here: device or resource busy; hint: " +
				"they are of another pid namespace: call davit in the one in which it has made the container",
		} {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{roleEnv + "=remove=" + dir}
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: flags}
			c, err := pipes(cmd)
			if err != nil {
				t.Fatal(err)
			}
			c.line(t) // the child is ready
			if said := c.ask(t); said != want {
				t.Errorf("%s\nwant: %s", said, want)
			}
			_ = c.in.Close()
			c.exit()
		}
	}
}

func TestCreateTakesAnEmptyCgroup(t *testing.T) {
	m := made(t, nil)
	again, err := New(m.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Create(); err != nil {
		t.Fatal(err)
	}
}

func TestCreateRefusesAFrozenCgroup(t *testing.T) {
	m := made(t, nil)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	_, err := try(t, Options{})
	if err == nil || !strings.Contains(err.Error(), "is frozen") || fault.Hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// A frozen ancestor freezes every cgroup that is made below it.
func TestCreateRefusesAFrozenAncestor(t *testing.T) {
	for ctrl, lacking := range map[string]string{"": "only of cgroup v2", "freezer": "no v1 hierarchies in this view"} {
		t.Run(ctrl, func(t *testing.T) {
			m := made(t, nil)
			dir := m.State().Dirs[ctrl]
			if dir == "" {
				t.Skip(lacking)
			}
			file, on, off := dir+"/cgroup.freeze", "1", "0"
			if ctrl != "" {
				file, on, off = dir+"/freezer.state", "FROZEN", "THAWED"
			}
			if err := os.WriteFile(file, []byte(on), 0); err != nil {
				t.Fatal(err)
			}
			_, err := try(t, Options{CgroupsPath: m.opts.CgroupsPath + "/below"})
			if err == nil || !strings.Contains(err.Error(), "/below is frozen") || !strings.Contains(fault.Hint(err), "of the ancestor that is") {
				t.Errorf("got %v", err)
			}
			// The same for a scope that does not exist yet.
			if err := checkThawed2(dir+"/a/b", "/sys/fs/cgroup"); (err != nil) != (ctrl == "") {
				t.Errorf("checkThawed2: %v", err)
			}
			if err := os.WriteFile(file, []byte(off), 0); err != nil {
				t.Fatal(err)
			}
			for _, dir := range m.State().Dirs {
				if _, err := os.Stat(dir + "/below"); err == nil {
					t.Errorf("%s/below is still there", dir)
				}
			}
		})
	}
}

func TestCreateUndoesWhatItMade(t *testing.T) {
	m := made(t, nil)
	for _, dir := range m.State().Dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.max.depth"), []byte("0"), 0); err != nil && m.State().Mode == Unified {
			t.Fatal(err)
		}
	}
	if !m.has2() {
		t.Skip("only of cgroup v2")
	}
	path := parent() + "/" + m.opts.ID
	_, err := try(t, Options{CgroupsPath: path + "/a/b"})
	if !errors.Is(err, unix.EAGAIN) || fault.Hint(err) == "" {
		t.Fatalf("got %v, want EAGAIN", err)
	}
	for _, dir := range m.State().Dirs {
		if names, _ := fs.Subdirs(dir); len(names) > 0 {
			t.Errorf("%s still has %v", dir, names)
		}
	}
}

func TestPaths(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	l, err := detect(true)
	if err != nil {
		t.Skip(err)
	}
	for path, want := range map[string]struct{ abs, rel string }{
		"/a/b": {abs: "/a/b"}, "/a/../../b": {abs: "/b"}, "a/b": {rel: "/a/b"}, "../../b": {rel: "/b"}, "": {rel: "/id"},
	} {
		m, err := New(Options{ID: "id", CgroupsPath: path})
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		check := func(name, mount, own string) {
			wanted := mount + want.abs
			if want.abs == "" {
				wanted = base(mount, own) + want.rel
			}
			if got := m.State().Dirs[name]; got != wanted {
				t.Errorf("%q in %q: %s, want %s", path, name, got, wanted)
			}
		}
		if l.v2 != "" {
			check("", l.v2, filepath.Dir(l.own2))
		}
		for _, h := range l.v1 {
			check(h.controllers[0], h.dir, h.own)
		}
	}
	if _, err := New(Options{ID: "id", CgroupsPath: "/"}); err == nil || !strings.HasPrefix(err.Error(), "linux.cgroupsPath: ") {
		t.Errorf("the root cgroup: %v", err)
	}
}

func TestSub(t *testing.T) {
	m := made(t, nil)
	for _, dir := range m.State().Dirs {
		if err := os.Mkdir(dir+"/sub", 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cpuset"} {
		if dir := m.State().Dirs[name]; dir != "" {
			if err := inheritCpuset(dir + "/sub"); err != nil {
				t.Fatal(err)
			}
		}
	}
	sub, err := m.Sub([]string{"sub"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	c := start(t, sub, "wait")
	for name, dir := range m.State().Dirs {
		if pids, err := fs.AllPids(dir + "/sub"); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
			t.Errorf("%q: %v, %v", name, pids, err)
		}
	}
	for arg, want := range map[string]string{
		"../x": "would leave", "none": "no such file or directory", "sub:": "no cgroup v1 hierarchy", ":sub": "no controller before the colon",
	} {
		if _, err := m.Sub([]string{arg}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", arg, err, want)
		}
	}
	if m.State().Mode != Unified {
		part, err := m.Sub([]string{"pids,freezer:sub"})
		if err != nil {
			t.Fatal(err)
		}
		if d := part.State().Dirs; d["pids"] != m.State().Dirs["pids"]+"/sub" || d["memory"] != m.State().Dirs["memory"] {
			t.Errorf("%v", d)
		}
	}
}

// Init has moved to a sub-cgroup and enabled its parent's controllers there. So no process may
// enter the parent.
func TestInitFD(t *testing.T) {
	m := made(t, nil)
	if m.State().Mode != Unified {
		t.Skip("only of cgroup v2")
	}
	init := start(t, m, "wait")
	dir := m.State().Dirs[""]
	for _, step := range [][2]string{{"init/cgroup.procs", strconv.Itoa(init.Process.Pid)}, {"cgroup.subtree_control", "+hugetlb"}} {
		_ = os.Mkdir(dir+"/init", 0o755)
		if err := os.WriteFile(filepath.Join(dir, step[0]), []byte(step[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := m.FD()
	if err != nil {
		t.Fatal(err)
	}
	clone := func(fd int) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
		return cmd.Run()
	}
	if err := clone(int(fd.Fd())); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("clone into a cgroup with controllers below it: %v", err)
	}
	f, err := m.InitFD(init.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Name() != dir+"/init" {
		t.Error(f.Name())
	}
	if err := clone(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// A cgroup with processes of its own cannot enable controllers for its children. The error names
// the processes.
func TestNoInternalProcesses(t *testing.T) {
	if l, err := detect(false); err != nil || l.on1("hugetlb") != nil || !l.on2("hugetlb") {
		t.Skip("only of cgroup v2")
	}
	busy := made(t, nil)
	c := start(t, busy, "wait")
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}}}
	_, err := try(t, Options{CgroupsPath: parent() + "/" + busy.opts.ID + "/below", Resources: r})
	if !errors.Is(err, unix.EBUSY) || !strings.HasPrefix(err.Error(), "linux.resources.hugepageLimits[0]: ") {
		t.Fatalf("%v", err)
	}
	if hint := fault.Hint(err); !strings.Contains(hint, strconv.Itoa(c.Process.Pid)) {
		t.Errorf("hint: %s", hint)
	}
	if names, _ := fs.Subdirs(busy.State().Dirs[""]); len(names) > 0 {
		t.Errorf("left %v", names)
	}
}

func TestOwner(t *testing.T) {
	m, err := try(t, Options{Owner: 12345})
	if err != nil {
		t.Fatal(err)
	}
	if m.State().Mode != Unified {
		t.Skip("delegation is v2's")
	}
	dir := m.State().Dirs[""]
	for name, want := range map[string]uint32{"": 12345, "cgroup.procs": 12345, "cgroup.subtree_control": 12345, "cgroup.kill": 0, "hugetlb.2MB.max": 0} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil || st.Uid != want {
			t.Errorf("%s belongs to %d, want %d (%v)", name, st.Uid, want, err)
		}
	}
}

// Processes are cloned into the container's cgroup. Once that is delegated, they are cloned into
// the one below.
func TestDelegate(t *testing.T) {
	m, err := try(t, Options{Delegate: "sub/below"})
	if host.Host().Cgroup() != host.Unified {
		if err == nil || !strings.Contains(err.Error(), "a delegated cgroup needs a host with cgroup v2 alone") {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := m.State().Dirs[""]
	for _, want := range []string{dir, dir + "/sub/below"} {
		fd, err := m.FD()
		if err != nil || fd.Name() != want {
			t.Fatalf("%v: %v, want %s", fd, err, want)
		}
		if want == dir {
			c := start(t, m, "wait")
			if err := m.Delegate(c.Process.Pid); err != nil {
				t.Fatal(err)
			}
			if pids, err := fs.AllPids(dir + "/sub/below"); err != nil || !slices.Contains(pids, c.Process.Pid) {
				t.Errorf("%v: %v", pids, err)
			}
		}
	}
}

func TestThreaded(t *testing.T) {
	outer := made(t, nil)
	if outer.State().Mode != Unified {
		t.Skip("threads are v2's")
	}
	dir := outer.State().Dirs[""]
	if err := os.Mkdir(dir+"/threads", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/threads/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	path := parent() + "/" + outer.opts.ID + "/threads/c"
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}}}
	_, err := try(t, Options{CgroupsPath: path, Resources: r})
	if err == nil || !strings.Contains(err.Error(), `is "domain invalid": controller hugetlb needs a domain`) {
		t.Errorf("%v", err)
	}
	m, err := try(t, Options{CgroupsPath: path})
	if err != nil {
		t.Fatal(err)
	}
	if kind := read(t, m, "", "cgroup.type"); kind != "threaded" {
		t.Error(kind)
	}
}
