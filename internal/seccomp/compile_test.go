package seccomp

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func mustCompile(t testing.TB, c *specs.LinuxSeccomp) *Filter {
	t.Helper()
	f, err := Compile(c, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(f.Program); err != nil {
		t.Fatalf("the kernel would refuse the program: %v", err)
	}
	return f
}

func TestRandomConfigs(t *testing.T) {
	needAMD64(t)
	names := plainNames(t)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := randomConfig(r, names, []int{0, 1, 5, 40, 200}[seed%5])
		f, err := Compile(c, "")
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		m := newModel(t, c)
		bad := 0
		m.events(r, func(e event) {
			if got, want := interpret(t, f.Program, e), m.expect(e); got != want && bad < 5 {
				bad++
				t.Errorf("seed %d: number %d arch %#x args %#x: %s, want %s", seed, e.number, e.arch, e.args,
					describe(got), describe(want))
			}
		})
		if bad > 0 {
			return
		}
	}
}

// davit knows every system call of Linux on the architectures that it is built for. x/sys has the
// calls of a newer kernel than any libseccomp.
func TestAllSyscallsKnown(t *testing.T) {
	needAMD64(t)
	for arch, goarch := range map[uint32]string{archX8664: "amd64", archX86: "386"} {
		table := syscallTable(t, goarch)
		c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32}}
		one := uint(77)
		for name := range table {
			c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &one})
		}
		f := mustCompile(t, c)
		for _, name := range f.Ignored {
			t.Errorf("%s: %s is not known", goarch, name)
		}
		named := make(map[uint32]bool)
		for name, number := range table {
			named[number] = true
			if got := interpret(t, f.Program, event{number: number, arch: arch}); got != retErrno|77 {
				t.Errorf("%s: %s (%d): %s", goarch, name, number, describe(got))
			}
		}
		for number := range uint32(600) {
			want := uint32(retAllow)
			if named[number] {
				want = retErrno | 77
			}
			e := event{number: number, arch: arch}
			// i386 makes some of the named calls through socketcall and ipc.
			if e.args[0] = 99; arch == archX86 && (number == 102 || number == 117) {
				continue
			}
			if got := interpret(t, f.Program, e); got != want {
				t.Errorf("%s: number %d: %s, want %s", goarch, number, describe(got), describe(want))
			}
		}
	}
}

func TestNewerSyscalls(t *testing.T) {
	needAMD64(t)
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mseal", "listmount", "uretprobe", "fchmodat2"}, Action: specs.ActAllow},
			{Names: []string{"file_setattr"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 1, Op: specs.OpEqualTo, Value: 5}}}}}
	f := mustCompile(t, c)
	if len(f.Ignored) != 0 {
		t.Errorf("ignored: %v", f.Ignored)
	}
	const eperm, enosys = retErrno | uint32(unix.EPERM), retErrno | uint32(unix.ENOSYS)
	for _, test := range []struct {
		arch, number uint32
		arg          uint64
		want         uint32
	}{
		{archX8664, 462, 0, retAllow}, {archX86, 462, 0, retAllow}, {archX8664, x32Bit | 462, 0, retAllow},
		{archX8664, 452, 0, retAllow}, {archX8664, 458, 0, retAllow}, {archX8664, 459, 0, eperm},
		{archX8664, 335, 0, retAllow}, {archX8664, x32Bit | 335, 0, retAllow}, {archX86, 335, 0, eperm},
		{archX8664, 469, 5, retAllow}, {archX8664, 469, 6, eperm}, {archX86, 469, 5, retAllow},
		{archX8664, 470, 0, enosys}, {archX86, 470, 0, enosys}, {archX8664, x32Bit | 470, 0, enosys},
	} {
		e := event{arch: test.arch, number: test.number, args: [6]uint64{0, test.arg}}
		if got := interpret(t, f.Program, e); got != test.want {
			t.Errorf("%+v: %s, want %s", e, describe(got), describe(test.want))
		}
	}
}

