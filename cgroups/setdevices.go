package cgroups

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

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

func devicesOf(r *specs.LinuxResources) []specs.LinuxDeviceCgroup {
	if r == nil {
		return nil
	}
	return r.Devices
}

// setDevices2 attaches the program of the rules, in the place of davit's former one in one step if
// there is one. Programs of others (systemd's) stay: the kernel asks all of them.
func (m *Manager) setDevices2(rules []deviceRule, mayHaveOld bool) error {
	dir, err := m.dir2()
	if err != nil {
		return err
	}
	old := -1
	if mayHaveOld {
		if old, err = findProgram(dir); err != nil {
			return err
		}
		if old >= 0 {
			defer unix.Close(old)
		}
	} else if len(rules) == 1 && rules[0].all() {
		return nil // everything is allowed anyway
	}
	prog, err := loadProgram(assemble(rules), progName)
	if err != nil {
		return err
	}
	defer unix.Close(prog)
	return attachProgram(dir, prog, old)
}
