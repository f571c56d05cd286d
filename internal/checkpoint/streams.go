package checkpoint

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/internal/plan"
	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// StreamKey returns the name that CRIU has for the stream behind the descriptor fd, if the stream comes from outside of the container:
// "pipe:[12]" or "socket:[12]" with the inode, "file[1:2]" with mount id and inode, "tty[1:2]" with device numbers. For /dev/null
// it returns that path, because the container opens its own. It returns "" for all others. By these keys a restore puts other
// streams in their place.
func StreamKey(fd int) string {
	var buf [64]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return ""
	}
	text := string(buf[:n])
	if text == os.DevNull || strings.HasPrefix(text, "pipe:[") || strings.HasPrefix(text, "socket:[") {
		return text
	}
	return fileKey(fd, "")
}

// fileKey returns the key of the file or terminal at path, or of the descriptor fd if path is "". For others it returns "".
func fileKey(fd int, path string) string {
	var st unix.Statx_t
	if err := unix.Statx(fd, path, unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_MNT_ID, &st); err != nil {
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

// ReplacePaths puts keys in the place of paths, which runc and crun store for files and terminals. If the path is another file by now,
// the key fits none of the container's files.
func ReplacePaths(keys []string) []string {
	replaced := slices.Clone(keys)
	for i, key := range keys {
		if !path.IsAbs(key) || key == os.DevNull {
			continue
		}
		replaced[i] = fileKey(unix.AT_FDCWD, key)
	}
	return replaced
}

// isExternalStdio reports whether CRIU must be told of the stream with this key when it dumps.
// Pipes need nothing: CRIU sees that their other end is outside.
func isExternalStdio(key string) bool {
	return strings.HasPrefix(key, "file[") || strings.HasPrefix(key, "tty[")
}

// descriptorsFile is the file among the images that has the keys, as an array of three strings.
// runc and crun write the same file.
const descriptorsFile = "descriptors.json"

// maxDescriptors is the largest size of that file, in bytes.
const maxDescriptors = 64 << 10

// WriteStreams writes the keys of the three standard streams to the open directory of the images.
func WriteStreams(dir int, keys []string) error {
	var e jsonx.Encoder
	e.Strings(keys)
	return store.WriteFile(dir, descriptorsFile, e.Bytes())
}

// ReadStreams returns the keys of a checkpoint. If the file does not exist or has another form, it
// returns none: then the streams are restored as they were.
func ReadStreams(dir int) []string {
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

// IsInherited reports whether restore replaces the stream with this key.
func IsInherited(key string) bool {
	for _, kind := range [...]string{"pipe:[", "socket:[", "file[", "tty["} {
		if strings.HasPrefix(key, kind) && strings.HasSuffix(key, "]") {
			return true
		}
	}
	return false
}

// GiveStream makes the container's user the owner of a standard stream, by the rule of the stage (do_stdio_owner).
func GiveStream(fd int, p *plan.Plan, s *specs.Spec) {
	owner := plan.StdioOwner{Keep: true}
	for _, e := range p.Steps {
		if o, is := e.Step.(plan.StdioOwner); is {
			owner = o
		}
	}
	var st unix.Stat_t
	if owner.Keep || unix.Fstat(fd, &st) != nil {
		return
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	writable := err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	terminal := err == nil
	var fs unix.Statfs_t
	nameless := unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
	if !isToOwn(&st, writable, terminal, nameless) {
		return
	}
	uid := int(owner.UID)
	if _, _, mapped := mappedRoot(s); mapped {
		uid = config.HostID(s.Linux.UIDMappings, uint32(uid))
	}
	if int(st.Uid) != uid {
		_ = unix.Fchown(fd, uid, -1)
	}
}

// isToOwn reports whether the container's user becomes the owner of a stream. It does the same as is_to_own of the stage: the
// user gets a stream that may be written, and a pipe without a name. It gets no device, such as the host's /dev/null, except a
// terminal that belongs to one process (/dev/tty, /dev/console and /dev/ptmx, major 5, do not).
func isToOwn(st *unix.Stat_t, writable, terminal, nameless bool) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return false
	case unix.S_IFCHR:
		return terminal && unix.Major(st.Rdev) != 5 && writable
	case unix.S_IFIFO:
		return writable || nameless // other processes may use a pipe with a name
	}
	return writable
}
