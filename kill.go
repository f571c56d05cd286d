package main

import (
	"fmt"
	"strconv"
	"strings"

	"davit/internal/cli"

	"golang.org/x/sys/unix"
)

func killCommand() *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal to a container's process (default: SIGTERM)",
		ArgsUsage: "CONTAINER [SIGNAL]",
		Description: `SIGNAL is a name (TERM, SIGTERM, RTMIN+3) or a number.

example:
  davit kill web TERM`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send the signal to every process of the container"},
			regexFlag(),
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, 2); err != nil {
				return err
			}
			name := c.Args().Get(1)
			if name == "" {
				name = "SIGTERM"
			}
			sig, err := parseSignal(name)
			if err != nil {
				return err
			}
			return forEach(c, c.Args().First(), func(id string) error {
				container, err := newRuntime(c).Open(id)
				if err != nil {
					return err
				}
				defer container.Close()
				return container.Kill(sig, c.Bool("all"))
			})
		}),
	}
}

// parseSignal accepts names with and without SIG, numbers, and realtime signals such as RTMIN+3
// (signal(7); the C library's RTMIN is 34).
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 { // 0 only asks whether the process could be signalled, kill(2)
			return 0, fmt.Errorf("signal %d: not in 0..64", n)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	for _, rt := range [...]struct {
		name string
		base int
	}{{"RTMIN", 34}, {"RTMAX", 64}} {
		rest, ok := strings.CutPrefix(name, rt.name)
		if !ok {
			continue
		}
		n := 0
		if rest != "" {
			var err error
			if n, err = strconv.Atoi(rest); err != nil {
				break
			}
		}
		if sig := rt.base + n; sig >= 34 && sig <= 64 {
			return unix.Signal(sig), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q: a name, such as TERM or SIGTERM, or a number in 0..64", s)
}
