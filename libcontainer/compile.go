package libcontainer

import (
	"path/filepath"
	"strings"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/resctrl"
	"davit/internal/seccomp"
	"davit/internal/store"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// compiled is what a config comes to on this host.
type compiled struct {
	plan     *plan.Plan
	spec     *specs.Spec
	state    store.State
	filter   *process.Filter
	cgroups  *cgroups.Manager
	rdt      *resctrl.Group // nil: none asked for
	rootless bool           // davit has no privileges in the initial user namespace
	placed   bool           // the stage waits to be placed
	warnings []*fault.Error
}

// compile decides everything about a new container. It changes nothing. The plan's filter is still to be filled in.
func (rt *Runtime) compile(s *specs.Spec, o CreateOptions, facts *host.Facts) (*compiled, error) {
	if err := rt.checkRoot(); err != nil { // compiled filters are kept there
		return nil, err
	}
	made, err := compile.New(s, rt.compileOptions(&o, filepath.Join(rt.Root, o.ID)), facts)
	if err != nil {
		return nil, err
	}
	c := &compiled{plan: made.Plan, spec: made.Config, rootless: made.Unprivileged}
	if rdt := c.spec.Linux.IntelRdt; rdt != nil {
		if c.rdt, err = resctrl.New(rdt, o.ID); err != nil {
			return nil, fault.In("linux.intelRdt", err)
		}
	}
	if c.cgroups, err = cgroups.New(made.Cgroups()); err != nil {
		return nil, err
	}
	if err := made.Compile(c.cgroups.State(), c.cgroups.Hierarchies()); err != nil {
		c.cgroups.Close()
		return nil, err
	}
	c.filter, c.placed, c.warnings = made.Filter, made.Placed, made.Warnings
	c.describe(o, made)
	return c, nil
}

func (rt *Runtime) compileOptions(o *CreateOptions, stateDir string) compile.Options {
	return compile.Options{
		ID: o.ID, Bundle: o.Bundle, StateDir: stateDir, ConsoleSocket: o.ConsoleSocket, Console: o.Terminal != nil && o.ConsoleSocket == "", NoPivot: o.NoPivot, NoNewKeyring: o.NoNewKeyring,
		SystemdCgroup: o.SystemdCgroup, NoCgroup: o.NoCgroup, PreserveFDs: len(o.ExtraFDs), ListenFDs: o.ListenFDs, ListenNames: o.ListenFDNames,
		Receiver: rt.SeccompReceiver, Notify: o.notify, Rootless: o.Rootless, Run: o.Run, Trace: o.Trace != nil,
	}
}

// fillFilter gives a plan the filter that it lacks: from the cache, or by the compiler. An empty cache is none.
func (rt *Runtime) fillFilter(p *plan.Plan, filter *process.Filter, s *specs.Spec, cache string) error {
	switch {
	case filter == nil:
		return nil
	case filter.Raw:
		return compile.FillFilter(p, string(filter.Program), true)
	}
	f, err := seccomp.Compile(s.Linux.Seccomp, cache)
	if err != nil {
		return err
	}
	if err := unknownSyscalls(s, f.Ignored); err != nil {
		return err
	}
	if len(f.Ignored) > 0 {
		rt.log().Debugf("linux.seccomp: unknown here, and so left out: %s", strings.Join(f.Ignored, " "))
	}
	if f.CacheError != nil {
		rt.log().Debugf("linux.seccomp: the filter is good, but was not cached: %v", f.CacheError)
	}
	return compile.FillFilter(p, string(f.Program), false)
}

// unknownSyscalls is the error for names that the filter leaves out, if an annotation asks for it.
func unknownSyscalls(s *specs.Spec, ignored []string) error {
	if !config.AnnotationSet(s, config.AnnotationUnknownSyscall) {
		return nil
	}
	var names []string
	for _, name := range ignored {
		if !strings.HasPrefix(name, "SCMP_ARCH_") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return withHint(fault.At("linux.seccomp.syscalls", "unknown system calls: %s", strings.Join(names, ", ")),
		"remove the annotation "+config.AnnotationUnknownSyscall+" to leave them out of the filter")
}

// say prints warnings.
func (rt *Runtime) say(warnings []*fault.Error) {
	for _, w := range warnings {
		rt.log().Warnf("%s", w.Error())
	}
}

// judge warns of what a check warns of, and returns the error for what it objects to.
func (rt *Runtime) judge(problems, warnings []*fault.Error) error {
	if err := compile.Judge(problems); err != nil {
		return err
	}
	rt.say(warnings)
	return nil
}

// describe fills in the state as far as it is known beforehand.
func (c *compiled) describe(o CreateOptions, made *compile.Container) {
	s := c.spec
	c.state = store.State{
		NoProcess:  made.NoProcess,
		OCIVersion: specs.Version, ID: o.ID, Bundle: o.Bundle, Rootfs: rootfs.Path(s, o.Bundle),
		OwnPid: made.New&unix.CLONE_NEWPID != 0, Terminal: s.Process.Terminal, NoKeyring: o.NoNewKeyring,
		Annotations: s.Annotations, Cgroup: c.cgroups.State(), Notify: o.notify, Steps: len(c.plan.Steps),
	}
	c.state.SharedMounts = made.New&unix.CLONE_NEWNS == 0
	for _, n := range s.Linux.Namespaces {
		c.state.Namespaces |= config.NamespaceFlag(n.Type)
	}
	if s.Hooks != nil {
		c.state.Poststart, c.state.Poststop = len(s.Hooks.Poststart) > 0, len(s.Hooks.Poststop) > 0
	}
}
