package rootfs

import (
	"fmt"
	"strings"

	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// shown returns the namespace that a type of filesystem shows, and where a host has such a one; 0 for all other types. The kernel
// makes one only for a process that has CAP_SYS_ADMIN in the user namespace that owns the shown one.
func shown(fstype string) (namespace uint64, host string) {
	switch fstype {
	case "sysfs":
		return unix.CLONE_NEWNET, "/sys"
	case "proc":
		return unix.CLONE_NEWPID, "/proc"
	case "mqueue":
		return unix.CLONE_NEWIPC, "/dev/mqueue"
	}
	return 0, ""
}

// HostPath returns the path where a host usually has a filesystem of a type that shows a namespace, such as /proc for proc.
func HostPath(fstype string) string {
	_, path := shown(fstype)
	return path
}

// foreign adds a filesystem that the stage cannot make, since the container's user namespace does not own the namespace that
// is to be seen in it. done is false for all others.
//
// A namespace that the container joins is shown by an instance that davit makes of it. One that the config does not list is
// davit's own: the container sees the host's filesystem. That may be of another namespace, though, where davit was
// started in new ones without new filesystems (as by `unshare -Urn`): there davit makes an instance, too.
func (c *Root) foreign(field string, m *specs.Mount, target string, o options) (done bool, err error) {
	shows, hosts := shown(m.Type)
	if shows == 0 || !c.UserNamespace || (c.New|c.Owned)&shows != 0 {
		return false, nil
	}
	joined := c.Foreign[shows]
	set, clear := o.top()
	// What lies below is no less read-only than the whole (CVE-2023-25809).
	// But access times, which the kernel has locked (EPERM), and which nobody misses here.
	recSet, recClear := (o.recSet|set)&^atime, o.recClear&^atime
	if joined == plan.NoFD && (c.Own&shows == 0 || c.ByPath) {
		o.bind, o.recursive, o.data, o.noFollow, o.flagged = true, true, "", m.Type != "mqueue", false
		o.set, o.clear, o.recSet, o.recClear = 0, clear&^atime, recSet, recClear
		return true, c.bind(field, &specs.Mount{Destination: m.Destination, Source: hosts}, target, o)
	}
	tree := plan.Descriptor{Kind: plan.Instance, Path: m.Type, Flags: shows, Namespace: joined, Field: field, Options: filesystemOptions([]string{"source=" + m.Type}, o.data), Set: recSet}
	step := plan.Bind{Target: target, How: plan.BindRecursive, Clear: clear &^ atime, RecSet: recSet, RecClear: recClear, Propagation: o.propagation &^ unix.MS_REC}
	if m.Type != "mqueue" {
		step.How |= plan.BindNoLinks
	}
	if joined == plan.NoFD {
		step.Source = hosts
		if c.stays != "" {
			step.How |= plan.BindAgain
		}
		c.hostSys = c.hostSys || target == "/sys"
	}
	for _, option := range tree.Options {
		if strings.HasPrefix(option, "gid=") || strings.HasPrefix(option, "uid=") {
			return true, fmt.Errorf("option %s: the %s is of a namespace that belongs to another user namespace, in which the id is another one", option, m.Type)
		}
	}
	if step.Propagation == 0 {
		step.Propagation = unix.MS_SLAVE
	}
	step.Tree = c.plan.Open(tree)
	c.plan.Add(field, step)
	return true, nil
}
