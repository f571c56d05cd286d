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

// sign is an observation that helps to find out a container's status.
type sign uint8

const (
	broken   sign = 1 << iota // the state on disk cannot be read
	recorded                  // the state on disk has a process
	alive                     // that process is there
	frozen                    // the cgroup is frozen
	waits                     // the process waits for start
)

// states are the states of a container (runtime.md "State"; paused is an extension of runc's): the first whose signs are
// there, and absent, is the container's. Signs are looked for in the order of their rows, and not without need.
var states = [...]struct {
	with, without sign
	is            specs.ContainerState
}{
	{0, broken | recorded | alive, specs.StateCreating}, // davit.json is written before the process is made
	{0, alive, specs.StateStopped},                      // also where nobody knows what there was
	{frozen, 0, Paused},
	{waits, 0, specs.StateCreated},
	{0, 0, specs.StateRunning},
}

// stateOf returns the state that fits the signs of a container.
func stateOf(shows func(sign) bool) specs.ContainerState {
	for _, s := range &states {
		fits := true
		for one := broken; one <= waits && fits; one <<= 1 {
			switch {
			case s.with&one != 0:
				fits = shows(one)
			case s.without&one != 0:
				fits = !shows(one)
			}
		}
		if fits {
			return s.is
		}
	}
	return "" // the last one fits all
}

// Status returns the container's present status.
func (c *Entry) Status() specs.ContainerState { return stateOf(c.shows) }

func (c *Entry) shows(s sign) bool {
	switch s {
	case broken:
		return c.Broken != nil
	case recorded:
		return c.Pid != 0
	case alive:
		return c.Pidfd.Int() >= 0
	case frozen:
		return c.frozen()
	}
	if c.Taken != nil {
		return c.Taken.Waits()
	}
	return c.Has(compile.StartFile) && !c.execed()
}

// Has reports whether the container's directory has a file with that name.
func (c *Entry) Has(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(c.Dir.Int(), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
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
