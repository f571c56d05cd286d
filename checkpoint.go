package main

import (
	"errors"

	"davit/internal/cli"
)

// Engines ask for these only on a user's behalf; what `features` says keeps
// those that look there from asking.
func checkpointCommand() *cli.Command {
	return refusedCommand("checkpoint", "save the processes of a container to disk",
		"not supported: davit cannot save a container's processes (CRIU) yet; the container was not touched")
}

func restoreCommand() *cli.Command {
	return refusedCommand("restore", "make a container from a checkpoint",
		"not supported: davit cannot restore a container from a checkpoint (CRIU) yet; nothing was made")
}

func refusedCommand(name, usage, why string) *cli.Command {
	refused := errors.New(name + ": " + why)
	return &cli.Command{
		Name:      name,
		Usage:     usage + " (not supported yet)",
		ArgsUsage: "CONTAINER",
		AnyFlags:  true, // whatever they are, the answer is the same
		Refused:   refused,
		Action:    func(*cli.Context) error { return refused },
	}
}
