// Package libcontainer is the life of a container: create, start, exec, kill,
// delete, and the state that is kept of it. It composes the plan from what the
// packages below contribute, and does the parent's part of it.
package libcontainer

import (
	"davit/internal/log"
	"davit/internal/store"
)

// Runtime is a directory of containers' states and what is done with the containers in it.
type Runtime struct{ Root string }

func (rt Runtime) store() store.Store {
	return store.Store{Root: rt.Root, Log: log.Logger{Debug: Log, Warn: Warn}}
}

func (rt Runtime) checkRoot() error { return rt.store().CheckRoot() }

// Container is a container that exists; it is locked for as long as it is open
// by a verb that changes it.
type Container struct {
	*store.Entry
	rt Runtime
}

func (rt Runtime) container(e *store.Entry, err error) (*Container, error) {
	if err != nil {
		return nil, err
	}
	return &Container{e, rt}, nil
}

// What errors.Is finds.
var (
	// ErrNotFound says that there is no container with that id.
	ErrNotFound = store.ErrNotFound
	// ErrExists says that the id is taken.
	ErrExists = store.ErrExists
	// ErrNotRunning says that the container's process has ended, or is not there yet.
	ErrNotRunning = store.ErrNotRunning
)

// ForeignError is why davit does nothing with a container: something else has made it.
type ForeignError = store.ForeignError

// Open finds a container, or fails with ErrNotFound. It waits for no lock: it is for verbs that
// look at a container, signal it, or add a process. A hook may call those while its
// container is being made, and a state on disk is always whole.
func (rt Runtime) Open(id string) (*Container, error) { return rt.container(rt.store().Open(id)) }

// OpenLocked finds a container and takes its lock, which Close gives back: for verbs that
// change what is kept of it.
func (rt Runtime) OpenLocked(id string) (*Container, error) {
	return rt.container(rt.store().OpenLocked(id))
}

// OpenForced opens a container to delete it, whatever state it is in. If another davit holds its lock, the container's
// processes are killed.
func (rt Runtime) OpenForced(id string) (*Container, error) {
	return rt.container(rt.store().OpenForced(id, func(e *store.Entry) error { return (&Container{e, rt}).killAll() }))
}

// Look finds a container, as Open does. If that fails for another reason than that there is none, what it returns is Broken:
// list shows it all the same.
func (rt Runtime) Look(id string) (*Container, error) { return rt.container(rt.store().Look(id)) }

// List returns the ids of all containers, in order.
func (rt Runtime) List() ([]string, error) { return rt.store().List() }
