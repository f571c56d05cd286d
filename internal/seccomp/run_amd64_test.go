package seccomp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests of this file load filters into a process (testdata/probe.c), and check what its system
// calls return.

// These constants and structs are the same as in testdata/probe.c.
const (
	modeMain = iota
	modeThread
	modeListener
)

type probeCall struct {
	ABI     uint64 // 0: x86_64 and x32; 1: i386
	Number  uint64
	Args    [6]uint64
	Result  int64
	Done    uint64
	Trapped int64
}

type probeShared struct {
	Mode, Flags, Insns, Calls uint64
	Loaded                    int64
	Survived                  uint64
	Call                      [64]probeCall
	Program                   [4096 * 8]byte
}

const probeDeadline = 20 * time.Second

var probeDir string // probePath sets it

var probePath = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "davit-probe")
	if err != nil {
		return "", err
	}
	probeDir = dir
	path := filepath.Join(dir, "probe")
	out, err := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "testdata/probe.c", "-o", path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if probeDir != "" {
		os.RemoveAll(probeDir)
	}
	os.Exit(status)
}

// probe is a process that loads a filter and makes calls.
type probe struct {
	cmd    *exec.Cmd
	shared *probeShared
	cancel context.CancelFunc
}

func newProbe(t *testing.T, f *Filter, mode uint64, calls ...probeCall) *probe {
	t.Helper()
	needAMD64(t)
	path, err := probePath()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "probe")
	defer file.Close()
	size := int(unsafe.Sizeof(probeShared{}))
	if err := file.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	s := (*probeShared)(unsafe.Pointer(&mem[0]))
	s.Mode, s.Flags, s.Insns, s.Calls = mode, uint64(f.Flags), uint64(len(f.Program)/8), uint64(len(calls))
	copy(s.Call[:], calls)
	copy(s.Program[:], f.Program)
	ctx, cancel := context.WithTimeout(context.Background(), probeDeadline)
	t.Cleanup(cancel)
	p := &probe{exec.CommandContext(ctx, path), s, cancel}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(dup), "probe")}
	t.Cleanup(func() { p.cmd.ExtraFiles[0].Close() })
	return p
}

// run runs the process and returns how it ended.
func (p *probe) run(t *testing.T) syscall.WaitStatus {
	t.Helper()
	err := p.cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	if p.shared.Loaded < 0 {
		t.Fatalf("seccomp(SECCOMP_SET_MODE_FILTER, %#x): %v", p.shared.Flags, unix.Errno(-p.shared.Loaded))
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// on returns a config with one rule, for getppid(2), which accepts any arguments.
func on(action specs.LinuxSeccompAction, ret *uint, args ...specs.LinuxSeccompArg) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/run/listener",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"getppid"}, Action: action, ErrnoRet: ret, Args: args}}}
}

var getppid = probeCall{Number: unix.SYS_GETPPID}

func TestRunActions(t *testing.T) {
	number := func(n uint) *uint { return &n }
	const (
		alive = iota
		killed
		threadKilled
	)
	me := int64(os.Getpid())
	onlyExit := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: number(5), Syscalls: []specs.LinuxSyscall{
		{Names: []string{"exit_group", "getppid", "faccessat2"}, Action: specs.ActAllow}}}
	for _, test := range []struct {
		name   string
		c      *specs.LinuxSeccomp
		mode   uint64
		call   probeCall
		end    int
		result int64
		trap   int64
	}{
		{"allow", onlyExit, modeMain, getppid, alive, me, 0},
		{"default errno", onlyExit, modeMain, probeCall{Number: unix.SYS_GETPID}, alive, -5, 0},
		{"newer than the profile", onlyExit, modeMain, probeCall{Number: unix.SYS_MSEAL}, alive, -int64(unix.ENOSYS), 0},
		{"errno", on(specs.ActErrno, nil), modeMain, getppid, alive, -1, 0},
		{"errno 42", on(specs.ActErrno, number(42)), modeMain, getppid, alive, -42, 0},
		{"errno 0", on(specs.ActErrno, number(0)), modeMain, getppid, alive, 0, 0},
		{"errno 4094", on(specs.ActErrno, number(4094)), modeMain, getppid, alive, -4094, 0},
		{"log", on(specs.ActLog, nil), modeMain, getppid, alive, me, 0},
		{"kill", on(specs.ActKill, nil), modeMain, getppid, killed, 0, 0},
		{"kill thread", on(specs.ActKillThread, nil), modeMain, getppid, killed, 0, 0},
		{"kill process", on(specs.ActKillProcess, nil), modeMain, getppid, killed, 0, 0},
		{"trap", on(specs.ActTrap, nil), modeMain, getppid, alive, unix.SYS_GETPPID, 1},
		{"trace, no tracer", on(specs.ActTrace, number(7)), modeMain, getppid, alive, -int64(unix.ENOSYS), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProbe(t, mustCompile(t, test.c), test.mode, test.call)
			status := p.run(t)
			call := p.shared.Call[0]
			switch test.end {
			case alive:
				if !status.Exited() || status.ExitStatus() != 0 || call.Done != 1 || call.Result != test.result || call.Trapped != test.trap {
					t.Errorf("status %#x result %d trapped %d, want %d, %d", status, call.Result, call.Trapped, test.result, test.trap)
				}
			case killed:
				if !status.Signaled() || status.Signal() != unix.SIGSYS || call.Done != 0 {
					t.Errorf("status %#x, done %d, want SIGSYS", status, call.Done)
				}
			}
		})
	}
}

