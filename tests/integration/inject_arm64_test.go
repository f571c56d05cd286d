package integration

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The registers of a system call: arm64.

// skipCall has the kernel execute no system call for a thread that has stopped at the entry to one.
func skipCall(thread int) error {
	const ntARMSystemCall = 0x404 // linux/elf.h
	number := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number)), Len: 4}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(thread), ntARMSystemCall, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setResult sets what a system call returns to a thread that has stopped at its exit.
func setResult(thread int, errno unix.Errno) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return err
	}
	r.Regs[0] = uint64(-int64(errno))
	return unix.PtraceSetRegs(thread, &r)
}

// archFailures are those that not every architecture has.
var archFailures = []failure{
	{unix.SYS_FSTATAT, "fstatat", []unix.Errno{unix.EIO, unix.ENOMEM}},
}
