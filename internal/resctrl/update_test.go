package resctrl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestUpdate(t *testing.T) {
	root := tree(t)
	g := group(root, &specs.LinuxIntelRdt{ClosID: "gold"}, "c1")
	if l3, mb := lines(g.class); l3 != "L3:0=7f0;1=1f" || mb != "MB:0=20;1=70" {
		t.Errorf("%q, %q", l3, mb)
	}
	undo, err := g.Update([]string{"L3:0=1", "MB:0=50"})
	if err != nil {
		t.Fatal(err)
	}
	// This file takes the place of schemata. It keeps the first text that was written; resctrl
	// would merge the texts.
	path := filepath.Join(root, "gold/schemata")
	if got, _ := os.ReadFile(path); string(got[:8]) != "MB:0=50\n" {
		t.Errorf("%q", got)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got[:13]) != "MB:0=20;1=70\n" {
		t.Errorf("put back: %q", got)
	}
	if _, err := group(root, &specs.LinuxIntelRdt{ClosID: "silver"}, "c1").Update(nil); err == nil {
		t.Error("a class that is not there was updated")
	}
}

func TestAddAll(t *testing.T) {
	root := tree(t)
	g := group(root, &specs.LinuxIntelRdt{ClosID: "gold"}, "c1")
	if err := g.AddAll([]int{os.Getpid(), 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(root, "gold/tasks")); len(got) == 0 {
		t.Error("nobody was added")
	}
}
