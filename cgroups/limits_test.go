package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"davit/cgroups/limits"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestPids(t *testing.T) {
	has(t, "pids")
	m := made(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(123))}})
	if got := read(t, m, "pids", "pids.max"); got != "123" {
		t.Error(got)
	}
	start(t, m, "wait")
	s, err := m.Stats()
	if err != nil || s.Pids.Current < 1 || s.Pids.Limit != 123 {
		t.Errorf("%+v, %v", s.Pids, err)
	}
}

func TestMemory(t *testing.T) {
	v := has(t, "memory")
	old := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20)), Reservation: ptr(int64(32 << 20))}}
	m := made(t, old)
	check := func(when string, limit, swap, reservation int) {
		t.Helper()
		if v == 2 {
			swap -= limit
		}
		for file, want := range map[string]int{
			either(v, "memory.limit_in_bytes", "memory.max"):            limit,
			either(v, "memory.memsw.limit_in_bytes", "memory.swap.max"): swap,
			either(v, "memory.soft_limit_in_bytes", "memory.low"):       reservation,
		} {
			if got := read(t, m, "memory", file); got != strconv.Itoa(want<<20) {
				t.Errorf("%s: %s is %s, want %d MiB", when, file, got, want)
			}
		}
	}
	check("at first", 64, 128, 32)
	update := func(mem specs.LinuxMemory) error {
		r := &specs.LinuxResources{Memory: &mem}
		err := m.Update(old, r)
		if err == nil {
			old = limits.Merge(old, r)
		}
		return err
	}
	if err := update(specs.LinuxMemory{Limit: ptr(int64(256 << 20)), Swap: ptr(int64(512 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("both raised", 256, 512, 32)
	if err := update(specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(48 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("both lowered", 32, 48, 32)
	if err := update(specs.LinuxMemory{Limit: ptr(int64(40 << 20))}); err != nil {
		t.Fatal(err)
	}
	check("limit alone", 40, 48, 32)
	// The limit is below the memory in use. On v1 the kernel refuses it, on v2 checkBeforeUpdate
	// does.
	c := start(t, m, "eat=20")
	if got := c.ask(t); got != "ate 20" {
		t.Fatal(got)
	}
	err := update(specs.LinuxMemory{Reservation: ptr(int64(1 << 20)), Limit: ptr(int64(4096)), Swap: ptr(int64(8192)), CheckBeforeUpdate: ptr(true)})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.memory.") || fault.Hint(err) == "" {
		t.Errorf("a limit below what is in use: %v", err)
	}
	check("refused", 40, 48, 32)
	s, err := m.Stats()
	if err != nil || s.Memory.Usage.Limit != 40<<20 || s.Memory.Usage.Usage < 20<<20 || s.Memory.Usage.Max < s.Memory.Usage.Usage/2 || len(s.Memory.Raw) < 10 {
		t.Errorf("%+v, %v", s.Memory, err)
	}
	if s.Memory.Swap.Limit != 48<<20 {
		t.Errorf("swap: %+v", s.Memory.Swap)
	}
}

// TestCheckBeforeUpdate needs no host with cgroup v2's memory controller: files say how much memory
// is in use.
func TestCheckBeforeUpdate(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"memory.current": "8192\n", "memory.swap.current": "4096\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := Open(State{Driver: Cgroupfs, Mode: Unified, Dirs: map[string]string{"": dir}})
	defer m.Close()
	for _, c := range []struct {
		limit, swap int64
		check       bool
		want        string // the field of the error
	}{
		{8192, 12288, true, ""}, {-1, -1, true, ""}, {4096, 4096, false, ""},
		{8191, 20000, true, "linux.resources.memory.limit: "}, {8192, 12287, true, "linux.resources.memory.swap: "},
	} {
		err := m.checkUsage(&specs.LinuxMemory{Limit: &c.limit, Swap: &c.swap, CheckBeforeUpdate: &c.check})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestCPU(t *testing.T) {
	v := has(t, "cpu")
	old := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(20000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(10000))}}
	m := made(t, old)
	check := func(when, shares, quota, period, burst string) {
		t.Helper()
		if v == 2 {
			if got := read(t, m, "cpu", "cpu.max"); got != quota+" "+period {
				t.Errorf("%s: cpu.max is %s", when, got)
			}
			n, _ := strconv.ParseUint(shares, 10, 64)
			shares = strconv.FormatUint(limits.Weight(n), 10)
		} else {
			if got := read(t, m, "cpu", "cpu.cfs_quota_us"); got != quota {
				t.Errorf("%s: quota is %s", when, got)
			}
			if got := read(t, m, "cpu", "cpu.cfs_period_us"); got != period {
				t.Errorf("%s: period is %s", when, got)
			}
		}
		if got := read(t, m, "cpu", either(v, "cpu.shares", "cpu.weight")); got != shares {
			t.Errorf("%s: weight is %s, want %s", when, got, shares)
		}
		got := read(t, m, "cpu", either(v, "cpu.cfs_burst_us", "cpu.max.burst"))
		if n, _ := strconv.Atoi(burst); got != burst && got != strconv.Itoa(n/1000) { // kernels before 6.10 divide by 1000 when they print it
			t.Errorf("%s: burst is %s, want %s", when, got, burst)
		}
	}
	check("at first", "512", "20000", "50000", "10000")
	update := func(c specs.LinuxCPU) error {
		r := &specs.LinuxResources{CPU: &c}
		err := m.Update(old, r)
		if err == nil {
			old = limits.Merge(old, r)
		}
		return err
	}
	for _, step := range []struct {
		c    specs.LinuxCPU
		want [4]string
	}{
		{specs.LinuxCPU{Quota: ptr(int64(90000)), Burst: ptr(uint64(80000))}, [4]string{"512", "90000", "50000", "80000"}},
		{specs.LinuxCPU{Quota: ptr(int64(5000)), Burst: ptr(uint64(1000)), Shares: ptr(uint64(2048))}, [4]string{"2048", "5000", "50000", "1000"}},
		{specs.LinuxCPU{Period: ptr(uint64(100000))}, [4]string{"2048", "5000", "100000", "1000"}},
	} {
		if err := update(step.c); err != nil {
			t.Fatalf("%v: %v", step.want, err)
		}
		check(fmt.Sprint(step.want), step.want[0], step.want[1], step.want[2], step.want[3])
	}
	err := update(specs.LinuxCPU{Shares: ptr(uint64(100)), Quota: ptr(int64(6000)), Period: ptr(uint64(5))})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.cpu.") || fault.Hint(err) == "" {
		t.Errorf("a period of 5 µs: %v", err)
	}
	check("after a refused update", "2048", "5000", "100000", "1000")
}

func TestCPUIdle(t *testing.T) {
	v := has(t, "cpu")
	old := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(2048)), Idle: ptr(int64(1))}}
	m := made(t, old)
	if got := read(t, m, "cpu", "cpu.idle"); got != "1" {
		t.Error(got)
	}
	if err := m.Update(old, &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(0))}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, "cpu", either(v, "cpu.shares", "cpu.weight")); got != either(v, "2048", "174") {
		t.Errorf("no longer idle: %s", got)
	}
}

