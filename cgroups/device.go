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

// covers says whether every access that s decides is decided by r too.
func (r *deviceRule) covers(s *deviceRule) bool {
	return (r.kind == 'a' || r.kind == s.kind) &&
		(r.major == anyDevice || r.major == s.major) &&
		(r.minor == anyDevice || r.minor == s.minor) &&
		s.access&^r.access == 0
}

// setDevices restricts devices to what the rules allow; nil leaves them as they are. Rootless
// containers have no rules: see State.Rootless.
func (m *Manager) setDevices(list []specs.LinuxDeviceCgroup, update bool) error {
	if list == nil || m.state.Rootless {
		return nil
	}
	rules, e := deviceRules(list)
	if e != nil {
		return e
	}
	var err error
	if m.version("devices") == 1 {
		err = m.setDevices1(rules)
	} else {
		err = m.setDevices2(rules, update || len(m.made) == 0)
	}
	if err != nil {
		return &Error{Field: resources + "devices", What: "restrict devices", Err: err, Hint: deviceHint(err)}
	}
	return nil
}

func deviceHint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "a parent cgroup may forbid the device, or forbid programs below it; v2 takes CAP_BPF and CAP_NET_ADMIN"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
	}
	return ""
}

// v1 keeps a default and a list of exceptions, and forgets the list when the default changes.
// Since a running container must not lose its devices for a moment, an update only adds
// and removes exceptions where the default stays.
func (m *Manager) setDevices1(rules []deviceRule) error {
	fd, err := m.dir1("devices")
	if err != nil {
		return err
	}
	now, err := readString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	if err := replaceRules(fd, now, rules); err != nil {
		return errors.Join(err, restoreRules(fd, now))
	}
	return nil
}

// allowedAll is devices.list where everything is allowed but what it does not show.
const allowedAll = "a *:* rwm"

func replaceRules(fd int, now string, rules []deviceRule) error {
	allowed := now == allowedAll
	if len(rules) > 0 && rules[0].all() { // allow all, but …
		if !allowed {
			if err := writeAt(fd, "devices.allow", "a"); err != nil {
				return err
			}
		}
		return writeRules(fd, rules[1:])
	}
	if allowed {
		if err := writeAt(fd, "devices.deny", "a"); err != nil {
			return err
		}
		return writeRules(fd, rules)
	}
	if err := writeRules(fd, rules); err != nil {
		return err
	}
	// What was allowed before, and is no more.
	for line := range strings.SplitSeq(now, "\n") {
		old, ok := parseRule(line)
		if ok && !allows(rules, &old) {
			if err := writeAt(fd, "devices.deny", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreRules makes devices.list what it was, after a rule that was refused.
func restoreRules(fd int, was string) error {
	now, err := readString(fd, "devices.list")
	if err != nil {
		return fmt.Errorf("read devices.list: %w", err)
	}
	var rules []deviceRule
	for line := range strings.SplitSeq(was, "\n") {
		if r, ok := parseRule(line); ok {
			rules = append(rules, r)
		}
	}
	return replaceRules(fd, now, rules)
}

// allows says whether the rules allow all that r does: the last rule for each bit of access decides.
func allows(rules []deviceRule, r *deviceRule) bool {
	for bit := byte(1); bit <= accessWrite; bit <<= 1 {
		if r.access&bit == 0 {
			continue
		}
		one, allowed := *r, false
		one.access = bit
		for i := range rules {
			if rules[i].covers(&one) {
				allowed = rules[i].allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
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
		for _, line := range r.lines() {
			if err := writeFD(fds[n], line); err != nil {
				return fmt.Errorf("write %q to %s: %w", line, name, err)
			}
		}
	}
	return nil
}

// lines are a rule as devices.allow takes it: v1's 'a' means all devices whatever the
// numbers, so a rule for both kinds with a number is written as two.
func (r *deviceRule) lines() []string {
	rest := " " + number(r.major) + ":" + number(r.minor) + " " + accessString(r.access)
	if r.kind == 'a' {
		return []string{"b" + rest, "c" + rest}
	}
	return []string{string(r.kind) + rest}
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