// Which threads an action kills, and to which threads the filter applies.
func TestRunThreads(t *testing.T) {
	for _, test := range []struct {
		name                     string
		action                   specs.LinuxSeccompAction
		flags                    uint32
		killed, survived, called bool
	}{
		{"other thread without TSYNC", specs.ActKillThread, 0, false, true, true},
		{"kill thread", specs.ActKillThread, FlagTSync, false, true, false},
		{"kill", specs.ActKill, FlagTSync, false, true, false},
		{"kill process", specs.ActKillProcess, FlagTSync, true, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := mustCompile(t, on(test.action, nil))
			f.Flags |= test.flags
			p := newProbe(t, f, modeThread, getppid)
			status := p.run(t)
			if status.Signaled() != test.killed || (p.shared.Survived == 1) != test.survived || (p.shared.Call[0].Done == 1) != test.called {
				t.Errorf("status %#x survived %d done %d", status, p.shared.Survived, p.shared.Call[0].Done)
			}
		})
	}
}

// Every operator is tested with values around the halves that a filter compares.
func TestRunOperators(t *testing.T) {
	values := []uint64{0, 1, 0x7fffffff, 0xffffffff, 0x100000000, 0x100000001, 0x8000000000000000, 0xffffffff00000000, 0xffffffffffffffff}
	ret := uint(99)
	m := &model{}
	for _, op := range allOperators {
		for i, value := range values {
			arg := specs.LinuxSeccompArg{Index: uint(i % 6), Value: value, Op: op}
			if op == specs.OpMaskedEqual {
				arg.ValueTwo = value & 0xff000000ff
			}
			calls := make([]probeCall, len(values))
			for j, v := range values {
				calls[j] = getppid
				calls[j].Args[arg.Index] = v
			}
			p := newProbe(t, mustCompile(t, on(specs.ActErrno, &ret, arg)), modeMain, calls...)
			p.run(t)
			for j, v := range values {
				want := int64(os.Getpid())
				if m.matches(arg, event{args: calls[j].Args}, false) {
					want = -99
				}
				if got := p.shared.Call[j]; got.Done != 1 || got.Result != want {
					t.Errorf("%#x %s %#x %#x: result %d, want %d", v, op, value, arg.ValueTwo, got.Result, want)
				}
			}
		}
	}
}

