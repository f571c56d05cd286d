package inspect

import (
	"os"
	"strings"

	"davit/internal/config"
	"davit/internal/host"
	"davit/internal/resctrl"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// HostFact is a line of the report about a host.
type HostFact struct {
	Name string
	OK   bool // false: it is missing, and something cannot be done
	Text string
}

// CheckHost says what this host can do.
func CheckHost() []HostFact {
	f := host.Host()
	k := f.Supported()
	list := []HostFact{{"kernel", k == nil, text(k, "Linux "+f.Kernel().String())}}
	mode := f.Cgroup()
	list = append(list, HostFact{"cgroups", mode != host.NoCgroups, mode.String() + controllers(mode)})
	list = append(list, HostFact{"capabilities", true, capabilities(f.Caps())})
	where := "the initial one"
	if !f.InitialUserNS() {
		where = "not the initial one: davit has no privileges over the host"
	}
	list = append(list, HostFact{"davit's user namespace", true, where})
	list = append(list, namespaceFacts()...)
	on := func(v bool) string {
		if v {
			return "enabled"
		}
		return "not enabled"
	}
	list = append(list, HostFact{"AppArmor", f.AppArmor(), on(f.AppArmor())}, HostFact{"SELinux", f.SELinux(), on(f.SELinux())})
	list = append(list, HostFact{"resctrl", resctrl.Mounted(), on(resctrl.Mounted())})
	for _, ft := range host.Features() {
		err := f.Have(ft)
		list = append(list, HostFact{ft.Name, err == nil, text(err, ft.Call)})
	}
	known, _ := os.ReadFile("/proc/filesystems")
	for _, name := range []string{"overlay", "tmpfs", "devpts", "mqueue", "fuse"} {
		has := strings.Contains(string(known), "\t"+name+"\n")
		list = append(list, HostFact{"file system " + name, has, map[bool]string{true: "there", false: "not there, unless as a module"}[has]})
	}
	return list
}

func text(err error, ok string) string {
	if err != nil {
		return err.Error()
	}
	return ok
}

// controllers are those of a cgroup mode.
func controllers(mode host.CgroupMode) string {
	if mode == host.Unified {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		return ": " + strings.TrimSpace(string(data))
	}
	var names []string
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return ": " + strings.Join(names, " ")
}

func capabilities(have uint64) string {
	var missing []string
	for n, name := range config.CapabilityNames() {
		if have>>n&1 == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return "all"
	}
	return "all but " + strings.Join(missing, ", ")
}

// namespaceFacts says which namespaces the kernel has, and whether there may be any.
func namespaceFacts() []HostFact {
	var list []HostFact
	for _, t := range [...]specs.LinuxNamespaceType{
		specs.MountNamespace, specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.UserNamespace,
		specs.CgroupNamespace, specs.TimeNamespace,
	} {
		_, err := os.Stat("/proc/self/ns/" + config.NamespaceFile(t))
		f := HostFact{string(t) + " namespace", err == nil, text(err, "there")}
		limit, _ := os.ReadFile("/proc/sys/user/max_" + config.NamespaceFile(t) + "_namespaces")
		if l := strings.TrimSpace(string(limit)); err == nil && l != "" {
			f.Text, f.OK = "at most "+l, l != "0"
		}
		list = append(list, f)
	}
	return list
}
