// Package seccomp turns linux.seccomp of a config.json into the classic BPF
// program that seccomp(2) loads.
//
// # The way of a filter
//
//	config ─parse()─▶ rules ─compiler (libseccomp)─▶ small programs
//	   │                         ─tables()─▶ decisions ─assemble()─▶ program
//	   └─cacheKey()─▶ cache directory ─────────────────────────────▶ program
//
// libseccomp gives the meaning: names of system calls, architectures,
// multiplexed calls, comparisons. It sits in an embedded static program,
// the compiler, which is run from a sealed memfd, and only when the cache has no
// filter of the same config. Its programs are long (some 1,300 instructions for
// a usual profile of three architectures) and the kernel's time to load a filter
// grows with its length, at every start of a container. So this package reads
// off what they decide for every (architecture, number) and writes it anew as a
// search tree over ranges of numbers; comparisons of arguments are kept as
// libseccomp made them.
//
// # System calls that the profile cannot know
//
// A profile lists what it allows and answers the rest with EPERM. A C library
// that tries a system call younger than the profile would take EPERM for a
// refusal, where ENOSYS makes it fall back to the older call. Therefore, as in
// runc, a number above the highest one that the profile names (whatever the
// rule) returns ENOSYS, separately for each architecture of the filter, x32 apart
// from x86_64. This is left out
//   - when the default action lets the call happen or lets somebody else decide
//     (ALLOW, LOG, TRACE, NOTIFY), or returns ENOSYS already;
//   - for an architecture on which the profile names no call at all.
//
// On s390x such a call has the number 0 for a filter; it is given the same answer, as in runc.
//
// Names that neither libseccomp nor newer.h knows are skipped and reported in
// [Filter.Ignored].
//
// # Where davit differs from the letter of libseccomp
//   - Architectures that this machine cannot run are accepted and reported in
//     Ignored: no system call can ever carry them.
//   - Several conditions on one argument of one rule become one rule each, so
//     any of them suffices: runc's reading since 2016.
//   - Of rules with conditions of the same system call, of which more than one
//     holds, the first in the config decides. In libseccomp it depends on the
//     conditions which one does. In both, a rule without conditions beats them.
//   - Without flags in the config, SPEC_ALLOW is set, as runc and crun do.
//     An empty list of flags means none.
//   - SECCOMP_FILTER_FLAG_TSYNC is accepted and does nothing: the process that
//     loads the filter has one thread for it.
package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate make -C ../.. elfs

// MaxInstructions is the length of the longest program that the kernel loads
// (BPF_MAXINSNS).
const MaxInstructions = 4096

// Filter is a compiled linux.seccomp.
type Filter struct {
	// Program is an array of struct sock_filter, 8 bytes each, 1 to
	// MaxInstructions of them, in the machine's byte order.
	Program []byte
	// Flags are the flags to load it with: Flag* of this package.
	// FlagNewListener is among them if Notify is true.
	Flags uint32
	// Notify says that the config uses SCMP_ACT_NOTIFY: loading returns a
	// descriptor which has to be sent to linux.seccomp.listenerPath.
	Notify bool
	// Ignored lists names of system calls that are unknown and architectures
	// that this machine does not have, in the config's order.
	Ignored []string
	// Cached says that the filter was read from the cache.
	Cached bool
	// CacheError says why the filter could not be kept in the cache. The filter
	// itself is good.
	CacheError error
}

// Compile returns the filter for c. cacheDir is where compiled filters are kept,
// a directory of the caller's own (made with mode 0700 if it is missing; its
// parent must exist); "" keeps none.
//
// Errors begin with the field of config.json. A wrong value of the config is
// found whether or not the filter is in the cache.
func Compile(c *specs.LinuxSeccomp, cacheDir string) (*Filter, error) {
	key, err := cacheKey(c)
	if err != nil {
		return nil, err
	}
	filter := readCache(cacheDir, key)
	if filter == nil {
		if filter, err = compile(c); err != nil {
			return nil, err
		}
		filter.CacheError = writeCache(cacheDir, key, filter)
	}
	return filter, nil
}

// Flags returns the flags of c for a filter that does not come from its rules. notify says that the
// filter notifies: it is then loaded with FlagNewListener.
func Flags(c *specs.LinuxSeccomp, notify bool) (uint32, error) {
	cfg := config{notify: notify}
	err := cfg.parseFlags(c.Flags)
	return cfg.flags, err
}

// Loading returns the flags that c's filter is loaded with, and whether the filter notifies. It finds wrong flags; what else
// is wrong is found by [Check], and by [Compile].
func Loading(c *specs.LinuxSeccomp) (flags uint32, notify bool, err error) {
	notify = notifies(c)
	flags, err = Flags(c, notify)
	return flags, notify, err
}

// notifies reports whether c sends any system call to a listener.
func notifies(c *specs.LinuxSeccomp) bool {
	return c.DefaultAction == specs.ActNotify ||
		slices.ContainsFunc(c.Syscalls, func(s specs.LinuxSyscall) bool { return s.Action == specs.ActNotify })
}

// Check returns the error that [Compile] has for a wrong value of c, without compiling it.
func Check(c *specs.LinuxSeccomp) error {
	_, err := parse(c, thisMachine())
	return err
}

// Summary tells in words what the filter of c will do.
func Summary(c *specs.LinuxSeccomp) string {
	type group struct {
		action string
		names  map[string]bool // the value: with conditions on the arguments
	}
	var groups []group
	for i := range c.Syscalls {
		s := &c.Syscalls[i]
		action := actionText(s.Action, s.ErrnoRet)
		at := slices.IndexFunc(groups, func(g group) bool { return g.action == action })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{action, map[string]bool{}})
		}
		for _, name := range s.Names {
			groups[at].names[name] = len(s.Args) > 0
		}
	}
	text := "default " + actionText(c.DefaultAction, c.DefaultErrnoRet)
	for _, g := range groups {
		text += "; " + g.action + " for " + summarize(g.names)
	}
	return text
}

// summarize names a few system calls, and counts many.
func summarize(names map[string]bool) string {
	const few = 12
	var list []string
	conditional := 0
	for name, conditions := range names {
		if conditions {
			name += " (by its arguments)"
			conditional++
		}
		list = append(list, name)
	}
	if len(list) <= few {
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	text := fmt.Sprintf("%d system calls", len(list))
	if conditional > 0 {
		text += fmt.Sprintf(", %d of them by their arguments", conditional)
	}
	return text
}

// actionText returns an action as config.json has it, and its number where it has one.
func actionText(action specs.LinuxSeccompAction, number *uint) string {
	if number == nil {
		return string(action)
	}
	return fmt.Sprintf("%s %d", action, *number)
}

func compile(c *specs.LinuxSeccomp) (*Filter, error) {
	cfg, err := parse(c, thisMachine())
	if err != nil {
		return nil, err
	}
	request, err := cfg.request()
	if err != nil {
		return nil, err
	}
	reply, err := runCompiler(request)
	if err != nil {
		return nil, err
	}
	ans, err := parseAnswer(reply, cfg)
	if err != nil {
		return nil, err
	}
	program, err := optimize(cfg, ans)
	if err != nil {
		return nil, err
	}
	ignored := cfg.foreign
	for i, n := range cfg.names {
		if !ans.known[i] {
			ignored = append(ignored, n)
		}
	}
	return &Filter{Program: program, Flags: cfg.flags, Notify: cfg.notify, Ignored: ignored}, nil
}
