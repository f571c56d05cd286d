// Package host knows what this host can do. It asks the kernel, one fact at a time, and each fact once.
package host

import (
	"bytes"
	"davit/internal/sys"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Facts is what a host can do. Host returns one that asks the kernel: each fact
// when it is first asked for, and once. Fixed returns one that was told.
// The methods may be called from several goroutines.
type Facts struct {
	told *Known     // nil: ask the kernel
	off  FeatureSet // features that Have denies, whatever the host has

	kernel   once[Version]
	unameErr error // set by kernel
	caps     once[uint64]
	userns   once[bool]
	cgroup   once[CgroupMode]
	appArmor once[bool]
	seLinux  once[bool]
	features [featureCount]once[error]
}

// Known is all that a Facts can say, for tests and for the plan of another host.
type Known struct {
	Kernel        Version
	UID           int               // effective
	Caps          uint64            // effective: bit n is capability n
	InitialUserNS bool              // this process is in the initial user namespace
	Cgroup        CgroupMode        // how cgroups are mounted
	AppArmor      bool              // enabled
	SELinux       bool              // enabled, with a policy
	Without       FeatureSet        // features that are missing though Kernel is new enough
	Foreign       []string          // namespaces that the container's user namespace does not own
	Own           []string          // namespaces that this process is in
	NoSetgroups   bool              // the user namespaces deny setgroups(2)
	Links         map[string]string // symbolic links of the host, and where they point
}

// Host is the running host.
func Host() *Facts { return &Facts{} }

// Fixed is a host as k describes it; nothing is probed. It has a feature if k.Kernel
// is new enough for it and k.Without does not name it.
func Fixed(k Known) *Facts { return &Facts{told: &k, off: k.Without} }

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

// Kernel is the version of the running kernel (uname), 0.0 if its release is no version or cannot be had.
func (f *Facts) Kernel() Version {
	if f.told != nil {
		return f.told.Kernel
	}
	return f.kernel.get(func() Version {
		var u unix.Utsname
		if f.unameErr = unix.Uname(&u); f.unameErr != nil {
			return Version{}
		}
		return parseRelease(u.Release[:])
	})
}

// parseRelease takes the version from a release such as 6.1.0-18-amd64.
func parseRelease(release []byte) Version {
	var v [2]int
	i := 0
	for n := range v {
		for ; i < len(release) && '0' <= release[i] && release[i] <= '9'; i++ {
			v[n] = v[n]*10 + int(release[i]-'0')
		}
		i++
	}
	return Version{v[0], v[1]}
}

// Supported is an error if the kernel is older than davit supports.
func (f *Facts) Supported() error {
	k := f.Kernel()
	if f.unameErr != nil {
		return fmt.Errorf("uname: %w", f.unameErr)
	}
	if k.Less(MinKernel) {
		return fmt.Errorf("davit needs Linux %s or newer; this is %s", MinKernel, k)
	}
	return nil
}

// UID is the effective user id of this process.
func (f *Facts) UID() int {
	if f.told != nil {
		return f.told.UID
	}
	return unix.Geteuid()
}

// Caps is the effective capability set of this process: bit n is capability n.
func (f *Facts) Caps() uint64 {
	if f.told != nil {
		return f.told.Caps
	}
	return f.caps.get(func() uint64 {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if unix.Capget(&header, &data[0]) != nil {
			return 0
		}
		return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
	})
}

// initialUserNS is the inode of the initial user namespace: PROC_USER_INIT_INO of linux/nsfs.h.
const initialUserNS = 0xEFFFFFFD

// InitialUserNS says whether this process is in the initial user namespace. It
// needs procfs, and says no without.
func (f *Facts) InitialUserNS() bool {
	if f.told != nil {
		return f.told.InitialUserNS
	}
	return f.userns.get(func() bool {
		var st unix.Stat_t
		return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == initialUserNS
	})
}

// Rootless says whether this process is another user than root, or root in a user namespace only.
func (f *Facts) Rootless() bool { return f.UID() != 0 || !f.InitialUserNS() }

// CgroupMode is how a host mounts its cgroups.
type CgroupMode uint8

// The ways in which cgroups are mounted.
const (
	NoCgroups CgroupMode = iota // nothing is mounted on /sys/fs/cgroup
	Unified                     // version 2 on /sys/fs/cgroup
	Hybrid                      // version 1 hierarchies, and version 2 on /sys/fs/cgroup/unified
	Legacy                      // version 1 hierarchies only
)

func (m CgroupMode) String() string {
	return [...]string{"none", "unified", "hybrid", "legacy"}[m]
}

// Cgroup says how cgroups are mounted. It looks at the types of two file systems
// and does not read the mount table, which may have tens of thousands of lines.
func (f *Facts) Cgroup() CgroupMode {
	if f.told != nil {
		return f.told.Cgroup
	}
	return f.cgroup.get(func() CgroupMode {
		switch fsType("/sys/fs/cgroup") {
		case unix.CGROUP2_SUPER_MAGIC:
			return Unified
		case unix.TMPFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.RAMFS_MAGIC:
			if fsType("/sys/fs/cgroup/unified") == unix.CGROUP2_SUPER_MAGIC {
				return Hybrid
			}
			return Legacy
		}
		return NoCgroups
	})
}

// fsType is the type of the file system at path as statfs(2) has it, 0 if there is none.
func fsType(path string) int64 {
	var st unix.Statfs_t
	for {
		switch err := unix.Statfs(path, &st); err {
		case nil:
			return int64(st.Type) // of 32 bits on s390x
		case unix.EINTR:
		default:
			return 0
		}
	}
}

// AppArmor says whether AppArmor is enabled.
func (f *Facts) AppArmor() bool {
	if f.told != nil {
		return f.told.AppArmor
	}
	return f.appArmor.get(func() bool {
		return strings.HasPrefix(firstBytes("/sys/module/apparmor/parameters/enabled"), "Y")
	})
}

// SELinux says whether SELinux is enabled and a policy is loaded.
func (f *Facts) SELinux() bool {
	if f.told != nil {
		return f.told.SELinux
	}
	return f.seLinux.get(func() bool {
		if fsType("/sys/fs/selinux") != unix.SELINUX_MAGIC {
			return false
		}
		// Before a policy is loaded every process has the label "kernel".
		label := firstBytes("/proc/self/attr/current")
		return label != "" && label != "kernel"
	})
}

// firstBytes is the beginning of a small file of procfs or sysfs, without a line
// break or NUL at the end; empty if it cannot be read.
func firstBytes(path string) string {
	fd, err := sys.Retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var buf [64]byte
	n, err := sys.Retry(func() (int, error) { return unix.Read(fd, buf[:]) })
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(buf[:n], "\n\x00"))
}
