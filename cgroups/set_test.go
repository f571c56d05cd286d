package cgroups

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"davit/cgroups/fs"
	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// When one limit is updated, systemd may undo others. davit writes these again, and does not write
// those that systemd has left alone.
func TestRedo(t *testing.T) {
	v := has(t, "cpu")
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(12345)), Period: ptr(uint64(90000)), Shares: ptr(uint64(512))}}
	m := made(t, r)
	fd, err := m.open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	quota, want := either(v, "cpu.cfs_quota_us", "cpu.max"), either(v, "12345", "12345 90000")
	if err := fs.WriteAt(fd, quota, either(v, "13000", "13000 100000")); err != nil {
		t.Fatal(err)
	}
	if v == 1 {
		if err := fs.WriteAt(fd, "cpu.cfs_period_us", "100000"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.redo(r); err != nil || read(t, m, "cpu", quota) == want {
		t.Errorf("without systemd: %v, %s", err, read(t, m, "cpu", quota))
	}
	m.unit = &unit{started: true}
	err = m.redo(r)
	m.unit = nil
	if got := read(t, m, "cpu", quota); err != nil || got != want {
		t.Errorf("%s is %s, %v; want %s", quota, got, err, want)
	}
	if drifts, err := m.Verify(r); err != nil || len(drifts) > 0 {
		t.Errorf("Verify: %v, %v", drifts, err)
	}
}

// v1's systemd writes the device rules together with every property.
func TestTouched(t *testing.T) {
	old := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	change := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	v1, v2 := State{Dirs: map[string]string{"devices": "/d"}}, State{Dirs: map[string]string{"": "/d"}}
	for _, c := range []struct {
		state  State
		driver *unit
		change *specs.LinuxResources
		want   string
	}{
		{v1, nil, &specs.LinuxResources{}, "[]"},
		{v2, &unit{}, &specs.LinuxResources{}, "[]"},
		{v1, &unit{}, &specs.LinuxResources{}, fmt.Sprint(old.Devices)},
		{v1, &unit{}, change, fmt.Sprint(change.Devices)},
		{v2, nil, change, fmt.Sprint(change.Devices)},
	} {
		m := &Manager{state: c.state, unit: c.driver}
		if got := fmt.Sprint(m.touched(limits.Merge(old, c.change), c.change)); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
}

func TestWhileFrozen(t *testing.T) {
	m := made(t, nil)
	if !m.has2() && m.State().Dirs["freezer"] == "" {
		t.Skip("no freezer in this view")
	}
	start(t, m, "wait")
	want := func(when string, want bool) {
		t.Helper()
		if got, err := m.Frozen(); err != nil || got != want {
			t.Errorf("%s: Frozen is %v, %v", when, got, err)
		}
	}
	refused := fmt.Errorf("refused")
	if err := m.whileFrozen(func() error { want("within", true); return refused }); err != refused {
		t.Error(err)
	}
	want("after", false)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := m.whileFrozen(func() error { want("paused, within", true); return nil }); err != nil {
		t.Error(err)
	}
	want("paused before", true)
	if err := m.Thaw(); err != nil { // v1's freezer holds even killed processes
		t.Fatal(err)
	}
}

// davit keeps the shares of an idle cgroup for later, because the kernel does not accept them
// (EINVAL).
func TestUpdateSharesOfIdle(t *testing.T) {
	v := has(t, "cpu")
	idle := &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}}
	m := made(t, idle)
	shares := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512))}}
	if err := m.Update(idle, shares); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, "cpu", "cpu.idle"); got != "1" {
		t.Errorf("cpu.idle is %s", got)
	}
	if err := m.Update(limits.Merge(idle, shares), &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(0))}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m, "cpu", either(v, "cpu.shares", "cpu.weight")); got != either(v, "512", strconv.FormatUint(limits.Weight(512), 10)) {
		t.Errorf("shares are %s", got)
	}
}

// If the cgroup has bfq's file, davit tells systemd that weight, and not the one of io.weight.
func TestSettle(t *testing.T) {
	for _, bfq := range []bool{false, true} {
		dir := t.TempDir()
		if bfq {
			if err := os.WriteFile(dir+"/io.bfq.weight", nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m := Open(State{Driver: Cgroupfs, Mode: Unified, Dirs: map[string]string{"": dir}})
		defer m.Close()
		writes, err := m.plan(&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(300))}, Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
		if err != nil {
			t.Fatal(err)
		}
		settled, exact := m.settle(writes)
		if len(settled) != 2 || (len(exact) == 1) != bfq {
			t.Errorf("bfq %v: %+v, %+v", bfq, settled, exact)
		}
		for _, w := range settled {
			if w.File == "io.bfq.weight" && (w.Alt == nil) != bfq {
				t.Errorf("bfq %v: %+v", bfq, w)
			}
		}
		for _, w := range writes {
			if w.File == "io.bfq.weight" && w.Alt == nil {
				t.Errorf("bfq %v: settle has changed its argument: %+v", bfq, w)
			}
		}
	}
}
