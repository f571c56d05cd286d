package nsenter_test

import (
	"testing"

	"davit/internal/plan"
	"davit/nsenter"
)

// refusal lets a stage carry out a plan, and returns its first error.
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

// TestStageRefusesPlanOfAnotherBuild: a stage refuses a plan with another fingerprint. The plan has
// no exec. So with the right fingerprint the stage only complains when it comes to the end.
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
