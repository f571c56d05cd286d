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

// Pause stops every process of a container, and returns when all are stopped.
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

// Resume undoes Pause, and a freeze by others.
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

// wrongState is the answer to a verb that a container's state forbids. Engines
// look for ErrNotRunning where there is no process any more.
func wrongState(verb string, status specs.ContainerState) error {
	switch status {
	case specs.StateStopped, specs.StateCreating:
		return fmt.Errorf("cannot %s a container in the %s state: %w", verb, status, store.ErrNotRunning)
	}
	return fmt.Errorf("cannot %s a container in the %s state", verb, status)
}

// Pids lists the container's processes, in no order; a container that has ended has none.
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

// knownPids returns the processes of a container without a cgroup: its init, and what else is in a pid namespace of its own.
// What has been made by exec in the host's pid namespace is not known.
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
