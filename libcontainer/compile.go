package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/host"
	"davit/internal/jsonx"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/resctrl"
	"davit/internal/seccomp"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateOptions are what the command line says about a new container.
type CreateOptions struct {
	ID            string
	Bundle        string // absolute
	Config        string // path of a file that takes the place of the bundle's config.json, or ""
	ConsoleSocket string // path of a socket that gets the terminal's master
	Console       int    // or the socket itself, if > 0
	PidFile       string
	PidfdSocket   string
	NoPivot       bool
	NoNewKeyring  bool
	SystemdCgroup bool
	NoCgroup      bool // the container stays in the caller's
	PreserveFDs   int
	ListenFDs     int    // how many sockets, from descriptor 3 on, LISTEN_FDS announces; preserved before the others
	Notify        bool   // the container gets a NOTIFY_SOCKET
	Rootless      string // may cgroups be left out where they are not writable: "true", "false", else davit finds out
	// Run: the creator starts it, so that there is no socket to wait at.
	Run   bool
	Trace *Trace
}

// compiled is what a config comes to on this host.
type compiled struct {
	plan     *plan.Plan
	spec     *specs.Spec
	state    State
	cgroups  *cgroups.Manager
	rdt      *resctrl.Group     // nil: none asked for
	new      uint64             // CLONE_NEW* that are made for it
	owned    uint64             // those that are joined and belong to its user namespace
	own      uint64             // those that are davit's and belong to its user namespace
	foreign  map[uint64]plan.FD // those that are joined and belong to neither
	userns   plan.FD            // the user namespace that is joined
	newUser  bool
	byPath   bool // davit has no privileges on the host's mounts
	rootless bool // nor in the initial user namespace
	placed   bool // the stage waits to be placed
}

// nsFlags are the namespace types in the order of the kernel's flags.
var nsFlags = [...]struct {
	name specs.LinuxNamespaceType
	flag uint64
}{
	{specs.UserNamespace, unix.CLONE_NEWUSER}, {specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.PIDNamespace, unix.CLONE_NEWPID}, {specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.IPCNamespace, unix.CLONE_NEWIPC}, {specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP}, {specs.TimeNamespace, unix.CLONE_NEWTIME},
}

func nsFlag(t specs.LinuxNamespaceType) uint64 {
	for _, n := range nsFlags {
		if n.name == t {
			return n.flag
		}
	}
	return 0
}

// compile decides everything about a new container. It changes nothing.
func (store Store) compile(s *specs.Spec, o CreateOptions, facts *host.Facts) (*compiled, error) {
	if err := facts.Supported(); err != nil {
		return nil, err
	}
	if err := store.checkRoot(); err != nil { // compiled filters are kept there
		return nil, err
	}
	if err := adaptSeccomp(s); err != nil {
		return nil, err
	}
	if err := judge(config.Check(s, config.Options{Start: o.Run, Rootless: facts.UID() != 0, SystemdCgroup: o.SystemdCgroup})); err != nil {
		return nil, err
	}
	stateDir := filepath.Join(store.Root, o.ID)
	c := &compiled{plan: &plan.Plan{Trace: o.Trace != nil}, spec: s}
	c.rootless = facts.Rootless()
	c.byPath = facts.Caps()&(1<<unix.CAP_SYS_ADMIN) == 0
	if s.Process == nil {
		c.state.NoProcess, s.Process = true, &specs.Process{Cwd: "/"}
	}
	o.adapt(s, stateDir)
	linux := s.Linux
	if linux == nil {
		linux = &specs.Linux{}
		s.Linux = linux
	}
	if linux.Resources == nil {
		linux.Resources = &specs.LinuxResources{}
	}
	linux.Resources.Devices = append(linux.Resources.Devices, allowedDevices()...)
	var err error
	if rdt := linux.IntelRdt; rdt != nil {
		if c.rdt, err = resctrl.New(rdt, o.ID); err != nil {
			return nil, fmt.Errorf("linux.intelRdt: %w", err)
		}
	}
	c.cgroups, err = cgroups.New(cgroups.Options{
		ID: o.ID, CgroupsPath: linux.CgroupsPath, Systemd: o.SystemdCgroup, Disabled: o.NoCgroup, Rootless: o.mayLackCgroups(c.rootless),
		Owner: cgroupOwner(s, facts), Delegated: slices.ContainsFunc(s.Mounts, writableCgroup), Resources: linux.Resources, Annotations: s.Annotations,
	})
	if err != nil {
		return nil, err
	}
	if err := c.compile(o, facts, filepath.Join(store.Root, seccompCache)); err != nil {
		c.cgroups.Close()
		return nil, err
	}
	for i := range c.plan.Descriptors {
		if d := &c.plan.Descriptors[i]; d.Kind == plan.Tree && d.Path == filepath.Join(stateDir, notifyDir) {
			d.Kind, d.Within = plan.StateTree, false
		}
	}
	return c, nil
}

