package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"davit/internal/cli"
	"davit/internal/show"
	"davit/internal/trace"
	"davit/libcontainer"
)

func traceFlag() cli.Flag {
	return &cli.StringFlag{Name: "trace", Usage: "write a timeline of all steps to `file`, for `davit trace` or Chrome's trace viewer; - prints it to standard error"}
}

func newTrace(c *cli.Context) *trace.Trace {
	t := libcontainer.NewTrace(c.String("trace"), logging)
	t.SetName(strings.TrimSpace("davit " + c.Command.Name + " " + c.Args().First()))
	return t
}

// closeTrace writes the timeline. "-" means standard error, because standard output belongs to the
// container.
func closeTrace(c *cli.Context, t *trace.Trace) error {
	if t != nil && c.String("trace") == "-" {
		return printTimeline(os.Stderr, t.Timeline(), true)
	}
	return t.Close()
}

func traceCommand() *cli.Command {
	return &cli.Command{
		Name:      "trace",
		Usage:     "print a timeline that --trace has written, slowest steps first",
		ArgsUsage: "FILE",
		Description: `FILE may be - for standard input.

example:
  davit run --trace timeline.json job
  davit trace timeline.json`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "in-order", Usage: "sort by time"}},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			file := c.Args().First()
			if file == "-" {
				file = "/dev/stdin"
			}
			t, err := trace.ReadTimeline(file)
			if err != nil {
				return err
			}
			return printTimeline(os.Stdout, t, c.Bool("in-order"))
		}),
	}
}

// printTimeline prints a line for each span, with its share of the time of its row: that is from
// the beginning of the row's first span to the end of its last.
func printTimeline(out io.Writer, t *trace.Timeline, inOrder bool) error {
	spans := slices.DeleteFunc(slices.Clone(t.Events), func(e trace.Event) bool { return e.Phase != "X" })
	if len(spans) == 0 {
		return fmt.Errorf("no spans in it")
	}
	first := spans[0].Begin
	for _, e := range spans {
		first = min(first, e.Begin)
	}
	var begin, end [trace.RowStage + 1]float64
	for _, e := range spans {
		if r := e.Row; r > 0 && r < len(end) {
			if end[r] == 0 || e.Begin < begin[r] {
				begin[r] = e.Begin
			}
			end[r] = max(end[r], e.Begin+e.Duration)
		}
	}
	slices.SortStableFunc(spans, func(a, b trace.Event) int {
		if inOrder {
			return cmp.Compare(a.Begin, b.Begin)
		}
		return cmp.Compare(b.Duration, a.Duration)
	})
	w := tabwriter.NewWriter(out, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "AT ms\tTOOK ms\tSHARE\tWHO\tWHAT\tFIELD\tARGUMENTS")
	for _, e := range spans {
		who, share := "davit", ""
		if e.Row == trace.RowStage {
			who = "stage"
		}
		if e.Row > 0 && e.Row < len(end) && end[e.Row] > begin[e.Row] {
			share = fmt.Sprintf("%.0f %%", 100*e.Duration/(end[e.Row]-begin[e.Row]))
		}
		fmt.Fprintf(w, "%.3f\t%.3f\t%s\t%s\t%s\t%s\t%s\n", (e.Begin-first)/1e3, e.Duration/1e3, share, who, show.Line(e.Name), show.Line(e.Args.Field), show.Line(e.Args.Step))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	total := 0.0
	for _, e := range spans {
		total = max(total, e.Begin+e.Duration-first)
	}
	_, err := fmt.Fprintf(out, "total %.3f ms; davit %.3f ms, stage %.3f ms; a span may be part of another\n", total/1e3,
		(end[trace.RowParent]-begin[trace.RowParent])/1e3, (end[trace.RowStage]-begin[trace.RowStage])/1e3)
	return err
}
