package config

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var seccompActions = [...]string{
	"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",
	"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
}

var seccompOperators = [...]string{
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
}

var seccompFlags = [...]string{
	"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
}

var seccompArchitectures = [...]string{
	"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
	"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
}

// seccomp checks linux.seccomp, except the names of system calls: the libseccomp that compiles the
// filter decides which ones exist, and unknown ones are left out.
func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	notify := s.DefaultAction == specs.ActNotify
	if c.choice("defaultAction", "action", string(s.DefaultAction), seccompActions[:]) && notify {
		c.problem("defaultAction", "SCMP_ACT_NOTIFY would stop the container's own start, which nobody could let pass")
	}
	c.errnoRet("defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet)
	for i, a := range s.Architectures {
		c.choice(element("architectures", i), "architecture", string(a), seccompArchitectures[:])
	}
	for i := range s.Syscalls {
		m := c.mark()
		c.seccompRule(&s.Syscalls[i])
		notify = notify || s.Syscalls[i].Action == specs.ActNotify
		c.at("syscalls", i, m)
	}
	for i, f := range s.Flags {
		c.choice(element("flags", i), "flag", string(f), seccompFlags[:])
	}
	if i := slices.Index(s.Flags, specs.LinuxSeccompFlagWaitKillableRecv); i >= 0 && !notify {
		c.problem(element("flags", i), "%s needs a rule with SCMP_ACT_NOTIFY", s.Flags[i])
	}
	c.text("listenerPath", s.ListenerPath)
	if notify && s.ListenerPath == "" {
		c.problem("listenerPath", "is missing: SCMP_ACT_NOTIFY needs the socket of whoever decides")
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.problem("listenerMetadata", "is given without a listenerPath")
	}
}

func (c *checker) seccompRule(r *specs.LinuxSyscall) {
	if len(r.Names) == 0 {
		c.problem("names", "is missing: at least one system call is needed")
	}
	for i, name := range r.Names {
		if name == "" {
			c.problem(element("names", i), "is empty")
		}
	}
	c.choice("action", "action", string(r.Action), seccompActions[:])
	c.errnoRet("errnoRet", r.Action, r.ErrnoRet)
	for i := range r.Args {
		a, m := &r.Args[i], c.mark()
		if a.Index > 5 {
			c.problem("index", "%d is out of range: system calls have arguments 0 to 5", a.Index)
		}
		c.choice("op", "operator", string(a.Op), seccompOperators[:])
		c.at("args", i, m)
	}
}

// errnoRet checks the number that belongs to an action. The spec allows one for two actions only.
func (c *checker) errnoRet(field string, action specs.LinuxSeccompAction, ret *uint) {
	if ret == nil {
		return
	}
	most := uint(0)
	switch action {
	case specs.ActErrno:
		most = 4094 // libseccomp takes what is below MAX_ERRNO
	case specs.ActTrace:
		most = 65535 // SECCOMP_RET_DATA
	default:
		c.problem(field, "%d is given, but only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number, not %s", *ret, action)
		return
	}
	if *ret > most {
		c.problem(field, "%d is out of range for %s: from 0 to %d", *ret, action, most)
	}
}
