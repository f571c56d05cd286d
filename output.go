package main

import (
	"fmt"
	"os"

	"davit/internal/cli"
	"davit/internal/jsonx"
)

// outputFormat returns the value of --format, which is one of the two.
func outputFormat(c *cli.Context, people, programs string) (string, error) {
	f := c.String("format")
	if f != people && f != programs {
		return "", usage(fmt.Errorf("--format: %q: %s or %s", f, people, programs))
	}
	return f, nil
}

// printLine writes what was encoded to standard output, with a line break.
func printLine(e *jsonx.Encoder) error {
	e.Newline()
	_, err := os.Stdout.Write(e.Bytes())
	return err
}
