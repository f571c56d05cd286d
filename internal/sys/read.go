package sys

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// ReadWhole reads a file of the host whose size is not known and which may come in several parts, such as a file in procfs. It is used
// instead of os.ReadFile, which starts Go's poller. The poller ends davit if no descriptor is left.
func ReadWhole(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return buf, nil
		default:
			buf = slices.Grow(buf[:len(buf)+n], 512)
		}
	}
}
