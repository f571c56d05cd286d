package limits

import (
	"strconv"

	"davit/cgroups/failure"
	"davit/cgroups/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CheckUsage refuses limits of memory or swap below what the open cgroup2 directory dir uses: the
// kernel would first reclaim memory, then kill processes. It carries out memory.checkBeforeUpdate.
func CheckUsage(dir int, mem *specs.LinuxMemory) error {
	check := func(file, field, limit string) error {
		if limit == "" || limit == "max" {
			return nil
		}
		s, err := fs.ReadString(dir, file)
		if err != nil {
			return nil // the kernel does not account for swap
		}
		used, _ := strconv.ParseUint(s, 10, 64)
		max, _ := strconv.ParseUint(limit, 10, 64)
		if used > max {
			return failure.Refuse(field, "memory.checkBeforeUpdate refuses what would kill processes: free memory first",
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
