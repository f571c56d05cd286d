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
	"davit/internal/config"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options is what the steps depend on besides the config.
type Options struct {
	Bundle string // absolute
	// New are the namespaces (CLONE_NEW*) that are made for the container, not joined or shared.
	New uint64
	// Owned are those that are joined and belong to the container's user namespace, or to one below that.
	Owned uint64
	// Foreign are joined ones that do not, with the descriptors of them.
	Foreign map[uint64]plan.FD
	// Own are davit's own, which the config does not list, if they belong to davit's user namespace, which is not the initial one.
	Own uint64
	// UserNS is the user namespace that the container joins by path.
	UserNS plan.FD
	// UserNamespace: the container is in another user namespace than the initial one.
	UserNamespace bool
	// ByPath lets the stage open the sources on the host, for a davit that
	// lacks the privilege to copy mounts (open_tree(2) wants CAP_SYS_ADMIN).
	ByPath bool
	Within bool // sources are opened in the container's mount namespace: see [plan.Descriptor]
	// SameDir reports whether two paths of the host lead to the same directory; nil if the host is not to be asked.
	SameDir func(a, b string) bool
	// ReadLink returns the text of a symbolic link of the host, or that a path leads to none; nil if the host is not to be asked.
	ReadLink func(path string) (text string, is bool, err error)
	NoPivot  bool
	// Cgroups2 is true if /sys/fs/cgroup is a cgroup2 mount.
	Cgroups2 bool
	// HostCgroup2 is where the host has cgroup2, "" if nowhere.
	HostCgroup2 string
	// JoinedCgroup: a cgroup namespace is joined which is not davit's own.
	JoinedCgroup bool
	// Hierarchies are the container's cgroups, for a mount of type "cgroup".
	Hierarchies []cgroups.Hierarchy
	// MountLabel is added as context= to new filesystems, if SELinux is on.
	MountLabel bool
	// ContextType is the name of that option, "context" without it.
	ContextType string
	// Console receives the terminal's master.
	Console plan.FD
	// Proc returns the descriptor of the host's procfs.
	Proc func() plan.FD
}

type compiler struct {
	Options
	plan *plan.Plan
	spec *specs.Spec
	late []plan.Entry // steps for the end: what must stay writable until then
	// hostSys: /sys is a bind mount, with all that is mounted below.
	hostSys bool
	// sources are what the stage opens of the host, before the step that attaches the root filesystem.
	sources []plan.Entry
}

// Mounts adds the steps that build the container's view of files, up to the
// point where hooks may look at it.
func Mounts(p *plan.Plan, s *specs.Spec, o Options) ([]plan.Entry, error) {
	c := &compiler{Options: o, plan: p, spec: s}
	if o.New&unix.CLONE_NEWNS != 0 {
		p.Add("", plan.Propagation{Flags: unix.MS_SLAVE | unix.MS_REC})
	}
	if err := c.root(); err != nil {
		return nil, err
	}
	for i := range s.Mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		if err := c.mount(field, &s.Mounts[i]); err != nil {
			return nil, fmt.Errorf("%s (%s): %w", field, s.Mounts[i].Destination, err)
		}
	}
	if err := c.devices(); err != nil {
		return nil, err
	}
	c.openFirst()
	return c.late, nil
}

// Finish adds what closes the root filesystem off: masks, read-only paths, and
// the change of root. late comes from Mounts.
func Finish(p *plan.Plan, s *specs.Spec, o Options, late []plan.Entry) error {
	if s.Process != nil && s.Process.Terminal {
		p.Add("", plan.Setsid{})
		t := plan.Console{Socket: o.Console, UID: uint64(s.Process.User.UID), Mount: true}
		if size := s.Process.ConsoleSize; size != nil {
			t.Rows, t.Cols = uint64(size.Height), uint64(size.Width)
		}
		p.Add("process.terminal", t)
	}
	p.Steps = append(p.Steps, late...)
	if s.Linux != nil {
		eachPath("linux.readonlyPaths", s.Linux.ReadonlyPaths, func(field, path string) {
			if path != "/" {
				p.Add(field, plan.ReadOnly{Path: path})
			}
		})
		masks := plan.NoFD
		if len(s.Linux.MaskedPaths) > 0 {
			masks = source(p, "linux.maskedPaths", plan.Source{Path: "/dev/null", Set: hostsNode})
		}
		eachPath("linux.maskedPaths", s.Linux.MaskedPaths, func(field, path string) { p.Add(field, plan.Mask{Path: path, Null: masks}) })
	}
	if ReadOnly(s) {
		p.Add("root.readonly", plan.RootReadOnly{})
	}
	own := o.New&unix.CLONE_NEWNS != 0
	p.Add("", plan.Pivot{Move: o.NoPivot && own, Chroot: !own})
	if s.Linux != nil && s.Linux.RootfsPropagation != "" {
		if flags, _ := Propagation(s.Linux.RootfsPropagation); flags&(unix.MS_SHARED|unix.MS_UNBINDABLE) != 0 {
			p.Add("linux.rootfsPropagation", plan.RootPropagation{Flags: flags})
		}
	}
	return nil
}

