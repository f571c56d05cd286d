package store

import (
	"errors"
	"fmt"
)

// What errors.Is finds in the errors of a store. Engines look for these words.
var (
	// ErrNotFound says that there is no container with that id.
	ErrNotFound = errors.New("container does not exist")
	// ErrExists says that the id is taken.
	ErrExists = errors.New("already exists")
	// ErrNotRunning says that the container's process has ended, or is not there yet.
	ErrNotRunning = errors.New("container not running")
)

func notFound(id string) error { return fmt.Errorf("%w: %q", ErrNotFound, id) }
