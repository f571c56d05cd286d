package libcontainer

import (
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
	if err := store.RemoveDir(c.Path, c.Dir); err != nil {
		return err
	}
	for i := range hooks {
		if err := c.rt.hookRunner().Run("poststop", i, hooks[i:i+1], c.Bundle, state, c.Annotations); err != nil {
			c.rt.log().Warnf("delete %s: %v", c.ID, err)
		}
	}
	return nil
}
