// Package memfd makes files that exist only in memory, memfd_create(2).
package memfd

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program returns a descriptor, close-on-exec, of an executable file that holds image and can never change.
func Program(name, image string) (int, error) {
	fd, err := create(name, unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EACCES {
		return -1, fmt.Errorf("memfd_create %s: %w (the sysctl vm.memfd_noexec forbids executable memory files: set it to 0 or 1)", name, err)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	if err := WriteAll(fd, unsafe.Slice(unsafe.StringData(image), len(image))); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write %s: %w", name, err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seal %s: %w", name, err)
	}
	return fd, nil
}

// Data returns a descriptor, close-on-exec, of a file that holds content and cannot be executed.
func Data(name string, content []byte) (int, error) {
	fd, err := create(name, unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	if err := WriteAll(fd, content); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write %s: %w", name, err)
	}
	return fd, nil
}

func create(name string, flags int) (int, error) {
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC)
	if err == unix.EINVAL { // before Linux 6.3, where every memfd is executable
		flags &^= unix.MFD_EXEC | unix.MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC)
	}
	return fd, err
}

// WriteAll writes all of data to any descriptor, whatever interrupts it.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch err {
		case nil:
			data = data[n:]
		case unix.EINTR:
		case unix.EAGAIN: // a pipe or terminal that davit's caller has made so
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		default:
			return err
		}
	}
	return nil
}
