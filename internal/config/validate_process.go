package config

import (
	"math/bits"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// noID is the number that stands for no id: (uid_t)-1.
const noID = 1<<32 - 1

// process checks the process object. ns is nil if the namespaces are not known.
func (c *checker) process(p *specs.Process, ns *namespaces) {
	if p == nil {
		// Without it a container can be created, but not started: runtime.md "Start".
		if c.Exec || c.Start {
			c.problem("", "is missing: there is nothing to run")
		}
		if c.Start {
			c.hint(`add "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}}`)
		}
		return
	}
	c.arguments(p.Args)
	c.environment(p.Env)
	c.absolute("cwd", p.Cwd)
	if p.Terminal && p.ConsoleSize != nil {
		// struct winsize has 16 bits for each.
		if p.ConsoleSize.Height > 65535 || p.ConsoleSize.Width > 65535 {
			c.problem("consoleSize", "%d by %d is more than the 65535 lines and columns that a terminal can have", p.ConsoleSize.Height, p.ConsoleSize.Width)
		}
	}
	c.user(&p.User, ns)
	c.capabilities(p.Capabilities)
	c.rlimits(p.Rlimits)
	c.text("apparmorProfile", p.ApparmorProfile)
	c.text("selinuxLabel", p.SelinuxLabel)
	if a := p.OOMScoreAdj; a != nil && (*a < -1000 || *a > 1000) {
		c.problem("oomScoreAdj", "%d is out of range: from -1000 to 1000", *a)
	}
	c.scheduler(p.Scheduler)
	if io := p.IOPriority; io != nil {
		c.choice("ioPriority.class", "I/O scheduling class", string(io.Class), ioClasses[:])
		if io.Priority < 0 || io.Priority > 7 {
			c.problem("ioPriority.priority", "%d is out of range: from 0, the highest, to 7", io.Priority)
		}
	}
	if a := p.ExecCPUAffinity; a != nil {
		c.list("execCPUAffinity.initial", a.Initial, "CPUs")
		c.list("execCPUAffinity.final", a.Final, "CPUs")
	}
}

var ioClasses = [...]string{"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"}

func (c *checker) arguments(args []string) {
	switch {
	case len(args) == 0:
		c.problem("args", "is missing: the program to run and its arguments")
		if c.Exec {
			c.hint("name a program after the container's id, or in the file of option Process")
		}
		return
	case args[0] == "":
		c.problem("args[0]", "is empty: the program to run is needed")
	}
	for i, arg := range args {
		if strings.IndexByte(arg, 0) >= 0 {
			c.text(element("args", i), arg)
		}
	}
}

// environment checks entries of the form NAME=value.
func (c *checker) environment(env []string) {
	for i, entry := range env {
		switch j := strings.IndexByte(entry, '='); {
		case j < 0:
			c.problem(element("env", i), "%q has no =: NAME=value is needed", entry)
		case j == 0:
			c.problem(element("env", i), "%q has no name: NAME=value is needed", entry)
		case strings.IndexByte(entry, 0) >= 0:
			c.text(element("env", i), entry)
		}
	}
}

func (c *checker) user(u *specs.User, ns *namespaces) {
	c.id("user.uid", u.UID, "uidMappings", ns.uids())
	c.id("user.gid", u.GID, "gidMappings", ns.gids())
	for i, gid := range u.AdditionalGids {
		m := c.mark()
		c.id("", gid, "gidMappings", ns.gids())
		c.at("user.additionalGids", i, m)
	}
	if u.Umask != nil && *u.Umask > 0o777 {
		c.problem("user.umask", "%d is out of range: from 0 to 511 (octal 777)", *u.Umask)
		c.hint("JSON has no octal numbers: 18 is octal 022")
	}
}

// id checks that the user namespace which is made for the container maps an id. name is that of the
// mappings.
func (c *checker) id(field string, id uint32, name string, mappings []specs.LinuxIDMapping) {
	switch {
	case id == noID:
		c.problem(field, "%d is no id: the kernel takes it for -1", id)
	case !isMapped(mappings, id):
		c.problem(field, "%d is not mapped by linux.%s, so that it does not exist in the container", id, name)
		c.hint("map it, or choose an id that is mapped")
	}
}

// isMapped reports whether one of the mappings has an id of the container. Without mappings every
// id counts as mapped.
func isMapped(mappings []specs.LinuxIDMapping, id uint32) bool {
	for _, m := range mappings {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return true
		}
	}
	return len(mappings) == 0
}

