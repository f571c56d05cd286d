// Package libcontainer creates, starts, looks after and removes containers, as the runtime-spec of the Open Container Initiative
// describes them, on Linux. The program davit is its command line.
//
// A [Runtime] is a directory that keeps containers. Its methods make a container of a bundle, or open one that is there:
//
//	rt := &libcontainer.Runtime{Root: "/run/example"}
//	p, err := rt.Create(libcontainer.CreateOptions{ID: "web", Bundle: "/srv/web"})
//	…
//	c, err := rt.Open("web")
//	…
//	defer c.Close()
//	err = c.Start(nil)
//
// # What it does to the calling process
//
// Nothing that the caller would have to know of: it reads no environment variable but those of D-Bus, catches no signal, changes no
// limit, mask or descriptor of the process, and logs to the [Logger] that it is given. Where it must enter a namespace it does so on a
// thread of its own. The one exception: a caller without root whose config sets process.oomScoreAdj has that score itself for the
// moment in which the container is cloned.
//
// # Children
//
// The processes of Create, Run and Exec are children of the caller. A [Process] is such a child: Wait reaps it, and so does Delete
// for the container's own. A caller may reap all children with wait4(-1): Wait then returns an error, and nothing else is different.
//
// # Errors
//
// Errors say what failed, on which value, and why; [Hint] returns what may cure them. They wrap the unix.Errno of the system call that
// failed and, where it applies, one of [ErrNotFound], [ErrExists], [ErrNotRunning], [ErrRunning], [ErrNotStopped], [ErrPaused], [ErrNotPaused] and
// [ErrNoProcess], for errors.Is. For errors.As there are [Error], with its parts, and [ForeignError].
//
// # At the same time
//
// A Runtime may be used by several goroutines at once, a Container, a Process and a Trace by one.
package libcontainer

import (
	"errors"
	"sync"

	"davit/internal/fault"
	"davit/internal/foreign"
	"davit/internal/log"
	"davit/internal/store"

	"golang.org/x/sys/unix"
)

// Runtime keeps containers in a directory. Its fields are not to be changed once it is used. Do not copy it.
type Runtime struct {
	// Root is the absolute path of the directory that keeps the containers; it is made when it is needed. Nobody but root and
	// the caller may be able to write to it: the hooks of what is in it run as the caller.
	Root string
	// Sticky gives a root directory that is made the sticky bit, which keeps it from being removed for its age (XDG Base
	// Directory Specification).
	Sticky bool
	// Logger gets what is said besides errors.
	Logger Logger
	// Environ is the environment of hooks for which config.json sets none.
	Environ []string
	// NotifySocket is the path of the socket of a service manager that wants to know when a container is ready (sd_notify(3)). If it
	// is set, new containers get a NOTIFY_SOCKET of their own, and what they say there is passed on. "": nobody wants to know.
	NotifySocket string
	// SeccompReceiver is the path of a socket that gets the descriptor of seccomp notifications where config.json names none.
	SeccompReceiver string
	// BeforeExec, if not nil, is called before a program of the host is started, as a hook is. A process that was itself given
	// descriptors without close-on-exec can mark them there.
	BeforeExec func() error

	mu       sync.Mutex
	children map[int]bool // processes of containers that are not reaped yet
}

// Logger takes what a Runtime says besides errors, one line at a time, from any goroutine. A nil function drops it.
type Logger struct {
	Debug func(text string) // each step that is taken
	Warn  func(text string) // what is not as it should be, but done all the same
}

func (rt *Runtime) log() log.Logger { return log.Logger(rt.Logger) }

func (rt *Runtime) store() store.Store {
	return store.Store{Root: rt.Root, Sticky: rt.Sticky, Log: rt.log(), TakeOver: foreign.TakeOver}
}

func (rt *Runtime) checkRoot() error { return rt.store().CheckRoot() }

// What errors.Is finds in errors. The texts of ErrNotFound and ErrNotRunning are those that engines look for.
var (
	// ErrNotFound: there is no container with that id.
	ErrNotFound = store.ErrNotFound
	// ErrExists: the id is taken.
	ErrExists = store.ErrExists
	// ErrNotRunning: the container's process has ended, or is not there yet.
	ErrNotRunning = store.ErrNotRunning
	// ErrRunning: the container has been started already.
	ErrRunning = errors.New("cannot start an already running container")
	// ErrNotStopped: the container still has a process.
	ErrNotStopped = errors.New("is not stopped")
	// ErrPaused: the container is paused.
	ErrPaused = errors.New("paused container")
	// ErrNotPaused: the container is not paused.
	ErrNotPaused = errors.New("container not paused")
	// ErrNoProcess: config.json has no process, so that there is nothing to start.
	ErrNoProcess = errors.New("process: not set in config.json: there is nothing to start")
)

// Error says what failed, on which value, why, and what cures it.
type Error = fault.Error

// ForeignError is why nothing is done with a container: another runtime, or a newer version of this one, has made it.
type ForeignError = store.ForeignError

// adopt notes a child that is to be reaped when its container is deleted.
func (rt *Runtime) adopt(pid int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.children == nil {
		rt.children = map[int]bool{}
	}
	rt.children[pid] = true
}

// disown forgets a child; it returns false for a process that is none.
func (rt *Runtime) disown(pid int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	had := rt.children[pid]
	delete(rt.children, pid)
	return had
}

// reap reaps the process of a container, which has ended, if it is a child of this process.
func (rt *Runtime) reap(pid int) {
	if pid <= 0 || !rt.disown(pid) {
		return
	}
	for {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != unix.EINTR {
			return
		}
	}
}
