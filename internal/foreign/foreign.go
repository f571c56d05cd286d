// Package foreign reads the containers that runc and crun made, so that davit's verbs work on them.
// It is the only package that knows the formats of these runtimes' state directories. It turns them
// into davit's state and config.
//
//	runc 1.0 to 1.5   ROOT/ID/state.json, ROOT/ID/exec.fifo; for exec the config.json of the bundle, as runc itself does
//	crun 1.x          ROOT/ID/status, ROOT/ID/config.json, ROOT/ID/exec.fifo
//
// Only root or the caller can have written these files, as in every state directory (see package
// store). The package checks them all the same. It refuses a property that none of these versions
// writes, a process that is in other cgroups than the file says, and a cgroup that contains more
// than the container. A refused container is not touched.
package foreign

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxFile is the size in bytes of the largest file of another runtime that davit reads. runc's
// state repeats the seccomp profile in its own form; real ones have some 100 KiB.
const maxFile = 16 << 20

// fifo is the name of the fifo on which a created container waits for start, with runc and with
// crun.
const fifo = "exec.fifo"

// container is a container of another runtime. It is a store.Taken.
type container struct {
	maker string
	path  string // the path of the state directory
	dir   int    // a descriptor of the state directory, which belongs to the store's Entry
	state *store.State
	spec  *specs.Spec // nil until Spec has made it
	runc  *runcState  // nil for crun
	// cgroup is the path in crun's status; "" if that has none, and for runc.
	cgroup string
	// poststop are the hooks that delete runs.
	poststop []specs.Hook
}

// TakeOver reads the container in the state directory dir, which is open and has the given path.
// maker is the runtime that package store has recognised by its files. If the container cannot be
// taken over safely, the error is a *store.ForeignError. If a system call fails for a reason that
// says nothing about the container, TakeOver returns that error.
func TakeOver(dir int, path, id, maker string) (*store.State, store.Taken, error) {
	c := &container{maker: maker, path: path, dir: dir, state: &store.State{ID: id}}
	var err error
	switch maker {
	case "runc":
		err = c.readRunc()
	case "crun":
		err = c.readCrun()
	default:
		return nil, nil, &store.ForeignError{Maker: maker}
	}
	if err == nil {
		err = c.verify()
	}
	if err != nil {
		if store.IsTransient(err) {
			return nil, nil, err
		}
		return nil, nil, &store.ForeignError{Maker: maker, Reason: err}
	}
	return c.state, c, nil
}

// Maker returns the name of the runtime that made the container.
func (c *container) Maker() string { return c.maker }

// Waits reports whether the container was created but not started yet.
func (c *container) Waits() bool {
	var st unix.Stat_t
	return unix.Fstatat(c.dir, fifo, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// Poststop returns the hooks that run after the container was deleted.
func (c *container) Poststop() []specs.Hook { return c.poststop }

// read reads a file of the state directory.
func (c *container) read(name string) ([]byte, error) {
	return sys.ReadSmall(c.dir, name, maxFile, unix.O_NOFOLLOW)
}

// unknown returns the error for a property that no known version of the runtime writes.
func unknown(file, property, versions string) error {
	if strings.ContainsFunc(property, func(r rune) bool { return !unicode.IsPrint(r) }) { // the name would reach a terminal
		property = strconv.Quote(property)
	}
	return fmt.Errorf("%s: %s: not known in %s: a newer version wrote it", file, property, versions)
}
