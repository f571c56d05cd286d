package cgroups

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkUsage refuses a limit below what is in use, if memory.checkBeforeUpdate asks for it. v1's
// kernel refuses by itself; v2's would reclaim, then kill.
func (m *Manager) checkUsage(r *specs.LinuxResources) error {
	mem := r.Memory
	if mem == nil || mem.CheckBeforeUpdate == nil || !*mem.CheckBeforeUpdate || m.version("memory") != 2 {
		return nil
	}
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	check := func(file, field, limit string) error {
		if limit == "" || limit == "max" {
			return nil
		}
		s, err := readString(fd, file)
		if err != nil {
			return nil // no swap accounting
		}
		used, _ := strconv.ParseUint(s, 10, 64)
		max, _ := strconv.ParseUint(limit, 10, 64)
		if used > max {
			return refuse(field, "memory.checkBeforeUpdate refuses what would kill processes: free memory first",
				"%s is less than the %d bytes in use (%s)", limit, used, file)
		}
		return nil
	}
	if v, ok := given(mem.Limit); ok {
		if err := check("memory.current", "memory.limit", orMax(v)); err != nil {
			return err
		}
	}
	swap, _ := swapOnly(mem)
	return check("memory.swap.current", "memory.swap", swap)
}
