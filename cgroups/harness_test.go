package cgroups

import (
	"bufio"
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

	"davit/cgroups/fs"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// These tests change real cgroups, below /davit-cgroups-test-PID of every hierarchy. On a hybrid
// host all of them run three times: on the host as it is, and in two mount namespaces. In one
// /sys/fs/cgroup is cgroup v2 alone. In the other it is v1 alone, with memory under another name.

var views = map[string]string{
	Unified: `mount -t cgroup2 cgroup2 /sys/fs/cgroup`,
	Legacy: `mount -t tmpfs tmpfs /sys/fs/cgroup && cd /sys/fs/cgroup
		sed 's/^[0-9]*:\([^:]*\):.*/\1/' /proc/self/cgroup | while read -r c; do
			dir=${c#name=}
			case $c in '') continue ;; memory) dir=mem0ry ;; name=*) c=none,$c ;; esac
			mkdir "$dir" && mount -t cgroup -o "$c" cgroup "$dir" || exit
		done`,
}

const (
	roleEnv = "DAVIT_CGROUPS_ROLE" // the role of a test binary that has executed itself again
	viewEnv = "DAVIT_CGROUPS_VIEW" // set when the tests run again
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
		os.Exit(0)
	}
	// This process reaps orphans of tests at once, because only then the cgroups are empty.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	code := m.Run()
	sweep()
	if l, err := detect(false); err == nil && l.mode == Hybrid && os.Geteuid() == 0 && os.Getenv(viewEnv) == "" {
		for name, mount := range views {
			code |= again(name, mount)
		}
	}
	os.Exit(code)
}

// again runs the tests once more, in a view of the host's cgroups.
func again(name, mount string) int {
	cmd := exec.Command("unshare", append([]string{"-m", "--propagation", "private", "sh", "-ec",
		`here=$PWD; umount -l /sys/fs/cgroup; ` + mount + `; cd "$here"; exec "$@"`, "sh"}, os.Args...)...)
	cmd.Env = append(os.Environ(), viewEnv+"="+name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	fmt.Println("=== again, with cgroups", name)
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// sweep removes the parent that the tests share. It fails if something was left in it.
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

func parent() string { return "/davit-cgroups-test-" + strconv.Itoa(os.Getpid()) }

// play is the process in the container. It prints "ready", and ends when its standard input ends.
func play(role string) {
	name, arg, _ := strings.Cut(role, "=")
	if name != "hopper" {
		fmt.Println("ready")
	}
	in := bufio.NewReader(os.Stdin)
	began := time.Now()
	switch name {
	case "wait":
	case "fork": // after a line: forks as fast as it can; each child ends soon
		// All children belong to one thread. When a process with many threads ends, its frozen
		// threads wake up to end, and cgroup.events does not show "frozen 1" for that moment.
		_, _ = in.ReadString('\n')
		for time.Since(began) < mischief {
			pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "0.02"}, &syscall.ProcAttr{})
			if err == nil {
				go func() { var ws syscall.WaitStatus; _, _ = syscall.Wait4(pid, &ws, 0, nil) }()
			}
		}
	case "hop": // after a line: has a child that is always a new process, and reaps the former ones
		_, _ = in.ReadString('\n')
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
		hop(strconv.FormatInt(began.Add(mischief).UnixMilli(), 10))
		for {
			if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
				return
			}
		}
	case "hopper": // hopper=END: starts its successor until END, and ends
		if end, _ := strconv.ParseInt(arg, 10, 64); began.UnixMilli() < end {
			hop(arg)
		}
		return
	case "open": // open=PATH: after a line on stdin, prints the result of open(2)
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
	case "eat": // eat=MiB: after a line, uses that much memory
		_, _ = in.ReadString('\n')
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("ate", len(b)>>20)
	case "rootless": // rootless=PATH: after a line, prints what a container of this user gets
		_, _ = in.ReadString('\n')
		fmt.Println(rootless(arg))
	case "remove": // remove=DIRECTORY: after a line, prints why it cannot be removed
		_, _ = in.ReadString('\n')
		err := fs.RemoveAll(arg, began)
		fmt.Printf("%v; hint: %s\n", err, fault.Hint(err))
	case "multiply": // after a line
		_, _ = in.ReadString('\n')
		fmt.Println(multiply())
	case "read": // read=DEVICE: after a line
		_, _ = in.ReadString('\n')
		fmt.Println(readDirect(arg))
	case "spin":
		go func() {
			for n := 0; n >= 0; n++ { // uses up time
				n &= 0xff
			}
		}()
	}
	_, _ = io.Copy(io.Discard, in)
}

// mischief is how long multiplying processes continue if nobody stops them.
const mischief = 5 * time.Second

func hop(end string) {
	_, _ = syscall.ForkExec("/proc/self/exe", []string{"x"}, &syscall.ProcAttr{Env: []string{roleEnv + "=hopper=" + end}})
}

// child is a process that start has started.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a role, in the cgroup of m if m is not nil.
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
	if role == "fork" || role == "hop" { // it must be in all its cgroups before
		_, _ = c.in.Write([]byte("\n"))
	}
	return c
}

// pipes starts a process with pipes, so that the test can talk to it.
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

// exit waits for the process and returns its status as a shell prints it.
func (c *child) exit() string {
	_ = c.Wait()
	return c.ProcessState.String()
}

// made returns a manager whose cgroups have these resources, and exist until the test ends.
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

// read returns the current content of a file in the controller's directory.
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

// has returns the controller's version. It skips the test if this host (or this view of it) lacks
// the controller.
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

// lacks reports whether no hierarchy has a controller. If so, it checks that New refuses resources
// that need it.
func lacks(t *testing.T, ctrl string, r *specs.LinuxResources, field string) bool {
	t.Helper()
	l, err := detect(false)
	if err != nil {
		t.Fatal(err)
	}
	if l.on1(ctrl) != nil || l.on2(ctrl) {
		return false
	}
	_, err = New(Options{CgroupsPath: parent() + "/none", Resources: r})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources."+field+": ") || fault.Hint(err) == "" {
		t.Errorf("without controller %s: %v", ctrl, err)
	}
	return true
}

// either returns v1 or v2, depending on the version: a file or value may have two names.
func either(version int, v1, v2 string) string {
	if version == 1 {
		return v1
	}
	return v2
}

func ptr[T any](v T) *T { return &v }
