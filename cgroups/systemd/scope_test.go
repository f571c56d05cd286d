package systemd

import (
	"fmt"
	"strings"
	"testing"

	"davit/internal/fault"
)

// TestScopeProperties: a property of an annotation replaces davit's own, and the config's limits
// replace that of an annotation.
func TestScopeProperties(t *testing.T) {
	const tail = "DefaultDependencies=false CollectMode=inactive-or-failed PIDs=[7] CPUAccounting=true MemoryAccounting=true IOAccounting=true TasksAccounting=true"
	for name, c := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"none":                 {nil, "Description=davit container web Slice=a.slice Delegate=true " + tail + " MemoryMax=5"},
		"Delegate, containerd": {map[string]string{"org.systemd.property.Delegate": "true"}, "Description=davit container web Slice=a.slice " + tail + " Delegate=true MemoryMax=5"},
		"no Delegate":          {map[string]string{"org.systemd.property.Delegate": "false"}, "Description=davit container web Slice=a.slice " + tail + " Delegate=false MemoryMax=5"},
		"others": {map[string]string{"org.systemd.property.TimeoutStopSec": "2", "org.systemd.property.Description": "'x'", "other": "1"},
			"Slice=a.slice Delegate=true " + tail + " Description=x TimeoutStopUSec=2000000 MemoryMax=5"},
		"a limit": {map[string]string{"org.systemd.property.MemoryMax": "uint64 9", "org.systemd.property.MemoryMin": "uint64 1"},
			"Description=davit container web Slice=a.slice Delegate=true " + tail + " MemoryMin=1 MemoryMax=5"},
	} {
		extra, err := FromAnnotations(c.annotations)
		if err != nil {
			t.Fatal(err)
		}
		s := Scope{Name: "x.scope", Slice: "a.slice", Extra: extra}
		var got []string
		for _, p := range s.properties("web", 7, []Property{{"MemoryMax", uint64(5)}}) {
			got = append(got, fmt.Sprintf("%s=%v", p.Name, p.Value))
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, text, c.want)
		}
	}
}

// TestAnnotationsRefused: annotations may not change what makes the scope a container's scope.
func TestAnnotationsRefused(t *testing.T) {
	for key, want := range map[string]string{
		"org.systemd.property.Slice": "annotations[org.systemd.property.Slice]: linux.cgroupsPath decides on the slice",
		"org.systemd.property.PIDs":  "annotations[org.systemd.property.PIDs]: the scope begins with the container's first process alone",
	} {
		_, err := FromAnnotations(map[string]string{key: "@au [1]"})
		if err == nil || err.Error() != want || fault.Hint(err) == "" {
			t.Errorf("%s: %v, want %s", key, err, want)
		}
	}
}