// i386 makes socket calls by their own numbers, and also through socketcall(2).
func TestMultiplexedCalls(t *testing.T) {
	needAMD64(t)
	filler := plainNames(t)[:40]
	for _, names := range [][]string{
		{"socket", "connect", "shmget"},
		append(append([]string{"socket"}, filler...), "connect", "shmget"), // far from each other, so that they are in two programs
	} {
		f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno,
			Architectures: []specs.Arch{specs.ArchX86},
			Syscalls:      []specs.LinuxSyscall{{Names: names, Action: specs.ActAllow}}})
		for _, test := range []struct {
			number uint32
			arg    uint64
			want   uint32
		}{
			{359, 0, retAllow}, {362, 0, retAllow}, {361, 0, retErrno | 1},
			{102, 1, retAllow}, {102, 3, retAllow}, {102, 2, retErrno | 1}, {102, 0, retErrno | 1},
			{117, 23, retAllow}, {117, 24, retErrno | 1}, {395, 0, retAllow},
		} {
			e := event{arch: archX86, number: test.number, args: [6]uint64{test.arg}}
			if got := interpret(t, f.Program, e); got != test.want {
				t.Errorf("%d names: number %d(%d): %s, want %s", len(names), test.number, test.arg, describe(got), describe(test.want))
			}
		}
	}
}

// libseccomp compares the architecture with numbers if the first rule of a program is for a call
// that it rewrites to socketcall(2) or ipc(2). So the test compiles each of these calls alone, with
// another call, and with a rule of less weight (a rule with conditions weighs less than one
// without).
func TestOnlyMultiplexedCalls(t *testing.T) {
	needAMD64(t)
	sockets := map[string]uint64{"socket": 1, "bind": 2, "connect": 3, "listen": 4, "accept": 5, "getsockname": 6, "getpeername": 7,
		"socketpair": 8, "send": 9, "recv": 10, "sendto": 11, "recvfrom": 12, "shutdown": 13, "setsockopt": 14, "getsockopt": 15,
		"sendmsg": 16, "recvmsg": 17, "accept4": 18, "recvmmsg": 19, "sendmmsg": 20}
	queues := map[string]uint64{"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13,
		"msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24}
	one := uint(77)
	check := func(number uint32, call uint64, name string, more ...specs.LinuxSyscall) {
		t.Helper()
		f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32},
			Syscalls: append([]specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &one}}, more...)})
		for _, test := range []struct {
			number uint32
			arg    uint64
			want   uint32
		}{{number, call, retErrno | 77}, {number, call + 100, retAllow}, {20, 0, retAllow}} {
			e := event{arch: archX86, number: test.number, args: [6]uint64{test.arg}}
			if got := interpret(t, f.Program, e); got != test.want {
				t.Errorf("%s and %d more: number %d(%d): %s, want %s", name, len(more), test.number, test.arg, describe(got), describe(test.want))
			}
		}
	}
	for number, calls := range map[uint32]map[string]uint64{102: sockets, 117: queues} {
		for name, call := range calls {
			check(number, call, name)
			check(number, call, name, specs.LinuxSyscall{Names: []string{"accept", "semtimedop"}, Action: specs.ActErrno, ErrnoRet: &one})
			check(number, call, name, specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActErrno,
				Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpEqualTo, Value: 1}}})
		}
	}
}

func TestENOSYS(t *testing.T) {
	needAMD64(t)
	errno := func(n uint) *uint { return &n }
	for _, test := range []struct {
		name   string
		action specs.LinuxSeccompAction
		ret    *uint
		want   uint32 // for a number above the profile's
	}{
		{"errno", specs.ActErrno, nil, retErrno | 38},
		{"other errno", specs.ActErrno, errno(13), retErrno | 38},
		{"already ENOSYS", specs.ActErrno, errno(38), retErrno | 38},
		{"kill", specs.ActKill, nil, retErrno | 38},
		{"kill process", specs.ActKillProcess, nil, retErrno | 38},
		{"trap", specs.ActTrap, nil, retErrno | 38},
		{"allow", specs.ActAllow, nil, retAllow},
		{"log", specs.ActLog, nil, retLog},
		{"trace", specs.ActTrace, nil, retTrace | 1},
		{"notify", specs.ActNotify, nil, retNotify},
	} {
		c := &specs.LinuxSeccomp{DefaultAction: test.action, DefaultErrnoRet: test.ret, ListenerPath: "/l",
			Architectures: []specs.Arch{specs.ArchX86},
			Syscalls: []specs.LinuxSyscall{
				{Names: []string{"read", "write"}, Action: specs.ActErrno, ErrnoRet: errno(7)},
				// This rule counts though it changes nothing, because it shows that the author knew
				// the call.
				{Names: []string{"statx"}, Action: test.action, ErrnoRet: test.ret},
			}}
		f := mustCompile(t, c)
		def := modelAction(test.action, test.ret)
		for _, e := range []struct {
			arch, number, want uint32
		}{
			{archX8664, 1, retErrno | 7}, {archX8664, 331, def}, {archX8664, 332, def}, {archX8664, 333, test.want},
			{archX8664, 435, test.want}, {archX8664, x32Bit - 1, test.want}, {archX8664, x32Bit, retKillThread},
			{archX86, 383, def}, {archX86, 384, test.want}, {archX86, 1<<32 - 1, test.want},
		} {
			if got := interpret(t, f.Program, event{arch: e.arch, number: e.number}); got != e.want {
				t.Errorf("%s: arch %#x number %d: %s, want %s", test.name, e.arch, e.number, describe(got), describe(e.want))
			}
		}
	}
}

