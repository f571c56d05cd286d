// Package libcontainer creates, starts, manages and removes Linux containers, as the runtime-spec of the Open Container Initiative
// describes them. The program davit is its command line.
//
// A [Runtime] keeps containers in a directory. Its methods make a container from a bundle, or open an existing container:
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
// The package does not change the calling process. It catches no signal, changes no limit, mask or descriptor of the process, and
// logs only to the [Logger] that it is given. To enter a namespace it uses a thread of its own. There is one exception: if the
// caller is not root and config.json sets process.oomScoreAdj, the caller itself has that score while the container is cloned.
//
// It reads these environment variables: PATH, to find criu, newuidmap and newgidmap; XDG_RUNTIME_DIR and those of D-Bus, to find
// systemd; DAVIT_NO_ENTER, which chooses how a container enters its mount namespace. Only CRIU inherits the environment.
//
// # Children
//
// The processes of Create, Run, Exec and Restore are children of the caller. A [Process] is such a child. Wait reaps it; for the
// first process of a container, Delete does so, too. A caller may also reap all its children with wait4(-1). Then Wait returns an
// error, and everything else works as before.
//
// # Errors
//
// An error says what failed, on which value, and why. [Hint] returns advice how to cure it. If a system call failed, the error wraps
// its unix.Errno. For errors.Is an error also wraps one of [ErrNotFound], [ErrExists], [ErrNotRunning], [ErrRunning],
// [ErrNotStopped], [ErrPaused], [ErrNotPaused] and [ErrNoProcess], if one applies. For errors.As there are [Error], which has the
// parts of the message, and [ForeignError]. Errors name options as "option PidFile", and advice names commands of davit.
//
// # Concurrency
//
// Several goroutines may use one Runtime at the same time. A Container, a Process and a Trace must each be used by only one
// goroutine at a time.
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

// Runtime keeps containers in a directory. Set its fields before the first call, and do not change them afterwards. Do not copy a
// Runtime. Its methods may be called by several goroutines at the same time.
type Runtime struct {
	// Root is the absolute path of the directory that keeps the containers. The first Create makes it if it is missing. Only root
	// and the caller may have write access to it and to the directories above it, because the caller runs the hooks of the containers in it.
	Root string
	// Sticky sets the sticky bit on the root directory when it is made. The bit protects it from programs that remove old files
	// (XDG Base Directory Specification).
	Sticky bool
	// Logger gets debug messages and warnings. Errors are returned, not logged.
	Logger Logger
	// Environ is the environment (NAME=VALUE) of hooks for which config.json sets none.
	Environ []string
	// NotifySocket is the path of the socket on which a service manager waits for readiness (sd_notify(3)). If it is set, each
	// new container gets a NOTIFY_SOCKET of its own, and what the container sends there is passed on. "" means that nobody waits.
	NotifySocket string
	// SeccompReceiver is the path of the unix socket that gets the descriptor of seccomp notifications, if config.json does not set
	// linux.seccomp.listenerPath. "" means none.
	SeccompReceiver string
	// BeforeExec, if not nil, is called before a program of the host, such as a hook, is started. If the calling process has inherited
	// descriptors, it can set close-on-exec on them here. An error keeps the program from being started, and is returned.
	BeforeExec func() error

	mu       sync.Mutex
	children map[int]bool // processes of containers that are not reaped yet
}

// Logger gets the messages of a Runtime, one line for each call. Its functions may be called by several goroutines at the same time. A
// nil function drops the messages.
type Logger struct {
	Debug func(text string) // gets what is done, step by step
	Warn  func(text string) // gets what is wrong although the call goes on
}

func (rt *Runtime) log() log.Logger { return log.Logger(rt.Logger) }

func (rt *Runtime) store() store.Store {
	return store.Store{Root: rt.Root, Sticky: rt.Sticky, Log: rt.log(), TakeOver: foreign.TakeOver}
}

// These errors are for errors.Is. Engines look for the texts of ErrNotFound and ErrNotRunning.
var (
	// ErrNotFound: there is no container with that id.
	ErrNotFound = store.ErrNotFound
	// ErrExists: the id is taken.
	ErrExists = store.ErrExists
	// ErrNotRunning: the container's process has ended, or does not exist yet.
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

// Error has the parts of a message: the field of config.json, the value, the call, the subject, the errno and the hint.
type Error = fault.Error

// ForeignError is returned for a container that another runtime, or a newer version of davit, has made, and that davit therefore does
// not touch.
type ForeignError = store.ForeignError

// adopt remembers a child process, so that reap finds it when its container is deleted.
func (rt *Runtime) adopt(pid int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.children == nil {
		rt.children = map[int]bool{}
	}
	rt.children[pid] = true
}

// disown forgets a child process. It returns false if pid is not a remembered one.
func (rt *Runtime) disown(pid int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	had := rt.children[pid]
	delete(rt.children, pid)
	return had
}

// reap calls wait4(2) for the ended process of a container, if that is a child of this process.
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
