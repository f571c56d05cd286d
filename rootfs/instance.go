package rootfs

import (
	"davit/internal/plan"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// shown are the filesystems that show a namespace, and where a host has them. The kernel makes one only for a process that
// has CAP_SYS_ADMIN in the user namespace that owns the shown one.
var shown = map[string]struct {
	namespace uint64
	host      string
}{
	"sysfs":  {unix.CLONE_NEWNET, "/sys"},
	"proc":   {unix.CLONE_NEWPID, "/proc"},
	"mqueue": {unix.CLONE_NEWIPC, "/dev/mqueue"},
}

// HostPath returns the path where a host usually has a filesystem of a type that shows a namespace, such as /proc for proc.
func HostPath(fstype string) string { return shown[fstype].host }

// foreign adds a filesystem that the stage cannot make, since the container's user namespace does not own the namespace that
// is to be seen in it. done is false for all others.
//
// A namespace that the container joins is shown by an instance that davit makes of it. One that the config does not list is
// davit's own: the container sees the host's filesystem. That may be of another namespace, though, where davit was
// started in new ones without new filesystems (as by `unshare -Urn`): there davit makes an instance, too.
func (c *Root) foreign(field string, m *specs.Mount, target string, o options) (done bool, err error) {
	what, ok := shown[m.Type]
	if !ok || !c.UserNamespace || (c.New|c.Owned)&what.namespace != 0 {
		return false, nil
	}
	joined := c.Foreign[what.namespace]
	set, clear := o.top()
	// What lies below is no less read-only than the whole (CVE-2023-25809).
	// But access times, which the kernel has locked (EPERM), and which nobody misses here.
	recSet, recClear := (o.recSet|set)&^atime, o.recClear&^atime
	if joined == plan.NoFD && (c.Own&what.namespace == 0 || c.ByPath) {
		o.bind, o.recursive, o.data, o.noFollow, o.flagged = true, true, "", m.Type != "mqueue", false
		o.set, o.clear, o.recSet, o.recClear = 0, clear&^atime, recSet, recClear
		return true, c.bind(field, &specs.Mount{Destination: m.Destination, Source: what.host}, target, o)
	}
	tree := plan.Descriptor{Kind: plan.Instance, Path: m.Type, Flags: what.namespace, Namespace: joined, Field: field, Options: filesystemOptions([]string{"source=" + m.Type}, o.data), Set: recSet}
	step := plan.Bind{Target: target, How: plan.BindRecursive, Clear: clear &^ atime, RecSet: recSet, RecClear: recClear, Propagation: o.propagation &^ unix.MS_REC}
	if m.Type != "mqueue" {
		step.How |= plan.BindNoLinks
	}
	if joined == plan.NoFD {
		step.Source = what.host
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