// If a profile names no call of an architecture, its age cannot be told there.
func TestENOSYSWithoutNames(t *testing.T) {
	needAMD64(t)
	f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"arch_prctl"}, Action: specs.ActAllow},
			{Names: []string{"waitpid"}, Action: specs.ActAllow}}})
	for _, e := range []struct{ arch, number, want uint32 }{
		{archX8664, 158, retAllow}, {archX8664, 159, retErrno | 38}, {archX8664, 157, retErrno | 1},
		{archX86, 7, retAllow}, {archX86, 384, retAllow}, {archX86, 385, retErrno | 38},
	} {
		if got := interpret(t, f.Program, event{arch: e.arch, number: e.number}); got != e.want {
			t.Errorf("arch %#x number %d: %s, want %s", e.arch, e.number, describe(got), describe(e.want))
		}
	}
	f = mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"waitpid"}, Action: specs.ActAllow}}})
	if got := interpret(t, f.Program, event{arch: archX8664, number: 1 << 20}); got != retErrno|1 {
		t.Errorf("no name of x86_64: %s", describe(got))
	}
}

func TestIgnored(t *testing.T) {
	needAMD64(t)
	f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{"SCMP_ARCH_M68K", specs.ArchX86, "SCMP_ARCH_MIPS"},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"read", "no_such_call", "write", "s390_runtime_instr"}, Action: specs.ActAllow},
			{Names: []string{"no_such_call"}, Action: specs.ActAllow}, {Names: []string{"x", strings.Repeat("y", 255)}, Action: specs.ActKill}}})
	want := []string{"SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "no_such_call", "x", strings.Repeat("y", 255)}
	if strings.Join(f.Ignored, " ") != strings.Join(want, " ") {
		t.Errorf("ignored %q, want %q", f.Ignored, want)
	}
	if got := interpret(t, f.Program, event{arch: archX8664, number: 1}); got != retAllow {
		t.Errorf("write: %s", describe(got))
	}
}

