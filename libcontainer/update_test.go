package libcontainer

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func pointer[T any](v T) *T { return &v }

// Engines send the whole list of device rules with each update. If the list has not changed, davit
// does not touch the rules, because on cgroup v1 there are moments without rules while they are
// replaced.
func TestSameDevices(t *testing.T) {
	rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: pointer[int64](1), Minor: pointer[int64](3), Access: "rwm"}
	for _, c := range []struct {
		what string
		edit func(*specs.LinuxDeviceCgroup)
		same bool
	}{
		{"the same", func(*specs.LinuxDeviceCgroup) {}, true},
		{"equal numbers elsewhere in memory", func(r *specs.LinuxDeviceCgroup) { r.Major = pointer[int64](1) }, true},
		{"denied", func(r *specs.LinuxDeviceCgroup) { r.Allow = false }, false},
		{"another type", func(r *specs.LinuxDeviceCgroup) { r.Type = "b" }, false},
		{"another major", func(r *specs.LinuxDeviceCgroup) { r.Major = pointer[int64](5) }, false},
		{"another minor", func(r *specs.LinuxDeviceCgroup) { r.Minor = pointer[int64](5) }, false},
		{"any minor", func(r *specs.LinuxDeviceCgroup) { r.Minor = nil }, false},
		{"another access", func(r *specs.LinuxDeviceCgroup) { r.Access = "r" }, false},
	} {
		other := rule
		c.edit(&other)
		if same := sameDevices([]specs.LinuxDeviceCgroup{rule}, []specs.LinuxDeviceCgroup{other}); same != c.same {
			t.Errorf("%s: same is %t", c.what, same)
		}
	}
	if sameDevices([]specs.LinuxDeviceCgroup{rule}, nil) {
		t.Error("no rules are the same as one")
	}
}

// In an update, 0 means "not set", for every field for which it does so in runc.
func TestZeroesAreNotSet(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: pointer[int64](0), Reservation: pointer[int64](0), Swap: pointer[int64](0),
			Kernel: pointer[int64](0), KernelTCP: pointer[int64](0)},
		CPU: &specs.LinuxCPU{Shares: pointer[uint64](0), Quota: pointer[int64](0), Period: pointer[uint64](0),
			RealtimeRuntime: pointer[int64](0), RealtimePeriod: pointer[uint64](0)},
		BlockIO: &specs.LinuxBlockIO{Weight: pointer[uint16](0), LeafWeight: pointer[uint16](0)},
		Pids:    &specs.LinuxPids{Limit: pointer[int64](0)},
	}
	keepSet(r)
	if *r.Memory != (specs.LinuxMemory{}) {
		t.Errorf("memory: %+v", *r.Memory)
	}
	if *r.CPU != (specs.LinuxCPU{}) {
		t.Errorf("cpu: %+v", *r.CPU)
	}
	if r.BlockIO.Weight != nil || r.BlockIO.LeafWeight != nil {
		t.Errorf("blockIO: %+v", *r.BlockIO)
	}
	if r.Pids != nil {
		t.Errorf("pids: %+v", *r.Pids)
	}
	kept := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](-1), Swap: pointer[int64](5)}, Pids: &specs.LinuxPids{Limit: pointer[int64](-1)}}
	keepSet(kept)
	if *kept.Memory.Limit != -1 || *kept.Memory.Swap != 5 || kept.Pids == nil {
		t.Errorf("values that were set are gone: %+v", kept)
	}
}

// A limit of memory and swap together cannot exist without a limit of memory.
func TestSwapIsLiftedWithMemory(t *testing.T) {
	had := &specs.LinuxMemory{Limit: pointer[int64](1 << 20), Swap: pointer[int64](2 << 20)}
	for _, c := range []struct {
		what        string
		old, change *specs.LinuxMemory
		want        *int64
	}{
		{"lifted", had, &specs.LinuxMemory{Limit: pointer[int64](-1)}, pointer[int64](-1)},
		{"only raised", had, &specs.LinuxMemory{Limit: pointer[int64](4 << 20)}, nil},
		{"given itself", had, &specs.LinuxMemory{Limit: pointer[int64](-1), Swap: pointer[int64](3 << 20)}, pointer[int64](3 << 20)},
		{"never had", &specs.LinuxMemory{Limit: pointer[int64](1 << 20)}, &specs.LinuxMemory{Limit: pointer[int64](-1)}, nil},
	} {
		liftSwap(c.old, c.change)
		if have := c.change.Swap; (have == nil) != (c.want == nil) || have != nil && *have != *c.want {
			t.Errorf("%s: swap is %v", c.what, have)
		}
	}
}
