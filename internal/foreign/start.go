package foreign

import (
	"errors"
	"fmt"
	"time"

	"davit/internal/store"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// startTimeout is how long davit waits for an answer of the container's process, which already
// waits at its fifo.
const startTimeout = 10 * time.Second

// Start lets the process of a created container go. runc's process writes to exec.fifo when
// somebody reads it; crun's reads from it.
func (c *container) Start(pidfd int) error {
	// With O_NONBLOCK neither way waits for a process that does not exist.
	flags := unix.O_RDONLY
	if c.maker == "crun" {
		flags = unix.O_WRONLY
	}
	fd, err := unix.Openat(c.dir, fifo, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENXIO {
		return fmt.Errorf("open %s: nobody waits there: the container has been started, or its process has ended", fifo)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", fifo, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", fifo, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("%s is no fifo", fifo)
	}
	if c.maker == "crun" {
		if err := c.removeFifo(); err != nil { // this comes first, as with crun: the container is no longer created
			return err
		}
		if _, err := sys.Retry(func() (int, error) { return unix.Write(fd, []byte{0}) }); err != nil {
			return fmt.Errorf("write to %s: %w", fifo, err)
		}
		return nil
	}
	if err := awaitByte(fd, pidfd); err != nil {
		return err
	}
	return c.removeFifo()
}

func (c *container) removeFifo() error {
	if err := unix.Unlinkat(c.dir, fifo, 0); err != nil {
		return fmt.Errorf("unlink %s: %w", fifo, err)
	}
	return nil
}

// awaitByte waits until the container's process has written, or has ended.
func awaitByte(fd, pidfd int) error {
	for end := time.Now().Add(startTimeout); ; {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, max(int(time.Until(end).Milliseconds()), 0))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("poll %s: %w", fifo, err)
		case n == 0:
			return fmt.Errorf("the container's process has not come to %s for %s: it may have been started already", fifo, startTimeout)
		}
		if p[0].Revents&unix.POLLIN != 0 {
			var buf [8]byte
			if got, err := unix.Read(fd, buf[:]); err == nil && got > 0 {
				return nil
			}
		}
		if p[1].Revents != 0 {
			return fmt.Errorf("start: %w", store.ErrNotRunning)
		}
		if p[0].Revents&unix.POLLHUP != 0 { // nobody has the fifo open for writing any more
			return errors.New("the container's process has closed " + fifo + " and written nothing")
		}
	}
}
