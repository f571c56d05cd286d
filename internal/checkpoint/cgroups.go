package checkpoint

import (
	"slices"
	"strconv"
	"strings"

	"davit/internal/sys"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// KeepCgroupNamespace replaces the mode ignore by soft if the container has a cgroup namespace of its own. CRIU saves and restores a
// cgroup namespace only together with the cgroups, and without one the container would see the host's cgroups. What soft does besides
// stays below the container's cgroup; it does not change that cgroup's limits, because davit has made it.
func KeepCgroupNamespace(r *rpc.CriuOpts, s *specs.Spec) {
	own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" })
	if m := r.ManageCgroupsMode; own && m != nil && *m == rpc.CriuCgMode_IGNORE {
		r.ManageCgroupsMode = new(rpc.CriuCgMode_SOFT)
	}
}

// SaveOwnCgroups lets CRIU save only those hierarchies in which the container has a cgroup of its
// own. In each of them CRIU saves the process's cgroup with all below it, and restore makes that
// again. In a hierarchy in which davit made no cgroup (v1 beside a pure view of v2, or rootless
// without delegation), that would be the host's cgroup. dirs are the container's cgroups
// (cgroups.State).
func SaveOwnCgroups(r *rpc.CriuOpts, pid int, dirs map[string]string) error {
	all, err := memberships(pid)
	if err != nil {
		return err
	}
	var own []string
	shared := false
	for _, m := range all {
		first, _, _ := strings.Cut(m.names, ",") // the controllers of one hierarchy have one directory
		if dirs[first] == "" {
			shared = true
		} else {
			own = append(own, m.names)
		}
	}
	switch {
	case !shared:
	case len(own) == 0:
		r.ManageCgroupsMode = new(rpc.CriuCgMode_IGNORE)
	default:
		r.CgroupDumpController = own
	}
	return nil
}

// membership is a process's cgroup in one hierarchy: a line of /proc/PID/cgroup (cgroups(7)).
type membership struct {
	names string // of the hierarchy's controllers, with commas; "name=NAME"; "" for cgroup2
	path  string
}

func memberships(pid int) (all []membership, err error) {
	data, err := sys.ReadWhole("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			all = append(all, membership{f[1], f[2]})
		}
	}
	return all, nil
}

// CgroupRoots returns the cgroup of a process in each hierarchy. CRIU restores the cgroups of the images below these.
func CgroupRoots(pid int) ([]*rpc.CgroupRoot, error) {
	all, err := memberships(pid)
	if err != nil {
		return nil, err
	}
	var roots []*rpc.CgroupRoot
	for _, m := range all {
		for name := range strings.SplitSeq(m.names, ",") {
			roots = append(roots, &rpc.CgroupRoot{Ctrl: new(name), Path: new(m.path)})
		}
	}
	return roots, nil
}
