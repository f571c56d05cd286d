// Package sys makes system calls the way davit needs them: interrupted ones are repeated, descriptors are close-on-exec, and
// errors name the call and its subject.
package sys

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// ReadSmall reads a regular file of at most most bytes, by a path that is relative to the directory dir. What flags of open(2) say
// besides is the caller's, as O_NOFOLLOW. Anything but a regular file is refused before it is read. The error wraps a
// unix.Errno if a system call has failed. os.ReadFile would start Go's poller first: four system calls more, which
// nothing here needs.
func ReadSmall(dir int, path string, most int64, flags int) ([]byte, error) {
	// O_NONBLOCK: do not wait for the writer of a fifo, which is refused below.
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
		if got == 0 { // it was cut while being read
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

// OnThread calls f on a thread of its own, which ends with f: what f changes of the thread (its namespaces, its root, its umask)
// changes nothing for the rest of the process. It is not the main thread, whose namespaces /proc/self shows for the whole process.
func OnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if unix.Gettid() == unix.Getpid() {
			err := OnThread(f) // on another one, since this is in use
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
