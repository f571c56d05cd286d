package main

import (
	"fmt"
	"os"

	"davit/doctor"
	"davit/spec/jsonx"
)

// checkEngine prints what the doctor finds in an engine's configuration.
func checkEngine(name, format string) error {
	findings, err := doctor.Check(name, "")
	if err != nil {
		return usage(fmt.Errorf("--engine: %w", err))
	}
	if format == "json" {
		var e jsonx.Encoder
		e.Array()
		for _, f := range findings {
			e.Object()
			for _, p := range [...]struct{ key, value string }{{"level", string(f.Level)}, {"where", f.Where}, {"message", f.Text}, {"hint", f.Hint}} {
				if p.value != "" {
					e.Key(p.key)
					e.String(p.value)
				}
			}
			e.EndObject()
		}
		e.EndArray()
		e.Newline()
		os.Stdout.Write(e.Bytes())
	}
	wrong := false
	for _, f := range findings {
		wrong = wrong || f.Level == doctor.Error
		if format == "json" {
			continue
		}
		fmt.Printf("%s: %s: %s\n", f.Level, f.Where, f.Text)
		if f.Hint != "" {
			fmt.Printf("  hint: %s\n", f.Hint)
		}
	}
	if wrong {
		return exitStatus(3)
	}
	return nil
}
