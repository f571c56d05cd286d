package limits

import (
	"strings"
	"testing"

	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func all2(string) int { return 2 }
func all1(ctrl string) int {
	if ctrl == "cgroup" || ctrl == "io" {
		return 0
	}
	return 1
}

func TestWeight(t *testing.T) {
	// Both ends, the default, and points of the curve that were computed with 40 decimal digits.
	for shares, want := range map[uint64]uint64{
		0: 0, 1: 1, 2: 1, 3: 2, 10: 4, 100: 17, 512: 59, 1023: 100, 1024: 100, 1025: 101, 2048: 174,
		10000: 627, 102400: 4429, 262143: 10000, 262144: 10000, 1 << 40: 10000,
	} {
		if got := Weight(shares); got != want {
			t.Errorf("Weight(%d) = %d, want %d", shares, got, want)
		}
	}
	for s := uint64(2); s < 262144; s += 1 + s/100 {
		if Weight(s) > Weight(s+1) {
			t.Fatalf("Weight falls from %d to %d", s, s+1)
		}
	}
}

func TestIOWeight(t *testing.T) {
	for w, want := range map[uint16]uint64{1: 1, 10: 1, 100: 910, 500: 4950, 1000: 10000} {
		if got := ioWeight(w); got != want {
			t.Errorf("ioWeight(%d) = %d, want %d", w, got, want)
		}
	}
}

// planned returns a plan as text: "file=value" in order, with "|" before an alternative and "?"
// after an optional write.
func planned(writes []Write) string {
	var b strings.Builder
	for i, w := range writes {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(w.File + "=" + w.Value)
		if w.Flags&mayLack != 0 {
			b.WriteString("?")
		}
		if w.Alt != nil {
			b.WriteString("|" + w.Alt.File + "=" + w.Alt.Value)
		}
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	dev := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: n}}
	}
	mem := func(m specs.LinuxMemory) *specs.LinuxResources { return &specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) *specs.LinuxResources { return &specs.LinuxResources{CPU: &c} }
	for name, c := range map[string]struct {
		r            *specs.LinuxResources
		want2, want1 string // with a leading "!", an error with this text
	}{
		"nothing":      {nil, "", ""},
		"zero is none": {mem(specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0)), Reservation: ptr(int64(0))}), "", ""},
		"memory": {mem(specs.LinuxMemory{Limit: ptr(int64(100)), Reservation: ptr(int64(50)), Swap: ptr(int64(300))}),
			"memory.swap.max=200; memory.max=100; memory.low=50",
			"memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=300; memory.soft_limit_in_bytes=50"},
		"no swap": {mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(100))}),
			"memory.swap.max=0?; memory.max=100", "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=100"},
		"unlimited": {mem(specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}),
			"memory.swap.max=max?; memory.max=max", "memory.limit_in_bytes=-1; memory.memsw.limit_in_bytes=-1"},
		"unlimited memory alone": {mem(specs.LinuxMemory{Limit: ptr(int64(-1))}),
			"memory.swap.max=max?; memory.max=max", "memory.limit_in_bytes=-1; memory.memsw.limit_in_bytes=-1?"},
		"swap of unlimited memory": {mem(specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(99))}),
			"memory.swap.max=99; memory.max=max", "!linux.resources.memory.swap: 99 is memory plus swap on cgroup v1, which cannot be less than a memory.limit of -1 (none)"},
		"swap below limit": {mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(99))}),
			"!linux.resources.memory.swap: 99 is less than memory.limit, 100", "memory.limit_in_bytes=100; memory.memsw.limit_in_bytes=99"},
		"swap alone": {mem(specs.LinuxMemory{Swap: ptr(int64(99))}),
			"!linux.resources.memory.swap: 99 is memory plus swap, which needs a memory.limit on cgroup v2", "memory.memsw.limit_in_bytes=99"},
		"kernel TCP memory": {mem(specs.LinuxMemory{KernelTCP: ptr(int64(1))}),
			"!linux.resources.memory.kernelTCP: cgroup v2 has no limit for TCP buffers alone", "memory.kmem.tcp.limit_in_bytes=1"},
		"kernel memory is ignored": {mem(specs.LinuxMemory{Kernel: ptr(int64(1))}), "", ""},
		"swappiness": {mem(specs.LinuxMemory{Swappiness: ptr(uint64(0))}),
			"!linux.resources.memory.swappiness: cgroup v2 has no swappiness per cgroup", "memory.swappiness=0"},
		"oom killer off": {mem(specs.LinuxMemory{DisableOOMKiller: ptr(true)}),
			"!linux.resources.memory.disableOOMKiller: cgroup v2 cannot disable the OOM killer", "memory.oom_control=1"},
		"oom killer on": {mem(specs.LinuxMemory{DisableOOMKiller: ptr(false)}), "", "memory.oom_control=0"},
		"no hierarchy": {mem(specs.LinuxMemory{UseHierarchy: ptr(false)}),
			"!linux.resources.memory.useHierarchy: false is impossible: since Linux 5.11 memory is always accounted for hierarchically",
			"!linux.resources.memory.useHierarchy: false is impossible: since Linux 5.11 memory is always accounted for hierarchically"},
		"cpu": {cpu(specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(5000)), Period: ptr(uint64(10000)), Burst: ptr(uint64(1000)), Cpus: "0-1", Mems: "0"}),
			"cpu.weight=100; cpu.max.burst=1000; cpu.max=5000 10000; cpuset.cpus=0-1; cpuset.mems=0",
			"cpu.shares=1024; cpu.cfs_burst_us=1000; cpu.cfs_period_us=10000; cpu.cfs_quota_us=5000; cpuset.cpus=0-1; cpuset.mems=0"},
		"quota alone":  {cpu(specs.LinuxCPU{Quota: ptr(int64(5000))}), "cpu.max=5000", "cpu.cfs_quota_us=5000"},
		"period alone": {cpu(specs.LinuxCPU{Period: ptr(uint64(5000))}), "cpu.max=max 5000", "cpu.cfs_period_us=5000"},
		"no quota":     {cpu(specs.LinuxCPU{Quota: ptr(int64(-1))}), "cpu.max=max", "cpu.cfs_quota_us=-1"},
		"idle":         {cpu(specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(10))}), "cpu.idle=1", "cpu.idle=1"},
		"not idle":     {cpu(specs.LinuxCPU{Idle: ptr(int64(0)), Shares: ptr(uint64(2))}), "cpu.idle=0; cpu.weight=1", "cpu.idle=0; cpu.shares=2"},
		"realtime": {cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(950)), RealtimePeriod: ptr(uint64(1000))}),
			"!linux.resources.cpu.realtimeRuntime: cgroup v2 has no realtime limits!linux.resources.cpu.realtimePeriod: cgroup v2 has no realtime limits", "cpu.rt_period_us=1000; cpu.rt_runtime_us=950"},
		"pids":      {&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}, "pids.max=7", "pids.max=7"},
		"pids max":  {&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, "pids.max=max", "pids.max=max"},
		"pids 0":    {&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, "pids.max=1", "pids.max=1"},
		"pids none": {&specs.LinuxResources{Pids: &specs.LinuxPids{}}, "", ""},
		"io": {&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(100)),
			WeightDevice:          []specs.LinuxWeightDevice{{LinuxBlockIODevice: dev, Weight: ptr(uint16(500))}},
			ThrottleReadBpsDevice: rate(1), ThrottleWriteBpsDevice: rate(2), ThrottleReadIOPSDevice: rate(3), ThrottleWriteIOPSDevice: rate(0)}},
			"io.bfq.weight=100|io.weight=910; io.bfq.weight=8:16 500|io.weight=8:16 4950; " +
				"io.max=8:16 rbps=1; io.max=8:16 wbps=2; io.max=8:16 riops=3; io.max=8:16 wiops=max",
			"blkio.weight=100|blkio.bfq.weight=100; blkio.weight_device=8:16 500|blkio.bfq.weight_device=8:16 500; " +
				"blkio.throttle.read_bps_device=8:16 1; blkio.throttle.write_bps_device=8:16 2; " +
				"blkio.throttle.read_iops_device=8:16 3; blkio.throttle.write_iops_device=8:16 0"},
		"leaf weight": {&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(10))}},
			"!linux.resources.blockIO.leafWeight: cgroup v2 has no leaf weights", "blkio.leaf_weight=10"},
		"huge pages": {&specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4096}}},
			"hugetlb.2MB.max=4096; hugetlb.2MB.rsvd.max=4096?", "hugetlb.2MB.limit_in_bytes=4096; hugetlb.2MB.rsvd.limit_in_bytes=4096?"},
		"network": {&specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(5)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			"!linux.resources.network.classID: no cgroup v1 hierarchy with net_cls is mounted (cgroup v2 has none)",
			"net_cls.classid=5; net_prio.ifpriomap=lo 3"},
		"rdma": {&specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"b": {HcaObjects: ptr(uint32(2))}, "a": {HcaHandles: ptr(uint32(1)), HcaObjects: ptr(uint32(3))}}},
			"rdma.max=a hca_handle=1 hca_object=3; rdma.max=b hca_object=2", "rdma.max=a hca_handle=1 hca_object=3; rdma.max=b hca_object=2"},
		"cpusets": {&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-2,7", Mems: "0-1"}},
			"cpuset.cpus=0-2,7; cpuset.mems=0-1", "cpuset.cpus=0-2,7; cpuset.mems=0-1"},
		"unified": {&specs.LinuxResources{Unified: map[string]string{"memory.high": "5", "io.max": "8:0 rbps=1\n8:16 wbps=2\n"}},
			"io.max=8:0 rbps=1; io.max=8:16 wbps=2; memory.high=5",
			"!linux.resources.unified[memory.high]: controller memory is on a cgroup v1 hierarchy of this host" +
				"!linux.resources.unified[io.max]: controller io is not available in the container's cgroup"},
		"unified, v1's": {&specs.LinuxResources{Unified: map[string]string{"memory.high": "5"}}, "memory.high=5",
			"!linux.resources.unified[memory.high]: controller memory is on a cgroup v1 hierarchy of this host"},
		"unified, a path": {&specs.LinuxResources{Unified: map[string]string{"memory.x/../cgroup.kill": "1"}},
			`!linux.resources.unified[memory.x/../cgroup.kill]: "memory.x/../cgroup.kill" is not the name of a cgroup v2 file`,
			`!linux.resources.unified[memory.x/../cgroup.kill]: "memory.x/../cgroup.kill" is not the name of a cgroup v2 file`},
	} {
		for v, on := range map[string]Version{"v2": all2, "v1": all1} {
			want := c.want2
			if v == "v1" {
				want = c.want1
			}
			writes, err := Plan(c.r, on)
			got := planned(writes)
			fault.Each(err, func(e *fault.Error) { got += "!" + e.Error() })
			if got != want {
				t.Errorf("%s on %s:\n got %s\nwant %s", name, v, got, want)
			}
		}
	}
}

