package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/store"
	"davit/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// execution is a process that is being started in a running container.
type execution struct {
	ExecOptions
	*Container
	plan     *plan.Plan
	spec     *specs.Spec
	fds      launch.Descriptors
	stage    *nsenter.Stage
	cgroups  *cgroups.Manager
	cloned2  bool // the stage was cloned into a cgroup2 directory
	inherits bool // the stage inherits the OOM score from davit
}

// execution returns an execution with the container's config.
func (c *Container) execution(o ExecOptions) (*execution, error) {
	s, err := c.Spec()
	if err != nil {
		return nil, err
	}
	return &execution{ExecOptions: o, Container: c, spec: s}, nil
}

// attaches reports whether the caller takes the terminal before the program begins.
func (e *execution) attaches() bool { return e.Terminal != nil && e.Process.Terminal }

// Exec starts another process in a running container, and returns when its program has begun. It fails with [ErrNotRunning] if the
// container has no process, and with [ErrPaused] if it is paused and IgnorePaused is not set.
func (c *Container) Exec(o ExecOptions) (*Process, error) {
	if err := c.mayExec(o); err != nil {
		return nil, err
	}
	e, err := c.execution(o)
	if err != nil {
		return nil, err
	}
	defer e.close()
	socket, err := o.Terminal.socket(o.Process.Terminal)
	if err != nil {
		return nil, err
	}
	if err := e.stopped(e.run(socket)); err != nil {
		return nil, err
	}
	return c.rt.process(e.stage, nil, nil), nil
}

// Complete fills fields that p leaves unset from the container's own process: capabilities, AppArmor profile, SELinux label, umask and
// OOM score. runc does the same; crun all but the OOM score.
func (c *Container) Complete(p *specs.Process) error {
	s, err := c.Spec()
	if err != nil || s.Process == nil {
		return err
	}
	own := s.Process
	if p.Capabilities == nil {
		p.Capabilities = own.Capabilities
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = own.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = own.SelinuxLabel
	}
	if p.User.Umask == nil {
		p.User.Umask = own.User.Umask
	}
	if p.OOMScoreAdj == nil {
		p.OOMScoreAdj = own.OOMScoreAdj
	}
	return nil
}

func (c *Container) mayExec(o ExecOptions) error {
	switch status := c.Status(); {
	case c.Broken != nil:
		return c.Broken
	case status == specs.StateStopped || status == specs.StateCreating:
		return fmt.Errorf("cannot exec in a %s container: %w", status, store.ErrNotRunning)
	case status == store.Paused && !o.IgnorePaused:
		return fmt.Errorf("cannot exec in a %w (use option IgnorePaused to have it run once the container is resumed)", ErrPaused)
	}
	if o.ListenFDs > len(o.ExtraFDs) {
		return fmt.Errorf("%d sockets for LISTEN_FDS, but %d descriptors", o.ListenFDs, len(o.ExtraFDs))
	}
	if err := c.rt.judge(config.CheckProcess(o.Process, config.Options{Exec: true})); err != nil {
		return err
	}
	switch given := o.ConsoleSocket != ""; {
	case o.Terminal == nil && o.Process.Terminal && !given:
		return fault.At("process.terminal", "a detached process with a terminal needs option ConsoleSocket")
	case given && (o.Terminal != nil || !o.Process.Terminal):
		return errors.New("option ConsoleSocket: only for a detached process with a terminal")
	}
	return nil
}

func (e *execution) run(console int) error {
	if err := e.compile(console, host.Host()); err != nil {
		return err
	}
	var err error
	given := map[string]int{"container": e.Pidfd.Int(), "console": console}
	if e.fds, err = launch.OpenDescriptors(e.plan, given, len(e.ExtraFDs)); err != nil {
		return err
	}
	if err := e.checkPid(); err != nil {
		return err
	}
	if err := e.spawn(); err != nil {
		return err
	}
	if err = e.serve(); err == nil {
		err = announce(e.stage, e.PidFile, []pidfdReceiver{{"option PidfdSocket", e.PidfdSocket}})
	}
	if err != nil {
		e.stage.Kill()
	}
	return err
}

// stopped replaces err by "container not running" if the container has stopped meanwhile, because that is why err happened, and
// because engines know these words.
func (e *execution) stopped(err error) error {
	if err == nil {
		return nil
	}
	if now := e.checkPid(); now != nil {
		e.rt.log().Debugf("%v", err)
		return now
	}
	return err
}

// checkPid fails if the container's process has ended. It is called after something was opened by the pid of that process: as long as
// the process exists, the pid was its own.
func (e *execution) checkPid() error {
	if store.HasExited(e.Pidfd.Int()) {
		return fmt.Errorf("cannot exec in a container that has stopped meanwhile: %w", store.ErrNotRunning)
	}
	return nil
}

// compile makes the plan for the process.
func (e *execution) compile(console int, facts *host.Facts) error {
	e.inherits = e.Process.OOMScoreAdj != nil && facts.Rootless()
	made, err := compile.NewExec(e.spec, compile.ExecOptions{
		Process: e.Process, ConsoleSocket: e.ConsoleSocket, Console: console > 0, PreserveFDs: len(e.ExtraFDs), ListenFDs: e.ListenFDs, ListenNames: e.ListenFDNames,
		Receiver: e.rt.SeccompReceiver, Wait: e.attaches(), Trace: e.Trace != nil,
		ID: e.ID, Bundle: e.Bundle, Pid: e.Pid, Namespaces: e.Namespaces, SharedMounts: e.SharedMounts, NoKeyring: e.NoKeyring, Cgroup: e.Container.Cgroup,
	}, facts)
	if err != nil {
		return err
	}
	e.plan = made.Plan
	e.rt.say(made.Warnings)
	return launch.FillFilter(e.plan, made.Filter, made.Config, e.rt.seccompCache(), e.rt.log())
}

