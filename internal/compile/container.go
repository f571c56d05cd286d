// Package compile decides what is to be done for a container: from its config, from facts about the host and from what the
// caller asks for, it makes a plan, and warnings. It makes no system call of its own, starts nothing, writes nothing, prints
// nothing, and does not change the config that it is given. All that it wants to know of the host it asks a [host.Facts].
package compile

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options are what the caller decides about a new container, besides its config.
type Options struct {
	ID            string
	Bundle        string // absolute
	StateDir      string // of the container, absolute; it does not exist yet
	ConsoleSocket string // path of the socket that gets the terminal's master
	Console       bool   // the caller holds that socket: a descriptor of kind plan.Given with the name "console"
	NoPivot       bool
	NoNewKeyring  bool
	SystemdCgroup bool
	NoCgroup      bool // the container stays in the caller's
	PreserveFDs   int
	ListenFDs     int    // how many sockets, from descriptor 3 on, LISTEN_FDS announces
	ListenNames   string // LISTEN_FDNAMES, if the caller has it
	Receiver      string // the socket for seccomp notifications, where the config names none
	Notify        bool   // the container gets a NOTIFY_SOCKET
	Rootless      string // may cgroups be left out where they are not writable: "true", "false", else davit finds out
	Run           bool   // the creator starts it, so that there is no socket to wait at
	Trace         bool   // the stage tells when each step began and ended
}

// The names in a container's state directory that a plan knows.
const (
	StartFile = "start"  // the socket at which the stage waits for start
	NotifyDir = "notify" // a directory that is mounted into the container
)

const notifyInContainer = "/run/notify/notify.sock"

// Container is the result of compiling a config for a host.
type Container struct {
	Options
	Plan         *plan.Plan
	Config       *specs.Spec // a copy of what was given, with what the options add to it
	Warnings     []*fault.Error
	Filter       *process.Filter // nil: none
	New          uint64          // the namespaces that are made for it, CLONE_NEW*
	NoProcess    bool            // the config has no process
	Unprivileged bool            // the caller has no privileges in the initial user namespace
	Placed       bool            // the stage waits in phase plan.Placed

	facts   *host.Facts
	cgroup  cgroups.State
	owned   uint64             // the namespaces that are joined and belong to its user namespace
	own     uint64             // those that are davit's and belong to its user namespace
	foreign map[uint64]plan.FD // those that are joined and belong to neither
	userns  plan.FD            // the user namespace that is joined
	newUser bool
	enters  bool // see entersTree
	byPath  bool // the caller has no privileges on the host's mounts
}

// New validates a config, and adds what the options ask for to a copy of it. After that [Container.Cgroups] says which cgroups the container
// needs, and [Container.Compile] makes the plan.
func New(s *specs.Spec, o Options, facts *host.Facts) (*Container, error) {
	if err := facts.Supported(); err != nil {
		return nil, err
	}
	c := &Container{Options: o, Plan: &plan.Plan{Trace: o.Trace}, Config: clone(s), NoProcess: s.Process == nil, facts: facts}
	c.Unprivileged = facts.Rootless()
	c.byPath = facts.Caps()&(1<<unix.CAP_SYS_ADMIN) == 0
	if err := adaptSeccomp(c.Config, o.Receiver); err != nil {
		return nil, err
	}
	if c.NoProcess {
		c.Config.Process = nil
	}
	problems, warnings := config.Check(c.Config, config.Options{Start: o.Run, Rootless: facts.UID() != 0, SystemdCgroup: o.SystemdCgroup})
	if err := Judge(problems); err != nil {
		return nil, err
	}
	c.Warnings = warnings
	if err := checkNeeds(c.Config, facts); err != nil {
		return nil, err
	}
	if c.NoProcess {
		c.Config.Process = &specs.Process{Cwd: "/"}
	}
	c.adapt()
	return c, nil
}

// clone copies those parts of a config that are changed in the copy. The rest is shared.
func clone(s *specs.Spec) *specs.Spec {
	out := *s
	out.Process, out.Linux = &specs.Process{}, &specs.Linux{}
	if s.Process != nil {
		*out.Process = *s.Process
	}
	if s.Linux != nil {
		*out.Linux = *s.Linux
	}
	r := &specs.LinuxResources{}
	if out.Linux.Resources != nil {
		*r = *out.Linux.Resources
	}
	out.Linux.Resources = r
	if old := out.Linux.Seccomp; old != nil {
		seccomp := *old
		out.Linux.Seccomp = &seccomp
	}
	return &out
}

