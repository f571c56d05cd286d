// Package criu talks to CRIU, a program that saves running processes to files and restores them.
// davit starts `criu swrk` and speaks CRIU's protocol (rpc.proto) with it over a socket pair. This
// package knows nothing about containers.
package criu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"davit/internal/fault"
	"davit/internal/sys"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// The oldest version of CRIU that davit supports.
const (
	oldestMajor = 3
	oldestMinor = 16
)

// ErrMissing is the error if the host has no CRIU.
var ErrMissing = errors.New("criu: not found in PATH")

// ErrEnded is part of the error if CRIU ends before it has answered.
var ErrEnded = errors.New("criu ended early")

// Version is a version of CRIU, such as 4.2.1.
type Version struct{ Major, Minor, Sub int }

func (v Version) String() string {
	s := strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)
	if v.Sub != 0 {
		s += "." + strconv.Itoa(v.Sub)
	}
	return s
}

// AtLeast reports whether the version is major.minor or a later one.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Options are the options of Start.
type Options struct {
	// Files become the descriptors FirstFile, FirstFile+1 and so on of CRIU.
	Files []int
	// Cgroup is a descriptor of the cgroup2 directory into which CRIU is cloned, -1 for davit's
	// own.
	Cgroup int
	// Group puts CRIU into a process group of its own, which Kill and Close end as a whole: a
	// CRIU that is killed leaves helpers that wait for ever. Do not set it for a restore, whose
	// processes may be in the caller's group.
	Group bool
	// Bound makes the kernel kill CRIU when the calling thread ends, and so when davit is killed.
	// A CRIU that sends memory to others might otherwise wait for them for ever, with processes
	// that it has stopped. Without Bound it notices at its next event that davit has ended, and
	// tidies up.
	Bound bool
}

// FirstFile is the number of the first of [Options.Files] in CRIU. The numbers below are standard
// input, output and error, and the socket.
const FirstFile = 4

// Process is a CRIU that waits for a request, or carries one out.
type Process struct {
	Pid    int
	group  bool
	pidfd  int
	socket int
	errors *os.File // has CRIU's standard error
	// Version is the version of this CRIU.
	Version Version
}

