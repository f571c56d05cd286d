package rootfs

import (
	"errors"

	"davit/internal/config"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ownNode has the parent make a device of the config that the host does not have at that path, for a container whose user namespace
// the parent makes, too. It reports false if there is something at the path, or if the parent lacks the privilege. An owner
// that is not mapped becomes the host's root, which the container sees as the overflow id.
func (c *Root) ownNode(field string, d *specs.LinuxDevice, mode, rdev uint64) (plan.FD, bool) {
	if field == "" || !c.MakesNodes || c.ReadLink == nil {
		return plan.NoFD, false
	}
	if _, _, err := c.ReadLink(d.Path); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return plan.NoFD, false
	}
	node := plan.DeviceNode{Mode: mode | 0o666, Rdev: rdev}
	if d.FileMode != nil {
		node.Mode = mode | uint64(*d.FileMode)&0o777
	}
	var uid, gid uint32
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	linux := c.spec.Linux
	node.UID, node.GID = config.HostID(linux.UIDMappings, uid), config.HostID(linux.GIDMappings, gid)
	return c.plan.Open(plan.Descriptor{Kind: plan.Node, Path: d.Path, Field: field, Node: node}), true
}
