package cgroups

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ioWeight converts blkio's weight (10 to 1000) linearly to io.weight (1 to 10000), as runc does.
func ioWeight(w uint16) uint64 {
	if w < 10 {
		return 1
	}
	return 1 + (uint64(w)-10)*9999/990
}

func (p *planner) blockIO(r *specs.LinuxBlockIO) {
	if r == nil {
		return
	}
	if p.v2(ioController(p.on)) {
		p.io2(r)
	} else {
		p.blkio1(r)
	}
}

// ioController is the name of the block I/O controller: io on v2, blkio on v1.
func ioController(on version) string {
	if on("blkio") == 1 {
		return "blkio"
	}
	return "io"
}

func (p *planner) io2(r *specs.LinuxBlockIO) {
	if v := r.LeafWeight; v != nil && *v != 0 {
		p.fail(refuse("blockIO.leafWeight", "remove the field", "cgroup v2 has no leaf weights"))
	}
	if v := r.Weight; v != nil && *v != 0 {
		// bfq's own range is that of the spec; else iocost's io.weight.
		w := p.add("io", "io.bfq.weight", utoa(uint64(*v)), "blockIO.weight", 0)
		w.alt = &write{ctrl: "io", file: "io.weight", value: utoa(ioWeight(*v)), field: w.field}
	}
	for i, d := range r.WeightDevice {
		field := "blockIO.weightDevice[" + itoa(int64(i)) + "]"
		if d.LeafWeight != nil && *d.LeafWeight != 0 {
			p.fail(refuse(field+".leafWeight", "remove the field", "cgroup v2 has no leaf weights"))
		}
		if d.Weight == nil {
			continue
		}
		dev := device(d.LinuxBlockIODevice)
		w := p.add("io", "io.bfq.weight", dev+" "+utoa(uint64(*d.Weight)), field, keyed)
		w.reset = "default"
		w.alt = &write{ctrl: "io", file: "io.weight", value: dev + " " + utoa(ioWeight(*d.Weight)),
			field: field, flags: keyed, reset: "default"}
	}
	p.throttle2(r.ThrottleReadBpsDevice, "rbps", "blockIO.throttleReadBpsDevice")
	p.throttle2(r.ThrottleWriteBpsDevice, "wbps", "blockIO.throttleWriteBpsDevice")
	p.throttle2(r.ThrottleReadIOPSDevice, "riops", "blockIO.throttleReadIOPSDevice")
	p.throttle2(r.ThrottleWriteIOPSDevice, "wiops", "blockIO.throttleWriteIOPSDevice")
}

func (p *planner) throttle2(list []specs.LinuxThrottleDevice, key, field string) {
	for i, d := range list {
		rate := utoa(d.Rate)
		if d.Rate == 0 {
			rate = "max" // v1's 0, no limit; v2 refuses it
		}
		p.add("io", "io.max", device(d.LinuxBlockIODevice)+" "+key+"="+rate,
			field+"["+itoa(int64(i))+"]", keyed).reset = key + "=max"
	}
}

func (p *planner) blkio1(r *specs.LinuxBlockIO) {
	// blkio.weight was CFQ's, gone with Linux 5.0; bfq's has another name.
	if v := r.Weight; v != nil && *v != 0 {
		s := utoa(uint64(*v))
		w := p.add("blkio", "blkio.weight", s, "blockIO.weight", 0)
		w.alt = &write{ctrl: "blkio", file: "blkio.bfq.weight", value: s, field: w.field}
	}
	if v := r.LeafWeight; v != nil && *v != 0 {
		p.add("blkio", "blkio.leaf_weight", utoa(uint64(*v)), "blockIO.leafWeight", 0)
	}
	for i, d := range r.WeightDevice {
		field := "blockIO.weightDevice[" + itoa(int64(i)) + "]"
		dev := device(d.LinuxBlockIODevice)
		if d.Weight != nil {
			s := dev + " " + utoa(uint64(*d.Weight))
			w := p.add("blkio", "blkio.weight_device", s, field+".weight", keyed)
			w.reset = "0"
			w.alt = &write{ctrl: "blkio", file: "blkio.bfq.weight_device", value: s, field: w.field, flags: keyed, reset: "0"}
		}
		if d.LeafWeight != nil {
			p.add("blkio", "blkio.leaf_weight_device", dev+" "+utoa(uint64(*d.LeafWeight)),
				field+".leafWeight", keyed).reset = "0"
		}
	}
	p.throttle1(r.ThrottleReadBpsDevice, "blkio.throttle.read_bps_device", "blockIO.throttleReadBpsDevice")
	p.throttle1(r.ThrottleWriteBpsDevice, "blkio.throttle.write_bps_device", "blockIO.throttleWriteBpsDevice")
	p.throttle1(r.ThrottleReadIOPSDevice, "blkio.throttle.read_iops_device", "blockIO.throttleReadIOPSDevice")
	p.throttle1(r.ThrottleWriteIOPSDevice, "blkio.throttle.write_iops_device", "blockIO.throttleWriteIOPSDevice")
}

func (p *planner) throttle1(list []specs.LinuxThrottleDevice, file, field string) {
	for i, d := range list {
		p.add("blkio", file, device(d.LinuxBlockIODevice)+" "+utoa(d.Rate),
			field+"["+itoa(int64(i))+"]", keyed).reset = "0"
	}
}

func device(d specs.LinuxBlockIODevice) string { return itoa(d.Major) + ":" + itoa(d.Minor) }

// hugetlb limits both the reservations, where the kernel accounts for them (5.7), and the usage.
func (p *planner) hugetlb(limits []specs.LinuxHugepageLimit) {
	suffix := "max"
	if !p.v2("hugetlb") {
		suffix = "limit_in_bytes"
	}
	for i, l := range limits {
		file, field := "hugetlb."+l.Pagesize+".", "hugepageLimits["+itoa(int64(i))+"]"
		p.add("hugetlb", file+suffix, utoa(l.Limit), field, 0)
		p.add("hugetlb", file+"rsvd."+suffix, utoa(l.Limit), field, mayLack)
	}
}

// network: net_cls and net_prio are v1's; v2 leaves it to netfilter and eBPF.
func (p *planner) network(r *specs.LinuxNetwork) {
	if r == nil {
		return
	}
	if id := r.ClassID; id != nil && *id != 0 {
		if p.v2("net_cls") {
			p.fail(refuse("network.classID", "remove the field", "no cgroup v1 hierarchy with net_cls is mounted (cgroup v2 has none)"))
			return
		}
		p.add("net_cls", "net_cls.classid", utoa(uint64(*id)), "network.classID", 0)
	}
	for i, prio := range r.Priorities {
		field := "network.priorities[" + itoa(int64(i)) + "]"
		if p.v2("net_prio") {
			p.fail(refuse(field, "remove the field", "no cgroup v1 hierarchy with net_prio is mounted (cgroup v2 has none)"))
			return
		}
		p.add("net_prio", "net_prio.ifpriomap", prio.Name+" "+utoa(uint64(prio.Priority)), field, keyed).reset = "0"
	}
}
