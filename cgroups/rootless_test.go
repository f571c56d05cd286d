package cgroups

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"davit/cgroups/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const someone = 65534

// rootless runs in a process without privileges. It returns what happens to a container with a
// limit and to one without, both with path as their cgroupsPath.
func rootless(path string) string {
	limit := func() *specs.LinuxResources {
		return &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
			Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	}
	try := func(r *specs.LinuxResources) string {
		m, err := New(Options{ID: "c", CgroupsPath: path, Rootless: true, Resources: r})
		if err != nil {
			return err.Error()
		}
		defer m.Close()
		if err := m.Create(); err != nil {
			return err.Error()
		}
		if err := m.Set(r); err != nil {
			_ = m.Destroy()
			return err.Error()
		}
		f, err := m.FD()
		if err != nil {
			return err.Error()
		}
		cmd := exec.Command("cat", "/proc/self/cgroup")
		if f != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
		}
		out, err := cmd.Output()
		if err != nil {
			return err.Error()
		}
		own := ""
		for line := range strings.Lines(string(out)) {
			if rest, ok := strings.CutPrefix(line, "0::"); ok {
				own = strings.TrimSpace(rest)
			}
		}
		if err := m.Destroy(); err != nil {
			return err.Error()
		}
		return fmt.Sprintf("mode %q, in %s", m.State().Mode, own)
	}
	return try(nil) + " | " + try(limit())
}

// unprivileged starts the role as another user, in the directory dir unless that is "".
func unprivileged(t *testing.T, role, dir string) *child {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	exe := t.TempDir() + "/test" // other users cannot enter go test's own directory
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(exe, b, 0o755)
	}
	for d := exe; err == nil && d != "/tmp" && d != "/"; d = d[:strings.LastIndexByte(d, '/')] {
		err = os.Chmod(d, 0o755)
		if strings.Count(d, "/") <= 2 {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{roleEnv + "=" + role, "PATH=/bin:/usr/bin"}
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someone, Gid: someone}}
	if dir != "" {
		fd, err := fs.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	c, err := pipes(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if s := c.line(t); s != "ready" {
		t.Fatal(s)
	}
	return c
}

func TestRootlessWithoutDelegation(t *testing.T) {
	got := unprivileged(t, "rootless", "").ask(t)
	without, with, _ := strings.Cut(got, " | ")
	if !strings.HasPrefix(without, `mode "", in /`) || !strings.HasPrefix(with, "linux.resources.hugepageLimits[0]: no cgroup is delegated to this user") {
		t.Errorf("%s", got)
	}
	got = unprivileged(t, "rootless="+parent()+"/x", "").ask(t)
	if !strings.HasPrefix(got, `linux.cgroupsPath: "`+parent()+`/x": no cgroup there is delegated to this user`) {
		t.Errorf("%s", got)
	}
}

func TestRootlessWithDelegation(t *testing.T) {
	m, err := try(t, Options{Owner: someone})
	if err != nil {
		t.Fatal(err)
	}
	if m.State().Mode != Unified {
		t.Skip("delegation is v2's")
	}
	dir := m.State().Dirs[""]
	if err := os.Mkdir(dir+"/own", 0o755); err != nil {
		t.Fatal(err)
	}
	got := unprivileged(t, "rootless", dir+"/own").ask(t)
	in := `mode "unified", in ` + strings.TrimPrefix(dir, root) + "/c"
	if got != in+" | "+in {
		t.Errorf("%s", got)
	}
}
