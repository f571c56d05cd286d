package integration

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file accesses the registers of a system call on arm64.

// skipCall keeps the kernel from executing the system call at whose entry a thread has stopped.
func skipCall(thread int) error {
	const ntARMSystemCall = 0x404 // from linux/elf.h
	number := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number)), Len: 4}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(thread), ntARMSystemCall, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setResult sets the result of a system call at whose exit a thread has stopped.
func setResult(thread int, errno unix.Errno) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return err
	}
	r.Regs[0] = uint64(-int64(errno))
	return unix.PtraceSetRegs(thread, &r)
}

// archFailures has system calls that not every architecture has.
var archFailures = []failure{
	{unix.SYS_FSTATAT, "fstatat", []unix.Errno{unix.EIO, unix.ENOMEM}},
}
