package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// isRemounted reports whether a later remount changes the mount that is compiled, and nothing covers it before that. Then it is changed by its
// descriptor: in a volume, another container could move its name.
func (c *Root) isRemounted(target string) bool {
	if c.kept == nil || c.inState {
		return false
	}
	for _, m := range c.spec.Mounts[c.index+1:] {
		if at := path.Clean("/" + m.Destination); at == target {
			return slices.Contains(m.Options, "remount")
		} else if strings.HasPrefix(target, at+"/") {
			return false
		}
	}
	return false
}

// keepFor returns fd, or a new descriptor, for the remount that isRemounted has found.
func (c *Root) keepFor(field, target string, fd plan.FD) plan.FD {
	if fd == plan.NoFD {
		fd = c.keep(field, target)
	}
	c.kept[target] = fd
	return fd
}

// remount changes what is mounted there, be it a bind mount or not. Only as a bind mount it has no filesystem's
// options: those that mount(2) ignores then, package spec warns of.
func (c *Root) remount(field, target string, o options) error {
	set, clear := o.top()
	step := plan.Remount{Tree: c.kept[target], Target: target, Set: set | o.recSet, Clear: clear | o.recClear, Propagation: o.propagation}
	delete(c.kept, target) // the step closes it
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

// nameless reports whether a type of filesystem looks nothing up by name when it is mounted: neither its source nor an option
// is a path. Others, such as that on a block device or overlay, find their files in the root directory of who mounts them.
func nameless(fstype string) bool {
	switch fstype {
	case "tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "hugetlbfs", "bpf", "binfmt_misc":
		return true
	case "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "pstore", "efivarfs", "selinuxfs", "fusectl", "devtmpfs":
		return true
	}
	return false
}

// ownFilesystem reports whether the config mounts a filesystem at target that only this container has.
func (c *Root) ownFilesystem(target string) bool {
	own := false
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o, err := parse(m.Options); err == nil && !o.remount && path.Clean("/"+m.Destination) == target {
			own = !o.bind && m.Type != "bind" && c.ownInstance(m.Type)
		}
	}
	return own
}

// ownInstance reports whether each mount of a type of filesystem has a superblock of its own, or one of a namespace that the
// container has for itself. All mounts of a block device share one, which the host may have mounted, too; so do those of most
// network filesystems.
func (c *Root) ownInstance(fstype string) bool {
	switch fstype {
	case "tmpfs", "ramfs", "devpts", "hugetlbfs", "bpf", "overlay":
		return true
	case "mqueue":
		return (c.New|c.Owned)&unix.CLONE_NEWIPC != 0
	case "sysfs":
		return (c.New|c.Owned)&unix.CLONE_NEWNET != 0
	case "proc": // each mount has options of its own since Linux 5.8, but for the one that is shown instead
		return !c.UserNamespace || (c.New|c.Owned)&unix.CLONE_NEWPID != 0
	}
	return false
}

// mountedReadOnly reports whether the config mounts a filesystem there that is read-only as a whole. Filesystems of the host stay as
// they are.
func (c *Root) mountedReadOnly(target string) bool {
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

// named reports whether an option of list begins with a name.
func named(list []string, prefix string) bool {
	return slices.ContainsFunc(list, func(option string) bool { return strings.HasPrefix(option, prefix) })
}

func (c *Root) filesystem(field string, m *specs.Mount, target string, o options) error {
	switch {
	case m.Type == "":
		return fmt.Errorf("no type, and neither bind nor rbind among its options")
	case o.copyUp && m.Type != "tmpfs":
		return fmt.Errorf("option tmpcopyup is for tmpfs, not %s", m.Type)
	case o.data != "" && (m.Type == "debugfs" || m.Type == "tracefs" || m.Type == "pstore"):
		return fmt.Errorf("options %q would change the %s of the host, which has only one for all mounts", o.data, m.Type)
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
		Host:     !nameless(m.Type),
		// As with runc and crun: /run of an image must not become writable for all.
		KeepMode: m.Type == "tmpfs" && !strings.Contains(","+o.data, ",mode="),
	}
	if step.Source == "" {
		step.Source = m.Type
	}
	if step.Host {
		if err := c.filesBelow(field, &step); err != nil {
			return err
		}
	}
	if label := c.label(m.Type); label != "" {
		step.Data = strings.TrimPrefix(step.Data+","+label, ",")
	}
	late := (target == "/dev" || m.Type == "tmpfs") && step.Flags&unix.MS_RDONLY != 0
	if late {
		step.Flags &^= unix.MS_RDONLY
	}
	revealing := m.Type == "proc" || m.Type == "sysfs"
	remounted := !late && c.isRemounted(target)
	again := late || o.propagation != 0 || remounted // what is mounted is changed once more: by its descriptor
	named := step.Host && m.Type != "overlay" && !path.IsAbs(step.Source)
	switch {
	case revealing && c.UserNamespace && c.stays == "", again && nameless(m.Type) && !strings.Contains(o.data, `"`):
		c.makeFirst(field, &step, o.data)
	case again, named:
		step.Keep = c.keep(field, target)
	}
	switch kept := max(step.Tree, step.Keep); {
	case late:
		c.readOnlyLate(field, target, kept)
	case remounted:
		c.keepFor(field, target, kept)
	}
	c.plan.Add(field, step)
	return nil
}

// keep returns a descriptor for the mount that a step makes.
func (c *Root) keep(field, target string) plan.FD {
	return c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: target, Field: field})
}

