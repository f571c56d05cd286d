package limits

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// change is a field of linux.resources with two values. It has the content of the file of cgroup v1
// and of v2 after all fields have their first values, and after they have their second. DEV stands
// for a block device's number. If a version has no file, it does not have the field.
type change struct {
	field   string
	json    [2]string
	v1      string // the file's name
	values1 [2]string
	v2      string
	values2 [2]string
}

// same returns a change for a field whose value both versions show as it is in the config.
func same(field, first, second, v1, v2 string) change {
	shown := [2]string{strings.Trim(first, `"`), strings.Trim(second, `"`)}
	return change{field, [2]string{first, second}, v1, shown, v2, shown}
}

// The order matters: a later change may need an earlier one.
var changes = []change{
	same("memory.limit", "67108864", "83886080", "memory.limit_in_bytes", "memory.max"),
	{"memory.swap", [2]string{"100663296", "134217728"}, "memory.memsw.limit_in_bytes", [2]string{"100663296", "134217728"},
		"memory.swap.max", [2]string{"33554432", "50331648"}}, // v2 counts swap alone: without the memory limit
	same("memory.reservation", "16777216", "8388608", "memory.soft_limit_in_bytes", "memory.low"),
	same("memory.swappiness", "10", "20", "memory.swappiness", ""),
	same("memory.kernelTCP", "4194304", "8388608", "memory.kmem.tcp.limit_in_bytes", ""),
	{"memory.disableOOMKiller", [2]string{"true", "false"}, "memory.oom_control", [2]string{"oom_kill_disable 1\nunder_oom 0\noom_kill 0", "oom_kill_disable 0\nunder_oom 0\noom_kill 0"}, "", [2]string{}},
	{"cpu.shares", [2]string{"512", "2048"}, "cpu.shares", [2]string{"512", "2048"}, "cpu.weight", [2]string{"59", "174"}},
	{"cpu.period", [2]string{"50000", "100000"}, "cpu.cfs_period_us", [2]string{"50000", "100000"}, "cpu.max", [2]string{"20000 50000", "40000 100000"}},
	{"cpu.quota", [2]string{"20000", "40000"}, "cpu.cfs_quota_us", [2]string{"20000", "40000"}, "cpu.max", [2]string{"20000 50000", "40000 100000"}},
	same("cpu.burst", "10000", "30000", "cpu.cfs_burst_us", "cpu.max.burst"),
	same("cpu.realtimeRuntime", "20000", "30000", "cpu.rt_runtime_us", ""),
	same("cpu.realtimePeriod", "500000", "800000", "cpu.rt_period_us", ""),
	same("cpu.cpus", `"0"`, `"0-1"`, "cpuset.cpus", "cpuset.cpus"),
	same("cpu.mems", `"0"`, `"0"`, "cpuset.mems", "cpuset.mems"),
	same("pids.limit", "100", "200", "pids.max", "pids.max"),
	{"blockIO.weight", [2]string{"500", "300"}, "blkio.bfq.weight", [2]string{"500", "300"}, "io.bfq.weight", [2]string{"500", "300"}},
	{"blockIO.weightDevice", [2]string{`[{DEV,"weight":200}]`, `[{DEV,"weight":400}]`}, "blkio.bfq.weight_device", [2]string{"DEV 200", "DEV 400"},
		"io.bfq.weight", [2]string{"default 500\nDEV 200", "default 300\nDEV 400"}},
	{"blockIO.throttleReadBpsDevice", [2]string{`[{DEV,"rate":1000000}]`, `[{DEV,"rate":9000000}]`}, "blkio.throttle.read_bps_device", [2]string{"DEV 1000000", "DEV 9000000"},
		"io.max", [2]string{"DEV rbps=1000000 wbps=2000000 riops=3000 wiops=4000", "DEV rbps=9000000 wbps=8000000 riops=7000 wiops=6000"}},
	{"blockIO.throttleWriteBpsDevice", [2]string{`[{DEV,"rate":2000000}]`, `[{DEV,"rate":8000000}]`}, "blkio.throttle.write_bps_device", [2]string{"DEV 2000000", "DEV 8000000"},
		"io.max", [2]string{"DEV rbps=1000000 wbps=2000000 riops=3000 wiops=4000", "DEV rbps=9000000 wbps=8000000 riops=7000 wiops=6000"}},
	{"blockIO.throttleReadIOPSDevice", [2]string{`[{DEV,"rate":3000}]`, `[{DEV,"rate":7000}]`}, "blkio.throttle.read_iops_device", [2]string{"DEV 3000", "DEV 7000"},
		"io.max", [2]string{"DEV rbps=1000000 wbps=2000000 riops=3000 wiops=4000", "DEV rbps=9000000 wbps=8000000 riops=7000 wiops=6000"}},
	{"blockIO.throttleWriteIOPSDevice", [2]string{`[{DEV,"rate":4000}]`, `[{DEV,"rate":6000}]`}, "blkio.throttle.write_iops_device", [2]string{"DEV 4000", "DEV 6000"},
		"io.max", [2]string{"DEV rbps=1000000 wbps=2000000 riops=3000 wiops=4000", "DEV rbps=9000000 wbps=8000000 riops=7000 wiops=6000"}},
	{"hugepageLimits", [2]string{`[{"pageSize":"2MB","limit":4194304}]`, `[{"pageSize":"2MB","limit":2097152}]`}, "hugetlb.2MB.limit_in_bytes", [2]string{"4194304", "2097152"},
		"hugetlb.2MB.max", [2]string{"4194304", "2097152"}},
	same("network.classID", "5", "6", "net_cls.classid", ""),
	same("unified.memory\\.high", `"50331648"`, `"41943040"`, "", "memory.high"),
	same("unified.cgroup\\.max\\.depth", `"7"`, `"8"`, "", "cgroup.max.depth"),
}

