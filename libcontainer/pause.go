package libcontainer

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"davit/internal/fault"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Pause freezes every process of a container, and returns when all are frozen. It fails with [ErrNotRunning] if the container has no
// process.
func (c *Container) Pause() error {
	unlock, err := c.lock(false)
	defer unlock()
	if err != nil {
		return err
	}
	switch status := c.Status(); status {
	case specs.StateRunning, specs.StateCreated:
	default:
		return wrongState("pause", status)
	}
	m := c.Cgroups()
	defer m.Close()
	c.rt.log().Debugf("freeze the cgroup")
	return m.Freeze()
}

// Resume lets the processes of a paused container go on, also if somebody else has frozen its cgroup. It fails with [ErrNotPaused] if
// the container is not paused, and with [ErrNotRunning] if it has no process.
func (c *Container) Resume() error {
	unlock, err := c.lock(false)
	defer unlock()
	if err != nil {
		return err
	}
	switch status := c.Status(); status {
	case store.Paused:
	case specs.StateRunning, specs.StateCreated:
		return fmt.Errorf("cannot resume a container in the %s state: %w", status, ErrNotPaused)
	default:
		return wrongState("resume", status)
	}
	m := c.Cgroups()
	defer m.Close()
	c.rt.log().Debugf("thaw the cgroup")
	return m.Thaw()
}

// wrongState returns the error for a verb that is not possible in this status. It wraps ErrNotRunning, for which engines look, if the
// container has no process.
func wrongState(verb string, status specs.ContainerState) error {
	switch status {
	case specs.StateStopped, specs.StateCreating:
		return fmt.Errorf("cannot %s a container in the %s state: %w", verb, status, store.ErrNotRunning)
	}
	return fmt.Errorf("cannot %s a container in the %s state", verb, status)
}

// Pids returns the pids of the container's processes, in no particular order. A container that has ended has none.
func (c *Container) Pids() ([]int, error) {
	if c.Broken != nil {
		return nil, c.Broken
	}
	if len(c.Cgroup.Dirs) == 0 { // rootless, without delegation
		if c.Status() == specs.StateStopped {
			return nil, nil
		}
		return c.knownPids()
	}
	m := c.Cgroups()
	defer m.Close()
	pids, err := m.Pids()
	if status := c.Status(); err == nil && len(pids) == 0 && (status == specs.StateRunning || status == specs.StateCreated) {
		return nil, fault.WithHint(fault.At("", "the container runs (its process is %d), but is not in its cgroup any more: %s", c.Pid, m.Where()),
			"something has moved its processes, or removed the cgroup: look at /proc/"+strconv.Itoa(c.Pid)+"/cgroup")
	}
	return pids, err
}

// knownPids returns the pids of a container that has no cgroup: its init, and every process in its pid namespace, if that is its own. In
// the host's pid namespace it does not find processes that exec has started.
func (c *Container) knownPids() ([]int, error) {
	if !c.OwnPid {
		return []int{c.Pid}, nil
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.Pid))
	if err != nil {
		return []int{c.Pid}, nil //nolint:nilerr // it belongs to another user by now, or has ended
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); pid == c.Pid || err == nil && ns == own {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}
