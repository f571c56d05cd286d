package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"davit/internal/cli"
	"davit/internal/inspect"
	"davit/internal/jsonx"
	"davit/internal/show"
	"davit/libcontainer"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "report what is wrong with a bundle or an engine's configuration, or what this host can do",
		Description: `With --bundle: every problem of config.json, and whether this host can run it, each
with its field and its cure; nothing is made. With --engine: whether davit is set up in
that engine's configuration. The exit status is 3 if there is an error.
With neither: a report of the host.

examples:
  davit check
  davit check --bundle /containers/web --format json
  davit check --engine containerd`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`directory` with config.json"},
			&cli.StringFlag{Name: "engine", Usage: "`name` of an engine: " + strings.Join(inspect.Engines, ", ")},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "text or json", Value: "text"},
		},
		Action: verb(func(c *cli.Context) error {
			format, err := outputFormat(c, "text", "json")
			if err != nil {
				return err
			}
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			if c.IsSet("engine") {
				return checkEngine(c.String("engine"), format)
			}
			if !c.IsSet("bundle") {
				return printHost(inspect.CheckHost(), format)
			}
			return checkBundle(c, format)
		}),
	}
}

func checkBundle(c *cli.Context, format string) error {
	bundle, err := filepath.Abs(c.String("bundle"))
	if err != nil {
		return err
	}
	o := libcontainer.CreateOptions{ID: "check", Bundle: bundle, SystemdCgroup: c.Bool("systemd-cgroup")}
	findings, err := newRuntime(c).Check(o)
	if err != nil {
		return err
	}
	if err := printFindings(findings, format); err != nil {
		return err
	}
	for _, f := range findings {
		if !f.Warning {
			return exitStatus(3)
		}
	}
	return nil
}

func level(f libcontainer.Finding) string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

func printFindings(findings []libcontainer.Finding, format string) error {
	if format == "json" {
		list := make([][]member, len(findings))
		for i, f := range findings {
			list[i] = []member{{"level", level(f)}, {"field", f.Field}, {"message", f.Message}, {"hint", f.Hint}}
		}
		return printObjects(list)
	}
	if len(findings) == 0 {
		fmt.Println("nothing is wrong with the bundle on this host")
	}
	for _, f := range findings {
		text := level(f) + ": "
		if f.Field != "" {
			text += show.Line(f.Field) + ": "
		}
		text += show.Line(f.Message) + "\n"
		if f.Hint != "" {
			text += "  hint: " + show.Line(f.Hint) + "\n"
		}
		fmt.Print(text)
	}
	return nil
}

func printHost(facts []inspect.HostFact, format string) error {
	if format == "json" {
		var e jsonx.Encoder
		e.Object()
		for _, f := range facts {
			e.Key(f.Name)
			e.Object()
			e.Key("ok")
			e.Bool(f.OK)
			e.Key("text")
			e.String(f.Text)
			e.EndObject()
		}
		e.EndObject()
		return printLine(&e)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 1, 2, ' ', 0)
	for _, f := range facts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", map[bool]string{true: "yes", false: "no"}[f.OK], f.Name, show.Line(f.Text))
	}
	return w.Flush()
}
