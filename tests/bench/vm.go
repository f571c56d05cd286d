package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// measureInVM takes the rows that need controllers of cgroup v2 which this host lacks from
// a benchmark in a virtual machine. Its times mean nothing; limits of memory do.
func (r *report) measureInVM(o options) error {
	dir, err := os.MkdirTemp("", "davit-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/bench", self, 0o755); err != nil {
		return err
	}
	if err := copyProgram(o.davit, dir+"/davit"); err != nil && !os.IsNotExist(err) {
		return err
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(o.source), "vm/run"), "--bind", dir, "--", dir+"/bench", "-davit",
		dir+"/davit", "-root", o.root, "-views", string(unified), "-rows", lowestMemory, "-out", dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("benchmark in a virtual machine: %w", err)
	}
	data, err := os.ReadFile(dir + "/bench.json")
	if err != nil {
		return err
	}
	var found report
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	for _, row := range found.Rows {
		row.Name += ", in a virtual machine (" + found.Host + ")"
		r.Rows = append(r.Rows, row)
	}
	return nil
}
