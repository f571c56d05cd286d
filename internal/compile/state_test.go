package compile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"davit/internal/host"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Hooks, and the listener of a filter, read the State of runtime.md. The stage has put the pid in
// its place.
func TestStates(t *testing.T) {
	annotations := map[string]string{"a": "\"quoted\"\n"}
	read := func(text string, v any) {
		t.Helper()
		d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(text, plan.PIDMark, "77")))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	want := specs.State{Version: specs.Version, ID: "c1", Status: specs.StateCreating, Pid: 77, Bundle: "/bundle", Annotations: annotations}
	var have specs.State
	read(StateJSON("c1", "/bundle", annotations, specs.StateCreating, plan.PIDMark), &have)
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%+v, not %+v", have, want)
	}
	s := &specs.Spec{Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{ListenerMetadata: "m"}}}
	var process specs.ContainerProcessState
	read(seccompState(s, StateJSON("c1", "/bundle", annotations, specs.StateCreating, plan.PIDMark)), &process)
	if all := (specs.ContainerProcessState{Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: 77, Metadata: "m", State: want}); !reflect.DeepEqual(process, all) {
		t.Errorf("%+v, not %+v", process, all)
	}
}

// The plan has the state for each hook. createContainer hooks run in the root directory.
func TestHookSteps(t *testing.T) {
	c, err := New(everything(), all, host.Fixed(root2))
	if err == nil {
		err = c.Compile(cgroup2, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{"hooks.createContainer[0]": `"status":"creating"`, "hooks.startContainer[0]": `"status":"created"`}
	order := []string{}
	for _, e := range c.Plan.Steps {
		switch h := e.Step.(type) {
		case plan.Hook:
			order = append(order, e.Field)
			if !strings.Contains(h.State, status[e.Field]) || !strings.Contains(h.State, `"pid":`+plan.PIDMark) {
				t.Errorf("%s reads %s", e.Field, h.State)
			}
			if h.AtRoot != (e.Field == "hooks.createContainer[0]") {
				t.Errorf("%s: at the root: %v", e.Field, h.AtRoot)
			}
		case plan.Sync:
			if h.Phase == plan.Hooks {
				order = append(order, "hooks on the host")
			}
		case plan.Pivot:
			order = append(order, "pivot")
		}
	}
	if have, want := strings.Join(order, ", "), "hooks on the host, hooks.createContainer[0], pivot, hooks.startContainer[0]"; have != want {
		t.Errorf("%s, not %s", have, want)
	}
}
