package main

import (
	"encoding/xml"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	s := summarize([]float64{5, 1, 4, 2, 3})
	if s.Median != 3 || s.Q1 != 2 || s.Q3 != 4 || s.N != 5 {
		t.Errorf("%+v", s)
	}
	if s.P99 < 4.9 || s.P99 > 5 {
		t.Errorf("p99 %v", s.P99)
	}
	if one := summarize([]float64{7}); one.Median != 7 || one.P99 != 7 {
		t.Errorf("of one value: %+v", one)
	}
}

func TestPodConfigIsAsBigAsAnEnginesIs(t *testing.T) {
	s := newConfig(pod, unified, "x")
	if len(s.Mounts) != 20 || len(s.Linux.MaskedPaths) != 12 || len(s.Linux.Seccomp.Syscalls[0].Names) < 300 {
		t.Errorf("%d mounts, %d masked paths, %d system calls", len(s.Mounts), len(s.Linux.MaskedPaths),
			len(s.Linux.Seccomp.Syscalls[0].Names))
	}
}

func TestFloorCompilesForEachConfig(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Fatal("tests/deps build installs gcc:", err)
	}
	for _, config := range []string{minimal, standard, pod} {
		out := filepath.Join(t.TempDir(), config)
		if err := buildFloor("floor", out, config, unified); err != nil {
			t.Error(err)
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	r := &report{Host: "h", Date: "d", Rows: []row{
		{Name: "run", Unit: "ms", Results: map[string]*result{
			"davit": {Time: summary{Median: 2}}, "crun": {Time: summary{Median: 4}}, "runc": {Error: "<failed>"}}},
		{Name: "memory", Unit: "kB", Results: map[string]*result{"davit": {Value: 1}}},
	}}
	chart := r.chart()
	decoder := xml.NewDecoder(strings.NewReader(chart))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(chart, `width="215.0"`) || !strings.Contains(chart, `width="430.0"`) {
		t.Error("davit's bar is not half of crun's:", chart)
	}
	table := r.table()
	if !strings.Contains(table, "0.50") || !strings.Contains(table, "failed: <failed>") {
		t.Error(table)
	}
}

// The measurements before and after the change are one series. The measurement during the change is
// compared with it.
func TestComparison(t *testing.T) {
	alone, with := &series{wall: []float64{1, 1}, cpu: []float64{1, 1}, calls: []float64{10}}, &series{}
	alone.append(&series{wall: []float64{3, 3}, cpu: []float64{3, 3}, calls: []float64{8}})
	for range 3 {
		with.add(sample{wall: 4 * time.Millisecond, cpu: 3 * time.Millisecond})
	}
	with.count(sample{calls: 12})
	x := compared(alone, with)
	if x.Value != 2 || x.Alone == nil || x.Alone.Time.N != 4 {
		t.Errorf("%+v", x)
	}
	r := &report{Rows: []row{{Name: "state with more", Unit: "times", Results: map[string]*result{"davit": x}}}}
	if table := r.table(); !strings.Contains(table, "p10 4.00, cpu 1.50, calls 1.50") {
		t.Error(table)
	}
	alone.append(&series{err: io.EOF})
	if x := compared(alone, with); x.Error != io.EOF.Error() {
		t.Errorf("%+v", x)
	}
}
