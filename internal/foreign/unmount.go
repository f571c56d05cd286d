package foreign

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Unmount removes the mounts below the state directory that the runtime left there. Otherwise
// removing the directory would remove the content of these mounts. It begins with the latest mount.
func (c *container) Unmount() error {
	dir, err := filepath.EvalSymlinks(c.path)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", c.path, err)
	}
	mounts, err := sys.Mounts("self")
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if !strings.HasPrefix(m.Point, dir+"/") {
			continue
		}
		if err := unix.Unmount(m.Point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			return fmt.Errorf("umount %s: %w", m.Point, err)
		}
	}
	return nil
}
