package cgroups

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests of this file change real cgroups, below /davit-test-PID of every hierarchy. On a hybrid host all run twice: on
// the host as it is, and in a mount namespace whose /sys/fs/cgroup is the host's cgroup2 hierarchy.

const (
	roleEnv = "DAVIT_CGROUPS_ROLE" // what a re-executed test binary is
	viewEnv = "DAVIT_CGROUPS_VIEW" // set in the second run
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
		os.Exit(0)
	}
	// Orphans of tests are reaped at once: cgroups are empty only then.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	code := m.Run()
	sweep()
	if l, err := detect(false); err == nil && l.mode == Hybrid && os.Geteuid() == 0 && os.Getenv(viewEnv) == "" {
		cmd := exec.Command("unshare", append([]string{"-m", "--propagation", "private", "sh", "-c",
			`umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`, "sh"}, os.Args...)...)
		cmd.Env = append(os.Environ(), viewEnv+"=unified")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		fmt.Println("=== again, in a pure cgroup v2 view")
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// sweep removes the parent that the tests share, and fails to if something was left in it.
func sweep() {
	l, err := detect(true)
	if err != nil {
		return
	}
	dirs := []string{}
	if l.v2 != "" {
		dirs = append(dirs, l.v2+parent())
	}
	for _, h := range l.v1 {
		dirs = append(dirs, h.dir+parent())
	}
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			fmt.Printf("LEFT BEHIND: %s: %v\n", dir, err)
			os.Exit(1)
		}
	}
}

func parent() string { return "/davit-test-" + strconv.Itoa(os.Getpid()) }

// play is the process in the container. It says "ready", and ends when its standard input does.
func play(role string) {
	name, arg, _ := strings.Cut(role, "=")
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	switch name {
	case "wait":
	case "fork": // forks as fast as it can, each child dying soon
		for {
			pid, err := syscall.ForkExec("/proc/self/exe", []string{"x"}, &syscall.ProcAttr{Env: []string{roleEnv + "=nap"}})
			if err == nil {
				go func() { var ws syscall.WaitStatus; _, _ = syscall.Wait4(pid, &ws, 0, nil) }()
			}
		}
	case "nap":
		time.Sleep(20 * time.Millisecond)
		return
	case "open": // open=PATH: after a line on stdin, says what open(2) does
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			f, err := os.OpenFile(arg, os.O_RDWR, 0)
			if err == nil {
				f.Close()
			}
			fmt.Println(errors.Unwrap(err))
		}
	case "eat": // eat=MiB: after a line, touches so much memory
		_, _ = in.ReadString('\n')
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("ate", len(b)>>20)
	case "rootless": // rootless=PATH: after a line, says what a container of this user gets
		_, _ = in.ReadString('\n')
		fmt.Println(rootless(arg))
	case "spin":
		go func() {
			for {
			}
		}()
	}
	_, _ = io.Copy(io.Discard, in)
}