// mayLackCgroups is what --rootless is about in runc, too.
func (o *CreateOptions) mayLackCgroups(rootless bool) bool {
	switch o.Rootless {
	case "true":
		return true
	case "false":
		return false
	}
	return rootless
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
	for _, m := range s.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return int(m.HostID + uid - m.ContainerID)
		}
	}
	return 0
}

func writableCgroup(m specs.Mount) bool {
	return m.Source == "cgroup" && path.Clean("/"+m.Destination) == "/sys/fs/cgroup" && !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
}

// manyDescriptors of a plan do not fit, with what else the stage has open, in the smallest limit that anybody sets (64).
const manyDescriptors = 32

func (c *compiled) compile(o CreateOptions, facts *host.Facts, cache string) error {
	filter, err := compileFilter(c.spec, cache)
	if err != nil {
		return err
	}
	userns := c.enter(o, facts)
	mounts := rootfs.Options{
		Bundle: o.Bundle, New: c.new, Owned: c.owned, Foreign: c.foreign, Own: c.own, UserNS: c.userns, UserNamespace: userns || !facts.InitialUserNS(), ByPath: c.byPath, Within: userns && c.new&unix.CLONE_NEWNS != 0 && !c.byPath, NoPivot: o.NoPivot, SameDir: sameDir, ReadLink: readLink,
		Cgroups2: facts.Cgroup() == host.Unified, HostCgroup2: hostCgroup2(facts), JoinedCgroup: joinsCgroup(c.spec), Hierarchies: c.cgroups.Hierarchies(),
		MountLabel: c.spec.Linux.MountLabel != "" && facts.SELinux(), ContextType: c.spec.Annotations[config.AnnotationContextType],
	}
	mounts.Console, mounts.Proc = c.console(o), c.proc
	if c.spec.Linux.MountLabel != "" && !mounts.MountLabel {
		warnf("linux.mountLabel: %q is ignored: SELinux is not enabled on this host", c.spec.Linux.MountLabel)
	}
	root := rootfs.New(c.plan, c.spec, mounts)
	if err := root.Mounts(); err != nil {
		return err
	}
	c.names()
	state := hookState(c.spec, o, specs.StateCreating, plan.PIDMark)
	c.hooks(state)
	root.Finish()
	lifted := len(c.plan.Descriptors) >= manyDescriptors
	if lifted {
		c.plan.Steps = slices.Insert(c.plan.Steps, 0, plan.Entry{Step: plan.LiftNoFile{}})
	}
	if err := c.process(o, facts, filter, userns, lifted); err != nil {
		return err
	}
	c.describe(o)
	return nil
}

// hostCgroup2 returns where cgroup2 is mounted.
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
func joinsCgroup(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path != "" && !sameDir(n.Path, "/proc/self/ns/cgroup")
	})
}