func TestCpuset(t *testing.T) {
	v := has(t, "cpuset")
	m := made(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}})
	start(t, m, "wait")
	if cpus, mems := read(t, m, "cpuset", "cpuset.cpus"), read(t, m, "cpuset", "cpuset.mems"); cpus != "0" || mems != "0" {
		t.Errorf("%q %q", cpus, mems)
	}
	if v == 1 { // somebody made the parent by hand, without CPUs
		by := m.State().Dirs["cpuset"] + "/hand"
		if err := os.Mkdir(by, 0o755); err != nil {
			t.Fatal(err)
		}
		below, err := try(t, Options{CgroupsPath: parent() + "/" + m.opts.ID + "/hand/below"})
		if err != nil {
			t.Fatal(err)
		}
		start(t, below, "wait")
	}
	_, err := try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}})
	if v == 1 && (err == nil || !strings.HasPrefix(err.Error(), "linux.resources.cpu.cpus: ")) {
		t.Errorf("CPU 4000: %v", err)
	}
}

func TestHugepages(t *testing.T) {
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}
	if lacks(t, "hugetlb", r, "hugepageLimits[0]") {
		return
	}
	v := has(t, "hugetlb")
	m := made(t, r)
	for _, rsvd := range []string{"", "rsvd."} {
		if got := read(t, m, "hugetlb", "hugetlb.2MB."+rsvd+either(v, "limit_in_bytes", "max")); got != "4194304" {
			t.Errorf("%s%s", rsvd, got)
		}
	}
	_, err := try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.hugepageLimits[0]: ") || fault.Hint(err) == "" {
		t.Errorf("a page size that is none: %v", err)
	}
	s, err := m.Stats()
	if _, ok := s.Hugetlb["2MB"]; err != nil || !ok {
		t.Errorf("%+v, %v", s.Hugetlb, err)
	}
}

// davit refuses a page size that the host does not have, or that is no size, before it makes
// anything.
func TestHugepageSizes(t *testing.T) {
	if unix.Access("/sys/kernel/mm/hugepages/hugepages-2048kB", unix.F_OK) != nil {
		t.Skip("no huge pages of 2 MiB")
	}
	for size, want := range map[string]string{
		"2MB":    "",
		"2048KB": "linux.resources.hugepageLimits[0]: pageSize \"2048KB\" is called 2MB by the kernel",
		"3MB":    "linux.resources.hugepageLimits[0]: this host has no huge pages of 3MB",
		"2GB":    "linux.resources.hugepageLimits[0]: this host has no huge pages of 2GB",
		"64KB":   "linux.resources.hugepageLimits[0]: this host has no huge pages of 64KB",
	} {
		got := ""
		if err := limits.CheckPageSizes([]specs.LinuxHugepageLimit{{Pagesize: size}}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", size, got, want)
		}
	}
}

