package libcontainer

import (
	"fmt"
	"os"
	"runtime"

	"davit/internal/log"
	"davit/internal/trace"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateOptions are the options of [Runtime.Create]. ID and Bundle must be set. The zero value of every other field is the usual choice.
type CreateOptions struct {
	ID     string // 1 to 255 bytes: letters, digits and _ + - . ; not a dot at the beginning
	Bundle string // the absolute path of the directory that holds config.json
	Config string // the path of a file to read instead of the bundle's config.json; "": none
	Stdio  Stdio  // the standard streams of the container's process; not used if that has a terminal
	// ConsoleSocket is the path of a unix socket that gets the master of the terminal (SCM_RIGHTS). If config.json sets
	// process.terminal, either ConsoleSocket or Terminal must be set, and not both.
	ConsoleSocket string
	Terminal      *Terminal
	PidFile       string // the path of a file to which the pid of the container's process is written; "": none
	PidfdSocket   string // the path of a unix socket to which a pidfd of that process is sent; "": none
	NoPivot       bool   // change the root with MS_MOVE and chroot(2), for hosts that run from an initramfs
	NoNewKeyring  bool   // the container keeps the caller's session keyring
	SystemdCgroup bool   // systemd makes the cgroup; linux.cgroupsPath then has the form slice:prefix:name
	NoCgroup      bool   // the container stays in the caller's cgroup
	// ExtraFDs are descriptors of the calling process. The container's process gets copies of them as 3, 4 and so on, in this
	// order. The caller closes its own.
	ExtraFDs      []int
	ListenFDs     int    // how many of ExtraFDs, counted from the first, are sockets for LISTEN_FDS (sd_listen_fds(3)); 0 to len(ExtraFDs)
	ListenFDNames string // the names of these sockets, separated by colons; "": none
	// Rootless says whether a container is created without a cgroup if the caller may not make one: "true" or "false". "" means
	// "true" for a caller without root and "false" for root.
	Rootless string
	// Run is set by [Runtime.Run], and is an error for [Runtime.Create]. The container then has no socket on which it waits for start.
	Run    bool
	Trace  *Trace // nil: none
	notify bool   // the container gets a NOTIFY_SOCKET of its own
}

// RunOptions are the options of [Runtime.Run].
type RunOptions struct {
	CreateOptions
	// Detach matters only if the Runtime has a NotifySocket. With Detach, Run returns when the container has said that it is ready.
	// Without it, Run returns when the program has begun, and readiness is passed on in the background until [Process.Close].
	Detach bool
}

// ExecOptions are the options of [Container.Exec]. Process must be set. Fields that CreateOptions has as well mean the same here.
type ExecOptions struct {
	Process       *specs.Process // args and cwd must be set; see also [Container.Complete]
	Stdio         Stdio
	ConsoleSocket string
	Terminal      *Terminal
	PidFile       string
	PidfdSocket   string
	IgnorePaused  bool // also start the process if the container is paused; it then waits for Resume
	ExtraFDs      []int
	ListenFDs     int
	ListenFDNames string
	SubCgroups    []string // the cgroups for the process, as paths below the container's cgroup; with cgroup v1 CONTROLLERS:PATH
	Trace         *Trace
}

// Stdio has the standard streams of a process. nil stands for /dev/null. The caller closes the files.
type Stdio struct{ In, Out, Err *os.File }

// fill writes the numbers of the three descriptors to fds. The caller calls done when the process has its copies.
func (s *Stdio) fill(fds *[3]int) (done func(), err error) {
	null := -1
	for i, f := range [...]*os.File{s.In, s.Out, s.Err} {
		switch f {
		case nil:
			if null < 0 {
				if null, err = unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
					return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
				}
			}
			fds[i] = null
		case os.Stdin: // Fd would make it block, for all who share it
			fds[i] = unix.Stdin
		case os.Stdout:
			fds[i] = unix.Stdout
		case os.Stderr:
			fds[i] = unix.Stderr
		default:
			fds[i] = int(f.Fd())
		}
	}
	return func() {
		if null >= 0 {
			unix.Close(null)
		}
		runtime.KeepAlive(s)
	}, nil
}

// Terminal is how the caller gets the terminal of a process. Its functions are not called if the process has no terminal.
type Terminal struct {
	// Socket returns a connected unix stream socket, to which the master of the terminal is sent (SCM_RIGHTS). It is called before
	// anything is made on the host. The caller closes the socket.
	Socket func() (int, error)
	// Attach is called after the master was sent and before the program begins. If it returns an error, the program does not begin.
	Attach func() error
}

func (t *Terminal) socket(wanted bool) (int, error) {
	if t == nil || !wanted {
		return -1, nil
	}
	return t.Socket()
}

func (t *Terminal) attach(wanted bool) error {
	if t == nil || !wanted {
		return nil
	}
	return t.Attach()
}

// Trace is a timeline of everything that is done for a container. All methods of a nil Trace do nothing.
type Trace = trace.Trace

// NewTrace returns a trace. Its method Close writes the timeline to the file path, unless path is empty. Each step also goes to the
// logger's Debug function, if there is one. NewTrace returns nil, which records nothing, if path is empty and Debug is nil.
func NewTrace(path string, l Logger) *Trace { return trace.New(path, log.Logger(l)) }
