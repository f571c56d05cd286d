package config

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// resources checks linux.resources. It refuses what cgroups of both versions refuse.
func (c *checker) resources(r *specs.LinuxResources) {
	for i := range r.Devices {
		m := c.mark()
		c.deviceRule(&r.Devices[i])
		c.at("devices", i, m)
	}
	if r.Memory != nil {
		m := c.mark()
		c.memory(r.Memory)
		c.in("memory", m)
	}
	if r.CPU != nil {
		m := c.mark()
		c.cpu(r.CPU)
		c.in("cpu", m)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		c.limit("pids.limit", r.Pids.Limit)
	}
	if r.BlockIO != nil {
		m := c.mark()
		c.blockIO(r.BlockIO)
		c.in("blockIO", m)
	}
	for i := range r.HugepageLimits {
		if size := r.HugepageLimits[i].Pagesize; !isPageSize(size) {
			c.problem(element("hugepageLimits", i)+".pageSize", "%q is no page size such as 64KB, 2MB or 1GB", size)
		}
	}
	if r.Network != nil {
		for i, p := range r.Network.Priorities {
			if why := badDeviceName(p.Name, false); why != "" {
				c.problem(element("network.priorities", i)+".name", "%q cannot be the name of a network device: %s", p.Name, why)
			}
		}
	}
	from := c.mark()
	for name, limits := range r.Rdma {
		m := c.mark()
		if name == "" || strings.ContainsAny(name, " \t\n\x00") {
			c.problem("", "is no name of a device")
		}
		if limits.HcaHandles == nil && limits.HcaObjects == nil {
			c.problem("", "limits nothing: hcaHandles or hcaObjects is needed")
		}
		c.key("rdma", name, m)
	}
	for key := range r.Unified {
		m := c.mark()
		c.unified(key)
		c.key("unified", key, m)
	}
	c.sort(from)
}

var deviceRuleTypes = [...]string{"a", "b", "c"}

// deviceRule checks a rule for devices. Without a type it concerns all devices (a), without a
// number, or with -1 as runc writes it, any number, without access rwm.
func (c *checker) deviceRule(d *specs.LinuxDeviceCgroup) {
	if d.Type != "" {
		c.choice("type", "device type", d.Type, deviceRuleTypes[:])
	}
	for _, n := range [...]struct {
		field string
		value *int64
		most  int64
	}{{"major", d.Major, maxMajor}, {"minor", d.Minor, maxMinor}} {
		switch {
		case n.value == nil:
		case *n.value < -1 || *n.value > n.most:
			c.problem(n.field, "%d is out of range: from 0 to %d, or -1 for any", *n.value, n.most)
		case *n.value >= 0 && (d.Type == "" || d.Type == "a"):
			c.problem(n.field, "%d is given, but without type b or c the rule is for all devices", *n.value)
		}
	}
	for _, r := range d.Access {
		if !strings.ContainsRune("rwm", r) {
			c.problem("access", "unknown access %q in %q: must be made of r, w and m", string(r), d.Access)
			break
		}
	}
}

// limit checks a number that may be -1, which means no limit.
func (c *checker) limit(field string, v *int64) {
	if v != nil && *v < -1 {
		c.problem(field, "%d is out of range: from 0, or -1 for no limit", *v)
	}
}

func (c *checker) memory(m *specs.LinuxMemory) {
	c.limit("limit", m.Limit)
	c.limit("reservation", m.Reservation)
	c.limit("swap", m.Swap)
	c.limit("kernelTCP", m.KernelTCP)
	if m.Kernel != nil && *m.Kernel > 0 {
		c.warn("kernel", "%d is ignored: Linux has no such limit since 5.4", *m.Kernel)
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		c.problem("swappiness", "%d is out of range: from 0 to 100", *m.Swappiness)
	}
	if m.Swap != nil && *m.Swap > 0 { // 0 is not set, as in runc
		switch {
		case m.Limit != nil && *m.Limit == -1: // cgroup v2 can limit swap alone
		case m.Limit == nil || *m.Limit <= 0:
			c.problem("swap", "%d is given without a limit: swap limits memory and swap together", *m.Swap)
			c.hint("set linux.resources.memory.limit, or remove swap")
		case *m.Swap < *m.Limit:
			c.problem("swap", "%d is below the limit, which is %d: swap limits memory and swap together", *m.Swap, *m.Limit)
		}
	}
}

