package systemd

import (
	"fmt"
	"strings"
	"testing"

	"davit/cgroups/devices"
	"davit/cgroups/limits"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestProperties(t *testing.T) {
	cpu := func(c specs.LinuxCPU) *specs.LinuxResources { return &specs.LinuxResources{CPU: &c} }
	for name, c := range map[string]struct {
		r       *specs.LinuxResources
		on      limits.Version
		systemd int
		start   bool
		want    string
	}{
		"memory": {&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(150)), Reservation: ptr(int64(-1))}}, all2, 252, true,
			"MemorySwapMax=50 MemoryMax=100 MemoryLow=18446744073709551615"},
		"memory, v1": {&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}}, all1, 252, true, "MemoryLimit=18446744073709551615"},
		"pids":       {&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, all2, 252, true, "TasksMax=1"},
		"no pids":    {&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, all2, 252, true, "TasksMax=18446744073709551615"},
		// 15500 of 50000 µs is 31 %. 15501 is a little more, and must not become less.
		"quota":            {cpu(specs.LinuxCPU{Quota: ptr(int64(15500)), Period: ptr(uint64(50000))}), all2, 252, true, "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=310000"},
		"quota, rounded":   {cpu(specs.LinuxCPU{Quota: ptr(int64(15501)), Period: ptr(uint64(50000))}), all2, 252, true, "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=320000"},
		"quota, v1":        {cpu(specs.LinuxCPU{Quota: ptr(int64(15500)), Period: ptr(uint64(50000))}), all1, 252, true, "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=310000"},
		"old systemd":      {cpu(specs.LinuxCPU{Quota: ptr(int64(15500)), Period: ptr(uint64(50000)), Cpus: "0"}), all2, 241, true, "CPUQuotaPerSecUSec=310000"},
		"no quota":         {cpu(specs.LinuxCPU{Quota: ptr(int64(-1))}), all2, 252, true, "CPUQuotaPerSecUSec=18446744073709551615"},
		"default period":   {cpu(specs.LinuxCPU{Quota: ptr(int64(200000))}), all2, 252, true, "CPUQuotaPerSecUSec=2000000"},
		"shares":           {cpu(specs.LinuxCPU{Shares: ptr(uint64(1024))}), all2, 252, true, "CPUWeight=100"},
		"shares, v1":       {cpu(specs.LinuxCPU{Shares: ptr(uint64(1024))}), all1, 252, true, "CPUShares=1024"},
		"idle":             {cpu(specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(1024))}), all2, 252, true, "CPUWeight=0"},
		"idle, old":        {cpu(specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(1024))}), all2, 251, true, ""},
		"no idle":          {cpu(specs.LinuxCPU{Idle: ptr(int64(0))}), all2, 252, true, "CPUWeight=100"},
		"no idle, shares":  {cpu(specs.LinuxCPU{Idle: ptr(int64(0)), Shares: ptr(uint64(2048))}), all2, 252, true, "CPUWeight=174"},
		"no idle, old":     {cpu(specs.LinuxCPU{Idle: ptr(int64(0))}), all2, 251, true, ""},
		"idle, unified":    {&specs.LinuxResources{Unified: map[string]string{"cpu.idle": " 0x1 "}}, all2, 252, true, "CPUWeight=0"},
		"io, bfq":          {&specs.LinuxResources{Unified: map[string]string{"io.bfq.weight": "default 300"}}, all2, 252, true, "IOWeight=2300"},
		"io, low bfq":      {&specs.LinuxResources{Unified: map[string]string{"io.bfq.weight": "30"}}, all2, 252, true, "IOWeight=30"},
		"cpuset, pattern":  {cpu(specs.LinuxCPU{Cpus: "0-7:2/4"}), all2, 252, true, "AllowedCPUs=[51]"},
		"cpuset":           {cpu(specs.LinuxCPU{Cpus: "0,9-10", Mems: "1"}), all2, 252, true, "AllowedCPUs=[1 6] AllowedMemoryNodes=[2]"},
		"unified":          {&specs.LinuxResources{Unified: map[string]string{"memory.high": "max", "pids.max": " 5 ", "cpu.max": "max 5000", "hugetlb.2MB.max": "1"}}, all2, 252, true, "MemoryHigh=18446744073709551615 TasksMax=5 CPUQuotaPeriodUSec=5000 CPUQuotaPerSecUSec=18446744073709551615"},
		"units":            {&specs.LinuxResources{Unified: map[string]string{"memory.high": "50M", "memory.low": "0x10k", "memory.max": "1G", "memory.min": "010"}}, all2, 252, true, "MemoryHigh=52428800 MemoryLow=16384 MemoryMax=1073741824 MemoryMin=8"},
		"quota, spaces":    {&specs.LinuxResources{Unified: map[string]string{"cpu.max": " 50000   100000 "}}, all2, 252, true, "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000"},
		"zswap":            {&specs.LinuxResources{Unified: map[string]string{"memory.zswap.writeback": "0"}}, all2, 256, true, "MemoryZSwapWriteback=false"},
		"zswap, old":       {&specs.LinuxResources{Unified: map[string]string{"memory.zswap.writeback": "0"}}, all2, 255, true, ""},
		"oom group":        {&specs.LinuxResources{Unified: map[string]string{"memory.oom.group": "1"}}, all2, 253, true, "OOMPolicy=kill"},
		"oom group, later": {&specs.LinuxResources{Unified: map[string]string{"memory.oom.group": "1"}}, all2, 253, false, ""},
		"io":               {&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(100))}}, all2, 252, true, "IOWeight=910"},
		"io, v1":           {&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(100))}}, all1, 252, true, "BlockIOWeight=100"},
	} {
		writes, err := limits.Plan(c.r, c.on)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, p := range properties(writes, c.systemd, c.start) {
			got = append(got, fmt.Sprintf("%s=%v", p.Name, p.Value))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s\nwant %s", name, s, c.want)
		}
	}
}

