// Package fs reads, writes and walks through the directories of cgroup filesystems.
//
// Descriptors are plain ints here: an os.File costs a finalizer and more system calls than the
// reads and writes themselves. Where a function takes a directory and a name, the directory is an
// open descriptor or unix.AT_FDCWD. Errors are the unix.Errno alone unless the function says
// otherwise: the caller knows what it was doing.
package fs

import (
	"errors"
	"time"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// OpenDir opens a directory with O_PATH, which is enough for openat(2) and for clone3(2) with
// CLONE_INTO_CGROUP.
func OpenDir(path string) (int, error) {
	return OpenAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY)
}

// OpenAt is openat(2) with O_CLOEXEC. It repeats a call that a signal interrupted.
func OpenAt(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// ReadAt reads a whole file of a cgroup into buf, which it grows if the file is larger.
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
		// The kernel writes these files a page at a time: fewer bytes than asked for are the end.
		if n == 0 || used < len(buf) && len(buf) <= 4096 {
			return buf[:used], nil
		}
		if used == len(buf) {
			buf = append(buf, make([]byte, len(buf)+4096)...)
		}
	}
}

// ReadString returns the contents of a file of a cgroup without the last newline.
func ReadString(dir int, name string) (string, error) {
	var buf [512]byte
	b, err := ReadAt(dir, name, buf[:])
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return string(b), err
}

// WriteAt writes value to a file of a cgroup with a single write(2), as the kernel demands.
func WriteAt(dir int, name, value string) error {
	fd, err := OpenAt(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return WriteFD(fd, value)
}

// WriteFD writes value with a single write(2), which it repeats if a signal interrupted it: v1's
// memory limits return EINTR while the kernel reclaims memory, and Go's runtime sends itself
// signals (golang/go#38033).
func WriteFD(fd int, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		if err != unix.EINTR {
			return err
		}
	}
}

// Mkdir makes a directory with mode 0755. It repeats a call that a signal interrupted.
func Mkdir(dir int, name string) error {
	for {
		err := unix.Mkdirat(dir, name, 0o755)
		if err != unix.EINTR {
			return err
		}
	}
}

// Rmdir removes an empty directory.
func Rmdir(path string) error { return rmdirAt(unix.AT_FDCWD, path) }

func rmdirAt(dir int, name string) error {
	for {
		err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		if err != unix.EINTR {
			return err
		}
	}
}

// Retry calls do until it succeeds, for about half a second. It is for calls whose failure would
// leave processes frozen or alive, and which may fail for a moment only: a descriptor or memory is
// missing, a mount is being changed. Retry returns at once if the cgroup is gone (see [Gone]) or if
// the caller lacks the right to it (EACCES, EPERM, EROFS).
func Retry(do func() error) error {
	for wait := 200 * time.Microsecond; ; wait *= 2 {
		err := do()
		if err == nil || Gone(err) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) || wait > 250*time.Millisecond {
			return err
		}
		sys.Sleep(wait)
	}
}

// Gone reports whether err says that a cgroup does not exist (any more): ENOENT, or ENODEV, which
// the kernel returns for an open file of a removed cgroup.
func Gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// Subdirs returns the names of the directories in path.
func Subdirs(path string) ([]string, error) {
	fd, err := OpenAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return subdirsOf(fd)
}

// subdirsOf returns the names of the directories in the open directory fd, which has not been read
// from yet.
func subdirsOf(fd int) ([]string, error) {
	var names []string
	err := EachEntry(fd, func(name []byte, kind byte) {
		if kind == unix.DT_DIR {
			names = append(names, string(name))
		}
	})
	return names, err
}

// EachEntry calls f for each entry of the open directory fd except "." and "..". kind is the
// entry's type as in getdents64(2), unix.DT_DIR for example. name is valid only during the call.
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
			// struct linux_dirent64 (getdents64(2)): 8 bytes ino, 8 off, 2 reclen, 1 type, then the
			// name.
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
