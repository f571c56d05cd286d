package fs

import (
	"errors"
	"time"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// The raw system calls of this package. Descriptors are plain ints here: an os.File costs a
// finalizer and more system calls than the reads and writes themselves.

// openDir opens a directory for openat and clone3 (CLONE_INTO_CGROUP takes O_PATH).
func OpenDir(path string) (int, error) {
	return OpenAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY)
}

func OpenAt(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// readAt reads a file of a cgroup into buf, and grows it while the file is larger.
func ReadAt(dir int, name string, buf []byte) ([]byte, error) {
	fd, err := OpenAt(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readFD(fd, buf)
}

func readFD(fd int, buf []byte) ([]byte, error) {
	buf = buf[:cap(buf)]
	for used := 0; ; {
		n, err := unix.Read(fd, buf[used:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		used += n
		// The kernel fills these files a page at a time: less than was asked for is the end.
		if n == 0 || used < len(buf) && len(buf) <= 4096 {
			return buf[:used], nil
		}
		if used == len(buf) {
			buf = append(buf, make([]byte, len(buf)+4096)...)
		}
	}
}

// readString reads a small file of a cgroup without its last newline.
func ReadString(dir int, name string) (string, error) {
	var buf [512]byte
	b, err := ReadAt(dir, name, buf[:])
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return string(b), err
}

// writeAt writes a file of a cgroup in one write, as the kernel wants it.
func WriteAt(dir int, name, value string) error {
	fd, err := OpenAt(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return WriteFD(fd, value)
}

// writeFD repeats a write that a signal interrupted: v1's memory limits return EINTR
// while they reclaim, and Go's runtime sends itself signals (golang/go#38033).
func WriteFD(fd int, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		if err != unix.EINTR {
			return err
		}
	}
}

func Mkdir(dir int, name string) error {
	for {
		err := unix.Mkdirat(dir, name, 0o755)
		if err != unix.EINTR {
			return err
		}
	}
}

func Rmdir(path string) error { return rmdirAt(unix.AT_FDCWD, path) }

func rmdirAt(dir int, name string) error {
	for {
		err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		if err != unix.EINTR {
			return err
		}
	}
}

// insist repeats what fails for a moment (a descriptor or memory that is missing, a mount that is being changed), for
// about half a second, where giving up would leave processes frozen or alive. A cgroup that is gone, or not the
// caller's, stays so.
func Retry(do func() error) error {
	for wait := 200 * time.Microsecond; ; wait *= 2 {
		err := do()
		if err == nil || Gone(err) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) || wait > 250*time.Millisecond {
			return err
		}
		sys.Sleep(wait)
	}
}

// gone says that a cgroup vanished under a system call: ENODEV is what an open file of a
// removed cgroup answers.
func Gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// subdirs are the names of the directories in path.
func Subdirs(path string) ([]string, error) {
	fd, err := OpenAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return subdirsOf(fd)
}

// subdirsOf are the names of the directories in fd, which nobody has read from yet.
func subdirsOf(fd int) ([]string, error) {
	var names []string
	err := EachEntry(fd, func(name []byte, kind byte) {
		if kind == unix.DT_DIR {
			names = append(names, string(name))
		}
	})
	return names, err
}

// eachEntry calls f for each entry of an open directory but "." and "..".
func EachEntry(fd int, f func(name []byte, kind byte)) error {
	var buf [4096]byte
	for {
		n, err := unix.Getdents(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for b := buf[:n]; len(b) > 0; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
			length := int(b[16]) | int(b[17])<<8
			name := cString(b[19:length])
			if s := string(name); s != "." && s != ".." {
				f(name, b[18])
			}
			b = b[length:]
		}
	}
}

func cString(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}
