package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"davit/internal/cli"
	"davit/internal/jsonx"
	"davit/internal/show"
	"davit/libcontainer"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the containers",
		Description: `example:
  davit list --format json
  davit list --all-roots           # also those of engines`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "table or json", Value: "table"},
			&cli.BoolFlag{Name: "all-roots", Usage: "list the containers of all engines' roots below /run; as JSON: objects with root and containers"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only the ids"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			format, err := outputFormat(c, "table", "json")
			if err != nil {
				return err
			}
			if c.Bool("all-roots") {
				return listRoots(c, format)
			}
			s := newRuntime(c)
			ids, err := s.List()
			if err != nil {
				return err
			}
			if c.Bool("quiet") {
				for _, id := range ids {
					fmt.Println(id)
				}
				return nil
			}
			if format == "json" {
				return listJSON(s, ids)
			}
			if err := listTable(s, ids); err != nil || len(ids) > 0 {
				return err
			}
			nameOtherRoots(c)
			return nil
		}),
	}
}

// each calls f for every container that still exists.
func each(s *libcontainer.Runtime, ids []string, f func(*libcontainer.Container)) {
	for _, id := range ids {
		c, err := s.Look(id)
		if err != nil {
			continue // it was deleted in between
		}
		f(c)
		c.Close()
	}
}

func listTable(s *libcontainer.Runtime, ids []string) error {
	w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
	listRows(w, s, ids, "")
	return w.Flush()
}

// listRows writes a line for each container, which ends with behind.
func listRows(w io.Writer, s *libcontainer.Runtime, ids []string, behind string) {
	each(s, ids, func(c *libcontainer.Container) {
		if c.Broken != nil {
			fmt.Fprintf(w, "%s\t0\t%s\t%v\t\t%s%s\n", c.ID, brokenStatus(c), show.Line(c.Broken.Error()), show.Line(c.Owner()), behind)
			return
		}
		pid := c.Pid
		status := c.Status()
		if status == "stopped" {
			pid = 0
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s%s\n", c.ID, pid, status, show.Line(c.Bundle), show.Line(c.Created), show.Line(c.Owner()), behind)
	})
}

// brokenStatus returns "foreign" for a container that another runtime or a newer davit manages,
// otherwise "broken".
func brokenStatus(c *libcontainer.Container) string {
	var foreign *libcontainer.ForeignError
	if errors.As(c.Broken, &foreign) {
		return "foreign"
	}
	return "broken"
}

// writeBroken writes what is known of a container whose state cannot be read. It uses property
// names of a state, which decoders know, and leaves out the unknown ones.
func writeBroken(e *jsonx.Encoder, c *libcontainer.Container) {
	e.Object()
	e.Key("id")
	e.String(c.ID)
	e.Key("pid")
	e.Int(0)
	e.Key("status")
	e.String(brokenStatus(c))
	e.Key("owner")
	e.String(c.Owner())
	e.Key("error")
	e.String(c.Broken.Error())
	e.EndObject()
}

func listJSON(s *libcontainer.Runtime, ids []string) error {
	var e jsonx.Encoder
	writeList(&e, s, ids)
	return printLine(&e)
}

// writeList writes an array of states.
func writeList(e *jsonx.Encoder, s *libcontainer.Runtime, ids []string) {
	e.Array()
	each(s, ids, func(c *libcontainer.Container) {
		if c.Broken != nil {
			writeBroken(e, c)
			return
		}
		writeState(e, c)
	})
	e.EndArray()
}
