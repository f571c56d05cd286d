package main

import (
	"os"
	"path/filepath"

	"davit/cli"
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
			return c.App.Completion(os.Stdout, c.Args().First(), "davit list --quiet")
		}),
	}
}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "write the manual pages to a directory",
		ArgsUsage: "DIRECTORY",
		Description: `example:
  davit man /usr/local/share/man/man8`,
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			dir := c.Args().First()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := writeMan(c.App, dir, ""); err != nil {
				return err
			}
			for _, cmd := range c.App.Commands() {
				if err := writeMan(c.App, dir, cmd.Name); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func writeMan(a *cli.App, dir, verb string) error {
	name := a.Name
	if verb != "" {
		name += "-" + verb
	}
	f, err := os.Create(filepath.Join(dir, name+".8"))
	if err != nil {
		return err
	}
	// The version stands where others have a date: the same build writes the same pages.
	if err := a.Man(f, verb, "davit "+version); err != nil {
		return err
	}
	return f.Close()
}
