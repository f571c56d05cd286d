package libcontainer

import (
	"errors"
	"fmt"
	"time"

	"davit/resctrl"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// dying is how long a process that was killed may take to end: kill returns before, and
// `davit kill ID KILL && davit delete ID` is what people write.
const dying = 200 * time.Millisecond

// Delete removes a container that has stopped or was never started, or with
// force any: its processes, cgroups and state. What is gone already is no error.
func (c *Container) Delete(force bool) error {
	status := c.Status()
	switch {
	case force, status == specs.StateStopped, status == specs.StateCreated:
	case status == specs.StateCreating:
		// Whoever makes it would hold the lock: it was killed before it was done.
	case status == specs.StateRunning && waitExit(c.pidfd, dying):
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, status)
	}
	if c.pidfd >= 0 || force || !c.OwnPid || status == specs.StateCreating {
		if err := c.killAll(); err != nil {
			return err
		}
	}
	return c.destroy()
}

// destroy removes what is left of a container without processes. The state goes
// last, so that whatever fails can be tried again.
func (c *Container) destroy() error {
	if c.Broken != nil {
		c.warnUnknown()
	} else {
		m := c.Cgroups()
		defer m.Close()
		logf("remove the cgroups")
		remove := m.Destroy
		if !c.grouped() {
			remove = m.RemoveEmpty
		}
		if err := remove(); err != nil {
			return err
		}
		if rdt := (&resctrl.Group{Dir: c.Resctrl, Mon: c.ResctrlMon}); rdt.Dir != "" || rdt.Mon != "" {
			if err := rdt.Remove(); err != nil {
				return err
			}
		}
		if c.SharedMounts {
			if err := c.unmountShared(); err != nil {
				return err
			}
		}
	}
	err := c.poststop()
	logf("remove the state directory")
	return errors.Join(err, removeDir(c.path, c.dir))
}

// warnUnknown says what may be left of a container whose state cannot be read.
func (c *Container) warnUnknown() {
	cgroup := "cgroup"
	if s, err := c.Spec(); err == nil && s.Linux != nil && s.Linux.CgroupsPath != "" {
		cgroup = fmt.Sprintf("cgroup (linux.cgroupsPath: %q)", s.Linux.CgroupsPath)
	}
	warnf("delete %s: %v: so its processes, %s and mounts are not known: what there is of them stays, and is to be removed by hand", c.ID, c.Broken, cgroup)
}

// poststop runs those hooks.
func (c *Container) poststop() error {
	if !c.Poststop || !c.grouped() { // no hook runs before it is
		return nil
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	runPoststop("delete", c.ID, s.Hooks.Poststop, c.Bundle, c.stateNow(specs.StateStopped))
	return nil
}

// runPoststop runs poststop hooks. A failure is logged, and the rest goes on:
// runtime.md "Lifecycle" 13.
func runPoststop(verb, id string, hooks []specs.Hook, bundle, state string) {
	for i := range hooks {
		if err := runHooks("poststop", hooks[i:i+1], bundle, state); err != nil {
			warnf("%s %s: %v", verb, id, err)
		}
	}
}
