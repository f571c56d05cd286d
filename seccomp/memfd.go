package seccomp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sealedProgram returns a descriptor of an executable memory file that holds
// image and can never change.
func sealedProgram(name, image string) (int, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING | unix.MFD_EXEC
	fd, err := unix.MemfdCreate(name, flags)
	if err == unix.EINVAL { // MFD_EXEC came with Linux 6.3
		fd, err = unix.MemfdCreate(name, flags&^unix.MFD_EXEC)
	}
	if err != nil {
		// Under vm.memfd_noexec=2 this is EACCES.
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	if err = writeAll(fd, unsafe.Slice(unsafe.StringData(image), len(image))); err == nil {
		const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("fill memfd %s: %w", name, err)
	}
	return fd, nil
}

// scratch returns a descriptor of an empty memory file.
func scratch(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // MFD_NOEXEC_SEAL came with Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	return fd, nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// readAll returns the content of the regular file fd from offset 0.
func readAll(fd int, size int64) ([]byte, error) {
	b := make([]byte, size)
	for done := 0; done < len(b); {
		n, err := unix.Pread(fd, b[done:], int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return b[:done], nil
		}
		done += n
	}
	return b, nil
}
