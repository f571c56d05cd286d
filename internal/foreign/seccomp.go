package foreign

import (
	"strings"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runc stores the seccomp profile with numbers of its own instead of the spec's names (types Action
// and Operator in its package libcontainer/configs; libcontainer/seccomp for the architectures).

var runcActions = [...]specs.LinuxSeccompAction{1: specs.ActKill, specs.ActErrno, specs.ActTrap, specs.ActAllow, specs.ActTrace, specs.ActLog, specs.ActNotify,
	specs.ActKillThread, specs.ActKillProcess}

var runcOperators = [...]specs.LinuxSeccompOperator{1: specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual,
	specs.OpMaskedEqual}

// architecture returns the spec's name for an architecture in runc's state, "" for an unknown one.
func architecture(name string) specs.Arch {
	switch name {
	case "amd64":
		return specs.ArchX86_64
	case "arm64":
		return specs.ArchAARCH64
	case "loong64", "loongarch64":
		return specs.ArchLOONGARCH64
	case "x86", "x32", "arm", "mips", "mips64", "mips64n32", "mipsel", "mipsel64", "mipsel64n32", "ppc", "ppc64", "ppc64le", "riscv64", "s390", "s390x":
		return specs.Arch("SCMP_ARCH_" + strings.ToUpper(name))
	}
	return ""
}

func (k *runcConfig) readSeccomp(d *jsonx.Decoder) *specs.LinuxSeccomp {
	if d.Null() {
		return nil
	}
	s := &specs.LinuxSeccomp{}
	object(d, func() {
		switch d.Key() {
		case "default_action":
			s.DefaultAction = k.action(d)
		case "default_errno_ret":
			s.DefaultErrnoRet = number(d)
		case "architectures":
			for _, name := range d.Strings() {
				arch := architecture(name)
				if arch == "" {
					k.refuse("seccomp.architectures: %q is no architecture of runc's", name)
				}
				s.Architectures = append(s.Architectures, arch)
			}
		case "flags":
			for _, flag := range d.Strings() {
				s.Flags = append(s.Flags, specs.LinuxSeccompFlag(flag))
			}
		case "listener_path":
			s.ListenerPath = d.String()
		case "listener_metadata":
			s.ListenerMetadata = d.String()
		case "syscalls":
			elements(d, func() { s.Syscalls = append(s.Syscalls, k.rule(d)) })
		default: // if the rule were left out, the filter would have a hole
			k.refuse("seccomp.%s: not known in %s", d.Key(), runcVersions)
			d.Skip()
		}
	})
	return s
}

func (k *runcConfig) rule(d *jsonx.Decoder) (s specs.LinuxSyscall) {
	object(d, func() {
		switch d.Key() {
		case "name":
			s.Names = []string{d.String()}
		case "action":
			s.Action = k.action(d)
		case "errnoRet":
			s.ErrnoRet = number(d)
		case "args":
			elements(d, func() { s.Args = append(s.Args, k.argument(d)) })
		default:
			k.refuse("seccomp.syscalls: %s: not known in %s", d.Key(), runcVersions)
			d.Skip()
		}
	})
	return s
}

func (k *runcConfig) argument(d *jsonx.Decoder) (a specs.LinuxSeccompArg) {
	object(d, func() {
		switch d.Key() {
		case "index":
			a.Index = uint(d.Uint(32))
		case "value":
			a.Value = d.Uint(64)
		case "value_two":
			a.ValueTwo = d.Uint(64)
		case "op":
			n := d.Int(32)
			if n < 1 || int(n) >= len(runcOperators) {
				k.refuse("seccomp.syscalls.args: op %d is no operator of runc's", n)
				return
			}
			a.Op = runcOperators[n]
		default:
			k.refuse("seccomp.syscalls.args: %s: not known in %s", d.Key(), runcVersions)
			d.Skip()
		}
	})
	return a
}

func (k *runcConfig) action(d *jsonx.Decoder) specs.LinuxSeccompAction {
	n := d.Int(32)
	if n < 1 || int(n) >= len(runcActions) {
		k.refuse("seccomp: action %d is none of runc's", n)
		return ""
	}
	return runcActions[n]
}

func number(d *jsonx.Decoder) *uint {
	if d.Null() {
		return nil
	}
	n := uint(d.Uint(32))
	return &n
}
