package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Update writes new schemata to the class. If one is refused, it puts the old ones back; undo does
// that later.
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

// AddAll moves all threads of running processes to the groups: the file takes one thread at a time.
// It leaves out threads that end meanwhile.
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
