package resctrl

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"davit/cgroups/stats"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestStats(t *testing.T) {
	root := tree(t)
	for name, text := range map[string]string{
		"schemata":                               "    L3:0=fff;1=fff\n    MB:0=100;1=100\n",
		"info/L3/cbm_mask":                       "fff\n",
		"info/L3/min_cbm_bits":                   "2\n",
		"info/L3/num_closids":                    "16\n",
		"info/MB/bandwidth_gran":                 "10\n",
		"info/MB/delay_linear":                   "1\n",
		"info/MB/min_bandwidth":                  "20\n",
		"info/MB/num_closids":                    "8\n",
		"info/L3_MON/mon_features":               "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n",
		"gold/mon_data/mon_L3_00/llc_occupancy":  "1\n",
		"mon/mon_data/mon_L3_00/llc_occupancy":   "4096\n",
		"mon/mon_data/mon_L3_00/mbm_total_bytes": "200\n",
		"mon/mon_data/mon_L3_00/mbm_local_bytes": "100\n",
		"mon/mon_data/mon_L3_01/llc_occupancy":   "Unavailable\n",
		"mon/mon_data/mon_L3_01/mbm_total_bytes": "30\n",
		"mon/mon_data/mon_L3_01/mbm_local_bytes": "Unassigned\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := stats.IntelRdtStats{
		L3CacheInfo:       &stats.L3CacheInfo{CbmMask: "fff", MinCbmBits: 2, NumClosids: 16},
		L3CacheSchemaRoot: "L3:0=fff;1=fff", L3CacheSchema: "L3:0=7f0;1=1f",
		MemBwInfo:       &stats.MemBwInfo{BandwidthGran: 10, DelayLinear: 1, MinBandwidth: 20, NumClosids: 8},
		MemBwSchemaRoot: "MB:0=100;1=100", MemBwSchema: "MB:0=20;1=70",
	}
	gold := &specs.LinuxIntelRdt{ClosID: "gold"}
	if got := statsBelow(root, gold, "c1", "", ""); !reflect.DeepEqual(got, want) {
		t.Errorf("a shared class: %+v", got)
	}
	want.CMTStats = []stats.CMTStats{{LLCOccupancy: 4096}, {}}
	want.MBMStats = []stats.MBMStats{{TotalBytes: 200, LocalBytes: 100}, {TotalBytes: 30}}
	if got := statsBelow(root, gold, "c1", "", filepath.Join(root, "mon")); !reflect.DeepEqual(got, want) {
		t.Errorf("a monitoring group: %+v", got)
	}
	if got := statsBelow(root, gold, "c1", filepath.Join(root, "gold"), ""); len(got.CMTStats) != 1 || got.CMTStats[0].LLCOccupancy != 1 {
		t.Errorf("a class of its own: %+v", got.CMTStats)
	}
	if got := statsBelow(t.TempDir(), gold, "c1", "", ""); !reflect.DeepEqual(got, stats.IntelRdtStats{}) {
		t.Errorf("nothing there: %+v", got)
	}
}
