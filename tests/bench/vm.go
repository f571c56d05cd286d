package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// measureInVM takes some rows from a benchmark in a virtual machine: those for which this host's
// cgroup v2 lacks controllers. The times of that benchmark mean nothing, but its memory limits do.
func (r *report) measureInVM(o options) error {
	found, err := inVM(o, nil, "-rows", lowestMemory)
	if err != nil {
		return err
	}
	for _, row := range found.Rows {
		row.Name += ", in a virtual machine (" + found.Host + ")"
		r.Rows = append(r.Rows, row)
	}
	return nil
}

// inVM runs a benchmark in a virtual machine, with options for tests/vm/run and for the benchmark,
// and returns its report.
func inVM(o options, machine []string, args ...string) (*report, error) {
	dir, err := os.MkdirTemp("", "davit-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(dir+"/bench", self, 0o755); err != nil {
		return nil, err
	}
	if err := copyProgram(o.davit, dir+"/davit"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	argv := append(slices.Clip(machine), "--bind", dir, "--", dir+"/bench", "-davit", dir+"/davit", "-root", o.root, "-views", string(unified), "-out", dir)
	cmd := exec.Command(filepath.Join(filepath.Dir(o.source), "vm/run"), append(argv, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("benchmark in a virtual machine: %w", err)
	}
	data, err := os.ReadFile(dir + "/bench.json")
	if err != nil {
		return nil, err
	}
	var found report
	return &found, json.Unmarshal(data, &found)
}
