package main

import (
	"errors"

	"davit/internal/cli"
	"davit/libcontainer"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "let the process of a created container go",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit start web`,
		Flags: []cli.Flag{traceFlag()},
		Action: verb(func(c *cli.Context) error {
			trace := newTrace(c)
			start := func(container *libcontainer.Container) error { return container.Start(trace) }
			return errors.Join(change(start)(c), trace.Close())
		}),
	}
}
