package main

import (
	"errors"

	"davit/cli"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "let the process of a created container go",
		ArgsUsage: "CONTAINER",
		Flags:     []cli.Flag{traceFlag()},
		Action: verb(func(c *cli.Context) error {
			container, err := open(c, false)
			if err != nil {
				return err
			}
			defer container.Close()
			trace := newTrace(c)
			return errors.Join(container.Start(trace), trace.Close())
		}),
	}
}
