package foreign

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"davit/cgroups"
	"davit/cgroups/fs"
	"davit/internal/host"
	"davit/internal/store"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// verify compares the state with /proc, and finds out which namespaces are the container's own.
func (c *container) verify() error {
	s := c.state
	if err := c.verifyCgroups(); err != nil {
		return err
	}
	if s.Pid == 0 || !c.alive() { // only its files and cgroups are left
		return nil
	}
	err := c.verifyProcess()
	if err != nil && !c.alive() { // it has ended in between
		return nil
	}
	return err
}

// alive reports whether the process that the state names exists and is not a zombie, which is in no
// cgroup any more.
func (c *container) alive() bool {
	fields, _ := store.StatFields(c.state.Pid)
	return len(fields) > 19 && fields[0] != "Z" && fields[0] != "X" && fields[19] == strconv.FormatUint(c.state.StartTime, 10)
}

// verifyCgroups checks that the state's cgroups are below the root of their hierarchy, and contain
// neither davit nor the host's init, because kill and delete end all processes in them. It also
// sets the mode.
func (c *container) verifyCgroups() error {
	g := &c.state.Cgroup
	if len(g.Dirs) == 0 {
		return nil
	}
	own, err := cgroupsOf("self")
	if err != nil {
		return err
	}
	init, err := cgroupsOf("1")
	if err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		return err
	}
	kind := host.Host().Cgroup()
	switch _, v2 := g.Dirs[""]; {
	case !v2:
		g.Mode = cgroups.Legacy
	case kind == host.Unified:
		g.Mode = cgroups.Unified
	default:
		g.Mode = cgroups.Hybrid
	}
	for _, name := range sortedKeys(g.Dirs) {
		dir := g.Dirs[name]
		rel, err := relative(name, dir, kind)
		if err != nil {
			return err
		}
		for who, at := range map[string]string{"davit itself": own[name], "the host's init": init[name]} {
			if within(at, rel) {
				return fmt.Errorf("cgroup %q: %s is in it, so that it is not the container's", dir, who)
			}
		}
	}
	if g.Driver == cgroups.Systemd {
		return verifyUnit(g)
	}
	return nil
}

// verifyUnit checks that the state's cgroup belongs to the systemd unit, which delete stops. crun
// may put the container one level below (annotation run.oci.systemd.subgroup).
func verifyUnit(g *cgroups.State) error {
	named := false
	for name, dir := range g.Dirs {
		if name != "" && name != "name=systemd" {
			continue
		}
		named = true
		if path.Base(dir) != g.Scope && (path.Base(path.Dir(dir)) != g.Scope || !strings.HasSuffix(g.Scope, ".scope")) {
			return fmt.Errorf("cgroup %q: it is not of the systemd unit %q that the state names", dir, g.Scope)
		}
	}
	if !named {
		return fmt.Errorf("the state names the systemd unit %q, and no cgroup of it", g.Scope)
	}
	return nil
}

// relative returns the path of a cgroup in its hierarchy.
func relative(name, dir string, kind host.CgroupMode) (string, error) {
	if path.Clean(dir) != dir || !strings.HasPrefix(dir, cgroupRoot+"/") {
		return "", fmt.Errorf("cgroup %q: it is not below %s", dir, cgroupRoot)
	}
	mount := cgroupRoot
	if name != "" {
		if kind == host.Unified {
			return "", fmt.Errorf("cgroup %q: it is in the v1 hierarchy %q, but %s is cgroup v2", dir, name, cgroupRoot)
		}
		first, _, _ := strings.Cut(dir[len(cgroupRoot)+1:], "/")
		mount += "/" + first
	} else if kind != host.Unified {
		mount += "/unified"
	}
	rel := strings.TrimPrefix(dir, mount)
	if rel == dir || rel == "" || rel[0] != '/' {
		return "", fmt.Errorf("cgroup %q: it is not below %s", dir, mount)
	}
	return rel, nil
}

// verifyProcess checks that the process, which is alive, is in the state's cgroups, and in a pid
// namespace of its own if the state says so.
func (c *container) verifyProcess() error {
	s := c.state
	is, err := cgroupsOf(strconv.Itoa(s.Pid))
	if err != nil {
		return err
	}
	if c.cgroup != "" && len(s.Cgroup.Dirs) == 0 {
		return fmt.Errorf("the state says that process %d is in cgroup %q, which is not there, but /proc/%d/cgroup has %q", s.Pid, c.cgroup, s.Pid, is[""])
	}
	kind := host.Host().Cgroup()
	for _, name := range sortedKeys(s.Cgroup.Dirs) {
		dir := s.Cgroup.Dirs[name]
		rel, err := relative(name, dir, kind)
		if err != nil {
			return err
		}
		at, ok := is[name]
		if ok && within(at, rel) {
			continue
		}
		// Paths in /proc begin at davit's cgroup namespace; those of the mounts may begin
		// elsewhere.
		if pids, err := fs.AllPids(dir); err == nil && slices.Contains(pids, s.Pid) {
			continue
		}
		return fmt.Errorf("the state says that process %d is in cgroup %q, but /proc/%d/cgroup has %q for that hierarchy", s.Pid, dir, s.Pid, at)
	}
	if s.Namespaces, err = namespacesOf(s.Pid); err != nil {
		return err
	}
	if s.OwnPid && s.Namespaces&unix.CLONE_NEWPID == 0 {
		return fmt.Errorf("the state says that process %d has a pid namespace of its own, but /proc/%d/ns/pid is davit's", s.Pid, s.Pid)
	}
	if s.Namespaces&unix.CLONE_NEWNS == 0 {
		return fmt.Errorf("the state says that process %d has a mount namespace of its own, but /proc/%d/ns/mnt is davit's", s.Pid, s.Pid)
	}
	return nil
}

// within reports whether the cgroup at is dir or lies below it.
func within(at, dir string) bool {
	at = strings.TrimSuffix(at, " (deleted)")
	return at == dir || strings.HasPrefix(at, dir+"/")
}

// cgroupsOf returns the cgroups of a process by the names of cgroups.State.Dirs (cgroups(7),
// "/proc/pid/cgroup").
func cgroupsOf(pid string) (map[string]string, error) {
	data, err := sys.ReadWhole("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		list, at, _ := strings.Cut(rest, ":")
		for name := range strings.SplitSeq(list, ",") {
			out[name] = at
		}
	}
	return out, nil
}

// namespaceFiles are the names in /proc/PID/ns (namespaces(7)).
var namespaceFiles = [...]struct {
	name string
	flag uint64
}{
	{"user", unix.CLONE_NEWUSER}, {"mnt", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET},
	{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}, {"cgroup", unix.CLONE_NEWCGROUP}, {"time", unix.CLONE_NEWTIME},
}

// namespacesOf returns the namespaces (CLONE_NEW*) that a process does not share with davit.
func namespacesOf(pid int) (own uint64, err error) {
	for _, ns := range namespaceFiles {
		var theirs, ours unix.Stat_t
		file := filepath.Join("/proc", strconv.Itoa(pid), "ns", ns.name)
		if err := unix.Stat("/proc/self/ns/"+ns.name, &ours); err != nil {
			if err == unix.ENOENT { // the kernel does not have this type of namespace
				continue
			}
			return 0, fmt.Errorf("stat /proc/self/ns/%s: %w", ns.name, err)
		}
		if err := unix.Stat(file, &theirs); err != nil {
			return 0, fmt.Errorf("stat %s: %w", file, err)
		}
		if theirs.Dev != ours.Dev || theirs.Ino != ours.Ino {
			own |= ns.flag
		}
	}
	return own, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
