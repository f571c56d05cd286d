package integration

import "golang.org/x/sys/unix"

// This file accesses the registers of a system call on amd64.

// skipCall keeps the kernel from executing the system call at whose entry a thread has stopped.
func skipCall(thread int) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return err
	}
	r.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(thread, &r)
}

// setResult sets the result of a system call at whose exit a thread has stopped.
func setResult(thread int, errno unix.Errno) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return err
	}
	r.Rax = uint64(-int64(errno))
	return unix.PtraceSetRegs(thread, &r)
}

// archFailures has system calls that not every architecture has.
var archFailures = []failure{
	{unix.SYS_POLL, "poll", []unix.Errno{unix.EINTR, unix.ENOMEM}},
	{unix.SYS_NEWFSTATAT, "newfstatat", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_MKDIR, "mkdir", []unix.Errno{unix.EIO, unix.ENOSPC}},
	{unix.SYS_RMDIR, "rmdir", []unix.Errno{unix.EIO, unix.EBUSY}},
	{unix.SYS_READLINK, "readlink", []unix.Errno{unix.EIO, unix.ENOMEM}},
	{unix.SYS_ACCESS, "access", []unix.Errno{unix.EIO, unix.ENOMEM}},
}
