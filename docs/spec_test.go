// Package docs has only tests of the documents.
package docs

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// fields returns, by reflection, the paths of all properties that a Linux container's config can
// have: mounts[].options, linux.sysctl{}.
func fields() []string {
	var list []string
	walk(reflect.TypeFor[specs.Spec](), "", func(path string) { list = append(list, path) })
	sort.Strings(list)
	return list
}

func walk(t reflect.Type, path string, found func(string)) {
	switch t.Kind() {
	case reflect.Pointer:
		walk(t.Elem(), path, found)
	case reflect.Slice:
		walk(t.Elem(), path+"[]", found)
	case reflect.Map:
		walk(t.Elem(), path+"{}", found)
	case reflect.Struct:
		walkStruct(t, path, found)
	default:
		found(strings.TrimPrefix(path, "."))
	}
}

func walkStruct(t reflect.Type, path string, found func(string)) {
	for i := range t.NumField() {
		f := t.Field(i)
		if platforms := f.Tag.Get("platform"); platforms != "" && !slices.Contains(strings.Split(platforms, ","), "linux") {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			walk(f.Type, path, found)
			continue
		}
		walk(f.Type, path+"."+name, found)
	}
}

// row is a row of the table in spec.md: | `field` | code | test |.
type row struct{ field, code, test string }

func table(t *testing.T) []row {
	text, err := os.ReadFile("spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || !strings.HasPrefix(strings.TrimSpace(cells[0]), "`") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, row{strings.Trim(cells[0], "`"), cells[1], cells[2]})
	}
	return rows
}

// TestEveryField: the table has each field once, no other fields, and no empty cells.
func TestEveryField(t *testing.T) {
	want := fields()
	have := make(map[string]bool)
	for _, r := range table(t) {
		if have[r.field] {
			t.Errorf("%s: twice", r.field)
		}
		have[r.field] = true
		if !slices.Contains(want, r.field) {
			t.Errorf("%s: specs.Spec has no such field", r.field)
		}
		if r.code == "" || r.test == "" {
			t.Errorf("%s: an empty cell", r.field)
		}
	}
	for _, f := range want {
		if !have[f] {
			t.Errorf("%s: missing", f)
		}
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// TestCellsAreTrue: everything that a cell names exists. The code is a step of the plan, or a
// file:function that handles the field. The test is a script, a Go test as package.Test, or a
// validation program.
func TestCellsAreTrue(t *testing.T) {
	for _, r := range table(t) {
		for i, cell := range []string{r.code, r.test} {
			names := quoted.FindAllStringSubmatch(cell, -1)
			if len(names) == 0 {
				t.Errorf("%s: %q names nothing", r.field, cell)
			}
			for _, n := range names {
				check := isCode
				if i == 1 {
					check = isTest
				}
				if err := check(n[1]); err != nil {
					t.Errorf("%s: %v", r.field, err)
				}
			}
		}
	}
}

// isCode accepts the names of steps (types of internal/plan/steps.go), and DIRECTORY:FUNCTION.
func isCode(name string) error {
	dir, function, ok := strings.Cut(name, ":")
	if !ok {
		dir, function = "plan", name
	}
	return declared(room(dir), function, false)
}

// isTest accepts SCRIPT.txtar, misuses.txt, DIRECTORY:TestName, and conformance:PROGRAM.
func isTest(name string) error {
	switch dir, test, ok := strings.Cut(name, ":"); {
	case strings.HasSuffix(name, ".txtar"):
		_, err := os.Stat("../tests/integration/testdata/script/" + name)
		return err
	case name == "misuses.txt":
		_, err := os.Stat("../tests/integration/testdata/" + name)
		return err
	case ok && dir == "conformance":
		mod, err := os.ReadFile("../tests/conformance/go.mod")
		if err == nil && !strings.Contains(string(mod), "/validation/"+test+"\n") {
			err = fmt.Errorf("no validation program %s", test)
		}
		return err
	case ok:
		return declared(room(dir), test, true)
	}
	return fmt.Errorf("%q is neither a script nor DIRECTORY:TEST", name)
}

// room returns the directory of a package, which may be one of internal/.
func room(name string) string {
	if _, err := os.Stat("../internal/" + name); err == nil {
		return "../internal/" + name
	}
	return "../" + name
}

var scopes = map[string]map[string]bool{}

// declared returns an error unless a directory's Go files declare the name.
func declared(dir, name string, tests bool) error {
	key := fmt.Sprint(dir, tests)
	if scopes[key] == nil {
		scopes[key] = make(map[string]bool)
		files, _ := filepath.Glob(dir + "/*.go")
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") != tests {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				for _, n := range declares(d) {
					scopes[key][n] = true
				}
			}
		}
	}
	if !scopes[key][name] {
		return fmt.Errorf("%s has no %s", dir, name)
	}
	return nil
}
