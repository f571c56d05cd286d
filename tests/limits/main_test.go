// Package limits shows that limits hold. The real binary ($DAVIT, by default ../../bin/davit) makes
// containers, and these try to use more than they may. containerd's library, which knows nothing of
// davit, reads the kernel's values.
//
//	go test -count=1 ./tests/limits -run TestMemory     (in this directory: a module of its own)
//	tests/vm/suite --kernel trixie -- ./tests/limits    with all controllers of cgroup v2
package limits

import (
	"encoding/json"
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

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var (
	davit  string
	parent = fmt.Sprintf("/davit-limits-%d", os.Getpid()) // the parent of all containers' cgroups
)

func TestMain(m *testing.M) {
	davit = os.Getenv("DAVIT")
	if davit == "" {
		davit, _ = filepath.Abs("../../bin/davit")
	}
	// This process must reap what a detached container leaves, so that it is gone when davit says
	// so.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, dir := range hierarchies() {
		if err := os.Remove(dir + parent); err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Println("LEFT BEHIND:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// unified reports whether cgroup v2 has all controllers here, and not only some, beside v1.
func unified() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

func hierarchies() []string {
	if unified() {
		return []string{"/sys/fs/cgroup"}
	}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*")
	return dirs
}

// has reports whether there is a controller; blkio means v2's io.
func has(controller string) bool {
	if unified() {
		b, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		return slices.Contains(strings.Fields(string(b)), strings.Replace(controller, "blkio", "io", 1))
	}
	_, err := os.Stat("/sys/fs/cgroup/" + controller)
	return err == nil
}

func need(t *testing.T, controllers ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, c := range controllers {
		if !has(c) {
			t.Skipf("no controller %s here", c)
		}
	}
}

// container is a bundle, and the davit that makes a container from it.
type container struct {
	t    *testing.T
	id   string
	work string
	args []string            // arguments of davit, before the verb
	as   *syscall.Credential // a user other than root
	env  []string
	path string // the container's cgroup, once it has one
	pid  int
}

// bundle makes a container's bundle: busybox, running args, with the limits of r.
func bundle(t *testing.T, id string, r *specs.LinuxResources, args ...string) *container {
	t.Helper()
	work := t.TempDir()
	c := &container{t: t, id: id, work: work, args: []string{"--root", work + "/state"}, env: os.Environ()}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err, " (Debian's package busybox-static)")
	}
	data, err := os.ReadFile(busybox)
	for _, dir := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		err = errors.Join(err, os.MkdirAll(work+"/rootfs/"+dir, 0o755))
	}
	err = errors.Join(err, os.WriteFile(work+"/rootfs/bin/busybox", data, 0o755))
	for _, applet := range []string{"sh", "sleep", "dd", "head", "tail", "cat", "true"} {
		err = errors.Join(err, os.Symlink("busybox", work+"/rootfs/bin/"+applet))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(davit, "spec")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("davit spec: %v: %s", err, out)
	}
	c.edit(func(s *specs.Spec) {
		s.Process.Terminal, s.Process.Args = false, args
		s.Linux.CgroupsPath = parent + "/" + id
		devices := s.Linux.Resources.Devices
		if r != nil {
			s.Linux.Resources = r
		}
		s.Linux.Resources.Devices = append(devices, s.Linux.Resources.Devices...)
	})
	t.Cleanup(c.remove)
	return c
}

func (c *container) edit(f func(*specs.Spec)) {
	c.t.Helper()
	path := c.work + "/config.json"
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		c.t.Fatal(err)
	}
	f(s)
	if data, err = json.Marshal(s); err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// command returns a davit command. Its output goes to a file, because a container's process keeps
// it open.
func (c *container) command(args ...string) (*exec.Cmd, *os.File) {
	c.t.Helper()
	out, err := os.Create(filepath.Join(c.work, "out."+args[0]))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { out.Close() })
	cmd := exec.Command(davit, append(slices.Clone(c.args), args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.work, c.env, out, out
	if c.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	}
	return cmd, out
}

// try runs davit, and returns its output.
func (c *container) try(args ...string) (string, error) {
	c.t.Helper()
	cmd, out := c.command(args...)
	err := cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return strings.TrimSpace(string(text)), err
}

func (c *container) davit(args ...string) string {
	c.t.Helper()
	text, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("davit %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return text
}

// create makes the container, and asks the kernel for its cgroup.
func (c *container) create() {
	c.t.Helper()
	c.davit("create", "--pid-file", c.work+"/pid", c.id)
	data, err := os.ReadFile(c.work + "/pid")
	if err == nil {
		c.pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	data, err = os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if unified() && f[1] == "" || !unified() && f[1] == "pids" {
			c.path = f[2]
		}
	}
}

func (c *container) run() {
	c.t.Helper()
	c.create()
	c.davit("start", c.id)
}

// update calls davit update with the resources in a file.
func (c *container) update(resources string) {
	c.t.Helper()
	if out, err := c.tryUpdate(resources); err != nil {
		c.t.Fatalf("davit update %s: %v\n%s", resources, err, out)
	}
}

func (c *container) tryUpdate(resources string) (string, error) {
	c.t.Helper()
	path := c.work + "/resources.json"
	if err := os.WriteFile(path, []byte(resources), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return c.try("update", "--resources", path, c.id)
}

func (c *container) remove() {
	_, _ = c.try("delete", "--force", c.id)
	if c.pid > 0 {
		_, _ = syscall.Wait4(c.pid, nil, 0, nil)
	}
}

// wait waits for the container's process, and returns its status.
func (c *container) wait() syscall.WaitStatus {
	c.t.Helper()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(c.pid, &status, 0, nil); err != nil {
		c.t.Fatal(err)
	}
	c.pid = 0
	return status
}

// cgroupFile returns the path of a file of the container's cgroup, in v1 or v2.
func (c *container) cgroupFile(v1, v2 string) string {
	if unified() {
		return filepath.Join("/sys/fs/cgroup", c.path, v2)
	}
	controller, _, _ := strings.Cut(v1, ".")
	return filepath.Join("/sys/fs/cgroup", controller, c.path, v1)
}

// file returns the content of that file, or "" if it does not exist.
func (c *container) file(v1, v2 string) string {
	data, _ := os.ReadFile(c.cgroupFile(v1, v2))
	return strings.TrimSpace(string(data))
}

func ptr[T any](v T) *T { return &v }
