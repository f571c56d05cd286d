package libcontainer

import (
	"davit/internal/inspect/bundles"
	"davit/internal/inspect/running"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type entry = store.Entry

// Container is an open container. [Container.Info] describes it. The caller closes it with Close.
//
// A Container must not be used by two goroutines at the same time, but the same container may be opened several times. A lock in
// the state directory makes sure that only one of them changes the container at a time, in this process and in others.
//
// If the container's state could not be read, the field Broken (type error) has the reason. Methods that need the state then return
// it. Delete with force removes what it can find of such a container, and logs what it cannot know.
type Container struct {
	*entry
	rt *Runtime
}

// Info describes a container.
type Info struct {
	OCIVersion  string // the version of the runtime-spec by which its config was read
	ID          string
	Pid         int // the pid of its first process; 0 if that has ended or does not exist yet
	Status      specs.ContainerState
	Bundle      string // an absolute path
	Rootfs      string // the absolute path of the root filesystem
	Created     string // when it was created: RFC 3339, UTC, with nanoseconds
	Annotations map[string]string
	Owner       string // the name of the user who created it; the uid if that has no name
	// Maker is the runtime that created the container: "runc" or "crun", or "" for davit.
	Maker string
}

// Paused is the status of a paused container. The runtime-spec has the other ones: creating, created, running and stopped.
const Paused = store.Paused

// Info describes the container as it was when it was opened. Only the status is read again.
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

// Status returns the present status: "creating", "created", "running", "paused" or "stopped".
func (c *Container) Status() specs.ContainerState { return c.entry.Status() }

// Spec returns the config from which the container was created, with the limits that Update has changed since. It is read once, and
// every call returns the same pointer: do not change what it points to.
func (c *Container) Spec() (*specs.Spec, error) { return c.entry.Spec() }

// Close closes the descriptors of c and gives back the lock, if c holds it. The container itself is not affected. Close may be
// called twice.
func (c *Container) Close() { c.entry.Close() }

func (rt *Runtime) container(e *store.Entry, err error) (*Container, error) {
	if err != nil {
		return nil, err
	}
	return &Container{e, rt}, nil
}

// Open opens a container. It fails with [ErrNotFound] if there is none with that id, and with a [ForeignError] if the container may not
// be touched. It takes no lock, so that a hook may call it while the container is being created. The methods that change
// the container take the lock themselves.
func (rt *Runtime) Open(id string) (*Container, error) { return rt.container(rt.store().Open(id)) }

// OpenLocked opens a container and takes its lock, which Close gives back. A method that changes the container then need not take the
// lock and read the state again. OpenLocked blocks until the lock is free. Two cases do not block for long, because
// the caller may be a hook of that container: a container that is being created fails at once, and a stopped one after 10 s.
func (rt *Runtime) OpenLocked(id string) (*Container, error) {
	return rt.container(rt.store().OpenLocked(id))
}

// Look opens a container for a list. It fails only with [ErrNotFound]. If it cannot read the container for another reason, it returns
// a Container whose field Broken has the error.
func (rt *Runtime) Look(id string) (*Container, error) { return rt.container(rt.store().Look(id)) }

// List returns the ids of all containers in alphabetical order. Containers of other runtimes are among them. For those that cannot be
// taken over, Open fails with a [ForeignError].
func (rt *Runtime) List() ([]string, error) { return rt.store().List() }

// lock takes the container's lock, unless c was opened with it. The caller must call unlock also if there is an error. unlock gives the
// lock back only if this call has taken it. If the state cannot be read, the error is c.Broken.
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

// Finding is a reason why this host cannot run a bundle, or a warning about the bundle.
type Finding = bundles.Finding

// Check reports everything that is wrong with a bundle, and whether this host can run it. It changes nothing on the host. If config.json
// cannot be read, that is a finding, not an error.
func (rt *Runtime) Check(o CreateOptions) ([]Finding, error) {
	raw, config, err := o.loadConfig()
	return bundles.Check(rt.store(), rt.log(), rt.compileOptions(&o), raw, config, err), nil
}

// Drift is one difference between a running container and its config.
type Drift = running.Drift

// Verify compares the container's first process and its cgroups with the config, and returns the differences. It looks at namespaces,
// mounts, masked and read-only paths, cgroup limits, user, capabilities, seccomp, the LSM label and resource limits. It
// fails with [ErrNotRunning] if the container has no process.
func (c *Container) Verify() ([]Drift, error) { return running.Verify(c.entry) }

// endedTaken reports whether the container is another runtime's and has ended, and all processes of its pid namespace with it. What is in
// its cgroups then is not its own: the state may be old, and the path in use again.
func (c *Container) endedTaken() bool { return c.Taken != nil && c.OwnPid && c.Pidfd.Int() < 0 }
