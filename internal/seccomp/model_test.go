package seccomp

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// syscallTable returns the system calls of a GOARCH by name. It reads the source of
// golang.org/x/sys/unix, which has them from the kernel's headers.
func syscallTable(t testing.TB, goarch string) map[string]uint32 {
	t.Helper()
	out, err := sysDir()
	if err != nil {
		t.Fatalf("go list golang.org/x/sys: %v", err)
	}
	f, err := os.Open(filepath.Join(out, "unix", "zsysnum_linux_"+goarch+".go"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := make(map[string]uint32)
	for s := bufio.NewScanner(f); s.Scan(); {
		name, number, ok := strings.Cut(strings.TrimSpace(s.Text()), "=")
		name, isCall := strings.CutPrefix(strings.TrimSpace(name), "SYS_")
		if !ok || !isCall {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "ARCH_SPECIFIC_SYSCALL", "SYSCALL_MASK": // these are no calls
		default:
			table[strings.ToLower(name)] = uint32(n)
		}
	}
	return table
}

// x32Table returns the same for x32, from the C library's kernel headers, and adds the calls that
// are newer than those headers.
func x32Table(t testing.TB) map[string]uint32 {
	t.Helper()
	header, err := os.ReadFile("/usr/include/x86_64-linux-gnu/asm/unistd_x32.h")
	if err != nil {
		t.Fatalf("Debian's linux-libc-dev: %v", err)
	}
	table := make(map[string]uint32)
	for line := range strings.Lines(string(header)) {
		f := strings.Fields(line) // the line is #define __NR_read (__X32_SYSCALL_BIT + 0)
		if len(f) == 5 && f[3] == "+" {
			n, err := strconv.Atoi(strings.TrimSuffix(f[4], ")"))
			if err != nil {
				t.Fatal(err)
			}
			table[strings.TrimPrefix(f[1], "__NR_")] = uint32(n) | 1<<30
		}
	}
	for name, n := range syscallTable(t, "amd64") {
		if (n > 450 || name == "uretprobe" || name == "uprobe") && name != "map_shadow_stack" {
			table[name] = n | 1<<30
		}
	}
	return table
}

var sysDir = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	return strings.TrimSpace(string(out)), err
})

// model says what a config means, according to the text of the spec and seccomp(2). It is for rules
// that do not contradict each other.
type model struct {
	c      *specs.LinuxSeccomp
	number map[string]map[string]uint32 // by architecture, by name
	rules  map[string]map[uint32][]specs.LinuxSyscall
	above  map[string]uint32 // by architecture: all numbers that are named
}

func newModel(t testing.TB, c *specs.LinuxSeccomp) *model {
	m := &model{c: c, rules: map[string]map[uint32][]specs.LinuxSyscall{}, above: map[string]uint32{}, number: map[string]map[string]uint32{
		"SCMP_ARCH_X86_64": syscallTable(t, "amd64"),
		"SCMP_ARCH_X86":    syscallTable(t, "386"),
		"SCMP_ARCH_X32":    x32Table(t),
	}}
	for arch, table := range m.number {
		m.rules[arch] = map[uint32][]specs.LinuxSyscall{}
		for _, s := range c.Syscalls {
			for _, name := range s.Names {
				if n, ok := table[name]; ok {
					m.rules[arch][n] = append(m.rules[arch][n], s)
					m.above[arch] = max(m.above[arch], n+1)
				}
			}
		}
	}
	return m
}

func (m *model) has(arch string) bool {
	for _, a := range m.c.Architectures {
		if string(a) == arch {
			return true
		}
	}
	return arch == "SCMP_ARCH_X86_64"
}

func modelAction(action specs.LinuxSeccompAction, ret *uint) uint32 {
	value := map[specs.LinuxSeccompAction]uint32{
		specs.ActKill: 0, specs.ActKillThread: 0, specs.ActKillProcess: 0x80000000, specs.ActTrap: 0x30000,
		specs.ActErrno: 0x50000, specs.ActTrace: 0x7ff00000, specs.ActAllow: 0x7fff0000, specs.ActLog: 0x7ffc0000,
		specs.ActNotify: 0x7fc00000,
	}[action]
	if action == specs.ActErrno || action == specs.ActTrace {
		if ret == nil {
			return value | 1
		}
		return value | uint32(*ret)
	}
	return value
}

func (m *model) matches(a specs.LinuxSeccompArg, e event, narrow bool) bool {
	v, x, y := e.args[a.Index], a.Value, a.ValueTwo
	if narrow { // 32-bit architectures have 32-bit arguments
		v, x, y = v&0xffffffff, x&0xffffffff, y&0xffffffff
	}
	switch a.Op {
	case specs.OpNotEqual:
		return v != x
	case specs.OpLessThan:
		return v < x
	case specs.OpLessEqual:
		return v <= x
	case specs.OpEqualTo:
		return v == x
	case specs.OpGreaterEqual:
		return v >= x
	case specs.OpGreaterThan:
		return v > x
	case specs.OpMaskedEqual:
		return v&x == y&x
	}
	panic(a.Op)
}