// TestLost: davit refuses a value that systemd would undo, because systemd has no property for it.
func TestLost(t *testing.T) {
	for _, c := range []struct {
		file, value string
		systemd     int
		start, set  bool
		want        string
	}{
		{"memory.oom.group", "1", 252, true, false, `linux.resources.unified[memory.oom.group]: systemd 252 has no OOMPolicy for scopes, which came with 253`},
		{"memory.oom.group", "0x1", 252, true, false, `linux.resources.unified[memory.oom.group]: systemd 252 has no OOMPolicy for scopes, which came with 253`},
		{"memory.oom.group", "0", 252, true, false, ""},
		{"memory.oom.group", "1", 253, true, false, ""},
		{"memory.oom.group", "1", 257, false, true, ""},
		{"memory.oom.group", "1", 257, false, false, `linux.resources.unified[memory.oom.group]: systemd writes memory.oom.group, and changes OOMPolicy of no scope that runs`},
		{"cpu.weight.nice", "5", 257, false, false, `linux.resources.unified[cpu.weight.nice]: systemd writes cpu.weight, and has no property for a nice value`},
		{"cpuset.cpus", "0-3,8 10", 257, false, false, ""},
		{"cpuset.cpus", "", 257, false, false, ""},
		{"cpuset.cpus", "all", 243, false, false, ""},
		{"cpuset.cpus", "all", 244, false, false, `linux.resources.unified[cpuset.cpus]: systemd writes cpuset.cpus, and cannot be told of "all"`},
		{"cpuset.mems", "0-N", 257, true, false, `linux.resources.unified[cpuset.mems]: systemd writes cpuset.mems, and cannot be told of "0-N"`},
	} {
		writes, err := limits.Plan(&specs.LinuxResources{Unified: map[string]string{c.file: c.value}}, all2)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := lost(writes, c.systemd, c.start, func(*limits.Write) bool { return c.set }); err != nil {
			got = err.Error()
			if fault.Hint(err) == "" {
				t.Errorf("%s %s: no hint", c.file, c.value)
			}
		}
		if got != c.want {
			t.Errorf("%s %s, systemd %d: %q, not %q", c.file, c.value, c.systemd, got, c.want)
		}
	}
}

