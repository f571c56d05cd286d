package nsenter_test

import (
	"testing"

	"davit/internal/plan"
	"davit/nsenter"
)

// refusal has a stage carry out a plan, and returns what it says first.
func refusal(t *testing.T, encoded []byte) nsenter.Message {
	t.Helper()
	stage, err := nsenter.Spawn(nsenter.Options{Plan: encoded, Stdio: [3]int{0, 1, 2}, Cgroup: -1, Fork: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	m, err := stage.Receive()
	stage.Reap()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestStageRefusesPlanOfAnotherBuild: a stage carries out no plan whose fingerprint is another's. The plan has no exec, so that the
// stage complains of the very same plan of its own build only when it has come to the end.
func TestStageRefusesPlanOfAnotherBuild(t *testing.T) {
	p := plan.Plan{}
	p.Add("process.user.umask", plan.Umask{Mask: 0o22})
	encoded, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if m := refusal(t, encoded); m.Kind != nsenter.Error || m.Detail != "no exec at the end" {
		t.Errorf("the stage's own build: %+v", m)
	}
	const fingerprint = 4 // its offset in struct plan_header
	encoded[fingerprint] ^= 1
	if m := refusal(t, encoded); m.Kind != nsenter.Error || m.Detail != "not a plan of this build" {
		t.Errorf("another build: %+v", m)
	}
}