// makeFirst adds a step that makes a filesystem before the root is attached. The rest of step then only attaches it.
func (c *Root) makeFirst(field string, step *plan.Mount, data string) {
	first := plan.Filesystem{Type: step.Type, Target: step.Target, Options: filesystemOptions([]string{"source=" + step.Source}, data)}
	for _, f := range [...]struct {
		flag, attribute uint64
		option          string
	}{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, "ro"}, {unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, ""},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, ""}, {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, ""},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, ""}, {unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
		{unix.MS_SYNCHRONOUS, 0, "sync"}, {unix.MS_DIRSYNC, 0, "dirsync"}, {unix.MS_LAZYTIME, 0, "lazytime"}, {unix.MS_MANDLOCK, 0, "mand"},
	} {
		if step.Flags&f.flag != 0 {
			first.Set |= f.attribute
			if f.option != "" {
				first.Options = append(first.Options, f.option)
			}
		}
	}
	switch { // as mount(2) has them: the last one counts
	case step.Flags&unix.MS_STRICTATIME != 0:
		first.Set |= unix.MOUNT_ATTR_STRICTATIME
	case step.Flags&unix.MS_NOATIME != 0:
		first.Set |= unix.MOUNT_ATTR_NOATIME
	}
	if c.label(step.Type) != "" {
		first.Options = append(first.Options, c.contextType()+"="+c.spec.Linux.MountLabel) // fsconfig(2) takes it without quotes
	}
	first.Tree = c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: step.Target, Field: field})
	revealing := step.Type == "proc" || step.Type == "sysfs"
	if c.gathers() && revealing {
		first.Within = c.gatherOnce(field, HostPath(step.Type))
	}
	if c.gathers() && !revealing { // the user namespace does not own the host's mount namespace
		c.plan.Add(field, first)
	} else {
		c.sources = append(c.sources, plan.Entry{Field: field, Step: first})
	}
	step.Tree, step.Source, step.Data, step.Flags = first.Tree, "", "", 0
}

// readOnlyLate makes a mount read-only in the end: devices, and targets of other mounts, are still to be made in it.
func (c *Root) readOnlyLate(field, target string, tree plan.FD) {
	c.late = append(c.late, plan.Entry{Field: field, Step: plan.Remount{Tree: tree, Target: target, Set: unix.MOUNT_ATTR_RDONLY}})
}

// settle carries out a postponed read-only remount now if the next mount is about to cover its target, and drops it if the next one makes
// the target writable.
func (c *Root) settle(target string, o options) {
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
func (c *Root) copyUp(field, source, target string, o options) error {
	if source == "" {
		source = "tmpfs"
	}
	set, _ := o.top()
	step := plan.CopyUp{Proc: c.Proc(), Target: target, Set: (set | o.recSet) &^ unix.MOUNT_ATTR_RDONLY, Propagation: o.propagation}
	if (set|o.recSet)&unix.MOUNT_ATTR_RDONLY != 0 {
		step.Keep = c.keep(field, target)
		c.readOnlyLate(field, target, step.Keep)
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

func (c *Root) contextType() string {
	if c.ContextType == "" {
		return "context"
	}
	return c.ContextType
}

// label returns the SELinux context option, if the filesystem accepts one.
func (c *Root) label(fstype string) string {
	if !c.MountLabel || c.spec.Linux == nil || c.spec.Linux.MountLabel == "" {
		return ""
	}
	switch fstype {
	case "tmpfs", "devpts", "mqueue": // proc and sysfs are labelled by policy
		return fmt.Sprintf("%s=%q", c.contextType(), c.spec.Linux.MountLabel)
	}
	return ""
}
