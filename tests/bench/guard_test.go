package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limits has what davit's verbs may cost, in counts that do not depend on how busy the host is.
// They are about a tenth higher than the counts after the last improvement. Lower them with each
// improvement.
var limits = map[string]limit{
	"run, default config": {310, 650},
	"run, pod config":     {340, 830},
	"create":              {250, 580},
	"state":               {190, 150},
	"start":               {190, 155},
	"exec":                {280, 470},
	"kill":                {190, 150},
	"delete":              {190, 150},
	"--version":           {180, 120},
}

// limit is the number of page faults and system calls that a verb may take.
type limit struct{ faults, calls int64 }

// plain returns the limit for a davit that was built without the overlay (docs/go-runtime.md). Go's
// runtime then looks for a CPU limit and starts more threads. One of these looks for stuck threads
// every 20 µs. So a busy host, where everything takes longer, causes more calls.
// The runtime also asks for each signal first, and copies the environment.
func (l limit) plain() limit { return limit{l.faults + 90, 2*l.calls + 160} }

const (
	waitingLimit = 64      // kB of private memory that a container's process has between create and start
	sizeLimit    = 7 << 20 // bytes of bin/davit; 0.8 MB of them are the compiler of filters
)

// TestCounts runs the benchmark with davit alone, in an empty root directory.
func TestCounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: faultsEvent}, 0, -1, -1, 0); err != nil {
		t.Skipf("no perf events: %v", err)
	} else {
		unix.Close(fd)
	}
	davit := davitPath(t)
	plain := false
	if out, err := exec.Command(davit, "--version").Output(); err != nil {
		t.Fatal(err)
	} else {
		plain = strings.Contains(string(out), "without davit's overlay")
	}
	// A busy host interrupts davit. Then Go's runtime starts threads that it does not start
	// otherwise.
	var over []string
	for range 3 {
		if over = countsOver(t, benchDavitAlone(t, davit), plain); len(over) == 0 {
			return
		}
	}
	for _, what := range over {
		t.Error(what)
	}
}

// countsOver returns which values of a report are over their limits.
func countsOver(t *testing.T, r report, plain bool) []string {
	t.Helper()
	var over []string
	found := map[string]bool{}
	for _, row := range r.Rows {
		x := row.Results["davit"]
		if x == nil || x.Error != "" {
			t.Fatalf("%s: %+v", row.Name, x)
		}
		if limit, ok := limits[row.Name]; ok {
			if plain {
				limit = limit.plain()
			}
			if x.Faults > limit.faults || x.Calls > limit.calls {
				over = append(over, fmt.Sprintf("%s: %d page faults and %d system calls; limits %d and %d", row.Name,
					x.Faults, x.Calls, limit.faults, limit.calls))
			}
		}
		if row.Name == waitingPrivate && x.Value > waitingLimit {
			over = append(over, fmt.Sprintf("%s: %v kB; limit %d", row.Name, x.Value, waitingLimit))
		}
		found[row.Name] = true
	}
	for name := range limits {
		if !found[name] {
			t.Fatalf("%s was not measured", name)
		}
	}
	if r.Sizes["davit"] > sizeLimit {
		over = append(over, fmt.Sprintf("davit's size is %d bytes; limit %d", r.Sizes["davit"], sizeLimit))
	}
	return over
}

// davitPath returns the path of the davit to test.
func davitPath(t *testing.T) string {
	t.Helper()
	davit := os.Getenv("DAVIT")
	if davit == "" {
		davit = "../../bin/davit"
	}
	if _, err := os.Stat(davit); errors.Is(err, os.ErrNotExist) {
		t.Fatal("build davit first (make), or say where it is ($DAVIT):", err)
	}
	return davit
}

func benchDavitAlone(t *testing.T, davit string) report {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"root/proc", "root/dev", "root/sys", "root/run", "root/mnt", "root/media", "root/usr"} {
		must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	if out, err := exec.Command("go", "build", "-o", dir+"/bench", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(dir+"/bench", "-quick", "-davit", davit, "-root", dir+"/root", "-source", ".", "-views", "v2",
		"-rows", "run, default|run, pod|verbs|version|waiting", "-out", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(dir + "/bench.json")
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