// source has the stage open what it needs of the host, before the step that attaches the root filesystem: then
// nothing of the container's is mounted that a path of the host could lead to.
func source(p *plan.Plan, field string, s plan.Source) plan.FD {
	s.Tree = p.Open(plan.Descriptor{Kind: plan.Own, Path: s.Path, Field: field})
	p.Steps = slices.Insert(p.Steps, rootStep(p), plan.Entry{Field: field, Step: s})
	return s.Tree
}

func rootStep(p *plan.Plan) int {
	return slices.IndexFunc(p.Steps, func(e plan.Entry) bool { return plan.OpOf(e.Step) == plan.OpOf(plan.Root{}) })
}

// source is the same for one of many: openFirst puts them all in place.
func (c *compiler) source(field string, s plan.Source) plan.FD {
	s.Tree = c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: s.Path, Field: field})
	c.sources = append(c.sources, plan.Entry{Field: field, Step: s})
	return s.Tree
}

// openFirst has all of the host that the container gets opened once "/" is a slave, so that nothing is shared with the host
// or unbindable any more, and before the first mount: by the parent what only that can open, and by the stage the rest.
func (c *compiler) openFirst() {
	first := c.sources
	if slices.ContainsFunc(c.plan.Descriptors, func(d plan.Descriptor) bool { return d.Within }) {
		first = append([]plan.Entry{{Step: plan.Sync{Phase: plan.Sources}}}, first...)
	}
	c.plan.Steps = slices.Insert(c.plan.Steps, rootStep(c.plan), first...)
}

// byStage reports whether the stage copies mounts of the host itself, which costs least. It does so in a mount namespace
// of its own, in which nothing is shared with the host or unbindable any more.
func (c *compiler) byStage() bool {
	return c.ByPath || c.New&unix.CLONE_NEWNS != 0 && !c.Within && !c.sharedRoot()
}

// ReadOnly reports whether the root filesystem becomes read-only: root.readonly says so, or "/" is one of
// linux.readonlyPaths, which means the same to runc and crun.
func ReadOnly(s *specs.Spec) bool {
	return s.Root.Readonly || s.Linux != nil && slices.ContainsFunc(s.Linux.ReadonlyPaths, func(p string) bool { return path.Clean(p) == "/" })
}

// eachPath calls f with the cleaned form of each path of a list, once for those that are the same.
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

// Path returns the root filesystem's path on the host.
func Path(s *specs.Spec, bundle string) string {
	if path.IsAbs(s.Root.Path) {
		return path.Clean(s.Root.Path)
	}
	return path.Join(bundle, s.Root.Path)
}

func (c *compiler) root() error {
	where := Path(c.spec, c.Bundle)
	// Events travel from the host into the container, unless the config says
	// otherwise: as runc's default.
	step := plan.Root{Path: where, Propagation: unix.MS_SLAVE}
	if c.spec.Linux != nil && c.spec.Linux.RootfsPropagation != "" {
		flags, ok := Propagation(c.spec.Linux.RootfsPropagation)
		if !ok {
			return fmt.Errorf("linux.rootfsPropagation: unknown value %q: one of shared, slave, private, unbindable", c.spec.Linux.RootfsPropagation)
		}
		switch flags &^ unix.MS_REC {
		case unix.MS_SHARED, unix.MS_PRIVATE, unix.MS_UNBINDABLE:
			// A shared mount cannot be pivoted to, an unbindable one cannot be copied: Finish makes them so.
			step.Propagation = unix.MS_PRIVATE
		}
	}
	if !c.byStage() {
		step.Tree = c.plan.Open(plan.Descriptor{Kind: plan.TreeRecursive, Path: where, Field: "root.path", Within: c.Within})
	}
	c.plan.Add("root.path", step)
	return nil
}

