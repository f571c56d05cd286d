package main

import (
	"errors"

	"davit/internal/cli"
	"davit/libcontainer"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start a created container",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit start web`,
		Flags: []cli.Flag{traceFlag()},
		Action: verb(func(c *cli.Context) error {
			trace := newTrace(c)
			start := func(container *libcontainer.Container) error { return container.Start(trace) }
			return errors.Join(change(start)(c), closeTrace(c, trace))
		}),
	}
}
