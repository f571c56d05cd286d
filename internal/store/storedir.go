package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"davit/internal/fault"
	"davit/internal/host"

	"golang.org/x/sys/unix"
)

// What lies in the state directory decides what davit runs: the hooks of a stored config.json run as davit's
// caller. So nobody but root and the caller may have written there. Every verb checks that before it reads
// anything: the parents from / down, so that nobody else can lead the name elsewhere, then the directory and
// the container's directory in it, by their descriptors.

// maxLinks is how many symbolic links in a path the kernel follows (path_resolution(7)).
const maxLinks = 40

// openRoot opens the state directory (O_PATH). It fails with ENOENT if there is none yet, and with an
// *untrusted error if another user than root and the caller could have written there.
func (s Store) openRoot() (int, error) {
	path, err := s.resolveRoot()
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open the state directory %s: %w", path, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = trustDir("state directory "+path, path, &st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// CheckRoot is openRoot for what uses the directory by its path afterwards. A directory that does not
// exist is fine.
func (s Store) CheckRoot() error {
	fd, err := s.openRoot()
	if err == nil {
		unix.Close(fd)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// resolveRoot returns the state directory's path without symbolic links.
func (s Store) resolveRoot() (string, error) {
	path, err := resolve(s.Root, func(at string, st *unix.Stat_t) error {
		if err := checkOwner(at, st, true); err != nil {
			return s.untrustedParent(err)
		}
		return nil
	})
	if errors.Is(err, unix.ELOOP) {
		return "", fmt.Errorf("state directory %s: %w", s.Root, err)
	}
	return path, err
}

// resolve returns an absolute path without symbolic links. It calls check with each link, and each directory that the path leads
// through, before it looks up the next name: what nobody else may change cannot change between this check and the use of the path. It
// does not check what the path leads to, nor /: who owns that owns davit, too.
func resolve(path string, check func(at string, st *unix.Stat_t) error) (string, error) {
	path = filepath.Clean(path)
	for links, done := 0, 1; ; {
		end := strings.IndexByte(path[done:], '/')
		if end < 0 {
			end = len(path) - done
		}
		at := path[:done+end]
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			return "", fmt.Errorf("stat %s: %w", at, err)
		}
		link := st.Mode&unix.S_IFMT == unix.S_IFLNK
		if !link && done+end == len(path) {
			return path, nil
		}
		if err := check(at, &st); err != nil {
			return "", err
		}
		if !link {
			done += end + 1
			continue
		}
		if links++; links > maxLinks {
			return "", unix.ELOOP
		}
		target, err := os.Readlink(at)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		path, done = filepath.Clean(target+path[done+end:]), 1
	}
}

func (s Store) untrustedParent(why error) error {
	return fault.WithHint(fmt.Errorf("state directory %s: %w, who could put other states in its place: davit would run their hooks as user %d",
		s.Root, why, os.Geteuid()), "give option Root a directory whose parents are yours or root's alone")
}

// trustDir checks a directory that holds states. what is its name for errors.
func trustDir(what, path string, st *unix.Stat_t) error {
	me := os.Geteuid()
	if !trustedOwner(st.Uid, false) {
		return fault.WithHint(fmt.Errorf("%s belongs to user %d: davit would run the hooks of that user's states as user %d", what, st.Uid, me),
			fmt.Sprintf("call davit as user %d, or give option Root a directory of your own", st.Uid))
	}
	if st.Mode&0o022 != 0 {
		return fault.WithHint(fmt.Errorf("%s can be written by others (mode %#o): davit would run the hooks of their states as user %d", what, st.Mode&0o7777, me),
			fmt.Sprintf("if you trust all that is in it: chmod go-w %s", path))
	}
	return nil
}

// trustedOwner says whether uid is root's or the caller's. In a user namespace the directories above the state
// directory often belong to users that are not mapped, the host's root first of all: for parents they count as root.
func trustedOwner(uid uint32, parent bool) bool {
	if uid == 0 || uid == uint32(os.Geteuid()) {
		return true
	}
	if !parent || host.Host().InitialUserNS() {
		return false
	}
	overflow, err := readAt(unix.AT_FDCWD, "/proc/sys/kernel/overflowuid")
	return err == nil && strings.TrimSpace(string(overflow)) == strconv.FormatUint(uint64(uid), 10)
}

// openStateDir opens the directory of a container below root, which openRoot has opened.
func (s Store) openStateDir(root int, id string) (int, error) {
	fd, err := unix.Openat(root, id, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		path := filepath.Join(s.Root, id)
		err = trustDir("the container's directory "+path, path, &st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// emptyDir removes everything in a directory, whatever a container has put there. However deep the tree is, it needs only two
// descriptors, because it moves the directories in a subdirectory up to dir, and removes them in their turn.
func emptyDir(dir int) error {
	moved := 0
	for {
		names, err := namesIn(dir)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			err := unix.Unlinkat(dir, name, 0)
			if err == unix.EISDIR {
				err = flatten(dir, name, &moved)
			}
			if err != nil && err != unix.ENOENT {
				return fmt.Errorf("%q: %w", name, err)
			}
		}
	}
}

// flatten removes the directory name in dir, and moves the directories in it up to dir.
func flatten(dir int, name string, moved *int) error {
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != unix.ENOTEMPTY && err != unix.EEXIST {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := namesIn(fd)
	if err != nil {
		return err
	}
	for _, inner := range names {
		err := unix.Unlinkat(fd, inner, 0)
		for err == unix.EISDIR || err == unix.EEXIST || err == unix.ENOTEMPTY || err == unix.ENOTDIR {
			*moved++ // a name that is taken is passed over
			err = unix.Renameat(fd, inner, dir, ".moved-"+strconv.Itoa(*moved))
		}
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

// namesIn returns the names in a directory.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}

// TrustedPath returns path without symbolic links. It fails if a user other than root and the caller could change what path leads to:
// by a directory or a link on the way, or by the file itself.
func TrustedPath(path string) (string, error) {
	real, err := resolve(path, func(at string, st *unix.Stat_t) error { return checkOwner(at, st, true) })
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Lstat(real, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", real, err)
	}
	return real, checkOwner(real, &st, false)
}

// checkOwner fails for a file, directory or link that another user than root and the caller could change. parent: it is on the way of a
// path. There others may write to a sticky directory: they can rename and remove only what is theirs.
func checkOwner(at string, st *unix.Stat_t, parent bool) error {
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	private := st.Gid == 0 || st.Gid == uint32(os.Getegid()) && st.Gid == uint32(os.Geteuid())
	switch {
	case !trustedOwner(st.Uid, parent) && link:
		return fmt.Errorf("%s is a symbolic link of user %d's", at, st.Uid)
	case !trustedOwner(st.Uid, parent):
		return fmt.Errorf("%s belongs to user %d", at, st.Uid)
	case link || parent && st.Mode&unix.S_ISVTX != 0:
		return nil
	case st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && !private:
		return fmt.Errorf("%s can be written by others (mode %#o)", at, st.Mode&0o7777)
	}
	return nil
}
