package cgroups

import (
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// v1 keeps a default and a list of exceptions, and forgets the list when the default is written. Where everything is
// denied by default an update only adds and removes exceptions, so that no device is lost for a moment.
func setDevices1(fd int, list, had []specs.LinuxDeviceCgroup) error {
	want, e := deviceListOf(list)
	if e != nil {
		return e
	}
	now, err := readString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	before, known := deviceList{}, false
	if now != allowedAll {
		before.exceptions = parseRules(now)
	} else if before, e = deviceListOf(had); e == nil {
		known = before.allow
	}
	if err := want.write(fd, now, known && before.within(&want)); err != nil {
		if now == allowedAll && !known {
			return err // there is no telling what was denied
		}
		return errors.Join(err, before.restore(fd))
	}
	return nil
}

// allowedAll is devices.list where everything is allowed but what it does not show.
const allowedAll = "a *:* rwm"

// write makes a cgroup's list, now as devices.list tells, what l is. kept: all that it may hide is in l, too.
func (l *deviceList) write(fd int, now string, kept bool) error {
	switch {
	case l.allow:
		err := writeAt(fd, "devices.allow", "a") // forgets what was denied before
		if err != nil && !(err == unix.EINVAL && now == allowedAll && kept) {
			return fmt.Errorf("write a to devices.allow: %w", err)
		}
		return writeRules(fd, l.exceptions)
	case now == allowedAll:
		if err := writeAt(fd, "devices.deny", "a"); err != nil {
			return fmt.Errorf("write a to devices.deny: %w", err)
		}
		return writeRules(fd, l.exceptions)
	}
	if err := writeRules(fd, l.exceptions); err != nil {
		return err
	}
	// What was allowed before, and is no more.
	var gone []deviceRule
	for _, r := range parseRules(now) {
		if r.access &^= l.excepts(&r); r.access != 0 {
			r.allow = false
			gone = append(gone, r)
		}
	}
	return writeRules(fd, gone)
}

// restore makes a cgroup's list l again, after a rule that was refused.
func (l *deviceList) restore(fd int) error {
	now, err := readString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	return l.write(fd, now, true)
}

// writeRules writes rules in order; the two files stay open, as there are a dozen rules.
func writeRules(dir int, rules []deviceRule) error {
	fds := [2]int{-1, -1}
	defer func() {
		for _, fd := range fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}()
	for i := range rules {
		r := &rules[i]
		n, name := 0, "devices.deny"
		if r.allow {
			n, name = 1, "devices.allow"
		}
		if fds[n] < 0 {
			fd, err := openAt(dir, name, unix.O_WRONLY)
			if err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
			fds[n] = fd
		}
		if err := writeFD(fds[n], r.line()); err != nil {
			return fmt.Errorf("write %q to %s: %w", r.line(), name, err)
		}
	}
	return nil
}

// parseRules reads devices.list where it is one of what is allowed.
func parseRules(list string) []deviceRule {
	var rules []deviceRule
	for line := range strings.SplitSeq(list, "\n") {
		if r, ok := parseRule(line); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// parseRule reads a line of devices.list: "c 1:3 rwm".
func parseRule(line string) (deviceRule, bool) {
	f := strings.Fields(line)
	if len(f) != 3 || len(f[0]) != 1 {
		return deviceRule{}, false
	}
	r := deviceRule{kind: f[0][0], major: anyDevice, minor: anyDevice, allow: true}
	major, minor, _ := strings.Cut(f[1], ":")
	if major != "*" {
		r.major = atoi(major)
	}
	if minor != "*" {
		r.minor = atoi(minor)
	}
	for _, c := range f[2] {
		r.access |= map[rune]byte{'r': accessRead, 'w': accessWrite, 'm': accessMknod}[c]
	}
	return r, true
}

func atoi(s string) int64 {
	var n int64
	for _, c := range []byte(s) {
		n = 10*n + int64(c-'0')
	}
	return n
}
