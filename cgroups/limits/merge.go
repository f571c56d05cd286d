package limits

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Merge returns the resources that a container has after an update: those of old, with what change
// sets in their place. Either may be nil; neither is altered. Lists are merged by device, page size
// or interface; the device rules are replaced as a whole.
func Merge(old, change *specs.LinuxResources) *specs.LinuxResources {
	if old == nil {
		old = &specs.LinuxResources{}
	}
	if change == nil {
		change = &specs.LinuxResources{}
	}
	r := *old
	if change.Devices != nil {
		r.Devices = change.Devices
	}
	r.Memory = mergeMemory(old.Memory, change.Memory)
	r.CPU = mergeCPU(old.CPU, change.CPU)
	if change.Pids != nil {
		r.Pids = change.Pids
	}
	r.BlockIO = mergeBlockIO(old.BlockIO, change.BlockIO)
	r.HugepageLimits = mergeList(old.HugepageLimits, change.HugepageLimits, func(l *specs.LinuxHugepageLimit) string { return l.Pagesize })
	if change.Network != nil {
		n := specs.LinuxNetwork{}
		if old.Network != nil {
			n = *old.Network
		}
		n.ClassID = pick(n.ClassID, change.Network.ClassID)
		n.Priorities = mergeList(n.Priorities, change.Network.Priorities, func(p *specs.LinuxInterfacePriority) string { return p.Name })
		r.Network = &n
	}
	r.Rdma = mergeMap(old.Rdma, change.Rdma)
	r.Unified = mergeMap(old.Unified, change.Unified)
	return &r
}

// Complete returns change with those values of old that must be written with the changed ones: the
// limit by which swap is converted, the quota beside a period, the weight that a cgroup has lost by
// being idle.
func Complete(old, change *specs.LinuxResources) *specs.LinuxResources {
	r := *change
	if old == nil {
		return &r
	}
	if c, o := change.Memory, old.Memory; c != nil && o != nil {
		m := *c
		if m.Limit != nil || m.Swap != nil {
			m.Limit, m.Swap = pick(o.Limit, m.Limit), pick(o.Swap, m.Swap)
		}
		m.CheckBeforeUpdate = pick(o.CheckBeforeUpdate, m.CheckBeforeUpdate)
		r.Memory = &m
	}
	if c, o := change.CPU, old.CPU; c != nil && o != nil {
		cpu := *c
		if cpu.Quota != nil || cpu.Period != nil {
			cpu.Quota, cpu.Period = pick(o.Quota, cpu.Quota), pick(o.Period, cpu.Period)
		}
		if cpu.Idle != nil && *cpu.Idle == 0 {
			cpu.Shares = pick(o.Shares, cpu.Shares) // an idle cgroup has lost its weight
			r.Unified = keep(old.Unified, r.Unified, "cpu.weight", "cpu.weight.nice")
		}
		if cpu.Shares != nil {
			cpu.Idle = pick(o.Idle, cpu.Idle) // an idle cgroup takes no weight
		}
		r.CPU = &cpu
	}
	if quota := strings.Fields(change.Unified["cpu.max"]); len(quota) == 1 {
		if period := periodOf(old); period != "" { // the kernel would keep the period, but systemd must be told both
			r.Unified = mergeMap(r.Unified, map[string]string{"cpu.max": quota[0] + " " + period})
		}
	}
	return &r
}

// keep returns change with the entries of old that change lacks and that have one of the keys.
func keep(old, change map[string]string, keys ...string) map[string]string {
	kept := make(map[string]string)
	for _, key := range keys {
		if v, has := old[key]; has {
			kept[key] = v
		}
	}
	return mergeMap(kept, change)
}

// periodOf returns the period of the CPU quota that r sets on cgroup v2, in microseconds, or "" if
// it sets none.
func periodOf(r *specs.LinuxResources) string {
	if f := strings.Fields(r.Unified["cpu.max"]); len(f) == 2 {
		return f[1]
	}
	if r.CPU != nil && r.CPU.Period != nil && *r.CPU.Period != 0 {
		return utoa(*r.CPU.Period)
	}
	return ""
}

