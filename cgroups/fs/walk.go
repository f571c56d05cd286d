package fs

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A container that may write to its cgroup decides how deep, how wide and how long-named what is below it is: paths
// there may be longer than PATH_MAX. So everything goes by descriptors, one directory at a time, without recursion.
// The way up is "..": cgroupfs has no rename from one directory to another, so that this is where the way down came from.

// tree is a walk through a cgroup and its sub-cgroups. It holds one descriptor.
type tree struct {
	top   string
	at    int // the directory that the walk is in
	above []level
	names []string // sub-cgroups of at that are still to be looked at
}

// level is a directory on the way to where the walk is.
type level struct {
	name  string   // of the next directory down
	names []string // its sub-cgroups that are still to be looked at
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

// up goes back to the parent, and returns the name of where it was.
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

// list reads the names of the sub-cgroups of where the walk is.
func (t *tree) list() (err error) {
	t.names, err = subdirsOf(t.at)
	return err
}

// next takes the next sub-cgroup that is to be looked at, "" if there is none.
func (t *tree) next() string {
	if len(t.names) == 0 {
		return ""
	}
	name := t.names[len(t.names)-1]
	t.names = t.names[:len(t.names)-1]
	return name
}

// path is where the walk is, for errors.
func (t *tree) path() string {
	var b strings.Builder
	b.WriteString(t.top)
	for i := range t.above {
		b.WriteString("/" + t.above[i].name)
	}
	return shorten(b.String())
}

// walk calls visit for a cgroup and those below it, parents first; visit says whether to go on below at. Sub-cgroups
// that vanish meanwhile are passed over; that the first is not there is an error.
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

// removeTimeout is for cgroups without processes, of which 10,000 take about a second.
const removeTimeout = 60 * time.Second

// removeAll removes dir and what is below it, whose processes are gone or about to go: it waits for them until the
// deadline. Somebody who goes on making sub-cgroups is given up on after removeTimeout.
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

// removeBelow removes all sub-cgroups. One that stays busy has sub-cgroups, which come first, or processes, which are
// waited for. If there is no sub-cgroup it waits for a process to leave.
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

// await waits until a process has left the directory that the walk is in.
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

// shorten cuts the middle out of a long path or name: an error shall be readable.
func shorten(s string) string {
	const most, end = 240, 60 // bytes
	if len(s) <= most {
		return s
	}
	return s[:most-end] + "…" + s[len(s)-end:]
}
