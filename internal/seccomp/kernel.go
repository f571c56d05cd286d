package seccomp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Actions returns the actions of the spec that this kernel can carry out, for
// davit features.
func Actions() []string {
	var out []string
	for _, a := range actions() {
		if kernelHasAction(a.value) {
			out = append(out, a.name)
		}
	}
	return out
}

// Operators returns the operators of syscalls[].args, all of the spec's.
func Operators() []string { return names(operators()) }

// Archs returns the architectures that are accepted, all of the spec's.
func Archs() []string { return names(arches()) }

// KnownFlags returns the flags that are accepted, all of the spec's.
func KnownFlags() []string { return names(flags()) }

// SupportedFlags returns the known flags that this kernel has.
func SupportedFlags() []string {
	var out []string
	for _, f := range flags() {
		if kernelHasFlag(f.value) {
			out = append(out, f.name)
		}
	}
	return out
}

func kernelHasAction(action uint32) bool {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0,
		uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// kernelHasFlag asks to load no program at all: a known flag gets as far as
// EFAULT (seccomp(2), CAVEATS of SECCOMP_SET_MODE_FILTER).
func kernelHasFlag(flag uint32) bool {
	if flag == FlagWaitKillableRecv {
		flag |= FlagNewListener // without it the kernel refuses the flag
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flag), 0)
	return errno == unix.EFAULT
}
