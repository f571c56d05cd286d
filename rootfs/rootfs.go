// Package rootfs turns what config.json says about the root filesystem into
// steps: mounts, devices, masked and read-only paths, and the root itself. It
// only decides; see package plan.
package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"davit/cgroups"
	"davit/internal/fault"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options are what the steps depend on besides the config.
type Options struct {
	Bundle string // absolute
	// New are the namespaces (CLONE_NEW*) that are made for the container, not joined or shared.
	New uint64
	// Owned are the namespaces that are joined and belong to the container's user namespace, or to one below that.
	Owned uint64
	// Foreign are the joined namespaces that do not belong to it, each with its descriptor.
	Foreign map[uint64]plan.FD
	// Own are davit's own, which the config does not list, if they belong to davit's user namespace, which is not the initial one.
	Own uint64
	// UserNS is the user namespace that the container joins by path.
	UserNS plan.FD
	// UserNamespace says that the container's user namespace is not the initial one.
	UserNamespace bool
	// ByPath lets the stage open the sources on the host, for a davit that
	// lacks the privilege to copy mounts (open_tree(2) wants CAP_SYS_ADMIN).
	ByPath bool
	Within bool // sources are opened in the container's mount namespace: see [plan.Descriptor]
	// Enters: the mount namespace is made of the root filesystem alone, and the stage opens the sources before it goes there: see
	// [plan.Enter]. NeedsHost is "".
	Enters bool
	// MakesNodes: the parent can make devices for the container's own user namespace, whose mappings the config has.
	MakesNodes bool
	// Locate returns where a file of the host is: its directory, without symbolic links, and its name; for a directory "". It is
	// called if Enters and Within.
	Locate func(path string, link bool) (dir, name string)
	// SameDir reports whether two paths of the host lead to the same directory; nil if the host is not to be asked.
	SameDir func(a, b string) bool
	// ReadLink returns the text of a symbolic link of the host, or that a path leads to none; nil if the host is not to be asked.
	ReadLink func(path string) (text string, is bool, err error)
	NoPivot  bool
	// Cgroups2 is true if /sys/fs/cgroup is a cgroup2 mount.
	Cgroups2 bool
	// HostCgroup2 is the path where the host has mounted cgroup2, or "".
	HostCgroup2 string
	// JoinedCgroup says that the container joins a cgroup namespace that is not davit's own.
	JoinedCgroup bool
	// MaxDescriptors is how many descriptors the plan may have; 0 is any number. The stage opens what comes later when its turn comes.
	MaxDescriptors int
	// Cgroup1 is the destination of a mount of type "cgroup" that shows v1's hierarchy name=systemd alone, whatever the host has.
	Cgroup1 string
	// Hierarchies are the container's cgroups, for a mount of type "cgroup".
	Hierarchies []cgroups.Hierarchy
	// MountLabel is added as context= to new filesystems, if SELinux is on.
	MountLabel bool
	// ContextType is the name of that option, "context" without it.
	ContextType string
	// Console is the socket to which the master of the terminal is sent.
	Console plan.FD
	// Proc returns the descriptor of the host's procfs.
	Proc func() plan.FD
	// State is a bind mount of a directory in the state directory, after those of the config; nil: none. The directory does not
	// exist yet when the other sources are opened.
	State *specs.Mount
	// StateField is the field of its steps.
	StateField string
}

// Root compiles the container's view of files: first Mounts, then what hooks may do, then Finish.
type Root struct {
	Options
	plan *plan.Plan
	spec *specs.Spec
	late []plan.Entry // steps that Finish adds: what must stay writable until then
	// stays is the field of config.json for which the host's mounts stay until all is mounted; "" if the stage leaves them before that.
	stays string
	// hostSys: /sys is a bind mount, with all that is mounted below.
	hostSys bool
	index   int  // of the mount that is compiled
	inState bool // that one is Options.State
	// lastBelow has, by directory, the index of the last mount whose target is below.
	lastBelow map[string]int
	// around are the steps that make the bind mounts of this mount read-only, once those below them are there.
	around []plan.Entry
	early  map[int]bool // mounts that were compiled before their turn, see mountBelow
	// kept has descriptors of mounts that a remount of the config changes, by target; nil if the config has no remount.
	kept  map[string]plan.FD
	again bool // a step has BindAgain
	// gathered are the steps Gather, namespaces what they make, by directory.
	gathered   []plan.Entry
	namespaces map[string]plan.FD
	null       plan.FD // the null device that masks files
	// sources are what the stage opens of the host, before the step that attaches the root filesystem.
	sources []plan.Entry
}

// New returns the compiler of a config's root filesystem. It adds its steps to p.
func New(p *plan.Plan, s *specs.Spec, o Options) *Root {
	return &Root{Options: o, plan: p, spec: s}
}

