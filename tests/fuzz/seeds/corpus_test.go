package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCorpus gives the stage what its fuzzer has kept and found. That needs no clang: gcc's sanitizers see it, too.
func TestCorpus(t *testing.T) {
	dir := t.TempDir()
	sources, _ := filepath.Glob("../../../nsenter/stage/*")
	for _, file := range append(sources, "../stage.c") {
		if _, err := os.ReadFile(file); err != nil { // so that go test knows what the result depends on
			t.Fatal(err)
		}
	}
	for _, c := range [][]string{
		{"gcc", "-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-builtin", "-c", "-o", dir + "/stage.o", "../stage.c"},
		{"objcopy", "--redefine-sym", "_start=stage_start", dir + "/stage.o"}, // libc has one, too
		{"gcc", "-fsanitize=address,undefined", "-o", dir + "/stage", dir + "/stage.o", "testdata/main.c"},
		{"mkdir", dir + "/seeds"},
		{"go", "run", ".", dir + "/seeds"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c[0], err, out)
		}
	}
	inputs, _ := filepath.Glob("../corpus/*")
	seeds, _ := filepath.Glob(dir + "/seeds/*")
	if len(inputs) == 0 || len(seeds) == 0 {
		t.Fatalf("%d inputs, %d seeds", len(inputs), len(seeds))
	}
	if out, err := exec.Command(dir+"/stage", append(inputs, seeds...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