// child is a process started by start.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs a role, in the cgroup of m if there is one.
func start(t *testing.T, m *Manager, role string) *child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleEnv + "=" + role}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	inV2 := false
	if m != nil {
		f, err := m.FD()
		if err != nil {
			t.Fatal(err)
		}
		if inV2 = f != nil; inV2 {
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
		}
	}
	c, err := pipes(cmd)
	if err != nil {
		t.Fatalf("start %s: %v", role, err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if m != nil {
		if err := m.Add(cmd.Process.Pid, inV2); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	if s := c.line(t); s != "ready" {
		t.Fatalf("%s said %q", role, s)
	}
	return c
}

// pipes starts a process with pipes to talk to it.
func pipes(cmd *exec.Cmd) (*child, error) {
	c := &child{Cmd: cmd}
	c.in, _ = cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	c.out = bufio.NewReader(out)
	return c, cmd.Start()
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("read from the process: %v", err)
	}
	return strings.TrimSpace(s)
}

func (c *child) ask(t *testing.T) string {
	t.Helper()
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	return c.line(t)
}

// exit waits for the process and returns its status in the shell's form.
func (c *child) exit() string {
	_ = c.Wait()
	return c.ProcessState.String()
}

// made is a manager whose cgroups exist until the test ends, with resources set.
func made(t *testing.T, r *specs.LinuxResources) *Manager {
	t.Helper()
	m, err := try(t, Options{Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func try(t *testing.T, o Options) (*Manager, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	o.ID = strings.NewReplacer("/", "-", " ", "_").Replace(t.Name())
	if o.CgroupsPath == "" {
		o.CgroupsPath = parent() + "/" + o.ID
	}
	m, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := m.Create(); err != nil {
		m.Close()
		return nil, err
	}
	t.Cleanup(func() {
		if err := m.Kill(unix.SIGKILL); err != nil {
			t.Errorf("Kill: %v", err)
		}
		if err := m.Destroy(); err != nil {
			t.Errorf("Destroy: %v", err)
		}
		for _, dir := range m.State().Dirs {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is still there", dir)
			}
		}
	})
	return m, m.Set(o.Resources)
}

// read is a file of the controller's directory as it is now.
func read(t *testing.T, m *Manager, ctrl, file string) string {
	t.Helper()
	dir := m.State().Dirs[ctrl]
	if dir == "" {
		dir = m.State().Dirs[""]
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// has skips a test of a controller that this host (or this view of it) lacks.
func has(t *testing.T, ctrl string) int {
	t.Helper()
	l, err := detect(false)
	if err != nil {
		t.Skip(err)
	}
	if l.on1(ctrl) != nil {
		return 1
	}
	if !l.on2(ctrl) {
		t.Skipf("no controller %s in this view (%s)", ctrl, l.mode)
	}
	return 2
}

// either is a file or value that has two names: v1's and v2's.
func either(version int, v1, v2 string) string {
	if version == 1 {
		return v1
	}
	return v2
}

func TestLifeOfACgroup(t *testing.T) {
	m := made(t, nil)
	c := start(t, m, "wait")
	for name, dir := range m.State().Dirs {
		pids, err := readPids(dir)
		if err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
			t.Errorf("hierarchy %q: processes %v, %v; want %d", name, pids, err, c.Process.Pid)
		}
	}
	// A later verb knows no more than the state.
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

func TestCreateEnablesEveryController(t *testing.T) {
	l, err := detect(false)
	if err != nil || l.v2 == "" {
		t.Skip("no cgroup v2")
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
	if err == nil || !strings.Contains(err.Error(), "is frozen") || Hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
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
		t.Skip("no cgroup v2 to refuse a depth")
	}
	path := parent() + "/" + m.opts.ID
	_, err := try(t, Options{CgroupsPath: path + "/a/b"})
	if !errors.Is(err, unix.EAGAIN) || Hint(err) == "" {
		t.Fatalf("got %v, want EAGAIN", err)
	}
	for _, dir := range m.State().Dirs {
		if names, _ := subdirs(dir); len(names) > 0 {
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

func TestPids(t *testing.T) {
	has(t, "pids")
	m := made(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(123))}})
	if got := read(t, m, "pids", "pids.max"); got != "123" {
		t.Error(got)
	}
	start(t, m, "wait")
	s, err := m.Stats()
	if err != nil || s.Pids.Current < 1 || s.Pids.Limit != 123 {
		t.Errorf("%+v, %v", s.Pids, err)
	}
}

func TestMemory(t *testing.T) {
	v := has(t, "memory")
	old := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20)), Reservation: ptr(int64(32 << 20))}}
	m := made(t, old)
	check := func(when string, limit, swap, reservation int) {
		t.Helper()
		if v == 2 {
			swap -= limit
		}
		for file, want := range map[string]int{
			either(v, "memory.limit_in_bytes", "memory.max"):            limit,
			either(v, "memory.memsw.limit_in_bytes", "memory.swap.max"): swap,
			either(v, "memory.soft_limit_in_bytes", "memory.low"):       reservation,
		} {
			if got := read(t, m, "memory", file); got != strconv.Itoa(want<<20) {
				t.Errorf("%s: %s is %s, want %d MiB", when, file, got, want)
			}
		}
	}
	check("at first", 64, 128, 32)
	update := func(mem specs.LinuxMemory) error {
		r := &specs.LinuxResources{Memory: &mem}
		err := m.Update(old, r)
		if err == nil {
			old = Merge(old, r)
		}
		return err
	}
	if err := update(specs.LinuxMemory{Limit: ptr(int64(256 << 20)), Swap: ptr(int64(512 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("both raised", 256, 512, 32)
	if err := update(specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(48 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("both lowered", 32, 48, 32)
	if err := update(specs.LinuxMemory{Limit: ptr(int64(40 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("limit alone", 40, 48, 32)
	// The limit is below what is in use: the kernel refuses on v1, checkBeforeUpdate on v2.
	c := start(t, m, "eat=20")
	if got := c.ask(t); got != "ate 20" {
		t.Fatal(got)
	}
	err := update(specs.LinuxMemory{Reservation: ptr(int64(1 << 20)), Limit: ptr(int64(4096)), Swap: ptr(int64(8192)), CheckBeforeUpdate: ptr(true)})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.memory.") || Hint(err) == "" {
		t.Errorf("a limit below what is in use: %v", err)
	}
	check("refused", 40, 48, 32)
	s, err := m.Stats()
	if err != nil || s.Memory.Usage.Limit != 40<<20 || s.Memory.Usage.Usage < 20<<20 || s.Memory.Usage.Max < s.Memory.Usage.Usage/2 || len(s.Memory.Raw) < 10 {
		t.Errorf("%+v, %v", s.Memory, err)
	}
	if s.Memory.Swap.Limit != 48<<20 {
		t.Errorf("swap: %+v", s.Memory.Swap)
	}
}

func TestCPU(t *testing.T) {
	v := has(t, "cpu")
	old := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(20000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(10000))}}
	m := made(t, old)
	check := func(when, shares, quota, period, burst string) {
		t.Helper()
		if v == 2 {
			if got := read(t, m, "cpu", "cpu.max"); got != quota+" "+period {
				t.Errorf("%s: cpu.max is %s", when, got)
			}
			n, _ := strconv.ParseUint(shares, 10, 64)
			shares = utoa(Weight(n))
		} else {
			if got := read(t, m, "cpu", "cpu.cfs_quota_us"); got != quota {
				t.Errorf("%s: quota is %s", when, got)
			}
			if got := read(t, m, "cpu", "cpu.cfs_period_us"); got != period {
				t.Errorf("%s: period is %s", when, got)
			}
		}
		if got := read(t, m, "cpu", either(v, "cpu.shares", "cpu.weight")); got != shares {
			t.Errorf("%s: weight is %s, want %s", when, got, shares)
		}
		got := read(t, m, "cpu", either(v, "cpu.cfs_burst_us", "cpu.max.burst"))
		if n, _ := strconv.Atoi(burst); got != burst && got != strconv.Itoa(n/1000) { // kernels before 6.10 divide by 1000 when they print
			t.Errorf("%s: burst is %s, want %s", when, got, burst)
		}
	}
	check("at first", "512", "20000", "50000", "10000")
	update := func(c specs.LinuxCPU) error {
		r := &specs.LinuxResources{CPU: &c}
		err := m.Update(old, r)
		if err == nil {
			old = Merge(old, r)
		}
		return err
	}
	for _, step := range []struct {
		c    specs.LinuxCPU
		want [4]string
	}{
		{specs.LinuxCPU{Quota: ptr(int64(90000)), Burst: ptr(uint64(80000))}, [4]string{"512", "90000", "50000", "80000"}},
		{specs.LinuxCPU{Quota: ptr(int64(5000)), Burst: ptr(uint64(1000)), Shares: ptr(uint64(2048))}, [4]string{"2048", "5000", "50000", "1000"}},
		{specs.LinuxCPU{Period: ptr(uint64(100000))}, [4]string{"2048", "5000", "100000", "1000"}},
	} {
		if err := update(step.c); err != nil {
			t.Fatalf("%v: %v", step.want, err)
		}
		check(fmt.Sprint(step.want), step.want[0], step.want[1], step.want[2], step.want[3])
	}
	err := update(specs.LinuxCPU{Shares: ptr(uint64(100)), Quota: ptr(int64(6000)), Period: ptr(uint64(5))})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.cpu.") || Hint(err) == "" {
		t.Errorf("a period of 5 µs: %v", err)
	}
	check("after a refused update", "2048", "5000", "100000", "1000")
}

func TestCPUIdle(t *testing.T) {
	v := has(t, "cpu")
	old := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(2048)), Idle: ptr(int64(1))}}
	m := made(t, old)
	if got := read(t, m, "cpu", "cpu.idle"); got != "1" {
		t.Error(got)
	}
	if err := m.Update(old, &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(0))}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, "cpu", either(v, "cpu.shares", "cpu.weight")); got != either(v, "2048", "174") {
		t.Errorf("no longer idle: %s", got)
	}
}

func TestCpuset(t *testing.T) {
	v := has(t, "cpuset")
	m := made(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}})
	start(t, m, "wait")
	if cpus, mems := read(t, m, "cpuset", "cpuset.cpus"), read(t, m, "cpuset", "cpuset.mems"); cpus != "0" || mems != "0" {
		t.Errorf("%q %q", cpus, mems)
	}
	_, err := try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}})
	if v == 1 && (err == nil || !strings.HasPrefix(err.Error(), "linux.resources.cpu.cpus: ")) {
		t.Errorf("CPU 4000: %v", err)
	}
}

