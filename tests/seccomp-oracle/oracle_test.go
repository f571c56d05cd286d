// Package oracle compares what davit's filters decide with what libseccomp's filters decide. It
// calls libseccomp through libseccomp-golang, as runc does.
//
//	CGO_ENABLED=1 go test ./...
package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"davit/internal/seccomp"

	"github.com/opencontainers/runtime-spec/specs-go"
	lib "github.com/seccomp/libseccomp-golang"
)

const (
	retAllow  = 0x7fff0000
	retENOSYS = 0x00050000 | 38
	x32Bit    = 1 << 30
	auditAMD  = 0xc000003e
	auditX86  = 0x40000003
)

// reference is libseccomp's filter for a config, and for each architecture the highest number that
// the config names.
type reference struct {
	program []byte
	highest map[lib.ScmpArch]uint32
	above   bool // in davit and runc, numbers above the highest return ENOSYS
}

func action(a specs.LinuxSeccompAction, ret *uint) lib.ScmpAction {
	code := int16(1)
	if ret != nil {
		code = int16(*ret)
	}
	switch a {
	case specs.ActAllow:
		return lib.ActAllow
	case specs.ActErrno:
		return lib.ActErrno.SetReturnCode(code)
	case specs.ActTrace:
		return lib.ActTrace.SetReturnCode(code)
	case specs.ActTrap:
		return lib.ActTrap
	case specs.ActLog:
		return lib.ActLog
	case specs.ActNotify:
		return lib.ActNotify
	case specs.ActKillProcess:
		return lib.ActKillProcess
	}
	return lib.ActKillThread
}

func operator(op specs.LinuxSeccompOperator) lib.ScmpCompareOp {
	return map[specs.LinuxSeccompOperator]lib.ScmpCompareOp{
		specs.OpNotEqual: lib.CompareNotEqual, specs.OpLessThan: lib.CompareLess, specs.OpLessEqual: lib.CompareLessOrEqual,
		specs.OpEqualTo: lib.CompareEqual, specs.OpGreaterEqual: lib.CompareGreaterEqual, specs.OpGreaterThan: lib.CompareGreater,
		specs.OpMaskedEqual: lib.CompareMaskedEqual,
	}[op]
}

