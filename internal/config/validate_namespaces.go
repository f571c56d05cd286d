package config

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var namespaceTypes = [...]string{"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}

// namespaces has what linux.namespaces says, in the form that other checks need.
type namespaces struct {
	linux   *specs.Linux
	listed  [len(namespaceTypes)]bool
	created [len(namespaceTypes)]bool // listed, without a path
}

func readNamespaces(linux *specs.Linux) *namespaces {
	ns := &namespaces{linux: linux}
	for _, n := range linux.Namespaces {
		for i, t := range &namespaceTypes {
			if string(n.Type) == t {
				ns.listed[i] = true
				ns.created[i] = n.Path == ""
			}
		}
	}
	return ns
}

func namespaceIndex(t specs.LinuxNamespaceType) int {
	for i, known := range &namespaceTypes {
		if known == string(t) {
			return i
		}
	}
	panic("no namespace type: " + string(t))
}

// has reports whether the container gets a new namespace of that type or joins one.
func (ns *namespaces) has(t specs.LinuxNamespaceType) bool { return ns.listed[namespaceIndex(t)] }

// makes reports whether a namespace of that type is made for the container.
func (ns *namespaces) makes(t specs.LinuxNamespaceType) bool { return ns.created[namespaceIndex(t)] }

// uids returns the mappings of the user namespace that is made for the container; nil if none is
// made, or if nothing is known about it.
func (ns *namespaces) uids() []specs.LinuxIDMapping {
	if ns == nil || !ns.makes(specs.UserNamespace) {
		return nil
	}
	return ns.linux.UIDMappings
}

func (ns *namespaces) gids() []specs.LinuxIDMapping {
	if ns == nil || !ns.makes(specs.UserNamespace) {
		return nil
	}
	return ns.linux.GIDMappings
}

// namespaces checks linux.namespaces, the mappings and the time offsets.
func (c *checker) namespaces(linux *specs.Linux, ns *namespaces) {
	list := linux.Namespaces
	for i := range list {
		n, m := &list[i], c.mark()
		c.choice("type", "namespace type", string(n.Type), namespaceTypes[:])
		if n.Path != "" {
			c.absolute("path", n.Path)
		}
		for j := range list[:i] {
			if list[j].Type == n.Type {
				c.problem("type", "%q was given before, in linux.namespaces[%d]", n.Type, j)
			}
		}
		c.at("namespaces", i, m)
	}
	c.userNamespace(linux, ns)
	c.timeOffsets(linux, ns)
}

func (c *checker) userNamespace(linux *specs.Linux, ns *namespaces) {
	if !ns.has(specs.UserNamespace) {
		if c.Rootless {
			c.problem("namespaces", "without root's privileges a container needs a user namespace")
			c.hint("`davit spec --rootless` writes such a config")
		}
		for _, l := range [...]struct {
			field string
			n     int
		}{{"uidMappings", len(linux.UIDMappings)}, {"gidMappings", len(linux.GIDMappings)}} {
			if l.n != 0 {
				c.problem(l.field, "is given, but there is no user namespace")
				c.hint(`add {"type": "user"} to linux.namespaces, or remove %s`, l.field)
			}
		}
		return
	}
	created := ns.makes(specs.UserNamespace)
	c.mappings("uidMappings", linux.UIDMappings, created)
	c.mappings("gidMappings", linux.GIDMappings, created)
}

// maxMappings is how many lines the kernel accepts: UID_GID_MAP_MAX_EXTENTS, user_namespaces(7).
const maxMappings = 340

// mappings checks id mappings as the kernel does (map_write of kernel/user_namespace.c). Those of a
// user namespace must map root, since davit sets the container up as root.
func (c *checker) mappings(field string, list []specs.LinuxIDMapping, needsRoot bool) {
	if len(list) == 0 {
		if needsRoot {
			c.problem(field, "is missing: a new user namespace needs mappings")
			c.hint(`for example "%s": [{"containerID": 0, "hostID": 100000, "size": 65536}]`, field)
		}
		return
	}
	if len(list) > maxMappings {
		c.problem(field, "has %d entries, more than the %d that the kernel takes", len(list), maxMappings)
	}
	for i := range list {
		c.mapping(element(field, i), list, i)
	}
	if needsRoot && !isMapped(list, 0) {
		c.problem(field, "does not map id 0 of the container, as which it is set up")
	}
}

func (c *checker) mapping(field string, list []specs.LinuxIDMapping, i int) {
	x := list[i]
	if x.Size == 0 {
		c.problem(field+".size", "is 0 or missing: the number of ids to map is needed")
		return
	}
	if uint64(x.ContainerID)+uint64(x.Size) > noID || uint64(x.HostID)+uint64(x.Size) > noID {
		c.problem(field, "ids %d (container) and %d (host) with size %d go beyond the last id, which is %d", x.ContainerID, x.HostID, x.Size, uint32(noID-1))
	}
	for j, y := range list[:i] {
		if overlap(x.ContainerID, x.Size, y.ContainerID, y.Size) {
			c.problem(field, "maps ids of the container that entry %d maps as well", j)
		}
		if overlap(x.HostID, x.Size, y.HostID, y.Size) {
			c.problem(field, "maps ids of the host that entry %d maps as well", j)
		}
	}
}

// overlap reports whether two ranges have an id in common.
func overlap(a, aSize, b, bSize uint32) bool {
	return uint64(a) < uint64(b)+uint64(bSize) && uint64(b) < uint64(a)+uint64(aSize)
}

var clocks = [...]string{"monotonic", "boottime"}

func (c *checker) timeOffsets(linux *specs.Linux, ns *namespaces) {
	if len(linux.TimeOffsets) == 0 {
		return
	}
	if !ns.makes(specs.TimeNamespace) {
		c.problem("timeOffsets", "is given, but no time namespace is made for the container: the clocks of one in use cannot be set")
		c.hint(`add {"type": "time"}, without a path, to linux.namespaces, or remove timeOffsets`)
	}
	from := c.mark()
	for name, offset := range linux.TimeOffsets {
		m := c.mark()
		c.choice("", "clock", name, clocks[:])
		if offset.Nanosecs >= 1e9 {
			c.problem("nanosecs", "%d is a second or more: put whole seconds in secs", offset.Nanosecs)
		}
		c.key("timeOffsets", name, m)
	}
	c.sort(from)
}

// hostMounts warns if the container gets no mount namespace of its own.
func (c *checker) hostMounts(ns *namespaces) {
	if !ns.makes(specs.MountNamespace) {
		c.warn("linux.namespaces", "no mount namespace is made for the container: its mounts are visible in the one that it shares, until it is deleted, and it could leave its root directory")
	}
}