// spawn starts the stage directly in the container's cgroup, or, if the kernel refuses that with EBUSY, in the cgroup of its init.
func (e *execution) spawn() error {
	encoded, err := e.plan.Encode()
	if err != nil {
		return err
	}
	o := nsenter.Options{Plan: encoded, Descriptors: e.fds, Preserve: e.ExtraFDs, Cgroup: -1, Fork: e.plan.ForkStep()}
	done, err := e.Stdio.fill(&o.Stdio)
	if err != nil {
		return err
	}
	defer done()
	e.cgroups = cgroups.Open(e.Container.Cgroup)
	if len(e.SubCgroups) > 0 {
		sub, err := e.cgroups.Sub(e.SubCgroups)
		if err != nil {
			return err
		}
		e.cgroups.Close()
		e.cgroups = sub
	}
	dir, err := e.cgroups.FD()
	// The container may have left its cgroup, which whoever made it has removed since.
	left := errors.Is(err, unix.ENOENT) && len(e.SubCgroups) == 0
	if err != nil && !left {
		return err
	}
	if dir != nil {
		o.Cgroup = int(dir.Fd())
	}
	if !left && !e.IgnorePaused {
		if frozen, err := e.cgroups.Freezes(); err == nil && frozen {
			return withHint(fmt.Errorf("cannot exec in a %w: an ancestor of its cgroup is frozen", ErrPaused),
				"write 0 to that one's cgroup.freeze (v1: THAWED to its freezer.state)")
		}
	}
	restore, err := e.initialAffinity()
	if err != nil {
		return err
	}
	defer restore()
	if e.inherits {
		restore, err := launch.InheritOOMScore(e.Process.OOMScoreAdj, e.rt.log())
		if err != nil {
			return err
		}
		defer restore()
	}
	if !left {
		e.stage, err = nsenter.Spawn(o)
	}
	if left || errors.Is(err, unix.EBUSY) && len(e.SubCgroups) == 0 {
		// Or it manages cgroups below its own, and only leaves may hold processes:
		// go where its first process went.
		var init *os.File
		if init, err = e.cgroups.InitFD(e.Pid); err != nil {
			return err
		}
		defer init.Close()
		if err := e.checkPid(); err != nil {
			return err
		}
		o.Cgroup = int(init.Fd())
		e.stage, err = nsenter.Spawn(o)
	}
	e.cloned2 = o.Cgroup >= 0
	return err
}

// initialAffinity gives this thread, and so the stage, the CPUs on which the process may run until it is in the container's cgroup
// (config.md, execCPUAffinity). restore gives the thread its own CPUs back.
func (e *execution) initialAffinity() (restore func(), err error) {
	a := e.Process.ExecCPUAffinity
	if a == nil || a.Initial == "" {
		return func() {}, nil
	}
	mask, err := process.ListMask(a.Initial)
	if err != nil {
		return nil, fault.In("process.execCPUAffinity.initial", err)
	}
	var set, old unix.CPUSet
	for i := range mask {
		for bit := range 8 {
			if mask[i]>>bit&1 != 0 {
				set.Set(8*i + bit)
			}
		}
	}
	runtime.LockOSThread()
	if err = unix.SchedGetaffinity(0, &old); err == nil {
		err = unix.SchedSetaffinity(0, &set)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fault.In("process.execCPUAffinity.initial", fmt.Errorf("sched_setaffinity %s: %w", a.Initial, err))
	}
	return func() {
		unix.SchedSetaffinity(0, &old)
		runtime.UnlockOSThread()
	}, nil
}

// serve answers the messages of the stage until that has executed the program.
func (e *execution) serve() error {
	x := launch.Exchange{From: e.stage, Plan: func() *plan.Plan { return e.plan }, Trace: e.Trace.Stage,
		Phase: func(plan.Phase) error {
			if err := e.place(); err != nil {
				return err
			}
			return e.stage.Control.Proceed(int64(e.stage.Pid))
		},
		Failed: func(m nsenter.Message) error {
			return explainExec(stepError(e.plan, m), diagnose.Files{Root: fmt.Sprintf("/proc/%d/root", e.Pid)}, e.Process.Cwd)
		},
		Died: func() error {
			return errors.New("the stage was killed before the program was exec'd: the container may be out of memory, or have been stopped")
		},
	}
	if err := x.UntilReady(); err != nil {
		return err
	}
	if e.attaches() {
		if err := e.Terminal.Attach(); err != nil {
			return err
		}
		if err := e.stage.Control.Proceed(int64(e.stage.Pid)); err != nil {
			return err
		}
	}
	return x.UntilExec()
}

// place moves the process into those cgroups into which it was not cloned.
func (e *execution) place() error {
	if e.Trace != nil {
		e.cgroups.Span = e.Trace.Span
	}
	if err := e.cgroups.Add(e.stage.Pid, e.cloned2); err != nil {
		return err
	}
	if adj := e.Process.OOMScoreAdj; adj != nil && !e.inherits {
		return launch.SetOOMScore(strconv.Itoa(e.stage.Pid), *adj)
	}
	return nil
}

func (e *execution) close() {
	if e.stage != nil {
		e.stage.Close()
	}
	e.fds.Close()
	if e.cgroups != nil {
		e.cgroups.Close()
	}
}