// mayLackDescriptors reports whether a bind mount may have to wait for its descriptor (BindLate), for which the host has to stay.
// A mount takes two descriptors at the most: one for its source, and one by which a later step changes it.
func (c *Root) mayLackDescriptors() bool {
	const others = 32 // of the plan, more or less
	return c.MaxDescriptors > 0 && c.bindsLate() && 2*len(c.spec.Mounts)+others >= c.MaxDescriptors
}

// Mounts adds the steps that build the container's view of files, up to the
// point where hooks may look at it.
func (c *Root) Mounts() error {
	if c.New&unix.CLONE_NEWNS != 0 && !c.Enters {
		c.plan.Add("", plan.Propagation{Flags: unix.MS_SLAVE | unix.MS_REC})
	}
	if err := c.root(); err != nil {
		return err
	}
	if c.stays = NeedsHost(c.spec, c.New); c.stays == "" && !c.Enters && c.mayLackDescriptors() {
		c.stays = "mounts" // see BindLate
	}
	switch {
	case c.Enters:
	case c.stays == "":
		c.pivot()
	default:
		c.plan.Add("root.path", plan.Confine{})
	}
	if slices.ContainsFunc(c.spec.Mounts, func(m specs.Mount) bool { return slices.Contains(m.Options, "remount") }) {
		c.kept = map[string]plan.FD{}
	}
	for i := range c.spec.Mounts {
		if err := c.mountAt(i); err != nil {
			return err
		}
	}
	if m := c.State; m != nil {
		c.inState = true
		if err := c.mount(c.StateField, m); err != nil {
			return fault.In(c.StateField, err)
		}
		c.inState = false
	}
	if err := c.devices(); err != nil {
		return err
	}
	if c.gathers() && c.spec.Linux != nil && len(c.spec.Linux.MaskedPaths) > 0 {
		c.null = c.source("linux.maskedPaths", plan.Source{Path: "/dev/null", Set: hostsNode})
	}
	c.openFirst()
	if c.hooked() {
		c.plan.Add("", plan.Confine{Lift: true})
	} else if c.stays != "" {
		c.pivot()
	}
	return nil
}

func (c *Root) pivot() {
	own := c.New&unix.CLONE_NEWNS != 0
	c.plan.Add("root.path", plan.Pivot{Late: c.stays, Move: c.NoPivot && own, Chroot: !own})
}

// hooked reports whether there are hooks that look for the root filesystem at its path on the host, and for their own files.
func (c *Root) hooked() bool { return hooked(c.spec) }

func hooked(s *specs.Spec) bool {
	h := s.Hooks
	return h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0 //nolint:staticcheck // deprecated, but engines use it
}

// Finish adds the last steps for the root filesystem: masked paths, read-only paths, and those that were postponed.
func (c *Root) Finish() {
	p, s := c.plan, c.spec
	if c.hooked() {
		c.pivot()
	}
	if s.Process != nil && s.Process.Terminal {
		p.Add("", plan.Setsid{})
		t := plan.Console{Socket: c.Console, UID: uint64(s.Process.User.UID), Mount: true}
		if size := s.Process.ConsoleSize; size != nil {
			t.Rows, t.Cols = uint64(size.Height), uint64(size.Width)
		}
		p.Add("process.terminal", t)
	}
	p.Steps = append(p.Steps, c.late...)
	if s.Linux != nil {
		eachPath("linux.readonlyPaths", s.Linux.ReadonlyPaths, func(field, path string) {
			if path != "/" {
				p.Add(field, plan.ReadOnly{Path: path})
			}
		})
		masks := c.null
		if masks == plan.NoFD && len(s.Linux.MaskedPaths) > 0 {
			e := c.opened("linux.maskedPaths", plan.Source{Path: "/dev/null", Set: hostsNode})
			p.Steps = slices.Insert(p.Steps, rootStep(p), e)
			masks = e.Step.(plan.Source).Tree
		}
		eachPath("linux.maskedPaths", s.Linux.MaskedPaths, func(field, path string) { p.Add(field, plan.Mask{Path: path, Null: masks}) })
	}
	if ReadOnly(s) {
		p.Add("root.readonly", plan.RootReadOnly{})
	}
	if s.Linux != nil && s.Linux.RootfsPropagation != "" {
		if flags, _ := Propagation(s.Linux.RootfsPropagation); flags&(unix.MS_SHARED|unix.MS_UNBINDABLE) != 0 {
			p.Add("linux.rootfsPropagation", plan.RootPropagation{Flags: flags})
		}
	}
}

