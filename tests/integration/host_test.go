package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostState is what a test must leave as it found it.
type hostState struct {
	mounts    []string
	processes []int
}

func lookAtHost() hostState {
	return hostState{mounts: mountTable(), processes: strangers()}
}

// mountTable is /proc/self/mountinfo without what differs from one reading to the next: nothing.
func mountTable() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		panic(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// strangers are the processes that this one or those below it have left: its children and the orphans that the
// reaper got.
func strangers() []int { return childrenOf(os.Getpid(), os.Getppid()) }

// childrenOf leaves out this process.
func childrenOf(parents ...int) []int {
	var pids []int
	for _, parent := range parents {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		for _, list := range lists {
			data, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// hierarchies are the mount points of the cgroup hierarchies.
func hierarchies() []string {
	if isUnified() {
		return []string{"/sys/fs/cgroup"}
	}
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	var dirs []string
	for _, e := range entries {
		if e.IsDir() { // not the links cpu -> cpu,cpuacct
			dirs = append(dirs, "/sys/fs/cgroup/"+e.Name())
		}
	}
	return dirs
}

// cgroupsLeft are the directories below the suite's part of every hierarchy, deepest first.
func cgroupsLeft() []string {
	var dirs []string
	for _, h := range hierarchies() {
		filepath.WalkDir(h+subtree, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && path != h+subtree {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	slices.Reverse(dirs)
	return dirs
}

// removeSubtree removes the suite's part of every hierarchy.
func removeSubtree() (left []string) {
	for _, dir := range cgroupsLeft() {
		os.Remove(dir)
	}
	for _, h := range hierarchies() {
		if err := os.Remove(h + subtree); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = append(left, h+subtree)
		}
	}
	return left
}

// exitWithin says whether a process has ended, or does so soon: a zombie is on its way to the reaper.
func exitWithin(pid int, d time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return pollIn(fd, d)
}

// pollIn waits for a descriptor to become readable, as a pidfd does when its process ends.
func pollIn(fd int, d time.Duration) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		n, err := unix.Poll(p, max(0, int(time.Until(end).Milliseconds())))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// leaks says what is there now and was not before, and removes it, so that the next test begins clean.
func (before hostState) leaks(root string) []string {
	var leaks []string
	leak := func(format string, args ...any) { leaks = append(leaks, fmt.Sprintf(format, args...)) }
	for _, pid := range strangers() {
		if !slices.Contains(before.processes, pid) && !exitWithin(pid, 2*time.Second) {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			leak("process %d: %q", pid, cmdline)
			unix.Kill(pid, unix.SIGKILL)
			exitWithin(pid, 5*time.Second)
		}
	}
	for _, dir := range cgroupsLeft() {
		leak("cgroup %s", dir)
		clearCgroup(dir)
	}
	for _, line := range mountTable() {
		if !slices.Contains(before.mounts, line) {
			leak("mount %s", line)
			if f := strings.Fields(line); len(f) > 4 {
				unix.Unmount(f[4], unix.MNT_DETACH)
			}
		}
	}
	for _, line := range before.mounts {
		if !slices.Contains(mountTable(), line) {
			leak("lost or changed mount %s", line)
		}
	}
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if e.Name() != ".seccomp" { // compiled filters are kept
			leak("state %s", filepath.Join(root, e.Name()))
		}
	}
	return leaks
}

// clearCgroup kills what is in a cgroup, and removes it.
func clearCgroup(dir string) {
	data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil {
			unix.Kill(pid, unix.SIGKILL)
			exitWithin(pid, 5*time.Second)
		}
	}
	os.Remove(dir)
}

// needRoot skips a test that makes containers as root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv(roleVariable) != "tests" {
		t.Skip("needs root")
	}
}

// checkLeaks fails a test that leaves something behind. It is to be called first, so that it looks last.
func checkLeaks(t *testing.T, root string) {
	before := lookAtHost()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("view of cgroups: %s", os.Getenv(viewVariable))
		}
		leaks := before.leaks(root)
		for _, l := range leaks {
			if t.Failed() {
				t.Logf("left by the failed test, and removed: %s", l)
			} else {
				t.Errorf("left behind: %s", l)
			}
		}
	})
}