func TestRunConditions(t *testing.T) {
	ret := uint(99)
	eq := func(i uint, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: i, Value: v, Op: specs.OpEqualTo}
	}
	for _, test := range []struct {
		name string
		args []specs.LinuxSeccompArg
		call [6]uint64
		want bool
	}{
		{"all hold", []specs.LinuxSeccompArg{eq(0, 1), eq(5, 2)}, [6]uint64{1, 0, 0, 0, 0, 2}, true},
		{"one holds", []specs.LinuxSeccompArg{eq(0, 1), eq(5, 2)}, [6]uint64{1, 0, 0, 0, 0, 3}, false},
		{"one of several for an argument holds", []specs.LinuxSeccompArg{eq(0, 1), eq(0, 2)}, [6]uint64{2}, true},
		{"none of several for an argument holds", []specs.LinuxSeccompArg{eq(0, 1), eq(0, 2)}, [6]uint64{3}, false},
	} {
		call := getppid
		call.Args = test.call
		p := newProbe(t, mustCompile(t, on(specs.ActErrno, &ret, test.args...)), modeMain, call)
		p.run(t)
		if got := p.shared.Call[0].Result == -99; got != test.want {
			t.Errorf("%s: result %d", test.name, p.shared.Call[0].Result)
		}
	}
}

// A 64-bit process can make calls of i386 with int 0x80, and calls of x32 with bit 30 set.
func TestRunArchitectures(t *testing.T) {
	ret := uint(99)
	const i386Getppid, i386Getuid32, i386Socketcall, sysConnect, sysBind = 64, 199, 102, 3, 2
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"getppid", "connect"}, Action: specs.ActErrno, ErrnoRet: &ret}}}
	i386 := func(number uint64, args ...uint64) probeCall {
		call := probeCall{ABI: 1, Number: number}
		copy(call.Args[:], args)
		return call
	}
	p := newProbe(t, mustCompile(t, c), modeMain, getppid, i386(i386Getppid), i386(i386Getuid32), i386(i386Socketcall, sysConnect),
		i386(i386Socketcall, sysBind), i386(362), probeCall{Number: unix.SYS_GETPPID | 1<<30})
	status := p.run(t)
	if status.Signaled() && status.Signal() == unix.SIGSEGV { // int 0x80 on a kernel without ia32_emulation
		t.Skip("the kernel has no IA32_EMULATION")
	}
	if !status.Exited() {
		t.Fatalf("status %#x", status)
	}
	if p.shared.Call[2].Result == -int64(unix.ENOSYS) {
		t.Skip("the kernel has no IA32_EMULATION")
	}
	for i, want := range []int64{-99, -99, int64(os.Getuid()), -99, -int64(unix.EFAULT), -99, -99} {
		if got := p.shared.Call[i].Result; got != want {
			t.Errorf("call %d: %d, want %d", i, got, want)
		}
	}
	// If the config does not list these architectures, their calls are fatal.
	c.Architectures = nil
	for _, call := range []probeCall{i386(20), {Number: unix.SYS_GETPID | 1<<30}} {
		p := newProbe(t, mustCompile(t, c), modeMain, call)
		if status := p.run(t); !status.Signaled() || status.Signal() != unix.SIGSYS {
			t.Errorf("%+v: status %#x", call, status)
		}
	}
}

func TestRunTrace(t *testing.T) {
	runtime.LockOSThread() // ptrace requests must come from one thread
	defer runtime.UnlockOSThread()
	data := uint(0x1234)
	p := newProbe(t, mustCompile(t, on(specs.ActTrace, &data)), modeMain, getppid)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := p.cmd.Process.Pid
	var status unix.WaitStatus
	wait := func() {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	wait() // for the exec
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceCont(pid, 0); err != nil {
		t.Fatal(err)
	}
	wait()
	if uint32(status)>>8 != uint32(unix.SIGTRAP)|unix.PTRACE_EVENT_SECCOMP<<8 {
		t.Fatalf("status %#x is no PTRACE_EVENT_SECCOMP", status)
	}
	if message, err := unix.PtraceGetEventMsg(pid); err != nil || message != data {
		t.Errorf("message %#x, %v, want %#x", message, err, data)
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	regs.Orig_rax, regs.Rax = ^uint64(0), 4321 // skip the call
	if err := unix.PtraceSetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceCont(pid, 0); err != nil {
		t.Fatal(err)
	}
	wait()
	if !status.Exited() || p.shared.Call[0].Result != 4321 {
		t.Errorf("status %#x result %d", status, p.shared.Call[0].Result)
	}
}

func TestRunNotify(t *testing.T) {
	for _, flags := range [][]specs.LinuxSeccompFlag{nil, {specs.LinuxSeccompFlagWaitKillableRecv}, {"SECCOMP_FILTER_FLAG_TSYNC"}} {
		c := on(specs.ActNotify, nil)
		c.Flags = flags
		call := getppid
		call.Args = [6]uint64{7, 0, 0, 0, 0, 0xfedcba9876543210}
		f, err := Compile(c, "")
		if err != nil {
			t.Fatal(err)
		}
		p := newProbe(t, f, modeListener, call)
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[0])
		peer := os.NewFile(uintptr(pair[1]), "peer")
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, peer)
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		peer.Close()
		listener := receiveFD(t, pair[0])
		answerOne(t, listener, call.Args, 777)
		unix.Close(listener)
		if err := p.cmd.Wait(); err != nil || p.shared.Call[0].Result != 777 {
			t.Errorf("flags %v: %v, result %d", flags, err, p.shared.Call[0].Result)
		}
	}
}

