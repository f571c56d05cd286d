package fs

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A container that may write to its cgroup can make cgroups below it as deep, as many and with
// names as long as it likes. Paths there may be longer than PATH_MAX, so the walk opens one
// directory at a time, and does not recurse. It goes back up by "..", which is always the directory
// that it came from: cgroupfs cannot move a directory elsewhere.

// tree is a walk through a cgroup and its sub-cgroups. It has one open descriptor at a time.
type tree struct {
	top   string
	at    int // the open directory that the walk is in
	above []level
	names []string // the sub-cgroups of at that have not been visited yet
}

// level is a directory above the one that the walk is in.
type level struct {
	name  string   // the name of the next directory down
	names []string // its sub-cgroups that have not been visited yet
}

func openTree(dir string) (*tree, error) {
	at, err := OpenAt(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shorten(dir), err)
	}
	return &tree{top: dir, at: at}, nil
}

func (t *tree) close() { unix.Close(t.at) }

// down enters a sub-cgroup.
func (t *tree) down(name string) error {
	fd, err := OpenAt(t.at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	unix.Close(t.at)
	t.at = fd
	t.above = append(t.above, level{name, t.names})
	t.names = nil
	return nil
}

// up goes back to the parent, and returns the name of the directory that it left.
func (t *tree) up() (string, error) {
	fd, err := OpenAt(t.at, "..", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	unix.Close(t.at)
	t.at = fd
	last := t.above[len(t.above)-1]
	t.above = t.above[:len(t.above)-1]
	t.names = last.names
	return last.name, nil
}

// list reads the names of the sub-cgroups of the directory that the walk is in.
func (t *tree) list() (err error) {
	t.names, err = subdirsOf(t.at)
	return err
}

// next removes and returns the next sub-cgroup to visit, "" if there is none.
func (t *tree) next() string {
	if len(t.names) == 0 {
		return ""
	}
	name := t.names[len(t.names)-1]
	t.names = t.names[:len(t.names)-1]
	return name
}

// path returns the directory that the walk is in, for errors.
func (t *tree) path() string {
	var b strings.Builder
	b.WriteString(t.top)
	for i := range t.above {
		b.WriteString("/" + t.above[i].name)
	}
	return shorten(b.String())
}

// Walk calls visit for the cgroup dir and for all cgroups below it, parents first. at is the open
// directory, depth its distance from dir. visit returns whether to go on below it. Sub-cgroups that
// vanish meanwhile are left out; a dir that does not exist is an error.
func Walk(dir string, visit func(at, depth int) (below bool, err error)) error {
	t, err := openTree(dir)
	if err != nil {
		return err
	}
	defer func() { t.close() }()
	for {
		below, err := visit(t.at, len(t.above))
		if err == nil && below {
			err = t.list()
		}
		if err != nil && (len(t.above) == 0 || !Gone(err)) {
			return fmt.Errorf("%s: %w", t.path(), err)
		}
		for {
			name := t.next()
			if name == "" {
				if len(t.above) == 0 {
					return nil
				}
				if _, err := t.up(); err != nil {
					return fmt.Errorf("open the parent of %s: %w", t.path(), err)
				}
				continue
			}
			if err = t.down(name); err == nil {
				break
			}
			if !Gone(err) {
				return fmt.Errorf("open %q in %s: %w", shorten(name), t.path(), err)
			}
		}
	}
}

// removeTimeout is how long RemoveAll removes sub-cgroups while new ones are being made. Removing
// 10,000 empty ones takes about a second.
const removeTimeout = 60 * time.Second

// RemoveAll removes the cgroup dir and all below it. It waits until the deadline for processes that
// are just ending, and kills nobody. If sub-cgroups are still being made after removeTimeout, it
// gives up. A dir that does not exist is no error.
func RemoveAll(dir string, deadline time.Time) error {
	giveUp := time.Now().Add(removeTimeout)
	for {
		err := Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY {
			return fmt.Errorf("rmdir %s: %w", shorten(dir), err)
		}
		t, err := openTree(dir)
		if Gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		err = t.removeBelow(deadline, giveUp)
		t.close()
		if err != nil {
			return err
		}
	}
}

// removeBelow removes all sub-cgroups. A busy one has either sub-cgroups, which it removes first,
// or processes, for which it waits. Without any sub-cgroup it waits until a process has left.
func (t *tree) removeBelow(deadline, giveUp time.Time) error {
	if err := t.list(); err != nil && !Gone(err) {
		return fmt.Errorf("read %s: %w", t.path(), err)
	}
	if len(t.names) == 0 {
		return t.await(deadline)
	}
	for {
		name := t.next()
		if name == "" {
			if len(t.above) == 0 {
				return nil
			}
			was, err := t.up()
			if err != nil {
				return fmt.Errorf("open the parent of %s: %w", t.path(), err)
			}
			t.names = append(t.names, was) // empty by now
			continue
		}
		err := rmdirAt(t.at, name)
		if err == nil || err == unix.ENOENT {
			continue
		}
		if err == unix.EBUSY {
			if time.Now().After(giveUp) {
				return fmt.Errorf("remove cgroup %s: somebody has gone on making sub-cgroups for %v: %w", shorten(t.top), removeTimeout, err)
			}
			err = t.down(name)
		}
		if err == nil {
			err = t.list()
		}
		if err == nil && len(t.names) == 0 {
			err = t.await(deadline)
		}
		if err != nil && !Gone(err) {
			return fmt.Errorf("remove %q in %s: %w", shorten(name), t.path(), err)
		}
	}
}

// await waits until a process has left the cgroup that the walk is in.
func (t *tree) await(deadline time.Time) error {
	pids, err := PidsIn(t.at)
	if err != nil && !Gone(err) {
		return fmt.Errorf("%s: %w", t.path(), err)
	}
	left := time.Until(deadline)
	if left <= 0 {
		return stillThere(t.top, unix.EBUSY)
	}
	awaitExit(pids, left)
	return nil
}

// shorten cuts the middle out of a long path or name, to keep errors readable.
func shorten(s string) string {
	const most, end = 240, 60 // bytes
	if len(s) <= most {
		return s
	}
	return s[:most-end] + "…" + s[len(s)-end:]
}
