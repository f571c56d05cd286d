package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// published has the vulnerabilities that security.md must mention, each with tests that exist.
var published = strings.Fields(`2016-3697 2016-9962 2019-5736 2019-16884 2019-19921 2021-30465 2021-43784 2022-27650
	2022-29162 2023-25809 2023-27561 2023-28642 2024-21626 2024-45310 2025-24965 2025-31133 2025-52565 2025-52881 2026-41579`)

func TestSecurity(t *testing.T) {
	data, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	number, test := regexp.MustCompile(`\b20\d\d-\d{4,}\b`), regexp.MustCompile(`\bTest[A-Z]\w*`)
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 {
			continue
		}
		tests := test.FindAllString(cells[4], -1)
		for _, cve := range number.FindAllString(cells[1], -1) {
			seen[cve] = len(tests) > 0
		}
	}
	for _, cve := range published {
		if !seen[cve] {
			t.Errorf("security.md has no line with a test for %s", cve)
		}
	}
	for _, name := range regexp.MustCompile(`\b\w+\.txtar\b`).FindAllString(string(data), -1) {
		if _, err := os.Stat("../tests/integration/testdata/script/" + name); err != nil {
			t.Errorf("security.md names a script that is not there: %v", err)
		}
	}
	kernels := []string{"complete_walk", "path_is_under"}
	for _, m := range regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`").FindAllStringSubmatch(string(data), -1) {
		if !slices.Contains(kernels, m[1]) && !inStage(t, m[1]) {
			t.Errorf("security.md names %s, which is no function of the stage's", m[1])
		}
	}
	packages := []string{"../tests/integration", "../internal/plan", "../libcontainer", "../rootfs", "../internal/checkpoint", "../internal/compile", "../internal/store", "../cgroups", "../internal/seccomp", "../tests/fuzz/seeds"}
	for _, name := range test.FindAllString(string(data), -1) {
		if !slices.ContainsFunc(packages, func(dir string) bool { return declared(dir, name, true) == nil }) {
			t.Errorf("security.md names %s, which is no test", name)
		}
	}
}

// inStage reports whether the stage has a function with this name.
func inStage(t *testing.T, name string) bool {
	t.Helper()
	sources, err := filepath.Glob("../nsenter/stage/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%v: %v", sources, err)
	}
	defined := regexp.MustCompile(`(?m)^\w.*\b` + name + `\([^;]*$`)
	return slices.ContainsFunc(sources, func(source string) bool {
		data, err := os.ReadFile(source)
		return err == nil && defined.Match(data)
	})
}
