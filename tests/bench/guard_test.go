package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// limits are what davit's verbs may cost, in counts that do not depend on how busy the host
// is: some tenth more than they did when last improved. Lower them with each improvement.
var limits = map[string]struct{ faults, calls int64 }{
	"run, default config": {310, 680},
	"run, pod config":     {340, 850},
	"create":              {265, 640},
	"state":               {220, 230},
	"start":               {240, 245},
	"exec":                {315, 490},
	"kill":                {225, 230},
	"delete":              {220, 230},
	"--version":           {205, 215},
}

const (
	waitingLimit = 64      // kB of private memory of a container's process between create and start
	sizeLimit    = 6 << 20 // bytes of bin/davit
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
	// A busy host interrupts: Go's runtime then starts threads that it does without otherwise.
	var over []string
	for range 3 {
		if over = countsOver(t, benchDavitAlone(t)); len(over) == 0 {
			return
		}
	}
	for _, what := range over {
		t.Error(what)
	}
}

// countsOver says what of a report is over its limit.
func countsOver(t *testing.T, r report) []string {
	t.Helper()
	var over []string
	found := map[string]bool{}
	for _, row := range r.Rows {
		x := row.Results["davit"]
		if x == nil || x.Error != "" {
			t.Fatalf("%s: %+v", row.Name, x)
		}
		if limit, ok := limits[row.Name]; ok && (x.Faults > limit.faults || x.Calls > limit.calls) {
			over = append(over, fmt.Sprintf("%s: %d page faults and %d system calls; limits %d and %d", row.Name,
				x.Faults, x.Calls, limit.faults, limit.calls))
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

func benchDavitAlone(t *testing.T) report {
	t.Helper()
	davit := os.Getenv("DAVIT")
	if davit == "" {
		davit = "../../bin/davit"
	}
	if _, err := os.Stat(davit); errors.Is(err, os.ErrNotExist) {
		t.Fatal("build davit first (make), or say where it is ($DAVIT):", err)
	}
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
