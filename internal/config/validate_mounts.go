package config

import (
	"slices"
	"strconv"
	"strings"

	"davit/internal/cli"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mounts checks mounts, in the order given.
func (c *checker) mounts(list []specs.Mount, ns *namespaces) {
	for i := range list {
		m := c.mark()
		c.mount(&list[i], ns)
		c.at("mounts", i, m)
	}
}

func (c *checker) mount(m *specs.Mount, ns *namespaces) {
	switch {
	case m.Destination == "":
		c.problem("destination", "is missing: the path in the container")
	case m.Destination[0] != '/':
		c.warn("destination", "%q is not an absolute path: taken as relative to /, which the runtime-spec calls deprecated", m.Destination)
	}
	c.text("destination", m.Destination)
	c.text("type", m.Type)
	c.text("source", m.Source)

	remount := slices.Contains(m.Options, "remount")
	bind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	if bind && !remount && m.Source == "" {
		c.problem("source", "is missing: a bind mount needs a file or directory of the host")
	}
	if !bind && !remount && m.Type == "" {
		c.problem("type", "is missing: a mount needs the type of a file system, or the option bind or rbind")
	}
	for i, o := range m.Options {
		switch {
		case o == "": // ignored, as by runc and crun
		case bind && !IsMountOption(o):
			c.problem(element("options", i), "%q is no option of a bind mount%s", o, cli.Suggest(o, MountOptions()))
			c.hint("the options of a file system are given where that is mounted; a bind mount has those that mount(8) has for all")
		case bind && ofFilesystem(o):
			// mount(2) ignores them, too.
			c.warn(element("options", i), "%q is an option for a file system, which a bind mount cannot change: ignored", o)
		case o == "tmpcopyup" && m.Type != "tmpfs":
			c.problem(element("options", i), "tmpcopyup is for mounts of type tmpfs, not %q", m.Type)
		case !bind:
			c.idOption(i, o, ns)
		}
		if strings.IndexByte(o, 0) >= 0 {
			c.text(element("options", i), o)
		}
	}
	c.idmap(m, bind, ns)
}

// ofFilesystem reports whether a mount option concerns a filesystem of any type as a whole.
func ofFilesystem(option string) bool {
	switch option {
	case "acl", "dirsync", "iversion", "lazytime", "mand", "sync":
		return true
	}
	return false
}

// idOption checks the options uid= and gid= of a filesystem that is mounted in the container's user
// namespace: the kernel refuses ids that the namespace does not map.
func (c *checker) idOption(i int, option string, ns *namespaces) {
	name, value, _ := strings.Cut(option, "=")
	mappings := ns.uids()
	switch name {
	case "uid":
	case "gid":
		mappings = ns.gids()
	default:
		return
	}
	id, err := strconv.ParseUint(value, 10, 32)
	if err == nil && !isMapped(mappings, uint32(id)) {
		c.problem(element("options", i), "%q: linux.%sMappings does not map that id, so that it does not exist in the container", option, name)
		c.hint("map it, or remove the option")
	}
}

// idmap checks the mappings of a mount, and the options that ask for them.
func (c *checker) idmap(m *specs.Mount, bind bool, ns *namespaces) {
	option, maps, given := "", "", false
	for _, o := range m.Options {
		if name, rest, ok := strings.Cut(o, "="); name == "idmap" || name == "ridmap" {
			option, maps, given = name, rest, ok
		}
	}
	mapped := len(m.UIDMappings) != 0 || len(m.GIDMappings) != 0
	if option == "" && !mapped {
		return
	}
	switch {
	case !bind:
		c.problem("", "only bind mounts can be idmapped")
		c.hint("add the option bind or rbind, or remove idmap, ridmap, uidMappings and gidMappings")
	case mapped && len(m.GIDMappings) == 0:
		c.problem("gidMappings", "is missing: it must be given along with uidMappings")
	case mapped && len(m.UIDMappings) == 0:
		c.problem("uidMappings", "is missing: it must be given along with gidMappings")
	case given && mapped:
		c.problem("options", "%s= has mappings, and so has the mount (uidMappings, gidMappings)", option)
	case given:
		if _, _, err := ParseIDMap(maps, ns.uids(), ns.gids()); err != nil {
			c.problem("options", "%s=: %s", option, err)
		}
	case !mapped && !ns.has(specs.UserNamespace):
		c.problem("options", "%s needs mappings: neither does the mount have any, nor has the container a user namespace", option)
		c.hint("give the mount uidMappings and gidMappings")
	}
	c.mappings("uidMappings", m.UIDMappings, false)
	c.mappings("gidMappings", m.GIDMappings, false)
}
