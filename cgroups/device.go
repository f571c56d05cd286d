package cgroups

import (
	"errors"
	"fmt"
	"strconv"

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
			return nil, refuse("devices["+strconv.Itoa(i)+"]", "", "%s", err)
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

func number(n int64) string {
	if n == anyDevice {
		return "*"
	}
	return strconv.FormatInt(n, 10)
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

// checkRules refuses rules that cannot be set where the devices controller is of that version; 0: nowhere.
func checkRules(list []specs.LinuxDeviceCgroup, version int) error {
	var e *Error
	switch version {
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

// setRules restricts devices to what the rules allow, in the directory dir of the devices controller. had are the rules
// before an update, nil if they are not known; mayHaveOld: there may be a program of davit's already.
func setRules(dir, version int, list, had []specs.LinuxDeviceCgroup, mayHaveOld bool) error {
	var err error
	if version == 1 {
		err = setDevices1(dir, list, had)
	} else {
		err = setDevices2(dir, list, mayHaveOld)
	}
	if _, refused := err.(*Error); err == nil || refused {
		return err
	}
	return &Error{Field: resources + "devices", What: "restrict devices", Err: err, Hint: deviceHint(err, version)}
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
