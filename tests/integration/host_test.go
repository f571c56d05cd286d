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

// hostState has those parts of the host's state that a test must leave as they were.
type hostState struct {
	mounts    []string
	processes []int
}

func lookAtHost() hostState {
	return hostState{mounts: mountTable(), processes: strangers()}
}

// mountTable returns the lines of /proc/self/mountinfo.
func mountTable() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		panic(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// strangers returns the processes that this process, or processes below it, have left: its
// children, and the orphans that the reaper has got.
func strangers() []int { return childrenOf(os.Getpid(), os.Getppid()) }

// childrenOf returns the children of these processes, without this process.
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

// hierarchies returns the mount points of the cgroup hierarchies.
func hierarchies() []string {
	if isUnified() {
		return []string{"/sys/fs/cgroup"}
	}
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	var dirs []string
	for _, e := range entries {
		if e.IsDir() { // skips links such as cpu -> cpu,cpuacct
			dirs = append(dirs, "/sys/fs/cgroup/"+e.Name())
		}
	}
	return dirs
}

// cgroupsLeft returns the directories below the suite's part of every hierarchy, deepest first.
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

// exitWithin reports whether a process has ended, or does so soon. A zombie counts as ended: its
// reaper will get it.
func exitWithin(pid int, d time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return pollIn(fd, d)
}

// pollIn waits until a descriptor becomes readable, as a pidfd does when its process ends.
func pollIn(fd int, d time.Duration) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		n, err := unix.Poll(p, max(0, int(time.Until(end).Milliseconds())))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

// leaks returns what exists now and did not before. It removes that, so that the next test begins
// clean.
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

// clearCgroup kills the processes in a cgroup, and removes it.
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

// needRoot skips a test if it does not run as root, which it needs to make containers.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv(roleVariable) != "tests" {
		t.Skip("needs root")
	}
}

// checkLeaks fails a test that leaves something behind. Call it first, so that its check runs last.
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
