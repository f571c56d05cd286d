package store

import (
	"fmt"

	"davit/internal/config"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// WriteFile writes data to the file name in the directory dir, which it makes, or empties if it exists. It follows no link.
func WriteFile(dir int, name string, data []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := sys.WriteAll(fd, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// readAt reads a small file of a directory in as few calls as it takes.
func readAt(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n := 0
	for {
		k, err := unix.Read(fd, buf[n:])
		if err != nil {
			return nil, err
		}
		if n += k; n < len(buf) {
			return buf[:n], nil
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
}

// readSmall reads a regular file in the directory of a container. It fails if the file is not regular or has more than maxKept bytes.
func readSmall(dir int, name string) ([]byte, error) {
	return sys.ReadSmall(dir, name, maxKept, unix.O_NOFOLLOW)
}

// maxKept bounds the files of a state directory, in bytes: a config.json has at most half of that, and is written again by update.
const maxKept = 2 * config.MaxConfig
