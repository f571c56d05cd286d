package sys

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// WriteAll writes all of data to a descriptor of any kind. It continues after signals, and waits
// for descriptors that are non-blocking.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch err {
		case nil:
			data = data[n:]
		case unix.EINTR:
		case unix.EAGAIN: // a pipe or terminal that davit's caller has made non-blocking
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		default:
			return err
		}
	}
	return nil
}

// WriteNew makes the file name in the directory dir, with the permissions mode less the umask, and writes data to it. A file or link that
// already has the name is removed, never followed: it is left from a process that was killed, or planted. On error no
// file is left. The error wraps the unix.Errno of the call that failed.
func WriteNew(dir int, name string, data []byte, mode uint32) error {
	open := func() (int, error) {
		return unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
	}
	fd, err := Retry(open)
	if errors.Is(err, unix.EEXIST) {
		_ = unix.Unlinkat(dir, name, 0)
		fd, err = Retry(open)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	err = WriteAll(fd, data)
	if closed := unix.Close(fd); err == nil {
		err = closed // a network filesystem reports here that it is full
	}
	if err != nil {
		_ = unix.Unlinkat(dir, name, 0)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Replace replaces the contents of the file name in the directory dir. A reader gets either the old
// or the new contents, never a part. It first writes them to the file aside in the same directory,
// as WriteNew does, and then renames that file. Only one caller at a time may use the same aside.
// On error the file is unchanged, and aside does not exist.
func Replace(dir int, aside, name string, data []byte, mode uint32) error {
	if err := WriteNew(dir, aside, data, mode); err != nil {
		return err
	}
	if err := unix.Renameat(dir, aside, dir, name); err != nil {
		_ = unix.Unlinkat(dir, aside, 0)
		return fmt.Errorf("rename %s to %s: %w", aside, name, err)
	}
	return nil
}
