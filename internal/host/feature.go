package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Feature is something that not every kernel has. They are the variables of this
// package; Facts.Have says whether a host has one.
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
	CloneIntoCgroup      = &Feature{5, "starting inside a cgroup", "CLONE_INTO_CGROUP", Version{5, 7}, probeClone3}
	CloseRange           = &Feature{6, "closing a range of descriptors", "CLOSE_RANGE_CLOEXEC", Version{5, 11}, probeCloseRange}
	MountSetattr         = &Feature{7, "recursive mount attributes", "mount_setattr", Version{5, 12}, probeMountSetattr}
	IDMappedMounts       = &Feature{8, "idmapped mounts", "MOUNT_ATTR_IDMAP", Version{5, 12}, probeMountSetattr}
	Landlock             = &Feature{9, "landlock", "landlock_create_ruleset", Version{5, 13}, probeLandlock}
	CgroupKill           = &Feature{10, "killing a cgroup", "cgroup.kill", Version{5, 14}, nil}
	CoreScheduling       = &Feature{11, "core scheduling", "PR_SCHED_CORE", Version{5, 14}, probeCoreScheduling}
	CPUBurst             = &Feature{12, "CPU burst of a cgroup", "cpu.max.burst", Version{5, 14}, nil}
	CPUIdle              = &Feature{13, "idle cgroups", "cpu.idle", Version{5, 15}, nil}
	HomeNode             = &Feature{14, "home nodes of memory policies", "set_mempolicy_home_node", Version{5, 17}, probeHomeNode}
	SeccompWaitKillable  = &Feature{15, "killable waiting for a seccomp listener", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", Version{5, 19}, probeWaitKillable}
	MemfdExec            = &Feature{16, "executable memfds", "MFD_EXEC", Version{6, 3}, probeMemfdExec}
	PidfdInode           = &Feature{17, "pidfds with inodes", "pidfs", Version{6, 9}, probePidFS}
	WeightedInterleaving = &Feature{18, "weighted interleaving of memory", "MPOL_WEIGHTED_INTERLEAVE", Version{6, 9}, nil}
)

const featureCount = 19

// Features lists them all, for reports.
func Features() []*Feature {
	return []*Feature{
		SeccompNotify, OpenTree, Pidfd, Openat2, TimeNamespace, CloneIntoCgroup, CloseRange, MountSetattr, IDMappedMounts, Landlock,
		CgroupKill, CoreScheduling, CPUBurst, CPUIdle, HomeNode, SeccompWaitKillable, MemfdExec, PidfdInode, WeightedInterleaving,
	}
}

// FeatureSet is a set of features.
type FeatureSet uint32

// Set makes a set of features.
func Set(features ...*Feature) FeatureSet {
	var s FeatureSet
	for _, f := range features {
		s |= 1 << f.id
	}
	return s
}

// Without denies features from here on, so that fallbacks can be tried. It returns f.
// It must be called before f is shared between goroutines.
//
// Whole programs are tried by building them with the tag davit_test: then the
// environment variable DAVIT_TEST_WITHOUT names features of Host to deny, by their
// Call, with commas between: DAVIT_TEST_WITHOUT=openat2,CLONE_INTO_CGROUP. Other builds do not look at it.
func (f *Facts) Without(features ...*Feature) *Facts {
	f.off |= Set(features...)
	return f
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
	case e.Cause == nil:
		return fmt.Sprintf("%s: switched off for a test (%s)", ft.Name, ft.Call)
	case e.Cause == unix.EPERM || e.Cause == unix.EACCES:
		return fmt.Sprintf("%s: %s: %v: Linux %s has it, but something forbids it, such as the seccomp filter of an outer container", ft.Name, ft.Call, e.Cause, e.Kernel)
	}
	return fmt.Sprintf("%s: %s: %v: Linux %s can have it, but this one was built or booted without", ft.Name, ft.Call, e.Cause, e.Kernel)
}

func (e *MissingError) Unwrap() error { return e.Cause }

// Have is nil if the host has a feature, or a *MissingError.
func (f *Facts) Have(ft *Feature) error {
	if f.off&(1<<ft.id) != 0 {
		return &MissingError{Feature: ft, Kernel: f.Kernel()}
	}
	if f.told != nil {
		return f.byVersion(ft)
	}
	return f.features[ft.id].get(func() error {
		if ft.probe == nil {
			return f.byVersion(ft)
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
