package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Entry is an open container: its state, its directory and its process. Verbs that change a container keep it locked as long as it is
// open. The caller closes it.
type Entry struct {
	State
	store  Store
	Path   string  // the path of its directory
	Dir    *sys.FD // the open directory, on which the lock is; Close closes it
	Pidfd  *sys.FD // a pidfd of its process, or nil if that has ended; Close closes it
	locked bool
	// config is what Spec has read, nil before.
	config *specs.Spec
	// Taken is set for a container that another runtime made.
	Taken Taken
	// Broken is why the state could not be read. Such a container can be deleted.
	Broken error
}

// Open finds a container, or fails with ErrNotFound. It waits for no lock: it is for verbs that
// look at a container, signal it, or add a process. A hook may call those while its
// container is being made, and a state on disk is always whole.
func (s Store) Open(id string) (*Entry, error) { return s.open(id, false) }

// OpenLocked finds a container and takes its lock, which Close gives back: for verbs that
// change what is kept of it.
func (s Store) OpenLocked(id string) (*Entry, error) { return s.open(id, true) }

func (s Store) open(id string, locked bool) (*Entry, error) {
	c, err := s.openDir(id)
	if err != nil {
		return nil, err
	}
	if locked {
		err = c.lock()
	}
	return c.loaded(err, locked)
}

// OpenForced opens a container to delete it, whatever state it is in. Another davit may hold its
// lock for long, while it waits for a hook or for the program to begin: that wait ends
// with the container's processes, so kill is called first, which ends them. If it does not, the hook may be who asks.
func (s Store) OpenForced(id string, kill func(*Entry) error) (*Entry, error) {
	c, err := s.openDir(id)
	if err != nil {
		return nil, err
	}
	return c.loaded(c.lockSoon(kill), true)
}

// Look finds a container, as Open does. If that fails for another reason than that there is none, what it returns is Broken:
// list shows it all the same.
func (s Store) Look(id string) (*Entry, error) {
	c, err := s.openDir(id)
	if err == nil {
		err = c.load(false)
	}
	if errors.Is(err, ErrNotFound) {
		if c != nil {
			c.Close()
		}
		return nil, err
	}
	if err != nil {
		c.Broken = err
	}
	return c, nil
}

func (s Store) openDir(id string) (*Entry, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	c := &Entry{State: State{ID: id}, store: s, Path: filepath.Join(s.Root, id)}
	root, err := s.openRoot()
	if err == nil {
		var dir int
		dir, err = s.openStateDir(root, id)
		c.Dir = sys.Own(dir)
		unix.Close(root)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil, s.notFound(id)
	}
	if errno, ok := err.(unix.Errno); ok {
		err = hintRoot(fmt.Errorf("open %s: %w", c.Path, errno))
	}
	return c, err
}

// loaded returns the container with its state, or closes it.
func (c *Entry) loaded(err error, locked bool) (*Entry, error) {
	if err == nil {
		err = c.load(locked)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// load reads the state.
func (c *Entry) load(locked bool) error {
	// Whoever held the lock before may have been the one to delete it.
	if IsRemoved(c.Dir.Int()) {
		return c.store.notFound(c.ID)
	}
	c.locked = locked
	state, err := readState(c.Dir.Int(), c.ID)
	var foreign *ForeignError
	if errors.As(err, &foreign) && c.store.TakeOver != nil && (foreign.Maker == makerRunc || foreign.Maker == makerCrun) {
		state, c.Taken, err = c.store.TakeOver(c.Dir.Int(), c.Path, c.ID, foreign.Maker)
	}
	if errors.As(err, &foreign) || IsTransient(err) { // then nothing is known that would allow to delete it
		return err
	}
	if err != nil {
		if !locked && (isLocked(c.Dir.Int()) || IsRemoved(c.Dir.Int())) { // it is just being made, or deleted
			return c.store.notFound(c.ID)
		}
		c.Broken = err
		return nil
	}
	c.State = *state
	if c.Pidfd, err = c.findProcess(); err != nil {
		return err
	}
	if c.store.Log.Debug != nil {
		c.store.Log.Debugf("container %s: %s, process %d", c.ID, c.Status(), c.Pid)
	}
	return nil
}

// IsRemoved reports whether an open directory was removed. It returns false if that cannot be found out; then the next call with the
// directory fails.
func IsRemoved(dir int) bool {
	var st unix.Stat_t
	return unix.Fstat(dir, &st) == nil && st.Nlink == 0
}

// isLocked reports whether somebody has a container's lock.
func isLocked(dir int) bool {
	err := unix.Flock(dir, unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		unix.Flock(dir, unix.LOCK_UN)
	}
	return err == unix.EWOULDBLOCK
}

// Close closes the descriptors, which gives back the lock. It may be called twice.
func (c *Entry) Close() {
	c.Pidfd.Close()
	c.Dir.Close()
}

// Cgroups returns the container's cgroups. The caller closes them.
func (c *Entry) Cgroups() *cgroups.Manager { return cgroups.Open(c.Cgroup) }

// OwnsCgroup reports whether it was recorded that the cgroup belongs to this container. config.json is written when the cgroup was made.
// If davit was killed before that, the path may belong to another container.
func (c *Entry) OwnsCgroup() bool { return c.Pid != 0 || c.Has(ConfigFile) }

// Spec returns the config that the container was created from, with the limits of later updates. It is
// read once: whoever changes what it returns changes it for all.
func (c *Entry) Spec() (*specs.Spec, error) {
	if c.config != nil {
		return c.config, nil
	}
	s, err := c.readSpec()
	if err == nil {
		err = c.checkSpec(s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	c.config = s
	return s, nil
}

func (c *Entry) readSpec() (*specs.Spec, error) {
	if c.Taken != nil {
		return c.Taken.Spec()
	}
	data, err := readSmall(c.Dir.Int(), ConfigFile)
	if err != nil {
		return nil, err
	}
	return config.Decode(data)
}

// checkSpec refuses a stored config that lacks what create has made sure of: then it is not the one that the container was
// created from.
func (c *Entry) checkSpec(s *specs.Spec) error {
	missing := ""
	switch {
	case s.Root == nil:
		missing = "root"
	case s.Process == nil && !c.NoProcess && c.Pid != 0:
		missing = "process"
	case c.Poststart && (s.Hooks == nil || len(s.Hooks.Poststart) == 0):
		missing = "hooks.poststart"
	}
	if missing != "" {
		return fmt.Errorf("%s: %s: missing, although the container was created with it", ConfigFile, missing)
	}
	if s.Linux == nil { // it is optional, and nobody below looks for it
		s.Linux = &specs.Linux{}
	}
	return nil
}

// Owner returns the name of the user whose container it is, or the number
// where there is no name.
func (c *Entry) Owner() string {
	var st unix.Stat_t
	if unix.Fstat(c.Dir.Int(), &st) != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	if st.Uid == 0 {
		return "root"
	}
	data, err := sys.ReadWhole("/etc/passwd")
	if err != nil {
		return uid
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if f := strings.Split(line, ":"); len(f) >= 3 && f[2] == uid {
			return f[0]
		}
	}
	return uid
}
