// Package foreign reads the containers that runc and crun made, so that davit's verbs work on them. It alone knows the forms of
// these runtimes' state directories: it turns them into davit's state and config.
//
//	runc 1.0 to 1.5   ROOT/ID/state.json, ROOT/ID/exec.fifo; for exec the config.json of the bundle, as runc itself does
//	crun 1.x          ROOT/ID/status, ROOT/ID/config.json, ROOT/ID/exec.fifo
//
// What lies there was written by root or the caller, as for every state directory (see package store). It is checked all the same:
// a property that none of these versions writes, a process that is in other cgroups than the file says, or a cgroup that holds
// more than the container are refused, and nothing is touched then.
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

// maxFile bounds the files of another runtime's that are read, in bytes. runc's state repeats the seccomp profile in its own
// form; real ones have some 100 KiB.
const maxFile = 16 << 20

// fifo is the name at which a created container waits for start, with runc as with crun.
const fifo = "exec.fifo"

// container is a container of another runtime. It is a store.Taken.
type container struct {
	maker string
	path  string // of the state directory
	dir   int    // the same, open; it belongs to the store's Entry
	state *store.State
	spec  *specs.Spec // once Spec has made it
	runc  *runcState  // nil for crun
	// cgroup is the path that crun's status has; "" if it has none, and for runc.
	cgroup string
	// poststop are the hooks that delete runs.
	poststop []specs.Hook
}

// TakeOver reads the container in the state directory dir, which is open and lies at path. maker is what package store has
// recognised by its files. It fails with a *store.ForeignError for all that cannot be taken over safely, and with the error of the system
// call where that tells nothing about the container.
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

// Waits reports whether the container was created and not started yet.
func (c *container) Waits() bool {
	var st unix.Stat_t
	return unix.Fstatat(c.dir, fifo, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// Poststop returns the hooks that run once the container is deleted.
func (c *container) Poststop() []specs.Hook { return c.poststop }

// read reads a file of the state directory.
func (c *container) read(name string) ([]byte, error) {
	return sys.ReadSmall(c.dir, name, maxFile, unix.O_NOFOLLOW)
}

// unknown is the error for a property that no known version of the runtime writes.
func unknown(file, property, versions string) error {
	if strings.ContainsFunc(property, func(r rune) bool { return !unicode.IsPrint(r) }) { // it would reach a terminal
		property = strconv.Quote(property)
	}
	return fmt.Errorf("%s: %s: not known in %s: a newer version wrote it", file, property, versions)
}
