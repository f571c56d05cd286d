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

// CreateOptions say what to make a container of. ID and Bundle are needed; the zero values of the rest are what most callers want.
type CreateOptions struct {
	ID     string // letters, digits and _ + - . ; 255 bytes at the most; it does not begin with a dot
	Bundle string // absolute path of the directory that holds config.json
	Config string // path of a file that is read in place of the bundle's config.json; "": none
	Stdio  Stdio  // of the container's process, unless that has a terminal
	// ConsoleSocket is the path of a unix socket that gets the terminal's master (SCM_RIGHTS), if config.json sets
	// process.terminal. Terminal is the other way to get it. One of both is needed then.
	ConsoleSocket string
	Terminal      *Terminal
	PidFile       string // path of a file that gets the pid of the container's process; "": none
	PidfdSocket   string // path of a unix socket that gets a pidfd of that process; "": none
	NoPivot       bool   // change the root by MS_MOVE and chroot(2), for hosts that run from an initramfs
	NoNewKeyring  bool   // keep the caller's session keyring
	SystemdCgroup bool   // systemd makes the cgroup; linux.cgroupsPath is slice:prefix:name then
	NoCgroup      bool   // the container stays in the caller's cgroup
	// ExtraFDs are descriptors of the calling process that the container's process gets as 3, 4, …, in this order. They stay
	// the caller's.
	ExtraFDs      []int
	ListenFDs     int    // so many of ExtraFDs, the first ones, are announced as sockets in LISTEN_FDS (sd_listen_fds(3))
	ListenFDNames string // their names, separated by colons; "": none
	Rootless      string // may the container do without cgroups that the caller cannot write: "true", "false"; "": yes, without root
	// Run says that the caller starts the container itself, as [Runtime.Run] does: there is no socket to wait at.
	Run    bool
	Trace  *Trace // nil: none
	notify bool   // the container gets a NOTIFY_SOCKET
}

// RunOptions are those of Runtime.Run.
type RunOptions struct {
	CreateOptions
	// Detach: Run returns once the program has begun, and if there is a NotifySocket once the container is ready. Otherwise
	// readiness is passed on while the caller waits for the process.
	Detach bool
}

// ExecOptions say what to run in a container. Process is needed.
type ExecOptions struct {
	Process       *specs.Process // args and cwd are needed; see [Container.Complete]
	Stdio         Stdio          // as in CreateOptions; so with the others of the same name
	ConsoleSocket string
	Terminal      *Terminal
	PidFile       string
	PidfdSocket   string
	IgnorePaused  bool // start it in a paused container, too, where it waits for Resume
	ExtraFDs      []int
	ListenFDs     int
	ListenFDNames string
	SubCgroups    []string // cgroups below the container's to put it in; with cgroups v1 CONTROLLERS:PATH
	Trace         *Trace
}

// Stdio are a process's standard streams. Nil is /dev/null. The files stay the caller's.
type Stdio struct{ In, Out, Err *os.File }

// fill sets the descriptors. The caller calls done once the process has them.
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

// Terminal is the caller's side of a process's terminal. Neither function is called if the process has none.
type Terminal struct {
	// Socket returns a connected unix stream socket that gets the terminal's master (SCM_RIGHTS). It is called before
	// anything is made. The socket stays the caller's.
	Socket func() (int, error)
	// Attach is called when the master has been sent and the program has not begun. If it fails, the program never begins.
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

// Trace is a timeline of what is done for a container, step by step. All methods of a nil Trace do nothing.
type Trace = trace.Trace

// NewTrace returns a trace that [Trace.Close] writes to the file path, if that is not empty, and that goes to the logger's Debug
// as well. It returns nil, which records nothing, if path is empty and Debug is nil.
func NewTrace(path string, l Logger) *Trace { return trace.New(path, log.Logger(l)) }
