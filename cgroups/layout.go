package cgroups

import (
	"errors"
	"fmt"
	"strings"

	"davit/cgroups/fs"
	"davit/internal/host"

	"golang.org/x/sys/unix"
)

// The modes of a host, as State.Mode has them.
const (
	Unified = "unified" // cgroup v2 on /sys/fs/cgroup
	Hybrid  = "hybrid"  // v1 hierarchies below /sys/fs/cgroup, and v2 on /sys/fs/cgroup/unified
	Legacy  = "legacy"  // only v1 hierarchies, below /sys/fs/cgroup
)

// The drivers, as State.Driver has them.
const (
	Cgroupfs = "cgroupfs"
	Systemd  = "systemd"
)

// davit finds the hierarchies by their usual names and by the type of the filesystem. It never
// reads the mount table, since a node may have tens of thousands of mounts (runc issue 2832).
const (
	root       = "/sys/fs/cgroup"
	hybridRoot = root + "/unified"
)

// layout tells where a host has its hierarchies.
type layout struct {
	mode  string
	v2    string   // the mount point of cgroup2, "" if there is none
	own2  string   // davit's own cgroup in it; on a unified host only if detect was asked for it
	v1    []mount1 // the v1 hierarchies, in the order of /proc/self/cgroup
	avail string   // what controllers returns, "" if it was not called yet
}

// detect finds the host's hierarchies. own says that davit's own cgroups are needed, too, at which
// a relative path starts.
func detect(own bool) (*layout, error) {
	l := new(layout)
	switch host.Host().Cgroup() {
	case host.Unified:
		l.mode, l.v2 = Unified, root
		if !own {
			return l, nil
		}
	case host.Hybrid:
		l.mode, l.v2 = Hybrid, hybridRoot
	case host.Legacy:
		l.mode = Legacy
	default:
		return nil, errNoCgroups
	}
	data, err := fs.ReadAt(unix.AT_FDCWD, "/proc/self/cgroup", make([]byte, 4096))
	if err != nil {
		return nil, fmt.Errorf("read /proc/self/cgroup: %w", err)
	}
	return l, l.read(string(data))
}

var errNoCgroups = errors.New("no cgroup hierarchy is mounted on " + root)

// read takes the hierarchies, and davit's own cgroup in each, from the lines of /proc/self/cgroup:
// "4:memory:/path", "3:cpu,cpuacct:/", "1:name=systemd:/", "0::/" (cgroups(7)).
func (l *layout) read(proc string) error {
	var names []string
	if l.mode != Unified {
		var err error
		if names, err = mountNames(); err != nil {
			return err
		}
	}
	for line := range strings.Lines(proc) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		list, own, ok := strings.Cut(rest, ":")
		if !ok {
			return fmt.Errorf("/proc/self/cgroup: cannot parse %q", line)
		}
		if list == "" {
			l.own2 = own
		} else if l.mode != Unified {
			if dir := findMount(list, names); dir != "" {
				l.v1 = append(l.v1, mount1{strings.Split(list, ","), dir, own})
			}
		}
	}
	return nil
}

// addSystemd adds v1's hierarchy name=systemd on a unified host, where somebody has mounted it at
// its usual place.
func (l *layout) addSystemd() error {
	const dir = root + "/systemd"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if st.Type != unix.CGROUP_SUPER_MAGIC {
		return fmt.Errorf("%s: %w", dir, unix.ENODEV)
	}
	own := "/"
	data, err := fs.ReadAt(unix.AT_FDCWD, "/proc/self/cgroup", make([]byte, 4096))
	if err != nil {
		return fmt.Errorf("read /proc/self/cgroup: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if _, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":name=systemd:"); ok {
			own = path
		}
	}
	l.v1 = append(l.v1, mount1{[]string{"name=systemd"}, dir, own})
	return nil
}

// on2 reports whether cgroup v2 has a controller on this host. "cgroup" stands for the core files,
// which it always has, as it has "devices", which are an eBPF program.
func (l *layout) on2(ctrl string) bool {
	if l.v2 == "" {
		return false
	}
	switch ctrl {
	case "cgroup", "devices":
		return true
	}
	return strings.Contains(l.controllers(), " "+ctrl+" ")
}

// controllers returns the controllers of cgroup v2's root, with a blank before and after each.
func (l *layout) controllers() string {
	if l.avail == "" {
		l.avail = " " + readControllers(unix.AT_FDCWD, l.v2+"/cgroup.controllers") + " "
	}
	return l.avail
}

// readControllers returns the contents of cgroup.controllers or cgroup.subtree_control, "" if it
// cannot be read.
func readControllers(dir int, name string) string {
	s, err := fs.ReadString(dir, name)
	if err != nil {
		return ""
	}
	return s
}
