package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/cli"
	"davit/internal/inspect"
	"davit/internal/jsonx"
	"davit/internal/show"
	"davit/libcontainer"

	"golang.org/x/sys/unix"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "report problems of a bundle or of an engine's configuration, or what this host can do",
		Description: `--bundle checks config.json and whether this host can run it; each problem has its field and its cure. Nothing
is made. --engine checks whether davit is set up in the configuration of that engine. --adopt shows which of
the containers that runc or crun made davit can manage. The exit status is 3 if there is an error.
Without these flags davit shows a summary of the host and what will not work on it.

--format json always prints an object: subject (bundle, engine, adopt or host), ok, findings (level, where,
message, hint, snippet) and facts (name, ok, text, lost).

examples:
  davit check
  davit check --bundle /containers/web --format json
  davit check --engine containerd
  davit check --adopt /run/containerd/runc/k8s.io`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`directory` with config.json"},
			&cli.StringFlag{Name: "engine", Usage: "`name` of an engine: " + strings.Join(inspect.Engines, ", ")},
			&cli.StringFlag{Name: "adopt", Usage: "`directory` of states of runc or crun: show which containers davit can take over"},
			&cli.BoolFlag{Name: "all", Usage: "print every fact about the host"},
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
			if c.IsSet("adopt") {
				return checkAdopt(c.String("adopt"), format)
			}
			if !c.IsSet("bundle") {
				return printHost(inspect.CheckHost(), format, c.Bool("all"))
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
	list := make([]inspect.Finding, len(findings))
	for i, f := range findings {
		list[i] = inspect.Finding{Level: inspect.Error, Where: withFlags(f.Field), Text: withFlags(f.Message), Hint: withFlags(f.Hint)}
		if f.Warning {
			list[i].Level = inspect.Warning
		}
	}
	if len(list) == 0 && format == "text" {
		fmt.Println("nothing is wrong with the bundle on this host")
	}
	return printFindings("bundle", list, format)
}

// checkEngine prints what is wrong with the configuration of an engine.
func checkEngine(name, format string) error {
	findings, err := inspect.Check(name, "")
	if err != nil {
		return usage(fmt.Errorf("--engine: %w", err))
	}
	return printFindings("engine", findings, format)
}

// printFindings prints findings. If one is an error, the exit status is 3.
func printFindings(subject string, findings []inspect.Finding, format string) error {
	wrong := slices.ContainsFunc(findings, func(f inspect.Finding) bool { return f.Level == inspect.Error })
	if format == "json" {
		if err := printReport(subject, !wrong, findings, nil); err != nil {
			return err
		}
	} else {
		printFindingsText(findings)
	}
	if wrong {
		return exitStatus(3)
	}
	return nil
}

func printFindingsText(findings []inspect.Finding) {
	paint := newPainter(os.Stdout)
	for _, f := range findings {
		text := paint.level(f.Level, string(f.Level)) + ": "
		if f.Where != "" {
			text += show.Line(f.Where) + ": "
		}
		text += show.Line(f.Text) + "\n"
		if f.Hint != "" {
			text += "  hint: " + show.Line(f.Hint) + "\n"
		}
		if f.Snippet != "" {
			text += "\n    " + strings.ReplaceAll(strings.TrimSuffix(f.Snippet, "\n"), "\n", "\n    ") + "\n\n"
		}
		fmt.Print(text)
	}
}

// printReport prints a report as JSON, in the same form for every subject.
func printReport(subject string, ok bool, findings []inspect.Finding, facts []inspect.HostFact) error {
	var e jsonx.Encoder
	text := func(key, value string) {
		e.Key(key)
		e.String(value)
	}
	e.Object()
	text("subject", subject)
	e.Key("ok")
	e.Bool(ok)
	e.Key("findings")
	e.Array()
	for _, f := range findings {
		e.Object()
		text("level", string(f.Level))
		text("where", f.Where)
		text("message", f.Text)
		text("hint", f.Hint)
		text("snippet", f.Snippet)
		e.EndObject()
	}
	e.EndArray()
	e.Key("facts")
	e.Array()
	for _, f := range facts {
		e.Object()
		text("name", f.Name)
		e.Key("ok")
		e.Bool(f.OK)
		text("text", f.Text)
		text("lost", f.Lost)
		e.EndObject()
	}
	e.EndArray()
	e.EndObject()
	return printLine(&e)
}

func printHost(facts []inspect.HostFact, format string, all bool) error {
	if format == "json" {
		broken := slices.ContainsFunc(facts, func(f inspect.HostFact) bool { return f.Lost == "any container" })
		return printReport("host", !broken, nil, facts)
	}
	paint := newPainter(os.Stdout)
	if all {
		for _, f := range facts {
			level, word := inspect.OK, "yes"
			if !f.OK {
				level, word = inspect.Warning, "no "
			}
			fmt.Printf("%s  %-40s  %s\n", paint.level(level, word), f.Name, show.Line(f.Text))
		}
		return nil
	}
	d := inspect.NewDashboard(facts)
	for _, r := range d.Rows {
		fmt.Printf("%s  %-11s %s\n", paint.level(r.Level, fmt.Sprintf("%-7s", r.Level)), r.Name, show.Line(r.Text))
	}
	fmt.Println()
	if len(d.Lost) == 0 {
		fmt.Println("all that davit can do works here")
	} else {
		fmt.Println("what will not work here:")
	}
	for _, r := range d.Lost {
		fmt.Printf("  %s  %s\n", paint.level(r.Level, fmt.Sprintf("%-45s", show.Line(r.Name))), show.Line(r.Text))
	}
	fmt.Println("\nevery fact: davit check --all; a bundle: --bundle DIRECTORY; an engine: --engine NAME")
	return nil
}

// painter colours text for a terminal.
type painter struct{ on bool }

// newPainter returns a painter that colours text if f is a terminal with colours and NO_COLOR is
// not set (no-color.org).
func newPainter(f *os.File) painter {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return painter{err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""}
}

func (p painter) level(l inspect.Level, text string) string {
	if !p.on || l == inspect.None {
		return text
	}
	colour := map[inspect.Level]string{inspect.OK: "32", inspect.Warning: "33", inspect.Error: "31"}[l] // green, yellow, red
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