// NeedsHost returns the field of config.json for which the host's mounts have to stay until all is mounted, "" for none.
// made are the namespaces that are made for the container, CLONE_NEW*.
func NeedsHost(s *specs.Spec, made uint64) string {
	if made&unix.CLONE_NEWNS == 0 {
		return "linux.namespaces" // it is not the container's own
	}
	if hooked(s) {
		switch h := s.Hooks; {
		case len(h.CreateContainer) > 0:
			return "hooks.createContainer"
		case len(h.CreateRuntime) > 0:
			return "hooks.createRuntime"
		}
		return "hooks.prestart"
	}
	if sharedRoot(s) { // see BindAgain
		return "linux.rootfsPropagation"
	}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if o, err := parse(m.Options); err == nil && !o.bind && !o.remount && m.Type != "bind" && !nameless(m.Type) {
			return fmt.Sprintf("mounts[%d].type", i)
		}
	}
	return ""
}

// opened returns the step by which the stage opens what it needs of the host. It comes before the one that attaches the root
// filesystem: then nothing of the container's is mounted that a path of the host could lead to.
func (c *Root) opened(field string, s plan.Source) plan.Entry {
	s.Tree = c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: s.Path, Field: field})
	if c.Enters {
		s.Propagation = unix.MS_SLAVE
	}
	return plan.Entry{Field: field, Step: s}
}

func rootStep(p *plan.Plan) int {
	return slices.IndexFunc(p.Steps, func(e plan.Entry) bool {
		op := plan.OpOf(e.Step)
		return op == plan.OpOf(plan.Root{}) || op == plan.OpOf(plan.Enter{})
	})
}

// source has the stage open one of many sources: openFirst puts them all in place.
func (c *Root) source(field string, s plan.Source) plan.FD {
	if c.gathers() {
		return c.copied(field, s)
	}
	e := c.opened(field, s)
	c.sources = append(c.sources, e)
	return e.Step.(plan.Source).Tree
}

// openFirst has all of the host that the container gets opened once "/" is a slave, so that nothing is shared with the host
// or unbindable any more, and before the first mount: by the parent what only that can open, and by the stage the rest.
func (c *Root) openFirst() {
	first := append(c.gathered, c.sources...)
	if slices.ContainsFunc(c.plan.Descriptors, func(d plan.Descriptor) bool { return d.Within }) {
		first = append([]plan.Entry{{Step: plan.Sync{Phase: plan.Sources}}}, first...)
	}
	at := rootStep(c.plan)
	if e, is := c.plan.Steps[at].Step.(plan.Enter); is {
		e.Back = c.again
		c.plan.Steps[at].Step = e
	}
	c.plan.Steps = slices.Insert(c.plan.Steps, at, first...)
}

// byStage reports whether the stage copies mounts of the host itself, which costs least. It does so in a mount namespace
// of its own, in which nothing is shared with the host or unbindable any more.
func (c *Root) byStage() bool {
	return c.ByPath || c.gathers() || c.New&unix.CLONE_NEWNS != 0 && !c.Within && !c.sharedRoot()
}

// bindsLate reports whether the stage could copy the source of a bind mount when its turn comes. In a user namespace that has to be a
// source which the container's root may reach.
func (c *Root) bindsLate() bool {
	return c.byStage() && !c.gathers() || c.Within && !c.Enters && c.New&unix.CLONE_NEWNS != 0 && !c.sharedRoot() && !c.inState
}

// ReadOnly reports whether the root filesystem becomes read-only: root.readonly says so, or "/" is one of
// linux.readonlyPaths, which means the same to runc and crun.
func ReadOnly(s *specs.Spec) bool {
	return s.Root.Readonly || s.Linux != nil && slices.ContainsFunc(s.Linux.ReadonlyPaths, func(p string) bool { return path.Clean(p) == "/" })
}

// eachPath calls f with the cleaned form of each path of a list, but only once for equal paths.
func eachPath(field string, list []string, f func(field, path string)) {
	seen := make(map[string]bool, len(list))
	for i, p := range list {
		p = cleanPath(p)
		if !seen[p] {
			seen[p] = true
			f(fmt.Sprintf("%s[%d]", field, i), p)
		}
	}
}

// cleanPath removes empty components and "." from an absolute path. The kernel takes "/file/" and "/file/." for a
// directory, and says ENOTDIR. It keeps "..", since the component before that may be a symbolic link.
func cleanPath(p string) string {
	if !strings.Contains(p, "//") && !strings.Contains(p, "/./") && !strings.HasSuffix(p, "/") && !strings.HasSuffix(p, "/.") {
		return p
	}
	if path.Clean(p) == "/" {
		return "/"
	}
	b := make([]byte, 0, len(p))
	for part := range strings.SplitSeq(p, "/") {
		if part != "" && part != "." {
			b = append(append(b, '/'), part...)
		}
	}
	return string(b)
}