func TestHugepages(t *testing.T) {
	v := has(t, "hugetlb")
	m := made(t, &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}})
	for _, rsvd := range []string{"", "rsvd."} {
		if got := read(t, m, "hugetlb", "hugetlb.2MB."+rsvd+either(v, "limit_in_bytes", "max")); got != "4194304" {
			t.Errorf("%s%s", rsvd, got)
		}
	}
	_, err := try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.hugepageLimits[0]: ") || Hint(err) == "" {
		t.Errorf("a page size that is none: %v", err)
	}
	s, err := m.Stats()
	if _, ok := s.Hugetlb["2MB"]; err != nil || !ok {
		t.Errorf("%+v, %v", s.Hugetlb, err)
	}
}

func TestUnified(t *testing.T) {
	if l, err := detect(false); err != nil || l.v2 == "" {
		t.Skip("no cgroup v2")
	}
	old := &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "7"}}
	m := made(t, old)
	if got := read(t, m, "", "cgroup.max.depth"); got != "3" {
		t.Error(got)
	}
	err := m.Update(old, &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "5", "cgroup.max.descendants": "many"}})
	if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "linux.resources.unified[cgroup.max.descendants]: write ") {
		t.Errorf("%v", err)
	}
	if depth, n := read(t, m, "", "cgroup.max.depth"), read(t, m, "", "cgroup.max.descendants"); depth != "3" || n != "7" {
		t.Errorf("a refused update left %s, %s", depth, n)
	}
	_, err = try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{Unified: map[string]string{"teapot.max": "1"}}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.unified[teapot.max]: controller teapot is not available") {
		t.Errorf("%v", err)
	}
}

