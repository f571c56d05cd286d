package main

import (
	"fmt"

	"davit/internal/cli"
	"davit/internal/fault"
	"davit/internal/jsonx"
	"davit/libcontainer"
)

func stateCommand() *cli.Command {
	return &cli.Command{
		Name:      "state",
		Usage:     "print the state of a container as JSON",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit state web`,
		Action: verb(func(c *cli.Context) error {
			container, err := open(c)
			if err != nil {
				return err
			}
			defer container.Close()
			if container.Broken != nil {
				return fault.WithHint(container.Broken, fmt.Sprintf("`davit delete --force %s` removes it", container.ID))
			}
			e := jsonx.Encoder{Indent: "  "}
			writeState(&e, container)
			return printLine(&e)
		}),
	}
}

// writeState writes the state that runtime.md describes, and what runc adds.
func writeState(e *jsonx.Encoder, c *libcontainer.Container) {
	status := c.Status()
	pid := c.Pid
	if status == "stopped" {
		pid = 0
	}
	e.Object()
	e.Key("ociVersion")
	e.String(c.OCIVersion)
	e.Key("id")
	e.String(c.ID)
	e.Key("pid")
	e.Int(int64(pid))
	e.Key("status")
	e.String(string(status))
	e.Key("bundle")
	e.String(c.Bundle)
	e.Key("rootfs")
	e.String(c.Rootfs)
	e.Key("created")
	e.String(c.Created)
	if len(c.Annotations) > 0 {
		e.Key("annotations")
		e.StringMap(c.Annotations)
	}
	e.Key("owner")
	e.String(c.Owner())
	if c.Taken != nil {
		e.Key("maker")
		e.String(c.Taken.Maker())
	}
	e.EndObject()
}
