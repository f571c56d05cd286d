package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"davit/internal/host"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// findProcess returns a pidfd of the container's process, or nil if that has ended, also if its pid now belongs to another process. If
// it cannot find out, for example because no descriptor is free, it returns an error: a container that was wrongly
// taken for stopped could be deleted.
func (c *Entry) findProcess() (*sys.FD, error) {
	if c.Pid <= 0 {
		return nil, nil
	}
	n, err := unix.PidfdOpen(c.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL { // EINVAL: it is a thread of another process by now
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open %d: %w", c.Pid, err)
	}
	fd := sys.Own(n)
	is, err := c.isProcess(n)
	if err != nil || !is || HasExited(n) {
		fd.Close()
		return nil, err
	}
	return fd, nil
}

// isProcess reports whether a pidfd of c.Pid belongs to the container's process.
func (c *Entry) isProcess(fd int) (bool, error) {
	if c.Inode != 0 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return false, fmt.Errorf("fstat of a pidfd: %w", err)
		}
		if st.Ino != c.Inode || c.StartTime == 0 {
			return st.Ino == c.Inode, nil
		}
	}
	now, err := readStartTime(c.Pid)
	switch err {
	case nil:
		return now == c.StartTime, nil
	case unix.ENOENT, unix.ESRCH, unix.EPERM, unix.EACCES: // it has ended; or hidepid= of proc(5) hides it from a user
		return c.Inode != 0, nil
	}
	return false, fmt.Errorf("read /proc/%d/stat: %w", c.Pid, err)
}

// KillTimeout is how long davit waits for a killed process to end, since it may be in an uninterruptible sleep.
const KillTimeout = 10 * time.Second

// HasExited reports whether the process of a pidfd has ended. It may still be a zombie.
func HasExited(pidfd int) bool {
	p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// WaitExit waits at most d until the process of a pidfd has ended, and reports whether it has.
func WaitExit(pidfd int, d time.Duration) bool {
	end := time.Now().Add(d)
	for {
		left := time.Until(end)
		p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(max(left, 0).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		return n == 1
	}
}

func pidfdInode(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

// startTime returns what readStartTime returns, or 0 if that fails.
func startTime(pid int) uint64 {
	t, _ := readStartTime(pid)
	return t
}

// Tracer describes the process that traces another one (ptrace(2)), as "process 12 (its command line)". It returns "" if none does, or
// one in a pid namespace outside.
func Tracer(pid int) string {
	status, err := sys.Status(strconv.Itoa(pid))
	if err != nil {
		return ""
	}
	tracer := status["TracerPid"]
	if n, err := strconv.Atoi(tracer); err != nil || n == 0 {
		return ""
	}
	data, err := sys.ReadWhole("/proc/" + tracer + "/cmdline")
	if err != nil {
		return ""
	}
	line := strings.Join(strings.FieldsFunc(string(data), func(r rune) bool { return r <= ' ' }), " ")
	return "process " + tracer + " (" + line + ")"
}

// StatFields returns the fields of /proc/PID/stat from the third on, the process's state. proc_pid_stat(5).
func StatFields(pid int) ([]string, error) {
	data, err := readAt(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/stat")
	if err != nil {
		return nil, err
	}
	// The name before it may hold anything, but ends with the last parenthesis.
	return strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])), nil
}

// readStartTime reads field 22 of /proc/PID/stat.
func readStartTime(pid int) (uint64, error) {
	fields, err := StatFields(pid)
	if err != nil {
		return 0, err
	}
	if len(fields) < 20 {
		return 0, nil
	}
	t, _ := strconv.ParseUint(fields[19], 10, 64)
	return t, nil
}

// Remember records in the state which process is the container's. path is that of the state directory. Below /run, which is a tmpfs,
// a state ends with the boot; elsewhere it may outlive it, so that Remember records more.
func (s *State) Remember(pid, pidfd int, facts *host.Facts, path string) {
	s.Pid = pid
	if !facts.Kernel().Less(host.Version{Major: 6, Minor: 9}) {
		s.Inode = pidfdInode(pidfd)
	}
	if s.Inode == 0 || !strings.HasPrefix(path, "/run/") {
		s.StartTime = startTime(pid)
	}
}
