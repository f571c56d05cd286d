package foreign

import (
	"testing"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A new value replaces the old one in its object. Everything else stays the same, byte for byte.
func TestRebuild(t *testing.T) {
	set := []property{{"memory", "7"}, {"pids_limit", "9"}}
	for _, test := range [][2]string{
		{`{"a":[1, 2],"config":{"x":{"memory":1},"cgroups":{"memory":3,"unified":{"memory":"4"}}},"memory":5}`,
			`{"a":[1, 2],"config":{"x":{"memory":1},"cgroups":{"unified":{"memory":"4"},"memory":7,"pids_limit":9}},"memory":5}`},
		{`{"config":{"y":"é\u00e9"}}`, `{"config":{"y":"é\u00e9","cgroups":{"memory":7,"pids_limit":9}}}`},
		{`{}`, `{"config":{"cgroups":{"memory":7,"pids_limit":9}}}`},
	} {
		d := jsonx.NewDecoder("test", []byte(test[0]))
		var e jsonx.Encoder
		rebuild(&e, &d, []string{"config", "cgroups"}, set)
		if err := d.End(); err != nil || string(e.Bytes()) != test[1] {
			t.Errorf("%s: %v\n%s, not\n%s", test[0], err, e.Bytes(), test[1])
		}
	}
}

// davit refuses a limit for which runc's state has no place, and names its field. It accepts such a
// limit if the value does not change.
func TestNotInRunc(t *testing.T) {
	pages := []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}}
	old := &specs.LinuxResources{HugepageLimits: pages}
	if field := notInRunc(old, &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}}}); field != "" {
		t.Error(field)
	}
	if field := notInRunc(old, &specs.LinuxResources{}); field != "linux.resources.hugepageLimits" {
		t.Error(field)
	}
	if field := notInRunc(&specs.LinuxResources{}, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}); field != "linux.resources.devices" {
		t.Error(field)
	}
}
