package store

import (
	"fmt"
	"time"

	"davit/internal/fault"
	"davit/internal/sys"

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

// lock blocks until the lock is free. There are two exceptions, because the caller may be a hook of that container, which would wait for
// itself: a container that is being created fails at once, and a stopped one after lockTimeout.
func (c *Entry) lock() error {
	err := flock(c.Dir.Int(), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		switch c.statusUnlocked() {
		case specs.StateCreating:
			return fault.WithHint(fmt.Errorf("the container is being created: %w", ErrNotRunning),
				"wait until create has returned; hooks.poststart are the hooks that may call any verb")
		case specs.StateStopped:
			return c.lockSoon(nil)
		}
		err = flock(c.Dir.Int(), unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", c.Path, err)
	}
	return nil
}

// Locked reports whether the entry has the lock.
func (c *Entry) Locked() bool { return c.locked }

// Lock takes the lock for an entry that was opened without it, and reads the state again. If kill is not nil, Lock waits as
// Store.OpenForced does.
func (c *Entry) Lock(kill func(*Entry) error) error {
	take := c.lock
	if kill != nil {
		take = func() error { return c.lockSoon(kill) }
	}
	if err := take(); err != nil {
		return err
	}
	c.Pidfd.Close()
	c.Broken, c.config = nil, nil
	return c.load(true)
}

// lockTimeout is how long another davit may keep the lock of a container whose processes have ended.
const lockTimeout = KillTimeout

// lockSoon waits for the lock for at most lockTimeout, for which flock(2) has no option. If kill is not nil, it is called as soon as the
// container's processes are known, and kills them.
func (c *Entry) lockSoon(kill func(*Entry) error) error {
	for end := time.Now().Add(lockTimeout); ; sys.Sleep(5 * time.Millisecond) {
		err := flock(c.Dir.Int(), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("lock %s: %w", c.Path, err)
		case time.Now().After(end):
			return fault.WithHint(fmt.Errorf("another davit has held the container's lock for %s: it may be waiting for a hook", lockTimeout),
				"once the hook has ended, that davit removes the container, or delete can")
		case kill != nil:
			var failed error
			c.unlocked(func(now *Entry) { failed, kill = kill(now), nil })
			if failed != nil {
				return failed
			}
		}
	}
}

// unlocked calls do with the container as its state has it now, if that can be read.
func (c *Entry) unlocked(do func(*Entry)) {
	now := &Entry{State: State{ID: c.ID}, store: c.store, Path: c.Path, Dir: c.Dir}
	defer func() {
		now.Dir = nil // is c's
		now.Close()
	}()
	if now.load(true) == nil && now.Broken == nil {
		do(now)
	}
}

func (c *Entry) statusUnlocked() (status specs.ContainerState) {
	c.unlocked(func(now *Entry) { status = now.Status() })
	return status
}

// Unlock gives the lock back, and leaves the entry open.
func (c *Entry) Unlock() {
	flock(c.Dir.Int(), unix.LOCK_UN)
	c.locked = false
}

// Relock takes the lock again, and reports whether the container still exists.
func (c *Entry) Relock() bool {
	c.locked = flock(c.Dir.Int(), unix.LOCK_EX) == nil
	return c.locked && !IsRemoved(c.Dir.Int())
}