func TestFlags(t *testing.T) {
	notify := specs.LinuxSyscall{Names: []string{"mount"}, Action: specs.ActNotify}
	for _, test := range []struct {
		flags  []specs.LinuxSeccompFlag
		notify bool
		want   uint32
	}{
		{nil, false, FlagSpecAllow},
		{nil, true, FlagSpecAllow | FlagNewListener},
		{[]specs.LinuxSeccompFlag{}, false, 0},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}, false, FlagLog},
		{[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagSpecAllow}, false, FlagSpecAllow},
		{[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"}, true, FlagNewListener},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, true, FlagWaitKillableRecv | FlagNewListener},
	} {
		c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: test.flags, ListenerPath: "/l"}
		if test.notify {
			c.Syscalls = append(c.Syscalls, notify)
		}
		f := mustCompile(t, c)
		if f.Flags != test.want || f.Notify != test.notify {
			t.Errorf("%v, notify %v: flags %#x notify %v, want %#x", test.flags, test.notify, f.Flags, f.Notify, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	number := func(n uint) *uint { return &n }
	rule := func(s specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/l",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}, s}}
	}
	arg := func(a specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		return rule(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}, a}})
	}
	plain := plainNames(t)
	var many []specs.LinuxSyscall
	for i := range 300 {
		call := specs.LinuxSyscall{Names: []string{plain[i]}, Action: specs.ActAllow}
		for j := range 6 {
			call.Args = append(call.Args, specs.LinuxSeccompArg{Index: uint(j), Value: uint64(i+j) * 0x100000001, Op: specs.OpEqualTo})
		}
		many = append(many, call)
	}
	for _, test := range []struct {
		c    *specs.LinuxSeccomp
		want string
	}{
		{nil, "linux.seccomp: is missing"},
		{&specs.LinuxSeccomp{}, `linux.seccomp.defaultAction: unknown action ""; one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO,`},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: number(1)},
			"linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno, only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do"},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: number(4095)},
			"linux.seccomp.defaultErrnoRet: 4095 is out of range, SCMP_ACT_ERRNO takes 0 to 4094"},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86, "amd64"}},
			`linux.seccomp.architectures[1]: unknown architecture "amd64"; one of SCMP_ARCH_X86, `},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Flags: []specs.LinuxSeccompFlag{"LOG"}},
			`linux.seccomp.flags[0]: unknown flag "LOG"; one of SECCOMP_FILTER_FLAG_TSYNC, `},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}},
			"linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY"},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActNotify},
			"linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one"},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerMetadata: "x"},
			"linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath"},
		{rule(specs.LinuxSyscall{Action: specs.ActAllow}), "linux.seccomp.syscalls[1].names: must name at least one system call"},
		{rule(specs.LinuxSyscall{Names: []string{"read", ""}, Action: specs.ActAllow}),
			`linux.seccomp.syscalls[1].names[1]: "" is not the name of a system call`},
		{rule(specs.LinuxSyscall{Names: []string{"re\x00ad"}, Action: specs.ActAllow}),
			`linux.seccomp.syscalls[1].names[0]: "re\x00ad" is not the name of a system call`},
		{rule(specs.LinuxSyscall{Names: []string{"read"}, Action: "ALLOW"}),
			`linux.seccomp.syscalls[1].action: unknown action "ALLOW"; one of SCMP_ACT_ALLOW,`},
		{rule(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActKill, ErrnoRet: number(0)}),
			"linux.seccomp.syscalls[1].errnoRet: SCMP_ACT_KILL takes no errno"},
		{rule(specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActTrace, ErrnoRet: number(65536)}),
			"linux.seccomp.syscalls[1].errnoRet: 65536 is out of range, SCMP_ACT_TRACE takes 0 to 65535"},
		{arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}),
			"linux.seccomp.syscalls[1].args[1].index: 6 is out of range, a system call has arguments 0 to 5"},
		{arg(specs.LinuxSeccompArg{Op: "SCMP_CMP_XX"}),
			`linux.seccomp.syscalls[1].args[1].op: unknown operator "SCMP_CMP_XX"; one of SCMP_CMP_NE, SCMP_CMP_LT,`},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}}},
			{Names: []string{"write", "read"}, Action: specs.ActTrap, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}}}}},
			"linux.seccomp.syscalls[1]: read has the same args in syscalls[0] with a different action"},
		{&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: many},
			"linux.seccomp.syscalls: the filter takes "},
		{rule(specs.LinuxSyscall{Names: []string{strings.Repeat("x", 256)}, Action: specs.ActAllow}),
			`linux.seccomp.syscalls[1].names[0]: "xxx`},
	} {
		_, err := Compile(test.c, "")
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

// libseccomp 2.5.4 alone gets these wrong; see distribute and build in compiler/compiler.c.
func TestSeveralOrders(t *testing.T) {
	needAMD64(t)
	arg := func(value uint64, op specs.LinuxSeccompOperator) []specs.LinuxSeccompArg {
		return []specs.LinuxSeccompArg{{Index: 2, Value: value, Op: op}}
	}
	f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"getpgrp"}, Action: specs.ActKillProcess, Args: arg(0x7fffffffffffffff, specs.OpGreaterThan)},
		{Names: []string{"getpgrp"}, Action: specs.ActKillProcess, Args: arg(0xffffffff, specs.OpLessThan)},
	}})
	for value, want := range map[uint64]uint32{0: retKillProcess, 0xfffffffe: retKillProcess, 0xffffffff: retAllow,
		1 << 32: retAllow, 1<<63 - 1: retAllow, 1 << 63: retKillProcess} {
		if got := interpret(t, f.Program, event{arch: archX8664, number: 111, args: [6]uint64{2: value}}); got != want {
			t.Errorf("%#x: %s, want %s", value, describe(got), describe(want))
		}
	}
}

func TestRulesOfOtherArchitecturesOnly(t *testing.T) {
	needAMD64(t)
	for name, want := range map[string][3]uint32{ // 453 on x86_64, 453 on x32, 7 on i386
		"map_shadow_stack": {retErrno | 1, retAllow, retAllow},
		"waitpid":          {retAllow, retAllow, retErrno | 1},
	} {
		f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX32, specs.ArchX86},
			Syscalls: []specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActErrno}}})
		for i, e := range []event{{arch: archX8664, number: 453}, {arch: archX8664, number: x32Bit | 453}, {arch: archX86, number: 7}} {
			if got := interpret(t, f.Program, e); got != want[i] {
				t.Errorf("%s: %+v: %s, want %s", name, e, describe(got), describe(want[i]))
			}
		}
	}
}

