// Package cgroups makes, limits, watches and removes the control groups of a container:
// on cgroup v2 (unified), v1 (legacy), both side by side (hybrid), by hand (driver
// "cgroupfs") or through systemd (driver "systemd", package cgroups/systemd).
//
// Deciding and doing are apart. New decides (paths, what can be honoured) and changes nothing;
// every limit is first an entry of a list made by a pure function of the resources (plan), which
// carries the field of config.json that it came from, then written (applier).
//
// Each controller is used where the host has it: on a hybrid host, limits of controllers that sit in
// cgroup v2 are written there, the others to their v1 hierarchy.
package cgroups

import (
	"os"

	"davit/cgroups/fs"
	"davit/cgroups/limits"
	"davit/cgroups/systemd"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// State is what clean-up and later verbs need to find a container's cgroups again.
// It is stored before anything is made.
type State struct {
	Driver string            `json:"driver"`          // Cgroupfs or Systemd
	Mode   string            `json:"mode"`            // Unified, Hybrid, Legacy; "" if the container has no cgroup (rootless)
	Dirs   map[string]string `json:"dirs"`            // "" → cgroup2 directory; v1 controller or "name=NAME" → absolute directory
	Scope  string            `json:"scope,omitempty"` // systemd: the unit
	Slice  string            `json:"slice,omitempty"` // systemd: the unit's parent
	User   bool              `json:"user,omitempty"`  // systemd: of the user's manager
	// Rootless containers have no device rules: only the host's root can load them, and
	// the user's file permissions bound what the container can open anyway.
	Rootless bool `json:"rootless,omitempty"`
}

// Options is what New decides from.
type Options struct {
	ID          string                // the container's: its cgroup's name if CgroupsPath is empty
	CgroupsPath string                // linux.cgroupsPath, see New
	Systemd     bool                  // use systemd's driver
	Disabled    bool                  // no cgroup, and so no device rules: the container stays in the caller's
	Rootless    bool                  // not privileged in the initial user namespace
	Owner       int                   // host uid that cgroup v2 is delegated to, 0 is nobody: see Create
	Delegated   bool                  // the container makes cgroups below its own: their number is bounded
	Resources   *specs.LinuxResources // linux.resources, may be nil
	Annotations map[string]string     // systemd: org.systemd.property.*
}

// Manager is a container's cgroups. Its methods may not be called concurrently.
type Manager struct {
	state  State
	opts   Options
	layout *layout        // of New; nil after Open
	writes []limits.Write // opts.Resources as planned by New
	v2     int            // O_PATH descriptor of the cgroup2 directory, -1 if not opened yet
	file   *os.File       // v2 as FD returned it
	dirs   []group        // the v1 hierarchies, one entry per directory
	made   []string       // what Create made, parents first
	unit   *unit          // systemd's driver
	// Span, if set, is told when something that takes time begins; what it returns is called at the end.
	Span func(what string) (end func())
}

// span begins something that takes time. Without Span it costs nothing: what is not called.
func (m *Manager) span(what func() string) (end func()) {
	if m.Span == nil {
		return func() {}
	}
	return m.Span(what())
}

// Open is the manager of an existing container. It does no I/O.
func Open(s State) *Manager {
	m := &Manager{state: s, v2: -1}
	m.group()
	if s.Driver == Systemd {
		m.unit = &unit{Scope: systemd.Scope{Name: s.Scope, Slice: s.Slice, User: s.User}, started: true}
	}
	return m
}

// State is what Open needs.
func (m *Manager) State() State { return m.state }

// Close closes the descriptors that the manager holds. It removes nothing.
func (m *Manager) Close() {
	switch {
	case m.file != nil:
		m.file.Close()
	case m.v2 >= 0:
		unix.Close(m.v2)
	}
	m.v2, m.file = -1, nil
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

// version says where a controller's files are: 1, 2, or 0 for nowhere.
func (m *Manager) version(ctrl string) int {
	if _, ok := m.state.Dirs[ctrl]; ok {
		return 1
	}
	if _, ok := m.state.Dirs[""]; ok && (m.layout == nil || m.layout.on2(ctrl)) {
		return 2
	}
	return 0
}

// dir2 opens the cgroup2 directory, once.
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

// has2 says whether the container has a cgroup2 directory.
func (m *Manager) has2() bool { return m.state.Dirs[""] != "" }

// FD is the container's cgroup2 directory (O_PATH) for CLONE_INTO_CGROUP, nil if there is none
// (legacy; systemd's driver before Add, and for a user who may not move processes there: Add then asks systemd). It belongs to the manager and lives until Close.
// If the clone fails with EBUSY, the container's init has moved to a sub-cgroup and given controllers to its
// children, so that no process may be in the cgroup itself: clone again with InitFD.
func (m *Manager) FD() (*os.File, error) {
	if !m.has2() || m.unit != nil && !m.unit.started || !m.mayJoin() {
		return nil, nil
	}
	fd, err := m.dir2()
	if err != nil {
		return nil, err
	}
	if m.file == nil {
		m.file = os.NewFile(uintptr(fd), m.state.Dirs[""])
	}
	return m.file, nil
}

// Hierarchy is one v1 hierarchy (or the cgroup2 one) as a container's cgroup mount shows it.
type Hierarchy struct {
	Options    string   // of mount(2): "cpu,cpuacct", "none,name=systemd"; "" for cgroup2
	Name       string   // directory below the container's mount: "cpu,cpuacct"; "" for the only one of unified
	Links      []string // symbolic links to Name there: "cpu", "cpuacct"
	Dir        string   // the container's directory on the host
	Mountpoint string   // of the hierarchy on the host
}

// Hierarchies are what a mount of type cgroup has to show, cgroup2's last.
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

// openError is a directory of the container's that cannot be opened.
func openError(dir string, err error) error {
	e := &fault.Error{Text: "open " + dir, Err: err}
	if fs.Gone(err) {
		e.Hint = "the container's cgroup was removed, or its processes were moved out of it: davit cannot reach them through it"
	}
	return e
}