// shown returns the field's file and values in this host's version of cgroups.
func (ch *change) shown() (file string, values [2]string) {
	if unified() {
		return ch.v2, ch.values2
	}
	return ch.v1, ch.values1
}

// resources returns an object like linux.resources with the fields' n-th values. dev has the
// members major and minor.
func resources(n int, dev string, list ...change) map[string]any {
	all := map[string]any{}
	for _, ch := range list {
		object, name, _ := strings.Cut(ch.field, ".")
		text := strings.ReplaceAll(ch.json[n], "DEV", dev)
		if name == "" {
			all[object] = json.RawMessage(text)
			continue
		}
		if all[object] == nil {
			all[object] = map[string]any{}
		}
		all[object].(map[string]any)[strings.ReplaceAll(name, `\`, "")] = json.RawMessage(text)
	}
	return all
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blockDevice returns the virtual machine's scratch disk, with the one scheduler that supports
// weights. Elsewhere it returns the host's disk as it is.
func blockDevice(t *testing.T) (dev string, weights, ok bool) {
	t.Helper()
	if _, err := os.Stat("/sys/block/nullb0"); err == nil {
		if err := os.WriteFile("/sys/block/nullb0/queue/scheduler", []byte("bfq"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"nullb0", "vda", "sda", "nvme0n1"} {
		if number, err := os.ReadFile("/sys/block/" + name + "/dev"); err == nil {
			scheduler, _ := os.ReadFile("/sys/block/" + name + "/queue/scheduler")
			return strings.TrimSpace(string(number)), strings.Contains(string(scheduler), "[bfq]"), true
		}
	}
	return "", false, false
}

// TestUpdate changes every field on a running container. Each update changes its own field and
// nothing else. If one value of an update is refused, the update changes nothing.
func TestUpdate(t *testing.T) {
	need(t, "memory", "cpu", "cpuset", "pids", "blkio")
	dev, weights, ok := blockDevice(t)
	c := bundle(t, "update", nil, "sleep", "1000")
	c.run()
	if rt := "/sys/fs/cgroup/cpu" + parent + "/cpu.rt_runtime_us"; !unified() { // the parent gives the share of real-time processes
		if err := os.WriteFile(rt, []byte("100000"), 0); err != nil {
			t.Fatal(err)
		}
	}
	var here []change
	for _, ch := range changes {
		file, _ := ch.shown()
		onDisk := strings.HasPrefix(ch.field, "blockIO.") && ch.field != "blockIO.weight"
		switch {
		case file == "":
		case unix.Access(c.cgroupFile(file, file), unix.F_OK) != nil, onDisk && !ok, ch.field == "blockIO.weightDevice" && !weights:
			t.Logf("%s: this kernel has no %s", ch.field, file)
			if _, err := os.Stat("/sys/block/nullb0"); err == nil {
				t.Error("but the VM is to have every one")
			}
		default:
			here = append(here, ch)
		}
	}
	major, minor, _ := strings.Cut(dev, ":")
	object := `"major":` + major + `,"minor":` + minor
	values := func() map[string]string {
		got := map[string]string{}
		for _, ch := range here {
			file, _ := ch.shown()
			got[file] = c.file(file, file)
		}
		return got
	}
	check := func(when string, n int) {
		t.Helper()
		got := values()
		for _, ch := range here {
			file, want := ch.shown()
			if want := strings.ReplaceAll(want[n], "DEV", dev); got[file] != want && !(strings.HasSuffix(file, "bfq.weight") && strings.HasPrefix(got[file], "default "+want)) {
				t.Errorf("%s: %s: %s is %q, want %q", when, ch.field, file, got[file], want)
			}
		}
		if out, err := c.try("verify", c.id); err != nil {
			t.Errorf("%s: davit verify: %v\n%s", when, err, out)
		}
	}
	c.update(encode(t, resources(0, object, here...)))
	check("all first values at once", 0)
	for _, ch := range here {
		c.update(encode(t, resources(1, object, ch)))
	}
	check("second values, one after the other", 1)

	for _, bad := range refusals() {
		all := resources(0, object, here...)
		merge(all, bad.resources)
		before := values()
		out, err := c.tryUpdate(encode(t, all))
		if err == nil || !strings.Contains(out, bad.field) {
			t.Errorf("%s: %v, %s", bad.field, err, out)
		}
		for file, was := range before {
			if now := c.file(file, file); now != was {
				t.Errorf("%s refused: %s was %q, is %q", bad.field, file, was, now)
			}
		}
		check(bad.field+" refused", 1)
	}
}

// refusal is an invalid value, and the field that the error must name.
type refusal struct{ field, resources string }

func refusals() []refusal {
	list := []refusal{
		{"linux.resources.cpu.cpus", `{"cpu":{"cpus":"0,4000"}}`},
		{"linux.resources.cpu.mems", `{"cpu":{"mems":"63"}}`},
		{"linux.resources.cpu.period", `{"cpu":{"period":5}}`},
		{"linux.resources.blockIO.throttleWriteIOPSDevice[0]", `{"blockIO":{"throttleWriteIOPSDevice":[{"major":4000,"minor":1,"rate":9}]}}`},
		{"linux.resources.devices[0]", `{"devices":[{"allow":true,"type":"x","access":"rwm"}]}`},
	}
	if unified() {
		return append(list,
			refusal{"linux.resources.unified[memory.low]", `{"unified":{"memory.low":"many"}}`},
			refusal{"linux.resources.hugepageLimits[0]", `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`},
			refusal{"linux.resources.rdma[none0]", `{"rdma":{"none0":{"hcaHandles":1}}}`},
			refusal{"linux.resources.memory.limit", `{"memory":{"limit":4096,"swap":8192,"reservation":4096,"checkBeforeUpdate":true}}`},
			refusal{"linux.resources.memory.swappiness", `{"memory":{"swappiness":5}}`})
	}
	return append(list,
		refusal{"linux.resources.memory.limit", `{"memory":{"limit":4096}}`},
		refusal{"linux.resources.memory.swappiness", `{"memory":{"swappiness":500}}`})
}

// merge puts the fields of a JSON object into another.
func merge(into map[string]any, text string) {
	var from map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &from); err != nil {
		panic(err)
	}
	for object, value := range from {
		var fields map[string]json.RawMessage
		old, isObject := into[object].(map[string]any)
		if !isObject || json.Unmarshal(value, &fields) != nil {
			into[object] = value
			continue
		}
		for name, v := range fields {
			old[name] = v
		}
	}
}

// An idle container has no weight; it comes back.
func TestUpdateIdle(t *testing.T) {
	need(t, "cpu")
	c := bundle(t, "idle", &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(2048))}}, "sleep", "1000")
	c.run()
	weight := func() string { return c.file("cpu.shares", "cpu.weight") }
	before := weight()
	c.davit("update", "--cpu-idle", "1", c.id)
	if got := c.file("cpu.idle", "cpu.idle"); got != "1" {
		t.Errorf("cpu.idle is %q", got)
	}
	if out, err := c.tryUpdate(`{"cpu":{"idle":0,"cpus":"4000"}}`); err == nil {
		t.Errorf("CPU 4000: %s", out)
	}
	if got := c.file("cpu.idle", "cpu.idle"); got != "1" {
		t.Errorf("after a refused update cpu.idle is %q", got)
	}
	c.davit("update", "--cpu-idle", "0", c.id)
	if got := weight(); got != before {
		t.Errorf("the weight was %s, and is %s", before, got)
	}
}
