package criu

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A CRIU that is in a process group of its own, and ends early, leaves none of the helpers that it
// has started.
func TestGroupEnds(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nsleep 1000 &\necho $! >" + dir + "/pid\nmv " + dir + "/pid " + dir + "/helper\nkill -9 $$\n"
	if err := os.WriteFile(filepath.Join(dir, "criu"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if _, err := Start(Options{Cgroup: -1, Group: true}); err == nil || !strings.Contains(err.Error(), "signal 9") {
		t.Fatalf("it is said to have ended with %v", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "helper"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(status), ") Z ") {
			return
		}
	}
	t.Fatalf("its helper, process %d, is still there", pid)
}
