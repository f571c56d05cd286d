package cgroups

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceList is rules in the form of cgroup v1's kernel and of systemd: a default and exceptions to it, in any order.
// An exception has no exceptions: v1's kernel ignores the order to take a part out of a wildcard.
type deviceList struct {
	allow      bool // the default
	exceptions []deviceRule
}

// deviceListOf refuses rules that are no such list. A pure function.
func deviceListOf(list []specs.LinuxDeviceCgroup) (deviceList, *Error) {
	rules, e := deviceRules(list)
	if e != nil {
		return deviceList{}, e
	}
	index := len(list) - len(rules) // deviceRules drops from the front
	l := deviceList{}
	if len(rules) > 0 && rules[0].all() {
		l.allow = true
	}
	for i := range rules {
		r := &rules[i]
		if r.all() {
			continue
		}
		for _, kind := range r.kinds() {
			one := *r
			one.kind = kind
			if r.allow != l.allow {
				l.add(one)
				continue
			}
			needed := one
			needed.access &^= decidedLater(&one, rules[i+1:])
			if whole, ok := l.remove(&needed); !ok {
				return deviceList{}, refuse("devices["+strconv.Itoa(index+i)+"]",
					"instead of the wildcard list the devices one by one, or use cgroup v2; what follows the config's own rules are davit's, for the default devices",
					"%s is an exception to the rule before it, %s: cgroup v1 cannot take a part out of a wildcard", one.text(), whole.text())
			}
		}
	}
	if !l.allow {
		l.join()
	}
	return l, nil
}

// decidedLater is what of r's access later rules of the other sign decide whatever r says.
func decidedLater(r *deviceRule, later []deviceRule) (access byte) {
	for i := range later {
		if s := &later[i]; s.allow != r.allow && s.holds(r) {
			access |= s.access
		}
	}
	return access
}

func (l *deviceList) add(r deviceRule) {
	for i := range l.exceptions {
		if e := &l.exceptions[i]; e.same(&r) {
			e.access |= r.access
			return
		}
	}
	l.exceptions = append(l.exceptions, r)
}

// remove takes r from the exceptions, unless one has devices beside r's: that one it returns.
func (l *deviceList) remove(r *deviceRule) (whole *deviceRule, ok bool) {
	kept := make([]deviceRule, 0, len(l.exceptions))
	for i := range l.exceptions {
		e := l.exceptions[i]
		if e.access&r.access != 0 && e.meets(r) {
			if !r.holds(&e) {
				return &e, false
			}
			e.access &^= r.access
		}
		if e.access != 0 {
			kept = append(kept, e)
		}
	}
	l.exceptions = kept
	return nil, true
}

// join adds what two exceptions allow together: who opens for reading and writing must find both in one.
func (l *deviceList) join() {
	const both = accessRead | accessWrite
	list := l.exceptions
	for i := range list {
		for j := range list {
			r, w := list[i], &list[j]
			if r.access&both != accessRead || w.access&both != accessWrite || !r.meets(w) {
				continue
			}
			r.major, r.minor = max(r.major, w.major), max(r.minor, w.minor) // anyDevice is the least
			r.access |= w.access
			l.add(r)
		}
	}
}

// excepts says which of r's access the exceptions cover.
func (l *deviceList) excepts(r *deviceRule) (access byte) {
	for i := range l.exceptions {
		if e := &l.exceptions[i]; e.holds(r) {
			access |= e.access
		}
	}
	return access & r.access
}

// within says whether l has the default of m, and no exception that m lacks.
func (l *deviceList) within(m *deviceList) bool {
	for i := range l.exceptions {
		if e := &l.exceptions[i]; m.excepts(e) != e.access {
			return false
		}
	}
	return l.allow == m.allow
}

func (r *deviceRule) kinds() []byte {
	if r.kind == 'a' {
		return []byte{'b', 'c'}
	}
	return []byte{r.kind}
}

// holds says whether s's devices are all r's too.
func (r *deviceRule) holds(s *deviceRule) bool {
	return (r.kind == 'a' || r.kind == s.kind) &&
		(r.major == anyDevice || r.major == s.major) &&
		(r.minor == anyDevice || r.minor == s.minor)
}

// same says whether r's devices are s's.
func (r *deviceRule) same(s *deviceRule) bool {
	return r.kind == s.kind && r.major == s.major && r.minor == s.minor
}

// meets says whether some devices are both r's and s's, of the same kind.
func (r *deviceRule) meets(s *deviceRule) bool {
	return r.kind == s.kind &&
		(r.major == s.major || r.major == anyDevice || s.major == anyDevice) &&
		(r.minor == s.minor || r.minor == anyDevice || s.minor == anyDevice)
}

// line is a rule as devices.allow takes it.
func (r *deviceRule) line() string {
	return string(r.kind) + " " + r.number() + " " + accessString(r.access)
}

// number is the rule's device numbers as the kernel writes them: "1:3", "136:*".
func (r *deviceRule) number() string { return number(r.major) + ":" + number(r.minor) }

func (r *deviceRule) text() string {
	if r.allow {
		return "allow " + r.line()
	}
	return "deny " + r.line()
}
