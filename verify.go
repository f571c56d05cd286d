package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"davit/internal/cli"
	"davit/internal/inspect/running"
	"davit/internal/jsonx"
	"davit/internal/show"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare a running container with its config",
		ArgsUsage: "CONTAINER",
		Description: `davit compares namespaces, mounts, masked and read-only paths, cgroup limits, user, capabilities,
seccomp, LSM label and rlimits, and prints each difference. The exit status is 3 if there is one.
It does not compare device rules and sysctls.

example:
  davit verify web`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "table or json", Value: "table"}},
		Action: verb(func(c *cli.Context) error {
			format, err := outputFormat(c, "table", "json")
			if err != nil {
				return err
			}
			container, err := open(c)
			if err != nil {
				return err
			}
			defer container.Close()
			drifts, err := container.Verify()
			if err != nil {
				return err
			}
			if err := printDrifts(drifts, format); err != nil {
				return err
			}
			if len(drifts) > 0 {
				return exitStatus(3)
			}
			return nil
		}),
	}
}

func printDrifts(drifts []running.Drift, format string) error {
	if format == "json" {
		var e jsonx.Encoder
		e.Array()
		for _, d := range drifts {
			e.Object()
			e.Key("field")
			e.String(d.Field)
			e.Key("want")
			e.String(d.Want)
			e.Key("have")
			e.String(d.Have)
			e.EndObject()
		}
		e.EndArray()
		return printLine(&e)
	}
	if len(drifts) == 0 {
		fmt.Println("no drift")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "FIELD\tWANT\tHAVE")
	for _, d := range drifts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", show.Line(d.Field), show.Line(d.Want), show.Line(d.Have))
	}
	return w.Flush()
}