// capabilities refuses what capset(2) and prctl(2) would refuse. It only warns of unknown
// capabilities, and of ambient ones that cannot be raised: the spec demands that these are logged
// and no errors.
func (c *checker) capabilities(caps *specs.LinuxCapabilities) {
	if caps == nil {
		return
	}
	bounding := c.capabilitySet("capabilities.bounding", caps.Bounding)
	effective := c.capabilitySet("capabilities.effective", caps.Effective)
	inheritable := c.capabilitySet("capabilities.inheritable", caps.Inheritable)
	permitted := c.capabilitySet("capabilities.permitted", caps.Permitted)
	ambient := c.capabilitySet("capabilities.ambient", caps.Ambient)

	if extra := effective &^ permitted; extra != 0 {
		c.problem("capabilities.effective", "%s not in permitted: the kernel refuses that", capabilityNames(extra))
	}
	if extra := inheritable &^ bounding; extra != 0 {
		c.problem("capabilities.inheritable", "%s not in bounding: the kernel refuses that", capabilityNames(extra))
	}
	if extra := ambient &^ (permitted & inheritable); extra != 0 {
		c.warn("capabilities.ambient", "%s not in both permitted and inheritable, and so cannot be raised: left out", capabilityNames(extra))
	}
}

func (c *checker) capabilitySet(field string, list []string) uint64 {
	var set uint64
	for i, name := range list {
		n, known := Capability(name)
		if !known {
			c.warn(element(field, i), "unknown capability %q: ignored", name)
			continue
		}
		set |= 1 << n
	}
	return set
}

// capabilityNames lists capabilities for a message, followed by the verb.
func capabilityNames(set uint64) string {
	var list []string
	for s := set; s != 0; s &= s - 1 {
		list = append(list, CapabilityName(bits.TrailingZeros64(s)))
	}
	if len(list) == 1 {
		return list[0] + " is"
	}
	return strings.Join(list, ", ") + " are"
}

func (c *checker) rlimits(list []specs.POSIXRlimit) {
	for i := range list {
		r, m := &list[i], c.mark()
		c.choice("type", "resource limit", r.Type, rlimits[:])
		for j := range list[:i] {
			if list[j].Type == r.Type {
				c.problem("type", "%s was given before, in rlimits[%d]", r.Type, j)
			}
		}
		if r.Soft > r.Hard {
			c.problem("soft", "%d is above the hard limit, which is %d", r.Soft, r.Hard)
		}
		c.at("rlimits", i, m)
	}
}

// list checks a list of CPUs or memory nodes such as 0-3,7. An empty one is not set.
func (c *checker) list(field, value, what string) {
	if value == "" {
		return
	}
	if bad, why := badList(value); why != "" {
		c.problem(field, "%q is no list of %s such as 0-3,7: %q %s", value, what, bad, why)
	}
}

// badList returns the first part of a list that is neither a number nor a range.
func badList(list string) (piece, why string) {
	for piece := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(piece), "-")
		a, ok := smallNumber(low)
		if !ok {
			return piece, "is neither a number nor a range"
		}
		if isRange {
			b, ok := smallNumber(high)
			if !ok {
				return piece, "is neither a number nor a range"
			}
			if b < a {
				return piece, "ends before it begins"
			}
		}
	}
	return "", ""
}

// smallNumber reads a decimal number of at most six digits.
func smallNumber(s string) (int, bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
