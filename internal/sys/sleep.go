package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sleep pauses the calling thread for d with nanosleep(2). A signal may end the pause early.
// time.Sleep is not used because Go's timers first set up its poller, which ends the program if no
// descriptor is left for it.
func Sleep(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}
