package seccomp

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// described has what linux/audit.h and the kernel's sources say about the machines that davit is
// built for.
var described = map[string]struct {
	machine
	name        string // the config's name for the native architecture
	multiplexed bool   // sockets can also be reached through socketcall(2)
}{
	"amd64":   {machine{0xc000003e, []uint32{0x40000003, 0x4000003e}, false}, "SCMP_ARCH_X86_64", false},
	"arm64":   {machine{0xc00000b7, []uint32{0x40000028}, false}, "SCMP_ARCH_AARCH64", false},
	"riscv64": {machine{0xc00000f3, nil, false}, "SCMP_ARCH_RISCV64", false},
	"ppc64le": {machine{0xc0000015, nil, false}, "SCMP_ARCH_PPC64LE", true},
	"s390x":   {machine{0x80000016, []uint32{0x16}, true}, "SCMP_ARCH_S390X", true},
	"loong64": {machine{0xc0000102, nil, false}, "SCMP_ARCH_LOONGARCH64", false},
}

func TestThisMachine(t *testing.T) {
	want, here := described[runtime.GOARCH], thisMachine()
	if here.native != want.native || !slices.Equal(here.others, want.others) || here.unknownIsZero != want.unknownIsZero {
		t.Errorf("%+v, want %+v", here, want.machine)
	}
	for _, d := range described {
		if value, ok := lookup(arches(), d.name); !ok || value != d.native {
			t.Errorf("%s is %#x, want %#x", d.name, value, d.native)
		}
	}
}

// compileOn is compile for another machine. This machine can read its programs if both have the
// same byte order.
func compileOn(t *testing.T, m machine, c *specs.LinuxSeccomp) (*config, *answer, []byte) {
	t.Helper()
	cfg, err := parse(c, m)
	if err != nil {
		t.Fatal(err)
	}
	request, err := cfg.request()
	if err != nil {
		t.Fatal(err)
	}
	reply, err := runCompiler(request)
	if err != nil {
		t.Fatal(err)
	}
	ans, err := parseAnswer(reply, cfg)
	if errors.Is(err, unix.EINVAL) && m.native == archLOONGARCH64 && runtime.GOARCH != "loong64" {
		t.Skip("libseccomp before 2.6 does not know loong64")
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := optimize(cfg, ans)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, ans, program
}

func bigEndian(goarch string) bool { return goarch == "s390x" }

// eachMachine calls do for each machine whose programs this one can read.
func eachMachine(t *testing.T, do func(t *testing.T, goarch string)) {
	for goarch := range described {
		t.Run(goarch, func(t *testing.T) {
			if bigEndian(goarch) != (binary.NativeEndian.Uint16([]byte{0, 1}) == 1) {
				t.Skip("a machine of the other order of bytes: tests/machines/run tests it under qemu-user")
			}
			do(t, goarch)
		})
	}
}

// expectByArgument compares what a program of a machine answers to a call, by the call's first
// argument.
func expectByArgument(t *testing.T, what string, program []byte, e event, wants map[uint64]uint32) {
	t.Helper()
	for arg, want := range wants {
		e.args[0] = arg
		if got := interpret(t, program, e); got != want {
			t.Errorf("%s: call %d(%d): %s, want %s", what, e.number, arg, describe(got), describe(want))
		}
	}
}

// TestMachines compiles one profile for each machine. It tests calls that are named, calls that are
// not, calls that no kernel had when the profile was written, and calls through socketcall(2).
func TestMachines(t *testing.T) {
	eachMachine(t, func(t *testing.T, goarch string) {
		d := described[goarch]
		table := syscallTable(t, goarch)
		// In addition, the tables of other machines may lack the newest calls.
		names := []string{"read", "openat", "getpid", "mseal", "socket", "connect", "statmount"}
		c := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: names, Action: specs.ActAllow},
			{Names: []string{"write"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{
				{Index: 2, Op: specs.OpLessThan, Value: 1<<32 | 5}, {Index: 0, Op: specs.OpEqualTo, Value: 1}}},
		}}
		cfg, ans, program := compileOn(t, d.machine, c)
		for i, name := range cfg.names {
			if !ans.known[i] {
				t.Errorf("%s is not known", name)
			}
		}
		const eperm, enosys = retErrno | uint32(unix.EPERM), retErrno | uint32(unix.ENOSYS)
		expect := func(what string, number uint32, args [6]uint64, want uint32) {
			t.Helper()
			e := event{number: number, arch: d.native, args: args}
			if got := interpret(t, program, e); got != want {
				t.Errorf("%s (%d, %v): %s, want %s", what, number, args, describe(got), describe(want))
			}
		}
		for _, name := range names {
			expect(name, table[name], [6]uint64{}, retAllow)
		}
		expect("mount", table["mount"], [6]uint64{}, eperm)
		expect("mseal + 1", table["mseal"]+1, [6]uint64{}, enosys)
		expect("a high number", 1<<20, [6]uint64{}, enosys)
		expect("write of few bytes", table["write"], [6]uint64{1, 0, 1<<32 | 4}, retAllow)
		expect("write of many bytes", table["write"], [6]uint64{1, 0, 1<<32 | 5}, eperm)
		expect("write of more bytes", table["write"], [6]uint64{1, 0, 2 << 32}, eperm)
		expect("write to another file", table["write"], [6]uint64{1<<32 | 1, 0, 4}, eperm)
		if d.unknownIsZero {
			expect("0, for a number that the kernel does not know", 0, [6]uint64{}, enosys)
		}
		if d.multiplexed {
			expect("socketcall SYS_SOCKET", table["socketcall"], [6]uint64{1}, retAllow)
			expect("socketcall SYS_CONNECT", table["socketcall"], [6]uint64{3}, retAllow)
			expect("socketcall SYS_BIND", table["socketcall"], [6]uint64{2}, eperm)
		}
		e := event{number: table["read"], arch: 0xc00000b7 ^ 0xc000003e ^ d.native}
		if got := interpret(t, program, e); got != retKillThread {
			t.Errorf("another architecture: %s", describe(got))
		}
	})
}

