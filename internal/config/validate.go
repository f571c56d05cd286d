package config

import (
	"strings"

	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Options has what the caller knows in addition to the config.
type Options struct {
	Rootless      bool // davit has no privileges in the initial user namespace
	Start         bool // the container is started at once
	Exec          bool // the process joins a running container; this changes hints only
	SystemdCgroup bool // linux.cgroupsPath has the form slice:prefix:name
}

// Check reports every problem of s that makes it unusable on any host: what
// runtime-spec 1.3 forbids, and what the kernel would refuse whatever it is built
// with. It does no I/O. No problems mean that the config can be compiled.
//
// It warns where davit may do something else than the config's author expects, and of what the spec
// calls deprecated. The spec demands that some of these warnings are logged.
//
// The sections of other platforms and unknown properties are ignored.
func Check(s *specs.Spec, o Options) (problems, warnings []*fault.Error) {
	c := checker{Options: o}
	c.spec(s)
	return c.problems, c.warnings
}

// CheckProcess is Check for a process object on its own (`exec --process`),
// whose fields are named `process.…`.
func CheckProcess(p *specs.Process, o Options) (problems, warnings []*fault.Error) {
	c := checker{Options: o}
	c.process(p, nil)
	c.in("process", mark{})
	return c.problems, c.warnings
}

// CheckResources is Check for a resources object on its own (`update
// --resources`), whose fields are named `linux.resources.…`. Some rules concern two
// fields (swap and limit), so an update is merged into what was set before it is checked.
func CheckResources(r *specs.LinuxResources) (problems, warnings []*fault.Error) {
	var c checker
	if r != nil {
		c.resources(r)
	}
	c.in("linux.resources", mark{})
	return c.problems, c.warnings
}

// spec checks a whole config, in the order of runtime-spec's structs.
func (c *checker) spec(s *specs.Spec) {
	linux := s.Linux
	if linux == nil {
		linux = &specs.Linux{}
	}
	ns := readNamespaces(linux)

	c.version(s.Version)
	m := c.mark()
	c.process(s.Process, ns)
	c.in("process", m)
	c.root(s.Root)
	c.utsNames(s, ns)
	c.mounts(s.Mounts, ns)
	c.hooks(s.Hooks)
	c.annotations(s)
	m = c.mark()
	c.linux(linux, ns)
	c.in("linux", m)
	c.hostMounts(ns)
}

// version checks that ociVersion is a semantic version, and one that davit implements.
func (c *checker) version(v string) {
	const field = "ociVersion"
	if v == "" {
		c.problem(field, "is missing: the version of the runtime-spec that the config follows, such as %q", specs.Version)
		return
	}
	version, ok := parseSemver(v)
	switch {
	case !ok:
		c.problem(field, "%q is not a semantic version such as %q", v, specs.Version)
	case version[0] != specs.VersionMajor:
		c.problem(field, "%q: davit implements runtime-spec %d.x only", v, specs.VersionMajor)
	case version[1] > specs.VersionMinor:
		c.warn(field, "%q is newer than the runtime-spec %d.%d that davit implements: what is new in it is ignored", v, specs.VersionMajor, specs.VersionMinor)
	}
}

// parseSemver reads a version as https://semver.org (2.0.0) defines them.
func parseSemver(s string) (v [3]int, ok bool) {
	s, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 || hasBuild && !identifiers(build, true) || hasPre && !identifiers(pre, false) {
		return v, false
	}
	for i, p := range parts {
		if p == "" || len(p) > 9 || len(p) > 1 && p[0] == '0' {
			return v, false
		}
		for _, c := range []byte(p) {
			if c < '0' || c > '9' {
				return v, false
			}
			v[i] = v[i]*10 + int(c-'0')
		}
	}
	return v, true
}

// identifiers checks what follows - or + in a version: words separated by dots. Numbers among them
// must not begin with a zero, unless zeros may lead.
func identifiers(s string, zeros bool) bool {
	for word := range strings.SplitSeq(s, ".") {
		number := true
		for _, c := range []byte(word) {
			digit := '0' <= c && c <= '9'
			if !digit && c != '-' && (c|0x20 < 'a' || 'z' < c|0x20) {
				return false
			}
			number = number && digit
		}
		if word == "" || number && !zeros && len(word) > 1 && word[0] == '0' {
			return false
		}
	}
	return true
}

func (c *checker) root(r *specs.Root) {
	switch {
	case r == nil:
		c.problem("root", "is missing: a container needs a root file system")
		c.hint(`add "root": {"path": "rootfs"}`)
	case r.Path == "":
		c.problem("root.path", "is missing: the directory of the root file system, absolute or relative to the bundle")
	default:
		c.text("root.path", r.Path)
	}
}

// utsNames checks hostname and domainname. The kernel takes 64 bytes (__NEW_UTS_LEN).
func (c *checker) utsNames(s *specs.Spec, ns *namespaces) {
	const most = 64
	for _, n := range [...]struct{ field, value string }{{"hostname", s.Hostname}, {"domainname", s.Domainname}} {
		if n.value == "" {
			continue
		}
		if len(n.value) > most {
			c.problem(n.field, "%q has %d bytes, more than the %d that the kernel takes", n.value, len(n.value), most)
		}
		c.text(n.field, n.value)
		if !ns.has(specs.UTSNamespace) {
			c.problem(n.field, "%q cannot be set without a uts namespace: it would be set for the host", n.value)
			c.hint(`add {"type": "uts"} to linux.namespaces, or remove %s`, n.field)
		}
	}
}

// hooks checks all six kinds.
func (c *checker) hooks(h *specs.Hooks) {
	if h == nil {
		return
	}
	m := c.mark()
	c.hookList("prestart", h.Prestart)
	c.hookList("createRuntime", h.CreateRuntime)
	c.hookList("createContainer", h.CreateContainer)
	c.hookList("startContainer", h.StartContainer)
	c.hookList("poststart", h.Poststart)
	c.hookList("poststop", h.Poststop)
	c.in("hooks", m)
}

func (c *checker) hookList(kind string, hooks []specs.Hook) {
	for i := range hooks {
		h, m := &hooks[i], c.mark()
		c.absolute("path", h.Path)
		for j, arg := range h.Args {
			if strings.IndexByte(arg, 0) >= 0 {
				c.text(element("args", j), arg)
			}
		}
		c.environment(h.Env)
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.problem("timeout", "%d is no time: a number of seconds above 0 is needed, or none for no limit", *h.Timeout)
		}
		c.at(kind, i, m)
	}
}
