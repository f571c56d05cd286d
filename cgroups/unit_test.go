package cgroups

import (
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/cgroups/limits"
	"davit/cgroups/systemd"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests of this file need systemd as pid 1, which the virtual machine of tests/vm has. As a
// user other than root they use that user's manager.

func scoped(t *testing.T, o Options) (*Manager, error) {
	t.Helper()
	if !systemd.Running() {
		t.Skip("systemd is not the init system")
	}
	o.Systemd, o.Rootless = true, os.Geteuid() != 0
	o.ID = t.Name()
	if o.CgroupsPath == "" {
		o.CgroupsPath = "davit-test.slice:davit:" + t.Name()
	}
	m, err := New(o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := m.Kill(unix.SIGKILL); err != nil {
			t.Errorf("Kill: %v", err)
		}
		if err := m.Destroy(); err != nil {
			t.Errorf("Destroy: %v", err)
		}
		if _, err := os.Stat(m.State().Dirs[""]); err == nil {
			t.Errorf("%s is still there", m.State().Dirs[""])
		}
		wantShown(t, m, map[string]string{"ActiveState": "inactive"})
	})
	return m, m.Create()
}

// show returns properties of the unit as systemctl prints them.
func show(t *testing.T, m *Manager, names ...string) map[string]string {
	t.Helper()
	args := []string{"show", "-p", strings.Join(names, ","), m.State().Scope}
	if m.State().User {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl show: %v: %s", err, out)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if got[name] != "" {
			value = got[name] + "; " + value
		}
		got[name] = value
	}
	return got
}

func wantShown(t *testing.T, m *Manager, want map[string]string) {
	t.Helper()
	var names []string
	for name := range want {
		names = append(names, name)
	}
	got := show(t, m, names...)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("systemctl show: %s is %q, want %q", name, got[name], value)
		}
	}
}

func wantRead(t *testing.T, m *Manager, want map[string]string) {
	t.Helper()
	for file, value := range want {
		if got := read(t, m, "", file); got != value {
			t.Errorf("%s is %q, want %q", file, got, value)
		}
	}
}

func TestScope(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20)), Reservation: ptr(int64(16 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(100))},
	}
	root := os.Geteuid() == 0
	if root { // a user's manager usually has only memory and pids
		r.CPU = &specs.LinuxCPU{Shares: ptr(uint64(2048)), Quota: ptr(int64(15501)), Period: ptr(uint64(50000)), Cpus: "0", Mems: "0"}
		r.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"},
			{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rwm"},
			{Allow: true, Type: "c", Major: ptr(int64(136)), Access: "rw"}}
		r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}
		r.Unified = map[string]string{"memory.high": "50331648"}
	}
	m, err := scoped(t, Options{Resources: r, Annotations: map[string]string{
		"org.systemd.property.TimeoutStopSec": "5", "org.systemd.property.Description": "'a test'", "other": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := m.FD(); f != nil || err != nil {
		t.Fatalf("FD before the scope exists: %v, %v", f, err)
	}
	if err := m.Set(r); err != nil {
		t.Fatal(err)
	}
	c := start(t, m, "open=/dev/zero")
	if pids, err := m.Pids(); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Fatalf("Pids: %v, %v; %d is in %s", pids, err, c.Process.Pid, cgroupOf(c.Process.Pid))
	}
	wantRead(t, m, map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "memory.low": "16777216", "pids.max": "100"})
	wantShown(t, m, map[string]string{"ActiveState": "active", "Description": "a test", "Slice": "davit-test.slice", "Delegate": "yes",
		"TimeoutStopUSec": "5s", "MemoryMax": "67108864", "MemorySwapMax": "0", "MemoryLow": "16777216", "TasksMax": "100", "CollectMode": "inactive-or-failed"})
	if root {
		wantRead(t, m, map[string]string{"cpu.weight": "174", "cpu.max": "15501 50000", "cpuset.cpus": "0", "hugetlb.2MB.max": "4194304", "memory.high": "50331648"})
		wantShown(t, m, map[string]string{"CPUWeight": "174", "CPUQuotaPerSecUSec": "320ms", "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0",
			"MemoryHigh": "50331648", "DevicePolicy": "strict"})
		if allow := show(t, m, "DeviceAllow")["DeviceAllow"]; !strings.Contains(allow, "/dev/char/1:3 rwm") || !strings.Contains(allow, "char-pts rw") {
			t.Errorf("DeviceAllow: %s", allow)
		}
		if got := c.ask(t); got != "operation not permitted" {
			t.Errorf("open /dev/zero: %s", got)
		}
	}
	scopeUpdate(t, m, r)
	scopeLater(t, m, c)
}

// scopeUpdate updates limits: one that holds, and one that the kernel refuses.
func scopeUpdate(t *testing.T, m *Manager, old *specs.LinuxResources) {
	t.Helper()
	later := Open(m.State())
	defer later.Close()
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(80 << 20)), Swap: ptr(int64(100 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}
	if err := later.Update(old, r); err != nil {
		t.Fatal(err)
	}
	wantRead(t, m, map[string]string{"memory.max": "83886080", "memory.swap.max": "20971520", "pids.max": "max"})
	wantShown(t, m, map[string]string{"MemoryMax": "83886080", "MemorySwapMax": "20971520", "TasksMax": "infinity", "NeedDaemonReload": "no"})
	if os.Geteuid() == 0 { // finer than systemd can express; davit writes it with the others
		wantRead(t, m, map[string]string{"cpu.max": "15501 50000"})
	}
	old = limits.Merge(old, r)
	bad := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}, Unified: map[string]string{"memory.low": "many", "memory.max": "1073741824"}}
	if err := later.Update(old, bad); err == nil || !strings.HasPrefix(err.Error(), "linux.resources.unified[memory.low]: ") {
		t.Errorf("%v", err)
	}
	wantRead(t, m, map[string]string{"memory.max": "83886080", "memory.low": "16777216", "pids.max": "max"})
	wantShown(t, m, map[string]string{"MemoryMax": "83886080", "MemoryLow": "16777216", "TasksMax": "infinity"})
}

