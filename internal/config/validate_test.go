package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestMain checks that no descriptors were left open.
func TestMain(m *testing.M) {
	before := openFiles()
	status := m.Run()
	if after := openFiles(); status == 0 && flag.Lookup("test.fuzz").Value.String() == "" && !slices.Equal(before, after) {
		fmt.Fprintf(os.Stderr, "open before the tests: %q, after: %q\n", before, after)
		status = 1
	}
	os.Exit(status)
}

// openFiles lists what the descriptors of this process are open on, without those of Go's poller.
func openFiles() []string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var files []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
			files = append(files, target)
		}
	}
	return files
}

func TestGoodConfigsHaveNoProblems(t *testing.T) {
	for name, text := range configs(t) {
		s, err := Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		problems, warnings := Check(s, Options{})
		for _, p := range append(problems, warnings...) {
			t.Errorf("%s: %v", name, p)
		}
	}
}

// patched returns the default config with a merge patch (RFC 7396): objects are merged, null
// removes, and any other value replaces.
func patched(t *testing.T, patch string) []byte {
	t.Helper()
	base, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	generic := func(text []byte) any {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber() // a float64 cannot hold every uint64
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	text, err := json.Marshal(merge(generic(base), generic([]byte(patch))))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func merge(to, from any) any {
	patch, ok := from.(map[string]any)
	if !ok {
		return from
	}
	object, ok := to.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for k, v := range patch {
		if v == nil {
			delete(object, k)
		} else {
			object[k] = merge(object[k], v)
		}
	}
	return object
}

// said returns the problems and warnings of a config, one a line. Warnings begin with "warning: ",
// and hints follow a bar.
func said(t *testing.T, text []byte, o Options) []string {
	t.Helper()
	s, err := Decode(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	problems, warnings := Check(s, o)
	var lines []string
	for _, p := range problems {
		line := p.Error()
		if p.Hint != "" {
			line += " | " + p.Hint
		}
		lines = append(lines, line)
	}
	for _, p := range warnings {
		lines = append(lines, "warning: "+p.Error())
	}
	return lines
}

func TestPartsOnTheirOwn(t *testing.T) {
	p, err := DecodeProcess([]byte(`{"args": ["sh"], "cwd": "x", "user": {"uid": 70000}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := validateProcess(p, Options{Exec: true}); len(got) != 1 || got[0].Error() != `process.cwd: "x" is not an absolute path` {
		t.Errorf("process: %v", got)
	}
	if got := validateProcess(nil, Options{Exec: true}); len(got) != 1 || got[0].Error() != "process: is missing: there is nothing to run" {
		t.Errorf("no process: %v", got)
	}
	r, _, err := DecodeResources([]byte(`{"pids": {"limit": -5}, "memory": {"kernel": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := validateResources(r); len(got) != 1 || got[0].Error() != "linux.resources.pids.limit: -5 is out of range: from 0, or -1 for no limit" {
		t.Errorf("resources: %v", got)
	}
	if _, got := CheckResources(r); len(got) != 1 || got[0].Field != "linux.resources.memory.kernel" {
		t.Errorf("warnings: %v", got)
	}
	if got := validateResources(nil); got != nil {
		t.Errorf("no resources: %v", got)
	}
}

// TestTooManyMappings has one line more than the kernel accepts.
func TestTooManyMappings(t *testing.T) {
	s := Default()
	Rootless(s, 1000, 1000)
	for i := uint32(1); i <= maxMappings; i++ {
		s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: i, HostID: 2000 + i, Size: 1})
	}
	got := validate(s, Options{Rootless: true})
	if len(got) != 1 || got[0].Error() != "linux.uidMappings: has 341 entries, more than the 340 that the kernel takes" {
		t.Errorf("got %v", got)
	}
}

func TestEmptySpec(t *testing.T) {
	want := []string{"ociVersion", "root"}
	got := validate(&specs.Spec{}, Options{})
	for i, p := range got {
		if i >= len(want) || p.Field != want[i] {
			t.Fatalf("got %v, want problems with %v", got, want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want problems with %v", got, want)
	}
}

func TestDefaultConfigs(t *testing.T) {
	s := Default()
	Rootless(s, 1000, 100)
	problems, warnings := Check(s, Options{Rootless: true})
	for _, p := range append(problems, warnings...) {
		t.Error(p)
	}
	if fmt.Sprint(s.Linux.UIDMappings, s.Linux.GIDMappings) != "[{0 1000 1}] [{0 100 1}]" {
		t.Errorf("mappings %v, %v", s.Linux.UIDMappings, s.Linux.GIDMappings)
	}
}

// TestMountOptions compares IsMountOption with the table of the runtime-spec.
func TestMountOptions(t *testing.T) {
	text, err := os.ReadFile(specFile(t, "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 3 || !slices.Contains([]string{"MUST", "SHOULD", "MAY"}, strings.TrimSpace(cells[1])) {
			continue
		}
		option := strings.Trim(cells[0], "` ")
		if n++; !IsMountOption(option) {
			t.Errorf("%s is missing", option)
		}
	}
	if n < 60 {
		t.Errorf("found only %d options in the spec", n)
	}
	if IsMountOption("size=1m") {
		t.Error("an option of tmpfs is taken for one of all")
	}
}

// TestSpecExamples decodes and validates the examples that are the tests of the runtime-spec's
// schema.
func TestSpecExamples(t *testing.T) {
	// The examples are for the schema, which demands less than a container on Linux needs.
	lack := map[string]bool{
		`ociVersion: "0.5.0-dev": davit implements runtime-spec 1.x only`:                                true,
		"linux.netDevices: is given, but there is no network namespace to move devices to":               true,
		`hostname: "slartibartfast" cannot be set without a uts namespace: it would be set for the host`: true,
	}
	for _, kind := range []string{"good", "bad"} {
		files, err := filepath.Glob(specFile(t, "schema/test/config/"+kind+"/*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no examples: %v", err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Decode(text)
			if err == nil {
				for _, p := range validate(s, Options{}) {
					if !lack[p.Error()] {
						err = p
					}
				}
			}
			foreign := strings.HasPrefix(filepath.Base(f), "freebsd") // davit ignores it
			if (err == nil) != (kind == "good") && !foreign {
				t.Errorf("%s/%s: %v", kind, filepath.Base(f), err)
			}
			t.Logf("%s: %v", filepath.Base(f), err)
		}
	}
}

// specFile returns the path of a file in the runtime-spec's module.
func specFile(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), name)
}
