package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"davit/internal/cli"
	"davit/internal/jsonx"
	"davit/internal/show"
)

// engineRoots are the directories in which the runtimes of engines keep their states, as patterns
// of filepath.Glob.
var engineRoots = [...]string{
	"/run/davit", "/run/runc", "/run/crun", "/run/user/*/davit", "/run/user/*/runc", "/run/user/*/crun",
	"/run/containerd/runc/*",         // containerd: one directory for each namespace
	"/run/docker/runtime-*/*",        // dockerd
	"/run/user/*/docker/runtime-*/*", // rootless dockerd
}

// root is a directory of states, with the ids of its containers.
type root struct {
	path string
	ids  []string
}

// findRoots returns the directories of states that contain containers: those below /run, and that
// of --root.
func findRoots(c *cli.Context) []root {
	paths := []string{newRuntime(c).Root}
	for _, pattern := range engineRoots {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			if path = filepath.Clean(path); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	var roots []root
	for _, path := range paths {
		if ids, err := runtimeAt(path).List(); err == nil && len(ids) > 0 {
			roots = append(roots, root{path, ids})
		}
	}
	return roots
}

// listRoots carries out list --all-roots.
func listRoots(c *cli.Context, format string) error {
	roots := findRoots(c)
	if c.Bool("quiet") {
		for _, r := range roots {
			for _, id := range r.ids {
				fmt.Println(id)
			}
		}
		return nil
	}
	if format == "json" {
		var e jsonx.Encoder
		e.Array()
		for _, r := range roots {
			e.Object()
			e.Key("root")
			e.String(r.path)
			e.Key("containers")
			writeList(&e, runtimeAt(r.path), r.ids)
			e.EndObject()
		}
		e.EndArray()
		return printLine(&e)
	}
	w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\tROOT")
	for _, r := range roots {
		listRows(w, runtimeAt(r.path), r.ids, "\t"+show.Line(r.path))
	}
	return w.Flush()
}

// nameOtherRoots is called if the list is empty. It says in which other directories there are
// containers, because each engine gives davit another one. It writes to standard error, since this
// is not part of the list.
func nameOtherRoots(c *cli.Context) {
	var names []string
	for _, r := range findRoots(c) {
		names = append(names, fmt.Sprintf("%s (%d)", show.Line(r.path), len(r.ids)))
	}
	if len(names) > 0 {
		fmt.Fprintf(os.Stderr, "none in %s, but in %s: davit list --all-roots, or --root DIRECTORY\n", show.Line(newRuntime(c).Root), strings.Join(names, ", "))
	}
}