// sameDir reports whether two paths of the host lead to the same directory.
func sameDir(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// readLink returns the text of a symbolic link, or that path is none.
func readLink(path string) (text string, is bool, err error) {
	text, err = os.Readlink(path)
	if errors.Is(err, unix.EINVAL) {
		return "", false, nil
	}
	return text, err == nil, err
}

// compileFilter turns linux.seccomp into a program. A default action of allow
// without rules asks for nothing.
func compileFilter(s *specs.Spec, cache string) (*process.Filter, error) {
	if f, err := rawFilter(s); f != nil || err != nil {
		return f, err
	}
	if s.Linux.Seccomp == nil {
		return nil, nil
	}
	f, err := seccomp.Compile(s.Linux.Seccomp, cache)
	if err != nil {
		return nil, err
	}
	if err := unknownSyscalls(s, f.Ignored); err != nil {
		return nil, err
	}
	if len(f.Ignored) > 0 {
		logf("linux.seccomp: unknown here, and so left out: %s", strings.Join(f.Ignored, " "))
	}
	if f.CacheError != nil {
		logf("linux.seccomp: the filter is good, but was not cached: %v", f.CacheError)
	}
	return &process.Filter{Program: f.Program, Flags: f.Flags, Notify: f.Notify}, nil
}

// enter adds the steps that lead into the container's namespaces, and says
// whether it is in another user namespace than davit.
func (c *compiled) enter(o CreateOptions, facts *host.Facts) (userns bool) {
	p := c.plan
	joined := c.joins(facts)
	c.newUser = c.new&unix.CLONE_NEWUSER != 0
	userns = c.newUser || joined&unix.CLONE_NEWUSER != 0
	now := c.new &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
	fork := userns || joined&unix.CLONE_NEWPID != 0
	// A user cannot write the offsets of a process that is not dumpable, as that becomes with its identity.
	early := c.rootless && c.newUser && len(c.spec.Linux.TimeOffsets) > 0
	switch {
	case fork:
		p.Add("linux.namespaces", plan.Fork{Types: now, Mappable: c.rootless && c.newUser})
		if c.newUser {
			p.Add("linux.uidMappings", plan.Sync{Phase: plan.Mapped})
		}
		if userns && !early {
			p.Add("linux.uidMappings", plan.Identity{})
		}
	default:
		p.Clone = now
	}
	if c.new&unix.CLONE_NEWTIME != 0 { // the parent sets its clocks
		p.Add("linux.namespaces", plan.Unshare{Types: unix.CLONE_NEWTIME})
	}
	c.place(o)
	if early {
		p.Add("linux.uidMappings", plan.Identity{})
	}
	if c.new&unix.CLONE_NEWTIME != 0 {
		p.Add("linux.namespaces", plan.EnterTime{Proc: c.proc()})
	}
	if c.new&unix.CLONE_NEWCGROUP != 0 {
		p.Add("linux.namespaces", plan.Unshare{Types: unix.CLONE_NEWCGROUP})
	}
	if !o.NoNewKeyring {
		p.Add("", plan.Keyring{})
	}
	if c.new&unix.CLONE_NEWNET != 0 {
		p.Add("", plan.Loopback{})
	}
	return userns
}

// joins adds the steps that join namespaces. A user namespace owns those after it; the others need privileges that it
// takes away, and come first. It notes how they, and those that the container shares with davit, stand to the container's user namespace.
func (c *compiled) joins(facts *host.Facts) (joined uint64) {
	p := c.plan
	userns, inherited := "", true
	for _, n := range c.spec.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			userns, inherited = n.Path, false
		}
	}
	nested := !facts.InitialUserNS()
	var first, then []plan.Entry
	for i, n := range c.spec.Linux.Namespaces {
		flag := nsFlag(n.Type)
		if n.Path == "" {
			c.new |= flag
			continue
		}
		joined |= flag
		field := fmt.Sprintf("linux.namespaces[%d].path", i)
		fd := p.Open(plan.Descriptor{Kind: plan.Namespace, Path: n.Path, Flags: flag, Field: field})
		e := plan.Entry{Field: field, Step: plan.Join{FD: fd, Types: flag, Name: n.Path}}
		switch {
		case flag == unix.CLONE_NEWUSER:
			c.userns = fd
			then = slices.Insert(then, 0, e)
			continue
		case userns != "" && facts.Owns(userns, n.Path):
			c.owned |= flag
			then = append(then, e)
			continue
		case inherited && nested && facts.Owns("", n.Path):
			c.owned |= flag
		case !inherited && flag&shownTypes != 0 && !facts.IsIn(n.Path, nsFile(n.Type)):
			if c.foreign == nil {
				c.foreign = map[uint64]plan.FD{}
			}
			c.foreign[flag] = fd
		}
		first = append(first, e)
	}
	if nested {
		for _, n := range nsFlags {
			if n.flag&shownTypes&^(c.new|joined) != 0 && facts.Owns("", "/proc/self/ns/"+nsFile(n.name)) {
				c.own |= n.flag
			}
		}
	}
	p.Steps = append(append(p.Steps, first...), then...)
	return joined
}

