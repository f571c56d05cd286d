package main

import (
	"errors"
	"fmt"
	"os"

	"davit/internal/inspect"
	"davit/libcontainer"
)

// checkAdopt prints which containers in a directory of states davit would manage, and which not. It
// changes nothing.
func checkAdopt(root, format string) error {
	if info, err := os.Stat(root); err != nil {
		return usage(fmt.Errorf("--adopt: %w", err))
	} else if !info.IsDir() {
		return usage(fmt.Errorf("--adopt: %s is not a directory", root))
	}
	rt := runtimeAt(root)
	ids, err := rt.List()
	if err != nil {
		return err
	}
	var findings []inspect.Finding
	each(rt, ids, func(c *libcontainer.Container) { findings = append(findings, adoptable(c)) })
	if len(findings) == 0 && format == "text" {
		fmt.Printf("there are no containers in %s\n", root)
	}
	return printFindings("adopt", findings, format)
}

// adoptable returns what davit can do with one container.
func adoptable(c *libcontainer.Container) inspect.Finding {
	f := inspect.Finding{Level: inspect.OK, Where: c.ID}
	info := c.Info()
	maker := info.Maker
	if maker == "" {
		maker = "davit"
	}
	var foreign *libcontainer.ForeignError
	switch {
	case errors.As(c.Broken, &foreign):
		f.Level, f.Text, f.Hint = inspect.Error, c.Broken.Error(), "keep "+foreign.Maker+"'s binary until this container is gone"
	case c.Broken != nil:
		f.Level, f.Text = inspect.Error, c.Broken.Error()
	default:
		f.Text = fmt.Sprintf("%s, made by %s, process %d", info.Status, maker, info.Pid)
		if _, err := c.Spec(); err != nil && info.Pid > 0 {
			f.Level, f.Text, f.Hint = inspect.Warning, f.Text+": exec and update will fail: "+err.Error(), "all other verbs work"
		}
	}
	return f
}
