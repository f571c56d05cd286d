package systemd

import "davit/cgroups/limits"

// plain1 adds the property of a file of cgroup v1.
func (p *propertyList) plain1(w *limits.Write) {
	switch w.File {
	case "cpu.shares":
		p.number("CPUShares", w.Value, w.File)
	case "cpu.cfs_quota_us":
		p.quota = w.Value
	case "cpu.cfs_period_us":
		p.period = w.Value
	case "memory.limit_in_bytes":
		p.number("MemoryLimit", w.Value, w.File)
	case "blkio.weight":
		p.number("BlockIOWeight", w.Value, w.File)
	}
}