func TestPlanMissingControllers(t *testing.T) {
	none := func(string) int { return 0 }
	for field, r := range map[string]*specs.LinuxResources{
		"memory.limit":                     {Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}},
		"cpu.shares":                       {CPU: &specs.LinuxCPU{Shares: ptr(uint64(2))}},
		"cpu.cpus":                         {CPU: &specs.LinuxCPU{Cpus: "0"}},
		"pids.limit":                       {Pids: &specs.LinuxPids{Limit: ptr(int64(1))}},
		"blockIO.weight":                   {BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(100))}},
		"hugepageLimits[0]":                {HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}}},
		"network.priorities[0]":            {Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo"}}}},
		"rdma[mlx5_0]":                     {Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: ptr(uint32(1))}}},
		"unified[memory.high]":             {Unified: map[string]string{"memory.high": "1"}},
		"blockIO.throttleReadBpsDevice[0]": {BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{Rate: 1}}}},
	} {
		_, err := Plan(r, none)
		if err == nil || !strings.HasPrefix(err.Error(), "linux.resources."+field+": ") || fault.Hint(err) == "" {
			t.Errorf("%s: %v (hint %q)", field, err, fault.Hint(err))
		}
	}
}

func TestMergeAndComplete(t *testing.T) {
	old := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(300))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(5000)), Period: ptr(uint64(10000)), Shares: ptr(uint64(1024)), Idle: ptr(int64(1))},
		BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{
			{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 1}, {LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 9}, Rate: 2}}},
		Unified: map[string]string{"memory.high": "1", "pids.max": "2"},
	}
	change := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(200))},
		CPU:     &specs.LinuxCPU{Period: ptr(uint64(20000)), Idle: ptr(int64(0))},
		BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 9}, Rate: 7}}},
		Unified: map[string]string{"pids.max": "3"},
	}
	for what, c := range map[string]struct {
		r    *specs.LinuxResources
		want string
	}{
		"only what changes, with what it depends on": {Complete(old, change),
			"memory.swap.max=100; memory.max=200; cpu.idle=0; cpu.weight=100; cpu.max=5000 20000; io.max=9:0 rbps=7; pids.max=3"},
		"everything": {Merge(old, change),
			"memory.swap.max=100; memory.max=200; cpu.idle=0; cpu.weight=100; cpu.max=5000 20000; io.max=8:0 rbps=1; io.max=9:0 rbps=7; memory.high=1; pids.max=3"},
		"old is not altered": {old,
			"memory.swap.max=200; memory.max=100; cpu.idle=1; cpu.max=5000 10000; io.max=8:0 rbps=1; io.max=9:0 rbps=2; memory.high=1; pids.max=2"},
	} {
		writes, err := Plan(c.r, all2)
		if err != nil || planned(writes) != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", what, planned(writes), err, c.want)
		}
	}
	for name, c := range map[string]struct{ old, change specs.LinuxResources }{
		"cpu.max=5000 20000": {specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(20000))}},
			specs.LinuxResources{Unified: map[string]string{"cpu.max": "5000"}}},
		"cpu.max=max 30000": {specs.LinuxResources{Unified: map[string]string{"cpu.max": "9000 30000"}},
			specs.LinuxResources{Unified: map[string]string{"cpu.max": " max "}}},
		"cpu.idle=0; cpu.weight=50": {specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}, Unified: map[string]string{"cpu.weight": "50", "pids.max": "2"}},
			specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(0))}}},
	} {
		writes, err := Plan(Complete(&c.old, &c.change), all2)
		if err != nil || planned(writes) != name {
			t.Errorf("got %s, %v\nwant %s", planned(writes), err, name)
		}
	}
	if m := Merge(nil, nil); m == nil || m.Memory != nil {
		t.Errorf("Merge(nil, nil) = %+v", m)
	}
}
