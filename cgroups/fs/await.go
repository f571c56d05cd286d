package fs

import (
	"fmt"
	"strings"
	"time"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// awaitEmpty waits until nobody is in a cgroup2 directory and below.
func AwaitEmpty(dir string, timeout time.Duration) error {
	fd, err := OpenDir(dir)
	if err == nil {
		defer unix.Close(fd)
		err = AwaitEvent(fd, "populated 0", timeout)
	}
	if err == nil || Gone(err) {
		return nil
	}
	return stillThere(dir, err)
}

func stillThere(dir string, err error) error {
	pids, _ := AllPids(dir)
	return fmt.Errorf("remove cgroup %s: %d process(es) are still in it, %s: %w", shorten(dir), len(pids), some(pids), err)
}

// some is a list of processes that is not too long for an error.
func some(pids []int) string {
	if len(pids) > 10 {
		return strings.TrimSuffix(fmt.Sprint(pids[:10]), "]") + " …]"
	}
	return fmt.Sprint(pids)
}

// awaitExit waits until the first of the processes is gone, or for a moment if there is none to
// wait for (it is just leaving).
func awaitExit(pids []int, timeout time.Duration) {
	// Also after an exit: v1 lets go of a process a moment after it became a zombie.
	defer sys.Sleep(100 * time.Microsecond)
	if len(pids) == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pids[0], 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(timeout/time.Millisecond)+1)
}

// awaitEvent waits until cgroup.events in dir has a line; the kernel wakes poll at each change.
func AwaitEvent(dir int, line string, timeout time.Duration) error {
	fd, err := OpenAt(dir, "cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(timeout)
	var buf [256]byte
	for {
		n, err := unix.Pread(fd, buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if strings.Contains(string(buf[:n]), line) {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("not %q in cgroup.events after %v", line, timeout)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