func TestFreeze(t *testing.T) {
	m := made(t, nil)
	c := start(t, m, "open=/dev/null")
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	later := Open(m.State())
	defer later.Close()
	if frozen, err := later.Frozen(); err != nil || !frozen {
		t.Fatalf("Frozen: %v, %v", frozen, err)
	}
	// Asked while frozen, it answers after the thaw only.
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string)
	go func() { s, _ := c.out.ReadString('\n'); answered <- s }()
	select {
	case s := <-answered:
		t.Fatalf("a frozen process said %q", s)
	case <-time.After(50 * time.Millisecond):
	}
	if err := later.Thaw(); err != nil {
		t.Fatal(err)
	}
	<-answered
	if frozen, err := m.Frozen(); err != nil || frozen {
		t.Fatalf("Frozen: %v, %v", frozen, err)
	}
}

// legacy is m without its cgroup2 directory, as on a host without cgroup v2.
func legacy(t *testing.T, m *Manager) *Manager {
	t.Helper()
	s := m.State()
	if s.Mode == Unified {
		t.Skip("no v1 hierarchies in this view")
	}
	s.Mode = Legacy
	dirs := map[string]string{}
	for name, dir := range s.Dirs {
		if name != "" {
			dirs[name] = dir
		}
	}
	s.Dirs = dirs
	l := Open(s)
	t.Cleanup(l.Close)
	return l
}

