package fs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// AllPids returns the processes in the cgroup dir and in all cgroups below it. A cgroup that does
// not exist has none.
func AllPids(dir string) ([]int, error) {
	var all []int
	err := Members(dir, func(_ int, pids []int) error {
		all = append(all, pids...)
		return nil
	})
	if Gone(err) {
		return nil, nil
	}
	return all, err
}

// Members calls f for the cgroup dir and for each cgroup below it. at is the open directory, pids
// the processes that are in that cgroup itself.
func Members(dir string, f func(at int, pids []int) error) error {
	threaded := false
	return Walk(dir, func(at, depth int) (bool, error) {
		pids, err := readIDs(at, "cgroup.procs")
		if errors.Is(err, unix.EOPNOTSUPP) { // a threaded cgroup: the domain above lists its processes
			if depth > 0 && !threaded {
				return false, nil
			}
			threaded = true
			pids, err = readProcesses(at)
		}
		if err == nil {
			err = f(at, pids)
		}
		return true, err
	})
}

// readProcesses returns the processes that have a thread in the threaded cgroup at.
func readProcesses(at int) ([]int, error) {
	threads, err := readIDs(at, "cgroup.threads")
	seen := make(map[int]bool)
	var pids []int
	for _, id := range threads {
		if pid := processOf(id); pid != 0 && !seen[pid] {
			seen[pid] = true
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// processOf returns the process that a thread belongs to, 0 if it has ended.
func processOf(thread int) int {
	s, _ := ReadString(unix.AT_FDCWD, "/proc/"+strconv.Itoa(thread)+"/status")
	for line := range strings.Lines(s) {
		if id, ok := strings.CutPrefix(line, "Tgid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(id))
			return pid
		}
	}
	return 0
}

// PidsIn returns the processes in the open cgroup at itself, not those below it.
func PidsIn(at int) ([]int, error) {
	pids, err := readIDs(at, "cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		return readProcesses(at)
	}
	return pids, err
}

func readIDs(at int, file string) ([]int, error) {
	s, err := ReadString(at, file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if s == "" {
		return nil, nil
	}
	lines := strings.Split(s, "\n")
	pids := make([]int, 0, len(lines))
	for _, line := range lines {
		pid, err := strconv.Atoi(line)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if pid != 0 { // 0 stands for a process that davit's pid namespace does not show
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
