package rootfs

import (
	"fmt"
	"path"
	"strings"

	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroup shows the container's cgroups. With a cgroup namespace the kernel
// confines the view; without one, only the container's own directories are
// shown on v1, and on v2 the whole tree, as the config asks for by leaving
// the namespace out. Type cgroup is whatever the host has, cgroup2 is v2 beside v1, too.
func (c *Root) cgroup(field, fstype, target string, o options) error {
	o.flags |= recursiveFlags(o) // mount(2) has none of its own
	own := c.New&unix.CLONE_NEWCGROUP != 0
	if (c.Cgroups2 || fstype == "cgroup2") && !c.forced1(target) {
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
		step := plan.Mount{Type: "cgroup2", Source: "cgroup", Target: target, Data: o.data, Flags: o.flags, Propagation: o.propagation, NoFollow: true}
		if o.propagation != 0 {
			step.Keep = c.keep(field, target)
		}
		c.plan.Add(field, step)
		return nil
	}
	if o.data != "" { // what the host has mounted each with stays
		return fmt.Errorf("options %q: unknown to cgroup v1", o.data)
	}
	step := plan.Mount{Type: "tmpfs", Source: "tmpfs", Target: target, Data: "mode=755", Flags: o.flags &^ unix.MS_RDONLY, Propagation: o.propagation, NoFollow: true}
	late := o.flags&unix.MS_RDONLY != 0 && c.laterBelow(target) // as Podman has it with --systemd: /sys/fs/cgroup/systemd
	if late || o.propagation != 0 {
		c.makeFirst(field, &step, step.Data)
	}
	if late {
		c.readOnlyLate(field, target, step.Tree)
	}
	c.plan.Add(field, step)
	for _, h := range c.Hierarchies {
		if h.Options == "" || c.forced1(target) && h.Name != "systemd" { // the v2 side of a hybrid host
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
	if o.flags&unix.MS_RDONLY != 0 && !late {
		c.plan.Add(field, plan.Remount{Target: target, Set: unix.MOUNT_ATTR_RDONLY})
	}
	return nil
}

// forced1 reports whether the mount on target is to show v1's hierarchy name=systemd, and nothing else.
func (c *Root) forced1(target string) bool {
	return c.Cgroup1 != "" && path.Clean(c.Cgroup1) == target
}

// cgroup2 is the host's directory of the container's v2 cgroup; without one, what a v2 host has.
func (c *Root) cgroup2() string {
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
func (c *Root) bindCgroup(field, dir, target string, o options) error {
	byPath := *c
	byPath.ByPath, o.noFollow, o.flagged = true, true, false
	err := byPath.bind(field, &specs.Mount{Source: dir}, target, o)
	c.sources, c.again, c.gathered, c.around, c.lastBelow = byPath.sources, byPath.again, byPath.gathered, byPath.around, byPath.lastBelow
	return err
}
