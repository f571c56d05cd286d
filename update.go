package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"davit/internal/cli"
	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/libcontainer"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func updateCommand() *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "change the limits of a container",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit update --pids-limit 100 web`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "`file` with an object like linux.resources of config.json, or - for standard input; limits that it leaves out stay"},
			&cli.IntFlag{Name: "blkio-weight", Usage: "share of block I/O, `10..1000`"},
			&cli.StringFlag{Name: "cpu-period", Usage: "`microseconds` of the period for the quota"},
			&cli.StringFlag{Name: "cpu-quota", Usage: "`microseconds` of CPU time in a period, -1 for no limit"},
			&cli.StringFlag{Name: "cpu-burst", Usage: "`microseconds` of unused quota that may be saved for later"},
			&cli.StringFlag{Name: "cpu-share", Usage: "`weight` relative to other containers"},
			&cli.StringFlag{Name: "cpu-rt-period", Usage: "`microseconds` of the period for the realtime runtime (cgroup v1)"},
			&cli.StringFlag{Name: "cpu-rt-runtime", Usage: "`microseconds` for realtime processes in a period (cgroup v1)"},
			&cli.StringFlag{Name: "cpuset-cpus", Usage: "`CPUs` to use, for example 0-3,7"},
			&cli.StringFlag{Name: "cpuset-mems", Usage: "memory `nodes` to use, for example 0-1"},
			&cli.StringFlag{Name: "memory", Usage: "limit in `bytes`, or with a unit as in 64m; -1 for no limit"},
			// As with runc and crun: since 5.4 Linux has no such limit, but cgroup v1
			// has one for TCP.
			&cli.StringFlag{Name: "kernel-memory", Hidden: true},
			&cli.StringFlag{Name: "kernel-memory-tcp", Hidden: true},
			&cli.StringFlag{Name: "memory-reservation", Usage: "memory in `bytes` that the kernel tries to leave to the container, or with a unit"},
			&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap together in `bytes`, or with a unit; -1 for no limit"},
			&cli.IntFlag{Name: "pids-limit", Usage: "`number` of tasks, -1 for no limit"},
			&cli.StringFlag{Name: "l3-cache-schema", Usage: "Intel RDT: `schema` of the L3 cache"},
			&cli.StringFlag{Name: "mem-bw-schema", Usage: "Intel RDT: `schema` of the memory bandwidth"},
			&cli.StringFlag{Name: "cpu-idle", Usage: "`1`: run only while the CPU is otherwise idle (SCHED_IDLE); 0: run normally"},
		},
		Action: verb(func(c *cli.Context) error {
			r, err := resourcesOf(c)
			if err != nil {
				return err
			}
			return change(func(container *libcontainer.Container) error {
				return container.Update(r, c.String("l3-cache-schema"), c.String("mem-bw-schema"))
			})(c)
		}),
	}
}

// resourcesOf returns what to change: from the file of --resources, or from the flags.
func resourcesOf(c *cli.Context) (*specs.LinuxResources, error) {
	path := c.String("resources")
	if path == "" {
		return resourceFlags(c)
	}
	if given := c.Given(); len(given) > 1 {
		return nil, usage(fmt.Errorf("--resources and --%s: one or the other", given[1]))
	}
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	r, notes, err := config.DecodeResources(data)
	for _, n := range notes { // fields of the file that cannot be changed
		warn(fmt.Sprintf("%s: %s %s", path, n.Path, n.Text()))
	}
	var bad *jsonx.Error
	if errors.As(err, &bad) {
		bad.File = path
	}
	return r, err
}

func resourceFlags(c *cli.Context) (*specs.LinuxResources, error) {
	memory, cpu := &specs.LinuxMemory{}, &specs.LinuxCPU{Cpus: c.String("cpuset-cpus"), Mems: c.String("cpuset-mems")}
	r := &specs.LinuxResources{Memory: memory, CPU: cpu}
	err := errors.Join(
		number(c, "cpu-period", parseUnsigned, &cpu.Period), number(c, "cpu-quota", parseSigned, &cpu.Quota),
		number(c, "cpu-burst", parseUnsigned, &cpu.Burst), number(c, "cpu-share", parseUnsigned, &cpu.Shares),
		number(c, "cpu-rt-period", parseUnsigned, &cpu.RealtimePeriod), number(c, "cpu-rt-runtime", parseSigned, &cpu.RealtimeRuntime),
		number(c, "cpu-idle", parseSigned, &cpu.Idle),
		number(c, "memory", parseBytes, &memory.Limit), number(c, "memory-reservation", parseBytes, &memory.Reservation),
		number(c, "memory-swap", parseBytes, &memory.Swap),
		number(c, "kernel-memory", parseBytes, &memory.Kernel), number(c, "kernel-memory-tcp", parseBytes, &memory.KernelTCP)) //nolint:staticcheck // not recommended, but there
	if err != nil {
		return nil, usage(err)
	}
	if c.IsSet("blkio-weight") {
		w := c.Int("blkio-weight")
		if w < 0 || w > 1000 {
			return nil, usage(fmt.Errorf("--blkio-weight: %d is not in 10..1000", w))
		}
		weight := uint16(w)
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	if c.IsSet("pids-limit") {
		limit := int64(c.Int("pids-limit"))
		if limit == 0 { // 0 is a limit here, as in a config; in a file 0 means "not set", as engines use it
			limit = 1
		}
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return r, nil
}

// number parses the value of a flag and stores it, if the flag is given.
func number[T int64 | uint64](c *cli.Context, name string, parse func(string) (T, error), to **T) error {
	text := c.String(name)
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	*to = &v
	return nil
}

func parseSigned(s string) (int64, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return v, nil
}

func parseUnsigned(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of 0 or more", s)
	}
	return v, nil
}

// parseBytes accepts the same as runc: -1, or a number with an optional fraction and an optional
// unit k, m, g, t or p, which is 1024 times the one before. The unit may be followed by b or ib, in
// upper or lower case.
func parseBytes(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s[len(digits):]), "b"), "i")
	power := strings.Index("kmgtp", unit) + 1
	if unit == "" {
		power = 0
	}
	if unit == "" {
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err == nil && n >= 0:
			return n, nil
		case errors.Is(err, strconv.ErrRange) && digits[0] != '-':
			return 0, fmt.Errorf("%q is too large", s)
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(digits, " "), 64)
	if err != nil || v < 0 || v >= 1<<53 || len(unit) > 1 || unit != "" && power == 0 {
		return 0, fmt.Errorf("%q is not a number of bytes such as 67108864 or 64m, nor -1", s)
	}
	for range power {
		v *= 1024
	}
	if v >= 1<<63 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(v), nil
}
