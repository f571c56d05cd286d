package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NewTmpfs returns a close-on-exec descriptor of a new tmpfs (tmpfs(5)) whose only mount is in no mount namespace. attrs are MOUNT_ATTR_*;
// mode is that of its root directory in octal, "" for the kernel's default.
func NewTmpfs(attrs int, mode string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	if mode != "" {
		if err := unix.FsconfigSetString(fs, "mode", mode); err != nil {
			return -1, fmt.Errorf("fsconfig tmpfs mode=%s: %w", mode, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig tmpfs: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return mount, nil
}

// CloneMount returns a close-on-exec descriptor of a detached copy of the mount on path, which begins at path (open_tree(2)). path is
// below the directory dir.
func CloneMount(dir int, path string) (int, error) {
	fd, err := unix.OpenTree(dir, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open_tree %s: %w", path, err)
	}
	return fd, nil
}

// OwnMounts calls f on a thread of its own (see OnThread) in a mount namespace of its own. Mounts
// that the host makes and removes are visible there, but the host sees no mount that f makes.
// Processes that f starts keep the namespace.
func OwnMounts(f func() error) error {
	return OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare CLONE_NEWNS: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("mount / as slave: %w", err)
		}
		return f()
	})
}
