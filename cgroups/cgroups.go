// Package cgroups makes, limits, watches and removes the control groups of a container:
// on cgroup v2 (unified), v1 (legacy), both side by side (hybrid), by hand (driver
// "cgroupfs") or through systemd (driver "systemd", package cgroups/systemd).
//
// Deciding and doing are apart: New decides (paths, what can be honoured) and changes
// nothing; every write is first an entry of a list made by a pure function of the resources
// (writes2, writes1), which carries the field of config.json that it came from.
package cgroups

import (
	"context"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// State is what clean-up and later verbs need to find a container's cgroups again.
// It is stored before anything is made.
type State struct {
	Driver string            `json:"driver"`          // "cgroupfs" or "systemd"
	Mode   string            `json:"mode"`            // "unified", "hybrid", "legacy"; "" if the container has no cgroup (rootless)
	Dirs   map[string]string `json:"dirs"`            // "" → cgroup2 directory; v1 controller or "name=NAME" → absolute directory
	Scope  string            `json:"scope,omitempty"` // systemd: the unit
	Slice  string            `json:"slice,omitempty"` // systemd: the unit's parent
	User   bool              `json:"user,omitempty"`  // systemd: of the user's manager
}

// Options is what New decides from.
type Options struct {
	ID          string                // the container's, for an empty CgroupsPath
	CgroupsPath string                // linux.cgroupsPath
	Systemd     bool                  // use systemd's driver
	Rootless    bool                  // not privileged in the initial user namespace
	Owner       int                   // host uid that the cgroup is delegated to (0: nobody); see docs of Create
	Resources   *specs.LinuxResources // linux.resources, may be nil
	Annotations map[string]string     // for org.systemd.property.*
}

// Manager is a container's cgroups. Its methods may not be called concurrently.
type Manager struct {
	state State
	opts  Options
}

var errUnbuilt = errors.New("cgroups: not built yet")

// New decides where the container's cgroups go and whether its resources can be honoured on
// this host. It changes nothing.
func New(o Options) (*Manager, error) { return nil, errUnbuilt }

// Open is the manager of an existing container. It does no I/O.
func Open(s State) *Manager { return &Manager{state: s} }

// State is what Open needs.
func (m *Manager) State() State { return m.state }

// Close closes the descriptors that the manager holds. It removes nothing.
func (m *Manager) Close() {}

// Create makes the cgroups. One that exists already must have no process in it. What was
// made is removed again on an error.
func (m *Manager) Create() error { return errUnbuilt }

// FD is the container's cgroup2 directory (O_PATH) for CLONE_INTO_CGROUP, nil if there is none
// (legacy; systemd's driver before Add). It belongs to the manager.
// A clone that fails with EBUSY (the container's init has moved to a sub-cgroup and enabled
// controllers) is to be tried again with InitFD.
func (m *Manager) FD() (*os.File, error) { return nil, errUnbuilt }

// InitFD is the cgroup2 directory that process pid is in now. The caller closes it.
func (m *Manager) InitFD(pid int) (*os.File, error) { return nil, errUnbuilt }

// Add puts a process into every hierarchy; inV2: it was cloned into the cgroup2 one already.
// With systemd's driver the first Add starts the scope with that process.
func (m *Manager) Add(pid int, inV2 bool) error { return errUnbuilt }

// Set applies the limits of a new container.
func (m *Manager) Set(r *specs.LinuxResources) error { return errUnbuilt }

// Update applies what change sets on top of old, what the container has now. If one value is
// refused, those changed before it are put back.
func (m *Manager) Update(old, change *specs.LinuxResources) error { return errUnbuilt }

// Merge is old with what change sets: what to store after Update.
func Merge(old, change *specs.LinuxResources) *specs.LinuxResources { return change }

// Pids is every process in the container's cgroup and its sub-cgroups.
func (m *Manager) Pids() ([]int, error) { return nil, errUnbuilt }

// Freeze stops every process, and returns when all are stopped.
func (m *Manager) Freeze() error { return errUnbuilt }

// Thaw undoes Freeze.
func (m *Manager) Thaw() error { return errUnbuilt }

// Frozen says whether the container is frozen.
func (m *Manager) Frozen() (bool, error) { return false, errUnbuilt }

// Kill sends sig to every process, also while they fork.
func (m *Manager) Kill(sig unix.Signal) error { return errUnbuilt }

// Destroy removes the cgroups and their sub-cgroups, once the processes in them are gone,
// which it waits for (bounded). A frozen container is thawed. What is gone already is fine.
func (m *Manager) Destroy() error { return errUnbuilt }

// Event is something that happened in a container's cgroup.
type Event struct {
	OOM   uint64 // processes that the out-of-memory killer ended since Events was called
	Empty bool   // no process is left
}

// Events reports OOM kills and emptiness until ctx is done or the cgroup is gone; then the
// channel is closed.
func (m *Manager) Events(ctx context.Context) (<-chan Event, error) { return nil, errUnbuilt }

// Hierarchy is one v1 hierarchy (or the cgroup2 one) as a container's cgroup mount shows it.
type Hierarchy struct {
	Options    string   // mount options: "cpu,cpuacct", "none,name=systemd"; "" for cgroup2
	Name       string   // directory below the mount: "cpu,cpuacct"; "" for the only one of unified
	Links      []string // symbolic links to Name: "cpu", "cpuacct"
	Dir        string   // the container's directory on the host
	Mountpoint string   // of the hierarchy on the host
}

// Hierarchies are what a mount of type cgroup has to show.
func (m *Manager) Hierarchies() []Hierarchy { return nil }

// Sub is the manager of existing sub-cgroups, in the form of `exec --cgroup`:
// [CONTROLLER[,CONTROLLER…]:]PATH, the controllers on v1 only. Only FD, Add, Pids and Close of it are of use.
func (m *Manager) Sub(args []string) (*Manager, error) { return nil, errUnbuilt }
