package compile

import (
	"fmt"
	"slices"
	"strconv"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/plan"
	"davit/internal/process"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ExecOptions are what the caller decides about another process in a running container.
type ExecOptions struct {
	Process       *specs.Process
	ConsoleSocket string // as in Options
	Console       bool
	PreserveFDs   int
	ListenFDs     int
	ListenNames   string
	Receiver      string
	Wait          bool // the process waits for its creator before it begins
	Trace         bool

	// The fields that follow describe the container, as in its state.
	ID, Bundle   string
	Pid          int    // of its first process
	Namespaces   uint64 // those that it does not share with the caller, CLONE_NEW*
	SharedMounts bool   // its mount namespace is not among them
	NoKeyring    bool
	Cgroup       cgroups.State
}

// Exec is the result of compiling another process for a running container.
type Exec struct {
	Plan     *plan.Plan
	Config   *specs.Spec // a copy of the container's
	Warnings []*fault.Error
	Filter   *process.Filter // nil: none
}

// NewExec makes the plan for another process in a running container whose config is c. It is the plan of create without the
// filesystem part.
func NewExec(c *specs.Spec, o ExecOptions, facts *host.Facts) (*Exec, error) {
	s := clone(c)
	e := &Exec{Plan: &plan.Plan{Trace: o.Trace}, Config: s}
	process0 := *o.Process // LISTEN_PID is left out: nobody knows it yet
	process0.Env = append(slices.Clip(process0.Env), ListenVariables(o.ListenFDs, o.ListenNames)...)
	o.Process = &process0
	p := e.Plan
	if err := adaptSeccomp(s, o.Receiver); err != nil {
		return nil, err
	}
	filter, err := filterOf(s)
	if err != nil {
		return nil, err
	}
	e.Filter = filter
	notify := filter != nil && filter.Notify // which tells the pid, as only the parent knows it
	if notify && s.Linux.Seccomp.ListenerPath == "" {
		return nil, &fault.Error{Field: "linux.seccomp.listenerPath", Text: "not set in config.json",
			Hint: "set " + ReceiverVariable + " in exec's environment, as for create"}
	}
	ns := o.Namespaces
	if ns != 0 {
		fd := p.Open(plan.Descriptor{Kind: plan.Given, Path: "container"})
		p.Add("", plan.Join{FD: fd, Types: ns, Name: "namespaces of the container"})
	}
	userns := ns&unix.CLONE_NEWUSER != 0
	if ns&(unix.CLONE_NEWPID|unix.CLONE_NEWUSER) != 0 {
		p.Add("", plan.Fork{})
	}
	if userns {
		p.Add("", plan.Identity{})
	}
	if o.SharedMounts { // no mount namespace leads to its root
		root := p.Open(plan.Descriptor{Kind: plan.Path, Path: fmt.Sprintf("/proc/%d/root", o.Pid)})
		p.Add("", plan.Pivot{Chroot: true, Root: root})
	}
	cgroup := &o.Cgroup
	// A user may not be allowed to clone into a scope: systemd moves the process there.
	if cgroup.Mode != cgroups.Unified && cgroup.Mode != "" || len(cgroup.Dirs) > 1 || cgroup.User || o.Process.OOMScoreAdj != nil || notify {
		p.Add("", plan.Sync{Phase: plan.Placed})
	}
	if !o.NoKeyring {
		p.Add("", plan.Keyring{})
	}
	caps, missing := grantable(o.Process, facts, userns)
	if missing != "" {
		e.Warnings = append(e.Warnings, fault.At("process.capabilities", cannotGrant, missing))
	}
	po := process.Options{
		Exec: true, UserNamespace: userns, AppArmor: facts.AppArmor(), SELinux: facts.SELinux(),
		KeepOwnGroups: config.AnnotationSet(s, config.AnnotationKeepGroups),
		KeepGroups:    (userns || !facts.InitialUserNS()) && facts.DeniesSetgroups("/proc/"+strconv.Itoa(o.Pid)),
		Proc:          func() plan.FD { return procOf(p) }, Filter: filter, Grantable: caps, Preserve: uint64(o.PreserveFDs),
		Wait: o.Wait,
	}
	switch {
	case !o.Process.Terminal:
	case o.Console:
		po.Console = p.Open(plan.Descriptor{Kind: plan.Given, Path: "console"})
	default:
		po.Console = p.Open(plan.Descriptor{Kind: plan.Connect, Path: o.ConsoleSocket, Field: "option ConsoleSocket"})
	}
	if notify {
		filter.Connect = func() plan.FD {
			return p.Open(plan.Descriptor{Kind: plan.Connect, Path: s.Linux.Seccomp.ListenerPath, Field: "linux.seccomp.listenerPath"})
		}
		filter.State = seccompState(s, StateJSON(o.ID, o.Bundle, s.Annotations, specs.StateRunning, strconv.Itoa(o.Pid)))
	}
	if !process.HasHome(o.Process.Env) {
		if po.Home, err = facts.Home(fmt.Sprintf("/proc/%d/root", o.Pid), "etc/passwd", o.Process.User.UID); err != nil {
			return nil, err
		}
	}
	if err := finalAffinity(p, o.Process.ExecCPUAffinity); err != nil {
		return nil, err
	}
	if err := memoryPolicy(p, s.Linux.MemoryPolicy); err != nil {
		return nil, err
	}
	if err := personality(p, s.Linux.Personality); err != nil {
		return nil, err
	}
	if err := process.Compile(p, o.Process, po); err != nil {
		return nil, err
	}
	return e, nil
}

// finalAffinity adds the step that sets the CPUs of the process once that is in the container's cgroup. If the config gives none, the
// process may use all CPUs of the cgroup, whatever davit's own are.
func finalAffinity(p *plan.Plan, a *specs.CPUAffinity) error {
	if a == nil || a.Final == "" {
		p.Add("", plan.Affinity{})
		return nil
	}
	mask, err := process.ListMask(a.Final)
	if err != nil {
		return &fault.Error{Field: "process.execCPUAffinity.final", Err: err}
	}
	p.Add("process.execCPUAffinity.final", plan.Affinity{Mask: mask})
	return nil
}
