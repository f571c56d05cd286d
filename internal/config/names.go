package config

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// This file has names that the runtime-spec takes from the kernel. They are arrays, which cost
// nothing when davit starts; a map would be built at each start.

// capabilities has the names of linux/capability.h without CAP_; the index is the capability's
// number.
var capabilities = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// Capability returns the number of the capability with that name, "CAP_KILL", in upper or lower
// case.
func Capability(name string) (int, bool) {
	if len(name) < 4 || !strings.EqualFold(name[:4], "CAP_") {
		return 0, false
	}
	name = name[4:]
	for i, known := range &capabilities {
		if len(known) == len(name) && strings.EqualFold(known, name) {
			return i, true
		}
	}
	return 0, false
}

// AddCapability adds a capability to the bounding, effective and permitted sets of a process. It never
// adds one to the inheritable set, because a program with another user could regain it from there
// (CVE-2022-29162). It adds it to the ambient set only if it is inheritable already, as the kernel
// demands (capabilities(7)). It returns false and changes nothing if the name is unknown.
func AddCapability(p *specs.Process, name string) bool {
	if _, known := Capability(name); !known {
		return false
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	sets := p.Capabilities
	for _, set := range [...]*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted} {
		*set = append(*set, name)
	}
	if slices.Contains(sets.Inheritable, name) {
		sets.Ambient = append(sets.Ambient, name)
	}
	return true
}

// CapabilityName returns the name of a capability's number, as "CAP_KILL".
func CapabilityName(n int) string {
	if n < len(capabilities) {
		return "CAP_" + capabilities[n]
	}
	return fmt.Sprintf("capability %d", n)
}

// CapabilityNames returns the names of all capabilities that davit knows, in the order of their
// numbers.
func CapabilityNames() []string {
	names := make([]string, len(capabilities))
	for n := range names {
		names[n] = CapabilityName(n)
	}
	return names
}

// rlimits has the names of resource limits; the index is the limit's number (prlimit(2)).
var rlimits = [...]string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// Rlimit returns the number of the resource limit with that name, "RLIMIT_NOFILE".
func Rlimit(name string) (uint64, bool) {
	i := slices.Index(rlimits[:], name)
	return uint64(max(i, 0)), i >= 0
}

// mountOptions has the mount options that davit itself carries out, sorted: those of config.md,
// "Linux mount options", and crun's copy-symlink, dest-nofollow and src-nofollow. All others go to
// the filesystem.
var mountOptions = [...]string{
	"acl", "async", "atime", "bind", "copy-symlink", "defaults", "dest-nofollow", "dev", "diratime", "dirsync", "exec", "idmap", "iversion", "lazytime",
	"loud", "mand", "noacl", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand",
	"norelatime", "nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime",
	"relatime", "remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnorelatime",
	"rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw", "rshared", "rslave",
	"rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared", "silent", "slave", "src-nofollow", "strictatime", "suid",
	"symfollow", "sync", "tmpcopyup", "unbindable",
}

// MountOptions returns the mount options that davit itself carries out.
func MountOptions() []string { return mountOptions[:] }

// IsMountOption reports whether davit itself carries out a mount option: one of MountOptions, or
// idmap or ridmap with mappings.
func IsMountOption(option string) bool {
	if strings.HasPrefix(option, "idmap=") || strings.HasPrefix(option, "ridmap=") {
		return true
	}
	_, found := slices.BinarySearch(mountOptions[:], option)
	return found
}

// Namespaces has the types of namespaces in the order of the kernel's flags, each with its
// CLONE_NEW* flag.
var Namespaces = [...]struct {
	Type specs.LinuxNamespaceType
	Flag uint64
}{
	{specs.UserNamespace, unix.CLONE_NEWUSER}, {specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.PIDNamespace, unix.CLONE_NEWPID}, {specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.IPCNamespace, unix.CLONE_NEWIPC}, {specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP}, {specs.TimeNamespace, unix.CLONE_NEWTIME},
}

// NamespaceFlag returns the CLONE_NEW* flag of a type of namespace, 0 for an unknown type.
func NamespaceFlag(t specs.LinuxNamespaceType) uint64 {
	for i := range Namespaces {
		if Namespaces[i].Type == t {
			return Namespaces[i].Flag
		}
	}
	return 0
}

// NamespaceName returns the name that config.json has for the type of namespace with a CLONE_NEW*
// flag.
func NamespaceName(flag uint64) string {
	for i := range Namespaces {
		if Namespaces[i].Flag == flag {
			return string(Namespaces[i].Type)
		}
	}
	return "unknown"
}

// NamespaceFile returns the name of the file in /proc/PID/ns for a type of namespace.
func NamespaceFile(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.NetworkNamespace:
		return "net"
	case specs.MountNamespace:
		return "mnt"
	}
	return string(t)
}