// mount compiles one entry of mounts.
func (c *compiler) mount(field string, m *specs.Mount) error {
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

// remount changes what is mounted there, be it a bind mount or not. Only as a bind mount it has no filesystem's
// options: those that mount(2) ignores then, package spec warns of.
func (c *compiler) remount(field, target string, o options) error {
	set, clear := o.top()
	step := plan.Remount{Target: target, Set: set | o.recSet, Clear: clear | o.recClear, Propagation: o.propagation}
	if o.bind {
		c.plan.Add(field, step)
		return nil
	}
	step.Options = filesystemOptions(nil, o.data)
	for _, word := range o.words {
		if word != "silent" && word != "loud" {
			step.Options = append(step.Options, word)
		}
	}
	own := c.ownFilesystem(target)
	if o.clear&unix.MOUNT_ATTR_RDONLY != 0 && own && c.mountedReadOnly(target) {
		step.Options = append(step.Options, "rw")
	}
	if len(step.Options) > 0 && !own {
		return fmt.Errorf("options %q would change a file system of the host: with the option bind, a remount changes the mount alone", step.Options)
	}
	c.plan.Add(field, step)
	return nil
}

// ownFilesystem reports whether the config mounts a filesystem there that nobody else has.
func (c *compiler) ownFilesystem(target string) bool {
	own := false
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o, err := parse(m.Options); err == nil && !o.remount && path.Clean("/"+m.Destination) == target {
			own = !o.bind && m.Type != "bind" && !c.shared(m.Type)
		}
	}
	return own
}

// shared reports whether all mounts of a type of filesystem show the same one, that of the host or of a namespace
// which the container has not for itself.
func (c *compiler) shared(fstype string) bool {
	switch fstype {
	case "mqueue":
		return (c.New|c.Owned)&unix.CLONE_NEWIPC == 0
	case "sysfs":
		return (c.New|c.Owned)&unix.CLONE_NEWNET == 0
	case "proc": // each mount has options of its own since Linux 5.8, but for the one that is shown instead
		return c.UserNamespace && (c.New|c.Owned)&unix.CLONE_NEWPID == 0
	case "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "pstore", "efivarfs", "selinuxfs", "fusectl", "devtmpfs":
		return true
	}
	return false
}

// mountedReadOnly says whether the config mounts a filesystem there that is read-only as a whole. Those of
// the host stay as they are.
func (c *compiler) mountedReadOnly(target string) bool {
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o, err := parse(m.Options); err == nil && !o.bind && !o.remount && m.Type != "bind" && path.Clean("/"+m.Destination) == target && o.flags&unix.MS_RDONLY != 0 {
			return true
		}
	}
	return false
}

// filesystemOptions adds the options of a mount's data to list, one by one.
func filesystemOptions(list []string, data string) []string {
	for part := range strings.SplitSeq(data, ",") {
		switch {
		case part == "":
		case part[0] >= '0' && part[0] <= '9' && len(list) > 0: // mpol=bind:0,2
			list[len(list)-1] += "," + part
		default:
			list = append(list, part)
		}
	}
	return list
}

// named says whether an option of list begins so.
func named(list []string, prefix string) bool {
	return slices.ContainsFunc(list, func(option string) bool { return strings.HasPrefix(option, prefix) })
}