func TestFreezeLegacy(t *testing.T) {
	m := made(t, nil)
	start(t, m, "fork")
	l := legacy(t, m)
	for range 20 {
		if err := l.Freeze(); err != nil {
			t.Fatal(err)
		}
		if s := read(t, m, "freezer", "freezer.state"); s != "FROZEN" {
			t.Fatal(s)
		}
		if frozen, err := m.Frozen(); err != nil || !frozen {
			t.Fatalf("Frozen: %v, %v", frozen, err)
		}
		if err := l.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKillWhatForks(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		for _, old := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s legacy=%v", unix.SignalName(sig), old), func(t *testing.T) {
				m := made(t, nil)
				k := m
				if old {
					k = legacy(t, m)
				}
				c := start(t, m, "fork")
				time.Sleep(20 * time.Millisecond) // let it multiply
				if err := k.Kill(sig); err != nil {
					t.Fatal(err)
				}
				if s := c.exit(); s != "signal: killed" && s != "signal: terminated" {
					t.Fatal(s)
				}
				if err := m.Destroy(); err != nil { // waits for the last one
					t.Fatal(err)
				}
			})
		}
	}
}

func TestKillFrozenAndBelow(t *testing.T) {
	m := made(t, nil)
	sub := filepath.Join(m.State().Dirs[m.leaderName()], "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	c := start(t, m, "wait")
	if err := os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if pids, err := m.Pids(); err != nil || len(pids) != 1 {
		t.Fatalf("Pids: %v, %v", pids, err)
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Fatal(s)
	}
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
}

func (m *Manager) leaderName() string {
	for name, dir := range m.state.Dirs {
		if dir == m.leader() {
			return name
		}
	}
	return ""
}

func TestKillAfterTheEnd(t *testing.T) {
	m := made(t, nil)
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		if err := Open(m.State()).Kill(sig); err != nil {
			t.Errorf("%s: %v", unix.SignalName(sig), err)
		}
	}
}

// A process leaves a little after Destroy was called: it is waited for, not slept for.
func TestDestroyWaits(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			d := m
			if old {
				d = legacy(t, m)
			}
			c := start(t, m, "wait")
			const delay = 200 * time.Millisecond
			begin := time.Now()
			time.AfterFunc(delay, func() { c.in.Close(); _ = c.Wait() })
			if err := Open(d.State()).Destroy(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < delay || took > delay+3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestDevices(t *testing.T) {
	has(t, "devices")
	allow := func(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: ptr(major), Minor: ptr(minor), Access: access}
	}
	null, zero := allow("c", 1, 3, "rwm"), allow("c", 1, 5, "rwm")
	deny := specs.LinuxDeviceCgroup{Access: "rwm"}
	m := made(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{deny, null}})
	n, z := start(t, m, "open=/dev/null"), start(t, m, "open=/dev/zero")
	check := func(when, null, zero string) {
		t.Helper()
		if got := n.ask(t); got != null {
			t.Errorf("%s: open /dev/null: %s, want %s", when, got, null)
		}
		if got := z.ask(t); got != zero {
			t.Errorf("%s: open /dev/zero: %s, want %s", when, got, zero)
		}
	}
	const no, yes = "operation not permitted", "<nil>"
	check("null only", yes, no)
	// Another program on the same cgroup, as systemd's, which must survive.
	others := 0
	if m.version("devices") == 2 {
		others = attachOther(t, m)
	}
	update := func(rules ...specs.LinuxDeviceCgroup) {
		t.Helper()
		later := Open(m.State())
		defer later.Close()
		if err := later.Update(nil, &specs.LinuxResources{Devices: rules}); err != nil {
			t.Fatal(err)
		}
		if others > 0 {
			fd, _ := m.dir2()
			if ids, err := programs(fd); err != nil || len(ids) != 2 {
				t.Fatalf("programs %v, %v: want davit's one and the other's", ids, err)
			}
		}
	}
	update(deny, zero)
	check("zero only", no, yes)
	update(deny, null, zero)
	check("both", yes, yes)
	update(deny, allow("c", 1, -1, "rw"), specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(5)), Access: "w"})
	if m.version("devices") == 2 { // v1's kernel knows no exceptions to exceptions
		check("all of major 1 but writing zero", yes, no)
	}
	update(deny)
	check("none", no, no)
	update(specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"})
	check("all", yes, yes)
}

