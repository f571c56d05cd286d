package main

import (
	"errors"

	"davit/internal/cli"
	"davit/libcontainer"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create a container, start it, wait for its end, and delete it",
		ArgsUsage: "CONTAINER",
		Description: `Without --detach, signals are forwarded and the exit status is that of the process
(128 and the signal's number if one ended it).

example (in a bundle):
  davit run --detach web`,
		Flags: append(creationFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return once the process runs"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when its process has ended"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not reap what the container's processes leave behind"},
		),
		Action: verb(func(c *cli.Context) error {
			o := libcontainer.RunOptions{Detach: c.Bool("detach"), Keep: c.Bool("keep"), NoSubreaper: c.Bool("no-subreaper")}
			var err error
			if o.CreateOptions, err = createOptions(c); err != nil {
				return err
			}
			status, err := store(c).Run(o)
			err = errors.Join(err, o.Trace.Close())
			if err == nil && status != 0 {
				return exitStatus(status)
			}
			return err
		}),
	}
}