func (c *compiler) filesystem(field string, m *specs.Mount, target string, o options) error {
	switch {
	case m.Type == "":
		return fmt.Errorf("no type, and neither bind nor rbind among its options")
	case o.copyUp && m.Type != "tmpfs":
		return fmt.Errorf("option tmpcopyup is for tmpfs, not %s", m.Type)
	case o.data != "" && (m.Type == "debugfs" || m.Type == "tracefs" || m.Type == "pstore"):
		return fmt.Errorf("options %q would change the %s of the host, which has one for all", o.data, m.Type)
	case o.idmap || len(m.UIDMappings) > 0:
		return fmt.Errorf("id mappings are for bind mounts, not %s", m.Type)
	}
	if done, err := c.foreign(field, m, target, o); done {
		return err
	}
	if o.copyUp {
		return c.copyUp(field, m.Source, target, o)
	}
	step := plan.Mount{
		Type: m.Type, Source: m.Source, Target: target, Data: o.data,
		// mount(2) has no recursive attributes, and a new filesystem nothing below it.
		Flags: o.flags | recursiveFlags(o), Propagation: o.propagation,
		NoFollow: m.Type == "proc" || m.Type == "sysfs",
		// As with runc and crun: /run of an image must not become writable for all.
		KeepMode: m.Type == "tmpfs" && !strings.Contains(","+o.data, ",mode="),
	}
	if step.Source == "" {
		step.Source = m.Type
	}
	if label := c.label(m.Type); label != "" {
		step.Data = strings.TrimPrefix(step.Data+","+label, ",")
	}
	if (target == "/dev" || m.Type == "tmpfs") && step.Flags&unix.MS_RDONLY != 0 {
		step.Flags &^= unix.MS_RDONLY
		c.readOnlyLate(field, target)
	}
	c.plan.Add(field, step)
	return nil
}

// readOnlyLate makes a mount read-only in the end: devices, and targets of other mounts, are still to be made in it.
func (c *compiler) readOnlyLate(field, target string) {
	c.late = append(c.late, plan.Entry{Field: field, Step: plan.Remount{Target: target, Set: unix.MOUNT_ATTR_RDONLY}})
}

// settle carries out at once, or drops, what would be done late to the wrong mount: the next one covers the
// right one, or makes it writable.
func (c *compiler) settle(target string, o options) {
	c.late = slices.DeleteFunc(c.late, func(e plan.Entry) bool {
		at := e.Step.(plan.Remount).Target
		if o.remount {
			return at == target && (o.clear|o.recClear)&unix.MOUNT_ATTR_RDONLY != 0
		}
		covered := at == target || strings.HasPrefix(at, target+"/")
		if covered {
			c.plan.Add(e.Field, e.Step)
		}
		return covered
	})
}

// copyUp has its filesystem filled before it is mounted, by descriptor: the
// target's name may lead elsewhere by then, if others write to a directory on the way.
func (c *compiler) copyUp(field, source, target string, o options) error {
	if source == "" {
		source = "tmpfs"
	}
	set, _ := o.top()
	step := plan.CopyUp{Proc: c.Proc(), Target: target, Set: (set | o.recSet) &^ unix.MOUNT_ATTR_RDONLY, Propagation: o.propagation}
	if (set|o.recSet)&unix.MOUNT_ATTR_RDONLY != 0 {
		c.readOnlyLate(field, target)
	}
	step.Options = filesystemOptions([]string{"source=" + source}, o.data)
	step.OwnUID, step.OwnGID, step.OwnMode = named(step.Options, "uid="), named(step.Options, "gid="), named(step.Options, "mode=")
	for _, f := range [...]struct {
		flag uint64
		name string
	}{{unix.MS_SYNCHRONOUS, "sync"}, {unix.MS_DIRSYNC, "dirsync"}, {unix.MS_LAZYTIME, "lazytime"}, {unix.MS_MANDLOCK, "mand"}} {
		if o.flags&f.flag != 0 {
			step.Options = append(step.Options, f.name)
		}
	}
	if c.label("tmpfs") != "" {
		step.Options = append(step.Options, c.contextType()+"="+c.spec.Linux.MountLabel) // fsconfig(2) takes it without quotes
	}
	c.plan.Add(field, step)
	return nil
}

// recursiveFlags returns the MS_* forms of the recursive attributes.
func recursiveFlags(o options) uint64 {
	var f uint64
	for _, b := range [...]struct{ attr, flag uint64 }{
		{unix.MOUNT_ATTR_RDONLY, unix.MS_RDONLY}, {unix.MOUNT_ATTR_NOSUID, unix.MS_NOSUID},
		{unix.MOUNT_ATTR_NODEV, unix.MS_NODEV}, {unix.MOUNT_ATTR_NOEXEC, unix.MS_NOEXEC},
		{unix.MOUNT_ATTR_NOATIME, unix.MS_NOATIME}, {unix.MOUNT_ATTR_STRICTATIME, unix.MS_STRICTATIME},
		{unix.MOUNT_ATTR_NODIRATIME, unix.MS_NODIRATIME}, {unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MS_NOSYMFOLLOW},
	} {
		if o.recSet&b.attr != 0 {
			f |= b.flag
		}
	}
	return f
}

