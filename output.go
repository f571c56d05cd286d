package main

import (
	"fmt"
	"os"

	"davit/internal/cli"
	"davit/internal/jsonx"
)

// outputFormat returns the value of --format, which must be one of the two.
func outputFormat(c *cli.Context, people, programs string) (string, error) {
	f := c.String("format")
	if f != people && f != programs {
		return "", usage(fmt.Errorf("--format: %q: %s or %s", f, people, programs))
	}
	return f, nil
}

// printLine writes the encoded JSON and a line break to standard output.
func printLine(e *jsonx.Encoder) error {
	e.Newline()
	_, err := os.Stdout.Write(e.Bytes())
	return err
}
