package launch

import (
	"errors"
	"fmt"
	"strings"

	"davit/internal/config"
	"davit/internal/plan"
	"davit/internal/sys"
	"davit/rootfs"

	"golang.org/x/sys/unix"
)

// OpenInstance makes a new procfs, sysfs or mqueue for a joined namespace, and returns it as a detached mount. If joined is -1, the filesystem
// is for davit's own namespace. If the kernel refuses that, for example because the host's procfs is masked, OpenInstance
// returns a copy of the host's mount. The caller closes it.
func OpenInstance(d *plan.Descriptor, joined int) (int, error) {
	if d.Namespace == plan.NoFD {
		fd, err := newInstance(d, -1)
		if err != nil {
			fd, err = OpenTree(&plan.Descriptor{Kind: plan.TreeRecursive, Path: rootfs.HostPath(d.Path)})
		}
		if err != nil {
			err = OpenFailed(d, err, "")
		}
		return fd, err
	}
	fd, err := inNamespaceOf(d, joined)
	if err != nil {
		hint := "it needs CAP_SYS_ADMIN over the joined " + config.NamespaceName(d.Flags) + " namespace: let the container join the user namespace that owns that, too"
		return -1, OpenFailed(d, fmt.Errorf("%s of the joined %s namespace: %w", d.Path, config.NamespaceName(d.Flags), err), hint)
	}
	return fd, nil
}

// inNamespaceOf makes a filesystem that shows the namespace ns. All of them but procfs show the namespace of the calling thread.
func inNamespaceOf(d *plan.Descriptor, ns int) (int, error) {
	if d.Flags == unix.CLONE_NEWPID {
		return newInstance(d, ns)
	}
	fd := -1
	err := sys.OnThread(func() (err error) {
		if err := unix.Setns(ns, int(d.Flags)); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		fd, err = newInstance(d, -1)
		return err
	})
	return fd, err
}

// newInstance makes the filesystem. pidns is the descriptor of a pid namespace (Linux 6.18), or -1 for the caller's.
func newInstance(d *plan.Descriptor, pidns int) (int, error) {
	fs, err := Named("fsopen", d.Path)(unix.Fsopen(d.Path, unix.FSOPEN_CLOEXEC))
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if pidns >= 0 {
		if err := unix.FsconfigSetFd(fs, "pidns", pidns); errors.Is(err, unix.EINVAL) {
			return -1, errors.New("fsconfig pidns: invalid argument: it needs Linux 6.18")
		} else if err != nil {
			return -1, fmt.Errorf("fsconfig pidns: %w", err)
		}
	}
	for _, option := range d.Options {
		name, value, valued := strings.Cut(option, "=")
		if valued {
			err = unix.FsconfigSetString(fs, name, value)
		} else {
			err = unix.FsconfigSetFlag(fs, name)
		}
		if err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", option, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig %s: %w", d.Path, err)
	}
	return Named("fsmount", d.Path)(unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(d.Set)))
}
