package checkpoint

import (
	"slices"
	"testing"

	"davit/internal/config"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mappings are the same if they map each id to the same one, in whichever order and parts.
func TestJoinMap(t *testing.T) {
	have, err := config.ParseMapFile("         0     100000       1000\n      1000     101000      64536\n     70000          5          1\n")
	if err != nil {
		t.Fatal(err)
	}
	same := []specs.LinuxIDMapping{{ContainerID: 70000, HostID: 5, Size: 1}, {ContainerID: 0, HostID: 100000, Size: 65536}}
	if !slices.Equal(joinMap(have), joinMap(same)) {
		t.Errorf("%v is not %v", joinMap(have), joinMap(same))
	}
	for _, other := range [][]specs.LinuxIDMapping{nil, same[1:], {{ContainerID: 70000, HostID: 5, Size: 1}, {ContainerID: 0, HostID: 0, Size: 65536}},
		{{ContainerID: 70000, HostID: 5, Size: 2}, {ContainerID: 0, HostID: 100000, Size: 65536}}} {
		if slices.Equal(joinMap(have), joinMap(other)) {
			t.Errorf("%v is %v", joinMap(have), joinMap(other))
		}
	}
	for _, bad := range []string{"0 0\n", "0 0 x\n", "0 0 4294967296\n", "-1 0 1\n", "0 0 1 1\n"} {
		if list, err := config.ParseMapFile(bad); err == nil {
			t.Errorf("%q is read as %v", bad, list)
		}
	}
}
