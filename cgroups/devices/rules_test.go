package devices

import (
	"math/rand/v2"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// run interprets a program of assemble as the kernel does, and fails the test if the kernel's
// verifier would refuse the program.
func run(t *testing.T, p []insn, kind, access, major, minor uint32) bool {
	var r [11]uint32
	ctx := map[int16]uint32{0: access<<16 | kind, 4: major, 8: minor}
	for pc, steps := 0, 0; ; pc++ {
		if steps++; steps > len(p) || pc >= len(p) {
			t.Fatalf("runs past its end")
		}
		i := p[pc]
		dst, src := i.reg&15, i.reg>>4
		jump := false
		switch i.op {
		case opLoad:
			r[dst] = ctx[i.off]
		case opMove:
			r[dst] = uint32(i.imm)
		case opCopy:
			r[dst] = r[src]
		case opAnd:
			r[dst] &= uint32(i.imm)
		case opOr:
			r[dst] |= r[src]
		case opLeft:
			r[dst] <<= uint32(i.imm)
		case opRight:
			r[dst] >>= uint32(i.imm)
		case opJEQ:
			jump = r[dst] == uint32(i.imm)
		case opJNE:
			jump = r[dst] != uint32(i.imm)
		case opJSet:
			jump = r[dst]&uint32(i.imm) != 0
		case opJump:
			jump = true
		case opExit:
			return r[0] == 1
		default:
			t.Fatalf("unknown opcode %#x", i.op)
		}
		if jump {
			pc += int(i.off)
		}
	}
}

// reachable fails the test if there is dead code, which the kernel's verifier refuses.
func reachable(t *testing.T, p []insn) {
	seen := make([]bool, len(p))
	var walk func(pc int)
	walk = func(pc int) {
		for ; pc < len(p) && !seen[pc]; pc++ {
			seen[pc] = true
			switch p[pc].op {
			case opExit:
				return
			case opJump:
				pc += int(p[pc].off)
			case opJEQ, opJNE, opJSet:
				walk(pc + 1 + int(p[pc].off))
			}
		}
	}
	walk(0)
	for i, s := range seen {
		if !s {
			t.Fatalf("instruction %d of %d is unreachable", i, len(p))
		}
	}
}

// decide implements the spec's meaning directly: it applies the rules in order, each bit of access
// by itself, and starts with everything denied.
func decide(list []specs.LinuxDeviceCgroup, kind string, access string, major, minor int64) bool {
	for _, bit := range access {
		allowed := false
		for _, d := range list {
			if (d.Type == "a" || d.Type == "" || d.Type == kind) && (d.Major == nil || *d.Major == -1 || *d.Major == major) &&
				(d.Minor == nil || *d.Minor == -1 || *d.Minor == minor) && strings.ContainsRune(d.Access, bit) {
				allowed = d.Allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

func TestDevicePrograms(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	accesses := []string{"r", "w", "m", "rw", "rm", "wm", "rwm"}
	number := func() *int64 {
		switch rnd.IntN(4) {
		case 0:
			return nil
		case 1:
			return ptr(int64(-1))
		}
		return ptr(int64(rnd.IntN(3)))
	}
	for n := 0; n < 500; n++ {
		list := []specs.LinuxDeviceCgroup{}
		for range rnd.IntN(6) {
			list = append(list, specs.LinuxDeviceCgroup{Allow: rnd.IntN(2) == 0, Type: []string{"a", "b", "c", ""}[rnd.IntN(4)],
				Major: number(), Minor: number(), Access: accesses[rnd.IntN(7)]})
		}
		rules, err := rulesOf(list)
		if err != nil {
			t.Fatal(err)
		}
		p := assemble(rules)
		reachable(t, p)
		for _, kind := range []string{"b", "c"} {
			for _, access := range accesses {
				for major := int64(0); major < 4; major++ {
					for minor := int64(0); minor < 4; minor++ {
						bits := uint32(0)
						for i, c := range "mrw" {
							if strings.ContainsRune(access, c) {
								bits |= 1 << i
							}
						}
						k := map[string]uint32{"b": devBlock, "c": devChar}[kind]
						want := decide(list, kind, access, major, minor)
						if got := run(t, p, k, bits, uint32(major), uint32(minor)); got != want {
							t.Fatalf("%+v: %s %d:%d %s: program says %v, rules say %v", list, kind, major, minor, access, got, want)
						}
					}
				}
			}
		}
	}
}

// decide1 decides as v1's kernel code does (security/device_cgroup.c), with a default and
// exceptions to it.
func decide1(l *List, kind, access string, major, minor int64) bool {
	asked := byte(0)
	for i, c := range "mrw" {
		if strings.ContainsRune(access, c) {
			asked |= 1 << i
		}
	}
	for _, e := range l.Exceptions {
		if string(e.Kind) != kind || e.Major != Any && e.Major != major || e.Minor != Any && e.Minor != minor {
			continue
		}
		if l.Allow && asked&e.Access != 0 || !l.Allow && asked&^e.Access == 0 {
			return !l.Allow
		}
	}
	return l.Allow
}

// If a list of exceptions is not refused, it means the same as the rules.
func TestDeviceList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for n := 0; n < 3000; n++ {
		list := []specs.LinuxDeviceCgroup{{Allow: rnd.IntN(2) == 0, Access: "rwm"}}
		for range rnd.IntN(5) {
			list = append(list, specs.LinuxDeviceCgroup{Allow: rnd.IntN(2) == 0, Type: []string{"a", "b", "c"}[rnd.IntN(3)],
				Major: ptr(int64(rnd.IntN(3) - 1)), Minor: ptr(int64(rnd.IntN(3) - 1)), Access: []string{"r", "w", "m", "rw", "rwm"}[rnd.IntN(5)]})
		}
		l, e := ListOf(list)
		if e != nil {
			refused++
			continue
		}
		for _, kind := range []string{"b", "c"} {
			for _, access := range []string{"r", "w", "rw", "m"} { // what the kernel asks about
				for number := int64(0); number < 9; number++ {
					major, minor := number/3, number%3
					want := decide(list, kind, access, major, minor)
					if got := decide1(&l, kind, access, major, minor); got != want {
						t.Fatalf("%+v: %s %d:%d %s: %+v says %v, rules say %v", list, kind, major, minor, access, l, got, want)
					}
				}
			}
		}
	}
	if refused < 100 || refused > 1500 {
		t.Errorf("%d of 3000 refused", refused)
	}
}

// davit refuses rules that cgroup v1 would ignore, before it makes anything.
func TestDeviceListRefused(t *testing.T) {
	rule := func(allow bool, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: &major, Minor: &minor, Access: access}
	}
	deny, all := specs.LinuxDeviceCgroup{Access: "rwm"}, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	for _, c := range []struct {
		want string
		list []specs.LinuxDeviceCgroup
	}{
		{"[2]: deny c 10:232 rwm is an exception to the rule before it, allow c *:* rwm: ", []specs.LinuxDeviceCgroup{deny, rule(true, -1, -1, "rwm"), rule(false, 10, 232, "rwm")}},
		{"[2]: deny c 10:232 w is an exception to the rule before it, allow c 10:* rw: ", []specs.LinuxDeviceCgroup{deny, rule(true, 10, -1, "rw"), rule(false, 10, 232, "w")}},
		{"[4]: allow c 1:3 r is an exception to the rule before it, deny c 1:* rwm: ", []specs.LinuxDeviceCgroup{deny, rule(true, 7, 7, "r"), all, rule(false, 1, -1, "rwm"), rule(true, 1, 3, "r")}},
		{"", []specs.LinuxDeviceCgroup{deny, rule(true, 10, 232, "rwm"), rule(false, 10, 232, "w")}},
		{"", []specs.LinuxDeviceCgroup{deny, rule(true, 10, 232, "rwm"), rule(false, 10, -1, "rwm")}},
		{"", []specs.LinuxDeviceCgroup{deny, rule(true, -1, -1, "m"), rule(false, 10, 232, "rwm"), rule(true, -1, -1, "m")}},
	} {
		got := ""
		if _, e := ListOf(c.list); e != nil {
			got = e.Error()
		}
		if want := "linux.resources.devices" + c.want; c.want == "" && got != "" || !strings.HasPrefix(got, want) && c.want != "" {
			t.Errorf("%+v: %q, want %q", c.list, got, want)
		}
	}
}

func TestDeviceRulesRefused(t *testing.T) {
	for want, d := range map[string]specs.LinuxDeviceCgroup{
		`linux.resources.devices[0]: type "x" is not a, b or c`:                                      {Type: "x", Access: "r"},
		`linux.resources.devices[0]: access "rx" is not made of r, w and m`:                          {Access: "rx"},
		`linux.resources.devices[0]: 4096:0 is outside the kernel's device numbers (12 and 20 bits)`: {Major: ptr(int64(4096)), Minor: ptr(int64(0)), Access: "r"},
		`linux.resources.devices[0]: 1:-2 is outside the kernel's device numbers (12 and 20 bits)`:   {Major: ptr(int64(1)), Minor: ptr(int64(-2)), Access: "r"},
	} {
		if _, err := rulesOf([]specs.LinuxDeviceCgroup{d}); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", d, err, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }
