package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"davit/internal/fault"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	argsMax = 6
	// maxErrno is the highest errno that a filter can return: the kernel reduces higher ones to its
	// MAX_ERRNO, 4095, and libseccomp only accepts lower ones.
	maxErrno = 4094
)

// perProgram is how many rules make one of libseccomp's programs.
const perProgram = 16

// distribute assigns each rule to a program. No program gets two rules for the same name, and of
// several rules for a name the first gets the lowest program; merge relies on both.
//
// libseccomp's time grows with the square of a program's length; from programs of
// this size a usual profile is ready in a sixth of the time. And libseccomp 2.5
// makes wrong code of some rules that compare one argument by order with several
// 64-bit values: it mistakes the low half in A for the high half
// (TestSeveralOrders). Of one rule at a time it does not.
func (cfg *config) distribute(byName [][]rule) {
	cfg.programs = 1
	count := 0
	for layer := 0; ; layer++ {
		before := len(cfg.rules)
		for _, rules := range byName {
			if layer >= len(rules) {
				continue
			}
			if count == perProgram {
				cfg.programs++
				count = 0
			}
			r := rules[layer]
			r.program = cfg.programs - 1
			cfg.rules = append(cfg.rules, r)
			count++
		}
		if len(cfg.rules) == before {
			return
		}
		count = perProgram // the next layer starts a program
	}
}

// config is a checked linux.seccomp in libseccomp's terms.
type config struct {
	machine       machine
	defaultAction uint32
	arches        []uint32 // the native one first
	flags         uint32
	notify        bool
	names         []string // in the order of their first appearance
	rules         []rule   // by program
	args          []arg
	programs      int
	foreign       []string
}

// rule holds if all of config.args[arg:arg+args] hold.
type rule struct {
	program   int
	name      int // index in config.names
	action    uint32
	arg, args int
	entry     int // index in linux.seccomp.syscalls
}

// arg has the layout of struct request_arg.
type arg struct {
	index, op uint32
	a, b      uint64
}

