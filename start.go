package main

import "davit/cli"

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "let the process of a created container go",
		ArgsUsage: "CONTAINER",
		Action: verb(func(c *cli.Context) error {
			container, err := open(c, false)
			if err != nil {
				return err
			}
			defer container.Close()
			return container.Start()
		}),
	}
}
