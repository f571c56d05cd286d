package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupDirs returns the container's directories, one of each hierarchy in this view.
func (b *box) cgroupDirs() []string {
	b.t.Helper()
	dirs, err := filepath.Glob("/sys/fs/cgroup/*" + subtree + "/c1")
	if isUnified() {
		dirs, err = []string{"/sys/fs/cgroup" + subtree + "/c1"}, nil
	}
	if err != nil || len(dirs) == 0 {
		b.t.Fatal(dirs, err)
	}
	return dirs
}

// A container that may write to its cgroup nests sub-cgroups until their path is longer than
// PATH_MAX. Their names are escape sequences. Every verb that reads the cgroups below it still
// works, and the container can be removed.
func TestDeepCgroups(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	name := "\x1b[2J" + strings.Repeat("x", 240)
	for _, dir := range b.cgroupDirs() {
		if strings.HasPrefix(dir, "/sys/fs/cgroup/cpuset/") {
			continue // a new sub-cgroup of cpuset has no CPUs yet
		}
		at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		for range 40 {
			if err := errorsOf(err, unix.Mkdirat(at, name, 0o755)); os.IsExist(err) {
				break // several controllers share a hierarchy
			} else if err != nil {
				t.Fatal(err)
			}
			next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(at)
			at = next
		}
		procs, err := unix.Openat(at, "cgroup.procs", unix.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(procs, []byte(strconv.Itoa(b.pid()))); err != nil {
			t.Fatal(dir, err)
		}
		unix.Close(procs)
		unix.Close(at)
	}
	if out := b.davit("ps", "--format", "json", "c1"); out != fmt.Sprintf("[%d]\n", b.pid()) {
		t.Errorf("ps: %s", out)
	}
	b.davit("pause", "c1")
	b.davit("resume", "c1")
	b.davit("kill", "--all", "c1", "WINCH")
	b.davit("kill", "--all", "c1", "KILL")
	if err := awaitStatus(b.root, "c1", "stopped"); err != nil {
		t.Error(err)
	}
	b.davit("delete", "c1")
}

// davit signals processes by descriptors, because their numbers may belong to other processes by
// then.
func TestKillAllByDescriptor(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	pid := b.pid()
	byNumber, byDescriptor := 0, 0
	_, ended := b.traced(unix.PTRACE_O_TRACECLONE, func(thread int) bool {
		call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", thread))
		var number int
		var first uint64
		fmt.Sscanf(string(call), "%d %v", &number, &first)
		switch {
		case (number == unix.SYS_KILL || number == unix.SYS_TKILL) && first == uint64(pid):
			byNumber++
		case number == unix.SYS_PIDFD_SEND_SIGNAL:
			byDescriptor++
		}
		return true
	}, "kill", "--all", "c1", "WINCH")
	if !ended || byNumber != 0 || byDescriptor != 1 {
		t.Errorf("%d by number, %d by descriptor", byNumber, byDescriptor)
	}
	b.davit("delete", "--force", "c1")
}
