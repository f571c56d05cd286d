package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// explain decides and prints. It starts no process, writes only its output, and makes nothing, also
// for a config with a filter that was never compiled.
func TestExplainOnlyPrints(t *testing.T) {
	b := newBench(t, `linux.seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","exit_group","execve","capset"],"action":"SCMP_ACT_ALLOW"}]}`)
	root, trace := filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-qq", "-e", "signal=none", "-o", trace, davit, "--root", root, "explain", "--bundle", b.bundle, "c1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("strace davit explain: %v\n%s", err, out)
	}
	if want := "<default SCMP_ACT_ERRNO; SCMP_ACT_ALLOW for capset, execve, exit_group, read, write>"; !strings.Contains(string(out), "seccomp") || !strings.Contains(string(out), want) {
		t.Errorf("explain has no %q:\n%s", want, out)
	}
	if entries, err := os.ReadDir(root); err == nil {
		t.Errorf("explain leaves %v in %s", entries, root)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
	if len(lines) < 20 {
		t.Fatalf("strace saw only\n%s", calls)
	}
	name := regexp.MustCompile(`^\d+ +(?:<\.\.\. )?(\w+)`)
	for i, line := range lines {
		call := ""
		if m := name.FindStringSubmatch(line); m != nil {
			call = m[1]
		}
		bad := false
		switch call {
		case "fork", "vfork", "execveat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
			"symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "truncate", "ftruncate", "memfd_create", "mount", "umount2",
			"move_mount", "fsopen", "setns", "unshare", "kill", "pidfd_send_signal", "socket", "connect", "sendmsg", "pwrite64", "writev":
			bad = true
		case "open_tree":
			bad = !strings.Contains(line, "open_tree(-1, NULL,") && !strings.Contains(line, "resumed") // without a path this call can only fail; it asks what the kernel can do
		case "execve":
			bad = i > 0 // the first one is davit itself
		case "clone", "clone3":
			bad = !strings.Contains(line, "CLONE_THREAD") && !strings.Contains(line, "resumed")
		case "open", "openat", "openat2":
			bad = regexp.MustCompile(`O_(WRONLY|RDWR|CREAT|TRUNC)`).MatchString(line)
		case "write":
			bad = !regexp.MustCompile(`write\([12],`).MatchString(line) && !strings.Contains(line, "resumed")
		}
		if bad {
			t.Errorf("explain makes the call %s", line)
		}
	}
}
