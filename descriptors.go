package main

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// checkPreserved returns the n descriptors from 3 on. It fails if one of them is not open, or is
// davit's own. It makes sure that no program inherits the other descriptors that davit was called
// with.
func checkPreserved(n int) ([]int, error) {
	var fds []int
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("--preserve-fds (and LISTEN_FDS): descriptor %d should be passed on, but davit was called without it", fd)
		}
		fds = append(fds, fd)
	}
	return fds, closeOnExec()
}

// closeOnExec makes sure that no program which davit executes inherits the descriptors that davit
// was called with: a stage would hold them while it waits for start, and a hook as long as it runs.
// The descriptors that a process is to get are passed one by one.
func closeOnExec() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	return nil
}
