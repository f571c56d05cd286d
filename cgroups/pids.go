package cgroups

import (
	"fmt"
	"slices"
	"strings"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Pids returns the processes in the container's cgroup and its sub-cgroups, in ascending order;
// none if the container has no cgroup.
func (m *Manager) Pids() ([]int, error) {
	dir := m.leader()
	if dir == "" {
		return nil, nil
	}
	pids, err := fs.AllPids(dir)
	slices.Sort(pids)
	return slices.Compact(pids), err // v1 lists a process in each cgroup that has a thread of it
}

// Where is the directory that Pids asks, and whether it is there, in words.
func (m *Manager) Where() string {
	dir := m.leader()
	if unix.Access(dir, unix.F_OK) != nil {
		return dir + " is gone"
	}
	return dir + " is empty"
}

// leader returns the directory whose list of processes counts: cgroup2's, otherwise that of a v1
// hierarchy which a container's processes do not leave as a rule. It is "" if the container has no
// cgroup.
func (m *Manager) leader() string {
	for _, name := range [...]string{"", "freezer", "pids", "devices", "name=systemd"} {
		if dir := m.state.Dirs[name]; dir != "" {
			return dir
		}
	}
	for _, dir := range m.state.Dirs {
		return dir
	}
	return ""
}

// Sub returns a manager of existing sub-cgroups, which args name as in `exec --cgroup`:
// [CONTROLLER[,CONTROLLER…]:]PATH. Only v1 takes controllers, and more than one argument. In
// hierarchies that args do not name the manager has the container's own cgroup. Only FD, Add, Pids
// and Close may be called on it.
func (m *Manager) Sub(args []string) (*Manager, error) {
	s := m.state
	s.Dirs = make(map[string]string, len(m.state.Dirs))
	for name, dir := range m.state.Dirs {
		s.Dirs[name] = dir
	}
	seen := make(map[string]bool)
	for _, arg := range args {
		list, sub, ok := strings.Cut(arg, ":")
		if !ok {
			list, sub = "", arg
			if len(args) > 1 {
				return nil, fmt.Errorf("option SubCgroups %s: without CONTROLLER: only one option SubCgroups is possible", arg)
			}
		} else if list == "" {
			return nil, fmt.Errorf("option SubCgroups %s: no controller before the colon", arg)
		}
		if err := subPaths(s.Dirs, m.state.Dirs, list, sub, arg, seen); err != nil {
			return nil, err
		}
	}
	s.Leaf = ""
	return Open(s), nil
}

// subPaths sets the directories that one argument of Sub names. list has its controllers; an empty
// one means all hierarchies.
func subPaths(dirs, old map[string]string, list, sub, arg string, seen map[string]bool) error {
	for part := range strings.SplitSeq(sub, "/") {
		if part == ".." {
			return fmt.Errorf("option SubCgroups %s: .. would leave the container's cgroup", arg)
		}
	}
	var names []string
	if list == "" {
		for name := range old {
			names = append(names, name)
		}
	} else {
		names = strings.Split(list, ",")
	}
	for _, name := range names {
		dir, ok := old[name]
		if !ok && name == "systemd" {
			name = "name=systemd"
			dir, ok = old[name]
		}
		if !ok {
			return fmt.Errorf("option SubCgroups %s: the container has no cgroup v1 hierarchy with %s", arg, name)
		}
		if seen[name] {
			return fmt.Errorf("option SubCgroups %s: controller %s is named twice", arg, name)
		}
		seen[name] = true
		dir = strings.TrimRight(dir+"/"+strings.Trim(sub, "/"), "/")
		if err := unix.Access(dir+"/cgroup.procs", unix.F_OK); err != nil {
			return fmt.Errorf("option SubCgroups %s: cgroup %s: %w", arg, dir, err)
		}
		dirs[name] = dir
	}
	return nil
}
