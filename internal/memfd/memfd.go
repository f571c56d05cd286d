// Package memfd makes files that exist only in memory (memfd_create(2)). The caller closes the
// descriptors.
package memfd

import (
	"fmt"
	"unsafe"

	"davit/internal/fault"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Program returns a close-on-exec descriptor of an executable file with the contents image, which
// nobody can change.
func Program(name, image string) (int, error) {
	fd, err := create(name, unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EACCES { // the sysctl vm.memfd_noexec is 2
		if fd, other := onTmpfs(name, image); other == nil {
			return fd, nil
		}
		return -1, fault.WithHint(fmt.Errorf("memfd_create %s: %w", name, err), "the sysctl vm.memfd_noexec forbids executable memory files: set it to 0 or 1")
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	if err := sys.WriteAll(fd, unsafe.Slice(unsafe.StringData(image), len(image))); err != nil {
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

// onTmpfs is Program for hosts that forbid executable memfds. The file is on a tmpfs of its own.
// Its only mount belongs to no mount namespace, and becomes read-only once the file is complete, so
// that nobody can change the file or the mount. This needs CAP_SYS_ADMIN in davit's user namespace.
func onTmpfs(name, image string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig tmpfs: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o500)
	if err != nil {
		return -1, fmt.Errorf("openat %s: %w", name, err)
	}
	err = sys.WriteAll(fd, unsafe.Slice(unsafe.StringData(image), len(image)))
	unix.Close(fd) // while it is open for writing, execve(2) refuses it and the mount cannot become read-only
	if err != nil {
		return -1, fmt.Errorf("write %s: %w", name, err)
	}
	if err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return -1, fmt.Errorf("mount_setattr tmpfs: %w", err)
	}
	if fd, err = unix.Openat(mount, name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("openat %s: %w", name, err)
	}
	return fd, nil
}

// Data returns a close-on-exec descriptor of a file with the given content that cannot be executed.
func Data(name string, content []byte) (int, error) {
	fd, err := create(name, unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return -1, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	if err := sys.WriteAll(fd, content); err != nil {
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