// adapt adds what comes from the options, and the devices that every container may use.
func (c *Container) adapt() {
	p := c.Config.Process
	var env []string
	if c.Notify {
		env = append(env, "NOTIFY_SOCKET="+notifyInContainer)
	}
	if c.ListenFDs > 0 { // sd_listen_fds(3)
		env = append(append(env, "LISTEN_PID=1"), ListenVariables(c.ListenFDs, c.ListenNames)...)
	}
	p.Env = append(slices.Clip(p.Env), env...)
	r := c.Config.Linux.Resources
	r.Devices = append(slices.Clip(r.Devices), AllowedDevices()...)
}

// notifyMount returns the mount of the directory with the container's NOTIFY_SOCKET, or nil if it gets none.
func (c *Container) notifyMount() *specs.Mount {
	if !c.Notify {
		return nil
	}
	return &specs.Mount{Destination: filepath.Dir(notifyInContainer), Source: filepath.Join(c.StateDir, NotifyDir),
		Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"}}
}

// ListenVariables returns the environment variables that announce n sockets, from descriptor 3 on, by names, if these are not "".
func ListenVariables(n int, names string) []string {
	if n == 0 {
		return nil
	}
	list := []string{"LISTEN_FDS=" + strconv.Itoa(n)}
	if names != "" {
		list = append(list, "LISTEN_FDNAMES="+names)
	}
	return list
}

// Judge returns the problems as one error with a line for each, or nil if there are none.
func Judge(problems []*fault.Error) error {
	if len(problems) == 0 {
		return nil
	}
	return fault.List(problems)
}

func (c *Container) warn(field, format string, args ...any) {
	c.Warnings = append(c.Warnings, fault.At(field, format, args...))
}

// Cgroups returns what package cgroups needs to know about the container.
func (c *Container) Cgroups() cgroups.Options {
	s := c.Config
	return cgroups.Options{
		ID: c.ID, CgroupsPath: s.Linux.CgroupsPath, Systemd: c.SystemdCgroup, Disabled: c.NoCgroup, Rootless: c.mayLackCgroups(),
		Owner: cgroupOwner(s, c.facts), Delegated: slices.ContainsFunc(s.Mounts, writableCgroup), Resources: s.Linux.Resources, Annotations: s.Annotations,
		Subgroup: s.Annotations[config.AnnotationSubgroup], Delegate: s.Annotations[config.AnnotationDelegate], SystemdV1: s.Annotations[config.AnnotationCgroup1] != "",
	}
}

// mayLackCgroups reports whether the container may be created without cgroups. runc's option rootless decides the same.
func (c *Container) mayLackCgroups() bool {
	switch c.Rootless {
	case "true":
		return true
	case "false":
		return false
	}
	return c.Unprivileged
}

// cgroupOwner returns the host's uid of the container's process, to which a cgroup v2 is delegated if the
// container has a cgroup namespace of its own and mounts it writable: config-linux.md "Cgroup ownership".
// 0 is nobody. What a user makes is that user's already.
func cgroupOwner(s *specs.Spec, facts *host.Facts) int {
	own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path == ""
	})
	if !own || facts.UID() != 0 || !slices.ContainsFunc(s.Mounts, writableCgroup) {
		return 0
	}
	uid := s.Process.User.UID
	if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		return int(uid)
	}
	return config.HostID(s.Linux.UIDMappings, uid)
}

func writableCgroup(m specs.Mount) bool {
	return m.Source == "cgroup" && path.Clean("/"+m.Destination) == "/sys/fs/cgroup" && !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
}

// maxDescriptors returns how many descriptors the plan may have under the hard limit of open files, or 0 if so few mounts cannot
// reach it. The rest of the limit is for what davit and the stage have open besides.
func (c *Container) maxDescriptors() int {
	const others = 72
	if len(c.Config.Mounts) < ManyDescriptors {
		return 0
	}
	limit := c.facts.MaxFiles()
	if limit == 0 || limit > 1<<20 {
		return 0
	}
	return max(int(limit)-others-c.PreserveFDs, 1)
}

// ManyDescriptors is the number of descriptors from which on a plan raises the limit of open files (RLIMIT_NOFILE): with what
// else the stage has open they do not fit in the smallest limit that anybody sets, 64.
const ManyDescriptors = 32

