package foreign

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Unmount removes the mounts below the state directory, which the runtime left: otherwise what is removed with the directory
// would be what is mounted there. The latest goes first.
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
