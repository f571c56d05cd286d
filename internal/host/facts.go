// Package host finds out what this host can do. It asks the kernel for each fact once, when the fact is first needed.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Facts says what a host can do. Host returns the facts of the running host, and Fixed those of a given one. Several goroutines may call
// the methods at the same time.
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

// Known has a value for each fact. It is used for tests and for the plan of another host.
type Known struct {
	Kernel        Version
	UID           int               // effective
	Caps          uint64            // effective: bit n is capability n
	InitialUserNS bool              // this process is in the initial user namespace
	Cgroup        CgroupMode        // how cgroups are mounted
	AppArmor      bool              // enabled
	SELinux       bool              // enabled, with a policy
	Without       FeatureSet        // features that are missing though Kernel is new enough
	MaxFiles      uint64            // hard limit of open files (RLIMIT_NOFILE); 0 is none
	Foreign       []string          // namespaces that the container's user namespace does not own
	Own           []string          // namespaces that this process is in
	NoSetgroups   bool              // the user namespaces deny setgroups(2)
	Links         map[string]string // symbolic links of the host, and where they point
}

// Host returns the facts of the running host.
func Host() *Facts { return &Facts{} }

// Fixed returns the facts that k has. It does not ask the kernel. The host has a feature if k.Kernel is new enough for it and
// k.Without does not contain it.
func Fixed(k Known) *Facts { return &Facts{told: &k, off: k.Without} }

// once is a value that is computed when it is first needed.
type once[T any] struct {
	sync.Once
	value T
}

func (o *once[T]) get(f func() T) T {
	o.Do(func() { o.value = f() })
	return o.value
}

// Version is the major and minor version of a kernel, such as 6.1.
type Version struct{ Major, Minor int }

// MinKernel is the oldest kernel that davit supports, which is the one of Debian 12.
var MinKernel = Version{6, 1}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// Kernel returns the version of the running kernel (uname(2)), or 0.0 if its release does not begin with a version.
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

// parseRelease returns the version in a release such as 6.1.0-18-amd64.
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

// Supported returns an error if the kernel is older than MinKernel.
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

// UID returns the effective user id of this process.
func (f *Facts) UID() int {
	if f.told != nil {
		return f.told.UID
	}
	return unix.Geteuid()
}

// Caps returns the effective capability set of this process. Bit n stands for capability n.
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

// MaxFiles returns the hard limit of open files of this process (RLIMIT_NOFILE), or 0 if it has none.
func (f *Facts) MaxFiles() uint64 {
	if f.told != nil {
		return f.told.MaxFiles
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Max == unix.RLIM_INFINITY {
		return 0
	}
	return limit.Max
}

// InitialUserNS reports whether this process is in the initial user namespace. Without procfs it returns false.
func (f *Facts) InitialUserNS() bool {
	if f.told != nil {
		return f.told.InitialUserNS
	}
	return f.userns.get(func() bool {
		var st unix.Stat_t
		return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == initialUserNS
	})
}

// Enters returns nil if this process can make a container's mount namespace of the root filesystem alone, with a user namespace for the
// container or without, else why not.
func (f *Facts) Enters(userns bool) error {
	const caps = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_CHROOT // setns(2) wants both
	switch {
	case !f.InitialUserNS():
		return errNested
	case f.Caps()&caps != caps:
		return errPowerless
	case userns:
		return f.Have(LockedTree)
	}
	return f.Have(TreeNamespace)
}

var (
	errNested    = errors.New("davit is in a user namespace")
	errPowerless = errors.New("davit lacks CAP_SYS_ADMIN or CAP_SYS_CHROOT")
)

// Rootless reports whether this process is not root, or is root only in a user namespace.
func (f *Facts) Rootless() bool { return f.UID() != 0 || !f.InitialUserNS() }

// CgroupMode says how a host mounts its cgroups.
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

// Cgroup returns how cgroups are mounted. It looks only at the types of two filesystems, because the mount table may have tens of
// thousands of lines.
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

// fsType returns the type of the filesystem at path as in statfs(2), or 0 if that fails.
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

// AppArmor reports whether AppArmor is enabled.
func (f *Facts) AppArmor() bool {
	if f.told != nil {
		return f.told.AppArmor
	}
	return f.appArmor.get(func() bool {
		return strings.HasPrefix(firstBytes("/sys/module/apparmor/parameters/enabled"), "Y")
	})
}

// SELinux reports whether SELinux is enabled and a policy is loaded.
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

// firstBytes returns the beginning of a small file in procfs or sysfs, without a newline or NUL at the end. It returns "" if the file
// cannot be read.
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
