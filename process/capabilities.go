package process

import (
	"fmt"
	"strings"
)

// names are the capabilities in the kernel's order (capability.h, Linux 5.9).
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

const capSysAdmin = 21

// CapabilityName returns the name of a capability's number, as "CAP_KILL".
func CapabilityName(n int) string {
	if n < len(names) {
		return "CAP_" + names[n]
	}
	return fmt.Sprintf("capability %d", n)
}

// Capability returns the number of a capability's name.
func Capability(name string) (int, bool) {
	for i, n := range names {
		if len(name) == len(n)+4 && strings.EqualFold(name[:4], "CAP_") && strings.EqualFold(name[4:], n) {
			return i, true
		}
	}
	return 0, false
}

// mask returns the set that the names stand for. Names that this davit does
// not know are left out: config.md, "Linux Process", wants a warning, which
// package spec gives.
func mask(list []string) uint64 {
	var m uint64
	for _, name := range list {
		if n, ok := Capability(name); ok {
			m |= 1 << n
		}
	}
	return m
}
