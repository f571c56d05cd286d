package launch

import (
	"errors"
	"fmt"
	"io/fs"

	"davit/internal/fault"
	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"
)

// A container without a mount namespace of its own has its mounts where others
// have theirs. They are all below its root directory, and go with it.

// RememberMount writes the id of the mount that holds the root directory to the state, before anything is mounted over it.
func RememberMount(s *store.State, config *specs.Spec) error {
	return inMountNamespace(config, func() (err error) {
		s.RootMount, err = mountID(s.Rootfs)
		return err
	})
}

// Unmount removes the mounts that cover the mount of RememberMount. It is not an error if there are none.
func Unmount(s *store.State, config *specs.Spec) error {
	err := inMountNamespace(config, func() error {
		id, err := mountID(s.Rootfs)
		if err != nil || id == s.RootMount {
			return err
		}
		if err := unix.Unmount(s.Rootfs, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("umount2 %s: %w", s.Rootfs, err)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // the directory, or the namespace: with them the mounts are gone
		return nil
	}
	return err
}

func mountID(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fault.In("root.path", fmt.Errorf("statx %s: %w", path, err))
	}
	return st.Mnt_id, nil
}

// inMountNamespace calls f in the mount namespace that the config joins, on a thread that ends afterwards. If the config joins none, it
// just calls f.
func inMountNamespace(config *specs.Spec, f func() error) error {
	for i, n := range config.Linux.Namespaces {
		if n.Type != specs.MountNamespace || n.Path == "" {
			continue
		}
		fd, err := OpenNamespace(n.Path, unix.CLONE_NEWNS)
		if err != nil {
			return fault.In(fmt.Sprintf("linux.namespaces[%d].path", i), err)
		}
		defer unix.Close(fd)
		return sys.OnThread(func() error { return enterAnd(fd, f) })
	}
	return f()
}

func enterAnd(mountNamespace int, f func() error) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare CLONE_FS: %w", err)
	}
	if err := unix.Setns(mountNamespace, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns to the mount namespace: %w", err)
	}
	return f()
}
