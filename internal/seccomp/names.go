package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Return values of a filter (linux/seccomp.h), which are libseccomp's
// SCMP_ACT_* too. The low 16 bits of retErrno and retTrace carry data.
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	retActionMask = 0xffff0000
)

// Flags of seccomp(2)'s SECCOMP_SET_MODE_FILTER (linux/seccomp.h), as in
// [Filter.Flags], where FlagTSync never is.
const (
	FlagTSync            = 1 << 0
	FlagLog              = 1 << 1
	FlagSpecAllow        = 1 << 2
	FlagNewListener      = 1 << 3
	FlagWaitKillableRecv = 1 << 5
)

type named struct {
	name  string
	value uint32
}

// actions, operators, flags and arches are functions returning composite
// literals, not package variables, so that they cost nothing at start-up.

func actions() []named {
	return []named{
		{string(specs.ActAllow), retAllow},
		{string(specs.ActErrno), retErrno},
		{string(specs.ActKill), retKillThread},
		{string(specs.ActKillProcess), retKillProcess},
		{string(specs.ActKillThread), retKillThread},
		{string(specs.ActLog), retLog},
		{string(specs.ActNotify), retNotify},
		{string(specs.ActTrace), retTrace},
		{string(specs.ActTrap), retTrap},
	}
}

// operators has the values of libseccomp's enum scmp_compare.
func operators() []named {
	return []named{
		{string(specs.OpNotEqual), 1},
		{string(specs.OpLessThan), 2},
		{string(specs.OpLessEqual), 3},
		{string(specs.OpEqualTo), 4},
		{string(specs.OpGreaterEqual), 5},
		{string(specs.OpGreaterThan), 6},
		{string(specs.OpMaskedEqual), 7},
	}
}

func flags() []named {
	return []named{
		{"SECCOMP_FILTER_FLAG_TSYNC", FlagTSync},
		{string(specs.LinuxSeccompFlagLog), FlagLog},
		{string(specs.LinuxSeccompFlagSpecAllow), FlagSpecAllow},
		{string(specs.LinuxSeccompFlagWaitKillableRecv), FlagWaitKillableRecv},
	}
}

// Architectures of the machines that davit is built for: the values of libseccomp's SCMP_ARCH_*.
// They are the kernel's AUDIT_ARCH_* (linux/audit.h: the ELF machine, bit 31 for 64 bits, bit 30
// for little endian) but for x32, which the kernel reports as x86_64 with bit 30 of the number set.
const (
	archX86         = 0x40000003
	archX8664       = 0xc000003e
	archX32         = 0x4000003e
	archARM         = 0x40000028
	archAARCH64     = 0xc00000b7
	archRISCV64     = 0xc00000f3
	archPPC64LE     = 0xc0000015
	archS390        = 0x00000016
	archS390X       = 0x80000016
	archLOONGARCH64 = 0xc0000102

	x32Bit = 0x40000000
)

// foreign marks an architecture of a machine that davit is not built for.
const foreign = 0

// arches has the architectures of runtime-spec 1.3.0.
func arches() []named {
	return []named{
		{"SCMP_ARCH_X86", archX86},
		{"SCMP_ARCH_X86_64", archX8664},
		{"SCMP_ARCH_X32", archX32},
		{"SCMP_ARCH_ARM", archARM},
		{"SCMP_ARCH_AARCH64", archAARCH64},
		{"SCMP_ARCH_MIPS", foreign},
		{"SCMP_ARCH_MIPS64", foreign},
		{"SCMP_ARCH_MIPS64N32", foreign},
		{"SCMP_ARCH_MIPSEL", foreign},
		{"SCMP_ARCH_MIPSEL64", foreign},
		{"SCMP_ARCH_MIPSEL64N32", foreign},
		{"SCMP_ARCH_PPC", foreign},
		{"SCMP_ARCH_PPC64", foreign},
		{"SCMP_ARCH_PPC64LE", archPPC64LE},
		{"SCMP_ARCH_S390", archS390},
		{"SCMP_ARCH_S390X", archS390X},
		{"SCMP_ARCH_PARISC", foreign},
		{"SCMP_ARCH_PARISC64", foreign},
		{"SCMP_ARCH_RISCV64", archRISCV64},
		{"SCMP_ARCH_LOONGARCH64", archLOONGARCH64},
		{"SCMP_ARCH_M68K", foreign},
		{"SCMP_ARCH_SH", foreign},
		{"SCMP_ARCH_SHEB", foreign},
	}
}

func lookup(list []named, name string) (uint32, bool) {
	for _, n := range list {
		if n.name == name {
			return n.value, true
		}
	}
	return 0, false
}

func names(list []named) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.name
	}
	return out
}
