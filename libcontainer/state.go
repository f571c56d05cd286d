package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/internal/memfd"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run davit/build/jsongen -type State -out state_json.go

// State is what is kept of a container in ROOT/ID/davit.json. It is written
// before anything else is made, so that whatever was made can be found again.
type State struct {
	Format     int    `json:"format"` // see formatNow
	OCIVersion string `json:"ociVersion"`
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Rootfs     string `json:"rootfs"`
	Created    string `json:"created"` // RFC 3339, with nanoseconds
	// Pid is the container process as davit saw it, 0 until there is one.
	Pid int `json:"pid"`
	// Inode of its pidfd, which no other process has until the next boot (Linux 6.9). Where that is missing, or the
	// state may outlive the boot, StartTime, in clock ticks since then. Both tell the
	// process from a later one with the same pid.
	Inode     uint64 `json:"inode,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
	// Namespaces that the container does not share with davit, CLONE_NEW*.
	Namespaces uint64 `json:"namespaces"`
	// OwnPid: it was given a new pid namespace, which dies with the container process.
	OwnPid    bool `json:"ownPid"`
	Terminal  bool `json:"terminal,omitempty"`
	NoProcess bool `json:"noProcess,omitempty"` // it can be created, not started: runtime.md "Start"
	Poststart bool `json:"poststart,omitempty"` // it has hooks of that kind
	Poststop  bool `json:"poststop,omitempty"`
	// PoststopDone is how many of them have run, if a delete had to stop before the rest.
	PoststopDone int               `json:"poststopDone,omitempty"`
	NoKeyring    bool              `json:"noKeyring,omitempty"`
	Notify       bool              `json:"notify,omitempty"` // it has a NOTIFY_SOCKET
	Annotations  map[string]string `json:"annotations,omitempty"`
	// Steps is how many its plan has: a plan with another number, compiled again, is not the one that it was made by.
	Steps int `json:"steps,omitempty"`
	// Resctrl and ResctrlMon are directories of its own in resctrl.
	Resctrl    string `json:"resctrl,omitempty"`
	ResctrlMon string `json:"resctrlMon,omitempty"`
	// SharedMounts: the container's mounts are in a namespace that is not its own,
	// and are to be removed: what covers the mount with the id RootMount at Rootfs.
	SharedMounts bool          `json:"sharedMounts,omitempty"`
	RootMount    uint64        `json:"rootMount,omitempty"`
	Cgroup       cgroups.State `json:"cgroup"`
}

const (
	stateFile  = "davit.json"
	configFile = "config.json" // as it was when the container was created, with the limits of later updates; there once the cgroup is its own
)

// write replaces the state on disk. The first version goes to a new directory,
// where there is nothing to replace.
func (s *State) write(dir int, first bool) error {
	s.Format = formatNow
	var e jsonx.Encoder
	encodeState(&e, s)
	data := e.Bytes()
	if first {
		return writeFile(dir, stateFile, data)
	}
	const aside = stateFile + ".new"
	if err := writeFile(dir, aside, data); err != nil {
		return err
	}
	if err := unix.Renameat(dir, aside, dir, stateFile); err != nil {
		return fmt.Errorf("rename %s: %w", aside, err)
	}
	return nil
}

func writeFile(dir int, name string, data []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := memfd.WriteAll(fd, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// readAt reads a small file of a directory in as few calls as it takes.
func readAt(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n := 0
	for {
		k, err := unix.Read(fd, buf[n:])
		if err != nil {
			return nil, err
		}
		if n += k; n < len(buf) {
			return buf[:n], nil
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
}

// readWhole reads a file of the host's, such as one of procfs, whose size is not known and which may come in pieces. os.ReadFile
// would set up Go's poller, which ends davit where there are no descriptors for it.
func readWhole(path string) ([]byte, error) {
	fd, err := named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return buf, nil
		default:
			buf = slices.Grow(buf[:len(buf)+n], 512)
		}
	}
}

// readSmall reads a file that davit keeps of a container, once it is known to be one.
func readSmall(dir int, name string) ([]byte, error) {
	return sys.ReadSmall(dir, name, maxKept, unix.O_NOFOLLOW)
}

// maxKept bounds the files of a state directory, in bytes: a config.json has at most half of that, and is written again by update.
const maxKept = 2 * config.MaxConfig

// readState reads the state of a container, whose id is the name of the directory. It fails with a ForeignError if
// something else has made the container.
func readState(dir int, id string) (*State, error) {
	file := stateFile
	data, err := readSmall(dir, file)
	if errors.Is(err, unix.ENOENT) {
		old, otherErr := othersState(dir)
		if otherErr != nil {
			return nil, otherErr
		}
		if old != nil {
			file, data, err = runcFile, old, nil
		}
	}
	if err != nil {
		return nil, err
	}
	var s State
	d := jsonx.NewDecoder(file, data)
	decodeState(&d, &s)
	if err = d.End(); (err != nil || s.Format != formatNow) && file == stateFile {
		var foreign *ForeignError
		if other := formatError(data); err == nil || errors.As(other, &foreign) {
			err = other
		}
	}
	if err != nil {
		return nil, err
	}
	if s.ID != id {
		return nil, fmt.Errorf("%s: id: %q, where it is in the directory of %s", file, s.ID, id)
	}
	return &s, nil
}

// Store is the directory that holds the containers' states.
type Store struct{ Root string }

// checkID refuses names that could not be a directory, or would be something else.
func checkID(id string) error {
	if id == "" {
		return errors.New("container id cannot be empty")
	}
	for _, r := range []byte(id) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '+', r == '-', r == '.':
		default:
			return fmt.Errorf("invalid id format: %q: only letters, digits and any of _ + - . may be in it", id)
		}
	}
	if id == "." || id == ".." || id[0] == '.' {
		return fmt.Errorf("invalid id format: %q: it cannot begin with a dot", id)
	}
	if len(id) > 255 {
		return fmt.Errorf("invalid id format: %d bytes long, where 255 are the most", len(id))
	}
	return nil
}

// makeDir claims an id by making its directory, and takes its lock.
func (s Store) makeDir(id string) (int, error) {
	path := filepath.Join(s.Root, id)
	root, err := s.openRoot()
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(s.Root, 0o700); err != nil {
			return -1, fmt.Errorf("make the state directory: %w", err)
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
			return -1, fmt.Errorf("container with id %s already exists: %w", id, err)
		}
		return -1, s.exists(id)
	}
	if err != nil {
		return -1, fmt.Errorf("mkdir %s: %w", path, err)
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

// exists is the error of an id that is taken, with what would free it.
func (s Store) exists(id string) error {
	err := fmt.Errorf("container with id %s already exists", id)
	c, failed := s.Open(id)
	if failed != nil {
		return withHint(err, fmt.Sprintf("`%s` removes what is left of it", s.command("delete --force", id)))
	}
	defer c.Close()
	switch status := c.Status(); {
	case c.Broken != nil:
	case status == specs.StateStopped:
		return withHint(err, fmt.Sprintf("it has stopped: `%s` removes it", s.command("delete", id)))
	default:
		return withHint(fmt.Errorf("%w, and is %s", err, status), fmt.Sprintf("take another id; or end and remove it: `%s`", s.command("delete --force", id)))
	}
	return withHint(err, fmt.Sprintf("`%s` removes what is left of it", s.command("delete --force", id)))
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
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" && filepath.Dir(s.Root) == filepath.Clean(runtime) {
		fd, err := unix.Openat(root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // fchmod takes no O_PATH
		if err == nil {
			err = unix.Fchmod(fd, 0o1700)
			unix.Close(fd)
		}
		if err != nil {
			logf("chmod 1700 %s: %v", s.Root, err)
		}
	}
}

// removeDir removes what a container's directory holds, and the directory.
func removeDir(path string, dir int) error {
	for _, name := range [...]string{compile.StartFile, configFile, runcFile, stateFile} {
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
