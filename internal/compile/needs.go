package compile

import (
	"fmt"
	"slices"
	"strings"

	"davit/internal/fault"
	"davit/internal/host"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Need is a feature of the kernel that a field of a config needs.
type Need struct {
	Field   string
	Feature *host.Feature
}

// Needs returns the features of the kernel that a config needs, without those that every container needs.
func Needs(s *specs.Spec) []Need {
	var list []Need
	add := func(field string, f *host.Feature, needed bool) {
		if needed {
			list = append(list, Need{field, f})
		}
	}
	for i, m := range s.Mounts {
		add(fmt.Sprintf("mounts[%d]", i), host.IDMappedMounts,
			len(m.UIDMappings) > 0 || slices.ContainsFunc(m.Options, func(o string) bool {
				name, _, _ := strings.Cut(o, "=")
				return name == "idmap" || name == "ridmap"
			}))
	}
	l := s.Linux
	if l == nil {
		return list
	}
	for i, n := range l.Namespaces {
		add(fmt.Sprintf("linux.namespaces[%d]", i), host.TimeNamespace, n.Type == specs.TimeNamespace)
	}
	if l.Seccomp != nil {
		add("linux.seccomp.listenerPath", host.SeccompNotify, l.Seccomp.ListenerPath != "")
		add("linux.seccomp.flags", host.SeccompWaitKillable, slices.Contains(l.Seccomp.Flags, specs.LinuxSeccompFlagWaitKillableRecv))
	}
	if m := l.MemoryPolicy; m != nil {
		add("linux.memoryPolicy.mode", host.WeightedInterleaving, m.Mode == specs.MpolWeightedInterleave)
	}
	if r := l.Resources; r != nil && r.CPU != nil {
		add("linux.resources.cpu.burst", host.CPUBurst, r.CPU.Burst != nil)
		add("linux.resources.cpu.idle", host.CPUIdle, r.CPU.Idle != nil)
	}
	return list
}

// checkNeeds returns the error for the first feature that a config needs and the host lacks.
func checkNeeds(s *specs.Spec, facts *host.Facts) error {
	for _, n := range Needs(s) {
		if err := facts.Have(n.Feature); err != nil {
			return fault.In(n.Field, err)
		}
	}
	return nil
}