// matched reads conditions as runc does: they are joined by "and", unless an argument has several
// conditions. Then they are joined by "or".
func (m *model) matched(args []specs.LinuxSeccompArg, e event, narrow bool) bool {
	count := map[uint]int{}
	some, every, most := false, true, 0
	for _, a := range args {
		count[a.Index]++
		most = max(most, count[a.Index])
		yes := m.matches(a, e, narrow)
		some, every = some || yes, every && yes
	}
	if most > 1 {
		return some
	}
	return every
}

func (m *model) expect(e event) uint32 {
	arch := map[uint32]string{0xc000003e: "SCMP_ARCH_X86_64", 0x40000003: "SCMP_ARCH_X86"}[e.arch]
	// -1 is a call that a tracer wants to skip. libseccomp does not treat it as a call of x32.
	if e.arch == 0xc000003e && e.number >= 1<<30 && (e.number != 1<<32-1 || m.has("SCMP_ARCH_X32")) {
		arch = "SCMP_ARCH_X32"
	}
	if arch == "" || !m.has(arch) {
		return 0 // SCMP_ACT_KILL, libseccomp's answer to a bad architecture
	}
	def := modelAction(m.c.DefaultAction, m.c.DefaultErrnoRet)
	if e.number == 1<<32-1 && arch == "SCMP_ARCH_X86_64" {
		return def
	}
	for _, s := range m.rules[arch][e.number] {
		action := modelAction(s.Action, s.ErrnoRet)
		if action != def && m.matched(s.Args, e, arch != "SCMP_ARCH_X86_64") {
			return action
		}
	}
	switch m.c.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace, specs.ActNotify:
	default:
		if above := m.above[arch]; above != 0 && e.number >= above {
			return 0x50000 | uint32(unix.ENOSYS)
		}
	}
	return def
}

// plainNames returns the calls of amd64, without those that i386 can also make through
// socketcall(2) and ipc(2).
func plainNames(t testing.TB) []string {
	other := strings.Fields(`socket bind connect listen accept accept4 getsockname getpeername socketpair
		sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg shutdown setsockopt getsockopt
		semop semget semctl semtimedop msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl`)
	var out []string
	for name := range syscallTable(t, "amd64") {
		if !slices.Contains(other, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

var (
	allActions = []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap,
		specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify}
	allOperators = []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
	// edges has 64-bit values for which a comparison by 32-bit halves can go wrong.
	edges = []uint64{0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x100000000, 0x100000001,
		0x1ffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffeffffffff, 0xffffffff00000000, 0xffffffffffffffff}
)

func randomArgs(r *rand.Rand) []specs.LinuxSeccompArg {
	var out []specs.LinuxSeccompArg
	for range r.IntN(4) {
		out = append(out, specs.LinuxSeccompArg{Index: uint(r.IntN(6)), Op: allOperators[r.IntN(len(allOperators))],
			Value: edges[r.IntN(len(edges))], ValueTwo: edges[r.IntN(len(edges))]})
	}
	return out
}

// randomConfig returns a config in which each name has one action.
func randomConfig(r *rand.Rand, names []string, calls int) *specs.LinuxSeccomp {
	c := &specs.LinuxSeccomp{DefaultAction: allActions[r.IntN(len(allActions))], ListenerPath: "/run/listener"}
	for _, a := range []specs.Arch{specs.ArchX86, specs.ArchX86_64, specs.ArchX32} {
		if r.IntN(3) > 0 {
			c.Architectures = append(c.Architectures, a)
		}
	}
	names = slices.Clone(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names[:calls] {
		s := specs.LinuxSyscall{Names: []string{name}, Action: allActions[r.IntN(len(allActions))]}
		if s.Action == specs.ActErrno && r.IntN(2) == 0 {
			ret := uint(r.IntN(4095))
			s.ErrnoRet = &ret
		}
		if r.IntN(2) == 0 {
			s.Args = randomArgs(r)
		}
		c.Syscalls = append(c.Syscalls, s)
	}
	return c
}

// events yields numbers around all those that c names, on every architecture.
func (m *model) events(r *rand.Rand, yield func(event)) {
	numbers := []uint32{0, 1, 334, 511, 512, 547, 548, 1000, 1<<30 - 1, 1 << 30, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for _, s := range m.c.Syscalls {
		for _, name := range s.Names {
			for _, table := range m.number {
				if n, ok := table[name]; ok {
					numbers = append(numbers, n-1, n, n+1)
				}
			}
		}
	}
	for _, n := range numbers {
		for _, arch := range []uint32{archX8664, archX86, archAARCH64, 0} {
			for range 6 {
				e := event{number: n, arch: arch}
				for i := range e.args {
					e.args[i] = edges[r.IntN(len(edges))]
				}
				yield(e)
			}
		}
	}
}

func needAMD64(t testing.TB) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the tables of this test are for amd64")
	}
}
