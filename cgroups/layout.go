package cgroups

import (
	"errors"
	"fmt"
	"strings"

	"davit/cgroups/fs"
	"davit/internal/host"

	"golang.org/x/sys/unix"
)

// Modes of a host, as the state has them.
const (
	Unified = "unified" // cgroup v2 on /sys/fs/cgroup
	Hybrid  = "hybrid"  // v1 hierarchies there, and v2 on /sys/fs/cgroup/unified
	Legacy  = "legacy"  // v1 hierarchies only
)

// Drivers.
const (
	Cgroupfs = "cgroupfs"
	Systemd  = "systemd"
)

// The layout is known by name and by the file system's type; the mount table is never read,
// since a node may have tens of thousands of mounts (runc issue 2832).
const (
	root       = "/sys/fs/cgroup"
	hybridRoot = root + "/unified"
)

// layout is where a host has its hierarchies.
type layout struct {
	mode  string
	v2    string   // mount point of cgroup2, "" if there is none
	own2  string   // davit's own cgroup in it; only known if asked for or not unified
	v1    []mount1 // in the order of /proc/self/cgroup
	avail string   // cgroup.controllers of v2's root, with blanks around, once asked for
}

// detect finds the host's layout; own: also davit's own cgroups, that a relative path starts from.
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

// read takes the hierarchies and davit's place in each from /proc/self/cgroup's lines:
// "4:memory:/path", "3:cpu,cpuacct:/", "1:name=systemd:/", "0::/".
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

// on2 says whether cgroup v2 has a controller on this host. "cgroup" and "devices" are
// everywhere: core files and an eBPF program.
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

// controllers are those of v2's root, with a blank before and after each.
func (l *layout) controllers() string {
	if l.avail == "" {
		l.avail = " " + readControllers(unix.AT_FDCWD, l.v2+"/cgroup.controllers") + " "
	}
	return l.avail
}

func readControllers(dir int, name string) string {
	s, err := fs.ReadString(dir, name)
	if err != nil {
		return ""
	}
	return s
}
