package main

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// checkPreserved returns the n descriptors from 3 on, if they are open, and not davit's own.
// The others that davit was called with go no further.
func checkPreserved(n int) ([]int, error) {
	var fds []int
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("--preserve-fds (and LISTEN_FDS): descriptor %d was to be passed on, but davit was called without it", fd)
		}
		fds = append(fds, fd)
	}
	return fds, closeOnExec()
}

// closeOnExec keeps what davit was called with from whatever it executes: a
// stage would hold it while it waits for start, and a hook for good. The stdio and
// descriptors that a process is to have are handed over one by one.
func closeOnExec() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	return nil
}
