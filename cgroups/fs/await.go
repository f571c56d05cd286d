package fs

import (
	"fmt"
	"strings"
	"time"

	"davit/internal/fault"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// AwaitEmpty waits until no process is left in the cgroup2 directory dir and below it. A directory
// that does not exist counts as empty. After timeout it returns an error that names some of the
// processes.
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
	switch pids, _ := AllPids(dir); len(pids) {
	case 0: // the list leaves out what the reader's pid namespace does not show
		return &fault.Error{Text: "remove cgroup " + shorten(dir) + ": processes are still in it that are not visible here", Err: err,
			Hint: "they are of another pid namespace: call davit in the one in which it has made the container"}
	case 1:
		return fmt.Errorf("remove cgroup %s: process %d is still in it: %w", shorten(dir), pids[0], err)
	default:
		return fmt.Errorf("remove cgroup %s: %d processes are still in it, %s: %w", shorten(dir), len(pids), some(pids), err)
	}
}

// some formats at most ten of the process ids, to keep an error short.
func some(pids []int) string {
	if len(pids) > 10 {
		return strings.TrimSuffix(fmt.Sprint(pids[:10]), "]") + " …]"
	}
	return fmt.Sprint(pids)
}

// awaitExit waits until the first of the processes has ended, at most for timeout. Without a
// process it waits for a moment: the last one is just leaving the cgroup.
func awaitExit(pids []int, timeout time.Duration) {
	// The pause is needed after an exit, too: v1 removes a process from its cgroup a moment after
	// it has become a zombie.
	defer sys.Sleep(100 * time.Microsecond)
	if len(pids) == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pids[0], 0)
	if err != nil {
		return // the process has ended
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(timeout/time.Millisecond)+1)
}

// AwaitEvent waits until the file cgroup.events in the open directory dir contains line, such as
// "populated 0". The kernel wakes poll(2) at each change of the file. After timeout it returns an
// error.
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
			return fmt.Errorf("cgroup.events does not say %q after %v", line, timeout)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