func (c *compiler) contextType() string {
	if c.ContextType == "" {
		return "context"
	}
	return c.ContextType
}

// label returns the SELinux context option for filesystems that take one.
func (c *compiler) label(fstype string) string {
	if !c.MountLabel || c.spec.Linux == nil || c.spec.Linux.MountLabel == "" {
		return ""
	}
	switch fstype {
	case "tmpfs", "devpts", "mqueue": // proc and sysfs are labelled by policy
		return fmt.Sprintf("%s=%q", c.contextType(), c.spec.Linux.MountLabel)
	}
	return ""
}

func (c *compiler) bind(field string, m *specs.Mount, target string, o options) error {
	switch {
	case o.copyUp:
		return fmt.Errorf("option tmpcopyup is for tmpfs, not for bind mounts")
	case m.Source == "":
		return fmt.Errorf("source: missing; a bind mount needs one")
	}
	from := m.Source
	if !path.IsAbs(from) {
		from = path.Join(c.Bundle, from) // config.md, "Mounts"
	}
	if o.copyLink {
		if link, is, err := c.link(from); err != nil {
			return err
		} else if is {
			c.plan.Add(field, plan.Symlink{Target: link, Link: target, Exact: true})
			return nil
		}
		o.sourceLink = true // not what becomes a link meanwhile
	}
	c.hostSys = c.hostSys || o.recursive && target == "/sys"
	step := plan.Bind{
		Source: from, Target: target, Propagation: o.propagation &^ unix.MS_REC,
		RecSet: o.recSet, RecClear: o.recClear,
	}
	step.Set, step.Clear = o.top()
	step.Drop = o.dropped()
	if o.recursive {
		step.How |= plan.BindRecursive
	}
	if o.noFollow || target == "/proc" || target == "/sys" { // the host's, as a rule
		step.How |= plan.BindNoLinks
	}
	if o.targetLink {
		step.How |= plan.BindTargetLink
	}
	topAlone := o.recursive && o.propagation != 0 && o.propagation&unix.MS_REC == 0
	if o.propagation == 0 || topAlone && !c.sharedRoot() {
		// As if it were copied after "/" became a slave.
		step.Propagation = unix.MS_SLAVE
	} else if topAlone {
		step.Propagation = 0
	}
	if err := c.bindSource(field, m, o, &step); err != nil {
		return err
	}
	c.plan.Add(field, step)
	if topAlone && o.propagation != step.Propagation {
		c.plan.Add(field, plan.Remount{Target: target, Propagation: o.propagation})
	}
	return nil
}

// bindSource decides who copies the source of a bind mount, and whether it lies on the host or in the container.
func (c *compiler) bindSource(field string, m *specs.Mount, o options, step *plan.Bind) error {
	if o.idmap || len(m.UIDMappings) > 0 {
		return c.mappedSource(field, m, o, step)
	}
	if inside, is := c.inside(step.Source); is {
		step.Source, step.How = inside, step.How|plan.BindInRoot
		if o.sourceLink {
			step.How |= plan.BindSourceLink
		}
		return nil
	}
	if c.byStage() {
		step.Tree = c.source(field+".source", plan.Source{Path: step.Source, Recursive: o.recursive, Link: o.sourceLink})
		if step.Propagation == unix.MS_SLAVE && o.propagation == 0 && !c.ByPath { // it is one
			step.Propagation = 0
		}
		return nil
	}
	step.Tree = c.plan.Open(c.tree(field, step, o))
	return nil
}

func (c *compiler) tree(field string, step *plan.Bind, o options) plan.Descriptor {
	d := plan.Descriptor{Kind: plan.Tree, Path: step.Source, Field: field + ".source", Within: c.Within, Link: o.sourceLink}
	if o.recursive {
		d.Kind = plan.TreeRecursive
	}
	return d
}

