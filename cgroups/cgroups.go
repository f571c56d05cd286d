// Package cgroups makes, limits, watches and removes the control groups of a container: on cgroup
// v2 (unified), on v1 (legacy), or on both (hybrid); by writing to the filesystem (driver
// "cgroupfs") or through systemd (driver "systemd").
//
// [New] decides where the cgroups go and whether the host can honour the resources. It changes
// nothing. The methods of [Manager] then carry that out: Create, Add, Set, and for later verbs
// [Open] with Update, Freeze, Kill, Destroy and others. Errors about a field of config.json are a
// *fault.Error or a fault.List, with hints.
//
// Each controller is used in the hierarchy that has it: on a hybrid host davit writes the limits of
// cgroup v2's controllers there, and the others to their v1 hierarchies. What only concerns v1 is
// in one file of each package, v1.go.
//
// The packages below have the parts: limits what is written for linux.resources, devices the device
// rules, stats the resource usage, systemd the scopes, fs the files and directories, failure the
// errors.
package cgroups

import (
	"os"
	"strings"

	"davit/cgroups/fs"
	"davit/cgroups/limits"
	"davit/cgroups/systemd"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// State is what later verbs need to find a container's cgroups again. It is stored before anything
// is made, so that clean-up is possible at any moment.
type State struct {
	Driver string            `json:"driver"`          // Cgroupfs or Systemd
	Mode   string            `json:"mode"`            // Unified, Hybrid, Legacy; "" if there is no cgroup (rootless)
	Dirs   map[string]string `json:"dirs"`            // absolute directories by v1 controller or "name=NAME"; cgroup2's by ""
	Scope  string            `json:"scope,omitempty"` // systemd: the name of the scope
	Slice  string            `json:"slice,omitempty"` // systemd: the slice that it is in
	User   bool              `json:"user,omitempty"`  // systemd: the scope belongs to the user's manager
	// Leaf is the sub-cgroup of cgroup2's directory that has the container's processes, as in
	// "/sub/below". It is empty until Delegate has made it, and if Options.Delegate is.
	Leaf string `json:"leaf,omitempty"`
	// Rootless containers have no device rules: only the host's root can load them, and the user's
	// file permissions limit what the container can open anyway.
	Rootless bool `json:"rootless,omitempty"`
}

// Options has what [New] decides by.
type Options struct {
	ID          string                // the container's id, which names its cgroup if CgroupsPath is empty
	CgroupsPath string                // linux.cgroupsPath, see New
	Systemd     bool                  // use the systemd driver
	Disabled    bool                  // no cgroup and no device rules: the container stays in davit's own cgroup
	Rootless    bool                  // davit is not privileged in the initial user namespace
	Owner       int                   // the host's uid that gets the cgroup2 directory, 0 for none: see Create
	Delegated   bool                  // the container can make cgroups below its own: Create limits their number
	Resources   *specs.LinuxResources // linux.resources, may be nil
	Annotations map[string]string     // systemd: those called org.systemd.property.NAME
	Subgroup    string                // systemd on a unified host: the container's cgroup is this one in the scope
	Delegate    string                // unified hosts: Delegate makes this cgroup below the container's, for its processes
	SystemdV1   bool                  // the container has a cgroup in v1's hierarchy name=systemd, on a unified host, too
}

// Manager manages the cgroups of one container. Its methods must not be called concurrently.
type Manager struct {
	state  State
	opts   Options
	layout *layout        // the host's hierarchies as New found them; nil after Open
	writes []limits.Write // what New has planned for opts.Resources
	v2     int            // an O_PATH descriptor of the cgroup2 directory, -1 if it is not open yet
	file   *os.File       // v2 as FD has returned it, which closes it
	leaf   *os.File       // the directory of State.Leaf as FD has returned it
	dirs   []group        // the directories in v1 hierarchies
	made   []string       // the directories that Create has made, parents first
	unit   *unit          // the scope; nil unless the driver is systemd's
	// Span, if it is set, is called when something that takes time begins. The function that it
	// returns is called when that ends.
	Span func(what string) (end func())
}

// span begins something that takes time, and returns what to call at its end. Without Span it does
// not even call what.
func (m *Manager) span(what func() string) (end func()) {
	if m.Span == nil {
		return func() {}
	}
	return m.Span(what())
}

// Open returns the manager of an existing container. It makes no system call.
func Open(s State) *Manager {
	m := &Manager{state: s, v2: -1}
	m.group()
	if s.Driver == Systemd {
		_, sub, _ := strings.Cut(s.Dirs[""], "/"+s.Scope)
		m.unit = &unit{Scope: systemd.Scope{Name: s.Scope, Slice: s.Slice, User: s.User}, started: true, sub: sub}
	}
	return m
}

// State returns what [Open] needs.
func (m *Manager) State() State { return m.state }

// Close closes the descriptors that the manager has open. It removes nothing, and may be called
// twice.
func (m *Manager) Close() {
	switch {
	case m.file != nil:
		m.file.Close()
	case m.v2 >= 0:
		unix.Close(m.v2)
	}
	if m.leaf != nil {
		m.leaf.Close()
	}
	m.v2, m.file, m.leaf = -1, nil, nil
	for i := range m.dirs {
		if m.dirs[i].fd >= 0 {
			unix.Close(m.dirs[i].fd)
			m.dirs[i].fd = -1
		}
	}
	if m.unit != nil {
		m.unit.Close()
	}
}

// version returns the version of the hierarchy that has a controller: 1, 2, or 0 if none has it.
func (m *Manager) version(ctrl string) int {
	if _, ok := m.state.Dirs[ctrl]; ok {
		return 1
	}
	if _, ok := m.state.Dirs[""]; ok && (m.layout == nil || m.layout.on2(ctrl)) {
		return 2
	}
	return 0
}

// dir2 returns the cgroup2 directory, which it opens at the first call.
func (m *Manager) dir2() (int, error) {
	if m.v2 < 0 {
		fd, err := fs.OpenDir(m.state.Dirs[""])
		if err != nil {
			return -1, openError(m.state.Dirs[""], err)
		}
		m.v2 = fd
	}
	return m.v2, nil
}

// open returns the directory of a controller.
func (m *Manager) open(ctrl string) (int, error) {
	if m.version(ctrl) == 1 {
		return m.dir1(ctrl)
	}
	return m.dir2()
}

// has2 reports whether the container has a cgroup2 directory.
func (m *Manager) has2() bool { return m.state.Dirs[""] != "" }

// Hierarchy is one v1 hierarchy, or the cgroup2 one, as a mount of type cgroup shows it in the
// container.
type Hierarchy struct {
	Options    string   // for mount(2): "cpu,cpuacct", "none,name=systemd"; "" for cgroup2
	Name       string   // the directory below the container's mount: "cpu,cpuacct"; "" on a unified host
	Links      []string // symbolic links to Name beside it: "cpu", "cpuacct"
	Dir        string   // the container's directory on the host
	Mountpoint string   // the hierarchy's mount point on the host
}

// Hierarchies returns what a mount of type cgroup has to show, cgroup2's hierarchy last.
func (m *Manager) Hierarchies() []Hierarchy {
	out := m.hierarchies1()
	switch dir := m.state.Dirs[""]; {
	case dir == "":
	case m.state.Mode == Unified:
		out = append(out, Hierarchy{Dir: dir, Mountpoint: root})
	default:
		out = append(out, Hierarchy{Name: "unified", Dir: dir, Mountpoint: hybridRoot})
	}
	return out
}

// openError returns the error for a directory of the container that cannot be opened.
func openError(dir string, err error) error {
	e := &fault.Error{Text: "open " + dir, Err: err}
	if fs.Gone(err) {
		e.Hint = "the container's cgroup was removed, or its processes were moved out of it: davit cannot reach them through it"
	}
	return e
}
