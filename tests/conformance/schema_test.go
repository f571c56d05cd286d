package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xeipuuv/gojsonschema"
)

// TestSchema validates davit's output against the JSON schemas of the runtime-spec that it
// implements. The everyday tests decode and validate the schemas' examples (spec:TestSpecExamples).
func TestSchema(t *testing.T) {
	davit := os.Getenv("DAVIT")
	if davit == "" || os.Geteuid() != 0 {
		t.Fatal("run as root, with DAVIT=FILE")
	}
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec")
	list.Dir = "../.." // davit's module, because this one requires an older runtime-spec
	dir, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	schema := strings.TrimSpace(string(dir)) + "/schema/"
	bundle := t.TempDir()
	root := t.TempDir()
	id := fmt.Sprintf("schema-%d", os.Getpid())
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(davit, append([]string{"--root", root}, args...)...)
		cmd.Dir = bundle
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("davit %s: %v\n%s", args, err, &stderr)
		}
		return string(out)
	}
	valid := func(what, kind string, document gojsonschema.JSONLoader) {
		t.Helper()
		result, err := gojsonschema.Validate(gojsonschema.NewReferenceLoader("file://"+schema+kind+"-schema.json"), document)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, e := range result.Errors() {
			t.Errorf("%s: %s", what, e)
		}
	}
	for _, args := range [][]string{{"spec", "--rootless"}, {"spec"}} {
		os.Remove(bundle + "/config.json")
		run(args...)
		valid(strings.Join(args, " "), "config", gojsonschema.NewReferenceLoader("file://"+bundle+"/config.json"))
	}
	valid("features", "features", gojsonschema.NewStringLoader(run("features")))

	if err := os.MkdirAll(bundle+"/rootfs/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(bundle+"/rootfs/bin/sh", data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	config, _ := os.ReadFile(bundle + "/config.json")
	text := strings.Replace(string(config), `"terminal": true`, `"terminal": false`, 1)
	text = strings.Replace(text, `"linux": {`, `"annotations": {"a.b": "c"}, "linux": {"cgroupsPath": "/davit-`+id+`",`, 1)
	if err := os.WriteFile(bundle+"/config.json", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	create := exec.Command(davit, "--root", root, "create", "--bundle", bundle, id)
	log, err := os.Create(filepath.Join(bundle, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	create.Stdout, create.Stderr = log, log // the container keeps it open
	if err := create.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("create: %v\n%s", err, said)
	}
	state := run("state", id)
	run("delete", "--force", id)
	valid("state", "state", gojsonschema.NewStringLoader(state))
}
