package limits

import (
	"math"

	"davit/cgroups/failure"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Weight converts cpu.shares (2 to 262144, default 1024) to cpu.weight (1 to 10000, default 100).
// The curve is quadratic in the logarithms and goes through minimum, default and maximum; runc uses
// it since 1.3.2, crun since 1.23. 0 means unset and stays 0; shares out of range count as the
// nearest limit.
func Weight(shares uint64) uint64 {
	switch {
	case shares == 0:
		return 0
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// cpu plans linux.resources.cpu. Quota, burst and the periods are microseconds. A negative quota is
// unlimited, 0 is unset.
func (p *planner) cpu(r *specs.LinuxCPU) {
	if r == nil {
		return
	}
	if p.v2("cpu") {
		p.cpu2(r)
	} else {
		p.cpu1(r)
	}
	if r.Cpus != "" {
		p.add("cpuset", "cpuset.cpus", r.Cpus, "cpu.cpus", 0)
	}
	if r.Mems != "" {
		p.add("cpuset", "cpuset.mems", r.Mems, "cpu.mems", 0)
	}
}

func (p *planner) cpu2(r *specs.LinuxCPU) {
	if _, ok := given(r.RealtimeRuntime); ok {
		p.fail(failure.Refuse("cpu.realtimeRuntime", "remove the field", "cgroup v2 has no realtime limits"))
	}
	if _, ok := given(r.RealtimePeriod); ok {
		p.fail(failure.Refuse("cpu.realtimePeriod", "remove the field", "cgroup v2 has no realtime limits"))
	}
	if p.idle(r) {
		if w := Weight(value(r.Shares)); w != 0 {
			p.add("cpu", "cpu.weight", utoa(w), "cpu.shares", 0)
		}
	}
	if r.Burst != nil {
		p.add("cpu", "cpu.max.burst", utoa(*r.Burst), "cpu.burst", late)
	}
	quota, limited := given(r.Quota)
	period, set := given(r.Period)
	if !limited && !set {
		return
	}
	s := "max"
	if quota > 0 {
		s = itoa(quota)
	}
	if set {
		s += " " + utoa(period)
	}
	field := "cpu.quota"
	if !limited {
		field = "cpu.period"
	}
	p.add("cpu", "cpu.max", s, field, late)
}

// idle plans cpu.idle, and reports whether to write the weight, too: an idle cgroup has none and
// refuses one.
func (p *planner) idle(r *specs.LinuxCPU) bool {
	if r.Idle == nil {
		return true
	}
	p.add("cpu", "cpu.idle", itoa(*r.Idle), "cpu.idle", 0)
	return *r.Idle == 0
}

func value(v *uint64) uint64 {
	if v == nil {
		return 0
	}
	return *v
}
