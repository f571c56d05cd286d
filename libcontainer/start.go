package libcontainer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/diagnose"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/plan"
	"davit/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start starts the program of a created container, runs the poststart hooks, and returns. It fails with [ErrRunning] if the container has
// been started before, and with [ErrNoProcess] if config.json has no process. trace may be
// nil.
func (c *Container) Start(trace *Trace) error {
	unlock, err := c.lock(false)
	defer unlock()
	if err != nil {
		return err
	}
	switch status := c.Status(); status {
	case specs.StateCreated:
		if c.NoProcess {
			return ErrNoProcess
		}
	case specs.StateRunning:
		return ErrRunning
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	if c.Poststart { // what cannot be read is an error before the program runs
		if _, err := c.Spec(); err != nil {
			return err
		}
	}
	if c.Taken != nil {
		if err := c.Taken.Start(c.Pidfd.Int()); err != nil {
			return err
		}
		return c.poststart()
	}
	// This comes before the connection, which is what the stage waits for.
	ready, err := c.listenNotify()
	if err != nil {
		return err
	}
	defer ready.Close()
	// So does this, because it may be impossible to open the file that an annotation names.
	out, err := launch.OpenHookOutput(c.Annotations, c.Bundle, c.rt.log())
	if err != nil {
		return err
	}
	defer out.Close()
	fd, err := launch.Connect(filepath.Join(c.Path, compile.StartFile), unix.SOCK_SEQPACKET)
	if errors.Is(err, unix.ECONNREFUSED) { // a start before us was killed after its work was done
		unix.Unlinkat(c.Dir.Int(), compile.StartFile, 0)
		return ErrRunning
	}
	if err != nil {
		return err
	}
	conn := nsenter.NewConn(fd)
	defer conn.Close()
	end := trace.Span("wait for the exec")
	err = c.awaitExec(conn, trace, launch.StageHooks{HookOutput: out})
	end()
	if err != nil {
		return err
	}
	unix.Unlinkat(c.Dir.Int(), compile.StartFile, 0)
	if err := c.poststart(); err != nil || ready == nil {
		return err
	}
	c.Unlock() // it may take long
	return ready.Forward(c.Pid, c.Pidfd.Int())
}

func (c *Container) listenNotify() (*launch.Notifier, error) {
	if !c.Notify {
		return nil, nil
	}
	return launch.ListenNotify(c.Path, c.rt.NotifySocket)
}

// awaitExec reads the stage's messages between start and exec. There are none if nothing fails and there is no trace.
func (c *Container) awaitExec(conn *nsenter.Conn, trace *Trace, hooks launch.StageHooks) error {
	made := sync.OnceValue(c.plan)
	said := false // so that there is a plan
	x := launch.Exchange{From: conn, Begun: true, Plan: made, Trace: trace.Stage,
		Failed: func(m nsenter.Message) error { return c.explainStart(hooks.Fail(made(), m)) },
		Output: func(p *plan.Plan, m nsenter.Message) {
			said = true
			hooks.Message(p, m)
		},
	}
	err := x.UntilExec()
	if err == nil && said {
		hooks.Flush(made())
	}
	return err
}

func (c *Container) explainStart(err error) error {
	cwd, files := "/", diagnose.Files{Root: c.Rootfs, Bundle: c.Bundle}
	if s, failed := c.Spec(); failed == nil && s.Process != nil {
		cwd, files.Mounts = s.Process.Cwd, s.Mounts
	}
	return explainExec(err, files, cwd)
}

// plan returns the plan from which the container was made, or one without steps if that cannot be told any more.
func (c *Container) plan() *plan.Plan {
	again, err := c.compileAgain()
	if err != nil {
		return &plan.Plan{}
	}
	return again
}

// compileAgain returns the plan from which the container was made. The plan is not stored, so that it is compiled again from the
// config. That fails if it has another number of steps because the host has changed. For a container that another runtime has made,
// it is the plan from which davit would make it.
func (c *Container) compileAgain() (*plan.Plan, error) {
	s, err := c.Spec()
	if err != nil {
		return nil, err
	}
	o := CreateOptions{ID: c.ID, Bundle: c.Bundle, NoNewKeyring: c.NoKeyring, SystemdCgroup: c.Cgroup.Driver == cgroups.Systemd,
		NoCgroup: c.Cgroup.Mode == "", notify: c.Notify}
	if c.Cgroup.Rootless {
		o.Rootless = "true"
	}
	again, err := c.rt.prepare(s, &o, host.Host())
	if err != nil {
		return nil, err
	}
	again.Cgroups.Close()
	if err := again.FillFilter(c.rt.seccompCache(), c.rt.log()); err != nil {
		return nil, err
	}
	if len(again.Plan.Steps) != c.Steps && c.Taken == nil {
		return nil, errors.New("it is not what the container was made by: the host has changed too much since")
	}
	return again.Plan, nil
}

// stateNow returns the State that hooks get.
func (c *Container) stateNow(status specs.ContainerState) string {
	return compile.StateJSON(c.ID, c.Bundle, c.Annotations, status, strconv.Itoa(c.Pid))
}

// poststart runs the poststart hooks without the lock, because they may call any verb for this container. If one fails, the container is
// killed (runtime.md "Lifecycle" 9).
func (c *Container) poststart() error {
	if !c.Poststart {
		return nil
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	c.Unlock()
	err = c.rt.hookRunner().Run("poststart", 0, s.Hooks.Poststart, c.Bundle, c.stateNow(specs.StateRunning), c.Annotations)
	if err != nil && c.Relock() { // else what has its cgroup by now is another container
		err = errors.Join(err, c.killAll())
	}
	return err
}
