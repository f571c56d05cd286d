// Package libcontainer is the life of a container: create, start, exec, kill,
// delete, and the state that is kept of it. It composes the plan from what the
// packages below contribute, and does the parent's part of it.
package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/host"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Container is a container that exists; it is locked for as long as it is open
// by a verb that changes it.
type Container struct {
	State
	store Store
	path  string // of its directory
	dir   int    // its directory, which carries the lock
	pidfd int    // of its process if that is alive, else -1
	// config is what Spec has read, nil before.
	config *specs.Spec
	// Broken is why the state could not be read. Such a container can be deleted.
	Broken error
}

// Open finds a container, or fails with ErrNotExist. It waits for no lock: it is for verbs that
// look at a container, signal it, or add a process. A hook may call those while its
// container is being made, and a state on disk is always whole.
func (s Store) Open(id string) (*Container, error) { return s.open(id, false) }

// OpenLocked finds a container and takes its lock, which Close gives back: for verbs that
// change what is kept of it.
func (s Store) OpenLocked(id string) (*Container, error) { return s.open(id, true) }

func (s Store) open(id string, locked bool) (*Container, error) {
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
// with the container's processes, so they are killed first. If it does not, the hook may be who asks.
func (s Store) OpenForced(id string) (*Container, error) {
	c, err := s.openDir(id)
	if err != nil {
		return nil, err
	}
	return c.loaded(c.lockSoon(true), true)
}

// Look finds a container, as Open does. If that fails for another reason than that there is none, what it returns is Broken:
// list shows it all the same.
func (s Store) Look(id string) (*Container, error) {
	c, err := s.openDir(id)
	if err == nil {
		err = c.load(false)
	}
	if errors.Is(err, ErrNotExist) {
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

func (s Store) openDir(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{State: State{ID: id}, store: s, path: filepath.Join(s.Root, id), dir: -1, pidfd: -1}
	root, err := s.openRoot()
	if err == nil {
		c.dir, err = s.openStateDir(root, id)
		unix.Close(root)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil, notExist(id)
	}
	if errno, ok := err.(unix.Errno); ok {
		err = fmt.Errorf("open %s: %w", c.path, errno)
	}
	return c, err
}

// loaded returns the container with its state, or closes it.
func (c *Container) loaded(err error, locked bool) (*Container, error) {
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
func (c *Container) load(locked bool) error {
	// Whoever held the lock before may have been the one to delete it.
	if isRemoved(c.dir) {
		return notExist(c.ID)
	}
	state, err := readState(c.dir, c.ID)
	var foreign *ForeignError
	if errors.As(err, &foreign) || isTransient(err) { // then nothing is known that would allow to delete it
		return err
	}
	if err != nil {
		if !locked && (isLocked(c.dir) || isRemoved(c.dir)) { // it is just being made, or deleted
			return notExist(c.ID)
		}
		c.Broken = err
		return nil
	}
	c.State = *state
	if c.pidfd, err = c.findProcess(); err != nil {
		return err
	}
	if Log != nil {
		logf("container %s: %s, process %d", c.ID, c.Status(), c.Pid)
	}
	return nil
}

// isRemoved says whether a directory is removed that is open. If that cannot be known, what is done next with it fails.
func isRemoved(dir int) bool {
	var st unix.Stat_t
	return unix.Fstat(dir, &st) == nil && st.Nlink == 0
}

// isLocked says whether somebody holds a container's lock.
func isLocked(dir int) bool {
	err := unix.Flock(dir, unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		unix.Flock(dir, unix.LOCK_UN)
	}
	return err == unix.EWOULDBLOCK
}

// Close gives the lock back.
func (c *Container) Close() {
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
	if c.dir >= 0 {
		unix.Close(c.dir)
		c.dir = -1
	}
}

// findProcess returns a pidfd of the container process, or -1 if it has ended: its pid may be another's by now. An error, for
// want of descriptors for example, says neither: a container that is taken for stopped can be deleted.
func (c *Container) findProcess() (int, error) {
	if c.Pid <= 0 {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(c.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL { // EINVAL: it is a thread of another process by now
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd_open %d: %w", c.Pid, err)
	}
	is, err := c.isProcess(fd)
	if err != nil || !is || hasExited(fd) {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// isProcess says whether a pidfd of c.Pid is the container process's.
func (c *Container) isProcess(fd int) (bool, error) {
	if c.Inode != 0 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return false, fmt.Errorf("fstat of a pidfd: %w", err)
		}
		if st.Ino != c.Inode || c.StartTime == 0 {
			return st.Ino == c.Inode, nil
		}
	}
	now, err := readStartTime(c.Pid)
	switch err {
	case nil:
		return now == c.StartTime, nil
	case unix.ENOENT, unix.ESRCH, unix.EPERM, unix.EACCES: // it has ended; or hidepid= of proc(5) hides it from a user
		return c.Inode != 0, nil
	}
	return false, fmt.Errorf("read /proc/%d/stat: %w", c.Pid, err)
}

// hasExited says whether a pidfd's process is gone or a zombie.
func hasExited(pidfd int) bool {
	p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// waitExit waits for a pidfd's process to end, at the most for d.
func waitExit(pidfd int, d time.Duration) bool {
	end := time.Now().Add(d)
	for {
		left := time.Until(end)
		p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(max(left, 0).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		return n == 1
	}
}

func pidfdInode(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

// startTime is readStartTime, and 0 if that fails.
func startTime(pid int) uint64 {
	t, _ := readStartTime(pid)
	return t
}

// readStartTime reads field 22 of /proc/PID/stat, proc_pid_stat(5).
func readStartTime(pid int) (uint64, error) {
	data, err := readAt(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/stat")
	if err != nil {
		return 0, err
	}
	// The name before it may hold anything, but ends with the last parenthesis.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return 0, nil
	}
	t, _ := strconv.ParseUint(fields[19], 10, 64)
	return t, nil
}

// remember notes which process is the container's. What is kept at path may outlive the host's boot: below /run
// there is a tmpfs, and it does not.
func (s *State) remember(pid, pidfd int, facts *host.Facts, path string) {
	s.Pid = pid
	if !facts.Kernel().Less(host.Version{Major: 6, Minor: 9}) {
		s.Inode = pidfdInode(pidfd)
	}
	if s.Inode == 0 || !strings.HasPrefix(path, "/run/") {
		s.StartTime = startTime(pid)
	}
}

// Status is what state says of a container, runtime.md "State"; paused is an extension of runc's.
func (c *Container) Status() specs.ContainerState {
	switch {
	case c.pidfd < 0 && c.Pid == 0 && c.Broken == nil:
		return specs.StateCreating
	case c.pidfd < 0:
		return specs.StateStopped
	case c.frozen():
		return statePaused
	case c.exists(compile.StartFile) && !c.execed():
		return specs.StateCreated
	}
	return specs.StateRunning
}

func (c *Container) exists(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(c.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// execed says whether the container's process has become its program already: then a start that was killed, or could not write in
// the state directory, has left its file. The stage's executable is in memory and has a name that tells it. A user may not
// look at it (it is not dumpable): then the file counts.
func (c *Container) execed() bool {
	var buf [64]byte
	n, err := unix.Readlink("/proc/"+strconv.Itoa(c.Pid)+"/exe", buf[:])
	return err == nil && !strings.HasPrefix(string(buf[:n]), "/memfd:davit-stage")
}

func (c *Container) frozen() bool {
	m := c.Cgroups()
	defer m.Close()
	frozen, err := m.Frozen()
	return err == nil && frozen
}

// Cgroups returns the container's cgroups. The caller closes them.
func (c *Container) Cgroups() *cgroups.Manager { return cgroups.Open(c.Cgroup) }

// grouped says whether the cgroup is known to be the container's own. That of a davit which was killed before it knew
// may be another container's.
func (c *Container) grouped() bool { return c.Pid != 0 || c.exists(configFile) }

// Spec returns the config that the container was created from, with the limits of later updates. It is
// read once: whoever changes what it returns changes it for all.
func (c *Container) Spec() (*specs.Spec, error) {
	if c.config != nil {
		return c.config, nil
	}
	data, err := readSmall(c.dir, configFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	s, err := config.Decode(data)
	if err == nil {
		err = c.checkSpec(s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	c.config = s
	return s, nil
}

// checkSpec refuses a stored config that lacks what create has made sure of: then it is not the one that the container was
// created from.
func (c *Container) checkSpec(s *specs.Spec) error {
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
		return fmt.Errorf("%s: %s: not there, where the container was created with it", configFile, missing)
	}
	if s.Linux == nil { // it is optional, and nobody below looks for it
		s.Linux = &specs.Linux{}
	}
	return nil
}

// List returns the ids of all containers, in order.
func (s Store) List() ([]string, error) {
	if err := s.checkRoot(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Root)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && checkID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Owner returns the name of the user whose container it is, or the number
// where there is no name.
func (c *Container) Owner() string {
	var st unix.Stat_t
	if unix.Fstat(c.dir, &st) != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	if st.Uid == 0 {
		return "root"
	}
	data, err := readWhole("/etc/passwd")
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
