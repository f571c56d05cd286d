package config

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// linux checks the section linux.
func (c *checker) linux(l *specs.Linux, ns *namespaces) {
	c.namespaces(l, ns)
	c.sysctls(l.Sysctl, ns)
	if l.Resources != nil {
		m := c.mark()
		c.resources(l.Resources)
		c.in("resources", m)
	}
	c.cgroupsPath(l.CgroupsPath)
	c.devices(l.Devices)
	c.netDevices(l.NetDevices, ns)
	if l.Seccomp != nil {
		m := c.mark()
		c.seccomp(l.Seccomp)
		c.in("seccomp", m)
	}
	if l.RootfsPropagation != "" {
		c.choice("rootfsPropagation", "propagation", strings.TrimPrefix(l.RootfsPropagation, "r"), propagations[:])
	}
	c.paths("maskedPaths", l.MaskedPaths)
	c.paths("readonlyPaths", l.ReadonlyPaths)
	c.text("mountLabel", l.MountLabel)
	c.intelRdt(l.IntelRdt)
	c.memoryPolicy(l.MemoryPolicy)
	if p := l.Personality; p != nil {
		c.choice("personality.domain", "execution domain", string(p.Domain), domains[:])
		if len(p.Flags) != 0 {
			c.problem("personality.flags[0]", "unknown flag %q: the runtime-spec defines none", p.Flags[0])
		}
	}
}

// propagations has the values of rootfsPropagation. As with runc they may begin with r, which
// changes nothing for the root.
var propagations = [...]string{"shared", "slave", "private", "unbindable"}

var domains = [...]string{"LINUX", "LINUX32"}

// cgroupsPath refuses paths with "..": the cgroup would depend on where davit itself runs.
func (c *checker) cgroupsPath(p string) {
	c.text("cgroupsPath", p)
	switch {
	case p == "":
	case c.SystemdCgroup:
		if strings.Count(p, ":") != 2 {
			c.problem("cgroupsPath", "%q is not of the form slice:prefix:name, which option SystemdCgroup needs", p)
		}
	case slices.Contains(strings.Split(p, "/"), ".."):
		c.problem("cgroupsPath", "%q climbs with .. out of where it begins", p)
	}
}

func (c *checker) paths(field string, list []string) {
	for i, p := range list {
		if p == "" || p[0] != '/' || strings.IndexByte(p, 0) >= 0 {
			c.absolute(element(field, i), p)
		} else if field == "maskedPaths" && path.Clean(p) == "/" {
			c.problem(element(field, i), "%q is the root directory: the container would have no files, and so no program to run", p)
		}
	}
}

// intelRdt checks the values that davit writes to resctrl unchanged.
func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	m := c.mark()
	if r.ClosID == "." || r.ClosID == ".." || r.ClosID != "/" && strings.ContainsAny(r.ClosID, "/\n\x00") {
		c.problem("closID", "%q is not the name of a directory of resctrl, nor / for the default class", r.ClosID)
	}
	c.schema("l3CacheSchema", r.L3CacheSchema, "")
	c.schema("memBwSchema", r.MemBwSchema, "MB:")
	if r.L3CacheSchema != "" && !strings.HasPrefix(r.L3CacheSchema, "L3:") {
		c.warn("l3CacheSchema", "%q does not begin with L3:", r.L3CacheSchema)
	}
	for i, line := range r.Schemata {
		c.schema(element("schemata", i), line, "")
	}
	c.in("intelRdt", m)
}

func (c *checker) schema(field, value, prefix string) {
	if value == "" {
		return
	}
	if !strings.HasPrefix(value, prefix) {
		c.problem(field, "%q does not begin with %s", value, prefix)
	}
	if strings.ContainsAny(value, "\n\x00") {
		c.problem(field, "%q is more than one line", value)
	}
}

var memoryPolicies = [...]string{
	"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL",
}

var memoryPolicyFlags = [...]string{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}

// memoryPolicy checks what set_mempolicy(2) would refuse: mpol_new and sanitize_mpol_flags of
// mm/mempolicy.c.
func (c *checker) memoryPolicy(p *specs.LinuxMemoryPolicy) {
	if p == nil {
		return
	}
	m := c.mark()
	c.choice("mode", "memory policy", string(p.Mode), memoryPolicies[:])
	c.list("nodes", p.Nodes, "memory nodes")
	none := p.Mode == specs.MpolDefault || p.Mode == specs.MpolLocal
	if none && p.Nodes != "" {
		c.problem("nodes", "%q is given, but %s takes no nodes", p.Nodes, p.Mode)
	}
	if !none && p.Mode != specs.MpolPreferred && p.Nodes == "" {
		c.problem("nodes", "is missing: %s needs at least one node", p.Mode)
	}
	for i, f := range p.Flags {
		c.choice(element("flags", i), "flag of a memory policy", string(f), memoryPolicyFlags[:])
	}
	static, relative := slices.Contains(p.Flags, specs.MpolFStaticNodes), slices.Contains(p.Flags, specs.MpolFRelativeNodes)
	switch {
	case static && relative:
		c.problem("flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	case (static || relative) && p.Nodes == "" && p.Mode != specs.MpolDefault:
		c.problem("flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes")
	}
	if slices.Contains(p.Flags, specs.MpolFNumaBalancing) && p.Mode != specs.MpolBind && p.Mode != specs.MpolPreferredMany {
		c.problem("flags", "MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY, not %s", p.Mode)
	}
	c.in("memoryPolicy", m)
}
