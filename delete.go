package main

import (
	"errors"

	"davit/internal/cli"
	"davit/internal/fault"
	"davit/libcontainer"
)

func deleteCommand() *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "remove a stopped container",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit delete --force web`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill a running container first (SIGKILL); ignore a missing one"},
			regexFlag(),
		},
		Action: verb(func(c *cli.Context) error {
			id, err := containerID(c)
			if err != nil {
				return err
			}
			return forEach(c, id, func(id string) error { return deleteContainer(newRuntime(c), id, c.Bool("force")) })
		}),
	}
}

func deleteContainer(s *libcontainer.Runtime, id string, force bool) error {
	find := s.OpenLocked
	if force {
		find = s.OpenForced
	}
	container, err := find(id)
	if err != nil {
		if force && errors.Is(err, libcontainer.ErrNotFound) {
			return nil
		}
		return err
	}
	defer container.Close()
	if container.Broken != nil && !force {
		return fault.WithHint(container.Broken, "use --force to remove it all the same")
	}
	return container.Delete(force)
}