// TestMachinesOnlyMultiplexedCalls: a filter may contain only a call that can also be made through
// socketcall(2) or ipc(2). ppc64le makes semop only through ipc, s390x accept only through socketcall.
func TestMachinesOnlyMultiplexedCalls(t *testing.T) {
	eachMachine(t, func(t *testing.T, goarch string) {
		d := described[goarch]
		if !d.multiplexed {
			return
		}
		for name, by := range map[string]struct {
			call string
			arg  uint64
		}{"accept": {"socketcall", 5}, "send": {"socketcall", 9}, "semop": {"ipc", 1}} {
			_, _, program := compileOn(t, d.machine, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
				Syscalls: []specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActErrno}}})
			expectByArgument(t, name, program, event{number: syscallTable(t, goarch)[by.call], arch: d.native},
				map[uint64]uint32{by.arg: retErrno | uint32(unix.EPERM), by.arg + 1: retAllow})
		}
	})
}

// TestMachinesLackCalls: a filter may begin with a call that the machine lacks. It weighs more than
// the other rule, which has a condition.
func TestMachinesLackCalls(t *testing.T) {
	eachMachine(t, func(t *testing.T, goarch string) {
		d, table := described[goarch], syscallTable(t, goarch)
		for _, lacking := range []string{"vm86", "sync_file_range2", "riscv_flush_icache", "send", "semtimedop", "cacheflush", "spu_run"} {
			if _, has := table[lacking]; has {
				continue
			}
			_, _, program := compileOn(t, d.machine, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
				Syscalls: []specs.LinuxSyscall{{Names: []string{lacking}, Action: specs.ActErrno},
					{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpEqualTo, Value: 5}}}}})
			expectByArgument(t, lacking+" is lacking", program, event{number: table["read"], arch: d.native},
				map[uint64]uint32{5: retErrno | uint32(unix.EPERM), 6: retAllow})
		}
	})
}

// TestMachinesKnowTheirCalls: a profile can name every call that golang.org/x/sys has for a
// machine.
func TestMachinesKnowTheirCalls(t *testing.T) {
	eachMachine(t, func(t *testing.T, goarch string) {
		d := described[goarch]
		one := uint(77)
		c := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		table := syscallTable(t, goarch)
		for name := range table {
			c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &one})
		}
		_, _, program := compileOn(t, d.machine, c)
		for name, number := range table {
			if got := interpret(t, program, event{number: number, arch: d.native}); got != retErrno|77 {
				t.Errorf("%s (%d): %s", name, number, describe(got))
			}
		}
	})
}
