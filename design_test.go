package main

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/design.md must not name anything that is gone: every `file:function` in it exists.
func TestDesignNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([a-z/_]+\\.(?:go|c)):([A-Za-z_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 10 {
		t.Fatalf("only %d functions named: the table is gone, or written differently", len(names))
	}
	for _, n := range names {
		source, err := os.ReadFile(n[1])
		if err != nil {
			t.Errorf("docs/design.md: %v", err)
			continue
		}
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?` + n[2] + `\(|[a-z_].*\b` + n[2] + `\()`)
		if !declared.Match(source) {
			t.Errorf("docs/design.md names %s in %s, which has no such function", n[2], n[1])
		}
	}
}

// Imports go one way, as docs/design.md says: each package imports only packages with a lower rank.
func TestImportsGoOneWay(t *testing.T) {
	rank := map[string]int{"internal/sys": 0, "internal/show": 0, "internal/cli": 0, "internal/jsonx": 0, "internal/memfd": 1, "internal/log": 0, "internal/fault": 0, "internal/criu": 1,
		"internal/config": 1, "internal/host": 1, "internal/plan": 2, "rootfs": 3, "internal/process": 3,
		"internal/seccomp": 2, "cgroups": 3, "nsenter": 3, "internal/netdev": 3, "internal/resctrl": 3, "internal/compile": 4, "internal/diagnose": 4, "internal/trace": 4,
		"internal/store": 5, "internal/launch": 6, "internal/foreign": 6, "internal/checkpoint": 7, "internal/inspect": 7, "libcontainer": 8, ".": 9}
	room := func(importPath string) string { // the package, or the one that contains it
		names := strings.SplitN(strings.TrimPrefix(importPath, "davit/"), "/", 3)
		if names[0] == "internal" && len(names) > 1 {
			return names[0] + "/" + names[1]
		}
		return names[0]
	}
	dirs := []string{"."}
	for name := range rank {
		if name == "." {
			continue
		}
		err := filepath.WalkDir(name, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range dirs {
		p, err := build.ImportDir(dir, 0)
		if err != nil || p.Name == "main" && dir != "." {
			continue // it has no Go code, or is a generator
		}
		from := room(dir)
		for _, path := range p.Imports {
			if !strings.HasPrefix(path, "davit/") || room(path) == from {
				continue
			}
			to, known := rank[room(path)]
			// rootfs shows a container its cgroups, and takes their list from cgroups. resctrl
			// fills its part of the statistics.
			beside := path == "davit/cgroups" && from == "rootfs" || path == "davit/cgroups/stats" && from == "internal/resctrl"
			if !known || to >= rank[from] && !beside {
				t.Errorf("%s imports %s", dir, path)
			}
		}
	}
}

// The library names options as Go code does. Only package main names the command line's flags
// (withFlags). There are two exceptions. Whole commands in backquotes are advice (package store
// builds them). And texts of package inspect are about engines' configurations.
func TestLibraryNamesNoFlags(t *testing.T) {
	flag := regexp.MustCompile(`(^|[ (])--[a-z]`)
	quoted := regexp.MustCompile("`[^`]*`|^(davit|delete) --.*")
	for _, top := range []string{"libcontainer", "internal", "rootfs", "cgroups", "nsenter"} {
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasPrefix(path, "internal/cli/") || strings.HasPrefix(path, "internal/inspect/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if l, is := n.(*ast.BasicLit); is && l.Kind == token.STRING {
					if text, err := strconv.Unquote(l.Value); err == nil && flag.MatchString(quoted.ReplaceAllString(text, "")) {
						t.Errorf("%s: %s", path, l.Value)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoticeNamesWhatIsLinked: NOTICE has every module that is in the program.
func TestNoticeNamesWhatIsLinked(t *testing.T) {
	notice, err := os.ReadFile("NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range strings.Fields(string(list)) {
		if module != "davit" && !strings.Contains(string(notice), " "+module+" ") {
			t.Errorf("NOTICE does not name %s", module)
		}
	}
}

// rawOpens says how many calls that make a descriptor each package has outside internal/sys. They
// belong there, where they handle EINTR, set close-on-exec, and return an owned descriptor. The
// numbers may only shrink.
var rawOpens = map[string]int{
	".": 4, "cgroups": 2, "cgroups/fs": 2, "cgroups/systemd": 1, "internal/checkpoint": 10, "internal/criu": 4, "internal/diagnose": 3,
	"internal/foreign": 1, "internal/host": 8, "internal/inspect/bundles": 1, "internal/inspect/running": 3, "internal/launch": 22, "internal/memfd": 6, "internal/netdev": 1, "internal/seccomp": 2,
	"internal/store": 8, "libcontainer": 4, "nsenter": 3,
}

// TestRawOpens: no package gets more of these calls.
func TestRawOpens(t *testing.T) {
	raw := regexp.MustCompile(`unix\.(Open|Openat|Openat2|OpenTree|Socket|Socketpair|Pipe2|PidfdOpen|MemfdCreate|Fsopen|Fsmount)\(`)
	found := map[string]int{}
	for _, top := range []string{".", "cgroups", "internal", "libcontainer", "nsenter", "rootfs"} {
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && top == "." && path != "." {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			source, err := os.ReadFile(path)
			if n := len(raw.FindAll(source, -1)); n > 0 {
				found[filepath.ToSlash(filepath.Dir(path))] += n
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	delete(found, "internal/sys")
	for dir, n := range found {
		if n > rawOpens[dir] {
			t.Errorf("%s has %d calls that make a descriptor, and had %d: use internal/sys", dir, n, rawOpens[dir])
		}
	}
	for dir, n := range rawOpens {
		if found[dir] < n {
			t.Errorf("%s has %d calls that make a descriptor: write that down in place of %d", dir, found[dir], n)
		}
	}
}
