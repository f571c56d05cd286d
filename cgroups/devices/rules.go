// Package devices restricts the devices that a container may open and make, by
// linux.resources.devices: by an eBPF program on cgroup v2, by the devices controller's lists on
// v1.
package devices

import (
	"errors"
	"fmt"
	"strconv"

	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Rule is a rule of linux.resources.devices in the kernel's terms.
type Rule struct {
	Kind         byte // 'b' block, 'c' character, 'a' both
	Major, Minor int64
	Access       byte // bits: accessMknod, accessRead, accessWrite
	allow        bool
}

const Any = -1 // as major or minor number: all of them

// The bits of Rule.Access. The kernel uses the same ones for v1 and in struct bpf_cgroup_dev_ctx.
const (
	accessMknod = 1 << iota
	accessRead
	accessWrite
	accessAll = accessMknod | accessRead | accessWrite
)

// rulesOf converts the spec's rules, in their order. It drops those before the last rule that
// decides everything. Before the first rule everything is denied.
func rulesOf(list []specs.LinuxDeviceCgroup) ([]Rule, *fault.Error) {
	rules := make([]Rule, 0, len(list))
	for i := range list {
		r, err := ruleOf(&list[i])
		if err != "" {
			return nil, failure.Refuse("devices["+strconv.Itoa(i)+"]", "", "%s", err)
		}
		if r.all() {
			rules = rules[:0]
			if !r.allow {
				continue // everything is denied before the first rule anyway
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func ruleOf(d *specs.LinuxDeviceCgroup) (Rule, string) {
	r := Rule{Kind: 'a', Major: Any, Minor: Any, allow: d.Allow}
	switch d.Type {
	case "", "a":
	case "b", "c":
		r.Kind = d.Type[0]
	case "u":
		r.Kind = 'c' // mknod(1) knows u as another name of c
	default:
		return r, fmt.Sprintf("type %q is not a, b or c", d.Type)
	}
	if d.Major != nil {
		r.Major = *d.Major
	}
	if d.Minor != nil {
		r.Minor = *d.Minor
	}
	if r.Major < -1 || r.Major > 0xfff || r.Minor < -1 || r.Minor > 0xfffff {
		return r, fmt.Sprintf("%d:%d is outside the kernel's device numbers (12 and 20 bits)", r.Major, r.Minor)
	}
	for _, c := range d.Access {
		switch c {
		case 'r':
			r.Access |= accessRead
		case 'w':
			r.Access |= accessWrite
		case 'm':
			r.Access |= accessMknod
		default:
			return r, fmt.Sprintf("access %q is not made of r, w and m", d.Access)
		}
	}
	if d.Access == "" {
		r.Access = accessAll
	}
	return r, ""
}

// all reports whether the rule decides every access to every device.
func (r *Rule) all() bool {
	return r.Kind == 'a' && r.Major == Any && r.Minor == Any && r.Access == accessAll
}

func number(n int64) string {
	if n == Any {
		return "*"
	}
	return strconv.FormatInt(n, 10)
}

func AccessString(a byte) string {
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

// Check refuses rules that [Set] could not set. version is that of the hierarchy that controls
// devices, 0 if none does. The error is a *fault.Error that names the rule.
func Check(list []specs.LinuxDeviceCgroup, version int) error {
	var e *fault.Error
	switch version {
	case 0:
		e = failure.Refuse("devices", "mount the devices hierarchy, or cgroup v2", "no hierarchy of this host can control devices")
	case 1:
		_, e = ListOf(list)
	default:
		_, e = rulesOf(list)
	}
	if e != nil {
		return e
	}
	return nil
}

// Set restricts the cgroup to what the rules allow. dir is its open directory in the hierarchy that
// controls devices, version that hierarchy's version. had are the rules before an update, nil if
// they are not known. mayHaveOld says that the cgroup may have a program of davit's already, which
// is then replaced.
func Set(dir, version int, list, had []specs.LinuxDeviceCgroup, mayHaveOld bool) error {
	var err error
	if version == 1 {
		err = set1(dir, list, had)
	} else {
		err = set2(dir, list, mayHaveOld)
	}
	if _, refused := err.(*fault.Error); err == nil || refused {
		return err
	}
	return &fault.Error{Field: failure.Resources + "devices", Text: "restrict devices", Err: err, Hint: deviceHint(err, version)}
}

func deviceHint(err error, version int) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "a parent cgroup may forbid the device, or forbid programs below it; v2 takes CAP_BPF and CAP_NET_ADMIN"
	case errors.Is(err, unix.EINVAL) && version == 1:
		return "while there are sub-cgroups, cgroup v1 cannot change the default or forget what was denied: remove them, or create the container again"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
	}
	return ""
}

// Texts returns the rules as people read them, in their order: "allow c 1:3 rwm". Before the first
// one everything is denied; of the rules that match a device the last one counts. It returns nil
// for rules that [Check] refuses.
func Texts(list []specs.LinuxDeviceCgroup) []string {
	rules, err := rulesOf(list)
	if err != nil {
		return nil
	}
	texts := make([]string, len(rules))
	for i := range rules {
		texts[i] = rules[i].text()
	}
	return texts
}