// parse checks c and translates it for m.
func parse(c *specs.LinuxSeccomp, m machine) (*config, error) {
	cfg := &config{machine: m, notify: notifies(c)}
	var err error
	cfg.defaultAction, err = parseAction("linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet",
		c.DefaultAction, c.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	if err := cfg.parseArches(c.Architectures); err != nil {
		return nil, err
	}
	if err := cfg.parseSyscalls(c.Syscalls); err != nil {
		return nil, err
	}
	if err := cfg.parseFlags(c.Flags); err != nil {
		return nil, err
	}
	if c.ListenerMetadata != "" && c.ListenerPath == "" {
		return nil, fault.At("linux.seccomp.listenerMetadata", "needs linux.seccomp.listenerPath")
	}
	if cfg.notify && c.ListenerPath == "" {
		return nil, fault.At("linux.seccomp.listenerPath", "SCMP_ACT_NOTIFY needs one, or nobody would answer")
	}
	return cfg, nil
}

func unknown(field, what, value string, list []named) error {
	return fault.At(field, "unknown %s %q; one of %s", what, value, strings.Join(names(list), ", "))
}

// parseAction returns the filter's return value for action. errnoRet is allowed
// where the action carries a number: spec, config-linux.md, "When the action
// doesn't support an errno, the runtime MUST print and error and fail".
func parseAction(field, retField string, action specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	value, ok := lookup(actions(), string(action))
	if !ok {
		return 0, unknown(field, "action", string(action), actions())
	}
	most := uint(0)
	switch value {
	case retErrno:
		most = maxErrno
	case retTrace:
		most = 0xffff
	}
	switch {
	case most == 0 && errnoRet != nil:
		return 0, fault.At(retField, "%s takes no errno, only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do", action)
	case most == 0:
		return value, nil
	case errnoRet == nil:
		return value | uint32(unix.EPERM), nil
	case *errnoRet > most:
		return 0, fault.At(retField, "%d is out of range, %s takes 0 to %d", *errnoRet, action, most)
	}
	return value | uint32(*errnoRet), nil
}

func (cfg *config) parseArches(list []specs.Arch) error {
	cfg.arches = append(cfg.arches, cfg.machine.native)
	for i, a := range list {
		value, ok := lookup(arches(), string(a))
		if !ok {
			return unknown(fmt.Sprintf("linux.seccomp.architectures[%d]", i), "architecture", string(a), arches())
		}
		if !cfg.machine.has(value) {
			cfg.foreign = append(cfg.foreign, string(a))
		} else if !contains(cfg.arches, value) {
			cfg.arches = append(cfg.arches, value)
		}
	}
	return nil
}

func contains(list []uint32, value uint32) bool {
	for _, v := range list {
		if v == value {
			return true
		}
	}
	return false
}

func (cfg *config) parseSyscalls(list []specs.LinuxSyscall) error {
	numbers := make(map[string]int)
	var byName [][]rule
	for i := range list {
		s := &list[i]
		rules, err := cfg.parseEntry(fmt.Sprintf("linux.seccomp.syscalls[%d]", i), i, s)
		if err != nil {
			return err
		}
		for _, name := range s.Names {
			n, ok := numbers[name]
			if !ok {
				n = len(cfg.names)
				numbers[name] = n
				cfg.names = append(cfg.names, name)
				byName = append(byName, nil)
			}
			if byName[n], err = cfg.addRules(byName[n], n, rules); err != nil {
				return err
			}
		}
	}
	cfg.distribute(byName)
	return nil
}

// parseEntry returns the rules that linux.seccomp.syscalls[entry] has for each of its names.
func (cfg *config) parseEntry(field string, entry int, s *specs.LinuxSyscall) ([]rule, error) {
	action, err := parseAction(field+".action", field+".errnoRet", s.Action, s.ErrnoRet)
	if err != nil {
		return nil, err
	}
	rules, err := cfg.parseArgs(field, s.Args)
	if err != nil {
		return nil, err
	}
	if len(s.Names) == 0 {
		return nil, fault.At(field+".names", "must name at least one system call")
	}
	for i, name := range s.Names {
		if name == "" || len(name) > wireNameMax || strings.IndexByte(name, 0) >= 0 {
			return nil, fault.At(fmt.Sprintf("%s.names[%d]", field, i), "%q is not the name of a system call", name)
		}
	}
	// A rule with the default action changes nothing, and libseccomp refuses it.
	if action == cfg.defaultAction {
		return nil, nil
	}
	for i := range rules {
		rules[i].action, rules[i].entry = action, entry
	}
	return rules, nil
}

// addRules adds rules to those of a name. As in libseccomp, a rule without conditions beats all
// rules with conditions, and the first one beats all later ones.
func (cfg *config) addRules(have []rule, name int, rules []rule) ([]rule, error) {
next:
	for _, r := range rules {
		r.name = name
		if len(have) > 0 && have[0].args == 0 {
			break
		}
		if r.args == 0 {
			have = []rule{r}
			break
		}
		for _, h := range have {
			if !slices.Equal(cfg.args[h.arg:h.arg+h.args], cfg.args[r.arg:r.arg+r.args]) {
				continue
			}
			if h.action != r.action {
				return nil, fault.At(fmt.Sprintf("linux.seccomp.syscalls[%d]", r.entry), "%s has the same args in syscalls[%d] with a different action", cfg.names[name], h.entry)
			}
			continue next
		}
		have = append(have, r)
	}
	return have, nil
}

// parseArgs returns the rules, without action, that the conditions make: one, or
// where an argument has several conditions, one for each condition.
func (cfg *config) parseArgs(field string, list []specs.LinuxSeccompArg) ([]rule, error) {
	first := len(cfg.args)
	var seen [argsMax]bool
	split := false
	for i, a := range list {
		if a.Index >= argsMax {
			return nil, fault.At(fmt.Sprintf("%s.args[%d].index", field, i), "%d is out of range, a system call has arguments 0 to %d", a.Index, argsMax-1)
		}
		op, ok := lookup(operators(), string(a.Op))
		if !ok {
			return nil, unknown(fmt.Sprintf("%s.args[%d].op", field, i), "operator", string(a.Op), operators())
		}
		split = split || seen[a.Index]
		seen[a.Index] = true
		cfg.args = append(cfg.args, arg{index: uint32(a.Index), op: op, a: a.Value, b: a.ValueTwo})
	}
	if !split {
		return []rule{{arg: first, args: len(list)}}, nil
	}
	rules := make([]rule, len(list))
	for i := range rules {
		rules[i] = rule{arg: first + i, args: 1}
	}
	return rules, nil
}

func (cfg *config) parseFlags(list []specs.LinuxSeccompFlag) error {
	if list == nil {
		cfg.flags = FlagSpecAllow
	}
	for i, f := range list {
		value, ok := lookup(flags(), string(f))
		if !ok {
			return unknown(fmt.Sprintf("linux.seccomp.flags[%d]", i), "flag", string(f), flags())
		}
		if value == FlagWaitKillableRecv && !cfg.notify {
			return fault.At(fmt.Sprintf("linux.seccomp.flags[%d]", i), "%s needs a rule with SCMP_ACT_NOTIFY", f)
		}
		cfg.flags |= value
	}
	// The process has one thread. The stage's second one, which sends the notification
	// descriptor, must stay free of the filter (runtime-spec issue 1077).
	cfg.flags &^= FlagTSync
	if cfg.notify {
		cfg.flags |= FlagNewListener
	}
	return nil
}
