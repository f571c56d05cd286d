package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Update writes schemata over those of the class. If one is refused, the old ones are put
// back, as undo does later.
func (g *Group) Update(lines []string) (undo func() error, err error) {
	path := filepath.Join(g.class, "schemata")
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	undo = func() error {
		var errs []error
		for line := range strings.Lines(string(old)) {
			if line = strings.TrimSpace(line); line != "" {
				errs = append(errs, write(path, line))
			}
		}
		return errors.Join(errs...)
	}
	for _, line := range lines {
		if err := write(path, line); err != nil {
			return nil, errors.Join(err, undo())
		}
	}
	return undo, nil
}

// AddAll puts every thread of processes that run already into the groups: the file takes threads
// one by one. What ends meanwhile is left out.
func (g *Group) AddAll(pids []int) error {
	for _, pid := range pids {
		tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			continue
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := g.Add(tid); err != nil && !gone(tid) {
				return fmt.Errorf("process %d: %w", pid, err)
			}
		}
	}
	return nil
}

func gone(tid int) bool {
	_, err := os.Stat("/proc/" + strconv.Itoa(tid))
	return err != nil
}

// Schemata returns the lines of the class for the L3 cache and for memory bandwidth, and
// those of the root class: what runc's statistics show. What there is not is empty.
func (g *Group) Schemata() (l3, bandwidth, rootL3, rootBandwidth string) {
	l3, bandwidth = lines(g.class)
	rootL3, rootBandwidth = lines(Mountpoint)
	return l3, bandwidth, rootL3, rootBandwidth
}

func lines(dir string) (l3, bandwidth string) {
	data, _ := os.ReadFile(filepath.Join(dir, "schemata"))
	for line := range strings.Lines(string(data)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "L3:"):
			l3 = line
		case strings.HasPrefix(line, "MB:"):
			bandwidth = line
		}
	}
	return l3, bandwidth
}
