package main

import (
	"context"
	"fmt"
	"time"

	"davit/cgroups/stats"
	"davit/internal/cli"
	"davit/internal/jsonx"
	"davit/libcontainer"
)

func eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "print resource usage periodically, and OOM kills",
		ArgsUsage: "CONTAINER",
		Description: `example:
  davit events --stats web`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Usage: "`time` between two reports", Value: 5 * time.Second},
			&cli.BoolFlag{Name: "stats", Usage: "print resource usage once, and exit"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json (one object per line, in runc's form) or table", Value: "json"},
		},
		Action: verb(func(c *cli.Context) error {
			container, err := open(c)
			if err != nil {
				return err
			}
			defer container.Close()
			interval := c.Duration("interval")
			if interval <= 0 {
				return usage(fmt.Errorf("--interval: %v is not more than 0", interval))
			}
			format, err := outputFormat(c, "table", "json")
			if err != nil {
				return err
			}
			if err := container.Alive(); err != nil {
				return err
			}
			r := &reporter{container: container, table: format == "table"}
			if c.Bool("stats") {
				return r.stats()
			}
			return r.watch(interval)
		}),
	}
}

// reporter prints the events of a container.
type reporter struct {
	container *libcontainer.Container
	table     bool
	last      *stats.Stats // of the line before
	at        time.Time    // when last was read
}

// watch prints events until the container has no process any more.
func (r *reporter) watch(interval time.Duration) error {
	m := r.container.Cgroups()
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := m.Events(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case e, more := <-events:
			if !more {
				return nil
			}
			if e.OOM > 0 {
				err = r.oom()
			}
		case <-tick.C:
			if err = r.stats(); err != nil && r.container.Ended() {
				return nil // the cgroup was removed in between
			}
		}
		if err != nil {
			return err
		}
	}
}

func (r *reporter) oom() error {
	if r.table {
		_, err := fmt.Printf("%s  out of memory: a process was killed\n", time.Now().Format(time.TimeOnly))
		return err
	}
	var e jsonx.Encoder
	e.Object()
	e.Key("type")
	e.String("oom")
	e.Key("id")
	e.String(r.container.ID)
	e.EndObject()
	return printLine(&e)
}

func (r *reporter) stats() error {
	s, err := r.container.Stats()
	if err != nil {
		return err
	}
	if r.table {
		return r.row(s)
	}
	var e jsonx.Encoder
	e.Object()
	e.Key("type")
	e.String("stats")
	e.Key("id")
	e.String(r.container.ID)
	e.Key("data")
	stats.EncodeStats(&e, s)
	e.EndObject()
	return printLine(&e)
}

// row prints one line for people. CPU is what the container has used since the line before, in
// percent of one CPU. Pressure is the share of the last ten seconds in which a process had to wait.
func (r *reporter) row(s *stats.Stats) error {
	now := time.Now()
	cpu := "-"
	if r.last == nil {
		fmt.Println("TIME      CPU     MEMORY            PIDS    READ     WRITTEN  PRESSURE cpu/memory/io")
	} else {
		used := float64(s.CPU.Usage.Total-r.last.CPU.Usage.Total) / float64(now.Sub(r.at))
		cpu = fmt.Sprintf("%.1f%%", 100*used)
	}
	r.last, r.at = s, now
	read, written := transferred(s.Blkio.IoServiceBytesRecursive)
	_, err := fmt.Printf("%s  %-6s  %-16s  %-6s  %-7s  %-7s  %s/%s/%s\n", now.Format(time.TimeOnly), cpu,
		bytes(s.Memory.Usage.Usage)+ofLimit(s.Memory.Usage.Limit, bytes),
		fmt.Sprint(s.Pids.Current)+ofLimit(s.Pids.Limit, func(n uint64) string { return fmt.Sprint(n) }),
		bytes(read), bytes(written), waited(s.CPU.PSI), waited(s.Memory.PSI), waited(s.Blkio.PSI))
	return err
}

// ofLimit returns "/limit", or "" if there is no limit. No limit is 0, or a value that is too large
// to be one: v2's max is read as the largest uint64, and v1's memory limit is the largest int64 in
// whole pages.
func ofLimit(limit uint64, show func(uint64) string) string {
	if limit == 0 || limit >= 1<<62 {
		return ""
	}
	return "/" + show(limit)
}

func transferred(list []stats.BlkioEntry) (read, written uint64) {
	for _, e := range list {
		switch e.Op {
		case "Read":
			read += e.Value
		case "Write":
			written += e.Value
		}
	}
	return read, written
}

func waited(p *stats.PSI) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", p.Some.Avg10)
}

// bytes formats a number of bytes with about three digits and a unit; each unit is 1024 times the
// one before.
func bytes(n uint64) string {
	v, units := float64(n), "BKMGTPE"
	for v >= 1000 && len(units) > 1 {
		v, units = v/1024, units[1:]
	}
	if v >= 100 || units[0] == 'B' {
		return fmt.Sprintf("%.0f%c", v, units[0])
	}
	return fmt.Sprintf("%.1f%c", v, units[0])
}
