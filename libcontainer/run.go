package libcontainer

import (
	"errors"
	"fmt"
	"io"

	"davit/internal/compile"
	"davit/internal/store"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// RunOptions are what the command line says to run.
type RunOptions struct {
	CreateOptions
	Detach      bool
	Keep        bool // the container, when its process has ended
	NoSubreaper bool
}

// Run creates a container and starts it; unless detached it waits for the end,
// removes the container, and returns the process's exit status.
func (rt Runtime) Run(o RunOptions) (status int, err error) {
	o.CreateOptions.Run = true
	b, err := o.load()
	if err != nil {
		return -1, err
	}
	switch {
	case !o.Detach && b.terminal() && o.ConsoleSocket != "":
		return -1, errors.New("--console-socket: only with --detach: without it, the terminal is davit's own")
	case o.Detach:
		c, err := rt.create(o.CreateOptions, b)
		if err != nil {
			return -1, err
		}
		defer c.close()
		return 0, c.startDetached()
	}
	if !o.NoSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
		}
	}
	f, err := newForeground(b.terminal())
	if err != nil {
		return -1, err
	}
	defer f.close()
	o.Console = f.sockets[1]
	c, err := rt.create(o.CreateOptions, b)
	if err != nil {
		return -1, err
	}
	defer c.close()
	if err := f.start(); err != nil {
		c.undo()
		return -1, err
	}
	ready, err := c.listenNotify()
	if err != nil {
		c.undo()
		return -1, err
	}
	if err := c.start(); err != nil {
		ready.close()
		return -1, err
	}
	told := c.forward(ready)
	c.unlock() // others may exec, kill, pause
	stop := f.forward(c.stage.PidFD)
	end := o.Trace.span("the container's process")
	status = waitProcess(c.stage.Pid)
	end()
	stop()
	told() // it may have ended right after it was ready
	if o.Keep {
		return status, nil
	}
	defer o.Trace.span("delete")()
	return status, c.finish()
}

// startDetached also waits until the container says that it is ready, if its
// caller wants to know.
func (c *creation) startDetached() error {
	ready, err := c.listenNotify()
	if err != nil {
		c.undo()
		return err
	}
	defer ready.close()
	if err := c.start(); err != nil || ready == nil {
		return err
	}
	c.unlock()
	return ready.forward(c.stage.Pid, c.stage.PidFD)
}

func (c *creation) listenNotify() (*notifier, error) {
	if !c.Notify {
		return nil, nil
	}
	return listenNotify(c.path)
}

func (c *creation) unlock() {
	unix.Close(c.dir)
	c.dir = -1
}

// forward passes on that a container in the foreground is ready. What it returns waits until that is
// done, once the container's process has ended.
func (c *creation) forward(ready *notifier) (wait func()) {
	if ready == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer ready.close()
		if err := ready.forward(0, c.stage.PidFD); err != nil {
			warnf("run %s: %v", c.ID, err)
		}
	}()
	return func() { <-done }
}

// finish removes a container whose process has ended, unless somebody else did.
func (c *creation) finish() error {
	live, err := c.store.OpenLocked(c.ID)
	if err != nil {
		return nil
	}
	defer live.Close()
	if live.Broken != nil {
		return live.Broken
	}
	if live.Created != c.state.Created || live.Pid != c.state.Pid { // a later one of that id
		return nil
	}
	return live.Delete(true)
}

// start lets the process of a container that was just created go. If that
// fails, the container is removed.
func (c *creation) start() error {
	defer c.Trace.span("start")()
	if err := c.stage.Control.Proceed(int64(c.stage.Pid)); err != nil {
		if errors.Is(err, unix.EPIPE) {
			err = c.stageDied()
		}
		c.undo()
		return err
	}
	for {
		m, err := c.stage.Receive()
		switch {
		case err == io.EOF:
			c.hooks.flush(c.plan)
			return c.started()
		case err == nil && m.Kind == nsenter.Output:
			c.hooks.message(c.plan, m)
			continue
		case err == nil && m.Kind == nsenter.Trace:
			c.Trace.stage(c.plan, m)
			continue
		case err == nil:
			err = c.failed(m)
		}
		c.undo()
		return err
	}
}

// hooksAtStart: for as long as startContainer hooks run, the container is created, not running (runtime.md
// "State"). By the socket that create makes its Status is known; run makes an empty file.
func (c *creation) hooksAtStart() bool {
	return c.Run && c.spec.Hooks != nil && len(c.spec.Hooks.StartContainer) > 0
}

// started runs the poststart hooks.
func (c *creation) started() error {
	if c.hooksAtStart() {
		unix.Unlinkat(c.dir, compile.StartFile, 0)
	}
	live := &Container{&store.Entry{State: c.state, Path: c.path, Dir: c.dir, Pidfd: c.stage.PidFD}, c.store}
	err := live.poststart()
	switch {
	case err == nil:
	case store.IsRemoved(c.dir): // by another davit, which left nothing to undo
		c.stage.Kill()
		c.close()
	default:
		c.hooked = true
		c.undo()
	}
	return err
}
