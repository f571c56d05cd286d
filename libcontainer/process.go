package libcontainer

import (
	"errors"
	"fmt"

	"davit/internal/sys"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// Process is a process of a container that is a child of the caller. Whoever gets one closes it.
type Process struct {
	rt    *Runtime
	pid   int
	pidfd *sys.FD
	own   *creation // of the container's own process; nil for one of Exec
	ready func()    // waits until the container's readiness is passed on
}

// process takes the child over from what has made it.
func (rt *Runtime) process(stage *nsenter.Stage, own *creation, ready func()) *Process {
	p := &Process{rt: rt, pid: stage.Pid, pidfd: stage.PidFD, own: own, ready: ready}
	stage.PidFD = nil
	if own != nil {
		rt.adopt(p.pid)
	}
	return p
}

// Pid returns the process's pid. It is the process's until Wait has returned.
func (p *Process) Pid() int { return p.pid }

// PidFD returns a pidfd of the process, which is valid until Close. It becomes readable when the process has ended.
func (p *Process) PidFD() int { return p.pidfd.Int() }

// Wait waits for the end of the process and reaps it. The status is its exit status, or 128 and the number of the signal that
// ended it.
func (p *Process) Wait() (status int, err error) {
	var ws unix.WaitStatus
	for {
		_, err = unix.Wait4(p.pid, &ws, 0, nil)
		if err != unix.EINTR {
			break
		}
	}
	p.rt.disown(p.pid)
	if err != nil {
		return -1, fmt.Errorf("wait4 %d: %w", p.pid, err)
	}
	if ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}

// Close lets go of the process, which goes on. If Run was called without Detach and the caller has a NotifySocket, Close
// waits until the container was ready or has ended.
func (p *Process) Close() {
	if p.ready != nil {
		p.ready()
		p.ready = nil
	}
	p.pidfd.Close()
}

// Delete removes the container whose process this was, and which has ended. It does nothing if somebody else has removed it
// since, or for a process of Exec.
func (p *Process) Delete() error {
	if p.own == nil {
		return nil
	}
	live, err := p.rt.OpenLocked(p.own.ID)
	if err != nil {
		return nil
	}
	defer live.Close()
	if live.Broken != nil {
		return live.Broken
	}
	if live.Created != p.own.State.Created || live.Pid != p.own.State.Pid { // a later one of that id
		return nil
	}
	return live.Delete(true)
}

// Create makes a container of a bundle, up to the point where its process waits for [Container.Start]. It returns that process. On error
// nothing is left behind. It fails with [ErrExists] if the id is taken.
func (rt *Runtime) Create(o CreateOptions) (*Process, error) {
	if o.Run {
		return nil, errors.New("Run is for Runtime.Run")
	}
	b, err := o.load()
	if err != nil {
		return nil, err
	}
	c, err := rt.create(o, b)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := o.Terminal.attach(b.terminal()); err != nil {
		c.undo()
		return nil, err
	}
	return rt.process(c.stage, c, nil), nil
}

// Run creates a container and starts it. It returns when the container's program has begun (see also [RunOptions.Detach]). On error
// nothing is left behind. The container stays when its process has ended, until [Process.Delete] or [Container.Delete].
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

// Exec runs one more process in a container that runs, and returns when its program has begun. It fails with [ErrNotRunning], and with
// [ErrPaused] unless IgnorePaused is set.
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
