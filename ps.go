package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"davit/internal/cli"
	"davit/internal/jsonx"
	"davit/internal/show"
)

func psCommand() *cli.Command {
	return &cli.Command{
		Name:       "ps",
		Usage:      "list the processes of a container",
		ArgsUsage:  "CONTAINER [options of ps(1), by default -ef]",
		FlagsFirst: true,
		Description: `example:
  davit ps web`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "table (of ps(1)) or json (the process ids)", Value: "table"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, -1); err != nil {
				return err
			}
			format, err := outputFormat(c, "table", "json")
			if err != nil {
				return err
			}
			container, err := newRuntime(c).Open(c.Args().First())
			if err != nil {
				return err
			}
			defer container.Close()
			pids, err := container.Pids()
			if err != nil {
				return err
			}
			if format == "json" {
				return psJSON(pids)
			}
			return psTable(pids, c.Args().Tail())
		}),
	}
}

func psJSON(pids []int) error {
	var e jsonx.Encoder
	e.Array()
	for _, pid := range pids {
		e.Int(int64(pid))
	}
	e.EndArray()
	return printLine(&e)
}

// psTable prints what ps(1) says about the processes. It asks ps about all processes of the host,
// because a list of pids would contradict options such as -e.
func psTable(pids []int, options []string) error {
	if len(options) == 0 || len(options) == 1 && options[0] == "" {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("ps(1) is not in $PATH: install it (procps), or use --format json")
	}
	if err != nil {
		return fmt.Errorf("ps %s: %w: %s", strings.Join(options, " "), err, strings.TrimSpace(string(out)))
	}
	lines, err := psLines(string(out), pids)
	if err != nil {
		return fmt.Errorf("ps %s: %w", strings.Join(options, " "), err)
	}
	_, err = os.Stdout.WriteString(lines)
	return err
}

// psLines returns the header of ps's table and the lines of the processes, which it finds by the
// column PID.
func psLines(table string, pids []int) (string, error) {
	head, rest, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(head), "PID")
	if column < 0 {
		return "", fmt.Errorf("its output has no column PID: %q", head)
	}
	var b strings.Builder
	b.WriteString(show.Line(head) + "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err == nil && slices.Contains(pids, pid) {
			b.WriteString(show.Line(line) + "\n")
		}
	}
	return b.String(), nil
}
