package libcontainer

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// preserved returns the descriptors from 3 on that the container process gets.
// All of them must be open since davit began: one that davit opened itself, which
// is close-on-exec as an inherited one cannot be, would leak (CVE-2024-21626).
func preserved(n int) ([]int, error) {
	var fds []int
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, withHint(fmt.Errorf("--preserve-fds: %d: descriptor %d is not open", n, fd),
				fmt.Sprintf("whoever starts davit has to open all from 3 to %d", 2+n))
		}
		fds = append(fds, fd)
	}
	return fds, nil
}
