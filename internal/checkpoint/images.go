package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/config"
	"davit/internal/launch"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Images are the two open directories of a checkpoint: one holds the images, the other the log and the statistics. Both may be the same.
type Images struct {
	Path, WorkPath string // absolute paths
	Dir, Work      int    // the descriptors; they are equal if the paths are
}

// Close closes the directories.
func (i *Images) Close() {
	unix.Close(i.Dir)
	if i.Work != i.Dir {
		unix.Close(i.Work)
	}
}

// OpenImages opens the directories. An empty path means "checkpoint" in the working directory, and an empty workPath means path. The
// work directory is made if it is missing; the directory of the images only if create is set. The caller closes the result.
func OpenImages(path, workPath string, create bool) (*Images, error) {
	i := &Images{Path: path, WorkPath: workPath, Dir: -1, Work: -1}
	if i.Path == "" {
		i.Path = "checkpoint"
	}
	var err error
	if i.Path, err = filepath.Abs(i.Path); err != nil {
		return nil, err
	}
	if i.Dir, err = openImageDir("option ImagePath", i.Path, create); err != nil {
		return nil, err
	}
	i.Work = i.Dir
	if i.WorkPath == "" {
		i.WorkPath = i.Path
		return i, nil
	}
	if i.WorkPath, err = filepath.Abs(i.WorkPath); err == nil {
		i.Work, err = openImageDir("option WorkPath", i.WorkPath, true)
	}
	if err != nil {
		unix.Close(i.Dir)
		return nil, err
	}
	return i, nil
}

func openImageDir(flag, path string, create bool) (int, error) {
	if create {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return -1, fmt.Errorf("%s: %w", flag, err)
		}
	}
	fd, err := launch.Named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, fmt.Errorf("%s: %w", flag, err)
	}
	return fd, nil
}

// Reopen opens the directories again in the mount namespace of the calling thread. CRIU mounts something in the work directory, and the
// kernel allows that only for a directory of CRIU's own mount namespace.
func (i *Images) Reopen() error {
	dir, err := openAgain("option ImagePath", i.Path, i.Dir)
	if err != nil {
		return err
	}
	work := dir
	if i.Work != i.Dir {
		if work, err = openAgain("option WorkPath", i.WorkPath, i.Work); err != nil {
			unix.Close(dir)
			return err
		}
	}
	i.Close()
	i.Dir, i.Work = dir, work
	return nil
}

func openAgain(flag, path string, old int) (int, error) {
	fd, err := openImageDir(flag, path, false)
	if err != nil {
		return -1, err
	}
	var a, b unix.Stat_t
	if unix.Fstat(fd, &a) == nil && unix.Fstat(old, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino {
		return fd, nil
	}
	unix.Close(fd)
	return -1, fmt.Errorf("%s: %s is another directory by now", flag, path)
}

// mappedRoot returns the host's ids for 0 in the container's user namespace.
func mappedRoot(s *specs.Spec) (uid, gid int, mapped bool) {
	if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		return 0, 0, false
	}
	uid, gid = config.HostID(s.Linux.UIDMappings, 0), config.HostID(s.Linux.GIDMappings, 0)
	return uid, gid, uid > 0
}

// Give lets the container's root read the images, and nobody else. In the user namespace CRIU reads some of them
// before it has become that root, when it has davit's ids and no privileges: that is what the group is for.
func (i *Images) Give(s *specs.Spec) error {
	uid, _, mapped := mappedRoot(s)
	if !mapped {
		return nil
	}
	gid := os.Getegid()
	dir, err := unix.Openat(i.Dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", i.Path, err)
	}
	f := os.NewFile(uintptr(dir), i.Path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".img") {
			continue
		}
		if err := giveFile(i.Dir, name, uid, gid); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(i.Path, name), err)
		}
	}
	if err := unix.Fchown(i.Dir, uid, gid); err != nil {
		return fmt.Errorf("chown %s: %w", i.Path, err)
	}
	if err := unix.Fchmod(i.Dir, 0o750); err != nil {
		return fmt.Errorf("chmod %s: %w", i.Path, err)
	}
	return nil
}

// giveFile changes the owner of a regular file, and removes all permissions of others.
func giveFile(dir int, name string, uid, gid int) error {
	fd, err := sys.Retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return errors.New("not a regular file with one name")
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return err
	}
	return unix.Fchmod(fd, 0o640)
}