// scopeLater does what exec, pause and delete do.
func scopeLater(t *testing.T, m *Manager, first *child) {
	t.Helper()
	later := Open(m.State())
	defer later.Close()
	second := start(t, later, "wait")
	if pids, err := later.Pids(); err != nil || len(pids) != 2 {
		t.Errorf("Pids: %v, %v; %d is in %s", pids, err, second.Process.Pid, cgroupOf(second.Process.Pid))
	}
	if err := later.Freeze(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := later.Frozen(); err != nil || !frozen {
		t.Errorf("Frozen: %v, %v", frozen, err)
	}
	if err := later.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := first.exit(); s != "signal: killed" {
		t.Error(s)
	}
	begin := time.Now()
	if err := later.Destroy(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("Destroy took %v", took)
	}
}

func cgroupOf(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	return strings.TrimSpace(string(b))
}

// An annotation may set that the scope is not delegated.
func TestScopeDelegate(t *testing.T) {
	for value, want := range map[string]string{"true": "yes", "false": "no"} {
		m, err := scoped(t, Options{CgroupsPath: "davit-test.slice:davit:delegate-" + value, Annotations: map[string]string{"org.systemd.property.Delegate": value}})
		if err != nil {
			t.Fatal(err)
		}
		start(t, m, "wait")
		wantShown(t, m, map[string]string{"ActiveState": "active", "Delegate": want})
	}
}

func TestScopeNameTaken(t *testing.T) {
	m, err := scoped(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, m, "wait")
	again, err := New(m.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	err = again.Add(os.Getpid(), false)
	if err == nil || !strings.Contains(err.Error(), "UnitExists") || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	// The clean-up afterwards does not touch the other container's scope.
	if err := again.Destroy(); err != nil {
		t.Error(err)
	}
	wantShown(t, m, map[string]string{"ActiveState": "active"})
}

// In a frozen slice, the scope's process would never start.
func TestScopeInAFrozenSlice(t *testing.T) {
	holder, err := scoped(t, Options{CgroupsPath: "davit-frozen.slice:davit:holder"})
	if err != nil {
		t.Fatal(err)
	}
	start(t, holder, "wait")
	if !holder.has2() {
		t.Skip("only of cgroup v2")
	}
	file := path.Dir(holder.State().Dirs[""]) + "/cgroup.freeze"
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.WriteFile(file, []byte("0"), 0) }()
	m, err := scoped(t, Options{CgroupsPath: "davit-frozen.slice:davit:late"})
	if err != nil {
		t.Fatal(err)
	}
	err = m.Add(start(t, nil, "wait").Process.Pid, false)
	if err == nil || !strings.Contains(err.Error(), "is frozen") || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
}

// A scope is left behind whose processes have failed. It does not prevent a new one.
func TestScopeAfterAFailedOne(t *testing.T) {
	m, err := scoped(t, Options{Annotations: map[string]string{"org.systemd.property.CollectMode": "'inactive'", "org.systemd.property.RuntimeMaxUSec": "uint64 4000000"}})
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, m, "wait")
	_ = c.exit() // systemd ends it, and counts that as a failure
	for show(t, m, "ActiveState")["ActiveState"] != "failed" {
		time.Sleep(10 * time.Millisecond)
	}
	m.unit.started, m.unit.Extra = false, nil
	c = start(t, m, "wait")
	if pids, err := m.Pids(); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Errorf("Pids: %v, %v", pids, err)
	}
}

func TestScopeRefused(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b":                `linux.cgroupsPath: "/a/b": expected the form slice:prefix:name`,
		"a.slice:b:":          `linux.cgroupsPath: "a.slice:b:": the name is empty`,
		"a.slice:b:c.slice":   `linux.cgroupsPath: "a.slice:b:c.slice": a slice holds no processes`,
		"a--b.slice:c:d":      `linux.cgroupsPath: "a--b.slice" is not the name of a slice`,
		"a:c:d":               `linux.cgroupsPath: "a" is not the name of a slice`,
		"a.slice:b/../../c:d": `linux.cgroupsPath: "a.slice:b/../../c:d": not the name of a unit`,
	} {
		slice, _, err := systemd.UnitName(path, "id", false)
		if err == nil {
			_, err = systemd.SlicePath(slice)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	for slice, want := range map[string]string{"-.slice": "", "a.slice": "/a.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice"} {
		if got, err := systemd.SlicePath(slice); got != want || err != nil {
			t.Errorf("%s: %s, %v", slice, got, err)
		}
	}
	if !systemd.Running() {
		if _, err := New(Options{Systemd: true, ID: "x"}); err == nil || fault.Hint(err) == "" {
			t.Errorf("without systemd: %v", err)
		}
		return
	}
	if _, err := scoped(t, Options{Annotations: map[string]string{"org.systemd.property.Wants": "[1"}}); err == nil || !strings.HasPrefix(err.Error(), "annotations[org.systemd.property.Wants]: ") {
		t.Errorf("%v", err)
	}
}
