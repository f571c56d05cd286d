package cgroups

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"davit/cgroups/fs"
	"davit/cgroups/stats"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestEvents(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			w := m
			if old {
				w = legacy(t, m)
			}
			events, err := w.Events(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e := <-events; !e.Empty { // no process is in it yet
				t.Errorf("%+v", e)
			}
			if _, ok := <-events; ok {
				t.Error("not closed")
			}
			first, second := start(t, m, "wait"), start(t, m, "wait")
			if events, err = w.Events(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*child{first, second} {
				c.in.Close()
				_ = c.Wait()
			}
			if e := <-events; !e.Empty || e.OOM != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	m := made(t, nil)
	start(t, m, "wait")
	ctx, cancel := context.WithCancel(t.Context())
	events, err := m.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if e, ok := <-events; ok {
		t.Errorf("%+v", e)
	}
}

// The cgroup is removed right after its last process has left. The kernel reports changes of
// cgroup.events at most once in ten milliseconds. So it never reports the last change.
func TestEventsOfARemovedCgroup(t *testing.T) {
	m := made(t, nil)
	if !m.has2() {
		t.Skip("only of cgroup v2")
	}
	c := start(t, m, "wait")
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Freeze(); err != nil { // the kernel reports this, so that it does not report the next change
		t.Fatal(err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	for dir := m.State().Dirs[""]; fs.Rmdir(dir) != nil; {
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
	}
	late := time.After(10 * time.Second)
	for {
		select {
		case _, more := <-events:
			if !more {
				return
			}
		case <-late:
			t.Fatal("no end")
		}
	}
}

func TestEventsOOM(t *testing.T) {
	v := has(t, "memory")
	m := made(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(32 << 20))}})
	first := start(t, m, "wait")
	c := start(t, m, "eat=100")
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Fatal(s)
	}
	if e := <-events; e.OOM != 1 || e.Empty {
		t.Errorf("%+v", e)
	}
	if n := Open(m.State()).OOMKills(); n != 1 {
		t.Errorf("OOMKills: %d", n)
	}
	s, err := m.Stats()
	if err != nil || v == 2 && (s.Memory.Usage.Failcnt == 0 || s.Memory.EventCount.OOMKill != 1) {
		t.Errorf("%+v, %v", s.Memory, err)
	}
	first.in.Close()
	_ = first.Wait()
	for e := range events {
		if !e.Empty {
			t.Errorf("%+v", e)
		}
	}
}

// TestStatsOfFiles reads files that this host may not have.
func TestStatsOfFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"hugetlb.2MB.current": "2097152\n", "hugetlb.2MB.events": "max 3\n",
		"hugetlb.2MB.rsvd.current": "4194304\n",
		"hugetlb.1GB.current":      "1073741824\n", "hugetlb.1GB.events": "max 7\n",
		"cgroup.procs": "17\n18\n", "cpuset.cpus.effective": "0-1, 3\n",
		"io.stat": "7:7 7:6 7:5 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n(unknown) rbytes=5 rios=6\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := Open(State{Driver: Cgroupfs, Mode: Unified, Dirs: map[string]string{"": dir}})
	defer m.Close()
	s, err := m.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids.Current != 2 {
		t.Errorf("pids: %+v", s.Pids)
	}
	if !slices.Equal(s.CPUSet.CPUs, []uint16{0, 1, 3}) {
		t.Errorf("cpus: %v", s.CPUSet.CPUs)
	}
	if want := []stats.BlkioEntry{{Major: 7, Minor: 5, Op: "Read", Value: 1}, {Major: 7, Minor: 5, Op: "Write", Value: 2}}; !slices.Equal(s.Blkio.IoServiceBytesRecursive, want) {
		t.Errorf("io.stat: %+v", s.Blkio.IoServiceBytesRecursive)
	}
	for size, want := range map[string]stats.HugetlbStats{"2MB": {Usage: 4194304, Failcnt: 3}, "1GB": {Usage: 1 << 30, Failcnt: 7}} {
		kib := map[string]string{"2MB": "2048", "1GB": "1048576"}[size]
		if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-" + kib + "kB"); err == nil && s.Hugetlb[size] != want {
			t.Errorf("%s: %+v, want %+v", size, s.Hugetlb[size], want)
		}
	}
}

// A list in the config may have blanks; the kernel shows it without them.
func TestVerifyList(t *testing.T) {
	dir := t.TempDir()
	m := Open(State{Driver: Cgroupfs, Mode: Unified, Dirs: map[string]string{"": dir}})
	defer m.Close()
	for have, same := range map[string]bool{"0-1": true, "0": false} {
		if err := os.WriteFile(filepath.Join(dir, "cpuset.cpus"), []byte(have+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		drifts, err := m.Verify(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0, 1"}})
		if err != nil || (len(drifts) == 0) != same {
			t.Errorf("%s: %+v, %v", have, drifts, err)
		}
	}
}

func TestStats(t *testing.T) {
	if l, err := detect(false); err == nil && l.v2 == "" {
		has(t, "cpuacct")
	}
	m := made(t, nil)
	start(t, m, "spin")
	deadline := time.Now().Add(5 * time.Second)
	for {
		s, err := m.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if s.CPU.Usage.Total > 30e6 && s.CPU.Usage.User > 0 && s.CPU.Usage.User < 100*s.CPU.Usage.Total {
			if m.has2() && s.CPU.PSI == nil {
				t.Error("no pressure")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a spinning process: %+v", s.CPU)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
