package main

import (
	"fmt"

	"davit/internal/inspect"
	"davit/internal/show"
)

// checkEngine prints what the doctor finds in an engine's configuration.
func checkEngine(name, format string) error {
	findings, err := inspect.Check(name, "")
	if err != nil {
		return usage(fmt.Errorf("--engine: %w", err))
	}
	if format == "json" {
		list := make([][]member, len(findings))
		for i, f := range findings {
			list[i] = []member{{"level", string(f.Level)}, {"where", f.Where}, {"message", f.Text}, {"hint", f.Hint}}
		}
		if err := printObjects(list); err != nil {
			return err
		}
	}
	wrong := false
	for _, f := range findings {
		wrong = wrong || f.Level == inspect.Error
		if format == "json" {
			continue
		}
		fmt.Printf("%s: %s: %s\n", f.Level, show.Line(f.Where), show.Line(f.Text))
		if f.Hint != "" {
			fmt.Printf("  hint: %s\n", show.Line(f.Hint))
		}
	}
	if wrong {
		return exitStatus(3)
	}
	return nil
}
