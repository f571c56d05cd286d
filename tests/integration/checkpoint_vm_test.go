package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"davit/internal/host"
)

// These tests need what only a virtual machine has here: systemd as pid 1, or AppArmor.

// With the systemd driver the scope ends with the checkpoint. A restore starts it again, with its limits and the processes in it, also
// under another id.
func TestCheckpointSystemd(t *testing.T) {
	for _, sign := range []string{"/run/.vm", "/run/systemd/system"} {
		if _, err := os.Stat(sign); err != nil {
			t.Skip("needs a virtual machine with systemd: make test-criu")
		}
	}
	for _, mode := range []string{"soft", "ignore", "full"} {
		t.Run(mode, func(t *testing.T) {
			s := newSaved(t, "linux.cgroupsPath=criu.slice:davit:c1", "linux.resources.memory.limit=67108864", "linux.resources.pids.limit=100", "linux.resources.cpu.shares=512")
			show := func(unit string) string {
				t.Helper()
				out, err := exec.Command("systemctl", "show", unit, "-p", "ActiveState,Slice,MemoryMax,TasksMax,CPUWeight,Delegate").CombinedOutput()
				if err != nil {
					t.Fatalf("systemctl show %s: %v\n%s", unit, err, out)
				}
				return string(out)
			}
			inScope := func(unit string) {
				t.Helper()
				want := "/criu.slice/" + unit
				cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", mustState(t, s).Pid))
				must(t, err)
				if strings.TrimSpace(string(cgroup)) != "0::"+want {
					t.Errorf("in cgroup %s, not in %s", cgroup, want)
				}
				for file, value := range map[string]string{"memory.max": "67108864", "pids.max": "100"} {
					if got, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", want, file)); err != nil || strings.TrimSpace(string(got)) != value {
						t.Errorf("%s: %s, not %s: %v", file, got, value, err)
					}
				}
			}
			s.davit("--systemd-cgroup", "run", "--detach", s.id)
			n := s.count(3)
			inScope("davit-c1.scope")
			before := show("davit-c1.scope")
			if !strings.Contains(before, "MemoryMax=67108864\n") || !strings.Contains(before, "ActiveState=active\n") {
				t.Fatalf("the scope is\n%s", before)
			}
			s.checkpoint("--manage-cgroups-mode", mode)
			s.gone()
			if now := show("davit-c1.scope"); !strings.Contains(now, "ActiveState=inactive\n") {
				t.Errorf("after the checkpoint the scope is\n%s", now)
			}
			again := func(unit string) {
				t.Helper()
				s.davit("--systemd-cgroup", "restore", "--detach", "--image-path", s.images, "--manage-cgroups-mode", mode, s.id)
				s.count(n)
				inScope(unit)
				if now := show(unit); now != before {
					t.Errorf("the scope was\n%sand is\n%s", before, now)
				}
				s.davit("delete", "--force", s.id)
				if now := show(unit); !strings.Contains(now, "ActiveState=inactive\n") {
					t.Errorf("after delete the scope is\n%s", now)
				}
			}
			again("davit-c1.scope")
			if mode == "soft" || mode == "ignore" {
				s.edit("linux.cgroupsPath=criu.slice:davit:c2")
				s.id = "c2"
				again("davit-c2.scope")
			}
		})
	}
}

// The AppArmor profile is the same after a restore, or the one of --lsm-profile.
func TestCheckpointAppArmor(t *testing.T) {
	if !host.Host().AppArmor() {
		t.Skip("AppArmor is not enabled")
	}
	s := newSaved(t)
	for _, name := range []string{"davit-criu", "davit-criu-2"} {
		profile := filepath.Join(s.work, "profile")
		mustWrite(t, profile, "profile "+name+" flags=(attach_disconnected,mediate_deleted) { file, capability, mount, umount, pivot_root, network, signal, ptrace, unix, }\n")
		if out, err := exec.Command("apparmor_parser", "--replace", "--skip-cache", profile).CombinedOutput(); err != nil {
			t.Fatalf("apparmor_parser: %v\n%s", err, out)
		}
		t.Cleanup(func() {
			mustWrite(t, profile, "profile "+name+" {}\n")
			_ = exec.Command("apparmor_parser", "--remove", profile).Run()
		})
	}
	s.edit("process.apparmorProfile=davit-criu")
	label := func(want string) {
		t.Helper()
		for _, file := range []string{"current", "apparmor/current"} {
			if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/attr/%s", mustState(t, s).Pid, file)); err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s is %q, not %q: %v", file, got, want, err)
			}
		}
	}
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	label("davit-criu (enforce)")
	before := s.looks()
	s.checkpoint()
	s.gone()
	s.restore()
	n = s.count(n)
	label("davit-criu (enforce)")
	s.sameLooks(before)
	s.checkpoint()
	for _, args := range [][]string{{"--lsm-profile", "apparmor:davit-none"}, {}} {
		if len(args) == 0 {
			s.edit("process.apparmorProfile=davit-none")
		}
		all := slices.Concat([]string{"restore", "--detach", "--image-path", s.images}, args, []string{s.id})
		if out, status := s.try(all...); status != 1 || !strings.Contains(out, `"davit-none": the kernel has no such AppArmor profile`) {
			t.Errorf("restore with a profile that does not exist: exit status %d\n%s", status, out)
		}
	}
	s.edit("process.apparmorProfile=davit-criu")
	s.gone()
	s.restore("--lsm-profile", "apparmor:davit-criu-2")
	s.count(n)
	label("davit-criu-2 (enforce)")
	if got := s.davit("exec", s.id, "cat", "/proc/self/attr/current"); strings.TrimSpace(got) != "davit-criu (enforce)" {
		t.Errorf("exec has the profile %s", got)
	}
	s.davit("delete", "--force", s.id)
}
