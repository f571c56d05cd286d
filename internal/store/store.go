// Package store keeps containers: a directory for each, with its state (davit.json), its config and its lock, below a root that
// only the caller and root may write to. It starts and ends nothing.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"davit/internal/compile"
	"davit/internal/fault"
	"davit/internal/log"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"
)

// Store is the directory that holds the containers' states.
type Store struct {
	Root   string // absolute
	Sticky bool   // of a root directory that MakeDir makes; see keepRoot
	Log    log.Logger
	// TakeOver reads the state of a container that maker made, whose directory is open and lies at path. nil refuses it.
	TakeOver func(dir int, path, id, maker string) (*State, Taken, error)
}

// CheckID refuses names that could not be a directory, or would be something else.
func CheckID(id string) error {
	if id == "" {
		return errors.New("container id cannot be empty")
	}
	for _, r := range []byte(id) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '+', r == '-', r == '.':
		default:
			return fmt.Errorf("invalid id format: %q: only letters, digits and _ + - . are allowed", id)
		}
	}
	if id == "." || id == ".." || id[0] == '.' {
		return fmt.Errorf("invalid id format: %q: it cannot begin with a dot", id)
	}
	if len(id) > 255 {
		return fmt.Errorf("invalid id format: %d bytes long, at most 255 are allowed", len(id))
	}
	return nil
}

// MakeDir claims an id by making its directory, and takes its lock.
func (s Store) MakeDir(id string) (int, error) {
	path := filepath.Join(s.Root, id)
	root, err := s.openRoot()
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(s.Root, 0o700); err != nil {
			return -1, hintRoot(fmt.Errorf("make the state directory: %w", err))
		}
		if root, err = s.openRoot(); err == nil {
			s.keepRoot(root)
		}
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	err = unix.Mkdirat(root, id, 0o700)
	if errors.Is(err, unix.EEXIST) {
		if err := s.foreign(id); err != nil {
			return -1, fmt.Errorf("container with id %s %w: %w", id, ErrExists, err)
		}
		return -1, s.exists(id)
	}
	if err != nil {
		return -1, hintRoot(fmt.Errorf("mkdir %s: %w", path, err))
	}
	fd, err := s.openStateDir(root, id)
	if err == nil {
		if err = flock(fd, unix.LOCK_EX); err == nil {
			return fd, nil
		}
		unix.Close(fd)
		err = fmt.Errorf("lock: %w", err)
	}
	unix.Unlinkat(root, id, unix.AT_REMOVEDIR)
	return -1, fmt.Errorf("%s: %w", path, err)
}

// hintRoot adds, for a user who may not use the state directory, where a user's own is.
func hintRoot(err error) error {
	if !errors.Is(err, unix.EACCES) || os.Geteuid() == 0 {
		return err
	}
	return fault.WithHint(err, fmt.Sprintf("without root the states are below $XDG_RUNTIME_DIR, which a login sets: export XDG_RUNTIME_DIR=/run/user/%d, or give option Root a directory of your own", os.Getuid()))
}

// exists is the error of an id that is taken, with what would free it.
func (s Store) exists(id string) error {
	err := fmt.Errorf("container with id %s %w", id, ErrExists)
	c, failed := s.Open(id)
	if failed != nil {
		return fault.WithHint(err, fmt.Sprintf("`%s` removes what is left of it", s.command("delete --force", id)))
	}
	defer c.Close()
	switch status := c.Status(); {
	case c.Broken != nil:
	case status == specs.StateStopped:
		return fault.WithHint(err, fmt.Sprintf("it has stopped: `%s` removes it", s.command("delete", id)))
	default:
		return fault.WithHint(fmt.Errorf("%w, and is %s", err, status), fmt.Sprintf("take another id; or end and remove it: `%s`", s.command("delete --force", id)))
	}
	return fault.WithHint(err, fmt.Sprintf("`%s` removes what is left of it", s.command("delete --force", id)))
}

// command is the command line for a verb on a container of this store.
func (s Store) command(verb, id string) string {
	if s.Root == "/run/davit" {
		return "davit " + verb + " " + id
	}
	return "davit --root " + s.Root + " " + verb + " " + id
}

// keepRoot sets the sticky bit, by which what lies in a user's runtime directory is not removed for its age
// (XDG Base Directory Specification; runc does so, too).
func (s Store) keepRoot(root int) {
	if s.Sticky {
		fd, err := unix.Openat(root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // fchmod takes no O_PATH
		if err == nil {
			err = unix.Fchmod(fd, 0o1700)
			unix.Close(fd)
		}
		if err != nil {
			s.Log.Debugf("chmod 1700 %s: %v", s.Root, err)
		}
	}
}

// RemoveDir removes what a container's directory holds, and the directory.
func RemoveDir(path string, dir int) error {
	for _, name := range [...]string{compile.StartFile, ConfigFile, runcFile, stateFile} {
		unix.Unlinkat(dir, name, 0)
	}
	err := unix.Rmdir(path)
	if err == unix.ENOTEMPTY || err == unix.EEXIST {
		if err = emptyDir(dir); err != nil {
			return fmt.Errorf("remove what is in %s: %w", path, err)
		}
		err = unix.Rmdir(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rmdir %s: %w", path, err)
	}
	return nil
}

// List returns the ids of all containers, in order.
func (s Store) List() ([]string, error) {
	if err := s.CheckRoot(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Root)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, hintRoot(err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && CheckID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
