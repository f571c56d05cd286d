package libcontainer

import (
	"errors"
	"fmt"

	"davit/internal/launch"
	"davit/internal/resctrl"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Delete removes a container that has stopped or was never started: its processes, cgroups and state. With force it kills a running
// container first; without, it fails with [ErrNotStopped]. It is not an error if a part of the container is already gone.
func (c *Container) Delete(force bool) error {
	unlock, err := c.lock(force)
	defer unlock()
	if err != nil && c.Broken == nil {
		return err
	}
	status := c.Status()
	switch {
	case force, status == specs.StateStopped, status == specs.StateCreated:
	case status == specs.StateCreating:
		// Whoever makes it would hold the lock: it was killed before it was done.
	case status == specs.StateRunning && store.WaitExit(c.Pidfd.Int(), dying):
	default:
		return withHint(fmt.Errorf("cannot delete container %s that %w: %s", c.ID, ErrNotStopped, status), "`davit delete --force` ends it first")
	}
	switch {
	case c.endedTaken():
		err = c.strangers()
	case c.Pidfd.Int() >= 0 || force || !c.OwnPid || status == specs.StateCreating:
		err = c.killAll()
	}
	if err != nil {
		return err
	}
	c.rt.reap(c.Pid)
	return c.destroy(force)
}

// OpenForced opens a container in any state, with its lock, so that [Container.Delete] can remove it. If somebody else holds the lock,
// for example while a hook runs, OpenForced kills the container's processes first.
func (rt *Runtime) OpenForced(id string) (*Container, error) {
	return rt.container(rt.store().OpenForced(id, func(e *store.Entry) error { return (&Container{e, rt}).killAll() }))
}

// destroy removes the rest of a container that has no processes. It removes the state last, so that another delete can try again what
// has failed.
func (c *Container) destroy(force bool) error {
	if c.Broken != nil {
		c.warnUnknown()
	} else {
		m := c.Cgroups()
		defer m.Close()
		c.rt.log().Debugf("remove the cgroups")
		remove := m.Destroy
		if !c.OwnsCgroup() {
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
	if c.Taken != nil {
		return c.destroyTaken()
	}
	had := c.Poststop
	if err := c.poststop(force); err != nil {
		return err
	}
	c.rt.log().Debugf("remove the state directory")
	err := store.RemoveDir(c.Path, c.Dir.Int())
	if err != nil && had != c.Poststop { // another delete is not to run them again
		err = errors.Join(err, c.entry.State.Write(c.Dir.Int(), false))
	}
	return err
}

// warnUnknown logs what delete may leave of a container whose state cannot be read.
func (c *Container) warnUnknown() {
	cgroup := "cgroup"
	if s, err := c.Spec(); err == nil && s.Linux != nil && s.Linux.CgroupsPath != "" {
		cgroup = fmt.Sprintf("cgroup (linux.cgroupsPath: %q)", s.Linux.CgroupsPath)
	}
	c.rt.log().Warnf("delete %s: %v: so its processes, %s and mounts are not known: what there is of them stays, and is to be removed by hand", c.ID, c.Broken, cgroup)
}

// poststop runs the poststop hooks. If one of them cannot be started, the state remains, so that another delete runs it. Hooks that have
// run do not run again. With force it is not an error if the hooks can no longer be read from config.json.
func (c *Container) poststop(force bool) error {
	if !c.Poststop || !c.OwnsCgroup() { // no hook runs before it is
		return nil
	}
	hooks, err := c.poststopHooks()
	if err != nil && force && !store.IsTransient(err) {
		c.rt.log().Warnf("delete %s: %v: so its poststop hooks are not known, and do not run", c.ID, err)
		return nil
	}
	if err != nil {
		return withHint(err, fmt.Sprintf("`davit delete --force %s` removes the container without its poststop hooks", c.ID))
	}
	// A state that cannot be removed afterwards would have them run again.
	if err := unix.Faccessat(c.Dir.Int(), ".", unix.W_OK, 0); err != nil {
		return fmt.Errorf("the state directory %s: %w", c.Path, err)
	}
	return c.rt.runPoststop(&c.entry.State, "delete", hooks, c.stateNow(specs.StateStopped), c.Dir.Int())
}

func (c *Container) poststopHooks() ([]specs.Hook, error) {
	s, err := c.Spec()
	if err != nil {
		return nil, err
	}
	if s.Hooks == nil || len(s.Hooks.Poststop) == 0 {
		return nil, fmt.Errorf("%s: %s: hooks.poststop: missing, although the container was created with some", c.Path, store.ConfigFile)
	}
	return s.Hooks.Poststop, nil
}

func (c *Container) unmountShared() error {
	config, err := c.Spec()
	if err != nil {
		return err
	}
	return launch.Unmount(&c.State, config)
}
