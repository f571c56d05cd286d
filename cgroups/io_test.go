package cgroups

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// blockDevice returns some whole block device of this host; ok is false if there is none.
func blockDevice() (d specs.LinuxBlockIODevice, ok bool) {
	names, _ := os.ReadDir("/sys/block")
	for _, name := range names {
		b, err := os.ReadFile("/sys/block/" + name.Name() + "/dev")
		if size, _ := os.ReadFile("/sys/block/" + name.Name() + "/size"); err != nil || string(size) == "0\n" { // skips an unused loop device
			continue
		}
		major, minor, _ := strings.Cut(strings.TrimSpace(string(b)), ":")
		d.Major, _ = strconv.ParseInt(major, 10, 64)
		d.Minor, _ = strconv.ParseInt(minor, 10, 64)
		return d, true
	}
	return d, false
}

// ioOf returns the I/O controller and its version; 0 means that there is none.
func ioOf(t *testing.T) (ctrl string, v int) {
	l, err := detect(false)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case l.on1("blkio") != nil:
		return "blkio", 1
	case l.on2("io"):
		return "io", 2
	}
	return "io", 0
}

func TestThrottle(t *testing.T) {
	ctrl, v := ioOf(t)
	d, ok := blockDevice()
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: d, Rate: n}}
	}
	old := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: rate(1 << 20), ThrottleWriteIOPSDevice: rate(100)}}
	if lacks(t, ctrl, old, "blockIO.throttleReadBpsDevice[0]") {
		return
	}
	if !ok { // then the kernel must refuse a weight
		_, err := try(t, Options{Resources: old})
		if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.blockIO.throttleReadBpsDevice[0]: ") {
			t.Errorf("without a block device: %v", err)
		}
		return
	}
	m := made(t, nil)
	bad := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: rate(3 << 20), ThrottleWriteIOPSDevice: append(rate(7),
		specs.LinuxThrottleDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 4000, Minor: 1}, Rate: 1})}}
	if err := m.Update(nil, bad); err == nil {
		t.Error("a device that is none was taken")
	}
	limits := either(v, "blkio.throttle.read_bps_device", "io.max")
	if got := read(t, m, ctrl, limits); got != "" {
		t.Errorf("a refused update where nothing was left %q", got)
	}
	if err := m.Set(old); err != nil {
		t.Fatal(err)
	}
	check := func(when, rbps, wiops string) {
		t.Helper()
		if v == 2 {
			want := deviceNumber(d) + " rbps=" + rbps + " wbps=max riops=max wiops=" + wiops
			if got := read(t, m, "io", "io.max"); got != want {
				t.Errorf("%s: io.max is %q, want %q", when, got, want)
			}
			return
		}
		for file, want := range map[string]string{"read_bps": rbps, "write_iops": wiops} {
			if got := read(t, m, "blkio", "blkio.throttle."+file+"_device"); got != deviceNumber(d)+" "+want {
				t.Errorf("%s: %s is %q, want %s", when, file, got, want)
			}
		}
	}
	check("at first", "1048576", "100")
	r := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: rate(2 << 20)}}
	if err := m.Update(old, r); err != nil {
		t.Fatal(err)
	}
	check("updated", "2097152", "100")
	err := m.Update(old, bad)
	if err == nil || !strings.HasPrefix(err.Error(), "linux.resources.blockIO.throttleWriteIOPSDevice[1]: ") || fault.Hint(err) == "" {
		t.Errorf("a device that is none: %v", err)
	}
	check("after a refused update", "2097152", "100")
	none := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: rate(0), ThrottleWriteIOPSDevice: rate(0)}}
	if err := m.Update(old, none); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, ctrl, limits); got != "" {
		t.Errorf("no limit: %q", got)
	}
}

func TestIOWeights(t *testing.T) {
	ctrl, v := ioOf(t)
	d, _ := blockDevice()
	r := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(500))}}
	if lacks(t, ctrl, r, "blockIO.weight") {
		return
	}
	m := made(t, nil)
	file := either(v, "blkio.bfq.weight", "io.bfq.weight")
	want := "500"
	dir := m.State().Dirs[either(v, "blkio", "")]
	if _, err := os.Stat(dir + "/" + file); err != nil {
		file, want = either(v, "blkio.weight", "io.weight"), either(v, "500", "4950")
		if _, err := os.Stat(dir + "/" + file); err != nil {
			if err := m.Set(r); err == nil || !strings.HasPrefix(err.Error(), "linux.resources.blockIO.weight: ") {
				t.Errorf("a kernel without weights: %v", err)
			}
			return
		}
	}
	if err := m.Set(r); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, either(v, "blkio", "io"), file); strings.TrimPrefix(got, "default ") != want {
		t.Errorf("%s is %q", file, got)
	}
	// A device's own weight needs a scheduler that supports weights. It is read back where such a
	// scheduler is in use.
	err := m.Update(r, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: d, Weight: ptr(uint16(300))}}}})
	if err != nil && !strings.HasPrefix(err.Error(), "linux.resources.blockIO.weightDevice[0]") {
		t.Error(err)
	}
}

func TestNetwork(t *testing.T) {
	r := &specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 5}}}}
	if lacks(t, "net_cls", r, "network.classID") {
		return
	}
	m := made(t, r)
	if got := read(t, m, "net_cls", "net_cls.classid"); got != "1048577" {
		t.Error(got)
	}
	if got := read(t, m, "net_prio", "net_prio.ifpriomap"); !strings.Contains(got+"\n", "lo 5\n") {
		t.Error(got)
	}
}

func TestHierarchies(t *testing.T) {
	m := Open(State{Mode: Hybrid, Dirs: map[string]string{
		"": "/sys/fs/cgroup/unified/c", "cpu": "/sys/fs/cgroup/cpu,cpuacct/c", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/c",
		"memory": "/sys/fs/cgroup/memory/x/c", "name=systemd": "/sys/fs/cgroup/systemd/c"}})
	want := []Hierarchy{
		{"cpu,cpuacct", "cpu,cpuacct", []string{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct/c", "/sys/fs/cgroup/cpu,cpuacct"},
		{"memory", "memory", nil, "/sys/fs/cgroup/memory/x/c", "/sys/fs/cgroup/memory"},
		{"none,name=systemd", "systemd", nil, "/sys/fs/cgroup/systemd/c", "/sys/fs/cgroup/systemd"},
		{"", "unified", nil, "/sys/fs/cgroup/unified/c", "/sys/fs/cgroup/unified"},
	}
	got := m.Hierarchies()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if strings.Join(got[i].Links, " ") != strings.Join(want[i].Links, " ") || got[i].Options != want[i].Options ||
			got[i].Name != want[i].Name || got[i].Dir != want[i].Dir || got[i].Mountpoint != want[i].Mountpoint {
			t.Errorf("%+v\nwant %+v", got[i], want[i])
		}
	}
	one := Open(State{Mode: Unified, Dirs: map[string]string{"": "/sys/fs/cgroup/c"}}).Hierarchies()
	if len(one) != 1 || one[0].Name != "" || one[0].Mountpoint != "/sys/fs/cgroup" {
		t.Errorf("%+v", one)
	}
}

// deviceNumber returns the number of a device as the kernel writes it: "8:0".
func deviceNumber(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }
