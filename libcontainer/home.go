package libcontainer

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxPasswd bounds what is read of a container's /etc/passwd, in bytes.
const maxPasswd = 1 << 20

// homeInBundle returns the home directory of the process's user as the
// container's /etc/passwd will have it: in the bind mount that covers it, or
// in the root filesystem. Without an entry it is "/".
func homeInBundle(s *specs.Spec, bundle string) string {
	dir, rest := rootfs.Path(s, bundle), "etc/passwd"
	for _, m := range s.Mounts {
		dest := path.Clean("/" + m.Destination)
		if below, ok := strings.CutPrefix("/etc/passwd", dest); ok && m.Source != "" && (below == "" || below[0] == '/') && m.Type != "tmpfs" {
			dir, rest = m.Source, strings.TrimPrefix(below, "/")
			if !path.IsAbs(dir) {
				dir = path.Join(bundle, dir)
			}
		}
	}
	return homeIn(dir, rest, s.Process.User.UID)
}

func homeIn(root, file string, uid uint32) string {
	if data := readInRoot(root, file); data != "" {
		if home := homeOf(data, uid); home != "" {
			return home
		}
	}
	return "/"
}

// readInRoot reads a small regular file that an untrusted root filesystem
// holds: links are resolved inside it, and no fifo or device is opened for reading.
func readInRoot(root, file string) string {
	fd := -1
	var err error
	if file == "" {
		fd, err = unix.Open(root, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	} else {
		var dir int
		if dir, err = unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return ""
		}
		defer unix.Close(dir)
		fd, err = unix.Openat2(dir, file, &unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
	}
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxPasswd {
		return ""
	}
	buf := make([]byte, st.Size)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
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

// homeInContainer is homeInBundle for a container that runs.
func homeInContainer(pid int, uid uint32) string {
	return homeIn(fmt.Sprintf("/proc/%d/root", pid), "etc/passwd", uid)
}
