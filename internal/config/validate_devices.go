package config

import (
	"os"
	"path"
	"slices"
	"strings"

	"davit/internal/fault"
	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The bits that the kernel has for device numbers: MINORBITS of linux/kdev_t.h, and twelve for the
// major number.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

var deviceTypes = [...]string{"c", "b", "u", "p"}

// devices checks the nodes to make: linux.devices.
func (c *checker) devices(list []specs.LinuxDevice) {
	for i := range list {
		m := c.mark()
		c.device(&list[i])
		for j := range list[:i] {
			if other := &list[j]; path.Clean(other.Path) == path.Clean(list[i].Path) && (deviceKind(other) != deviceKind(&list[i]) || other.Major != list[i].Major || other.Minor != list[i].Minor) {
				c.problem("path", "%s is another device in linux.devices[%d]", list[i].Path, j)
			}
		}
		c.at("devices", i, m)
	}
}

// deviceKind returns the type of a device. u and c are the same (mknod(1)).
func deviceKind(d *specs.LinuxDevice) string {
	if d.Type == "u" {
		return "c"
	}
	return d.Type
}

func (c *checker) device(d *specs.LinuxDevice) {
	c.choice("type", "device type", d.Type, deviceTypes[:])
	c.absolute("path", d.Path)
	if d.Path != "" && path.Clean(d.Path) == "/" {
		c.problem("path", "%q is the root directory: a device needs a name of its own", d.Path)
	}
	if d.Type == "p" {
		if d.Major != 0 || d.Minor != 0 {
			c.warn("major", "%d:%d is given, but a fifo (p) has no numbers: ignored", d.Major, d.Minor)
		}
	} else {
		c.deviceNumber(d.Major, d.Minor)
	}
	if d.FileMode != nil {
		// Some engines give the mode with the type of the file, as stat(2) returns it.
		const mode, fileType = 0o7777, 0o170000
		if *d.FileMode&^os.FileMode(mode|fileType) != 0 {
			c.problem("fileMode", "%d (octal %o) is no file mode: the highest is 4095 (octal 7777)", uint32(*d.FileMode), uint32(*d.FileMode))
		}
	}
	if d.UID != nil {
		c.id("uid", *d.UID, "", nil)
	}
	if d.GID != nil {
		c.id("gid", *d.GID, "", nil)
	}
}

func (c *checker) deviceNumber(major, minor int64) {
	if major < 0 || major > maxMajor {
		c.problem("major", "%d is out of range: from 0 to %d", major, maxMajor)
	}
	if minor < 0 || minor > maxMinor {
		c.problem("minor", "%d is out of range: from 0 to %d", minor, maxMinor)
	}
}

// netDevices checks the network devices to move: linux.netDevices.
func (c *checker) netDevices(devices map[string]specs.LinuxNetDevice, ns *namespaces) {
	if len(devices) == 0 {
		return
	}
	switch {
	case !ns.has(specs.NetworkNamespace):
		c.problem("netDevices", "is given, but there is no network namespace to move devices to")
		c.hint(`add {"type": "network"} to linux.namespaces, or remove netDevices`)
	case c.Rootless:
		c.problem("netDevices", "is given, but moving devices of the host needs root's privileges")
	}
	owner := make(map[string]string, len(devices)) // name in the container → name on the host
	for _, host := range jsonx.SortedKeys(devices) {
		m := c.mark()
		name := devices[host].Name
		if why := badDeviceName(host, false); why != "" {
			c.problem("", "%q cannot be the name of a network device: %s", host, why)
		}
		if name == "" {
			name = host
		} else if why := badDeviceName(name, true); why != "" {
			c.problem("name", "%q cannot be the name of a network device: %s", name, why)
		}
		if other := owner[name]; other != "" && !strings.Contains(name, "%d") {
			c.problem("name", "%q is the name of %s as well", name, other)
		}
		owner[name] = host
		c.key("netDevices", host, m)
	}
}

// badDeviceName returns why the kernel would refuse a name (dev_valid_name and __dev_alloc_name of
// net/core/dev.c), "" if it would not.
func badDeviceName(name string, template bool) string {
	const most = 15 // IFNAMSIZ less the NUL
	switch {
	case name == "":
		return "it is empty"
	case len(name) > most:
		return "it has more than 15 bytes"
	case name == "." || name == "..":
		return "it is a directory"
	case strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return "it contains a slash, a colon or white space"
	}
	if i := strings.IndexByte(name, '%'); template && i >= 0 {
		if !strings.HasPrefix(name[i:], "%d") || strings.Count(name, "%") != 1 {
			return "%d, once, is the only template"
		}
	}
	return ""
}

// sysctls checks that each sysctl belongs to a namespace of the container's own.
func (c *checker) sysctls(values map[string]string, ns *namespaces) {
	from := c.mark()
	for key, value := range values {
		m := c.mark()
		c.sysctl(key, ns)
		c.text("", value)
		c.key("sysctl", key, m)
	}
	c.sort(from)
}

func (c *checker) sysctl(key string, ns *namespaces) {
	name := SysctlPath(key)
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			c.problem("", "is no name of a sysctl")
			return
		}
	}
	switch t := SysctlNamespace(name); {
	case name == "kernel/hostname":
		c.problem("", "is what the property hostname is for")
	case t == "":
		c.problem("", "belongs to no namespace: it would be set for the host")
		c.hint("set it on the host, for all containers, or remove it")
	case !ns.has(t):
		c.problem("", "cannot be set without a namespace of type %s: it would be set for the host", t)
		c.hint(`add {"type": "%s"} to linux.namespaces, or remove the sysctl`, t)
	}
}

// SysctlNamespace returns the type of the namespaces that each have their own value of the sysctl
// with that path (see [SysctlPath]), "" if the host has one value for all.
func SysctlNamespace(path string) specs.LinuxNamespaceType {
	switch first, _, _ := strings.Cut(path, "/"); {
	case strings.HasPrefix(path, "fs/mqueue/"), slices.Contains(ipcSysctls[:], path):
		return specs.IPCNamespace
	case first == "net":
		return specs.NetworkNamespace
	case first == "user":
		return specs.UserNamespace
	case path == "kernel/domainname", path == "kernel/hostname":
		return specs.UTSNamespace
	}
	return ""
}

// ipcSysctls has the sysctls below kernel/ that each ipc namespace has (the kernel's
// ipc/ipc_sysctl.c).
var ipcSysctls = [...]string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
	"kernel/shm_rmid_forced", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id",
}

// SysctlPath returns the path of a sysctl below /proc/sys. The parts of its name are separated by
// dots or by slashes, as in sysctl(8). Whichever comes first is the separator; the other one is
// part of a name (net/ipv4/conf/eno2.100/rp_filter, net.ipv4.conf.eno2/100.rp_filter).
func SysctlPath(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '/' {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		switch c {
		case '.':
			b[i] = '/'
		case '/':
			b[i] = '.'
		}
	}
	return string(b)
}

// sort sorts what was found since m by field: a map gives it in random order.
func (c *checker) sort(m mark) {
	byField := func(a, b *fault.Error) int { return strings.Compare(a.Field, b.Field) }
	slices.SortStableFunc(c.problems[m.problems:], byField)
	slices.SortStableFunc(c.warnings[m.warnings:], byField)
}
