package main

import (
	"os"
	"path/filepath"

	"davit/internal/cli"
	"davit/libcontainer"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "print the steps of create for a bundle, without doing them",
		ArgsUsage: "[CONTAINER]",
		Description: `Each step is printed with the field of config.json that it comes from.

example (in a bundle):
  davit explain --format json`,
		Flags: []cli.Flag{
			bundleFlag(),
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "text or json", Value: "text"},
			&cli.BoolFlag{Name: "no-pivot", Usage: "as for create"},
			&cli.BoolFlag{Name: "no-new-keyring", Usage: "as for create"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 0, 1); err != nil {
				return err
			}
			o := libcontainer.CreateOptions{
				ID: "CONTAINER", NoPivot: c.Bool("no-pivot"), NoNewKeyring: c.Bool("no-new-keyring"),
			}
			if err := cgroupManager(c, &o); err != nil {
				return err
			}
			if id := c.Args().First(); id != "" {
				o.ID = id
			}
			format, err := outputFormat(c, "text", "json")
			if err != nil {
				return err
			}
			if o.Bundle, err = filepath.Abs(c.String("bundle")); err != nil {
				return err
			}
			p, err := newRuntime(c).Explain(o)
			if err != nil {
				return err
			}
			p.RenameFields(withFlags)
			if format == "json" {
				_, err = os.Stdout.Write(p.JSON())
			} else {
				_, err = os.Stdout.WriteString(p.Text())
			}
			return err
		}),
	}
}
