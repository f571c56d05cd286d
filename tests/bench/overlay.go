package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// overlayRow compares davits that were built with parts of the overlay of Go's runtime
// (build/overlay, docs/go-runtime.md). A part that no longer saves anything should be removed.
const overlayRow = "parts of the overlay"

// overlayParts has the parts of build/overlay.
var overlayParts = []string{"nolimit", "oneproc", "sysmon", "sigmask", "bigstack", "noprofile", "lategc", "latemon", "sigread", "unread"}

// overlayBuilds returns the names of the davits to compare, and the parts with which each is built.
func overlayBuilds() (names []string, parts map[string]string) {
	parts = map[string]string{}
	add := func(name string, with []string) {
		names = append(names, name)
		parts[name] = strings.Join(with, " ")
	}
	add("all parts", overlayParts)
	add("no part", nil)
	for i, left := range overlayParts {
		var others []string
		others = append(append(others, overlayParts[:i]...), overlayParts[i+1:]...)
		add("without "+left, others)
	}
	return names, parts
}

func overlayPath(name string) string {
	return toolsDir + "/davit-" + strings.ReplaceAll(name, " ", "-")
}

// buildOverlays builds these davits, and puts them where the benchmark finds them.
func buildOverlays(o options) error {
	top := filepath.Join(o.source, "../..")
	names, parts := overlayBuilds()
	for _, name := range names {
		out := "bin/overlay/davit" // PARTS="" would mean all parts
		overlay := "auto"
		if parts[name] == "" {
			overlay = "no"
		}
		build := exec.Command("make", "-s", "-C", top, "DAVIT_OUT="+out, "OVERLAY="+overlay, "PARTS="+parts[name])
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build davit with %s: %w", name, err)
		}
		if overlay == "auto" {
			if said, err := exec.Command(filepath.Join(top, out), "--version").Output(); err != nil {
				return err
			} else if !regexp.MustCompile(`\(with davit's overlay\)`).Match(said) {
				return nil // the overlay does not fit this Go; make has said so
			}
		}
		if err := copyProgram(filepath.Join(top, out), o.root+overlayPath(name)); err != nil {
			return err
		}
	}
	return nil
}

// overlayRows measures `run` and --version of each build.
func (c *contest) overlayRows() error {
	var who []contestant
	names, _ := overlayBuilds()
	for _, name := range names {
		w := contestant{name: name, path: overlayPath(name)}
		if _, err := os.Stat(w.path); err != nil {
			return nil
		}
		who = append(who, w)
	}
	runs, err := c.runs(who, standard, c.times(300, 40))
	if err != nil {
		return err
	}
	delete(runs, floorName)
	c.enter("run with "+overlayRow, "ms", runs)
	versions := c.alternate(who, c.times(200, 30), func(w contestant, note func(string, sample)) error {
		s, err := c.run(w.path, "--version")
		note("version", s)
		return err
	})
	c.enter("--version with "+overlayRow, "ms", versions["version"])
	return nil
}
