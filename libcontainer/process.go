package libcontainer

import (
	"fmt"

	"davit/internal/sys"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// Process is a process of a container and a child of the calling process. The caller closes it with Close. It must not be used by two
// goroutines at the same time.
type Process struct {
	rt    *Runtime
	pid   int
	pidfd *sys.FD
	own   *creation // the container of which this is the first process; nil for a process of Exec
	ready func()    // waits until the readiness of the container is passed on; nil: nothing to wait for
}

// process makes a Process of a stage that has executed its program, and takes over the stage's pidfd.
func (rt *Runtime) process(stage *nsenter.Stage, own *creation, ready func()) *Process {
	p := &Process{rt: rt, pid: stage.Pid, pidfd: stage.PidFD, own: own, ready: ready}
	stage.PidFD = nil
	if own != nil {
		rt.adopt(p.pid)
	}
	return p
}

// Pid returns the pid of the process. The number belongs to the process until Wait or Delete has reaped it.
func (p *Process) Pid() int { return p.pid }

// PidFD returns a pidfd of the process, which poll(2) reports as readable when the process has ended. Close closes it; the caller
// does not.
func (p *Process) PidFD() int { return p.pidfd.Int() }

// Wait waits until the process has ended, and reaps it. status is the exit status, 0 to 255, or 128 plus the number of the signal
// that ended the process. The error wraps unix.ECHILD if somebody else has reaped it; status is then -1.
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

// Close closes the pidfd. The process goes on. If Run was called without Detach and the Runtime has a NotifySocket, Close first waits
// until the container is ready or has ended.
func (p *Process) Close() {
	if p.ready != nil {
		p.ready()
		p.ready = nil
	}
	p.pidfd.Close()
}

// Delete removes the container of which this was the first process, with [Container.Delete] and force. Call it after Wait. It does nothing
// for a process of Exec, or if somebody else has already removed the container.
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
