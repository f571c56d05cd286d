package libcontainer

import (
	"fmt"
	"time"

	"davit/cgroups"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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

// lock waits for the lock, but not for a container that is being made, and not long for one whose process has
// ended: a hook may be who asks, and would wait for itself.
func (c *Container) lock() error {
	err := flock(c.dir, unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		switch c.statusUnlocked() {
		case specs.StateCreating:
			return withHint(fmt.Errorf("the container is being created: %s", textNotRunning),
				"wait until create has returned; hooks.poststart are the hooks that may call any verb")
		case specs.StateStopped:
			return c.lockSoon(false)
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

// lockSoon waits for the lock, at the most for lockTimeout: flock has none. With kill it kills the container's
// processes, once they are known.
func (c *Container) lockSoon(kill bool) error {
	for end := time.Now().Add(lockTimeout); ; cgroups.Sleep(5 * time.Millisecond) {
		err := flock(c.dir, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("lock %s: %w", c.path, err)
		case time.Now().After(end):
			return withHint(fmt.Errorf("another davit has held the container's lock for %s: it may be waiting for a hook", lockTimeout),
				"once the hook has ended, that davit removes the container, or delete can")
		case kill:
			if kill, err = c.killUnlocked(); err != nil {
				return err
			}
		}
	}
}

// unlocked calls do with the container as its state has it now, if that can be read.
func (c *Container) unlocked(do func(*Container)) {
	now := &Container{State: State{ID: c.ID}, store: c.store, path: c.path, dir: c.dir, pidfd: -1}
	defer func() {
		now.dir = -1 // is c's
		now.Close()
	}()
	if now.load(true) == nil && now.Broken == nil {
		do(now)
	}
}

func (c *Container) statusUnlocked() (status specs.ContainerState) {
	c.unlocked(func(now *Container) { status = now.Status() })
	return status
}

// killUnlocked ends every process of the container; again says that its state could not be read.
func (c *Container) killUnlocked() (again bool, err error) {
	again = true
	c.unlocked(func(now *Container) { again, err = false, now.killAll() })
	return again, err
}

// unlock gives the lock back before the container is closed.
func (c *Container) unlock() { flock(c.dir, unix.LOCK_UN) }

// relock takes the lock again, and says whether the container is still there.
func (c *Container) relock() bool { return flock(c.dir, unix.LOCK_EX) == nil && !isRemoved(c.dir) }
