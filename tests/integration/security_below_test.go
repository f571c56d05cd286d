package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"davit/internal/host"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Whoever has CAP_SYS_ADMIN in a container can unmount its root, and by joining the mount namespace anew get to what lies below:
// nothing of the host, and on kernels on which the stage enters a namespace of the root filesystem nothing that can be written.
func TestBelowTheRoot(t *testing.T) {
	enters := host.Host().Have(host.TreeNamespace) == nil
	for _, way := range []string{"--no-pivot=false", "--no-pivot"} {
		if way == "--no-pivot" && !enters { // which leaves the host below the root
			continue
		}
		t.Run(way, func(t *testing.T) {
			b := newBox(t, `process.args=["sleep","1000"]`)
			b.davit("run", "--detach", way, "c1")
			namespace := fmt.Sprintf("/proc/%d/ns/mnt", b.pid())
			if err := sys.OnThread(func() error { return lookBelow(namespace, b.work, enters) }); err != nil {
				t.Error(err)
			}
			b.davit("delete", "--force", "c1")
		})
	}
}

// lookBelow takes its thread below the root of a mount namespace. hosts is a directory of the host.
func lookBelow(namespace, hosts string, empty bool) error {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return err
	}
	if _, err := os.Stat("/etc/passwd"); err != nil { // the container's
		return err
	}
	if err := unix.Unmount("/", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount -l /: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return err
	}
	if _, err := os.Stat(hosts); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the host's %s is below the root: %v", hosts, err)
	}
	if !empty { // the initramfs, as after any pivot_root(2)
		return nil
	}
	if list, err := os.ReadDir("/"); err != nil || len(list) > 0 {
		return fmt.Errorf("below the root are %v, %v", list, err)
	}
	if err := os.Mkdir("/made", 0o700); err == nil {
		return errors.New("below the root a directory can be made")
	}
	return nil
}