// If several rules match, a rule without conditions decides. If there is none, the first rule does.
func TestContradictingRules(t *testing.T) {
	needAMD64(t)
	rule := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"write"}, Action: action, Args: args}
	}
	above := func(n uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Value: n, Op: specs.OpGreaterThan}
	}
	for _, test := range []struct {
		name  string
		rules []specs.LinuxSyscall
		want  [3]uint32 // for calls 0, 2, 6
	}{
		{"first", []specs.LinuxSyscall{rule(specs.ActTrap, above(1)), rule(specs.ActAllow, above(5))}, [3]uint32{retErrno | 1, retTrap, retTrap}},
		{"second", []specs.LinuxSyscall{rule(specs.ActTrap, above(5)), rule(specs.ActAllow, above(1))}, [3]uint32{retErrno | 1, retAllow, retTrap}},
		{"unconditional last", []specs.LinuxSyscall{rule(specs.ActTrap, above(5)), rule(specs.ActAllow)}, [3]uint32{retAllow, retAllow, retAllow}},
		{"unconditional first", []specs.LinuxSyscall{rule(specs.ActAllow), rule(specs.ActTrap, above(5))}, [3]uint32{retAllow, retAllow, retAllow}},
		{"two unconditional", []specs.LinuxSyscall{rule(specs.ActAllow), rule(specs.ActTrap)}, [3]uint32{retAllow, retAllow, retAllow}},
		{"default action", []specs.LinuxSyscall{rule(specs.ActErrno), rule(specs.ActTrap, above(5))}, [3]uint32{retErrno | 1, retErrno | 1, retTrap}},
		{"twice", []specs.LinuxSyscall{rule(specs.ActTrap, above(5)), rule(specs.ActTrap, above(5))}, [3]uint32{retErrno | 1, retErrno | 1, retTrap}},
	} {
		f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: test.rules})
		for i, value := range []uint64{0, 2, 6} {
			if got := interpret(t, f.Program, event{arch: archX8664, number: 1, args: [6]uint64{value}}); got != test.want[i] {
				t.Errorf("%s: %d: %s, want %s", test.name, value, describe(got), describe(test.want[i]))
			}
		}
	}
}

// i386's socketcall(2) is allowed in the last of several programs. Then it is allowed whatever the
// rules for single socket calls say, as with libseccomp.
func TestMultiplexerItself(t *testing.T) {
	needAMD64(t)
	f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"socket"}, Action: specs.ActTrap},
			{Names: append(plainNames(t)[:40], "socketcall"), Action: specs.ActAllow}}})
	for call := range uint64(20) {
		if got := interpret(t, f.Program, event{arch: archX86, number: 102, args: [6]uint64{call}}); got != retAllow {
			t.Errorf("socketcall(%d): %s", call, describe(got))
		}
	}
	if got := interpret(t, f.Program, event{arch: archX86, number: 359}); got != retTrap {
		t.Errorf("socket: %s", describe(got))
	}
}

// One call has 2,000 rules. These are too many, and davit reports it quickly.
func TestManyRules(t *testing.T) {
	c := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range 2000 {
		c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(i) * 0x100000001, Op: specs.OpEqualTo}}})
	}
	if _, err := Compile(c, ""); err == nil || !strings.Contains(err.Error(), "instructions, the kernel loads 4096 at most") {
		t.Error(err)
	}
	c.Syscalls = c.Syscalls[:900]
	f := mustCompile(t, c)
	for i := range uint64(1000) {
		want := uint32(retAllow)
		if i >= 900 {
			want = retErrno | 1
		}
		if got := interpret(t, f.Program, event{arch: archX8664, number: unix.SYS_IOCTL, args: [6]uint64{1: i * 0x100000001}}); got != want {
			t.Errorf("rule %d: %s", i, describe(got))
		}
	}
}

func TestFeatures(t *testing.T) {
	if got, want := len(Actions()), 9; got != want {
		t.Errorf("actions: %v", Actions())
	}
	if len(Operators()) != 7 || len(Archs()) != 23 || len(KnownFlags()) != 4 || len(SupportedFlags()) == 0 {
		t.Error(Operators(), Archs(), KnownFlags(), SupportedFlags())
	}
	if kernelHasFlag(1 << 20) {
		t.Error("the kernel is said to have a flag that does not exist")
	}
}
