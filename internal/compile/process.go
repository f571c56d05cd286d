package compile

import (
	"fmt"
	"math/bits"
	"path"
	"slices"
	"strings"

	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/jsonx"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// names adds the steps for the host name, the domain name and sysctls, which belong to namespaces.
func (c *Container) names() {
	p, s := c.Plan, c.Config
	if s.Hostname != "" {
		p.Add("hostname", plan.Hostname{Name: s.Hostname})
	}
	if s.Domainname != "" {
		p.Add("domainname", plan.Domainname{Name: s.Domainname})
	}
	keys := make([]string, 0, len(s.Linux.Sysctl))
	for k := range s.Linux.Sysctl {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		p.Add(jsonx.JoinKey("linux.sysctl", k), plan.Sysctl{Proc: c.proc(), Key: config.SysctlPath(k), Value: s.Linux.Sysctl[k]})
	}
}

func (c *Container) hooks(state string) {
	h := c.Config.Hooks
	if h == nil {
		return
	}
	if len(h.Prestart)+len(h.CreateRuntime) > 0 { //nolint:staticcheck // deprecated, but engines use it
		c.Plan.Add("hooks.createRuntime", plan.Sync{Phase: plan.Hooks})
	}
	for i := range h.CreateContainer {
		step := process.Hook(h.CreateContainer[i], state)
		step.AtRoot = true // as with runc
		c.Plan.Add(fmt.Sprintf("hooks.createContainer[%d]", i), step)
	}
}

func (c *Container) process(userns, lifted bool) error {
	s, facts, filter := c.Config, c.facts, c.Filter
	caps, missing := grantable(s.Process, facts, userns)
	if missing != "" {
		c.warn("process.capabilities", cannotGrant, missing)
	}
	po := process.Options{
		UserNamespace: userns, AppArmor: facts.AppArmor(), SELinux: facts.SELinux(), ReadOnlyRoot: rootfs.ReadOnly(s),
		KeepOwnGroups: config.AnnotationSet(s, config.AnnotationKeepGroups),
		KeepGroups:    c.deniesSetgroups(),
		Proc:          c.proc, Filter: filter, Grantable: caps, Wait: true, NoFileLifted: lifted, Preserve: uint64(c.PreserveFDs),
	}
	if !c.Run {
		po.Socket = c.Plan.Open(plan.Descriptor{Kind: plan.Listen, Path: StartFile})
	}
	if s.Hooks != nil {
		po.Hooks, po.State = s.Hooks.StartContainer, c.State(specs.StateCreated, plan.PIDMark)
	}
	if filter != nil && filter.Notify {
		filter.Connect = func() plan.FD {
			return c.Plan.Open(plan.Descriptor{Kind: plan.Connect, Path: s.Linux.Seccomp.ListenerPath, Field: "linux.seccomp.listenerPath"})
		}
		filter.State = seccompState(s, c.State(specs.StateCreating, plan.PIDMark))
	}
	// Linux 6.2 and later keeps the CPUs that davit's caller has, whatever the cgroup's are.
	c.Plan.Add("", plan.Affinity{})
	if err := memoryPolicy(c.Plan, s.Linux.MemoryPolicy); err != nil {
		return err
	}
	if err := personality(c.Plan, s.Linux.Personality); err != nil {
		return err
	}
	if !process.HasHome(s.Process.Env) {
		var err error
		if po.Home, err = homeInBundle(s, c.Bundle, facts); err != nil {
			return err
		}
	}
	return process.Compile(c.Plan, s.Process, po)
}

// memoryPolicy adds the step for linux.memoryPolicy. Every process of the container gets that policy, also those of exec.
func memoryPolicy(to *plan.Plan, m *specs.LinuxMemoryPolicy) error {
	if m == nil {
		return nil
	}
	step, err := process.MemoryPolicy(m)
	if err != nil {
		return err
	}
	to.Add("linux.memoryPolicy", step)
	return nil
}

// personality adds the step for linux.personality. Every process of the container gets that personality, also those of exec.
func personality(to *plan.Plan, p *specs.LinuxPersonality) error {
	if p == nil {
		return nil
	}
	value := uint64(0) // PER_LINUX of linux/personality.h
	switch p.Domain {
	case specs.PerLinux:
	case specs.PerLinux32:
		value = 8 // PER_LINUX32
	default:
		return fault.At("linux.personality.domain", "unknown domain %q: one of LINUX, LINUX32", p.Domain)
	}
	if len(p.Flags) > 0 {
		return fault.At("linux.personality.flags", "%q: no flags are defined yet", p.Flags)
	}
	to.Add("linux.personality", plan.Personality{Value: value})
	return nil
}

// grantable returns the capabilities that davit can give to a process: all of them in a user namespace, otherwise those that davit has.
// missing has the names of others that the config asks for. They are left out with a warning, as config.md
// "process.capabilities" demands.
func grantable(p *specs.Process, facts *host.Facts, userns bool) (caps uint64, missing string) {
	if userns || p == nil || p.Capabilities == nil {
		return ^uint64(0), ""
	}
	have := facts.Caps()
	sets, _ := process.Capabilities(p.Capabilities, ^uint64(0))
	var names []string
	for m := (sets.Permitted | sets.Effective | sets.Inheritable) &^ have; m != 0; m &= m - 1 {
		names = append(names, config.CapabilityName(bits.TrailingZeros64(m)))
	}
	return have, strings.Join(names, ", ")
}

// cannotGrant returns the warning for capabilities that are left out.
const cannotGrant = "davit cannot grant %s, which it does not have (CapEff in /proc/self/status): left out"

// homeInBundle returns the home directory of the process's user as the
// container's /etc/passwd will have it: in the bind mount that covers it, or
// in the root filesystem. Without an entry it is "/".
func homeInBundle(s *specs.Spec, bundle string, facts *host.Facts) (string, error) {
	dir, rest := rootfs.Path(s, bundle), "etc/passwd"
	for _, m := range s.Mounts {
		dest := path.Clean("/" + m.Destination)
		if below, ok := strings.CutPrefix("/etc/passwd", dest); ok && m.Source != "" && (below == "" || below[0] == '/') && m.Type != "tmpfs" {
			dir, rest = m.Source, strings.TrimPrefix(below, "/")
			if !path.IsAbs(dir) {
				dir = path.Join(bundle, dir)
			}
		}
	}
	return facts.Home(dir, rest, s.Process.User.UID)
}
