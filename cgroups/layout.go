package cgroups

import (
	"davit/internal/host"
	"errors"
	"fmt"
	"strings"

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

// mount1 is a mounted v1 hierarchy.
type mount1 struct {
	controllers []string // "cpu", "cpuacct"; or "name=systemd"
	dir         string   // mount point
	own         string   // davit's own cgroup in it
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
	data, err := readAt(unix.AT_FDCWD, "/proc/self/cgroup", make([]byte, 4096))
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

// mountNames are the names in /sys/fs/cgroup of a host with v1 hierarchies.
func mountNames() ([]string, error) {
	fd, err := openAt(unix.AT_FDCWD, root, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	defer unix.Close(fd)
	var names []string
	err = eachEntry(fd, func(name []byte, kind byte) {
		if kind == unix.DT_DIR {
			names = append(names, string(name))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", root, err)
	}
	return names, nil
}

// probe is a file that only this controller's hierarchy has, "" if there is none.
func probe(ctrl string) string {
	switch ctrl {
	case "cpu":
		return "cpu.shares"
	case "cpuacct":
		return "cpuacct.usage"
	case "cpuset":
		return "cpuset.mems"
	case "memory":
		return "memory.limit_in_bytes"
	case "devices":
		return "devices.list"
	case "blkio":
		return "blkio.reset_stats"
	case "net_cls":
		return "net_cls.classid"
	case "net_prio":
		return "net_prio.ifpriomap"
	}
	return ""
}

// findMount is the mount point of a hierarchy, found by the name that it usually has: its
// controllers in some order, one of them, or a named hierarchy's name. A hierarchy mounted under
// another name is known by its files. "" means that it is not mounted there.
func findMount(list string, names []string) string {
	want := strings.Split(strings.TrimPrefix(list, "name="), ",")
	for _, name := range names {
		if sameSet(strings.Split(name, ","), want) {
			return root + "/" + name
		}
	}
	for _, name := range names {
		for _, c := range want {
			if name == c {
				return root + "/" + name
			}
		}
	}
	file := probe(want[0])
	for _, name := range names {
		if file != "" && unix.Access(root+"/"+name+"/"+file, unix.F_OK) == nil {
			return root + "/" + name
		}
	}
	return ""
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
next:
	for _, x := range a {
		for _, y := range b {
			if x == y {
				continue next
			}
		}
		return false
	}
	return true
}

// on1 is the v1 hierarchy of a controller.
func (l *layout) on1(ctrl string) *mount1 {
	for i := range l.v1 {
		for _, c := range l.v1[i].controllers {
			if c == ctrl {
				return &l.v1[i]
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
	s, err := readString(dir, name)
	if err != nil {
		return ""
	}
	return s
}
