package inspect

import (
	"os/exec"
	"slices"
	"strconv"

	"os"
	"strings"

	"davit/internal/config"
	"davit/internal/criu"
	"davit/internal/host"
	"davit/internal/resctrl"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// HostFact is a line of the report about a host.
type HostFact struct {
	Name string
	OK   bool // false: it is missing, and something will not work
	Text string
	Lost string // what will not work without it, usually fields of config.json; "" if nothing is lost, or if OK
}

// CheckHost reports what this host can do.
func CheckHost() []HostFact {
	f := host.Host()
	k := f.Supported()
	list := []HostFact{{"kernel", k == nil, text(k, "Linux "+f.Kernel().String()), "any container"}}
	mode := f.Cgroup()
	list = append(list, HostFact{"cgroups", mode != host.NoCgroups, mode.String() + ": " + strings.Join(controllers(mode), " "), "linux.resources, kill --all, pause, ps"})
	list = append(list, controllerFacts(mode)...)
	list = append(list, HostFact{"capabilities", true, capabilities(f.Caps()), ""})
	list = append(list, capabilityFacts(f)...)
	where := "the initial one"
	if !f.InitialUserNS() {
		where = "not the initial one: davit has no privileges over the host"
	}
	list = append(list, HostFact{"davit's user namespace", true, where, ""})
	list = append(list, HostFact{"entering", true, entering(f, false), ""}, HostFact{"entering, with a user namespace", true, entering(f, true), ""})
	list = append(list, rootlessFacts(f)...)
	list = append(list, namespaceFacts()...)
	on := func(v bool) string {
		if v {
			return "enabled"
		}
		return "not enabled"
	}
	list = append(list, HostFact{"AppArmor", f.AppArmor(), on(f.AppArmor()), "process.apparmorProfile"},
		HostFact{"SELinux", f.SELinux(), on(f.SELinux()), "process.selinuxLabel, linux.mountLabel"},
		HostFact{"resctrl", resctrl.Mounted(), on(resctrl.Mounted()), "linux.intelRdt"})
	fields := featureFields()
	for _, ft := range host.Features() {
		err := f.Have(ft)
		list = append(list, HostFact{ft.Name, err == nil, text(err, ft.Call), fields[ft]})
	}
	known, _ := os.ReadFile("/proc/filesystems")
	for _, name := range []string{"overlay", "tmpfs", "devpts", "mqueue", "fuse"} {
		has := strings.Contains(string(known), "\t"+name+"\n")
		list = append(list, HostFact{"file system " + name, has, map[bool]string{true: "there", false: "not there, unless as a module"}[has], "mounts of type " + name})
	}
	list = append(list, criuFacts(f)...)
	for i := range list {
		if list[i].OK {
			list[i].Lost = ""
		}
	}
	return list
}

// entering says how a container enters its mount namespace on this host. A config whose fields need
// the host's mounts for longer takes the other way; `davit explain` shows which field it is.
func entering(f *host.Facts, userns bool) string {
	if err := f.Enters(userns); err != nil {
		return "copies all mounts of the host at each start: " + err.Error()
	}
	return "begins with the root filesystem alone"
}

// criuFacts reports whether and how containers can be saved.
func criuFacts(f *host.Facts) []HostFact {
	const name, lost = "CRIU", "checkpoint, restore"
	if f.UID() != 0 || !f.InitialUserNS() {
		return []HostFact{{name, false, "takes root in the initial user namespace", lost}}
	}
	version, can, err := criu.Probe()
	if err != nil {
		return []HostFact{{name, false, err.Error(), lost}}
	}
	has := func(v bool, what string) string {
		if v {
			return what
		}
		return "this kernel lacks " + what
	}
	return []HostFact{{name, true, "version " + version.String(), lost},
		{"CRIU, changes of memory", can.MemTrack, has(can.MemTrack, "CONFIG_MEM_SOFT_DIRTY"), "checkpoint --pre-dump and --parent-path"},
		{"CRIU, lazy pages", can.LazyPages, has(can.LazyPages, "userfaultfd"), "checkpoint --lazy-pages"}}
}

// featureFields are the fields that need a feature of the kernel. Fields for which davit has
// another way are not among them. (A package's variable would be made at each start of davit.)
func featureFields() map[*host.Feature]string {
	return map[*host.Feature]string{
		host.SeccompNotify: "linux.seccomp.listenerPath", host.OpenTree: "any container", host.Pidfd: "any container", host.Openat2: "any container",
		host.CloseRange: "any container", host.MountSetattr: "any container", host.TimeNamespace: "linux.timeOffsets, time namespaces", host.IDMappedMounts: "mounts[].uidMappings",
		host.CPUBurst: "linux.resources.cpu.burst", host.CPUIdle: "linux.resources.cpu.idle", host.SeccompWaitKillable: "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV in linux.seccomp.flags",
		host.WeightedInterleaving: "MPOL_WEIGHTED_INTERLEAVE in linux.memoryPolicy.mode",
	}
}

// controllerFacts reports for which cgroup controllers limits can be set.
func controllerFacts(mode host.CgroupMode) []HostFact {
	if mode == host.NoCgroups {
		return nil
	}
	have := controllers(mode)
	var list []HostFact
	for _, c := range [...]struct{ name, v1, field string }{
		{"cpu", "cpu", "cpu.shares, cpu.quota"}, {"cpuset", "cpuset", "cpu.cpus, cpu.mems"}, {"memory", "memory", "memory"}, {"pids", "pids", "pids"},
		{"io", "blkio", "blockIO"}, {"hugetlb", "hugetlb", "hugepageLimits"}, {"rdma", "rdma", "rdma"},
	} {
		f := HostFact{Name: "cgroup controller " + c.name, OK: slices.Contains(have, c.name) || slices.Contains(have, c.v1) || slices.ContainsFunc(have, func(h string) bool {
			return slices.Contains(strings.Split(h, ","), c.v1)
		}), Text: "there", Lost: "linux.resources." + c.field}
		if !f.OK {
			f.Text = "not there"
		}
		list = append(list, f)
	}
	return list
}

// capabilityFacts reports which capabilities root lacks that configs ask for. It returns nothing if
// davit is not root.
func capabilityFacts(f *host.Facts) []HostFact {
	if f.UID() != 0 || !f.InitialUserNS() {
		return nil
	}
	var list []HostFact
	for _, c := range [...]struct {
		number      int
		name, field string
	}{
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "most containers"}, {unix.CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE", "process.rlimits above davit's own, a lower process.oomScoreAdj"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "linux.netDevices"}, {unix.CAP_MKNOD, "CAP_MKNOD", "linux.devices"}, {unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "bind mounts in user namespaces, exec in some"},
		{unix.CAP_BPF, "CAP_BPF", "device rules on cgroup v2"},
	} {
		has := f.Caps()>>c.number&1 != 0
		list = append(list, HostFact{c.name, has, map[bool]string{true: "held", false: "root lacks it here"}[has], c.field})
	}
	return list
}

// rootlessFacts reports what a user needs to run containers. It returns nothing for root.
func rootlessFacts(f *host.Facts) []HostFact {
	if f.UID() == 0 {
		return nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	runtime := HostFact{"XDG_RUNTIME_DIR", dir != "" && unix.Access(dir, unix.W_OK) == nil, dir, "any container without --root"}
	if dir == "" {
		runtime.Text = "not set: export XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(f.UID())
	}
	_, err := exec.LookPath("newuidmap")
	helper := HostFact{"newuidmap", err == nil, text(err, "there"), "linux.uidMappings with more than the own id (install uidmap)"}
	ids := HostFact{"/etc/subuid", subordinate(f.UID()), "ids for this user", "linux.uidMappings with more than the own id (usermod --add-subuids)"}
	if !ids.OK {
		ids.Text = "no ids for this user"
	}
	return []HostFact{runtime, helper, ids}
}

// subordinate reports whether /etc/subuid has ids for a user (subuid(5)), by number or by name.
func subordinate(uid int) bool {
	data, _ := os.ReadFile("/etc/subuid")
	name := os.Getenv("USER")
	for line := range strings.Lines(string(data)) {
		owner, _, _ := strings.Cut(line, ":")
		if owner == strconv.Itoa(uid) || owner != "" && owner == name {
			return true
		}
	}
	return false
}

func text(err error, ok string) string {
	if err != nil {
		return err.Error()
	}
	return ok
}

// controllers returns the controllers of a cgroup mode. On v1 they are directories, of which one
// may have several controllers.
func controllers(mode host.CgroupMode) []string {
	read := func(dir string) []string {
		data, _ := os.ReadFile(dir + "/cgroup.controllers")
		return strings.Fields(string(data))
	}
	switch mode {
	case host.Unified:
		return read("/sys/fs/cgroup")
	case host.NoCgroups:
		return nil
	}
	names := read("/sys/fs/cgroup/unified")
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	for _, e := range entries {
		if e.IsDir() && e.Name() != "unified" {
			names = append(names, e.Name())
		}
	}
	return names
}

func capabilities(have uint64) string {
	var missing []string
	for n, name := range config.CapabilityNames() {
		if have>>n&1 == 0 {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
		return "all"
	case len(config.CapabilityNames()):
		return "none"
	}
	return "all but " + strings.Join(missing, ", ")
}

// namespaceFacts reports which namespaces the kernel has, and whether any may be made.
func namespaceFacts() []HostFact {
	var list []HostFact
	for _, t := range [...]specs.LinuxNamespaceType{
		specs.MountNamespace, specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.UserNamespace,
		specs.CgroupNamespace, specs.TimeNamespace,
	} {
		_, err := os.Stat("/proc/self/ns/" + config.NamespaceFile(t))
		f := HostFact{string(t) + " namespace", err == nil, text(err, "there"), "linux.namespaces of type " + string(t)}
		limit, _ := os.ReadFile("/proc/sys/user/max_" + config.NamespaceFile(t) + "_namespaces")
		if l := strings.TrimSpace(string(limit)); err == nil && l != "" {
			f.Text, f.OK = "at most "+l, l != "0"
		}
		list = append(list, f)
	}
	return list
}