// TestBitsOf: davit reads lists as the kernel does.
func TestBitsOf(t *testing.T) {
	for list, want := range map[string]string{
		"": "[] true", "0": "[1] true", "0,9-10": "[1 6] true", " 0 9-10\n": "[1 6] true", "0-7:2/4": "[51] true", "0-6:1/3": "[73] true",
		"all": "[] false", "N": "[] false", "3-1": "[] false", "0-7:3/2": "[] false", "0-7:0/2": "[] false", "1:1/2": "[] false", "0-7:2": "[] false", "x": "[] false",
	} {
		bits, ok := bitsOf(list)
		if !ok {
			bits = nil
		}
		if got := fmt.Sprint(bits, " ", ok); got != want {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
}

// TestKernelNumber: davit reads numbers as the kernel does.
func TestKernelNumber(t *testing.T) {
	for _, c := range []struct {
		file, text string
		want       uint64
		ok         bool
	}{
		{"memory.max", "1e", 1 << 60, true}, {"memory.max", "0x1e", 0x1e, true}, {"memory.max", "16E", 0, false},
		{"memory.max", "0X1e", 0x1e, true}, {"memory.max", "+5", 0, false}, {"pids.max", "+5", 5, true},
		{"memory.max", "k", 0, false}, {"memory.max", "5MB", 0, false}, {"memory.max", "0", 0, true},
		{"pids.max", "5k", 0, false}, {"pids.max", "0x10", 16, true}, {"pids.max", "", 0, false},
	} {
		if n, ok := kernelNumber(c.file, c.text); ok != c.ok || ok && n != c.want {
			t.Errorf("%s %q: %d, %v", c.file, c.text, n, ok)
		}
	}
}

func TestDeviceAllow(t *testing.T) {
	names := func(kind byte, major int64) string {
		if kind == 'b' && (major == 8 || major == 65) {
			return "sd"
		}
		if kind == 'c' && major == 136 {
			return "pts"
		}
		return ""
	}
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	for want, list := range map[string][]specs.LinuxDeviceCgroup{
		"[] true": {rule(false, "a", -1, -1, "rwm")},
		"[[/dev/char/1:3 rwm] [/dev/block/8:0 r] [char-pts rw] [char-* m]] true": {rule(true, "c", 1, 3, "rwm"), rule(true, "b", 8, 0, "r"), rule(true, "c", 136, -1, "rw"), rule(true, "c", -1, -1, "m")},
		"[[block-* r] [char-* r]] true":                                          {rule(true, "a", -1, -1, "r")},
		"[] false":                                                               {rule(true, "c", 200, -1, "rwm")},
		"[[char-* r]] true":                                                      {rule(true, "c", -1, -1, "rw"), rule(false, "c", -1, -1, "w"), rule(false, "b", 1, 3, "rw")},
		// If several entries have the same node, systemd uses the last one.
		"[[char-* rwm] [char-pts rwm]] true":   {rule(true, "c", -1, -1, "rwm"), rule(true, "c", 136, -1, "rwm"), rule(true, "c", -1, -1, "m")},
		"[[block-sd rw]] true":                 {rule(true, "b", 8, -1, "r"), rule(true, "b", 65, -1, "w")},
		"[[char-* r] [/dev/char/1:3 rw]] true": {rule(true, "c", -1, -1, "r"), rule(true, "c", 1, 3, "w")},
	} {
		l, e := devices.ListOf(list)
		if e != nil {
			t.Fatal(e)
		}
		allow, whole := deviceAllow(&l, names)
		if got := fmt.Sprint(allow, whole); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestDeviceProperties(t *testing.T) {
	rule := func(allow bool, kind string, major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: "rwm"}
	}
	all, deny := rule(true, "a", -1, -1), rule(false, "a", -1, -1)
	const v1, v2 = 1, 2
	const open = "DeviceAllow=[] DevicePolicy=auto"
	for _, c := range []struct {
		on   int
		list []specs.LinuxDeviceCgroup
		want string
	}{
		{v2, nil, ""},
		{v2, []specs.LinuxDeviceCgroup{deny}, "DeviceAllow=[] DevicePolicy=strict"},
		{v2, []specs.LinuxDeviceCgroup{all}, open},
		{v2, []specs.LinuxDeviceCgroup{deny, rule(true, "c", 1, 3)}, "DeviceAllow=[] DeviceAllow=[[/dev/char/1:3 rwm]] DevicePolicy=strict"},
		// If systemd cannot express the new rules, the rules that it got before must not stay in
		// force.
		{v2, []specs.LinuxDeviceCgroup{deny, rule(true, "c", 10, -1), rule(false, "c", 10, 229)}, open},
		{v2, []specs.LinuxDeviceCgroup{all, rule(false, "c", 10, 229)}, open},
		{v1, []specs.LinuxDeviceCgroup{all, rule(false, "c", 10, 229)}, open},
		{v1, []specs.LinuxDeviceCgroup{rule(true, "c", 1, 3), rule(true, "c", -1, 7)}, "DeviceAllow=[] DeviceAllow=[[/dev/char/1:3 rwm]] DevicePolicy=strict"},
	} {
		props, err := deviceProperties(c.list, c.on)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range props {
			got = append(got, fmt.Sprintf("%s=%v", p.Name, p.Value))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s\nwant %s", c.list, s, c.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// all2 is a host with all controllers on v2; all1 is one with all controllers on v1.
func all2(string) int { return 2 }
func all1(string) int { return 1 }
