package seccomp

import "slices"

// machine is what seccomp has to know about a machine. Each GOARCH has a file of its own with its
// thisMachine and its compiler, and states every field: without them it does not build.
type machine struct {
	native uint32   // the architecture of its own programs, a SCMP_ARCH_*
	others []uint32 // what its kernels run as well
	// unknownIsZero: a call whose number is above the kernel's table reaches a filter as number 0.
	// s390 kernels keep such a number in a register and report the 0 of the instruction svc 0
	// (Linux, arch/s390/kernel/syscall.c).
	unknownIsZero bool
}

// has reports whether a system call on this machine can have the architecture arch.
func (m machine) has(arch uint32) bool {
	return arch == m.native || slices.Contains(m.others, arch)
}
