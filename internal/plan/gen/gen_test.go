package main

import (
	"bytes"
	"os"
	"testing"
)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Chdir("..")
	for path, want := range generate() {
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("internal/plan/%s is out of date: run `go generate ./internal/plan`", path)
		}
	}
}

// A stage refuses the plan of another build, because the fingerprint differs. So every change of
// the layout must change the fingerprint.
func TestFingerprintChangesWithTheWire(t *testing.T) {
	base := wire{steps: []step{{name: "A", args: []arg{{field: "X"}, {field: "Y"}}}, {name: "B"}}, phases: []string{"P"}, kinds: []string{"K"},
		header: []field{{name: "h"}}, message: []field{{name: "m"}}, consts: []value{{"c", "1"}}, nums: 1, refs: 1, fds: 1}
	seen := map[uint32]string{base.fingerprint(): "the definition itself"}
	for name, change := range map[string]func(*wire){
		"steps swapped":     func(w *wire) { w.steps = []step{w.steps[1], w.steps[0]} },
		"a step renamed":    func(w *wire) { w.steps = []step{w.steps[0], {name: "C"}} },
		"arguments swapped": func(w *wire) { w.steps = []step{{name: "A", args: []arg{{field: "Y"}, {field: "X"}}}, {name: "B"}} },
		"another kind": func(w *wire) {
			w.steps = []step{{name: "A", args: []arg{{field: "X", kind: text}, {field: "Y"}}}, {name: "B"}}
		},
		"phases":    func(w *wire) { w.phases = nil },
		"kinds":     func(w *wire) { w.kinds = []string{"K", "L"} },
		"header":    func(w *wire) { w.header = []field{{name: "h", length: 2}} },
		"message":   func(w *wire) { w.message = []field{{name: "m", size: 8}} },
		"constants": func(w *wire) { w.consts = []value{{"c", "2"}} },
		"record":    func(w *wire) { w.nums = 2 },
	} {
		w := base
		change(&w)
		if other, had := seen[w.fingerprint()]; had {
			t.Errorf("%s: the fingerprint is that of %s", name, other)
		}
		seen[w.fingerprint()] = name
	}
}
