package store

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestStates: each combination of signs is one state. davit looks at the cgroup and the executable
// only if it must.
func TestStates(t *testing.T) {
	for all := range waits << 1 {
		var asked sign
		got := stateOf(func(s sign) bool {
			asked |= s
			return all&s != 0
		})
		has := func(s sign) bool { return all&s != 0 }
		var want specs.ContainerState
		switch {
		case has(alive) && has(frozen):
			want = Paused
		case has(alive) && has(waits):
			want = specs.StateCreated
		case has(alive):
			want = specs.StateRunning
		case has(recorded) || has(broken): // a broken container may have had a process, so it can be deleted
			want = specs.StateStopped
		default:
			want = specs.StateCreating
		}
		if got != want {
			t.Errorf("signs %05b: %s, not %s", all, got, want)
		}
		if !has(alive) && asked&(frozen|waits) != 0 || has(frozen) && asked&waits != 0 {
			t.Errorf("signs %05b: %05b were asked for", all, asked)
		}
	}
}
