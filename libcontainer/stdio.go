package libcontainer

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"davit/internal/jsonx"
	"davit/internal/store"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// keys returns what CRIU calls each of the three standard streams that a new container gets, if
// it comes from outside of the container: "pipe:[12]" or "socket:[12]" with its inode, "file[1:2]" with
// mount id and inode, "tty[1:2]" with device numbers. /dev/null is written as it is: the container
// opens its own. These are the names under which a restore hands over other streams in their place.
func (s *Stdio) keys() []string {
	keys := make([]string, 3)
	for i, f := range [...]*os.File{s.In, s.Out, s.Err} {
		switch f {
		case nil:
			keys[i] = os.DevNull
		case os.Stdin: // as in fill
			keys[i] = stdioKey(unix.Stdin)
		case os.Stdout:
			keys[i] = stdioKey(unix.Stdout)
		case os.Stderr:
			keys[i] = stdioKey(unix.Stderr)
		default:
			keys[i] = stdioKey(int(f.Fd()))
		}
	}
	return keys
}

func stdioKey(fd int) string {
	var buf [64]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return ""
	}
	text := string(buf[:n])
	if text == "/dev/null" || strings.HasPrefix(text, "pipe:[") || strings.HasPrefix(text, "socket:[") {
		return text
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_MNT_ID, &st); err != nil {
		return ""
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO:
		return fmt.Sprintf("file[%x:%x]", st.Mnt_id, st.Ino)
	case unix.S_IFCHR:
		// CRIU has the device numbers as the kernel's stat(2) encodes them.
		return fmt.Sprintf("tty[%x:%x]", unix.Mkdev(st.Rdev_major, st.Rdev_minor), unix.Mkdev(st.Dev_major, st.Dev_minor))
	}
	return ""
}

// isExternalStdio reports whether a key names a stream that CRIU has to be told of when it dumps. Pipes
// need nothing: CRIU sees that their other end is elsewhere.
func isExternalStdio(key string) bool {
	return strings.HasPrefix(key, "file[") || strings.HasPrefix(key, "tty[")
}

// descriptorsFile is the file among the images that holds the keys, as an array of three strings. runc
// and crun write the same file.
const descriptorsFile = "descriptors.json"

// maxDescriptors bounds that file, in bytes.
const maxDescriptors = 64 << 10

func writeDescriptors(dir int, keys []string) error {
	var e jsonx.Encoder
	e.Strings(keys)
	return store.WriteFile(dir, descriptorsFile, e.Bytes())
}

// readDescriptors returns the keys that a checkpoint was made with. A file that is not there, or is
// something else, gives none: then the streams are restored as they were.
func readDescriptors(dir int) []string {
	data, err := sys.ReadSmall(dir, descriptorsFile, maxDescriptors, unix.O_NOFOLLOW)
	if err != nil {
		return nil
	}
	d := jsonx.NewDecoder(descriptorsFile, data)
	keys := d.Strings()
	if d.End() != nil || len(keys) > 3 {
		return nil
	}
	return keys
}

// isInherited reports whether a key names a stream that restore gives anew.
func isInherited(key string) bool {
	for _, kind := range [...]string{"pipe:[", "socket:[", "file[", "tty["} {
		if strings.HasPrefix(key, kind) && strings.HasSuffix(key, "]") {
			return true
		}
	}
	return false
}
