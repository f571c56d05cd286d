package launch

import (
	"strings"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/log"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/resctrl"
	"davit/internal/seccomp"
	"davit/internal/store"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Prepared is what a config comes to on this host: all that is decided about a new container before anything is made.
type Prepared struct {
	Plan         *plan.Plan
	Spec         *specs.Spec // the config, with what it leaves out filled in
	State        store.State // as far as it is known beforehand
	Cgroups      *cgroups.Manager
	RDT          *resctrl.Group // nil: none asked for
	Unprivileged bool           // davit has no privileges in the initial user namespace
	Placed       bool           // the stage waits to be placed
	Warnings     []*fault.Error
	filter       *process.Filter
}

// Prepare decides everything about a new container. It changes nothing. The plan's filter is still to be filled in (FillFilter). The
// caller closes the Cgroups.
func Prepare(st store.Store, s *specs.Spec, o compile.Options, facts *host.Facts) (*Prepared, error) {
	if err := st.CheckRoot(); err != nil { // compiled filters are kept there
		return nil, err
	}
	made, err := compile.New(s, o, facts)
	if err != nil {
		return nil, err
	}
	c := &Prepared{Plan: made.Plan, Spec: made.Config, Unprivileged: made.Unprivileged}
	if rdt := c.Spec.Linux.IntelRdt; rdt != nil {
		if c.RDT, err = resctrl.New(rdt, o.ID); err != nil {
			return nil, fault.In("linux.intelRdt", err)
		}
	}
	if c.Cgroups, err = cgroups.New(made.Cgroups()); err != nil {
		return nil, err
	}
	if err := made.Compile(c.Cgroups.State(), c.Cgroups.Hierarchies()); err != nil {
		c.Cgroups.Close()
		return nil, err
	}
	c.filter, c.Placed, c.Warnings = made.Filter, made.Placed, made.Warnings
	c.describe(o, made)
	return c, nil
}

// FillFilter gives the plan the filter that it lacks. See the function FillFilter.
func (c *Prepared) FillFilter(cache string, lg log.Logger) error {
	return FillFilter(c.Plan, c.filter, c.Spec, cache, lg)
}

// FillFilter gives a plan the filter that it lacks: from the directory cache, or by the compiler, which then writes it there. With
// an empty cache nothing is read or kept. It does nothing if filter is nil: then the config has no linux.seccomp.
func FillFilter(p *plan.Plan, filter *process.Filter, s *specs.Spec, cache string, lg log.Logger) error {
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
		lg.Debugf("linux.seccomp: unknown here, and so left out: %s", strings.Join(f.Ignored, " "))
	}
	if f.CacheError != nil {
		lg.Debugf("linux.seccomp: the filter is good, but was not cached: %v", f.CacheError)
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
	return fault.WithHint(fault.At("linux.seccomp.syscalls", "unknown system calls: %s", strings.Join(names, ", ")),
		"remove the annotation "+config.AnnotationUnknownSyscall+" to leave them out of the filter")
}

// describe fills in the state as far as it is known beforehand.
func (c *Prepared) describe(o compile.Options, made *compile.Container) {
	s := c.Spec
	c.State = store.State{
		NoProcess:  made.NoProcess,
		OCIVersion: specs.Version, ID: o.ID, Bundle: o.Bundle, Rootfs: rootfs.Path(s, o.Bundle),
		OwnPid: made.New&unix.CLONE_NEWPID != 0, Terminal: s.Process.Terminal, NoKeyring: o.NoNewKeyring,
		Annotations: s.Annotations, Cgroup: c.Cgroups.State(), Notify: o.Notify, Steps: len(c.Plan.Steps),
	}
	c.State.SharedMounts = made.New&unix.CLONE_NEWNS == 0
	for _, n := range s.Linux.Namespaces {
		c.State.Namespaces |= config.NamespaceFlag(n.Type)
	}
	if s.Hooks != nil {
		c.State.Poststart, c.State.Poststop = len(s.Hooks.Poststart) > 0, len(s.Hooks.Poststop) > 0
	}
}