func receiveFD(t *testing.T, socket int) int {
	t.Helper()
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("no descriptor came: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	return fds[0]
}

// answerOne waits for one notification and gives the call its result.
func answerOne(t *testing.T, listener int, args [6]uint64, result int64) {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, int(probeDeadline.Milliseconds()))
	for err == unix.EINTR { // Go's runtime interrupts its threads
		n, err = unix.Poll(poll, int(probeDeadline.Milliseconds()))
	}
	if n != 1 {
		t.Fatalf("no notification: %v", err)
	}
	// These are struct seccomp_notif and struct seccomp_notif_resp (linux/seccomp.h).
	var request struct {
		ID          uint64
		PID, Flags  uint32
		Number      int32
		Arch        uint32
		Instruction uint64
		Args        [6]uint64
	}
	var response struct {
		ID           uint64
		Value        int64
		Error, Flags int32
	}
	const receive, send = 0xc0502100, 0xc0182101
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receive, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatal("SECCOMP_IOCTL_NOTIF_RECV:", errno)
	}
	if request.Number != unix.SYS_GETPPID || request.Arch != archX8664 || request.Args != args {
		t.Errorf("notification %+v", request)
	}
	response.ID, response.Value = request.ID, result
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), send, uintptr(unsafe.Pointer(&response))); errno != 0 {
		t.Fatal("SECCOMP_IOCTL_NOTIF_SEND:", errno)
	}
}

// Every flag that features lists as supported can be loaded.
func TestRunFlags(t *testing.T) {
	supported := SupportedFlags()
	if len(supported) == 0 {
		t.Fatal("no flag is supported")
	}
	for _, flag := range supported {
		action := specs.ActErrno
		if flag == string(specs.LinuxSeccompFlagWaitKillableRecv) {
			action = specs.ActNotify
		}
		c := on(action, nil)
		c.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(flag)}
		p := newProbe(t, mustCompile(t, c), modeMain)
		if status := p.run(t); !status.Exited() || status.ExitStatus() != 0 {
			t.Errorf("%s: status %#x", flag, status)
		}
	}
}

// The kernel loads the usual profile, and the longest program.
func TestRunLong(t *testing.T) {
	p := newProbe(t, mustCompile(t, engineProfile(t)), modeMain, getppid, probeCall{Number: unix.SYS_MOUNT})
	p.run(t)
	if got := []int64{p.shared.Call[0].Result, p.shared.Call[1].Result}; got[0] != int64(os.Getpid()) || got[1] != -1 {
		t.Errorf("results %v", got)
	}
	plain := plainNames(t)
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	ret := uint(99)
	for i, name := range plain[:200] {
		if name == "exit_group" {
			continue
		}
		call := specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &ret}
		for j := range 4 {
			call.Args = append(call.Args, specs.LinuxSeccompArg{Index: uint(j), Value: uint64(i+j) << 16 * 0x100000001, Op: specs.OpEqualTo})
		}
		c.Syscalls = append(c.Syscalls, call)
	}
	f := mustCompile(t, c)
	t.Logf("%d instructions", len(f.Program)/insnSize)
	p = newProbe(t, f, modeMain, getppid)
	p.run(t)
}
