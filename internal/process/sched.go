package process

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"davit/internal/fault"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// schedAttr returns a struct sched_attr of version 1 (sched_setattr(2)), 56 bytes: the flags for clamping
// the utilisation are refused with a shorter one. Their values, which the runtime-spec has no property for, are 0.
func schedAttr(s *specs.Scheduler) (string, error) {
	policy, ok := map[specs.LinuxSchedulerPolicy]uint32{
		specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3,
		specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
	}[s.Policy]
	if !ok {
		return "", fault.At("process.scheduler.policy", "unknown policy %q", s.Policy)
	}
	var flags uint64
	for i, f := range s.Flags {
		bit, ok := map[specs.LinuxSchedulerFlag]uint64{
			specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04,
			specs.SchedFlagKeepPolicy: 0x08, specs.SchedFlagKeepParams: 0x10,
			specs.SchedFlagUtilClampMin: 0x20, specs.SchedFlagUtilClampMax: 0x40,
		}[f]
		if !ok {
			return "", fault.At(fmt.Sprintf("process.scheduler.flags[%d]", i), "unknown flag %q", f)
		}
		flags |= bit
	}
	const size = 56
	b := make([]byte, 0, size)
	e := binary.NativeEndian
	b = e.AppendUint32(b, size)
	b = e.AppendUint32(b, policy)
	b = e.AppendUint64(b, flags)
	b = e.AppendUint32(b, uint32(s.Nice))
	b = e.AppendUint32(b, uint32(s.Priority))
	b = e.AppendUint64(b, s.Runtime)
	b = e.AppendUint64(b, s.Deadline)
	b = e.AppendUint64(b, s.Period)
	b = e.AppendUint64(b, 0) // util_min, util_max
	return string(b), nil
}

// ioPriority returns the number for ioprio_set(2) that stands for a class and a level.
func ioPriority(p *specs.LinuxIOPriority) (uint64, error) {
	class, ok := map[specs.IOPriorityClass]uint64{
		specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3,
	}[p.Class]
	if !ok {
		return 0, fault.At("process.ioPriority.class", "unknown class %q", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return 0, fault.At("process.ioPriority.priority", "%d is not in 0..7", p.Priority)
	}
	return class<<13 | uint64(p.Priority), nil
}

// MemoryPolicy returns the step for linux.memoryPolicy (set_mempolicy(2)).
func MemoryPolicy(m *specs.LinuxMemoryPolicy) (plan.MemoryPolicy, error) {
	var step plan.MemoryPolicy
	mode, ok := map[specs.MemoryPolicyModeType]uint64{
		specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3,
		specs.MpolLocal: 4, specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
	}[m.Mode]
	if !ok {
		return step, fault.At("linux.memoryPolicy.mode", "unknown mode %q", m.Mode)
	}
	for i, f := range m.Flags {
		bit, ok := map[specs.MemoryPolicyFlagType]uint64{
			specs.MpolFNumaBalancing: 1 << 13, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFStaticNodes: 1 << 15,
		}[f]
		if !ok {
			return step, fault.At(fmt.Sprintf("linux.memoryPolicy.flags[%d]", i), "unknown flag %q", f)
		}
		mode |= bit
	}
	nodes, err := ListMask(m.Nodes)
	if err != nil {
		return step, fault.In("linux.memoryPolicy.nodes", err)
	}
	step.Mode, step.Nodes = mode, nodes
	if nodes != "" {
		step.Max = uint64(8*len(nodes)) + 1 // the kernel takes one less than it is told
	}
	return step, nil
}

// ListMask returns the bit mask of a list such as "0-3,7" (cpuset(7)). Its length is a multiple of 8 bytes.
func ListMask(list string) (string, error) {
	var mask []byte
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		}
		if err != nil || b < a {
			return "", fmt.Errorf("%q: not a list like 0-3,7", list)
		}
		for n := a; n <= b; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0, 0, 0, 0, 0, 0, 0, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return string(mask), nil
}
