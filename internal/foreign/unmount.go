package foreign

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/store"
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
	data, err := store.ReadWhole("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var below []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 { // proc_pid_mountinfo(5)
			if at := sys.UnescapeMount(fields[4]); strings.HasPrefix(at, dir+"/") {
				below = append(below, at)
			}
		}
	}
	for _, at := range slices.Backward(below) {
		if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			return fmt.Errorf("umount %s: %w", at, err)
		}
	}
	return nil
}