// mappedSource has davit copy a tree and map its ids, before the container's first mount.
func (c *compiler) mappedSource(field string, m *specs.Mount, o options, step *plan.Bind) error {
	tree := c.tree(field, step, o)
	tree.MapsAll, tree.Within = o.ridmap, c.Within || c.New&unix.CLONE_NEWNS != 0 && !c.sharedRoot()
	var err error
	if tree.Maps, err = c.idmap(m, o); err != nil {
		return err
	}
	if tree.Maps == "" {
		tree.Namespace = c.UserNS
	}
	if inside, is := c.inside(step.Source); is {
		if i := c.covering(field, inside, o.recursive); i >= 0 {
			return fmt.Errorf("id mappings of a source that mounts[%d] shows in the container are not supported: give its source on the host", i)
		}
		tree.Path, tree.Below = inside, Path(c.spec, c.Bundle)
	}
	step.Source = ""
	step.Tree = c.plan.Open(tree)
	return nil
}

// covering returns which mount before field in the list may have what a path of the container leads to, -1 for none.
func (c *compiler) covering(field, inside string, recursive bool) int {
	for i := range c.spec.Mounts {
		if fmt.Sprintf("mounts[%d]", i) == field {
			break
		}
		at := path.Clean("/" + c.spec.Mounts[i].Destination)
		if at == inside || strings.HasPrefix(inside, at+"/") || recursive && strings.HasPrefix(at, strings.TrimSuffix(inside, "/")+"/") {
			return i
		}
	}
	return -1
}

// link returns where the source of a bind mount points, if it is a symbolic link.
func (c *compiler) link(source string) (text string, is bool, err error) {
	if _, inside := c.inside(source); inside {
		return "", false, fmt.Errorf("option copy-symlink is for links of the host: %s lies in the container's own root", source)
	}
	if c.ReadLink == nil {
		return "", false, nil
	}
	return c.ReadLink(source)
}

// inside returns where in the container's root a source lies, if it does: a mount before it in the list may have made
// it. A path of the host would lead where the image has it lead.
func (c *compiler) inside(source string) (string, bool) {
	root, source := Path(c.spec, c.Bundle), path.Clean(source)
	if root == "/" {
		return "", false
	}
	if rest, ok := strings.CutPrefix(source, root); ok && (rest == "" || rest[0] == '/') {
		return "/" + strings.TrimPrefix(rest, "/"), true
	}
	if c.SameDir == nil {
		return "", false
	}
	name := "/" + path.Base(root) // it has this name in other directories, too, that are links
	for at := 0; ; {
		i := strings.Index(source[at:], name)
		if i < 0 {
			return "", false
		}
		at += i + len(name)
		if rest := source[at:]; (rest == "" || rest[0] == '/') && c.SameDir(source[:at], root) {
			return "/" + strings.TrimPrefix(rest, "/"), true
		}
	}
}

// sharedRoot says whether the container's mounts are to be shared with the host's, as engines ask for with a shared bind.
func (c *compiler) sharedRoot() bool {
	if c.spec.Linux == nil {
		return false
	}
	flags, _ := Propagation(c.spec.Linux.RootfsPropagation)
	return flags&unix.MS_SHARED != 0
}

// idmap returns the mappings that a mount gets: its own, or the container's. If the container joins a user namespace by path,
// they are that one's, and the result is empty.
func (c *compiler) idmap(m *specs.Mount, o options) (string, error) {
	if c.ByPath {
		return "", fmt.Errorf("an idmapped mount needs root (CAP_SYS_ADMIN on the host)")
	}
	uids, gids := m.UIDMappings, m.GIDMappings
	if o.maps != "" {
		if len(uids) > 0 || len(gids) > 0 {
			return "", fmt.Errorf("mappings both in option idmap= and in uidMappings and gidMappings")
		}
		linux := c.spec.Linux
		if linux == nil {
			linux = &specs.Linux{}
		}
		var err error
		if uids, gids, err = config.ParseIDMap(o.maps, linux.UIDMappings, linux.GIDMappings); err != nil {
			return "", fmt.Errorf("option idmap=: %w", err)
		}
	}
	if len(uids) == 0 && len(gids) == 0 {
		if c.UserNS != plan.NoFD {
			return "", nil
		}
		if c.spec.Linux == nil || len(c.spec.Linux.UIDMappings) == 0 {
			return "", fmt.Errorf("option idmap without uidMappings and gidMappings, and no user namespace to take them from")
		}
		uids, gids = c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings
	}
	if len(uids) == 0 || len(gids) == 0 {
		return "", fmt.Errorf("uidMappings and gidMappings go together")
	}
	return IDMap(uids) + "\x00" + IDMap(gids), nil
}

