package libcontainer

import (
	"fmt"
	"time"

	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// destroyTaken removes the files of a container that another runtime has made, and then runs its poststop hooks. The files go first,
// as with runc, so that no other delete runs the hooks again.
func (c *Container) destroyTaken() error {
	hooks := c.Taken.Poststop()
	state := c.stateNow(specs.StateStopped)
	if err := c.Taken.Unmount(); err != nil {
		return err
	}
	c.rt.log().Debugf("remove the state directory")
	if err := store.RemoveDir(c.Path, c.Dir.Int()); err != nil {
		return err
	}
	for i := range hooks {
		if err := c.rt.hookRunner().Run("poststop", i, hooks[i:i+1], c.Bundle, state, c.Annotations); err != nil {
			c.rt.log().Warnf("delete %s: %v", c.ID, err)
		}
	}
	return nil
}

// strangersTimeout is how long delete waits for processes in the cgroup of a container that has ended: an exec that was on its way
// into the container is in its cgroup until it finds out.
const strangersTimeout = time.Second

// strangers returns an error if processes are in the cgroups of a container for which endedTaken is true.
func (c *Container) strangers() error {
	m := c.Cgroups()
	defer m.Close()
	for deadline := time.Now().Add(strangersTimeout); ; time.Sleep(5 * time.Millisecond) {
		pids, err := m.Pids()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return &ForeignError{Maker: c.Taken.Maker(), Reason: fmt.Errorf(
				"its process %d has ended, and with it all others of its pid namespace, but the cgroup that its state names has process %d", c.Pid, pids[0])}
		}
	}
}
