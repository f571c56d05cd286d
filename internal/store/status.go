package store

import (
	"strconv"
	"strings"

	"davit/internal/compile"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"
)

// Paused is runc's addition to the states of runtime.md.
const Paused specs.ContainerState = "paused"

// Status is what state says of a container, runtime.md "State"; paused is an extension of runc's.
func (c *Entry) Status() specs.ContainerState {
	switch {
	case c.Pidfd < 0 && c.Pid == 0 && c.Broken == nil:
		return specs.StateCreating
	case c.Pidfd < 0:
		return specs.StateStopped
	case c.frozen():
		return Paused
	case c.Taken != nil:
		if c.Taken.Waits() {
			return specs.StateCreated
		}
	case c.Has(compile.StartFile) && !c.execed():
		return specs.StateCreated
	}
	return specs.StateRunning
}

func (c *Entry) Has(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(c.Dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// execed says whether the container's process has become its program already: then a start that was killed, or could not write in
// the state directory, has left its file. The stage's executable is in memory and has a name that tells it. A user may not
// look at it (it is not dumpable): then the file counts.
func (c *Entry) execed() bool {
	var buf [64]byte
	n, err := unix.Readlink("/proc/"+strconv.Itoa(c.Pid)+"/exe", buf[:])
	return err == nil && !strings.HasPrefix(string(buf[:n]), "/memfd:davit-stage")
}

func (c *Entry) frozen() bool {
	m := c.Cgroups()
	defer m.Close()
	frozen, err := m.Frozen()
	return err == nil && frozen
}
