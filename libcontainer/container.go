package libcontainer

import (
	"davit/internal/inspect"
	"davit/internal/inspect/bundles"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type entry = store.Entry

// Container is a container that exists, as it was when it was opened. Whoever opens it closes it. Its methods are not to be called
// at the same time; several Containers may be open, also of the same container: a lock in the state directory keeps
// those that change it apart, in this process as among processes.
type Container struct {
	*entry
	rt *Runtime
}

// Info is what is known of a container.
type Info struct {
	OCIVersion  string // of the runtime-spec that its config was read by
	ID          string
	Pid         int // of its process; 0 if that has ended or is not there yet
	Status      specs.ContainerState
	Bundle      string // absolute paths
	Rootfs      string
	Created     string // RFC 3339, with nanoseconds
	Annotations map[string]string
	Owner       string // the name of the user who made it, or the number
	// Maker is the runtime that made it, "runc" or "crun", and "" for this one.
	Maker string
}

// Paused is the status of a paused container. The others are those of the runtime-spec: creating, created, running, stopped.
const Paused = store.Paused

// Info returns what is known of the container. The status is that of now.
func (c *Container) Info() Info {
	i := Info{OCIVersion: c.OCIVersion, ID: c.ID, Pid: c.Pid, Status: c.Status(), Bundle: c.Bundle, Rootfs: c.Rootfs, Created: c.Created,
		Annotations: c.Annotations, Owner: c.Owner()}
	if c.Taken != nil {
		i.Maker = c.Taken.Maker()
	}
	if i.Status == specs.StateStopped {
		i.Pid = 0
	}
	return i
}

// Status returns "creating", "created", "running", "paused" or "stopped", as it is now.
func (c *Container) Status() specs.ContainerState { return c.entry.Status() }

// Spec returns the config that the container was created from, with the limits of later updates. It is read once: whoever
// changes what it returns changes it for all.
func (c *Container) Spec() (*specs.Spec, error) { return c.entry.Spec() }

// Close lets go of the container, and of its lock if it is held. The container goes on.
func (c *Container) Close() { c.entry.Close() }

func (rt *Runtime) container(e *store.Entry, err error) (*Container, error) {
	if err != nil {
		return nil, err
	}
	return &Container{e, rt}, nil
}

// Open finds a container, or fails with [ErrNotFound]. It waits for no lock, and a hook may call it while the container
// is being made. The methods that change the container take the lock by themselves.
func (rt *Runtime) Open(id string) (*Container, error) { return rt.container(rt.store().Open(id)) }

// OpenLocked finds a container and takes its lock, which Close gives back. It saves those methods from taking the lock and reading the
// state once more. A container that is being made is not waited for.
func (rt *Runtime) OpenLocked(id string) (*Container, error) {
	return rt.container(rt.store().OpenLocked(id))
}

// OpenForced opens a container to delete it, whatever state it is in. If its lock is held, as by one who waits for a hook, the
// container's processes are killed.
func (rt *Runtime) OpenForced(id string) (*Container, error) {
	return rt.container(rt.store().OpenForced(id, func(e *store.Entry) error { return (&Container{e, rt}).killAll() }))
}

// Look finds a container, as Open does. If that fails for another reason than that there is none, what it returns is Broken:
// a list shows it all the same.
func (rt *Runtime) Look(id string) (*Container, error) { return rt.container(rt.store().Look(id)) }

// List returns the ids of all containers, in order. Containers of other runtimes are among them: Open fails with a
// [ForeignError] for those that cannot be taken over.
func (rt *Runtime) List() ([]string, error) { return rt.store().List() }

// lock takes the lock for a method that changes the container, if the container was opened without it. The caller calls unlock in any
// case, which gives back what lock has taken. The error is that of a container whose state cannot be read, too.
func (c *Container) lock(force bool) (unlock func(), err error) {
	if c.Locked() {
		return func() {}, c.Broken
	}
	var kill func(*store.Entry) error
	if force {
		kill = func(e *store.Entry) error { return (&Container{e, c.rt}).killAll() }
	}
	if err := c.entry.Lock(kill); err != nil {
		return func() {}, err
	}
	return c.Unlock, c.Broken
}

// Finding is something about a bundle that keeps this host from running it, or that is better known.
type Finding = bundles.Finding

// Check reports all that is wrong with a bundle, and whether this host can run it. It makes nothing. A config.json that cannot be read
// is a finding as well.
func (rt *Runtime) Check(o CreateOptions) ([]Finding, error) {
	raw, config, err := o.loadConfig()
	return bundles.Check(rt.store(), rt.log(), rt.compileOptions(&o), raw, config, err), nil
}

// Drift is something that a running container has otherwise than its config asks.
type Drift = inspect.Drift

// Verify returns what the container's first process and its cgroups have otherwise than the config asks: namespaces, mounts,
// masked and read-only paths, cgroup limits, user, capabilities, seccomp, LSM label, limits. It fails with [ErrNotRunning] if the
// container has no process.
func (c *Container) Verify() ([]Drift, error) { return inspect.Verify(c.entry) }
