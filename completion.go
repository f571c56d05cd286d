package main

import (
	"os"

	"davit/internal/cli"
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `example:
  davit completion bash > /etc/bash_completion.d/davit`,
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			return c.App.Completion(os.Stdout, c.Args().First())
		}),
	}
}
