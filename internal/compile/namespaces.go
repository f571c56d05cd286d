package compile

import (
	"fmt"
	"slices"
	"strings"

	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/internal/plan"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// enter adds the steps that lead into the container's namespaces, and reports whether the container's user namespace is not davit's.
func (c *Container) enter() (userns bool) {
	p := c.Plan
	joined := c.joins()
	c.newUser = c.New&unix.CLONE_NEWUSER != 0
	userns = c.newUser || joined&unix.CLONE_NEWUSER != 0
	c.enters = c.entersTree(userns)
	now := c.New &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
	if c.enters {
		now &^= unix.CLONE_NEWNS
	}
	fork := userns || joined&unix.CLONE_NEWPID != 0
	// A user cannot write the offsets of a process that is not dumpable, as that becomes with its identity.
	early := c.Unprivileged && c.newUser && len(c.Config.Linux.TimeOffsets) > 0
	switch {
	case fork:
		p.Add("linux.namespaces", plan.Fork{Types: now, Mappable: c.newUser && c.facts.UID() != 0})
		if c.newUser {
			p.Add("linux.uidMappings", plan.Sync{Phase: plan.Mapped})
		}
		if userns && !early {
			p.Add("linux.uidMappings", plan.Identity{})
		}
	default:
		p.Clone = now
	}
	if c.New&unix.CLONE_NEWTIME != 0 { // the parent sets its clocks
		p.Add("linux.namespaces", plan.Unshare{Types: unix.CLONE_NEWTIME})
	}
	c.place()
	if early {
		p.Add("linux.uidMappings", plan.Identity{})
	}
	if c.New&unix.CLONE_NEWTIME != 0 {
		p.Add("linux.namespaces", plan.EnterTime{Proc: c.proc()})
	}
	if c.New&unix.CLONE_NEWCGROUP != 0 {
		p.Add("linux.namespaces", plan.Unshare{Types: unix.CLONE_NEWCGROUP})
	}
	if c.Config.Annotations[config.AnnotationDelegate] != "" {
		p.Add(jsonx.JoinKey("annotations", config.AnnotationDelegate), plan.Sync{Phase: plan.Delegated})
	}
	if !c.NoNewKeyring {
		p.Add("", plan.Keyring{})
	}
	if c.New&unix.CLONE_NEWNET != 0 {
		p.Add("", plan.Loopback{})
	}
	return userns
}

// entersTree reports whether the stage makes the container's mount namespace of its root filesystem alone (step Enter). If not it
// begins with a copy of the host's mounts, of which it lets go: on older kernels, where the config needs them for longer,
// and for a davit that is in a user namespace or lacks capabilities.
func (c *Container) entersTree(userns bool) bool {
	if rootfs.NeedsHost(c.Config, c.New) != "" || c.facts.Enters(userns) != nil {
		return false
	}
	// The kernel makes no namespace of a file, and mappings are given to a tree before that.
	return !userns || !slices.ContainsFunc(c.Config.Mounts, func(m specs.Mount) bool {
		return rootfs.Mapped(&m) && !c.facts.IsDir(rootfs.OnHost(m.Source, c.Bundle))
	})
}

// joins adds the steps that join namespaces. A user namespace owns those after it; the others need privileges that it
// takes away, and come first. It notes how they, and those that the container shares with davit, stand to the container's user namespace.
func (c *Container) joins() (joined uint64) {
	p := c.Plan
	userns, inherited := "", true
	for _, n := range c.Config.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			userns, inherited = n.Path, false
		}
	}
	nested := !c.facts.InitialUserNS()
	var first, then []plan.Entry
	for i, n := range c.Config.Linux.Namespaces {
		flag := config.NamespaceFlag(n.Type)
		if n.Path == "" {
			c.New |= flag
			continue
		}
		joined |= flag
		field := fmt.Sprintf("linux.namespaces[%d].path", i)
		fd := p.Open(plan.Descriptor{Kind: plan.Namespace, Path: n.Path, Flags: flag, Field: field})
		e := plan.Entry{Field: field, Step: plan.Join{FD: fd, Types: flag, Name: n.Path}}
		switch {
		case flag == unix.CLONE_NEWUSER:
			c.userns = fd
			then = slices.Insert(then, 0, e)
			continue
		case userns != "" && c.facts.Owns(userns, n.Path):
			c.owned |= flag
			then = append(then, e)
			continue
		case inherited && nested && c.facts.Owns("", n.Path):
			c.owned |= flag
		case !inherited && flag&shownTypes != 0 && !c.facts.IsIn(n.Path, config.NamespaceFile(n.Type)):
			if c.foreign == nil {
				c.foreign = map[uint64]plan.FD{}
			}
			c.foreign[flag] = fd
		}
		first = append(first, e)
	}
	if nested {
		for _, n := range config.Namespaces {
			if n.Flag&shownTypes&^(c.New|joined) != 0 && c.facts.Owns("", "/proc/self/ns/"+config.NamespaceFile(n.Type)) {
				c.own |= n.Flag
			}
		}
	}
	p.Steps = append(append(p.Steps, first...), then...)
	return joined
}

// shownTypes are the types of namespaces that a procfs, sysfs or mqueue shows.
const shownTypes = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC

// deniesSetgroups reports whether setgroups(2) is denied in the container's user namespace. A namespace below one that denies it denies
// it as well (user_namespaces(7)).
func (c *Container) deniesSetgroups() bool {
	if !c.facts.InitialUserNS() && c.facts.DeniesSetgroups("/proc/self") {
		return true
	}
	for _, n := range c.Config.Linux.Namespaces {
		if n.Type == specs.UserNamespace && n.Path != "" {
			process, is := strings.CutSuffix(n.Path, "/ns/user")
			return is && c.facts.DeniesSetgroups(process)
		}
	}
	// A user who may map only the own group may not drop groups: see mapIDs.
	gids := c.Config.Linux.GIDMappings
	return c.newUser && c.facts.UID() != 0 && len(gids) == 1 && gids[0].Size == 1
}

// TimeOffsets returns the text for /proc/PID/timens_offsets (time_namespaces(7)).
func TimeOffsets(offsets map[string]specs.LinuxTimeOffset) string {
	var b strings.Builder
	for _, clock := range [...]string{"monotonic", "boottime"} {
		if o, ok := offsets[clock]; ok {
			fmt.Fprintf(&b, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	return b.String()
}