// Start starts the criu of PATH in the mount namespace of the calling thread, and asks for its
// version. It fails with ErrMissing if there is none. It also fails if CRIU is older than 3.16.
func Start(o Options) (*Process, error) {
	path, err := exec.LookPath("criu")
	if err != nil {
		return nil, fault.WithHint(ErrMissing, "checkpoint and restore need CRIU, "+strconv.Itoa(oldestMajor)+"."+strconv.Itoa(oldestMinor)+" or later: `davit check` says what it can do here")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	p, err := start(path, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err = p.askVersion(); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func start(path string, o Options) (*Process, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	stderr, err := unix.MemfdCreate("criu-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	p := &Process{errors: os.NewFile(uintptr(stderr), "criu-stderr"), pidfd: -1, group: o.Group}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.errors.Close()
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[1])
	p.socket = pair[0]
	files := []uintptr{uintptr(null), uintptr(null), uintptr(stderr), uintptr(pair[1])}
	for _, fd := range o.Files {
		files = append(files, uintptr(fd))
	}
	attr := &syscall.SysProcAttr{PidFD: &p.pidfd, UseCgroupFD: o.Cgroup >= 0, CgroupFD: max(o.Cgroup, 0), Setpgid: o.Group}
	if o.Bound {
		attr.Pdeathsig = syscall.SIGKILL
	}
	p.Pid, err = syscall.ForkExec(path, []string{"criu", "swrk", strconv.Itoa(FirstFile - 1)},
		&syscall.ProcAttr{Files: files, Env: os.Environ(), Sys: attr})
	if err != nil {
		unix.Close(p.socket)
		p.errors.Close()
		return nil, err
	}
	return p, nil
}

func (p *Process) askVersion() error {
	answer, err := p.call(&rpc.CriuReq{Type: new(rpc.CriuReqType_VERSION), KeepOpen: new(true)}, nil)
	if err != nil {
		return err
	}
	v := answer.GetVersion()
	p.Version = Version{int(v.GetMajorNumber()), int(v.GetMinorNumber()), int(v.GetSublevel())}
	if !p.Version.AtLeast(oldestMajor, oldestMinor) {
		return fmt.Errorf("this is version %s, and davit needs %d.%d or later", p.Version, oldestMajor, oldestMinor)
	}
	return nil
}

// Features are the features that this kernel has, according to CRIU.
type Features struct {
	MemTrack  bool // dumps of the memory that has changed since the last dump
	LazyPages bool // memory that is fetched when the process uses it
}

// Features asks CRIU what this kernel can do.
func (p *Process) Features() (Features, error) {
	answer, err := p.call(&rpc.CriuReq{Type: new(rpc.CriuReqType_FEATURE_CHECK), KeepOpen: new(true),
		Features: &rpc.CriuFeatures{MemTrack: new(true), LazyPages: new(true)}}, nil)
	if err != nil {
		return Features{}, err
	}
	f := answer.GetFeatures()
	return Features{MemTrack: f.GetMemTrack(), LazyPages: f.GetLazyPages()}, nil
}

// Probe starts the criu of PATH, and returns its version and the kernel's features.
func Probe() (Version, Features, error) {
	p, err := Start(Options{Cgroup: -1})
	if err != nil {
		return Version{}, Features{}, err
	}
	defer p.Close()
	f, err := p.Features()
	return p.Version, f, err
}

// Event is a point at which CRIU waits for davit.
type Event struct {
	Name string // "post-restore", …: criu(8), "--action-script"
	Pid  int    // the pid of the first restored process, if it exists
	FD   int    // with orphan-pts-master the terminal's master, which event must close; else -1
}

// Do lets CRIU carry out a request. It calls event for each point at which CRIU waits; if event
// fails, the request ends. Do returns the pid of the process that a restore has made.
func (p *Process) Do(kind rpc.CriuReqType, opts *rpc.CriuOpts, event func(Event) error) (pid int, err error) {
	opts.NotifyScripts = new(true)
	answer, err := p.call(&rpc.CriuReq{Type: &kind, Opts: opts}, event)
	if err != nil {
		return 0, err
	}
	return int(answer.GetRestore().GetPid()), nil
}

// Error is a failure that CRIU reports.
type Error struct {
	Message string
	Errno   unix.Errno // 0 if CRIU gave none
}

func (e *Error) Error() string {
	switch {
	case e.Message != "":
		return "criu: " + e.Message
	case e.Errno != 0:
		return "criu: " + e.Errno.Error()
	}
	return "criu failed"
}

// call sends a request and returns its answer.
func (p *Process) call(request *rpc.CriuReq, event func(Event) error) (*rpc.CriuResp, error) {
	kind := request.GetType()
	for {
		if err := p.send(request); err != nil {
			return nil, err
		}
		answer, fd, err := p.receive()
		if err != nil {
			return nil, err
		}
		if !answer.GetSuccess() {
			closeFD(fd)
			return nil, &Error{answer.GetCrErrmsg(), unix.Errno(answer.GetCrErrno())}
		}
		if answer.GetType() == kind {
			closeFD(fd)
			return answer, nil
		}
		if answer.GetType() != rpc.CriuReqType_NOTIFY || event == nil {
			closeFD(fd)
			return nil, fmt.Errorf("an answer of type %s to a request of type %s", answer.GetType(), kind)
		}
		e := Event{Name: answer.GetNotify().GetScript(), Pid: int(answer.GetNotify().GetPid()), FD: fd}
		failed := event(e)
		request = &rpc.CriuReq{Type: new(rpc.CriuReqType_NOTIFY), NotifySuccess: new(failed == nil)}
		if failed != nil { // CRIU undoes what it has done, and answers that it has failed
			if p.send(request) == nil {
				_, fd, _ = p.receive()
				closeFD(fd)
			}
			return nil, failed
		}
	}
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

func (p *Process) send(request *rpc.CriuReq) error {
	data, err := request.MarshalVT()
	if err != nil {
		return err
	}
	for {
		err = unix.Sendto(p.socket, data, unix.MSG_NOSIGNAL, nil)
		switch {
		case err == unix.EINTR:
		case err == unix.EPIPE:
			return p.died()
		case err != nil:
			return fmt.Errorf("send to criu: %w", err)
		default:
			return nil
		}
	}
}

// receive waits for a message, which may contain a descriptor.
func (p *Process) receive() (*rpc.CriuResp, int, error) {
	data, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	for {
		// The socket alone does not show that CRIU has ended: processes that it was making
		// also have the other end open.
		ready := [...]unix.PollFd{{Fd: int32(p.socket), Events: unix.POLLIN}, {Fd: int32(p.pidfd), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready[:], -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return nil, -1, fmt.Errorf("poll: %w", err)
		}
		if ready[0].Revents == 0 {
			return nil, -1, p.died()
		}
		n, nc, _, _, err := unix.Recvmsg(p.socket, data, control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET || err == nil && n == 0:
			return nil, -1, p.died()
		case err != nil:
			return nil, -1, fmt.Errorf("receive from criu: %w", err)
		}
		answer := &rpc.CriuResp{}
		fd := received(control[:nc])
		if err := answer.UnmarshalVT(data[:n]); err != nil {
			closeFD(fd)
			return nil, -1, fmt.Errorf("receive from criu: %w", err)
		}
		return answer, fd, nil
	}
}

func received(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) == 0 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1
	}
	return fds[0]
}

// died returns an error that says how CRIU ended, with the last that it wrote to standard error.
// For example, a dynamic linker says there that a library is missing.
func (p *Process) died() error {
	how := "it closed the connection"
	if status, ok := p.reap(); ok {
		switch {
		case status.Signaled():
			how = "killed by signal " + strconv.Itoa(int(status.Signal()))
		case status.ExitStatus() != 0:
			how = "exit status " + strconv.Itoa(status.ExitStatus())
		}
	}
	if text := p.stderr(); text != "" {
		how += ": " + text
	}
	return fmt.Errorf("%w: %s", ErrEnded, how)
}

func (p *Process) stderr() string {
	if p.errors == nil {
		return ""
	}
	text, err := io.ReadAll(io.NewSectionReader(p.errors, 0, 1024))
	if err != nil {
		return ""
	}
	return firstLine(text)
}

// reap waits for CRIU's end. It first closes the socket, which makes CRIU end.
func (p *Process) reap() (unix.WaitStatus, bool) {
	var status unix.WaitStatus
	if p.Pid == 0 {
		return status, false
	}
	unix.Close(p.socket)
	p.socket = -1
	if p.group { // the number still is this group's, since CRIU is not reaped yet
		_, _ = sys.Retry(func() (int, error) { return 0, unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
		_ = unix.Kill(-p.Pid, unix.SIGKILL)
	}
	_, err := sys.Retry(func() (int, error) { return unix.Wait4(p.Pid, &status, 0, nil) })
	unix.Close(p.pidfd)
	p.Pid, p.pidfd = 0, -1
	return status, err == nil
}

// Close lets CRIU end and reaps it. Restored processes go on.
func (p *Process) Close() {
	p.reap()
	p.errors.Close()
}

// Kill kills CRIU and reaps it.
func (p *Process) Kill() {
	if p.Pid != 0 {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	p.Close()
}