func pick[T any](old, change *T) *T {
	if change != nil {
		return change
	}
	return old
}

func mergeMemory(old, change *specs.LinuxMemory) *specs.LinuxMemory {
	if old == nil || change == nil {
		return pick(old, change)
	}
	return &specs.LinuxMemory{
		Limit:             pick(old.Limit, change.Limit),
		Reservation:       pick(old.Reservation, change.Reservation),
		Swap:              pick(old.Swap, change.Swap),
		Kernel:            pick(old.Kernel, change.Kernel),       //nolint:staticcheck // kept as it came
		KernelTCP:         pick(old.KernelTCP, change.KernelTCP), //nolint:staticcheck // kept as it came
		Swappiness:        pick(old.Swappiness, change.Swappiness),
		DisableOOMKiller:  pick(old.DisableOOMKiller, change.DisableOOMKiller),
		UseHierarchy:      pick(old.UseHierarchy, change.UseHierarchy),
		CheckBeforeUpdate: pick(old.CheckBeforeUpdate, change.CheckBeforeUpdate),
	}
}

func mergeCPU(old, change *specs.LinuxCPU) *specs.LinuxCPU {
	if old == nil || change == nil {
		return pick(old, change)
	}
	c := &specs.LinuxCPU{
		Shares:          pick(old.Shares, change.Shares),
		Quota:           pick(old.Quota, change.Quota),
		Burst:           pick(old.Burst, change.Burst),
		Period:          pick(old.Period, change.Period),
		RealtimeRuntime: pick(old.RealtimeRuntime, change.RealtimeRuntime),
		RealtimePeriod:  pick(old.RealtimePeriod, change.RealtimePeriod),
		Cpus:            old.Cpus,
		Mems:            old.Mems,
		Idle:            pick(old.Idle, change.Idle),
	}
	if change.Cpus != "" {
		c.Cpus = change.Cpus
	}
	if change.Mems != "" {
		c.Mems = change.Mems
	}
	return c
}

func mergeBlockIO(old, change *specs.LinuxBlockIO) *specs.LinuxBlockIO {
	if old == nil || change == nil {
		return pick(old, change)
	}
	weight := func(d *specs.LinuxWeightDevice) string { return device(d.LinuxBlockIODevice) }
	rate := func(d *specs.LinuxThrottleDevice) string { return device(d.LinuxBlockIODevice) }
	return &specs.LinuxBlockIO{
		Weight:                  pick(old.Weight, change.Weight),
		LeafWeight:              pick(old.LeafWeight, change.LeafWeight),
		WeightDevice:            mergeList(old.WeightDevice, change.WeightDevice, weight),
		ThrottleReadBpsDevice:   mergeList(old.ThrottleReadBpsDevice, change.ThrottleReadBpsDevice, rate),
		ThrottleWriteBpsDevice:  mergeList(old.ThrottleWriteBpsDevice, change.ThrottleWriteBpsDevice, rate),
		ThrottleReadIOPSDevice:  mergeList(old.ThrottleReadIOPSDevice, change.ThrottleReadIOPSDevice, rate),
		ThrottleWriteIOPSDevice: mergeList(old.ThrottleWriteIOPSDevice, change.ThrottleWriteIOPSDevice, rate),
	}
}

// mergeList returns old with the entries of change: each replaces the entry with the same key, or
// is appended.
func mergeList[T any](old, change []T, key func(*T) string) []T {
	if len(change) == 0 {
		return old
	}
	out := append([]T(nil), old...)
next:
	for i := range change {
		for j := range out {
			if key(&out[j]) == key(&change[i]) {
				out[j] = change[i]
				continue next
			}
		}
		out = append(out, change[i])
	}
	return out
}

func mergeMap[V any](old, change map[string]V) map[string]V {
	if len(change) == 0 {
		return old
	}
	out := make(map[string]V, len(old)+len(change))
	for k, v := range old {
		out[k] = v
	}
	for k, v := range change {
		out[k] = v
	}
	return out
}
