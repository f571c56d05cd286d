package launch

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"davit/internal/diagnose"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Hooks are run without os/exec, which needs Go's poller and threads. If the kernel has no descriptor or thread left for these, Go's
// runtime ends davit at once.

// hookLinger is how long davit reads the output of a hook after the hook has ended, since its children may keep the pipe open.
const hookLinger = time.Second

// NotStartedError is returned if a hook could not be started for a reason that may not last, for example too little memory.
type NotStartedError struct{ error }

func (e *NotStartedError) Unwrap() error { return e.error }

// hookRun is a running hook.
type hookRun struct {
	pid   int
	pidfd *sys.FD
	in    *sys.FD    // the writing end of its standard input
	outs  [2]*sys.FD // the reading ends of its standard output and error
	state string
	text  *HookOutput
}

// runHook runs a hook until it ends or its timeout is over. What the hook writes goes to out.
func runHook(h *specs.Hook, environ []string, bundle, state string, out *HookOutput) error {
	r, err := startHook(h, environ, bundle, state, out)
	if err != nil {
		return err
	}
	defer r.close()
	var end time.Time
	if h.Timeout != nil {
		end = time.Now().Add(time.Duration(*h.Timeout) * time.Second)
	}
	overdue := !r.serve(end, true)
	if overdue {
		unix.PidfdSendSignal(r.pidfd.Int(), unix.SIGKILL, nil, 0)
	}
	status, err := reap(r.pid)
	if err != nil {
		return fmt.Errorf("wait4: %w", err)
	}
	r.serve(time.Now().Add(hookLinger), false)
	switch {
	case overdue && status.Signaled(): // else it ended right then
		return errors.New(diagnose.HookTimeout(*h.Timeout))
	case status.Signaled():
		return fmt.Errorf("signal: %s", status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return nil
}

func startHook(h *specs.Hook, environ []string, bundle, state string, text *HookOutput) (r *hookRun, err error) {
	r = &hookRun{state: state, text: text}
	defer func() {
		if err != nil {
			r.close()
			r = nil
		}
	}()
	var in [2]int
	if err = unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return r, &NotStartedError{fmt.Errorf("pipe2: %w", err)}
	}
	defer unix.Close(in[0])
	r.in = sys.Own(in[1])
	files := [3]uintptr{uintptr(in[0])}
	for i := range r.outs {
		var out [2]int
		if err = unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
			return r, &NotStartedError{fmt.Errorf("pipe2: %w", err)}
		}
		defer unix.Close(out[1])
		r.outs[i], files[1+i] = sys.Own(out[0]), uintptr(out[1])
	}
	for _, fd := range [...]*sys.FD{r.in, r.outs[0], r.outs[1]} {
		if err = unix.SetNonblock(fd.Int(), true); err != nil {
			return r, &NotStartedError{fmt.Errorf("fcntl: %w", err)}
		}
	}
	args, env := h.Args, h.Env
	if len(args) == 0 {
		args = []string{h.Path}
	}
	if env == nil { // the caller's, which runc and crun give, too: hooks without env count on a PATH
		env = environ
	}
	dir := bundle
	var st unix.Stat_t
	if unix.Stat(bundle, &st) != nil { // which may be gone when a container is deleted
		dir = ""
	}
	pidfd := -1
	r.pid, err = syscall.ForkExec(h.Path, args, &syscall.ProcAttr{
		Dir: dir, Env: lastOfEach(env), Files: files[:],
		Sys: &syscall.SysProcAttr{PidFD: &pidfd},
	})
	r.pidfd = sys.Own(pidfd)
	if err != nil {
		permanent := IsPermanent(err)
		if err = fmt.Errorf("fork/exec %s: %w", h.Path, err); !permanent {
			err = &NotStartedError{err}
		}
	}
	return r, err
}

// IsPermanent reports whether an error of execve(2) is due to the file itself, so that another try fails in the same way.
func IsPermanent(err error) bool {
	for _, errno := range [...]unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG,
		unix.EISDIR, unix.E2BIG, unix.EINVAL, unix.ELIBBAD} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// lastOfEach returns the environment with each name only once, with the last of its values.
func lastOfEach(env []string) []string {
	last := make(map[string]int, len(env))
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	if len(last) == len(env) {
		return env
	}
	list := make([]string, 0, len(last))
	for i, e := range env {
		if name, _, _ := strings.Cut(e, "="); last[name] == i {
			list = append(list, e)
		}
	}
	return list
}

// serve writes the hook's input and reads its output. With toEnd it returns when the hook has ended, otherwise when nobody has the
// output open any more. It returns false if the time end comes first. The zero time means no limit.
func (r *hookRun) serve(end time.Time, toEnd bool) bool {
	for toEnd || r.outs[0].Int() >= 0 || r.outs[1].Int() >= 0 {
		timeout := -1
		if !end.IsZero() {
			timeout = int(max(time.Until(end)+time.Millisecond-1, 0).Milliseconds())
		}
		fds := []unix.PollFd{{Fd: -1}, {Fd: int32(r.in.Int()), Events: unix.POLLOUT}, {Fd: int32(r.outs[0].Int()), Events: unix.POLLIN}, {Fd: int32(r.outs[1].Int()), Events: unix.POLLIN}}
		if toEnd {
			fds[0] = unix.PollFd{Fd: int32(r.pidfd.Int()), Events: unix.POLLIN}
		}
		n, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil: // out of memory: the hook's end is waited for without it
			return true
		case n == 0:
			return false
		}
		if fds[1].Revents != 0 {
			r.write()
		}
		for i := range r.outs {
			if fds[2+i].Revents != 0 {
				r.read(i)
			}
		}
		if fds[0].Revents != 0 {
			return true
		}
	}
	return true
}

// read reads what the hook has written to stream 1+i.
func (r *hookRun) read(i int) {
	var buf [4096]byte
	n, err := unix.Read(r.outs[i].Int(), buf[:])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
	case err != nil || n == 0:
		r.outs[i].Close()
	default:
		r.text.add(1+i, buf[:n])
	}
}

func (r *hookRun) write() {
	n, err := unix.Write(r.in.Int(), []byte(r.state))
	if err == unix.EINTR || err == unix.EAGAIN {
		return
	}
	if err == nil {
		r.state = r.state[n:]
	}
	if err != nil || r.state == "" { // a hook need not read it
		r.in.Close()
	}
}

func (r *hookRun) close() {
	for _, fd := range [...]*sys.FD{r.in, r.outs[0], r.outs[1], r.pidfd} {
		fd.Close()
	}
}

// reap waits until a child has ended, and returns its status.
func reap(pid int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err != unix.EINTR {
			return status, err
		}
	}
}
