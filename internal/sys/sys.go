// Package sys makes system calls the way davit needs them: interrupted ones are repeated, descriptors are close-on-exec, and
// errors name the call and its subject.
package sys

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// ReadSmall reads a regular file of at most most bytes. Its path is relative to the directory dir.
// flags are additional flags of open(2), such as O_NOFOLLOW. It refuses anything but a regular file
// before it reads. If a system call has failed, the error wraps a unix.Errno. os.ReadFile would
// also start Go's poller, which takes four system calls.
func ReadSmall(dir int, path string, most int64, flags int) ([]byte, error) {
	// With O_NONBLOCK, open does not wait for the writer of a fifo, which is refused below.
	fd, err := Retry(func() (int, error) {
		return unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if st.Size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that it may have", path, st.Size, most)
	}
	data := make([]byte, st.Size)
	for n := 0; n < len(data); {
		got, err := Retry(func() (int, error) { return unix.Read(fd, data[n:]) })
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if got == 0 { // the file was truncated while it was read
			data = data[:n]
		}
		n += got
	}
	return data, nil
}

// Retry calls f until no signal interrupts it.
func Retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// OnThread calls f on a thread of its own, which ends with f. So f may change the thread's
// namespaces, root directory and umask without any effect on the rest of the process. The thread is
// never the main thread, because /proc/self shows the namespaces of that one for the whole process.
func OnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it is never unlocked, so the thread ends with this function
		if unix.Gettid() == unix.Getpid() {
			err := OnThread(f) // this is the main thread: use another one while it is locked
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
