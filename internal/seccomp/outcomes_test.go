package seccomp

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Of returns a filter's possible answers to a call whose arguments are not known.
func TestOutcomes(t *testing.T) {
	rule := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"execve"}, Action: action, Args: args}
	}
	arg := specs.LinuxSeccompArg{Index: 1, Value: 7, Op: specs.OpEqualTo}
	for _, c := range []struct {
		name             string
		config           specs.LinuxSeccomp
		allowed, refused bool
		text             string
		gives            unix.Errno
	}{
		{"all is forbidden", specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, false, true, "SCMP_ACT_ERRNO: operation not permitted", unix.EPERM},
		{"all is allowed", specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, true, false, "SCMP_ACT_ALLOW", 0},
		{"all is logged", specs.LinuxSeccomp{DefaultAction: specs.ActLog}, true, false, "SCMP_ACT_LOG", 0},
		{"all is fatal", specs.LinuxSeccomp{DefaultAction: specs.ActKill}, false, true, "SCMP_ACT_KILL_THREAD", 0},
		{"a tracer decides", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActTrace)}}, false, false, "SCMP_ACT_TRACE 1", unix.ENOSYS},
		{"it is trapped", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActTrap)}}, false, true, "SCMP_ACT_TRAP", 0},
		{"it alone is allowed", specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow)}}, true, false, "SCMP_ACT_ALLOW", 0},
		{"it depends", specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, arg)}}, false, false, "", unix.EPERM},
		{"it depends, and is refused either way", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActKillProcess, arg)}}, false, true, "", unix.EPERM},
	} {
		c.config.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchAARCH64}
		o := Of(string(mustCompile(t, &c.config).Program), unix.SYS_EXECVE)
		if o.Allowed() != c.allowed || o.Refused() != c.refused {
			t.Errorf("%s: allowed %t, refused %t: %v", c.name, o.Allowed(), o.Refused(), o)
		}
		if c.text != "" && o.String() != c.text {
			t.Errorf("%s: %q, not %q", c.name, o, c.text)
		}
		if c.gives != 0 && !o.Gives(c.gives) || o.Gives(unix.EXDEV) {
			t.Errorf("%s: errnos of %v", c.name, o)
		}
	}
}
