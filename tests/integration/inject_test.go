//go:build amd64 || arm64

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fault names a system call of davit or its stage that must fail, with the kind-th errno of its
// list. The call is identified by its name and by the number of calls with this name before it,
// because the order of different calls depends on the threads of Go's runtime.
type fault struct {
	call
	kind   int
	always string // if set, every call with this name fails instead, with its first errno
	// If on is set, only calls for a file whose path ends with it fail and are counted.
	on string
}

type call struct {
	syscall string
	before  int
}

// injected is the result of a run with a fault.
type injected struct {
	calls  []call // the calls that could have failed
	name   string // the call that failed, or ""
	out    string // stdout and stderr
	status int    // as exitCode returns it
	hung   bool
	// The calls of close by davit that found no descriptor. A descriptor that is closed twice may
	// be another's by then.
	vain []string
}

// failure is a system call that is made to fail.
type failure struct {
	nr     uint64
	name   string
	errnos []unix.Errno
}

// failures has the system calls that the tests make fail. The errnos are those of their man pages
// that a kernel under pressure returns, or (EPERM) a kernel with a security module. A call is
// missing here if it cannot fail for such a reason, if it belongs to Go's runtime before main and
// davit cannot cope with its failure (memory, signals, futexes), or if it would do its work in
// spite of the error: close(2) frees a descriptor whatever it returns.
var failures = append([]failure{
	{unix.SYS_OPENAT, "openat", []unix.Errno{unix.EIO, unix.EMFILE, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_OPENAT2, "openat2", []unix.Errno{unix.EIO, unix.EMFILE, unix.ENOMEM, unix.EPERM, unix.EAGAIN}},
	{unix.SYS_READ, "read", []unix.Errno{unix.EIO, unix.EINTR, unix.ENOMEM}},
	{unix.SYS_WRITE, "write", []unix.Errno{unix.EIO, unix.ENOSPC, unix.EINTR}},
	{unix.SYS_FSTAT, "fstat", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_GETDENTS64, "getdents64", []unix.Errno{unix.EIO}},
	{unix.SYS_FCNTL, "fcntl", []unix.Errno{unix.EMFILE}},
	{unix.SYS_FLOCK, "flock", []unix.Errno{unix.EIO, unix.EINTR, unix.ENOLCK}},
	{unix.SYS_MKDIRAT, "mkdirat", []unix.Errno{unix.EIO, unix.ENOSPC, unix.EPERM}},
	{unix.SYS_UNLINKAT, "unlinkat", []unix.Errno{unix.EIO, unix.EBUSY, unix.EPERM}},
	{unix.SYS_SYMLINKAT, "symlinkat", []unix.Errno{unix.EIO, unix.ENOSPC}},
	{unix.SYS_RENAMEAT, "renameat", []unix.Errno{unix.EIO, unix.ENOSPC}},
	{unix.SYS_READLINKAT, "readlinkat", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_STATFS, "statfs", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_FCHDIR, "fchdir", []unix.Errno{unix.EIO, unix.EPERM}},
	{unix.SYS_CHDIR, "chdir", []unix.Errno{unix.EIO, unix.EPERM}},
	{unix.SYS_MEMFD_CREATE, "memfd_create", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_SOCKET, "socket", []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_SOCKETPAIR, "socketpair", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_BIND, "bind", []unix.Errno{unix.EIO, unix.ENOSPC}},
	{unix.SYS_LISTEN, "listen", []unix.Errno{unix.EPERM}},
	{unix.SYS_CONNECT, "connect", []unix.Errno{unix.EAGAIN, unix.EINTR, unix.EPERM}},
	{unix.SYS_ACCEPT4, "accept4", []unix.Errno{unix.EMFILE, unix.EINTR, unix.ENOMEM}},
	{unix.SYS_SENDMSG, "sendmsg", []unix.Errno{unix.ENOMEM, unix.EINTR}},
	{unix.SYS_SENDTO, "sendto", []unix.Errno{unix.ENOMEM, unix.EINTR}},
	{unix.SYS_RECVMSG, "recvmsg", []unix.Errno{unix.ENOMEM, unix.EINTR}},
	{unix.SYS_RECVFROM, "recvfrom", []unix.Errno{unix.ENOMEM, unix.EINTR}},
	{unix.SYS_PIPE2, "pipe2", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_DUP3, "dup3", []unix.Errno{unix.EBUSY, unix.EMFILE}},
	{unix.SYS_CLONE, "clone", []unix.Errno{unix.EAGAIN, unix.ENOMEM}},
	{unix.SYS_CLONE3, "clone3", []unix.Errno{unix.EAGAIN, unix.ENOMEM, unix.EBUSY, unix.ENOSPC, unix.EPERM}},
	{unix.SYS_EXECVE, "execve", []unix.Errno{unix.EIO, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_WAIT4, "wait4", []unix.Errno{unix.EINTR}},
	{unix.SYS_PIDFD_OPEN, "pidfd_open", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_PIDFD_SEND_SIGNAL, "pidfd_send_signal", []unix.Errno{unix.EPERM}},
	{unix.SYS_KILL, "kill", []unix.Errno{unix.EPERM}},
	{unix.SYS_EPOLL_CREATE1, "epoll_create1", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_EVENTFD2, "eventfd2", []unix.Errno{unix.EMFILE}},
	{unix.SYS_EPOLL_CTL, "epoll_ctl", []unix.Errno{unix.ENOMEM, unix.ENOSPC}},
	{unix.SYS_PPOLL, "ppoll", []unix.Errno{unix.EINTR, unix.ENOMEM}},
	{unix.SYS_MOUNT, "mount", []unix.Errno{unix.EIO, unix.ENOMEM, unix.EPERM, unix.EBUSY, unix.ENOSPC}},
	{unix.SYS_UMOUNT2, "umount2", []unix.Errno{unix.EBUSY, unix.EPERM}},
	{unix.SYS_PIVOT_ROOT, "pivot_root", []unix.Errno{unix.EBUSY, unix.EPERM}},
	{unix.SYS_OPEN_TREE, "open_tree", []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_MOVE_MOUNT, "move_mount", []unix.Errno{unix.ENOMEM, unix.EPERM, unix.ENOSPC}},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", []unix.Errno{unix.ENOMEM, unix.EPERM, unix.EBUSY}},
	{unix.SYS_FSOPEN, "fsopen", []unix.Errno{unix.EMFILE, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_FSCONFIG, "fsconfig", []unix.Errno{unix.ENOMEM, unix.EPERM}},
	{unix.SYS_FSMOUNT, "fsmount", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	{unix.SYS_MKNODAT, "mknodat", []unix.Errno{unix.EIO, unix.ENOSPC, unix.EPERM}},
	{unix.SYS_FCHMODAT, "fchmodat", []unix.Errno{unix.EIO, unix.EPERM}},
	{unix.SYS_FCHOWNAT, "fchownat", []unix.Errno{unix.EIO, unix.EPERM}},
	{unix.SYS_SETNS, "setns", []unix.Errno{unix.EPERM, unix.ENOMEM}},
	{unix.SYS_UNSHARE, "unshare", []unix.Errno{unix.EPERM, unix.ENOMEM, unix.ENOSPC}},
	{unix.SYS_SETSID, "setsid", []unix.Errno{unix.EPERM}},
	{unix.SYS_SETHOSTNAME, "sethostname", []unix.Errno{unix.EPERM}},
	{unix.SYS_SETGROUPS, "setgroups", []unix.Errno{unix.EPERM, unix.ENOMEM}},
	{unix.SYS_SETRESUID, "setresuid", []unix.Errno{unix.EAGAIN, unix.EPERM}},
	{unix.SYS_SETRESGID, "setresgid", []unix.Errno{unix.EPERM}},
	{unix.SYS_CAPSET, "capset", []unix.Errno{unix.EPERM}},
	{unix.SYS_SECCOMP, "seccomp", []unix.Errno{unix.ENOMEM, unix.EPERM, unix.EBUSY}},
	{unix.SYS_KEYCTL, "keyctl", []unix.Errno{unix.EDQUOT, unix.ENOMEM, unix.EPERM}},
	{unix.SYS_BPF, "bpf", []unix.Errno{unix.EPERM, unix.ENOMEM, unix.EBUSY}},
	{unix.SYS_CLOSE_RANGE, "close_range", []unix.Errno{unix.ENOMEM}},
	{unix.SYS_SCHED_SETAFFINITY, "sched_setaffinity", []unix.Errno{unix.EPERM, unix.ENOMEM}},
	{unix.SYS_PRLIMIT64, "prlimit64", []unix.Errno{unix.EPERM}},
	{unix.SYS_UNAME, "uname", []unix.Errno{unix.EPERM}},
	{unix.SYS_FACCESSAT, "faccessat", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_INOTIFY_INIT1, "inotify_init1", []unix.Errno{unix.EMFILE}},
	{unix.SYS_INOTIFY_ADD_WATCH, "inotify_add_watch", []unix.Errno{unix.ENOSPC}},
	{unix.SYS_NAME_TO_HANDLE_AT, "name_to_handle_at", []unix.Errno{unix.ENOMEM}},
}, archFailures...)

// syscallInfo is the beginning of struct ptrace_syscall_info in linux/ptrace.h.
type syscallInfo struct {
	Op     uint8
	_      [3]byte
	Arch   uint32
	IP, SP uint64
	Nr     uint64
	Args   [6]uint64
	_      [2]uint64
}

const opEntry = 1 // PTRACE_SYSCALL_INFO_ENTRY

func syscallOf(thread int) (info syscallInfo, entry bool) {
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return info, errno == 0 && n > 0 && info.Op == opEntry
}

// isDavits reports whether a process that has just called exec is the stage, or the compiler of
// filters. The others are hooks and the container's own processes, whose calls the test does not
// touch.
func isDavits(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, "/memfd:davit-")
}

// injection is a davit that is traced.
type injection struct {
	fault
	injected
	pid    int
	failed bool               // the fault has been injected
	made   map[string]int     // number of calls by name
	fail   map[int]unix.Errno // by thread: the result that its current call must return
	known  map[int]bool       // threads and processes that have started
	closes map[int]uint64     // by thread: the descriptor that it is closing
}

// hangs is how long davit may take.
const hangs = 40 * time.Second

// inject runs davit with a fault.
func (b *box) inject(f fault, args ...string) injected {
	b.t.Helper()
	runtime.LockOSThread() // ptrace is bound to the thread
	defer runtime.UnlockOSThread()
	file, err := os.Create(filepath.Join(b.work, "injected"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	i := &injection{fault: f, pid: cmd.Process.Pid, made: map[string]int{}, fail: map[int]unix.Errno{}, closes: map[int]uint64{}, known: map[int]bool{cmd.Process.Pid: true}}
	timer := time.AfterFunc(hangs, func() {
		i.hung = true
		unix.Kill(i.pid, unix.SIGKILL)
	})
	defer timer.Stop()
	if err := i.trace(); err != nil {
		b.t.Fatal(err)
	}
	data, _ := os.ReadFile(file.Name())
	i.out = string(data)
	return i.injected
}

// trace runs until davit and those of its children that are traced have ended.
func (i *injection) trace() error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(i.pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	const follow = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(i.pid, unix.PTRACE_O_TRACESYSGOOD|follow); err != nil {
		return err
	}
	unix.PtraceSyscall(i.pid, 0)
	for {
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait4: %w", err)
		case status.Exited() || status.Signaled():
			if thread != i.pid {
				continue
			}
			i.status = status.ExitStatus()
			if status.Signaled() {
				i.status = -int(status.Signal())
			}
			i.letGo()
			return nil
		case status.Stopped():
			i.stopped(thread, status)
		}
	}
}

// stopped lets a thread that has stopped continue.
func (i *injection) stopped(thread int, status unix.WaitStatus) {
	signal := 0
	switch stop := status.StopSignal(); {
	case stop == unix.SIGTRAP|0x80:
		i.atCall(thread)
	case stop == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		if thread != i.pid && !isDavits(thread) {
			delete(i.known, thread)
			unix.PtraceDetach(thread)
			return
		}
	case stop == unix.SIGTRAP: // a child was made
	case stop == unix.SIGSTOP && !i.known[thread]: // it starts
		i.known[thread] = true
	default:
		signal = int(stop)
	}
	unix.PtraceSyscall(thread, signal)
}

// atCall handles the entry to a system call, and its exit.
func (i *injection) atCall(thread int) {
	if errno, ok := i.fail[thread]; ok {
		delete(i.fail, thread)
		setResult(thread, errno)
		return
	}
	info, entry := syscallOf(thread)
	i.closed(thread, &info, entry)
	n := slices.IndexFunc(failures, func(f failure) bool { return f.nr == info.Nr })
	if !entry || n < 0 {
		return
	}
	if cmd := info.Args[1]; info.Nr == unix.SYS_FCNTL && cmd != unix.F_DUPFD && cmd != unix.F_DUPFD_CLOEXEC {
		return // these cannot fail in this way
	}
	errnos := failures[n].errnos
	if info.Nr == unix.SYS_READ || info.Nr == unix.SYS_WRITE {
		file, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", thread, info.Args[0]))
		if strings.HasPrefix(file, "pipe:") || strings.HasPrefix(file, "anon_inode:") { // these files need neither a disk nor memory
			errnos = []unix.Errno{unix.EINTR}
		}
	}
	if i.on != "" && !strings.HasSuffix(subjectOf(thread, &info), i.on) {
		return
	}
	this := call{failures[n].name, i.made[failures[n].name]}
	i.made[this.syscall]++
	i.calls = append(i.calls, this)
	one := this == i.fault.call && !i.failed && i.kind < len(errnos)
	if !one && i.always != failures[n].name {
		return
	}
	i.failed = true
	i.name = fmt.Sprintf("%s: %s", failures[n].name, unix.ErrnoName(errnos[i.kind]))
	i.fail[thread] = errnos[i.kind]
	skipCall(thread)
}

// subjectOf returns the path that a call names, or the path that its first descriptor is open on;
// "" if there is none.
func subjectOf(thread int, info *syscallInfo) string {
	path := make([]byte, 4096)
	switch info.Nr {
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_READLINKAT:
		n, err := unix.ProcessVMReadv(thread, []unix.Iovec{{Base: &path[0], Len: uint64(len(path))}},
			[]unix.RemoteIovec{{Base: uintptr(info.Args[1]), Len: len(path) - int(info.Args[1]%4096)}}, 0)
		if err != nil {
			return ""
		}
		name, _, _ := strings.Cut(string(path[:n]), "\x00")
		return name
	}
	file, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", thread, int32(info.Args[0])))
	return file
}

// closed records a close(2) of davit itself that fails with EBADF, at the call's exit. info.Nr is
// the result then.
func (i *injection) closed(thread int, info *syscallInfo, entry bool) {
	fd, closes := i.closes[thread]
	delete(i.closes, thread)
	switch {
	case entry && info.Nr == unix.SYS_CLOSE:
		i.closes[thread] = info.Args[0]
	case !entry && closes && int64(info.Nr) == -int64(unix.EBADF):
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", i.pid, thread)); err == nil {
			i.vain = append(i.vain, fmt.Sprintf("close(%d)", int32(fd)))
		}
	}
}

// letGo detaches the processes that are still traced when davit has ended: a stage that waits for
// start, or that is about to end. To detach a process, it must be stopped first.
func (i *injection) letGo() {
	for pid := range i.known {
		if pid == i.pid || unix.Kill(pid, unix.SIGSTOP) != nil {
			continue
		}
		for {
			var status unix.WaitStatus
			_, err := unix.Wait4(pid, &status, unix.WALL, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || !status.Stopped() {
				break
			}
			if status.StopSignal() == unix.SIGSTOP {
				unix.PtraceDetach(pid)
				break
			}
			i.stopped(pid, status)
		}
	}
}
