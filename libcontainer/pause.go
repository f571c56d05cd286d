package libcontainer

import (
	"errors"
	"fmt"

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
	m := c.Cgroups()
	defer m.Close()
	if len(c.Cgroup.Dirs) == 0 {
		return nil, errors.New("the container has no cgroup (rootless, without delegation), by which its processes are known")
	}
	return m.Pids()
}
