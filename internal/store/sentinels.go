package store

import (
	"errors"
	"fmt"

	"davit/internal/fault"
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

func (s Store) notFound(id string) error {
	return fault.WithHint(fmt.Errorf("%w: %q", ErrNotFound, id), "looked in "+s.Root+"; `davit list --all-roots` looks everywhere")
}
