package cgroups

import (
	"davit/internal/config"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is a field of config.json that cannot be honoured, or was refused by the kernel.
type Error struct {
	Field string // "linux.resources.memory.limit"; empty within another Error
	What  string // what failed, with the value: `write "4096" to memory.max`
	Err   error  // the kernel's answer; nil if davit refused
	Hint  string // the cure, or empty
}

func (e *Error) Error() string {
	s := e.What
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errors are several fields that cannot be honoured, each with its hint.
type Errors []*Error

func (list Errors) Error() string { return config.Lines(list, (*Error).hint).Error() }

// Lines are those of Error.
func (list Errors) Lines() []string { return config.Lines(list, (*Error).hint) }

func (e *Error) hint() string { return e.Hint }

// together makes an error of a list, nil of none.
func together(list []*Error) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return Errors(list)
}

// each calls f for the fields that err is about.
func each(err error, f func(*Error)) {
	switch err := err.(type) {
	case *Error:
		f(err)
	case Errors:
		for _, e := range err {
			f(e)
		}
	}
}

// Hint is the hint of err, or of what it wraps.
func Hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

const resources = "linux.resources."

// refuse is a value that davit itself does not accept.
func refuse(field, hint, format string, args ...any) *Error {
	return &Error{Field: resources + field, What: fmt.Sprintf(format, args...), Hint: hint}
}

// missing is a field whose controller this host does not have.
func missing(w *write) *Error {
	e := refuse(w.field, "enable the controller (kernel command line, cgroup.subtree_control of the parents), or remove the field",
		"controller %s is not available in the container's cgroup", w.ctrl)
	if i := strings.IndexByte(w.field, ' '); i >= 0 { // `unified "x.y"` needs no second look at its name
		e.Hint = "the key's first part names a controller of cgroup v2: see cgroup.controllers"
	}
	return e
}

// openError is a directory of the container's that cannot be opened.
func openError(dir string, err error) error {
	e := &Error{What: "open " + dir, Err: err}
	if gone(err) {
		e.Hint = "the container's cgroup was removed, or its processes were moved out of it: davit cannot reach them through it"
	}
	return e
}

// inUse adds to the hint for a limit that is too low how much is in use.
func inUse(dir int, w *write, err error) string {
	if !errors.Is(err, unix.EBUSY) {
		return ""
	}
	file := strings.TrimSuffix(w.file, "limit_in_bytes") + "usage_in_bytes" // of v1; v2 has no such answer
	used, err := readString(dir, file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": %s (%s); free some, or raise the limit", used, file)
}

// hint explains the answers of cgroup files that mislead.
func hint(w *write, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return "this kernel, or this cgroup's parent, does not offer the file"
	case errors.Is(err, unix.EBUSY) && strings.HasPrefix(w.file, "memory."):
		return "more memory than the new limit is in use"
	case errors.Is(err, unix.EINVAL) && strings.HasPrefix(w.file, "cpu.weight"), errors.Is(err, unix.ERANGE) && strings.HasPrefix(w.file, "cpu.weight"):
		return "cpu.weight is 1 to 10000, cpu.weight.nice -20 to 19; a cgroup with cpu.idle 1 has no other weight"
	case errors.Is(err, unix.EINVAL) && w.ctrl == "cpu":
		return "the parent cgroup's limit may be smaller, or the burst larger than the quota; periods are 1000 to 1000000 µs, quotas at least 1000"
	case errors.Is(err, unix.EINVAL) && w.ctrl == "memory":
		return "limit must not exceed swap (memory plus swap)"
	case errors.Is(err, unix.EINVAL) && w.ctrl == "cpuset", errors.Is(err, unix.EACCES) && w.ctrl == "cpuset":
		return "only CPUs and memory nodes that are online and allowed in the parent cgroup"
	case errors.Is(err, unix.ENODEV) && w.ctrl == "rdma":
		return "the host must have an RDMA device of that name: see /sys/class/infiniband"
	case errors.Is(err, unix.ENODEV):
		return "major and minor must be those of a whole block device (not a partition) that exists"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return "the cgroup must be delegated to the calling user"
	case errors.Is(err, unix.ERANGE):
		return "the value is outside the kernel's range"
	}
	return ""
}
