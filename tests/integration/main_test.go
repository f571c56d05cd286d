// Package integration runs the real binary ($DAVIT, by default ../../bin/davit) on real bundles.
//
//	go test -count=1 ./tests/integration                     everything, in each view of cgroups that the host can give
//	go test -count=1 ./tests/integration -run TestScript/create   testdata/script/create*.txtar
//	DAVIT_VIEW=unified go test -count=1 ./tests/integration    in the pure view of cgroup v2 only (or native)
//
// The tests run in namespaces of their own (mount, network, uts, ipc), below a subreaper that reaps
// at once. They have their own --root, and their own part of the cgroup hierarchies. A test fails
// if it leaves something behind: a process, a cgroup, a mount or a state directory.
package integration

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The roles of a test binary that has executed itself again: see TestMain.
const (
	roleVariable = "DAVIT_TEST_ROLE"
	viewVariable = "DAVIT_VIEW"
)

const (
	native  = "native"  // cgroups as the host mounts them
	unified = "unified" // cgroup v2 alone
)

// TestMain uses three levels of processes. The process that go test starts makes one process of the
// second level for each view of cgroups. That one has a mount namespace of its own, and reaps the
// orphans of the third process, which runs the tests.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "reaper":
		os.Exit(reap())
	case "service":
		os.Exit(service())
	case "tests":
		os.Exit(runTests(m))
	case "attacker":
		os.Exit(attack())
	case "calls":
		makeCalls()
		os.Exit(0)
	}
	// A terminal or a build may have left descriptors open in this process. davit would take them
	// for those of --preserve-fds.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if os.Geteuid() != 0 || listOnly() {
		os.Exit(m.Run()) // without root, every test reports that it is skipped
	}
	os.Exit(runViews())
}

func listOnly() bool {
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, "-test.list") {
			return true
		}
	}
	return false
}

// ownNamespaces protect the host from a test's mistakes: its mounts, its network devices, its
// names.
const ownNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// runViews runs the suite in the views that $DAVIT_VIEW allows, side by side. It prints one view's
// output after the other's.
func runViews() int {
	runtime.LockOSThread() // Pdeathsig refers to the thread
	views := []string{native, unified}
	if only := os.Getenv(viewVariable); only != "" {
		views = []string{only}
	} else if isUnified() {
		views = views[:1] // the host's own view is the pure one
	}
	var outputs [2]bytes.Buffer
	var cmds []*exec.Cmd
	for i, view := range views {
		cmd := again("reaper", viewVariable+"="+view)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: ownNamespaces, Pdeathsig: syscall.SIGTERM}
		if i > 0 {
			cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		}
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		cmds = append(cmds, cmd)
	}
	status := 0
	for i, cmd := range cmds {
		err := cmd.Wait()
		fmt.Fprintf(os.Stdout, "\n") // what follows must begin a line
		io.Copy(os.Stdout, &outputs[i])
		if err != nil {
			fmt.Fprintf(os.Stdout, "FAIL: view of cgroups %s: %v\n", views[i], err)
			status = 1
		}
	}
	return status
}

func isUnified() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// again returns a command that runs this test binary, with the same arguments, in another role.
func again(role string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// reap makes the view, starts the tests, and reaps the processes that they and their containers
// leave.
func reap() int {
	runtime.LockOSThread()
	if err := makeView(os.Getenv(viewVariable)); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "prctl PR_SET_CHILD_SUBREAPER:", err)
		return 1
	}
	tmp, err := mountTemporary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer os.Remove(tmp)
	defer unix.Unmount(tmp, unix.MNT_DETACH)
	cmd := again("tests", "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	subtree = fmt.Sprintf("/davit-test-%d", cmd.Process.Pid)
	defer sweep()
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT)
	go func() {
		<-end
		cmd.Process.Kill()
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 1
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			fmt.Fprintln(os.Stderr, "integration: the tests were killed:", status.Signal())
			return 1
		}
	}
}

// sweep kills and removes what is left by tests that were killed themselves, for example by go
// test's timeout.
func sweep() {
	for _, pid := range childrenOf(os.Getpid()) { // not the parent's children: among them is the other view's reaper
		unix.Kill(pid, unix.SIGKILL)
	}
	for range 2 { // children of a killed process become ours
		for _, dir := range cgroupsLeft() {
			clearCgroup(dir)
		}
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid == 0 {
				break
			}
		}
	}
	removeSubtree()
}

// makeView gives this mount namespace a pure view of cgroup v2, if the caller asks for it and the
// host has another one.
func makeView(view string) error {
	switch {
	case view != native && view != unified:
		return fmt.Errorf("%s=%s: native or unified", viewVariable, view)
	case view == native || isUnified():
		return nil
	}
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount /sys/fs/cgroup: %w", err)
	}
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	return nil
}

// mountTemporary makes a directory for all files of the tests. It is in memory, because root
// filesystems have hundreds of links.
func mountTemporary() (string, error) {
	dir, err := os.MkdirTemp("", "davit-integration-")
	if err != nil {
		return "", err
	}
	if err := unix.Mount("davit-test", dir, "tmpfs", unix.MS_RELATIME, "mode=755"); err != nil {
		os.Remove(dir)
		return "", fmt.Errorf("mount %s: %w", dir, err)
	}
	return dir, nil
}

// What all tests share.
var (
	davit   string // absolute path of the binary
	rootfs  string // a root filesystem from which the bundles' ones are made
	subtree string // "/davit-test-PID", in every cgroup hierarchy
)

// runTests prepares what the tests share, runs them, and removes it again.
func runTests(m *testing.M) int {
	status, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return status
}

func prepareAndRun(m *testing.M) (int, error) {
	unix.Umask(0o022)
	subtree = fmt.Sprintf("/davit-test-%d", os.Getpid())
	var err error
	if davit, err = findDavit(); err != nil {
		return 1, err
	}
	rootfs = filepath.Join(os.TempDir(), "rootfs")
	if err := makeRootfs(rootfs); err != nil {
		return 1, err
	}
	status := m.Run()
	if left := removeSubtree(); len(left) > 0 {
		return 1, fmt.Errorf("cgroups that cannot be removed: %q", left)
	}
	return status, nil
}

func findDavit() (string, error) {
	path := os.Getenv("DAVIT")
	if path == "" {
		path = "../../bin/davit"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (`make` builds it)", err)
	}
	return path, nil
}

// makeRootfs makes a root filesystem with Debian's busybox-static.
func makeRootfs(dir string) error {
	for _, sub := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp", "home/user"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w (Debian's package busybox-static)", err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755); err != nil {
		return err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(string(list)) {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"), 0o644)
}
