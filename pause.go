package main

import (
	"davit/internal/cli"
	"davit/libcontainer"
)

func pauseCommand() *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "freeze all processes of a container until resume",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit pause web`,
		Action: verb(change((*libcontainer.Container).Pause)),
	}
}

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "let the processes of a paused container go on",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit resume web`,
		Action: verb(change((*libcontainer.Container).Resume)),
	}
}

// change returns the action of a verb that changes one container.
func change(do func(*libcontainer.Container) error) func(*cli.Context) error {
	return func(c *cli.Context) error {
		id, err := containerID(c)
		if err != nil {
			return err
		}
		container, err := newRuntime(c).OpenLocked(id)
		if err != nil {
			return err
		}
		defer container.Close()
		return do(container)
	}
}
