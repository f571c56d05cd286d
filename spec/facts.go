package spec

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Facts is what a host can do. Host returns one that asks the kernel, each fact
// when it is first asked for and once; Fixed returns one that was told.
// The methods may be called from several goroutines.
type Facts struct {
	told *Known     // nil: ask the kernel
	off  FeatureSet // features that Have denies, whatever the host has

	kernel  once[Version]
	caps    once[uint64]
	userns  once[bool]
	cgroup  once[CgroupMode]
	lsm     once[lsms]
	feature [featureCount]once[error]
}

// Known is the whole of what a Facts can say, for tests and for `explain` of another host.
type Known struct {
	Kernel        Version
	UID           int        // effective
	Caps          uint64     // effective, bit n is capability n
	InitialUserNS bool       // in the initial user namespace
	Cgroup        CgroupMode // Unified, Hybrid or Legacy
	AppArmor      bool       // enabled and loaded
	SELinux       bool       // enabled and a policy loaded
	Without       FeatureSet // features that are missing whatever the kernel's version says
}

// Host is the running host.
func Host() *Facts { return new(Facts) }

// Fixed is a host made of what k says: nothing is probed. A feature is there if
// k.Kernel is new enough for it and k.Without does not name it.
func Fixed(k Known) *Facts { return &Facts{told: &k, off: k.Without} }

// Without denies features from here on, so that fallbacks can be tried. It returns f.
// It must be called before f is shared between goroutines.
func (f *Facts) Without(features ...*Feature) *Facts {
	for _, ft := range features {
		f.off |= 1 << ft.id
	}
	return f
}

// once is a value that is worked out when it is first needed.
type once[T any] struct {
	sync.Once
	value T
}

func (o *once[T]) get(f func() T) T {
	o.Do(func() { o.value = f() })
	return o.value
}

// Version is a kernel's major and minor version: 6.1.
type Version struct{ Major, Minor int }

// MinKernel is the oldest kernel that davit supports: that of Debian 12.
var MinKernel = Version{6, 1}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Less says whether v is older than w.
func (v Version) Less(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// CgroupMode is how a host lays out its cgroups.
type CgroupMode uint8

const (
	NoCgroups CgroupMode = iota // nothing is mounted on /sys/fs/cgroup
	Unified                     // cgroup v2 on /sys/fs/cgroup
	Hybrid                      // v1 hierarchies, and v2 on /sys/fs/cgroup/unified
	Legacy                      // v1 hierarchies only
)

func (m CgroupMode) String() string {
	return [...]string{"none", "unified", "hybrid", "legacy"}[m]
}

type lsms struct{ appArmor, seLinux bool }

// UID is the effective user id of this process.
func (f *Facts) UID() int {
	if f.told != nil {
		return f.told.UID
	}
	return unix.Geteuid()
}