func TestUnified(t *testing.T) {
	if l, err := detect(false); err != nil || l.v2 == "" {
		t.Skip("only of cgroup v2")
	}
	old := &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "7"}}
	m := made(t, old)
	if got := read(t, m, "", "cgroup.max.depth"); got != "3" {
		t.Error(got)
	}
	err := m.Update(old, &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "5", "cgroup.max.descendants": "many"}})
	if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "linux.resources.unified[cgroup.max.descendants]: write ") {
		t.Errorf("%v", err)
	}
	if depth, n := read(t, m, "", "cgroup.max.depth"), read(t, m, "", "cgroup.max.descendants"); depth != "3" || n != "7" {
		t.Errorf("a refused update left %s, %s", depth, n)
	}
	_, err = try(t, Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{Unified: map[string]string{"teapot.max": "1"}}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.unified[teapot.max]: controller teapot is not available") {
		t.Errorf("%v", err)
	}
}

func TestDevices(t *testing.T) {
	has(t, "devices")
	allow := func(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: ptr(major), Minor: ptr(minor), Access: access}
	}
	null, zero := allow("c", 1, 3, "rwm"), allow("c", 1, 5, "rwm")
	deny := specs.LinuxDeviceCgroup{Access: "rwm"}
	m := made(t, nil)
	if err := m.Update(nil, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{deny, null}}); err != nil {
		t.Fatal(err)
	}
	n, z := start(t, m, "open=/dev/null"), start(t, m, "open=/dev/zero")
	check := func(when, null, zero string) {
		t.Helper()
		if got := n.ask(t); got != null {
			t.Errorf("%s: open /dev/null: %s, want %s", when, got, null)
		}
		if got := z.ask(t); got != zero {
			t.Errorf("%s: open /dev/zero: %s, want %s", when, got, zero)
		}
	}
	const no, yes = "operation not permitted", "<nil>"
	check("null only", yes, no)
	update := func(rules ...specs.LinuxDeviceCgroup) {
		t.Helper()
		later := Open(m.State())
		defer later.Close()
		if err := later.Update(nil, &specs.LinuxResources{Devices: rules}); err != nil {
			t.Fatal(err)
		}
	}
	update(deny, zero)
	check("zero only", no, yes)
	update(deny, null, zero)
	check("both", yes, yes)
	but := func(minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(1)), Minor: &minor, Access: access}
	}
	if m.version("devices") == 2 { // v1's kernel code has no exceptions to exceptions
		update(deny, allow("c", 1, -1, "rw"), but(5, "w"))
		check("all of major 1 but writing zero", yes, no)
	}
	update(deny, null, zero, but(5, "w"))
	check("both but writing zero", yes, no)
	update(deny, allow("c", -1, -1, "r"), allow("c", 1, 3, "w"))
	check("reading all, writing null", yes, no)
	update(deny)
	check("none", no, no)
	all := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	update(all)
	check("all", yes, yes)
	update(all, but(3, "w"))
	check("all but null", no, yes)
	update(all, but(5, "w"))
	check("all but zero", yes, no)
	update(all)
	check("all again", yes, yes)
}

// On v1 an update removes no more than the caller asks for. davit refuses rules that cgroup v1
// would ignore, before it makes anything.
func TestDevicesRefused(t *testing.T) {
	if has(t, "devices") != 1 {
		t.Skip("only of cgroup v1")
	}
	rules := []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c"}, {Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(232))}}
	_, err := New(Options{CgroupsPath: parent() + "/none", Resources: &specs.LinuxResources{Devices: rules}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.devices[2]: deny c 10:232 rwm is an exception to the rule before it") || fault.Hint(err) == "" {
		t.Errorf("New: %v", err)
	}
}

func TestDevicesNarrowed(t *testing.T) {
	if has(t, "devices") != 1 {
		t.Skip("no v1 hierarchies in this view")
	}
	allow := func(major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: access}
	}
	m := made(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{allow(10, 232, "rwm"), allow(-1, -1, "rwm")}})
	if err := m.Update(nil, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{allow(10, 232, "r"), allow(-1, -1, "m")}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, "devices", "devices.list"); got != "c 10:232 rm\nc *:* m" {
		t.Errorf("devices.list is %q", got)
	}
}

// v1's kernel code forgets denied devices only if there are no sub-cgroups.
func TestDevicesWithSubCgroup(t *testing.T) {
	if has(t, "devices") != 1 {
		t.Skip("no v1 hierarchies in this view")
	}
	deny := func(minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(1)), Minor: &minor, Access: "w"}
	}
	all := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	old := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{all, deny(3)}}
	m := made(t, old)
	if err := os.Mkdir(m.State().Dirs["devices"]+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	err := m.Update(old, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{all}})
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.devices: ") || !strings.Contains(fault.Hint(err), "sub-cgroups") {
		t.Errorf("forget: %v", err)
	}
	if err := m.Update(old, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{all, deny(3), deny(5)}}); err != nil {
		t.Errorf("deny more: %v", err)
	}
	c := start(t, m, "open=/dev/null")
	if got := c.ask(t); got != "operation not permitted" {
		t.Errorf("open /dev/null: %s", got)
	}
}
