package limits

import (
	"strings"

	"davit/cgroups/failure"
	"davit/cgroups/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ioWeight converts the spec's weight (10 to 1000) linearly to io.weight (1 to 10000), as runc
// does.
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

// ioController returns the name of the block I/O controller: "io" on v2, "blkio" on v1.
func ioController(on Version) string {
	if on("blkio") == 1 {
		return "blkio"
	}
	return "io"
}

func (p *planner) io2(r *specs.LinuxBlockIO) {
	if v := r.LeafWeight; v != nil && *v != 0 {
		p.fail(failure.Refuse("blockIO.leafWeight", "remove the field", "cgroup v2 has no leaf weights"))
	}
	if v := r.Weight; v != nil && *v != 0 {
		// bfq's file has the range of the spec. A kernel without bfq has io.weight, which iocost
		// uses.
		w := p.add("io", "io.bfq.weight", utoa(uint64(*v)), "blockIO.weight", 0)
		w.Alt = &Write{Ctrl: "io", File: "io.weight", Value: utoa(ioWeight(*v)), Field: w.Field}
	}
	for i, d := range r.WeightDevice {
		field := "blockIO.weightDevice[" + itoa(int64(i)) + "]"
		if d.LeafWeight != nil && *d.LeafWeight != 0 {
			p.fail(failure.Refuse(field+".leafWeight", "remove the field", "cgroup v2 has no leaf weights"))
		}
		if d.Weight == nil {
			continue
		}
		dev := device(d.LinuxBlockIODevice)
		w := p.add("io", "io.bfq.weight", dev+" "+utoa(uint64(*d.Weight)), field, Keyed)
		w.reset = "default"
		w.Alt = &Write{Ctrl: "io", File: "io.weight", Value: dev + " " + utoa(ioWeight(*d.Weight)),
			Field: field, Flags: Keyed, reset: "default"}
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
			rate = "max" // 0 is no limit, as on v1; v2's file refuses 0
		}
		p.add("io", "io.max", device(d.LinuxBlockIODevice)+" "+key+"="+rate,
			field+"["+itoa(int64(i))+"]", Keyed).reset = key + "=max"
	}
}

func device(d specs.LinuxBlockIODevice) string { return itoa(d.Major) + ":" + itoa(d.Minor) }

// hugetlb plans a limit in bytes for the usage of huge pages, and for their reservation, which
// Linux accounts for since 5.7.
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

// CheckPageSizes refuses sizes of huge pages that this host does not have, and sizes that are not
// written as the kernel writes them ("2MB", "1GB"): the cgroup has no file for them.
func CheckPageSizes(limits []specs.LinuxHugepageLimit) error {
	const sizes = "/sys/kernel/mm/hugepages"
	for i, l := range limits {
		number, unit := strings.TrimRight(l.Pagesize, "KMGB"), strings.TrimLeft(l.Pagesize, "0123456789")
		kib := utoa(fs.ParseNumber(number) << map[string]uint{"MB": 10, "GB": 20}[unit])
		field := "hugepageLimits[" + itoa(int64(i)) + "]"
		if unix.Access(sizes+"/hugepages-"+kib+"kB", unix.F_OK) == unix.ENOENT && unix.Access(sizes, unix.F_OK) == nil {
			return failure.Refuse(field, "ls "+sizes+" shows the sizes that this host has", "this host has no huge pages of %s", l.Pagesize)
		}
		if name := fs.PageSize(kib); name != l.Pagesize {
			return failure.Refuse(field, "write the size as the kernel does", "pageSize %q is called %s by the kernel", l.Pagesize, name)
		}
	}
	return nil
}

// network plans linux.resources.network. Only v1 has net_cls and net_prio; on v2 netfilter and eBPF
// do their work.
func (p *planner) network(r *specs.LinuxNetwork) {
	if r == nil {
		return
	}
	if id := r.ClassID; id != nil && *id != 0 {
		if p.v2("net_cls") {
			p.fail(failure.Refuse("network.classID", "remove the field", "no cgroup v1 hierarchy with net_cls is mounted (cgroup v2 has none)"))
			return
		}
		p.classID1(*id)
	}
	for i := range r.Priorities {
		field := "network.priorities[" + itoa(int64(i)) + "]"
		if p.v2("net_prio") {
			p.fail(failure.Refuse(field, "remove the field", "no cgroup v1 hierarchy with net_prio is mounted (cgroup v2 has none)"))
			return
		}
		p.priority1(&r.Priorities[i], field)
	}
}
