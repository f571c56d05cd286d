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

// defaults are the devices that every container has (config-linux.md "Default Devices").
var defaults = [...]struct {
	path         string
	major, minor int64
}{
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
}

var links = [...]struct{ target, link string }{
	{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	{"/proc/kcore", "/dev/core"}, {"pts/ptmx", "/dev/ptmx"},
}

// hostsNode is set on the mount of a node of the host's. A device works as before, since read-only is only what
// changes the node itself: its mode and owner are the host's, too.
const hostsNode = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC

// devices adds the steps for device nodes and links. If /dev is a bind mount of a host directory, it stays as it is, and only devices
// elsewhere are made.
func (c *Root) devices() error {
	bound := false
	for _, m := range c.spec.Mounts {
		o, _ := parse(m.Options)
		bound = bound || path.Clean("/"+m.Destination) == "/dev" && (o.bind || m.Type == "bind")
	}
	var config []specs.LinuxDevice
	if c.spec.Linux != nil {
		config = slices.Clone(c.spec.Linux.Devices)
		for i := range config {
			config[i].Path = path.Clean(config[i].Path)
		}
	}
	if bound {
		for i := range config {
			if !strings.HasPrefix(config[i].Path, "/dev/") {
				c.device(fmt.Sprintf("linux.devices[%d]", i), config[i])
			}
		}
		return nil
	}
	given := func(path string) bool {
		for i := range config {
			if config[i].Path == path {
				return true
			}
		}
		return false
	}
	for _, d := range defaults {
		if !given(d.path) && !c.covered(d.path) {
			c.device("", specs.LinuxDevice{Path: d.path, Type: "c", Major: d.major, Minor: d.minor})
		}
	}
	for i := range config {
		c.device(fmt.Sprintf("linux.devices[%d]", i), config[i])
	}
	for _, l := range links {
		if !given(l.link) {
			c.plan.Add("", plan.Symlink{Target: l.target, Link: l.link})
		}
	}
	return nil
}

// covered says whether the config mounts something in place of a default device, such as /dev/urandom on
// /dev/random, and no other /dev over it.
func (c *Root) covered(device string) bool {
	found := false
	for i := range c.spec.Mounts {
		switch m := &c.spec.Mounts[i]; {
		case slices.Contains(m.Options, "remount"):
		case path.Clean("/"+m.Destination) == device:
			found = true
		case path.Clean("/"+m.Destination) == "/dev":
			found = false
		}
	}
	return found
}

func (c *Root) device(field string, d specs.LinuxDevice) {
	mode := uint64(unix.S_IFCHR) // c, u
	switch d.Type {
	case "b":
		mode = unix.S_IFBLK
	case "p":
		mode = unix.S_IFIFO
	}
	rdev := uint64(0)
	if d.Type != "p" {
		rdev = uint64(d.Major)<<32 | uint64(d.Minor)
	}
	if c.UserNamespace && d.Type != "p" {
		// mknod(2) is refused in a user namespace. The parent makes a node for the container if it can; otherwise the
		// host's own is shown, if it is that device.
		step := plan.Bind{Source: d.Path, Target: d.Path, Propagation: unix.MS_SLAVE, Set: hostsNode}
		if field != "" {
			step.Type, step.Rdev = mode, rdev
		}
		if node, ok := c.ownNode(field, &d, mode, rdev); ok {
			step.Tree, step.Set = node, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC
		} else if c.ByPath || c.gathers() {
			step.Tree = c.source(field, plan.Source{Path: d.Path})
		} else {
			step.Tree = c.plan.Open(plan.Descriptor{Kind: plan.Tree, Path: d.Path, Field: field, Within: c.Within})
		}
		c.plan.Add(field, step)
		return
	}
	if d.FileMode != nil {
		mode |= uint64(*d.FileMode) & 0o7777
	} else {
		mode |= 0o666
	}
	step := plan.Device{Path: d.Path, Mode: mode, Rdev: rdev}
	if d.UID != nil {
		step.UID = uint64(*d.UID)
	}
	if d.GID != nil {
		step.GID = uint64(*d.GID)
	}
	c.plan.Add(field, step)
}