func newReference(t *testing.T, c *specs.LinuxSeccomp) *reference {
	t.Helper()
	def := action(c.DefaultAction, c.DefaultErrnoRet)
	filter, err := lib.NewFilter(def)
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Release()
	r := &reference{highest: map[lib.ScmpArch]uint32{}, above: !slices.Contains(
		[]specs.LinuxSeccompAction{specs.ActAllow, specs.ActLog, specs.ActTrace, specs.ActNotify}, c.DefaultAction)}
	arches := []lib.ScmpArch{lib.ArchAMD64}
	for _, a := range c.Architectures {
		arch := map[specs.Arch]lib.ScmpArch{specs.ArchX86: lib.ArchX86, specs.ArchX86_64: lib.ArchAMD64, specs.ArchX32: lib.ArchX32}[a]
		if err := filter.AddArch(arch); err != nil {
			t.Fatal(err)
		}
		arches = append(arches, arch)
	}
	count := 0
	for _, s := range c.Syscalls {
		for _, name := range s.Names {
			for _, arch := range arches {
				if n, err := lib.GetSyscallFromNameByArch(name, arch); err == nil && n >= 0 {
					r.highest[arch] = max(r.highest[arch], uint32(n))
				}
			}
			if err := addRules(filter, name, s, def); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			count++
		}
	}
	if count > 32 {
		if err := filter.SetOptimize(2); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.CreateTemp(t.TempDir(), "bpf")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := filter.ExportBPF(file); err != nil {
		t.Fatal(err)
	}
	if r.program, err = os.ReadFile(file.Name()); err != nil {
		t.Fatal(err)
	}
	return r
}

func addRules(filter *lib.ScmpFilter, name string, s specs.LinuxSyscall, def lib.ScmpAction) error {
	act := action(s.Action, s.ErrnoRet)
	number, err := lib.GetSyscallFromName(name)
	if err != nil || act == def {
		return nil
	}
	if len(s.Args) == 0 {
		return filter.AddRule(number, act)
	}
	var all []lib.ScmpCondition
	seen, twice := map[uint]bool{}, false
	for _, a := range s.Args {
		cond, err := lib.MakeCondition(a.Index, operator(a.Op), a.Value, a.ValueTwo)
		if err != nil {
			return err
		}
		all = append(all, cond)
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if !twice {
		return filter.AddRuleConditional(number, act, all)
	}
	for _, cond := range all {
		if err := filter.AddRuleConditional(number, act, []lib.ScmpCondition{cond}); err != nil {
			return err
		}
	}
	return nil
}

type event struct {
	number, arch uint32
	args         [6]uint64
}

// interpret runs a filter as the kernel does.
func interpret(prog []byte, e event) (uint32, error) {
	var data [64]byte
	binary.NativeEndian.PutUint32(data[0:], e.number)
	binary.NativeEndian.PutUint32(data[4:], e.arch)
	for i, a := range e.args {
		binary.NativeEndian.PutUint64(data[16+8*i:], a)
	}
	var a uint32
	for pc := 0; pc*8 < len(prog); {
		in := prog[pc*8:]
		code, jt, jf, k := binary.NativeEndian.Uint16(in), int(in[2]), int(in[3]), binary.NativeEndian.Uint32(in[4:])
		pc++
		skip := map[bool]int{true: jt, false: jf}
		switch code {
		case 0x06:
			return k, nil
		case 0x20:
			a = binary.NativeEndian.Uint32(data[k:])
		case 0x54:
			a &= k
		case 0x05:
			pc += int(k)
		case 0x15:
			pc += skip[a == k]
		case 0x25:
			pc += skip[a > k]
		case 0x35:
			pc += skip[a >= k]
		case 0x45:
			pc += skip[a&k != 0]
		default:
			return 0, fmt.Errorf("instruction %d has code %#x", pc-1, code)
		}
	}
	return 0, errors.New("ran off the program's end")
}

func (r *reference) expect(t *testing.T, e event) uint32 {
	ret, err := interpret(r.program, e)
	if err != nil {
		t.Fatal("libseccomp's program: ", err)
	}
	arch := map[uint32]lib.ScmpArch{auditAMD: lib.ArchAMD64, auditX86: lib.ArchX86}[e.arch]
	if arch == lib.ArchAMD64 && e.number >= x32Bit {
		arch = lib.ArchX32
	}
	if highest, ok := r.highest[arch]; r.above && ok && e.number > highest {
		return retENOSYS
	}
	return ret
}

// compare tries all numbers of all architectures.
func compare(t *testing.T, name string, c *specs.LinuxSeccomp, r *rand.Rand) {
	t.Helper()
	ref := newReference(t, c)
	f, err := seccomp.Compile(c, "")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	bad := 0
	try := func(e event) {
		want := ref.expect(t, e)
		if got, err := interpret(f.Program, e); (err != nil || got != want) && bad < 5 {
			bad++
			t.Errorf("%s: arch %#x number %#x args %#x: davit %#x, libseccomp %#x, %v", name, e.arch, e.number, e.args, got, want, err)
		}
	}
	for number := range uint32(600) {
		for _, e := range []event{{number: number, arch: auditAMD}, {number: number | x32Bit, arch: auditAMD},
			{number: number, arch: auditX86}, {number: number, arch: 0xc00000b7}} {
			for range 8 {
				for i := range e.args {
					e.args[i] = edges[r.IntN(len(edges))]
				}
				try(e)
			}
			for call := range uint64(30) { // calls of socketcall(2) and ipc(2)
				if number == 102 || number == 117 {
					e.args[0] = call
					try(e)
				}
			}
		}
	}
	t.Logf("%s: %d instructions, libseccomp %d", name, len(f.Program)/8, len(ref.program)/8)
}

var edges = []uint64{0, 1, 2, 3, 8, 40, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x100000000, 0x100000001,
	0x1ffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000000, 0xffffffffffffffff}

// names returns all calls that libseccomp knows on the architectures of amd64.
func names() []string {
	var out []string
	for _, arch := range []lib.ScmpArch{lib.ArchAMD64, lib.ArchX86} {
		for number := range lib.ScmpSyscall(480) {
			if name, err := number.GetNameByArch(arch); err == nil && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

var allArches = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}

// A profile like those of engines.
func TestProfile(t *testing.T) {
	denied := []string{"acct", "add_key", "bpf", "delete_module", "init_module", "kexec_load", "keyctl", "mount", "open_by_handle_at",
		"perf_event_open", "pivot_root", "ptrace", "reboot", "setns", "swapon", "umount2", "unshare", "userfaultfd"}
	byRule := []string{"clone", "clone3", "personality", "socket"}
	allowed := slices.DeleteFunc(names(), func(n string) bool { return slices.Contains(denied, n) || slices.Contains(byRule, n) })
	arg := func(index uint, op specs.LinuxSeccompOperator, value, two uint64) []specs.LinuxSeccompArg {
		return []specs.LinuxSeccompArg{{Index: index, Op: op, Value: value, ValueTwo: two}}
	}
	enosys := uint(38)
	for _, def := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKill, specs.ActLog, specs.ActTrap} {
		compare(t, "profile, default "+string(def), &specs.LinuxSeccomp{DefaultAction: def, Architectures: allArches, Syscalls: []specs.LinuxSyscall{
			{Names: allowed, Action: specs.ActAllow},
			{Names: []string{"socket"}, Action: specs.ActAllow, Args: arg(0, specs.OpNotEqual, 40, 0)},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: arg(0, specs.OpMaskedEqual, 0x7e020000, 0)},
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: arg(0, specs.OpEqualTo, 0, 0)},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: arg(0, specs.OpEqualTo, 8, 0)},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: arg(0, specs.OpEqualTo, 0xffffffff, 0)},
		}}, rand.New(rand.NewPCG(1, 1)))
	}
}

