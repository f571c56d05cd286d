package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sleep is time.Sleep as a system call. Go's timers would set up its poller first, which ends davit where there are no
// descriptors for it. A signal may end it early.
func Sleep(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}
