package stats

import (
	"strconv"
	"strings"

	"davit/cgroups/fs"
)

func (r *reader) cpu1(s *Stats) {
	r.each("cpu", "cpu.stat", func(key string, v uint64) {
		switch key {
		case "nr_periods":
			s.CPU.Throttling.Periods = v
		case "nr_throttled":
			s.CPU.Throttling.ThrottledPeriods = v
		case "throttled_time":
			s.CPU.Throttling.ThrottledTime = v
		}
	})
	u := &s.CPU.Usage
	u.Total = r.number("cpuacct", "cpuacct.usage")
	r.each("cpuacct", "cpuacct.stat", func(key string, v uint64) {
		const tick = 1e9 / 100 // nanoseconds; USER_HZ is 100 on all of davit's architectures
		switch key {
		case "user":
			u.User = v * tick
		case "system":
			u.Kernel = v * tick
		}
	})
	for i, line := range strings.Split(r.text("cpuacct", "cpuacct.usage_all"), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) == 3 { // a line is "CPU USER SYSTEM"
			u.PercpuUser = append(u.PercpuUser, fs.ParseNumber(f[1]))
			u.PercpuKernel = append(u.PercpuKernel, fs.ParseNumber(f[2]))
		}
	}
	for _, f := range strings.Fields(r.text("cpuacct", "cpuacct.usage_percpu")) {
		u.Percpu = append(u.Percpu, fs.ParseNumber(f))
	}
}

func (r *reader) memory1(s *MemoryStats) {
	s.Raw = make(map[string]uint64, 64)
	r.each("memory", "memory.stat", func(key string, v uint64) { s.Raw[key] = v })
	s.Cache = s.Raw["cache"]
	entry := func(name string) MemoryEntry {
		return MemoryEntry{
			Usage:   r.number("memory", name+"usage_in_bytes"),
			Max:     r.number("memory", name+"max_usage_in_bytes"),
			Limit:   r.number("memory", name+"limit_in_bytes"),
			Failcnt: r.number("memory", name+"failcnt"),
		}
	}
	s.Usage = entry("memory.")
	s.Swap = entry("memory.memsw.")
	s.Kernel = entry("memory.kmem.")
	s.KernelTCP = entry("memory.kmem.tcp.")
}

// blkio1 reads the values of the I/O scheduler if one that knows cgroups is in use (bfq; cfq before
// Linux 5.0). Otherwise it reads those of throttling, which count every request.
func (r *reader) blkio1(s *BlkioStats) {
	for _, prefix := range [...]string{"blkio.bfq.", "blkio."} {
		s.IoServicedRecursive = r.blkioEntries(prefix + "io_serviced_recursive")
		if len(s.IoServicedRecursive) == 0 {
			continue
		}
		s.IoServiceBytesRecursive = r.blkioEntries(prefix + "io_service_bytes_recursive")
		s.IoQueuedRecursive = r.blkioEntries(prefix + "io_queued_recursive")
		s.IoServiceTimeRecursive = r.blkioEntries(prefix + "io_service_time_recursive")
		s.IoWaitTimeRecursive = r.blkioEntries(prefix + "io_wait_time_recursive")
		s.IoMergedRecursive = r.blkioEntries(prefix + "io_merged_recursive")
		s.IoTimeRecursive = r.blkioEntries(prefix + "time_recursive")
		s.SectorsRecursive = r.blkioEntries(prefix + "sectors_recursive")
		return
	}
	s.IoServiceBytesRecursive = r.blkioEntries("blkio.throttle.io_service_bytes_recursive")
	s.IoServicedRecursive = r.blkioEntries("blkio.throttle.io_serviced_recursive")
}

// blkioEntries reads lines like "8:0 Read 123" and "8:0 123". It leaves out the file's total, as
// runc does.
func (r *reader) blkioEntries(file string) []BlkioEntry {
	var out []BlkioEntry
	for line := range strings.Lines(r.text("blkio", file)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] == "Total" {
			continue
		}
		major, minor, _ := strings.Cut(f[0], ":")
		e := BlkioEntry{Major: fs.ParseNumber(major), Minor: fs.ParseNumber(minor), Value: fs.ParseNumber(f[len(f)-1])}
		if len(f) == 3 {
			e.Op = f[1]
		}
		out = append(out, e)
	}
	return out
}

func (r *reader) cpuset1(c *CPUSetStats) {
	c.CPUs = fs.ParseList(r.text("cpuset", "cpuset.cpus"))
	c.Mems = fs.ParseList(r.text("cpuset", "cpuset.mems"))
	c.CPUExclusive = r.number("cpuset", "cpuset.cpu_exclusive")
	c.MemHardwall = r.number("cpuset", "cpuset.mem_hardwall")
	c.MemExclusive = r.number("cpuset", "cpuset.mem_exclusive")
	c.MemoryMigrate = r.number("cpuset", "cpuset.memory_migrate")
	c.MemorySpreadPage = r.number("cpuset", "cpuset.memory_spread_page")
	c.MemorySpreadSlab = r.number("cpuset", "cpuset.memory_spread_slab")
	c.MemoryPressure = r.number("cpuset", "cpuset.memory_pressure")
	c.SchedLoadBalance = r.number("cpuset", "cpuset.sched_load_balance")
	c.SchedRelaxDomainLevel, _ = strconv.ParseInt(r.text("cpuset", "cpuset.sched_relax_domain_level"), 10, 64)
}

func (r *reader) hugetlb1(file string) (h HugetlbStats, has bool) {
	usage := r.text("hugetlb", file+"rsvd.usage_in_bytes")
	if usage == "" {
		usage = r.text("hugetlb", file+"usage_in_bytes")
	} else {
		file += "rsvd."
	}
	if usage == "" {
		return h, false
	}
	return HugetlbStats{fs.ParseNumber(usage), r.number("hugetlb", file+"max_usage_in_bytes"), r.number("hugetlb", file+"failcnt")}, true
}
