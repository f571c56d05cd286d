package host

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A probe makes one harmless system call and returns nil if the kernel knows it.
// Calls with side effects are made with arguments that the kernel must refuse
// after it has looked whether it knows the call: then any error but those of
// absent will do.

// absent returns err if it says that the kernel does not know the call, or may not be asked.
func absent(err unix.Errno) error {
	switch err {
	case unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EACCES:
		return err
	}
	return nil
}

func probeOpenat2() error {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func probeOpenTree() error {
	_, _, err := unix.Syscall(unix.SYS_OPEN_TREE, ^uintptr(0), 0, 0)
	return absent(err)
}

func probeMountSetattr() error {
	_, _, err := unix.Syscall6(unix.SYS_MOUNT_SETATTR, ^uintptr(0), 0, 0, 0, 0, 0) // size 0: EINVAL
	return absent(err)
}

func probePidfd() error {
	fd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func probeTimeNamespace() error {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/time", &st)
}

func probeCloseRange() error {
	// The last descriptor there can be: nothing is open there.
	return unix.CloseRange(1<<31-1, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
}

func probeSeccompNotify() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if err != 0 {
		return err
	}
	return nil
}

func probeWaitKillable() error {
	// Without a filter the kernel checks the flags (EINVAL) and then fails with EFAULT.
	const flags = unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	_, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, 0)
	if err == unix.EFAULT {
		return nil
	}
	return err
}

// NoEnter is the environment variable that makes davit go on as on a kernel without TreeNamespace, if it is set: for tests of
// the other order on one kernel.
const NoEnter = "DAVIT_NO_ENTER"

var errSwitchedOff = errors.New(NoEnter + " is set")

// probeTreeNamespace gives open_tree(2) the flag with no path: the kernel says EINVAL if it does not know the flag, and EFAULT if it does.
func probeTreeNamespace() error {
	if os.Getenv(NoEnter) != "" {
		return errSwitchedOff
	}
	const openTreeNamespace = 2 // OPEN_TREE_NAMESPACE of linux/mount.h
	_, _, err := unix.Syscall(unix.SYS_OPEN_TREE, ^uintptr(0), 0, openTreeNamespace)
	if err == unix.EINVAL {
		return err
	}
	return absent(err)
}

// probeLockedTree goes by the version: the fix shows only to a process in a user namespace, with mounts to try it on.
func probeLockedTree() error {
	if err := probeTreeNamespace(); err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	v := parseRelease(u.Release[:])
	if (v == Version{7, 2}) && patchLevel(u.Release[:]) < 11 {
		return unix.EOPNOTSUPP
	}
	return nil
}

// patchLevel is the third number of a release such as 7.2.13+deb14-amd64, 0 without one.
func patchLevel(release []byte) int {
	n, dots := 0, 0
	for _, c := range release {
		switch {
		case c == '.':
			dots++
		case c < '0' || c > '9':
			return n
		case dots == 2:
			n = n*10 + int(c-'0')
		}
	}
	return n
}
