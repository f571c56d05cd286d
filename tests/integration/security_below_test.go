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

// With CAP_SYS_ADMIN, a process in a container can unmount its root. If it then joins the mount
// namespace again, it gets to what lies below. That must be nothing of the host. On kernels where
// the stage enters a namespace of the root filesystem, it must be nothing that can be written.
func TestBelowTheRoot(t *testing.T) {
	enters := host.Host().Have(host.TreeNamespace) == nil
	for _, way := range []string{"--no-pivot=false", "--no-pivot"} {
		if way == "--no-pivot" && !enters { // this leaves the host below the root
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

// lookBelow moves its thread below the root of a mount namespace, and looks there. hosts is a
// directory of the host. empty says that nothing can be made there.
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
	if _, err := os.Stat("/etc/passwd"); err != nil { // the container's file
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
	if !empty { // the initramfs is there, as after any pivot_root(2)
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
