package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Owns says whether the namespace at path belongs to the user namespace at userns, or to one below that: only then may
// a process join the one after the other. What cannot be opened is said to; whoever opens it next will say why not.
// An empty userns is davit's own.
func (f *Facts) Owns(userns, path string) bool {
	if f.told != nil {
		return !slices.Contains(f.told.Foreign, path)
	}
	if userns == "" {
		userns = "/proc/self/ns/user"
	}
	var owner unix.Stat_t
	if unix.Stat(userns, &owner) != nil {
		return true
	}
	ns, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return true
	}
	above := uint(unix.NS_GET_USERNS)
	for {
		up, err := unix.IoctlRetInt(ns, above)
		unix.Close(ns)
		if err != nil { // EPERM: above this process's own user namespace
			return !errors.Is(err, unix.EPERM)
		}
		var st unix.Stat_t
		if unix.Fstat(up, &st) == nil && st.Ino == owner.Ino && st.Dev == owner.Dev {
			unix.Close(up)
			return true
		}
		ns, above = up, unix.NS_GET_PARENT
	}
}

// IsIn reports whether davit itself is in the namespace at path. kind is the name of the namespace's file in /proc/PID/ns.
func (f *Facts) IsIn(path, kind string) bool {
	if f.told != nil {
		return slices.Contains(f.told.Own, path)
	}
	var other, own unix.Stat_t
	return unix.Stat(path, &other) == nil && unix.Stat("/proc/self/ns/"+kind, &own) == nil && other.Ino == own.Ino && other.Dev == own.Dev
}

// DeniesSetgroups reports whether the user namespace of a process denies setgroups(2) (user_namespaces(7)). The process is given as a
// directory of procfs, such as "/proc/self".
func (f *Facts) DeniesSetgroups(process string) bool {
	if f.told != nil {
		return f.told.NoSetgroups
	}
	return firstBytes(process+"/setgroups") == "deny"
}

// SameDir reports whether two paths of the host lead to the same directory or file.
func (f *Facts) SameDir(a, b string) bool {
	if f.told != nil {
		return a == b
	}
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Ino == y.Ino && x.Dev == y.Dev
}

// ReadLink returns the text of a symbolic link of the host. is is false if the path leads to something else.
func (f *Facts) ReadLink(path string) (text string, is bool, err error) {
	if f.told != nil {
		text, is = f.told.Links[path]
		return text, is, nil
	}
	text, err = os.Readlink(path)
	if errors.Is(err, unix.EINVAL) {
		return "", false, nil
	}
	return text, err == nil, err
}

// Locate returns where a file of the host is: its directory, without symbolic links on the way, and its name. For a directory, and
// what cannot be found, name is "". A link at the end of path is followed unless link is true.
func (f *Facts) Locate(path string, link bool) (dir, name string) {
	if f.told != nil {
		if dir, name := filepath.Split(path); dir == "/dev/" {
			return "/dev", name
		}
		return path, ""
	}
	var st unix.Stat_t
	stat := unix.Stat
	if link {
		stat = unix.Lstat
	}
	if stat(path, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return path, ""
	}
	found, last := path, ""
	if link {
		found, last = filepath.Split(filepath.Clean(path))
	}
	found, err := filepath.EvalSymlinks(found)
	if err != nil {
		return path, ""
	}
	if dir, name = filepath.Split(filepath.Join(found, last)); name == "" {
		return path, ""
	}
	return filepath.Clean(dir), name
}

// IsDir says whether a path of the host leads to a directory, or to nothing.
func (f *Facts) IsDir(path string) bool {
	_, name := f.Locate(path, false)
	return name == ""
}