// shownTypes are the namespaces that a filesystem shows: procfs, sysfs, mqueue.
const shownTypes = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC

// place lets the parent put the process where it belongs, before anything that
// depends on it. A process that was cloned into its one and only cgroup does not wait.
func (c *compiled) place(o CreateOptions) {
	s := c.spec
	cg := c.cgroups.State()
	whole := (cg.Mode == cgroups.Unified && cg.Driver == cgroups.Cgroupfs || cg.Mode == "") && len(s.Linux.NetDevices) == 0 && s.Hooks == nil && s.Linux.IntelRdt == nil &&
		(s.Linux.Seccomp == nil || s.Linux.Seccomp.ListenerPath == "")
	if !whole || c.newUser || len(s.Linux.TimeOffsets) > 0 {
		c.placed = true
		c.plan.Add("", plan.Sync{Phase: plan.Placed})
	}
}

func timeOffsets(offsets map[string]specs.LinuxTimeOffset) string {
	var b strings.Builder
	for _, clock := range [...]string{"monotonic", "boottime"} {
		if o, ok := offsets[clock]; ok {
			fmt.Fprintf(&b, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	return b.String()
}

// proc returns the descriptor of the host's procfs, opened once.
func (c *compiled) proc() plan.FD { return procOf(c.plan) }

func procOf(p *plan.Plan) plan.FD {
	for i, d := range p.Descriptors {
		if d.Kind == plan.Proc {
			return plan.FD(i + 1)
		}
	}
	return p.Open(plan.Descriptor{Kind: plan.Proc, Path: "/proc"})
}

func (c *compiled) console(o CreateOptions) plan.FD {
	if c.spec.Process == nil || !c.spec.Process.Terminal {
		return plan.NoFD
	}
	if o.Console > 0 {
		return c.plan.Open(plan.Descriptor{Kind: plan.Given, Path: "console", Field: "process.terminal"})
	}
	return c.plan.Open(plan.Descriptor{Kind: plan.Connect, Path: o.ConsoleSocket, Field: "--console-socket"})
}

// names adds what belongs to the UTS and other namespaces.
func (c *compiled) names() {
	p, s := c.plan, c.spec
	if s.Hostname != "" {
		p.Add("hostname", plan.Hostname{Name: s.Hostname})
	}
	if s.Domainname != "" {
		p.Add("domainname", plan.Domainname{Name: s.Domainname})
	}
	keys := make([]string, 0, len(s.Linux.Sysctl))
	for k := range s.Linux.Sysctl {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		p.Add(jsonx.JoinKey("linux.sysctl", k), plan.Sysctl{Proc: c.proc(), Key: config.SysctlPath(k), Value: s.Linux.Sysctl[k]})
	}
}

func (c *compiled) hooks(state string) {
	h := c.spec.Hooks
	if h == nil {
		return
	}
	if len(h.Prestart)+len(h.CreateRuntime) > 0 { //nolint:staticcheck // deprecated, but engines use it
		c.plan.Add("hooks.createRuntime", plan.Sync{Phase: plan.Hooks})
	}
	for i := range h.CreateContainer {
		step := process.Hook(h.CreateContainer[i], state)
		step.AtRoot = true // as with runc
		c.plan.Add(fmt.Sprintf("hooks.createContainer[%d]", i), step)
	}
}

func (c *compiled) process(o CreateOptions, facts *host.Facts, filter *process.Filter, userns, lifted bool) error {
	s := c.spec
	po := process.Options{
		UserNamespace: userns, AppArmor: facts.AppArmor(), SELinux: facts.SELinux(), ReadOnlyRoot: rootfs.ReadOnly(s),
		KeepOwnGroups: config.AnnotationSet(s, config.AnnotationKeepGroups),
		KeepGroups:    c.deniesSetgroups(facts),
		Proc:          c.proc, Filter: filter, Grantable: grantable(s.Process, facts, userns), Wait: true, NoFileLifted: lifted, Preserve: uint64(o.PreserveFDs),
	}
	if !o.Run {
		po.Socket = c.plan.Open(plan.Descriptor{Kind: plan.Listen, Path: startFile})
	}
	if s.Hooks != nil {
		po.Hooks, po.State = s.Hooks.StartContainer, hookState(s, o, specs.StateCreated, plan.PIDMark)
	}
	if filter != nil && filter.Notify {
		filter.Connect = func() plan.FD {
			return c.plan.Open(plan.Descriptor{Kind: plan.Connect, Path: s.Linux.Seccomp.ListenerPath, Field: "linux.seccomp.listenerPath"})
		}
		filter.State = seccompState(s, hookState(s, o, specs.StateCreating, plan.PIDMark))
	}
	// Linux 6.2 and later keeps the CPUs that davit's caller has, whatever the cgroup's are.
	c.plan.Add("", plan.Affinity{})
	if err := memoryPolicy(c.plan, s.Linux.MemoryPolicy); err != nil {
		return err
	}
	if err := personality(c.plan, s.Linux.Personality); err != nil {
		return err
	}
	if !process.HasHome(s.Process.Env) {
		var err error
		if po.Home, err = homeInBundle(s, o.Bundle); err != nil {
			return err
		}
	}
	if err := process.Compile(c.plan, s.Process, po); err != nil {
		return err
	}
	return judgeFilter(c.plan, filter)
}

// memoryPolicy is that of every process in the container, those of exec, too.
func memoryPolicy(to *plan.Plan, m *specs.LinuxMemoryPolicy) error {
	if m == nil {
		return nil
	}
	step, err := process.MemoryPolicy(m)
	if err != nil {
		return err
	}
	to.Add("linux.memoryPolicy", step)
	return nil
}

// personality is that of every process in the container, those of exec, too.
func personality(to *plan.Plan, p *specs.LinuxPersonality) error {
	if p == nil {
		return nil
	}
	value := uint64(0) // PER_LINUX of linux/personality.h
	switch p.Domain {
	case specs.PerLinux:
	case specs.PerLinux32:
		value = 8 // PER_LINUX32
	default:
		return fmt.Errorf("linux.personality.domain: unknown domain %q: one of LINUX, LINUX32", p.Domain)
	}
	if len(p.Flags) > 0 {
		return fmt.Errorf("linux.personality.flags: %q: no flags are defined yet", p.Flags)
	}
	to.Add("linux.personality", plan.Personality{Value: value})
	return nil
}

// deniesSetgroups says whether setgroups(2) is denied in the container's user namespace, as it is in all that are made
// below one that denies it (user_namespaces(7)).
func (c *compiled) deniesSetgroups(facts *host.Facts) bool {
	if !facts.InitialUserNS() && facts.DeniesSetgroups("/proc/self") {
		return true
	}
	for _, n := range c.spec.Linux.Namespaces {
		if n.Type == specs.UserNamespace && n.Path != "" {
			process, is := strings.CutSuffix(n.Path, "/ns/user")
			return is && facts.DeniesSetgroups(process)
		}
	}
	// A user who may map only the own group may not drop groups: see mapIDs.
	gids := c.spec.Linux.GIDMappings
	return c.newUser && facts.UID() != 0 && len(gids) == 1 && gids[0].Size == 1
}

// describe fills in the state as far as it is known beforehand.
func (c *compiled) describe(o CreateOptions) {
	s := c.spec
	c.state = State{
		NoProcess:  c.state.NoProcess,
		OCIVersion: specs.Version, ID: o.ID, Bundle: o.Bundle, Rootfs: rootfs.Path(s, o.Bundle),
		OwnPid: c.new&unix.CLONE_NEWPID != 0, Terminal: s.Process.Terminal, NoKeyring: o.NoNewKeyring,
		Annotations: s.Annotations, Cgroup: c.cgroups.State(), Notify: o.Notify, Steps: len(c.plan.Steps),
	}
	c.state.SharedMounts = c.new&unix.CLONE_NEWNS == 0
	for _, n := range s.Linux.Namespaces {
		c.state.Namespaces |= nsFlag(n.Type)
	}
	if s.Hooks != nil {
		c.state.Poststart, c.state.Poststop = len(s.Hooks.Poststart) > 0, len(s.Hooks.Poststop) > 0
	}
}

// judge warns of what a check warns of, and returns the error for what it objects to.
func judge(problems, warnings []config.Problem) error {
	if len(problems) > 0 {
		return invalid(problems)
	}
	for _, w := range warnings {
		warnf("%s", w.Error())
	}
	return nil
}

func invalid(problems []config.Problem) error {
	return config.Lines(problems, func(p config.Problem) string { return p.Hint })
}
