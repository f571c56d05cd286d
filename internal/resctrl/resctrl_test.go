package resctrl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// tree makes a directory that takes the place of resctrl, which needs a certain processor.
func tree(t *testing.T) string {
	root := t.TempDir()
	for _, d := range []string{"gold", "mon_groups"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"schemata": "", "tasks": "", "gold/schemata": "    L3:0=7f0;1=1f\n    MB:0=20;1=70\n", "gold/tasks": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestMake(t *testing.T) {
	for name, c := range map[string]struct {
		config specs.LinuxIntelRdt
		want   string // a part of the error
	}{
		"a class that is there":            {specs.LinuxIntelRdt{ClosID: "gold"}, ""},
		"the default class":                {specs.LinuxIntelRdt{ClosID: "/"}, ""},
		"a class that is not there":        {specs.LinuxIntelRdt{ClosID: "silver"}, "has to be configured beforehand"},
		"the same, with zeros in front":    {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=07F0;1=01f", MemBwSchema: "MB:1=70"}, ""},
		"another cache":                    {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7f0;1=3f"}, "l3CacheSchema"},
		"another bandwidth":                {specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=30"}, "memBwSchema"},
		"a resource that the class lacks":  {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3CODE:0=1"}, "l3CacheSchema"},
		"a class of the container's id":    {specs.LinuxIntelRdt{}, ""},
		"monitoring where there can be no": {specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, "enableMonitoring"},
	} {
		g := group(tree(t), &c.config, "c1")
		err := g.Make()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestSchemataAreWrittenInOrder(t *testing.T) {
	all := &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", Schemata: []string{"L2:0=f", "MB:0=30"}}
	if got := schemata(all); !slices.Equal(got, []string{"L3:0=f", "MB:0=20", "L2:0=f", "MB:0=30"}) {
		t.Errorf("lines %q", got)
	}
	root := tree(t)
	for _, c := range []specs.LinuxIntelRdt{
		{ClosID: "gold", L3CacheSchema: "L3:0=7f0;1=1f"}, {ClosID: "gold", MemBwSchema: "MB:0=20;1=70"},
	} {
		if err := os.WriteFile(root+"/gold/schemata", []byte("L3:0=7f0;1=1f\nMB:0=20;1=70\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := group(root, &c, "c1").Make(); err != nil {
			t.Fatal(err)
		}
		want := schemata(&c)[0] + "\n"
		if got, _ := os.ReadFile(root + "/gold/schemata"); !strings.HasPrefix(string(got), want) {
			t.Errorf("schemata: %q, which does not begin with %q", got, want)
		}
	}
	g := group(root, &specs.LinuxIntelRdt{ClosID: "/", Schemata: []string{"L2:0=f"}, EnableMonitoring: true}, "c1")
	if err := g.Make(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(root + "/schemata"); string(got) != "L2:0=f\n" {
		t.Errorf("schemata: %q", got)
	}
	if err := os.WriteFile(root+"/mon_groups/c1/tasks", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(42); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/tasks", "/mon_groups/c1/tasks"} {
		if got, _ := os.ReadFile(root + f); string(got) != "42\n" {
			t.Errorf("%s: %q", f, got)
		}
	}
	os.Remove(root + "/mon_groups/c1/tasks")
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root + "/mon_groups/c1"); err == nil {
		t.Error("the monitoring group is still there")
	}
}

// TestNothingStaysOfAClass: the schemata of a class are refused, because the directory has no file
// for them. Nothing of the class is left.
func TestNothingStaysOfAClass(t *testing.T) {
	root := tree(t)
	for _, id := range []string{"silver", ""} {
		g := group(root, &specs.LinuxIntelRdt{ClosID: id, L3CacheSchema: "L3:0=f"}, "c1")
		if err := g.Make(); err == nil || g.Dir != "" {
			t.Errorf("class %q: %v, %q", id, err, g.Dir)
		}
	}
	for _, name := range []string{"silver", "c1"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("class %s is still there", name)
		}
	}
	g := group(root, &specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=21"}, "c1")
	if err := g.Make(); err == nil {
		t.Error("another bandwidth was accepted")
	}
	if _, err := os.Stat(filepath.Join(root, "gold")); err != nil {
		t.Error("a class of others was removed")
	}
}

func TestOwnClassOnly(t *testing.T) {
	root := tree(t)
	config := &specs.LinuxIntelRdt{}
	g := group(root, config, "c1")
	if err := g.Make(); err != nil {
		t.Fatal(err)
	}
	other := group(root, config, "c1")
	if err := other.Make(); err == nil || other.Dir != "" {
		t.Errorf("a class that is there was taken over: %v", err)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Errorf("again: %v", err)
	}
	if shared := group(root, &specs.LinuxIntelRdt{ClosID: "gold"}, "c1"); shared.Remove() != nil || shared.Dir != "" {
		t.Error("a shared class would be removed")
	}
}