// Compile makes the plan for a container with these cgroups.
func (c *Container) Compile(cgroup cgroups.State, hierarchies []cgroups.Hierarchy) error {
	c.cgroup = cgroup
	var err error
	if c.Filter, err = filterOf(c.Config); err != nil {
		return err
	}
	facts := c.facts
	userns := c.enter()
	mounts := rootfs.Options{
		Bundle: c.Bundle, New: c.New, Owned: c.owned, Foreign: c.foreign, Own: c.own, UserNS: c.userns, UserNamespace: userns || !facts.InitialUserNS(), ByPath: c.byPath, Within: userns && c.New&unix.CLONE_NEWNS != 0 && !c.byPath, Enters: c.enters, NoPivot: c.NoPivot, SameDir: facts.SameDir, ReadLink: facts.ReadLink, Locate: facts.Locate,
		MakesNodes: c.New&unix.CLONE_NEWUSER != 0 && !c.byPath && facts.InitialUserNS() && facts.Caps()&(1<<unix.CAP_MKNOD) != 0,
		Cgroups2:   facts.Cgroup() == host.Unified, HostCgroup2: hostCgroup2(facts), JoinedCgroup: c.joinsCgroup(), Hierarchies: hierarchies, Cgroup1: c.Config.Annotations[config.AnnotationCgroup1], MaxDescriptors: c.maxDescriptors(),
		MountLabel: c.Config.Linux.MountLabel != "" && facts.SELinux(), ContextType: c.Config.Annotations[config.AnnotationContextType],
	}
	mounts.Console, mounts.Proc = c.console(), c.proc
	mounts.State, mounts.StateField = c.notifyMount(), "option Notify"
	if label := c.Config.Linux.MountLabel; label != "" && !mounts.MountLabel {
		c.warn("linux.mountLabel", "%q is ignored: SELinux is not enabled on this host", label)
	}
	root := rootfs.New(c.Plan, c.Config, mounts)
	if err := root.Mounts(); err != nil {
		return err
	}
	c.names()
	c.hooks(c.State(specs.StateCreating, plan.PIDMark))
	root.Finish()
	lifted := len(c.Plan.Descriptors) >= ManyDescriptors
	if lifted {
		c.Plan.Steps = slices.Insert(c.Plan.Steps, 0, plan.Entry{Step: plan.LiftNoFile{}})
	}
	if err := c.process(userns, lifted); err != nil {
		return err
	}
	return nil
}

// hostCgroup2 returns the path where the host has mounted cgroup2, or "" if it has not.
func hostCgroup2(facts *host.Facts) string {
	switch facts.Cgroup() {
	case host.Unified:
		return "/sys/fs/cgroup"
	case host.Hybrid:
		return "/sys/fs/cgroup/unified"
	}
	return ""
}

// joinsCgroup reports whether the container joins a cgroup namespace which is not davit's own.
func (c *Container) joinsCgroup() bool {
	return slices.ContainsFunc(c.Config.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path != "" && !c.facts.SameDir(n.Path, "/proc/self/ns/cgroup")
	})
}

// place adds the phase in which the parent moves the process into its cgroups, before the first step that depends on them. A process
// that was cloned into its only cgroup does not wait.
func (c *Container) place() {
	s := c.Config
	cg := c.cgroup
	whole := (cg.Mode == cgroups.Unified && len(cg.Dirs) == 1 && cg.Driver == cgroups.Cgroupfs || cg.Mode == "") && len(s.Linux.NetDevices) == 0 && s.Hooks == nil && s.Linux.IntelRdt == nil &&
		(s.Linux.Seccomp == nil || s.Linux.Seccomp.ListenerPath == "")
	if !whole || c.newUser || len(s.Linux.TimeOffsets) > 0 {
		c.Placed = true
		c.Plan.Add("", plan.Sync{Phase: plan.Placed})
	}
}

// proc returns the plan's descriptor of the host's procfs. The plan has only one.
func (c *Container) proc() plan.FD { return procOf(c.Plan) }

func procOf(p *plan.Plan) plan.FD {
	for i, d := range p.Descriptors {
		if d.Kind == plan.Proc {
			return plan.FD(i + 1)
		}
	}
	return p.Open(plan.Descriptor{Kind: plan.Proc, Path: "/proc"})
}

func (c *Container) console() plan.FD {
	if c.Config.Process == nil || !c.Config.Process.Terminal {
		return plan.NoFD
	}
	if c.Console {
		return c.Plan.Open(plan.Descriptor{Kind: plan.Given, Path: "console", Field: "process.terminal"})
	}
	return c.Plan.Open(plan.Descriptor{Kind: plan.Connect, Path: c.ConsoleSocket, Field: "option ConsoleSocket"})
}
