package fs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// allPids are the processes in dir and in all cgroups below it. A cgroup that is gone has none.
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

// members calls f for dir and each cgroup below it, with the processes in it.
func Members(dir string, f func(at int, pids []int) error) error {
	threaded := false
	return Walk(dir, func(at, depth int) (bool, error) {
		pids, err := readIDs(at, "cgroup.procs")
		if errors.Is(err, unix.EOPNOTSUPP) { // threaded: its processes are listed by the domain above
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

// readProcesses are the processes with a thread in a threaded cgroup.
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

// processOf is the process that a thread belongs to, 0 if that has ended.
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

// readPids are the processes in a cgroup itself.
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
		if pid != 0 { // 0: outside our pid namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
