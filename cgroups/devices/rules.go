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

// deviceRule is a rule of linux.resources.devices in the kernel's terms.
type Rule struct {
	Kind         byte // 'a', 'b', 'c'
	Major, Minor int64
	Access       byte // accessRead | …
	allow        bool
}

const Any = -1 // major or minor: all

// The kernel's bits, the same in v1 and in bpf_cgroup_dev_ctx.
const (
	accessMknod = 1 << iota
	accessRead
	accessWrite
	accessAll = accessMknod | accessRead | accessWrite
)

// deviceRules converts the spec's rules, in their order, and drops those before the last
// one that decides everything. Before the first rule everything is denied.
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
				continue // as before the first rule
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
		r.Kind = 'c' // mknod(1)'s other name of it
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

// all says whether the rule decides every access to every device.
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

// checkRules refuses rules that cannot be set where the devices controller is of that version; 0: nowhere.
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

// setRules restricts devices to what the rules allow, in the directory dir of the devices controller. had are the rules
// before an update, nil if they are not known; mayHaveOld: there may be a program of davit's already.
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
		return "while the cgroup has sub-cgroups, v1's kernel neither changes the default nor forgets what was denied: remove them, or make the container anew"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
	}
	return ""
}

// Texts returns the rules as people read them, in their order: "allow c 1:3 rwm". Before the first, everything is denied; of
// those that fit a device the last counts. Rules that Check refuses give nil.
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
