package libcontainer

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The lock of a container is a flock(2) on its directory, which closing the descriptor gives back.
// It is not held while poststart hooks run, which may call any verb. It is held while
// a container is being made, its hooks included.

// flock is not interrupted by signals.
func flock(dir, how int) error {
	for {
		if err := unix.Flock(dir, how); err != unix.EINTR {
			return err
		}
	}
}

// lock waits for the lock, but not for a container that is being made: a hook may be who asks, and
// would wait for itself.
func (c *Container) lock() error {
	err := flock(c.dir, unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		if s, unread := readState(c.dir); unread == nil && s.Pid == 0 {
			return withHint(fmt.Errorf("the container is being created: %s", textNotRunning),
				"wait until create has returned; hooks.poststart are the hooks that may call any verb")
		}
		err = flock(c.dir, unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", c.path, err)
	}
	return nil
}

// lockTimeout is how long whoever holds the lock may take to let go when the container's processes are dead.
const lockTimeout = killTimeout

// lockSoon waits for the lock, at the most for lockTimeout: flock has none.
func (c *Container) lockSoon() error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(5 * time.Millisecond) {
		err := flock(c.dir, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("lock %s: %w", c.path, err)
		case time.Now().After(end):
			return withHint(errors.New("the container's processes are killed, but another davit holds its lock: it waits for a hook"),
				"once the hook has ended, that davit removes the container, or delete can")
		}
	}
}

// unlock gives the lock back before the container is closed.
func (c *Container) unlock() { flock(c.dir, unix.LOCK_UN) }

// relock takes the lock again, and says whether the container is still there.
func (c *Container) relock() bool { return flock(c.dir, unix.LOCK_EX) == nil && !isRemoved(c.dir) }
