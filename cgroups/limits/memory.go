package limits

import (
	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// memory plans linux.resources.memory. Limit, reservation and swap are bytes; -1 is unlimited, 0
// unset. The field kernel is ignored, since Linux has no such limit since 5.16, whatever is
// written. kernelTCP is v1's only.
func (p *planner) memory(r *specs.LinuxMemory) {
	if r == nil {
		return
	}
	if r.UseHierarchy != nil && !*r.UseHierarchy {
		p.fail(failure.Refuse("memory.useHierarchy", "remove the field", "false is impossible: since Linux 5.11 memory is always accounted for hierarchically"))
		return
	}
	if p.v2("memory") {
		p.memory2(r)
	} else {
		p.memory1(r)
	}
}

func (p *planner) memory2(r *specs.LinuxMemory) {
	swap, err := swapOnly(r)
	if err != nil {
		p.fail(err)
		return
	}
	if r.Swappiness != nil {
		p.fail(failure.Refuse("memory.swappiness", "remove the field", "cgroup v2 has no swappiness per cgroup"))
	}
	if r.DisableOOMKiller != nil && *r.DisableOOMKiller {
		p.fail(failure.Refuse("memory.disableOOMKiller", "remove the field", "cgroup v2 cannot disable the OOM killer"))
	}
	if v, ok := given(r.KernelTCP); ok && v > 0 { //nolint:staticcheck // not recommended, but there
		p.fail(failure.Refuse("memory.kernelTCP", "remove the field: memory.limit covers them", "cgroup v2 has no limit for TCP buffers alone"))
	}
	if swap != "" {
		flags := writeFlag(0)
		if swap == "max" || swap == "0" {
			flags = mayLack // without swap accounting the kernel has no such file and no such limit
		}
		p.add("memory", "memory.swap.max", swap, "memory.swap", flags)
	}
	if v, ok := given(r.Limit); ok {
		p.add("memory", "memory.max", orMax(v), "memory.limit", 0)
	}
	if v, ok := given(r.Reservation); ok {
		p.add("memory", "memory.low", orMax(v), "memory.reservation", 0)
	}
}

// swapOnly converts the spec's swap, which counts memory plus swap, to cgroup v2's, which counts
// swap alone. It returns "" if swap is unset, otherwise bytes or "max".
func swapOnly(r *specs.LinuxMemory) (string, *fault.Error) {
	limit, limited := given(r.Limit)
	swap, ok := given(r.Swap)
	switch {
	case !ok && limit == -1:
		return "max", nil // unlimited memory without a swap limit means unlimited swap, as on v1
	case !ok:
		return "", nil
	case swap < 0:
		return "max", nil
	case limit < 0: // there is no limit to subtract: the value counts swap alone, as with runc
		return itoa(swap), nil
	case !limited:
		return "", failure.Refuse("memory.swap", "set memory.limit too", "%d is memory plus swap, which needs a memory.limit on cgroup v2", swap)
	case swap < limit:
		return "", failure.Refuse("memory.swap", "swap counts memory plus swap", "%d is less than memory.limit, %d", swap, limit)
	}
	return itoa(swap - limit), nil
}