// attachOther attaches a program that allows everything under another name.
func attachOther(t *testing.T, m *Manager) int {
	t.Helper()
	dir, err := m.dir2()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := loadProgram(assemble([]deviceRule{{'a', -1, -1, accessAll, true}}), "sd_devices")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := attachProgram(dir, fd, -1); err != nil {
		t.Fatal(err)
	}
	return 1
}

func TestEvents(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			w := m
			if old {
				w = legacy(t, m)
			}
			events, err := w.Events(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e := <-events; !e.Empty { // nobody is in it yet
				t.Errorf("%+v", e)
			}
			if _, ok := <-events; ok {
				t.Error("not closed")
			}
			first, second := start(t, m, "wait"), start(t, m, "wait")
			if events, err = w.Events(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*child{first, second} {
				c.in.Close()
				_ = c.Wait()
			}
			if e := <-events; !e.Empty || e.OOM != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	m := made(t, nil)
	start(t, m, "wait")
	ctx, cancel := context.WithCancel(t.Context())
	events, err := m.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if e, ok := <-events; ok {
		t.Errorf("%+v", e)
	}
}

func TestEventsOOM(t *testing.T) {
	v := has(t, "memory")
	m := made(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(32 << 20))}})
	first := start(t, m, "wait")
	c := start(t, m, "eat=100")
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Fatal(s)
	}
	if e := <-events; e.OOM != 1 || e.Empty {
		t.Errorf("%+v", e)
	}
	s, err := m.Stats()
	if err != nil || v == 2 && (s.Memory.Usage.Failcnt == 0 || s.Memory.EventCount.OOMKill != 1) {
		t.Errorf("%+v, %v", s.Memory, err)
	}
	first.in.Close()
	_ = first.Wait()
	for e := range events {
		if !e.Empty {
			t.Errorf("%+v", e)
		}
	}
}

func TestStats(t *testing.T) {
	if l, err := detect(false); err == nil && l.v2 == "" {
		has(t, "cpuacct")
	}
	m := made(t, nil)
	start(t, m, "spin")
	deadline := time.Now().Add(5 * time.Second)
	for {
		s, err := m.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if s.CPU.Usage.Total > 30e6 && s.CPU.Usage.User > 0 && s.CPU.Usage.User < 100*s.CPU.Usage.Total {
			if m.has2() && s.CPU.PSI == nil {
				t.Error("no pressure")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a spinning process: %+v", s.CPU)
		}
		time.Sleep(10 * time.Millisecond)
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
		if pids, err := readPids(dir + "/sub"); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
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

// Init has moved to a sub-cgroup and given its parent's controllers on: nobody may enter the parent.
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

// A parent with processes of its own cannot give controllers: the error says which processes.
func TestNoInternalProcesses(t *testing.T) {
	if has(t, "hugetlb") != 2 {
		t.Skip("hugetlb is on v1")
	}
	busy := made(t, nil)
	c := start(t, busy, "wait")
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}}}
	_, err := try(t, Options{CgroupsPath: parent() + "/" + busy.opts.ID + "/below", Resources: r})
	if !errors.Is(err, unix.EBUSY) || !strings.HasPrefix(err.Error(), "linux.resources.hugepageLimits[0]: ") {
		t.Fatalf("%v", err)
	}
	if hint := Hint(err); !strings.Contains(hint, strconv.Itoa(c.Process.Pid)) {
		t.Errorf("hint: %s", hint)
	}
	if names, _ := subdirs(busy.State().Dirs[""]); len(names) > 0 {
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
