package limits

import (
	"errors"
	"strings"

	"davit/cgroups/failure"
	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// Missing returns the error for a write whose controller the container's cgroup does not have.
func Missing(w *Write) *fault.Error {
	e := failure.Refuse(w.Field, "enable the controller (kernel command line, cgroup.subtree_control of the parents), or remove the field",
		"controller %s is not available in the container's cgroup", w.Ctrl)
	if strings.HasPrefix(w.Field, "unified[") { // the user has named the controller
		e.Hint = "the key's first part names a controller of cgroup v2: see cgroup.controllers"
	}
	return e
}

// hint returns the cure if the errno of a cgroup file misleads, "" otherwise.
func hint(w *Write, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return "this kernel, or this cgroup's parent, does not offer the file"
	case errors.Is(err, unix.EBUSY) && strings.HasPrefix(w.File, "memory."):
		return "more memory than the new limit is in use"
	case errors.Is(err, unix.EINVAL) && strings.HasPrefix(w.File, "cpu.weight"), errors.Is(err, unix.ERANGE) && strings.HasPrefix(w.File, "cpu.weight"):
		return "cpu.weight is 1 to 10000, cpu.weight.nice -20 to 19; a cgroup with cpu.idle 1 has no other weight"
	case errors.Is(err, unix.EINVAL) && w.Ctrl == "cpu":
		return "the parent cgroup's limit may be smaller, or the burst larger than the quota; periods are 1000 to 1000000 µs, quotas at least 1000"
	case errors.Is(err, unix.EINVAL) && w.Ctrl == "memory":
		return "memory.limit must not exceed memory.swap, which counts memory plus swap"
	case errors.Is(err, unix.EINVAL) && w.Ctrl == "cpuset", errors.Is(err, unix.EACCES) && w.Ctrl == "cpuset":
		return "name only CPUs and memory nodes that are online and that the parent cgroup allows"
	case errors.Is(err, unix.ENODEV) && w.Ctrl == "rdma":
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
