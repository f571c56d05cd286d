package cgroups

import (
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// deviceRule is a rule of linux.resources.devices in the kernel's terms.
type deviceRule struct {
	kind         byte // 'a', 'b', 'c'
	major, minor int64
	access       byte // accessRead | …
	allow        bool
}

const anyDevice = -1 // major or minor: all

// The kernel's bits, the same in v1 and in bpf_cgroup_dev_ctx.
const (
	accessMknod = 1 << iota
	accessRead
	accessWrite
	accessAll = accessMknod | accessRead | accessWrite
)

// deviceRules converts the spec's rules, in their order, and drops those before the last
// one that decides everything. Before the first rule everything is denied.
func deviceRules(list []specs.LinuxDeviceCgroup) ([]deviceRule, *Error) {
	rules := make([]deviceRule, 0, len(list))
	for i := range list {
		r, err := deviceRuleOf(&list[i])
		if err != "" {
			return nil, refuse("devices["+itoa(int64(i))+"]", "", "%s", err)
		}
		if r.all() {
			rules = rules[:0]
			if !r.allow {
				continue // as before the first rule
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func deviceRuleOf(d *specs.LinuxDeviceCgroup) (deviceRule, string) {
	r := deviceRule{kind: 'a', major: anyDevice, minor: anyDevice, allow: d.Allow}
	switch d.Type {
	case "", "a":
	case "b", "c":
		r.kind = d.Type[0]
	case "u":
		r.kind = 'c' // mknod(1)'s other name of it
	default:
		return r, fmt.Sprintf("type %q is not a, b or c", d.Type)
	}
	if d.Major != nil {
		r.major = *d.Major
	}
	if d.Minor != nil {
		r.minor = *d.Minor
	}
	if r.major < -1 || r.major > 0xfff || r.minor < -1 || r.minor > 0xfffff {
		return r, fmt.Sprintf("%d:%d is outside the kernel's device numbers (12 and 20 bits)", r.major, r.minor)
	}
	for _, c := range d.Access {
		switch c {
		case 'r':
			r.access |= accessRead
		case 'w':
			r.access |= accessWrite
		case 'm':
			r.access |= accessMknod
		default:
			return r, fmt.Sprintf("access %q is not made of r, w and m", d.Access)
		}
	}
	if d.Access == "" {
		r.access = accessAll
	}
	return r, ""
}

// all says whether the rule decides every access to every device.
func (r *deviceRule) all() bool {
	return r.kind == 'a' && r.major == anyDevice && r.minor == anyDevice && r.access == accessAll
}

// checkDevices refuses rules that setDevices could not set, before anything is made.
func (m *Manager) checkDevices(list []specs.LinuxDeviceCgroup) error {
	if list == nil || m.state.Rootless {
		return nil
	}
	var e *Error
	switch m.version("devices") {
	case 0:
		e = refuse("devices", "mount the devices hierarchy, or cgroup v2", "no hierarchy of this host can control devices")
	case 1:
		_, e = deviceListOf(list)
	default:
		_, e = deviceRules(list)
	}
	if e != nil {
		return e
	}
	return nil
}

// setDevices restricts devices to what the rules allow; nil leaves them as they are. had are the rules before an
// update, nil if they are not known. Rootless containers have no rules: see State.Rootless.
func (m *Manager) setDevices(list, had []specs.LinuxDeviceCgroup, update bool) error {
	if list == nil || m.state.Rootless {
		return nil
	}
	var err error
	v := m.version("devices")
	if v == 1 {
		err = m.setDevices1(list, had)
	} else {
		rules, e := deviceRules(list)
		if e != nil {
			return e
		}
		err = m.setDevices2(rules, update || len(m.made) == 0)
	}
	if err != nil {
		return &Error{Field: resources + "devices", What: "restrict devices", Err: err, Hint: deviceHint(err, v)}
	}
	return nil
}

func deviceHint(err error, version int) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "a parent cgroup may forbid the device, or forbid programs below it; v2 takes CAP_BPF and CAP_NET_ADMIN"
	case errors.Is(err, unix.EINVAL) && version == 1:
		return "while the cgroup has sub-cgroups, v1's kernel neither changes the default nor forgets what was denied: remove them, or make the container anew"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
	}
	return ""
}

// v1 keeps a default and a list of exceptions, and forgets the list when the default is written. Where everything is
// denied by default an update only adds and removes exceptions, so that no device is lost for a moment.
func (m *Manager) setDevices1(list, had []specs.LinuxDeviceCgroup) error {
	want, e := deviceListOf(list)
	if e != nil {
		return e
	}
	fd, err := m.dir1("devices")
	if err != nil {
		return err
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

func number(n int64) string {
	if n == anyDevice {
		return "*"
	}
	return itoa(n)
}

func accessString(a byte) string {
	var b []byte
	if a&accessRead != 0 {
		b = append(b, 'r')
	}
	if a&accessWrite != 0 {
		b = append(b, 'w')
	}
	if a&accessMknod != 0 {
		b = append(b, 'm')
	}
	return string(b)
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
