package resctrl

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"davit/cgroups/stats"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Stats returns the part of a container's statistics that resctrl has, in runc's form. What the
// host does not have stays empty. dir and mon are the container's own groups, or "": only those are
// measured, since in a shared class the values would be those of all its containers.
func Stats(config *specs.LinuxIntelRdt, id, dir, mon string) stats.IntelRdtStats {
	if !Mounted() {
		return stats.IntelRdtStats{}
	}
	return statsBelow(Mountpoint, config, id, dir, mon)
}

func statsBelow(root string, config *specs.LinuxIntelRdt, id, dir, mon string) stats.IntelRdtStats {
	var s stats.IntelRdtStats
	s.L3CacheSchemaRoot, s.MemBwSchemaRoot = lines(root)
	s.L3CacheSchema, s.MemBwSchema = lines(group(root, config, id).class)
	if mask := text(root, "info/L3/cbm_mask"); mask != "" {
		s.L3CacheInfo = &stats.L3CacheInfo{CbmMask: mask,
			MinCbmBits: number(root, "info/L3/min_cbm_bits"), NumClosids: number(root, "info/L3/num_closids")}
	}
	if text(root, "info/MB/num_closids") != "" {
		s.MemBwInfo = &stats.MemBwInfo{
			BandwidthGran: number(root, "info/MB/bandwidth_gran"), DelayLinear: number(root, "info/MB/delay_linear"),
			MinBandwidth: number(root, "info/MB/min_bandwidth"), NumClosids: number(root, "info/MB/num_closids")}
	}
	if mon == "" {
		mon = dir
	}
	if mon != "" {
		monitored(mon, text(root, "info/L3_MON/mon_features"), &s)
	}
	return s
}

// monitored reads the counters of each domain.
func monitored(dir, features string, s *stats.IntelRdtStats) {
	counts := strings.Fields(features)
	domains, _ := filepath.Glob(filepath.Join(dir, "mon_data", "mon_L3_*"))
	for _, d := range domains {
		if slices.Contains(counts, "mbm_total_bytes") || slices.Contains(counts, "mbm_local_bytes") {
			s.MBMStats = append(s.MBMStats, stats.MBMStats{TotalBytes: number(d, "mbm_total_bytes"), LocalBytes: number(d, "mbm_local_bytes")})
		}
		if slices.Contains(counts, "llc_occupancy") {
			s.CMTStats = append(s.CMTStats, stats.CMTStats{LLCOccupancy: number(d, "llc_occupancy")})
		}
	}
}

// lines returns the lines of a class's schemata for the L3 cache and for memory bandwidth, "" for
// one that is missing.
func lines(dir string) (l3, bandwidth string) {
	for line := range strings.Lines(text(dir, "schemata")) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "L3:"):
			l3 = line
		case strings.HasPrefix(line, "MB:"):
			bandwidth = line
		}
	}
	return l3, bandwidth
}

// text returns a file's contents, "" if it cannot be read: not every host has every file.
func text(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(data))
}

// number returns the number in a file. It is 0 if the file cannot be read, or says "Unavailable" or
// "Unassigned".
func number(dir, name string) uint64 {
	n, _ := strconv.ParseUint(text(dir, name), 10, 64)
	return n
}