// IDMap returns mappings in the form of /proc/PID/uid_map.
func IDMap(maps []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

// cgroup shows the container's cgroups. With a cgroup namespace the kernel
// confines the view; without one, only the container's own directories are
// shown on v1, and on v2 the whole tree, as the config asks for by leaving
// the namespace out. Type cgroup is whatever the host has, cgroup2 is v2 beside v1, too.
func (c *compiler) cgroup(field, fstype, target string, o options) error {
	o.flags |= recursiveFlags(o) // mount(2) has none of its own
	own := c.New&unix.CLONE_NEWCGROUP != 0
	if c.Cgroups2 || fstype == "cgroup2" {
		// Without a cgroup namespace of the container's own, options of a new mount would become the host's, or take the
		// host's away: cgroup2 has one set for all. What the host has is shown, and what it has been mounted with stays.
		dir := ""
		switch {
		case own:
		case c.UserNamespace: // nothing but its own subtree (CVE-2023-25809)
			dir = c.cgroup2()
		case !c.JoinedCgroup:
			dir = c.HostCgroup2
		}
		if dir != "" {
			if o.data != "" {
				c.plan.Add(field, plan.Options{Type: "cgroup2", Options: filesystemOptions(nil, o.data)})
			}
			return c.bindCgroup(field, dir, target, o)
		}
		if c.hostSys && strings.HasPrefix(target, "/sys/") {
			// It may have a cgroup2 there, over which the kernel does not mount the same (EBUSY): something comes between.
			c.plan.Add(field, plan.Mount{Type: "tmpfs", Source: "tmpfs", Target: target, Data: "mode=755,nr_inodes=2",
				Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, NoFollow: true})
		}
		c.plan.Add(field, plan.Mount{Type: "cgroup2", Source: "cgroup", Target: target, Data: o.data, Flags: o.flags, Propagation: o.propagation, NoFollow: true})
		return nil
	}
	if o.data != "" { // what the host has mounted each with stays
		return fmt.Errorf("options %q: unknown to cgroup v1", o.data)
	}
	c.plan.Add(field, plan.Mount{Type: "tmpfs", Source: "tmpfs", Target: target, Data: "mode=755", Flags: o.flags &^ unix.MS_RDONLY, Propagation: o.propagation, NoFollow: true})
	for _, h := range c.Hierarchies {
		if h.Options == "" { // the v2 side of a hybrid host
			continue
		}
		at := path.Join(target, h.Name)
		if own {
			c.plan.Add(field, plan.Mount{Type: "cgroup", Source: "cgroup", Target: at, Data: h.Options, Flags: o.flags, NoFollow: true})
		} else if err := c.bindCgroup(field, h.Dir, at, o); err != nil {
			return err
		}
		for _, link := range h.Links {
			c.plan.Add(field, plan.Symlink{Target: h.Name, Link: path.Join(target, link)})
		}
	}
	if o.flags&unix.MS_RDONLY != 0 {
		c.plan.Add(field, plan.Remount{Target: target, Set: unix.MOUNT_ATTR_RDONLY})
	}
	return nil
}

// cgroup2 is the host's directory of the container's v2 cgroup; without one, what a v2 host has.
func (c *compiler) cgroup2() string {
	for _, h := range c.Hierarchies {
		if h.Options == "" {
			return h.Dir
		}
	}
	if c.Cgroups2 {
		return "/sys/fs/cgroup"
	}
	return ""
}

// bindCgroup shows a directory that does not exist yet: the stage opens it, once it has been put there.
func (c *compiler) bindCgroup(field, dir, target string, o options) error {
	byPath := *c
	byPath.ByPath, o.noFollow, o.flagged = true, true, false
	err := byPath.bind(field, &specs.Mount{Source: dir}, target, o)
	c.sources = byPath.sources
	return err
}
