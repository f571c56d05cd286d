package libcontainer

import (
	"errors"

	"davit/internal/compile"
	"davit/internal/launch"
	"davit/internal/store"

	"golang.org/x/sys/unix"
)

// Run creates a container and starts it. It returns when the container's program has begun; see also [RunOptions.Detach]. It fails as
// [Runtime.Create] does. When the program has ended, the container remains until [Process.Delete] or [Container.Delete].
func (rt *Runtime) Run(o RunOptions) (*Process, error) {
	o.Run = true
	b, err := o.load()
	if err != nil {
		return nil, err
	}
	c, err := rt.create(o.CreateOptions, b)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := o.Terminal.attach(b.terminal()); err != nil {
		c.undo()
		return nil, err
	}
	ready, err := c.listenNotify()
	if err != nil {
		c.undo()
		return nil, err
	}
	if err := c.start(); err != nil {
		ready.Close()
		return nil, err
	}
	c.closeDir() // which unlocks it: others may exec, kill, pause
	p := rt.process(c.stage, c, nil)
	switch {
	case ready == nil:
	case o.Detach:
		defer ready.Close()
		if err := ready.Forward(p.pid, p.PidFD()); err != nil {
			p.Close()
			return nil, err
		}
	default:
		p.ready = rt.forward(ready, p)
	}
	return p, nil
}

func (c *creation) listenNotify() (*launch.Notifier, error) {
	if !c.notify {
		return nil, nil
	}
	return launch.ListenNotify(c.path, c.rt.NotifySocket)
}

// forward tells the service manager when a container in the foreground is ready. wait blocks until that is done, or until the
// container's process has ended.
func (rt *Runtime) forward(ready *launch.Notifier, p *Process) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer ready.Close()
		if err := ready.Forward(0, p.PidFD()); err != nil {
			rt.log().Warnf("run %s: %v", p.own.ID, err)
		}
	}()
	return func() { <-done }
}

// start starts the program of a container that was just created. If that fails, it removes the container.
func (c *creation) start() error {
	defer c.Trace.Span("start")()
	if err := c.stage.Control.Proceed(int64(c.stage.Pid)); err != nil {
		if errors.Is(err, unix.EPIPE) {
			err = c.stageDied()
		}
		c.undo()
		return err
	}
	if err := c.talk.UntilExec(); err != nil {
		c.undo()
		return err
	}
	c.hooks.Flush(c.Plan)
	return c.started()
}

// hooksAtStart reports whether run has to keep the status "created" while startContainer hooks run (runtime.md "State"). A container
// has that status as long as it has the file StartFile, which is a socket after create, and an empty file in run.
func (c *creation) hooksAtStart() bool {
	return c.Run && c.Spec.Hooks != nil && len(c.Spec.Hooks.StartContainer) > 0
}

// started runs the poststart hooks. If one fails, it removes the container.
func (c *creation) started() error {
	if c.hooksAtStart() {
		unix.Unlinkat(c.dir.Int(), compile.StartFile, 0)
	}
	live := &Container{&store.Entry{State: c.State, Path: c.path, Dir: c.dir, Pidfd: c.stage.PidFD}, c.rt}
	err := live.poststart()
	switch {
	case err == nil:
	case store.IsRemoved(c.dir.Int()): // by another davit, which left nothing to undo
		c.stage.Kill()
		c.close()
	default:
		c.hooked = true
		c.undo()
	}
	return err
}
