package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Feature is something that not every kernel has. Without it davit refuses a config or uses a fallback. The features are variables of
// this package. Facts.Have says whether a host has one.
type Feature struct {
	id    uint8
	Name  string       // as in "idmapped mounts"
	Call  string       // the system call or file that it hangs on; may be the name itself
	Since Version      // the first kernel that has it
	probe func() error // asks the running kernel; nil if its version says enough
}

// The features, in the order of the kernels that brought them. With MinKernel they are
// all there by version up to 6.1, but may be compiled out, switched off, or
// forbidden by a seccomp filter that davit itself runs under: hence the probes.
var (
	SeccompNotify        = &Feature{0, "notification by seccomp", "SECCOMP_RET_USER_NOTIF", Version{5, 0}, probeSeccompNotify}
	OpenTree             = &Feature{1, "detached mounts", "open_tree", Version{5, 2}, probeOpenTree}
	Pidfd                = &Feature{2, "pidfds", "pidfd_open", Version{5, 3}, probePidfd}
	Openat2              = &Feature{3, "resolving inside a directory", "openat2", Version{5, 6}, probeOpenat2}
	TimeNamespace        = &Feature{4, "time namespaces", "CLONE_NEWTIME", Version{5, 6}, probeTimeNamespace}
	CloseRange           = &Feature{5, "closing a range of descriptors", "CLOSE_RANGE_CLOEXEC", Version{5, 11}, probeCloseRange}
	MountSetattr         = &Feature{6, "recursive mount attributes", "mount_setattr", Version{5, 12}, probeMountSetattr}
	IDMappedMounts       = &Feature{7, "idmapped mounts", "MOUNT_ATTR_IDMAP", Version{5, 12}, probeMountSetattr}
	CPUBurst             = &Feature{8, "CPU burst of a cgroup", "cpu.max.burst", Version{5, 14}, nil}
	CPUIdle              = &Feature{9, "idle cgroups", "cpu.idle", Version{5, 15}, nil}
	SeccompWaitKillable  = &Feature{10, "killable waiting for a seccomp listener", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", Version{5, 19}, probeWaitKillable}
	WeightedInterleaving = &Feature{11, "weighted interleaving of memory", "MPOL_WEIGHTED_INTERLEAVE", Version{6, 9}, nil}
	// Linux 7.0 has it, too, but also makes namespaces of files.
	TreeNamespace = &Feature{12, "mount namespaces of a directory tree", "OPEN_TREE_NAMESPACE", Version{7, 1}, probeTreeNamespace}
	// Before, a user namespace could uncover what is covered on the host.
	LockedTree = &Feature{13, "mount namespaces of a directory tree in user namespaces", "OPEN_TREE_NAMESPACE of Linux 7.2.11", Version{7, 2}, probeLockedTree}
)

const featureCount = 14

// Features returns all features, for reports.
func Features() []*Feature {
	return []*Feature{
		SeccompNotify, OpenTree, Pidfd, Openat2, TimeNamespace, CloseRange, MountSetattr, IDMappedMounts,
		CPUBurst, CPUIdle, SeccompWaitKillable, WeightedInterleaving, TreeNamespace, LockedTree,
	}
}

// FeatureSet is a set of features.
type FeatureSet uint32

// Set returns a set of features.
func Set(features ...*Feature) FeatureSet {
	var s FeatureSet
	for _, f := range features {
		s |= 1 << f.id
	}
	return s
}

// MissingError says that a host lacks a feature, and why.
type MissingError struct {
	Feature *Feature
	Kernel  Version // of the host
	Cause   error   // what the probe got; nil if the kernel is too old or the feature was denied
}

func (e *MissingError) Error() string {
	ft := e.Feature
	switch {
	case e.Kernel.Less(ft.Since):
		return fmt.Sprintf("%s: needs Linux %s (%s); this is %s", ft.Name, ft.Since, ft.Call, e.Kernel)
	case e.Cause == nil || e.Cause == errSwitchedOff:
		return fmt.Sprintf("%s: switched off for a test (%s)", ft.Name, ft.Call)
	case e.Cause == unix.EPERM || e.Cause == unix.EACCES:
		return fmt.Sprintf("%s: %s: %v: Linux %s has it, but something forbids it, such as the seccomp filter of an outer container", ft.Name, ft.Call, e.Cause, e.Kernel)
	}
	return fmt.Sprintf("%s: %s: %v: Linux %s can have it, but this one was built or booted without", ft.Name, ft.Call, e.Cause, e.Kernel)
}

func (e *MissingError) Unwrap() error { return e.Cause }

// Have returns nil if the host has the feature f, and a *MissingError otherwise.
func (f *Facts) Have(ft *Feature) error {
	if f.off&(1<<ft.id) != 0 {
		return &MissingError{Feature: ft, Kernel: f.Kernel()}
	}
	if f.told != nil {
		return f.byVersion(ft)
	}
	return f.features[ft.id].get(func() error {
		if err := f.byVersion(ft); err != nil || ft.probe == nil {
			return err
		}
		if err := ft.probe(); err != nil {
			return &MissingError{Feature: ft, Kernel: f.Kernel(), Cause: err}
		}
		return nil
	})
}

func (f *Facts) byVersion(ft *Feature) error {
	if k := f.Kernel(); k.Less(ft.Since) {
		return &MissingError{Feature: ft, Kernel: k}
	}
	return nil
}
