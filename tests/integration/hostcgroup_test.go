package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHostCgroup2Options: whatever a container mounts, the host's cgroup2 keeps its mount options
// (nsdelegate, memory_recursiveprot, …). A new mount of cgroup2 would set them anew.
func TestHostCgroup2Options(t *testing.T) {
	needRoot(t)
	before := cgroup2Options(t)
	if !slices.ContainsFunc(before, func(line string) bool { return strings.Contains(line, "nsdelegate") }) {
		t.Log("the host's cgroup2 has no options that could be lost")
	}
	for _, namespaces := range []string{`[{"type":"pid"},{"type":"mount"}]`, `[{"type":"pid"},{"type":"mount"},{"type":"cgroup"}]`, `[{"type":"pid"},{"type":"mount"},{"type":"cgroup","path":"/proc/self/ns/cgroup"}]`} {
		for _, options := range []string{`["ro"]`, `["nsdelegate"]`, `["favordynmods","memory_recursiveprot"]`} {
			bundle := filepath.Join(t.TempDir(), "hostcgroup")
			must(t, makeBundle(bundle))
			must(t, editConfig(bundle, []string{"linux.namespaces=" + namespaces, `process.args=["true"]`, "hostname-",
				`mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/sys/fs/cgroup","type":"cgroup2","source":"cgroup","options":` + options + `}]`}))
			if out, err := exec.Command(davit, "--root", t.TempDir(), "run", "-b", bundle, "hostcgroup").CombinedOutput(); err != nil {
				t.Fatalf("%s %s: %v: %s", namespaces, options, err, out)
			}
			if after := cgroup2Options(t); !slices.Equal(before, after) {
				t.Fatalf("%s %s: %q, before %q", namespaces, options, after, before)
			}
		}
	}
}

// cgroup2Options returns the fields of mountinfo that follow the mounts of cgroup2.
func cgroup2Options(t *testing.T) (options []string) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if _, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup2 ") {
			options = append(options, after)
		}
	}
	return options
}
