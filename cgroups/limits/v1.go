package limits

import (
	"errors"
	"fmt"
	"strings"

	"davit/cgroups/failure"
	"davit/cgroups/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (p *planner) cpu1(r *specs.LinuxCPU) {
	if p.idle(r) {
		if v, ok := given(r.Shares); ok {
			p.add("cpu", "cpu.shares", utoa(v), "cpu.shares", 0)
		}
	}
	if v, ok := given(r.RealtimePeriod); ok {
		p.add("cpu", "cpu.rt_period_us", utoa(v), "cpu.realtimePeriod", late)
	}
	if v, ok := given(r.RealtimeRuntime); ok {
		p.add("cpu", "cpu.rt_runtime_us", itoa(v), "cpu.realtimeRuntime", late)
	}
	// The kernel compares each of these three with the present values of the others.
	if r.Burst != nil {
		p.add("cpu", "cpu.cfs_burst_us", utoa(*r.Burst), "cpu.burst", late)
	}
	if v, ok := given(r.Period); ok {
		p.add("cpu", "cpu.cfs_period_us", utoa(v), "cpu.period", late)
	}
	if v, ok := given(r.Quota); ok {
		p.add("cpu", "cpu.cfs_quota_us", itoa(v), "cpu.quota", late)
	}
}

func (p *planner) memory1(r *specs.LinuxMemory) {
	limit, limited := given(r.Limit)
	swap, swapped := given(r.Swap)
	if limit < 0 && swap > 0 {
		p.fail(failure.Refuse("memory.swap", "set memory.limit too, or remove swap",
			"%d is memory plus swap on cgroup v1, which cannot be less than a memory.limit of -1 (none)", swap))
		return
	}
	if limited {
		// limit must not exceed memsw.limit at any moment, whether both become larger or smaller.
		p.add("memory", "memory.limit_in_bytes", itoa(limit), "memory.limit", late)
	}
	switch {
	case swapped:
		p.add("memory", "memory.memsw.limit_in_bytes", itoa(swap), "memory.swap", late)
	case limit == -1:
		p.add("memory", "memory.memsw.limit_in_bytes", "-1", "memory.swap", late|mayLack)
	}
	if v, ok := given(r.KernelTCP); ok { //nolint:staticcheck // not recommended, but there
		p.add("memory", "memory.kmem.tcp.limit_in_bytes", itoa(v), "memory.kernelTCP", 0)
	}
	if v, ok := given(r.Reservation); ok {
		p.add("memory", "memory.soft_limit_in_bytes", itoa(v), "memory.reservation", 0)
	}
	if r.Swappiness != nil {
		p.add("memory", "memory.swappiness", utoa(*r.Swappiness), "memory.swappiness", 0)
	}
	if r.DisableOOMKiller != nil {
		p.add("memory", "memory.oom_control", bit(*r.DisableOOMKiller), "memory.disableOOMKiller", 0)
	}
}

func (p *planner) blkio1(r *specs.LinuxBlockIO) {
	// blkio.weight belonged to CFQ, which Linux 5.0 removed. bfq's file has another name.
	if v := r.Weight; v != nil && *v != 0 {
		s := utoa(uint64(*v))
		w := p.add("blkio", "blkio.weight", s, "blockIO.weight", 0)
		w.Alt = &Write{Ctrl: "blkio", File: "blkio.bfq.weight", Value: s, Field: w.Field}
	}
	if v := r.LeafWeight; v != nil && *v != 0 {
		p.add("blkio", "blkio.leaf_weight", utoa(uint64(*v)), "blockIO.leafWeight", 0)
	}
	for i, d := range r.WeightDevice {
		field := "blockIO.weightDevice[" + itoa(int64(i)) + "]"
		dev := device(d.LinuxBlockIODevice)
		if d.Weight != nil {
			s := dev + " " + utoa(uint64(*d.Weight))
			w := p.add("blkio", "blkio.weight_device", s, field+".weight", Keyed)
			w.reset = "0"
			w.Alt = &Write{Ctrl: "blkio", File: "blkio.bfq.weight_device", Value: s, Field: w.Field, Flags: Keyed, reset: "0"}
		}
		if d.LeafWeight != nil {
			p.add("blkio", "blkio.leaf_weight_device", dev+" "+utoa(uint64(*d.LeafWeight)),
				field+".leafWeight", Keyed).reset = "0"
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
			field+"["+itoa(int64(i))+"]", Keyed).reset = "0"
	}
}

func (p *planner) classID1(id uint32) {
	p.add("net_cls", "net_cls.classid", utoa(uint64(id)), "network.classID", 0)
}

func (p *planner) priority1(prio *specs.LinuxInterfacePriority, field string) {
	p.add("net_prio", "net_prio.ifpriomap", prio.Name+" "+utoa(uint64(prio.Priority)), field, Keyed).reset = "0"
}

// inUse completes the hint for a limit that is too low: it returns how much is in use. Only v1
// refuses such a limit.
func inUse(dir int, w *Write, err error) string {
	if !errors.Is(err, unix.EBUSY) {
		return ""
	}
	file := strings.TrimSuffix(w.File, "limit_in_bytes") + "usage_in_bytes"
	used, err := fs.ReadString(dir, file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": %s (%s); free some, or raise the limit", used, file)
}

// oomKillDisabled returns the value to write to memory.oom_control, given what the file contains.
func oomKillDisabled(text string) string {
	value, _, _ := strings.Cut(strings.TrimPrefix(text, "oom_kill_disable "), "\n")
	return value
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
