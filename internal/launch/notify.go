package launch

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"davit/internal/compile"
	"davit/internal/store"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Engines and units of systemd that wait for a service to be ready (sd_notify(3))
// give davit a NOTIFY_SOCKET. The container gets one of its own, in a directory
// of the state directory that is mounted into it; who starts the container listens
// there, tells the host's socket when the container is ready, and in whose name.

const (
	notifyFile        = "notify.sock"
	notifyInContainer = "/run/notify/" + notifyFile
	// maxNotification is the size of the longest message that systemd accepts, in bytes.
	maxNotification = 4096
	// barrierTimeout is how long davit waits until systemd has read what was sent.
	barrierTimeout = 30 * time.Second
)

// nobody owns the directory of a container with a user namespace. As good as no mapping has this id, so that the
// container's root has no rights to the directory, even where 0 is mapped to 0 and CAP_SYS_ADMIN makes the mount
// writable: it cannot put other files there, or fill the host's /run.
const nobody = 1<<32 - 2

// MkdirNotify makes the directory of the socket in the state directory dir. foreign says that the container has a user namespace of its
// own, so that its root is another user.
func MkdirNotify(dir int, foreign bool) error {
	if err := unix.Mkdirat(dir, compile.NotifyDir, 0o755); err != nil {
		return fmt.Errorf("mkdir %s: %w", compile.NotifyDir, err)
	}
	fd, err := unix.Openat(dir, compile.NotifyDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", compile.NotifyDir, err)
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, 0o755); err != nil { // whatever the umask: the container's user goes through it
		return fmt.Errorf("fchmod %s: %w", compile.NotifyDir, err)
	}
	if !foreign {
		return nil
	}
	if err := unix.Fchown(fd, nobody, nobody); err != nil {
		return fmt.Errorf("fchown %s: %w", compile.NotifyDir, err)
	}
	return nil
}

// Notifier forwards the readiness of a container to the service manager.
type Notifier struct {
	socket *sys.FD
	path   string
	host   string // the host's NOTIFY_SOCKET
}

// ListenNotify makes the container's socket, if there is somebody to forward to
// and the container was made with one; else it returns nil.
func ListenNotify(stateDir, host string) (*Notifier, error) {
	dir := filepath.Join(stateDir, compile.NotifyDir)
	if host == "" || unix.Access(dir, unix.F_OK) != nil {
		return nil, nil
	}
	n := &Notifier{path: filepath.Join(dir, notifyFile), host: host}
	short, done, err := socketPath(n.path)
	if err != nil {
		return nil, err
	}
	defer done()
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	n.socket = sys.Own(socket)
	unix.Unlink(n.path)
	// Any user of the container may notify. bind(2) takes the mode 0777 less the umask; a chmod afterwards would follow a
	// link that the container has put in the socket's place. The umask is that of a thread that ends with this.
	err = sys.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		unix.Umask(0)
		return unix.Bind(socket, &unix.SockaddrUnix{Name: short})
	})
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("bind %s: %w", n.path, err)
	}
	return n, nil
}

func (n *Notifier) Close() {
	if n != nil {
		n.socket.Close()
		unix.Unlink(n.path)
	}
}

// Forward waits until the container says that it is ready, and passes that on
// (for pid, see tell); or until its process has ended.
func (n *Notifier) Forward(pid, pidfd int) error {
	var buf [maxNotification]byte
	for ended := false; ; {
		fds := []unix.PollFd{{Fd: int32(n.socket.Int()), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		if fds[0].Revents != 0 {
			k, _, err := unix.Recvfrom(n.socket.Int(), buf[:], 0)
			if err == nil && isReady(string(buf[:k])) {
				return n.tell(pid)
			}
			continue
		}
		if ended { // and had sent nothing before
			return nil
		}
		ended = fds[1].Revents != 0
	}
}

func isReady(message string) bool {
	for line := range strings.Lines(message) {
		if strings.TrimSuffix(line, "\n") == "READY=1" {
			return true
		}
	}
	return false
}

// tell passes on that the container is ready, and that process pid is the service's
// from now on (0: davit stays it); then it waits until systemd has read that, which must happen before
// the sender ends (sd_notify_barrier(3)).
func (n *Notifier) tell(pid int) error {
	host, err := Connect(n.host, unix.SOCK_DGRAM)
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer unix.Close(host)
	var b bytes.Buffer
	if pid > 0 {
		fmt.Fprintf(&b, "MAINPID=%d\n", pid)
	}
	b.WriteString("READY=1\n")
	if err := unix.Send(host, b.Bytes(), unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: send: %w", err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe2: %w", err)
	}
	defer unix.Close(pipe[0])
	err = unix.Sendmsg(host, []byte("BARRIER=1"), unix.UnixRights(pipe[1]), nil, unix.MSG_NOSIGNAL)
	unix.Close(pipe[1])
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: send the barrier: %w", err)
	}
	if !store.WaitExit(pipe[0], barrierTimeout) { // it is readable once the other end is closed
		return fmt.Errorf("NOTIFY_SOCKET: nobody has read from %s within %s", n.host, barrierTimeout)
	}
	return nil
}
