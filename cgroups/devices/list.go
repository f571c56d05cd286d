package devices

import (
	"strconv"

	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// List has device rules in the form that cgroup v1's kernel and systemd know: a default and
// exceptions to it, in any order. An exception has no exceptions itself: v1's kernel ignores a
// write that takes a part out of a wildcard.
type List struct {
	Allow      bool // the default: everything is allowed, or everything is denied
	Exceptions []Rule
}

// ListOf converts rules to a List. It refuses rules that no List can express.
func ListOf(list []specs.LinuxDeviceCgroup) (List, *fault.Error) {
	rules, e := rulesOf(list)
	if e != nil {
		return List{}, e
	}
	index := len(list) - len(rules) // rulesOf has dropped the first ones
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
					"list the devices one by one instead of the wildcard, or use cgroup v2 (after the config's rules davit adds its own, for the default devices)",
					"%s is an exception to the rule before it, %s: cgroup v1 cannot take a part out of a wildcard", one.text(), whole.text())
			}
		}
	}
	if !l.Allow {
		l.join()
	}
	return l, nil
}

// decidedLater returns the part of r's access that later rules decide in the opposite way for all
// of r's devices. For that part it does not matter what r says.
func decidedLater(r *Rule, later []Rule) (access byte) {
	for i := range later {
		if s := &later[i]; s.allow != r.allow && s.holds(r) {
			access |= s.Access
		}
	}
	return access
}

// add adds r to the exceptions.
func (l *List) add(r Rule) {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; e.same(&r) {
			e.Access |= r.Access
			return
		}
	}
	l.Exceptions = append(l.Exceptions, r)
}

// remove takes r out of the exceptions. If an exception has other devices besides r's, it fails and
// returns that one.
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

// join adds exceptions for what two exceptions allow together: to open a device for reading and
// writing, the kernel wants both in a single exception.
func (l *List) join() {
	const both = accessRead | accessWrite
	list := l.Exceptions
	for i := range list {
		for j := range list {
			r, w := list[i], &list[j]
			if r.Access&both != accessRead || w.Access&both != accessWrite || !r.meets(w) {
				continue
			}
			r.Major, r.Minor = max(r.Major, w.Major), max(r.Minor, w.Minor) // Any is the smallest number
			r.Access |= w.Access
			l.add(r)
		}
	}
}

// excepts returns the part of r's access that the exceptions cover for all of r's devices.
func (l *List) excepts(r *Rule) (access byte) {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; e.holds(r) {
			access |= e.Access
		}
	}
	return access & r.Access
}

// within reports whether l has the same default as m and no exception that m lacks.
func (l *List) within(m *List) bool {
	for i := range l.Exceptions {
		if e := &l.Exceptions[i]; m.excepts(e) != e.Access {
			return false
		}
	}
	return l.Allow == m.Allow
}

// kinds returns the kinds of devices that the rule is about, as the kernel separates them: 'b',
// 'c'.
func (r *Rule) kinds() []byte {
	if r.Kind == 'a' {
		return []byte{'b', 'c'}
	}
	return []byte{r.Kind}
}

// holds reports whether all devices of s are devices of r.
func (r *Rule) holds(s *Rule) bool {
	return (r.Kind == 'a' || r.Kind == s.Kind) &&
		(r.Major == Any || r.Major == s.Major) &&
		(r.Minor == Any || r.Minor == s.Minor)
}

// same reports whether r and s are about the same devices.
func (r *Rule) same(s *Rule) bool {
	return r.Kind == s.Kind && r.Major == s.Major && r.Minor == s.Minor
}

// meets reports whether some device belongs to both r and s, which must be of the same kind.
func (r *Rule) meets(s *Rule) bool {
	return r.Kind == s.Kind &&
		(r.Major == s.Major || r.Major == Any || s.Major == Any) &&
		(r.Minor == s.Minor || r.Minor == Any || s.Minor == Any)
}

// line returns the rule as devices.allow takes it: "c 1:3 rwm".
func (r *Rule) line() string {
	return string(r.Kind) + " " + r.Number() + " " + AccessString(r.Access)
}

// Number returns the rule's device numbers as the kernel writes them: "1:3", "136:*".
func (r *Rule) Number() string { return number(r.Major) + ":" + number(r.Minor) }

func (r *Rule) text() string {
	if r.allow {
		return "allow " + r.line()
	}
	return "deny " + r.line()
}
