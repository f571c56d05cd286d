package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneratedFilesAreCurrent runs the generator as the go:generate lines do.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for _, c := range []struct {
		dir, file string
		o         options
	}{
		{"sample", "sample_json.go", options{names: []string{"Sample"}}},
		{"../../internal/config/specjson", "specjson.go", options{pkg: "github.com/opencontainers/runtime-spec/specs-go", pkgName: "specjson", export: true,
			names: []string{"Spec"}}},
		{"../../internal/config/featuresjson", "features.go", options{pkg: "github.com/opencontainers/runtime-spec/specs-go/features", pkgName: "featuresjson", export: true,
			only: "encode", names: []string{"Features"}}},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Chdir(c.dir)
			want, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			c.o.platform = "linux"
			c.o.out = filepath.Join(t.TempDir(), c.file)
			if err := run(c.o); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(c.o.out)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s is out of date: run go generate there", c.file)
			}
		})
	}
}

func TestRefusedTypes(t *testing.T) {
	for field, want := range map[string]string{
		"interface{}":             "type interface{} is not supported",
		"[]byte":                  "type []byte is not supported: use a string",
		"[4]int":                  "type [4]int is not supported",
		"chan int":                "type chan int is not supported",
		"complex128":              "type complex128 is not supported",
		"map[int]string":          "type map[int]string is not supported: its keys are no strings",
		"struct{ B int }":         "a struct without a name is not supported",
		"int `json:\"a,string\"`": `json tag option "string" is not supported`,
	} {
		t.Chdir(t.TempDir())
		src := "package p\n\ntype T struct {\n\tA " + field + "\n}\n"
		if err := os.WriteFile("p.go", []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("go.mod", []byte("module p\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := run(options{names: []string{"T"}, out: "out.go"})
		if err == nil || !strings.Contains(err.Error(), "field A: "+want) {
			t.Errorf("%s: got %v, want %s", field, err, want)
		}
	}
}