// Path returns the path of the root filesystem on the host.
func Path(s *specs.Spec, bundle string) string {
	if path.IsAbs(s.Root.Path) {
		return path.Clean(s.Root.Path)
	}
	return path.Join(bundle, s.Root.Path)
}

func (c *Root) root() error {
	where := Path(c.spec, c.Bundle)
	// Events travel from the host into the container, unless the config says
	// otherwise: as runc's default.
	step := plan.Root{Path: where, Propagation: unix.MS_SLAVE}
	if c.spec.Linux != nil && c.spec.Linux.RootfsPropagation != "" {
		flags, ok := Propagation(c.spec.Linux.RootfsPropagation)
		if !ok {
			return fault.At("linux.rootfsPropagation", "unknown value %q: one of shared, slave, private, unbindable", c.spec.Linux.RootfsPropagation)
		}
		switch flags &^ unix.MS_REC {
		case unix.MS_SHARED, unix.MS_PRIVATE, unix.MS_UNBINDABLE:
			// A shared mount cannot be pivoted to, an unbindable one cannot be copied: Finish makes them so.
			step.Propagation = unix.MS_PRIVATE
		}
	}
	if c.Enters {
		enter := plan.Enter{Path: where, Propagation: step.Propagation}
		if c.gathers() {
			enter.Tree = c.gather("root.path", where, c.plan.Open(plan.Descriptor{Kind: plan.Path, Path: where, Field: "root.path"}))
		}
		c.plan.Add("root.path", enter)
		return nil
	}
	if !c.byStage() {
		step.Tree = c.plan.Open(plan.Descriptor{Kind: plan.TreeRecursive, Path: where, Field: "root.path", Within: c.Within})
	}
	c.plan.Add("root.path", step)
	return nil
}

// mountAt adds the steps for the entry of mounts with an index, unless they are there.
func (c *Root) mountAt(i int) error {
	if c.early[i] {
		return nil
	}
	c.index = i
	field, m := fmt.Sprintf("mounts[%d]", i), &c.spec.Mounts[i]
	if err := c.mount(field, m); err != nil {
		return &fault.Error{Field: field, Value: m.Destination, Err: err}
	}
	around := c.around
	c.around = nil
	for _, e := range around {
		if err := c.mountBelow(i, e.Step.(plan.Remount).Target); err != nil {
			return err
		}
		c.plan.Steps = append(c.plan.Steps, e)
	}
	return nil
}

// mountBelow adds the steps for the mounts after index whose targets are below target, before their turn. Meanwhile the mount
// there is not read-only, so that what is missing can be made in it. A link in the image or in a volume could lead other mounts there, too, and
// davit would make directories in what is to be read-only: they come later.
func (c *Root) mountBelow(index int, target string) error {
	for i := c.nextBelow(index, target); i >= 0; i = c.nextBelow(i, target) {
		if err := c.mountAt(i); err != nil {
			return err
		}
		if c.early == nil {
			c.early = map[int]bool{}
		}
		c.early[i] = true
	}
	return nil
}

// nextBelow returns the index of the first mount after index whose target is below target, -1 if there is none before one that concerns
// target itself, or all of a directory above it.
func (c *Root) nextBelow(index int, target string) int {
	for i := index + 1; i < len(c.spec.Mounts); i++ {
		at := path.Clean("/" + c.spec.Mounts[i].Destination)
		switch {
		case at == target || strings.HasPrefix(target, at+"/"):
			return -1
		case strings.HasPrefix(at, target+"/"):
			return i
		}
	}
	return -1
}

// mount adds the steps for one entry of mounts.
func (c *Root) mount(field string, m *specs.Mount) error {
	o, err := parse(m.Options)
	if err != nil {
		return err
	}
	if m.Type == "bind" {
		o.bind = true
	}
	target := path.Clean("/" + m.Destination)
	c.settle(target, o)
	switch {
	case (o.sourceLink || o.targetLink || o.copyLink) && (o.remount || !o.bind):
		return fmt.Errorf("options src-nofollow, dest-nofollow and copy-symlink are for bind mounts")
	case o.copyLink && (o.sourceLink || o.targetLink):
		return fmt.Errorf("option copy-symlink excludes src-nofollow and dest-nofollow")
	case target == "/":
		return fmt.Errorf("the root filesystem cannot be mounted over: set root.path instead")
	case o.remount:
		return c.remount(field, target, o)
	case o.bind:
		return c.bind(field, m, target, o)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return c.cgroup(field, m.Type, target, o)
	}
	return c.filesystem(field, m, target, o)
}