// cpu checks the times, in microseconds, as the kernel does: tg_set_cfs_bandwidth and
// tg_set_rt_bandwidth.
func (c *checker) cpu(p *specs.LinuxCPU) {
	if s := p.Shares; s != nil && *s != 0 && (*s < 2 || *s > 262144) {
		c.warn("shares", "%d is out of range, from 2 to 262144: taken as the nearest", *s)
	}
	quota := int64(0)
	if p.Quota != nil {
		quota = *p.Quota
	}
	if quota < -1 || 0 < quota && quota < 1000 {
		c.problem("quota", "%d is out of range: from 1000 microseconds, or -1 for no limit", quota)
	}
	if p.Period != nil && *p.Period != 0 && (*p.Period < 1000 || *p.Period > 1000000) {
		c.problem("period", "%d is out of range: from 1000 to 1000000 microseconds", *p.Period)
	}
	if p.Burst != nil && quota > 0 && *p.Burst > uint64(quota) {
		c.problem("burst", "%d is above the quota, which is %d", *p.Burst, quota)
	}
	if p.RealtimeRuntime != nil {
		period := uint64(1000000) // the kernel's default
		if p.RealtimePeriod != nil && *p.RealtimePeriod != 0 {
			period = *p.RealtimePeriod
		}
		c.limit("realtimeRuntime", p.RealtimeRuntime)
		if r := *p.RealtimeRuntime; r > 0 && uint64(r) > period {
			c.problem("realtimeRuntime", "%d is above the period, which is %d", r, period)
		}
	}
	if p.Idle != nil && *p.Idle != 0 && *p.Idle != 1 {
		c.problem("idle", "%d is neither 0 nor 1", *p.Idle)
	}
	c.list("cpus", p.Cpus, "CPUs")
	c.list("mems", p.Mems, "memory nodes")
}

func (c *checker) blockIO(b *specs.LinuxBlockIO) {
	c.weight("weight", b.Weight)
	c.weight("leafWeight", b.LeafWeight)
	for i := range b.WeightDevice {
		d, m := &b.WeightDevice[i], c.mark()
		c.deviceNumber(d.Major, d.Minor)
		if d.Weight == nil && d.LeafWeight == nil {
			c.problem("", "weighs nothing: weight or leafWeight is needed")
		}
		c.weight("weight", d.Weight)
		c.weight("leafWeight", d.LeafWeight)
		c.at("weightDevice", i, m)
	}
	c.throttles("throttleReadBpsDevice", b.ThrottleReadBpsDevice)
	c.throttles("throttleWriteBpsDevice", b.ThrottleWriteBpsDevice)
	c.throttles("throttleReadIOPSDevice", b.ThrottleReadIOPSDevice)
	c.throttles("throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice)
}

func (c *checker) throttles(field string, list []specs.LinuxThrottleDevice) {
	for i := range list {
		m := c.mark()
		c.deviceNumber(list[i].Major, list[i].Minor)
		c.at(field, i, m)
	}
}

// weight checks a weight of block I/O. 0 means unset, as with runc.
func (c *checker) weight(field string, w *uint16) {
	if w != nil && *w != 0 && (*w < 10 || *w > 1000) {
		c.problem(field, "%d is out of range: from 10 to 1000", *w)
	}
}

// isPageSize reports whether s has the form <size><unit>B, which the names of hugetlb's files
// contain.
func isPageSize(s string) bool {
	n := len(s)
	if n < 3 || s[n-1] != 'B' || strings.IndexByte("KMG", s[n-2]) < 0 {
		return false
	}
	_, err := strconv.ParseUint(s[:n-2], 10, 32)
	return err == nil && '1' <= s[0] && s[0] <= '9'
}

// ownFiles has the core files (kernel documentation, cgroup-v2.rst, "Core Interface Files") that
// unified must not name, each with what to use instead. They set no limit: they move, freeze or
// kill processes, or change what the cgroup can contain. A pid written to cgroup.procs would even
// be that of a process of the host.
var ownFiles = [...]struct{ name, instead string }{
	{"cgroup.procs", "`davit exec` adds a process to a container"},
	{"cgroup.threads", "`davit exec` adds a process to a container"},
	{"cgroup.freeze", "`davit pause` freezes a container"},
	{"cgroup.kill", "`davit kill --all` kills every process of a container"},
	{"cgroup.type", "remove the key: a container's cgroup is a domain"},
	{"cgroup.subtree_control", "remove the key: the container enables controllers for its own sub-cgroups"},
}

// unified checks the names of cgroup v2's files.
func (c *checker) unified(key string) {
	for i := range ownFiles {
		if own := &ownFiles[i]; own.name == key {
			c.problem("", "is not a limit: davit itself manages the container's cgroup with this file")
			c.hint("%s", own.instead)
			return
		}
	}
	switch {
	case key == "":
		c.problem("", "a file of the cgroup must be named")
	case strings.ContainsAny(key, "/\x00"):
		c.problem("", "must name a file of the cgroup itself, without slashes")
	case key[0] == '.' || strings.IndexByte(key, '.') < 0:
		c.problem("", "is not of the form controller.parameter, as files of a cgroup are named")
	}
}
