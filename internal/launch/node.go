package launch

import (
	"errors"
	"fmt"
	"strconv"

	"davit/internal/fault"
	"davit/internal/plan"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// openNodes makes the devices of a plan, if it has any. They are on a tmpfs of their own, which is mounted nowhere but in a mount
// namespace that ends with this function; what is left are detached mounts of single nodes.
func openNodes(p *plan.Plan, fds Descriptors) error {
	any := false
	for i := range p.Descriptors {
		any = any || p.Descriptors[i].Kind == plan.Node
	}
	if !any {
		return nil
	}
	return sys.OwnMounts(func() error {
		dir, err := nodeDirectory()
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		for i := range p.Descriptors {
			if d := &p.Descriptors[i]; d.Kind == plan.Node {
				if fds[i], err = makeNode(dir, strconv.Itoa(i), d); err != nil {
					hint := ""
					if errors.Is(err, unix.EPERM) {
						hint = "the cgroup that davit itself is in may forbid to make that device"
					}
					return fault.WithHint(fault.In(d.Field, err), hint)
				}
			}
		}
		return nil
	})
}

// openNode makes a single one.
func openNode(d *plan.Descriptor) (int, error) {
	fds := Descriptors{-1}
	err := openNodes(&plan.Plan{Descriptors: []plan.Descriptor{*d}}, fds)
	return fds[0], err
}

// nodeDirectory mounts a tmpfs in the mount namespace of the calling thread, and returns its directory. open_tree(2)
// copies only what is mounted in the caller's namespace (before Linux 6.15).
func nodeDirectory() (int, error) {
	mount, err := sys.NewTmpfs(unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "0700")
	if err != nil {
		return -1, err
	}
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		unix.Close(mount)
		return -1, fmt.Errorf("move_mount tmpfs: %w", err)
	}
	return mount, nil
}

// makeNode makes a device in a directory, and returns a detached mount of it.
func makeNode(dir int, name string, d *plan.Descriptor) (int, error) {
	n := &d.Node
	device := unix.Mkdev(uint32(n.Rdev>>32), uint32(n.Rdev))
	if err := unix.Mknodat(dir, name, uint32(n.Mode), int(device)); err != nil {
		return -1, fmt.Errorf("mknod %s: %w", d.Path, err)
	}
	// chmod after chown, as the umask was in effect.
	if err := unix.Fchownat(dir, name, n.UID, n.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, fmt.Errorf("chown %s: %w", d.Path, err)
	}
	if err := unix.Fchmodat(dir, name, uint32(n.Mode)&0o7777, 0); err != nil {
		return -1, fmt.Errorf("chmod %s: %w", d.Path, err)
	}
	return sys.CloneMount(dir, name)
}
