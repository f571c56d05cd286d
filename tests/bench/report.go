package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// contestantNames is the order of the table's lines.
var contestantNames = func() []string {
	builds, _ := overlayBuilds()
	return append([]string{"davit", "crun", "runc", floorName}, builds...)
}()

func newReport(o options) *report {
	var uts unix.Utsname
	must(unix.Uname(&uts))
	return &report{
		Date:  time.Now().UTC().Format("2006-01-02"),
		Host:  fmt.Sprintf("Linux %s, %d cores, %s", unix.ByteSliceToString(uts.Release[:]), runtime.NumCPU(), cpuModel()),
		Quick: o.quick,
	}
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// table returns the report for a terminal.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s\n", r.Date, r.Host)
	for _, name := range contestantNames {
		if v := r.Versions[name]; v != "" {
			fmt.Fprintf(&b, "%-6s %s; %d bytes\n", name, v, r.Sizes[name])
		}
	}
	fmt.Fprintf(&b, "Times in ms; q1 and q3 are quartiles, p10 the host's better moments; cpu is user and system time of\n"+
		"all processes, median; faults and calls are page faults and system calls of all processes, the least of seven turns.\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "\n%s (cgroup %s)", row.Name, row.View)
		if row.Unit == "ms" {
			row.timeTable(&b)
		} else {
			row.valueTable(&b)
		}
	}
	return b.String()
}

func (row row) timeTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n%-15s %8s %8s %8s %8s %8s %8s %7s %7s %8s %8s %8s %9s\n", "", "median", "q1", "q3", "p99", "p10",
		"cpu", "faults", "calls", "/ crun", "p10/crun", "/ floor", "cpu/crun")
	for _, name := range contestantNames {
		x := row.Results[name]
		if x == nil {
			continue
		}
		if x.Error != "" {
			fmt.Fprintf(b, "%-8s failed: %s\n", name, x.Error)
			continue
		}
		t := x.Time
		fmt.Fprintf(b, "%-15s %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %7d %7d %8s %8s %8s %9s\n", name, t.Median, t.Q1, t.Q3,
			t.P99, t.P10, x.CPU, x.Faults, x.Calls, row.ratio(name, "crun", time0), row.ratio(name, "crun", best0),
			row.ratio(name, floorName, time0), row.ratio(name, "crun", cpu0))
	}
}

func time0(x *result) float64  { return x.Time.Median }
func best0(x *result) float64  { return x.Time.P10 }
func cpu0(x *result) float64   { return x.CPU }
func value0(x *result) float64 { return x.Value }

// ratio returns the ratio of two contestants' results as text, or "" if there is none.
func (row row) ratio(name, other string, of func(*result) float64) string {
	a, b := row.Results[name], row.Results[other]
	if a == nil || b == nil || a.Error != "" || b.Error != "" || of(b) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", of(a)/of(b))
}

func (row row) valueTable(b *strings.Builder) {
	fmt.Fprintf(b, ", %s\n", row.Unit)
	for _, name := range contestantNames {
		x := row.Results[name]
		switch {
		case x == nil:
		case x.Error != "":
			fmt.Fprintf(b, "%-8s failed: %s\n", name, x.Error)
		default:
			fmt.Fprintf(b, "%-8s %8.2f %8s", name, x.Value, row.ratio(name, "crun", value0))
			if a := x.Alone; a != nil {
				fmt.Fprintf(b, "   p10 %.2f, cpu %.2f, calls %.2f", best0(x)/best0(a), cpu0(x)/cpu0(a), float64(x.Calls)/float64(a.Calls))
			}
			fmt.Fprintln(b)
		}
	}
}

// write stores the report as JSON and as a chart.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bench.svg"), []byte(r.chart()), 0o644)
}
