package devices

import (
	"errors"
	"fmt"
	"strings"

	"davit/cgroups/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// set1 writes the rules to v1's controller. The kernel keeps a default and a list of exceptions,
// and forgets the list when the default is written. Where everything is denied by default, an
// update therefore only adds and removes exceptions, so that no device is forbidden for a moment.
// had are the rules before, as far as they are known.
func set1(fd int, list, had []specs.LinuxDeviceCgroup) error {
	want, e := ListOf(list)
	if e != nil {
		return e
	}
	now, err := fs.ReadString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	before, known := List{}, false
	if now != allowedAll {
		before.Exceptions = parseRules(now)
	} else if before, e = ListOf(had); e == nil {
		known = before.Allow
	}
	if err := want.write(fd, now, known && before.within(&want)); err != nil {
		if now == allowedAll && !known {
			return err // nobody knows what was denied before
		}
		return errors.Join(err, before.restore(fd))
	}
	return nil
}

// allowedAll is what devices.list contains where the default is to allow. The file does not show
// the exceptions then.
const allowedAll = "a *:* rwm"

// write turns a cgroup's list into l. now is what devices.list contains. kept says that every
// exception that the file may hide is also in l.
func (l *List) write(fd int, now string, kept bool) error {
	switch {
	case l.Allow:
		err := fs.WriteAt(fd, "devices.allow", "a") // the kernel forgets what was denied before
		if err != nil && !(err == unix.EINVAL && now == allowedAll && kept) {
			return fmt.Errorf("write a to devices.allow: %w", err)
		}
		return writeRules(fd, l.Exceptions)
	case now == allowedAll:
		if err := fs.WriteAt(fd, "devices.deny", "a"); err != nil {
			return fmt.Errorf("write a to devices.deny: %w", err)
		}
		return writeRules(fd, l.Exceptions)
	}
	if err := writeRules(fd, l.Exceptions); err != nil {
		return err
	}
	// Deny what was allowed before and no longer is.
	var gone []Rule
	for _, r := range parseRules(now) {
		if r.Access &^= l.excepts(&r); r.Access != 0 {
			r.allow = false
			gone = append(gone, r)
		}
	}
	return writeRules(fd, gone)
}

// restore writes l again after a rule was refused.
func (l *List) restore(fd int) error {
	now, err := fs.ReadString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	return l.write(fd, now, true)
}

// writeRules writes the rules in their order. It opens each of the two files once: usually there
// are a dozen rules.
func writeRules(dir int, rules []Rule) error {
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
			fd, err := fs.OpenAt(dir, name, unix.O_WRONLY)
			if err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
			fds[n] = fd
		}
		if err := fs.WriteFD(fds[n], r.line()); err != nil {
			return fmt.Errorf("write %q to %s: %w", r.line(), name, err)
		}
	}
	return nil
}

// parseRules reads devices.list where the default is to deny. It then lists what is allowed.
func parseRules(list string) []Rule {
	var rules []Rule
	for line := range strings.SplitSeq(list, "\n") {
		if r, ok := parseRule(line); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// parseRule reads one line of devices.list: "c 1:3 rwm".
func parseRule(line string) (Rule, bool) {
	f := strings.Fields(line)
	if len(f) != 3 || len(f[0]) != 1 {
		return Rule{}, false
	}
	r := Rule{Kind: f[0][0], Major: Any, Minor: Any, allow: true}
	major, minor, _ := strings.Cut(f[1], ":")
	if major != "*" {
		r.Major = atoi(major)
	}
	if minor != "*" {
		r.Minor = atoi(minor)
	}
	for _, c := range f[2] {
		r.Access |= map[rune]byte{'r': accessRead, 'w': accessWrite, 'm': accessMknod}[c]
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