// These are random configs that libseccomp 2.5 compiles correctly: several conditions only on
// different arguments, one rule for each name, and each rule on every architecture. Rules for i386's
// multiplexers would contradict those for the calls behind them, so there are none.
func TestRandom(t *testing.T) {
	all := slices.DeleteFunc(names(), func(n string) bool { return n == "socketcall" || n == "ipc" })
	actions := []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActTrap, specs.ActErrno, specs.ActTrace,
		specs.ActAllow, specs.ActLog, specs.ActNotify}
	operators := []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := &specs.LinuxSeccomp{DefaultAction: actions[r.IntN(len(actions))], ListenerPath: "/l"}
		if seed%4 > 0 {
			c.Architectures = allArches[:seed%4]
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, name := range append([]string{"read"}, all[:[]int{3, 30, 120, 300}[seed%4]]...) {
			if name == "read" && len(c.Syscalls) > 0 {
				continue
			}
			s := specs.LinuxSyscall{Names: []string{name}, Action: actions[r.IntN(len(actions))]}
			for index := range uint(6) {
				if len(c.Syscalls) > 0 && r.IntN(8) == 0 {
					s.Args = append(s.Args, specs.LinuxSeccompArg{Index: index, Op: operators[r.IntN(len(operators))],
						Value: edges[r.IntN(len(edges))], ValueTwo: edges[r.IntN(len(edges))]})
				}
			}
			for len(c.Syscalls) == 0 && s.Action == c.DefaultAction {
				s.Action = actions[r.IntN(len(actions))]
			}
			c.Syscalls = append(c.Syscalls, s)
		}
		compare(t, fmt.Sprint("seed ", seed), c, r)
	}
}

// davit works around these faults. When a libseccomp gets them right, config.go and compiler.c can
// be simpler.
func TestLibseccompFaults(t *testing.T) {
	major, minor, micro := lib.GetLibraryVersion()
	for name, test := range map[string]struct {
		c    *specs.LinuxSeccomp
		e    event
		want uint32
	}{
		"an argument compared by order with two 64-bit values": {&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getpgrp"}, Action: specs.ActTrap, Args: []specs.LinuxSeccompArg{{Index: 2, Op: specs.OpGreaterThan, Value: 0x7fffffffffffffff}}},
			{Names: []string{"getpgrp"}, Action: specs.ActTrap, Args: []specs.LinuxSeccompArg{{Index: 2, Op: specs.OpLessThan, Value: 0xffffffff}}},
		}}, event{number: 111, arch: auditAMD, args: [6]uint64{2: 0xffffffff}}, retAllow},
		"x32 without a rule": {&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX32}, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"map_shadow_stack"}, Action: specs.ActTrap, Args: []specs.LinuxSeccompArg{{Index: 4, Op: specs.OpEqualTo, Value: 1}}},
		}}, event{number: 453, arch: auditAMD, args: [6]uint64{4: 1}}, 0x30000},
	} {
		f, err := seccomp.Compile(test.c, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := interpret(f.Program, test.e); got != test.want {
			t.Errorf("%s: davit %#x, %v, want %#x", name, got, err, test.want)
		}
		got, err := interpret(newReference(t, test.c).program, test.e)
		t.Logf("%s: libseccomp %d.%d.%d decides %#x, %v; right is %#x", name, major, minor, micro, got, err, test.want)
	}
}
