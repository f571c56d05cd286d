package rootfs

import (
	"fmt"
	"path"
	"strings"

	"davit/internal/config"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (c *Root) bind(field string, m *specs.Mount, target string, o options) error {
	switch {
	case o.copyUp:
		return fmt.Errorf("option tmpcopyup is for tmpfs, not for bind mounts")
	case m.Source == "":
		return fmt.Errorf("source: missing; a bind mount needs one")
	}
	from := OnHost(m.Source, c.Bundle)
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
	topAlone = topAlone && o.propagation != step.Propagation
	// Where the user namespace is to find the mount locked as read-only (gathers), it is that from the start.
	late := step.Set&unix.MOUNT_ATTR_RDONLY != 0 && !c.gathers() && c.laterBelow(target) && c.surrounds(target)
	switch {
	case topAlone || late:
		step.Keep = c.keep(field, target)
	case c.isRemounted(target):
		step.Keep = c.keepFor(field, target, plan.NoFD)
	}
	again := plan.Remount{Tree: step.Keep, Target: target}
	if topAlone {
		again.Propagation = o.propagation
	}
	if late {
		step.Set &^= unix.MOUNT_ATTR_RDONLY
		again.Set = unix.MOUNT_ATTR_RDONLY
	}
	c.plan.Add(field, step)
	switch {
	case late:
		c.around = append(c.around, plan.Entry{Field: field, Step: again})
	case topAlone:
		c.plan.Add(field, again)
	}
	return nil
}

// laterBelow reports whether a later mount has its target below target. Its directory or file may be missing there: as crun
// does, davit makes it before the mount around becomes read-only.
func (c *Root) laterBelow(target string) bool {
	if c.inState {
		return false
	}
	if c.lastBelow == nil {
		c.lastBelow = map[string]int{}
		for i := range c.spec.Mounts {
			for at := path.Dir(path.Clean("/" + c.spec.Mounts[i].Destination)); at != "/"; at = path.Dir(at) {
				c.lastBelow[at] = i
			}
		}
	}
	return c.lastBelow[target] > c.index
}

// surrounds reports whether mounts below target can come right after the mount on it: see mountBelow. They cannot if something comes between that
// copies what lies in the container's root, since it would find another thing there.
func (c *Root) surrounds(target string) bool {
	last := -1
	for i := c.nextBelow(c.index, target); i >= 0; i = c.nextBelow(i, target) {
		last = i
	}
	for i := c.index + 1; i <= last; i++ {
		m := &c.spec.Mounts[i]
		if o, err := parse(m.Options); err != nil || !o.bind && m.Type != "bind" || o.remount {
			continue
		}
		if _, is := c.inside(OnHost(m.Source, c.Bundle)); is {
			return false
		}
	}
	return last >= 0
}

// bindSource decides who copies the source of a bind mount, and whether it lies on the host or in the container.
func (c *Root) bindSource(field string, m *specs.Mount, o options, step *plan.Bind) error {
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
	named := field + ".source"
	if c.inState {
		named = field
	}
	// Only where the host is still there: in the container's root, the same path is the image's.
	if c.bindsLate() && (c.Enters || c.stays != "") && c.MaxDescriptors > 0 && len(c.plan.Descriptors) >= c.MaxDescriptors {
		step.How, c.again = step.How|plan.BindAgain|plan.BindLate, true
		if o.sourceLink {
			step.How |= plan.BindSourceLink
		}
		return nil
	}
	if c.byStage() && !(c.gathers() && c.inState) { // that directory is the host's root's alone
		step.Tree = c.source(named, plan.Source{Path: step.Source, Recursive: o.recursive, Link: o.sourceLink})
		if step.Propagation == unix.MS_SLAVE && o.propagation == 0 && !c.ByPath { // it is one
			step.Propagation = 0
		}
		if o.recursive && c.Enters && !c.gathers() {
			step.How, c.again = step.How|plan.BindAgain, true
		}
		return nil
	}
	if o.recursive && c.stays != "" {
		step.How |= plan.BindAgain
	}
	tree := c.tree(field, step, o)
	if c.inState { // as such it is opened later than the others
		tree.Kind, tree.Field, tree.Within = plan.StateTree, field, false
	}
	step.Tree = c.plan.Open(tree)
	return nil
}

func (c *Root) tree(field string, step *plan.Bind, o options) plan.Descriptor {
	d := plan.Descriptor{Kind: plan.Tree, Path: step.Source, Field: field + ".source", Within: c.Within, Link: o.sourceLink}
	if o.recursive {
		d.Kind = plan.TreeRecursive
	}
	return d
}

// mappedSource adds a descriptor for a tree that the parent copies and gives id mappings, before the container's first mount.
func (c *Root) mappedSource(field string, m *specs.Mount, o options, step *plan.Bind) error {
	tree := c.tree(field, step, o)
	tree.MapsAll, tree.Apart = o.ridmap, c.Enters && !c.gathers()
	tree.Within = c.Within && !c.Enters || c.New&unix.CLONE_NEWNS != 0 && !c.sharedRoot() && !c.Enters
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
	if c.gathers() {
		step.Tree = c.addCopy(field, tree.Path, plan.Copy{From: c.gather(tree.Field, tree.Path, step.Tree), Path: "/", Recursive: o.recursive})
	}
	return nil
}

// covering returns the index of a mount before field that may hold the file to which a path of the container leads, or -1 if there is
// none.
func (c *Root) covering(field, inside string, recursive bool) int {
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

// link returns the text of the source of a bind mount, if that is a symbolic link.
func (c *Root) link(source string) (text string, is bool, err error) {
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
func (c *Root) inside(source string) (string, bool) {
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

// sharedRoot reports whether the container's mounts are shared with the host's. Engines ask for that with a shared bind mount.
func (c *Root) sharedRoot() bool { return sharedRoot(c.spec) }

func sharedRoot(s *specs.Spec) bool {
	if s.Linux == nil {
		return false
	}
	flags, _ := Propagation(s.Linux.RootfsPropagation)
	return flags&unix.MS_SHARED != 0
}

// idmap returns the mappings that a mount gets: its own, or the container's. If the container joins a user namespace by path,
// they are that one's, and the result is empty.
func (c *Root) idmap(m *specs.Mount, o options) (string, error) {
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

// IDMap returns id mappings in the form of /proc/PID/uid_map.
func IDMap(maps []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}
