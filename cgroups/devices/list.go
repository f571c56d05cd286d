package devices

import (
	"strconv"

	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceList is rules in the form of cgroup v1's kernel and of systemd: a default and exceptions to it, in any order.
// An exception has no exceptions: v1's kernel ignores the order to take a part out of a wildcard.
type List struct {
	Allow      bool // the default
	Exceptions []Rule
}

// deviceListOf refuses rules that are no such list. A pure function.
func ListOf(list []specs.LinuxDeviceCgroup) (List, *fault.Error) {
	rules, e := rulesOf(list)
	if e != nil {
		return List{}, e
	}
	index := len(list) - len(rules) // deviceRules drops from the front
	l := List{}
	if len(rules) > 0 && rules[0].all() {
		l.Allow = true
	}
	for i := range rules {
		r := &rules[i]
		if r.all() {
			continue
		}
		for _, kind := range r.kinds() {
			one := *r
			one.Kind = kind
			if r.allow != l.Allow {
				l.add(one)
				continue
			}
			needed := one
			needed.Access &^= decidedLater(&one, rules[i+1:])
			if whole, ok := l.remove(&needed); !ok {
				return List{}, failure.Refuse("devices["+strconv.Itoa(index+i)+"]",
					"instead of the wildcard list the devices one by one, or use cgroup v2; what follows the config's own rules are davit's, for the default devices",
					"%s is an exception to the rule before it, %s: cgroup v1 cannot take a part out of a wildcard", one.text(), whole.text())
			}
		}
	}
	if !l.Allow {
		l.join()
	}
	return l, nil
}

// decidedLater is what of r's access later rules of the other sign decide whatever r says.
func decidedLater(r *Rule, later []Rule) (access byte) {
	for i := range later {
		if s := &later[i]; s.allow != r.allow && s.holds(r) {
			access |= s.Access
		}
	}
	return access
}

func (l *List) add(r Rule) {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; e.same(&r) {
			e.Access |= r.Access
			return
		}
	}
	l.Exceptions = append(l.Exceptions, r)
}

// remove takes r from the exceptions, unless one has devices beside r's: that one it returns.
func (l *List) remove(r *Rule) (whole *Rule, ok bool) {
	kept := make([]Rule, 0, len(l.Exceptions))
	for i := range l.Exceptions {
		e := l.Exceptions[i]
		if e.Access&r.Access != 0 && e.meets(r) {
			if !r.holds(&e) {
				return &e, false
			}
			e.Access &^= r.Access
		}
		if e.Access != 0 {
			kept = append(kept, e)
		}
	}
	l.Exceptions = kept
	return nil, true
}

// join adds what two exceptions allow together: who opens for reading and writing must find both in one.
func (l *List) join() {
	const both = accessRead | accessWrite
	list := l.Exceptions
	for i := range list {
		for j := range list {
			r, w := list[i], &list[j]
			if r.Access&both != accessRead || w.Access&both != accessWrite || !r.meets(w) {
				continue
			}
			r.Major, r.Minor = max(r.Major, w.Major), max(r.Minor, w.Minor) // anyDevice is the least
			r.Access |= w.Access
			l.add(r)
		}
	}
}

// excepts says which of r's access the exceptions cover.
func (l *List) excepts(r *Rule) (access byte) {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; e.holds(r) {
			access |= e.Access
		}
	}
	return access & r.Access
}

// within says whether l has the default of m, and no exception that m lacks.
func (l *List) within(m *List) bool {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; m.excepts(e) != e.Access {
			return false
		}
	}
	return l.Allow == m.Allow
}

func (r *Rule) kinds() []byte {
	if r.Kind == 'a' {
		return []byte{'b', 'c'}
	}
	return []byte{r.Kind}
}

// holds says whether s's devices are all r's too.
func (r *Rule) holds(s *Rule) bool {
	return (r.Kind == 'a' || r.Kind == s.Kind) &&
		(r.Major == Any || r.Major == s.Major) &&
		(r.Minor == Any || r.Minor == s.Minor)
}

// same says whether r's devices are s's.
func (r *Rule) same(s *Rule) bool {
	return r.Kind == s.Kind && r.Major == s.Major && r.Minor == s.Minor
}

// meets says whether some devices are both r's and s's, of the same kind.
func (r *Rule) meets(s *Rule) bool {
	return r.Kind == s.Kind &&
		(r.Major == s.Major || r.Major == Any || s.Major == Any) &&
		(r.Minor == s.Minor || r.Minor == Any || s.Minor == Any)
}

// line is a rule as devices.allow takes it.
func (r *Rule) line() string {
	return string(r.Kind) + " " + r.Number() + " " + AccessString(r.Access)
}

// number is the rule's device numbers as the kernel writes them: "1:3", "136:*".
func (r *Rule) Number() string { return number(r.Major) + ":" + number(r.Minor) }

func (r *Rule) text() string {
	if r.allow {
		return "allow " + r.line()
	}
	return "deny " + r.line()
}
