package main

import (
	"os"
	"strings"
	"testing"
)

// Two tests as `go test -json` reports them. One is skipped with a reason that is not allowed.
const session = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: no unicorns on this host\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.1}
`

func readSession(t *testing.T, text string) *results {
	t.Helper()
	stdout := os.Stdout
	os.Stdout, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	t.Cleanup(func() { os.Stdout = stdout })
	r := &results{reasons: map[string][]string{}, output: map[string][]string{}}
	if err := r.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUnlistedSkipFailsOnlyInCI(t *testing.T) {
	r := readSession(t, session)
	if r.passed != 1 || r.failed != 0 || r.skipped != 1 {
		t.Errorf("counts %d %d %d", r.passed, r.failed, r.skipped)
	}
	if len(r.reasons["no unicorns on this host"]) != 1 {
		t.Errorf("reasons %q", r.reasons)
	}
	if !r.print(false) || r.print(true) {
		t.Error("an unlisted reason must fail in CI and nowhere else")
	}
}

func TestCrashedPackageIsAFailure(t *testing.T) {
	r := readSession(t, `{"Action":"output","Package":"p","Output":"panic\n"}
{"Action":"fail","Package":"p","Elapsed":0.1}
`)
	if r.failed != 1 || r.print(false) {
		t.Errorf("failed %d", r.failed)
	}
}

func TestUnendedTestIsAFailure(t *testing.T) {
	r := readSession(t, `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"panic: test timed out after 38m0s\n"}
`)
	if r.passed != 1 || r.failed != 1 || r.print(false) {
		t.Errorf("passed %d, failed %d", r.passed, r.failed)
	}
}

func TestNoTestIsAFailure(t *testing.T) {
	if readSession(t, "").print(false) {
		t.Error("an empty run passed")
	}
}
