package host

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPasswd is the size of the largest /etc/passwd of a container that is read, in bytes.
const maxPasswd = 1 << 20

// Home returns the home directory of a user as the file of a root directory, such as "etc/passwd", has it (passwd(5)), "/" where
// it has none. It fails only where davit itself lacks what it takes to look: what the container's files are like is no reason
// not to start it.
func (f *Facts) Home(root, file string, uid uint32) (string, error) {
	if f.told != nil {
		return "/", nil
	}
	data, err := readInRoot(root, file)
	for _, errno := range [...]unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, errno) {
			return "", fmt.Errorf("look up HOME in the container's /etc/passwd: %w", err)
		}
	}
	if home := homeOf(data, uid); home != "" {
		return home, nil
	}
	return "/", nil
}

// readInRoot reads a small regular file that an untrusted root filesystem
// holds: links are resolved inside it, and nothing is opened for reading before
// it is known to be a regular file. Opening a device can have effects, and davit
// is not bound by the container's list of devices.
func readInRoot(root, file string) (string, error) {
	at, err := openInRoot(root, file)
	if err != nil {
		return "", err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if unix.Fstat(at, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxPasswd {
		return "", nil
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, st.Size)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func openInRoot(root, file string) (int, error) {
	if file == "" {
		return unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return unix.Openat2(dir, file, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// homeOf finds a user's home directory in a passwd(5) file.
func homeOf(passwd string, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.SplitSeq(passwd, "\n") {
		f := strings.Split(line, ":")
		if len(f) >= 6 && f[2] == want {
			return f[5]
		}
	}
	return ""
}
