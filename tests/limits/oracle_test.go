package limits

import (
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
)

// figures has what containerd's library reads from a cgroup.
type figures struct {
	memory, pids uint64 // limits
	tasks        uint64 // current number of tasks
	oomKills     uint64
	cpu          uint64               // nanoseconds used
	throttled    uint64               // periods
	read         map[[2]uint64]uint64 // bytes, by device
	hugepages    map[string]uint64    // limits, by size
}

func (c *container) figures() figures {
	c.t.Helper()
	if unified() {
		return figures2(c.t, c.path)
	}
	return figures1(c.t, c.path)
}

func figures2(t *testing.T, path string) figures {
	t.Helper()
	m, err := cgroup2.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f := figures{memory: s.GetMemory().GetUsageLimit(), pids: s.GetPids().GetLimit(), tasks: s.GetPids().GetCurrent(),
		oomKills: s.GetMemoryEvents().GetOomKill(), cpu: s.GetCPU().GetUsageUsec() * 1000, throttled: s.GetCPU().GetNrThrottled(),
		read: map[[2]uint64]uint64{}, hugepages: map[string]uint64{}}
	for _, e := range s.GetIo().GetUsage() {
		f.read[[2]uint64{e.Major, e.Minor}] = e.Rbytes
	}
	for _, h := range s.GetHugetlb() {
		f.hugepages[h.Pagesize] = h.Max
	}
	return f
}

func figures1(t *testing.T, path string) figures {
	t.Helper()
	g, err := cgroup1.Load(cgroup1.StaticPath(path))
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		t.Fatal(err)
	}
	f := figures{memory: s.GetMemory().GetUsage().GetLimit(), pids: s.GetPids().GetLimit(), tasks: s.GetPids().GetCurrent(),
		oomKills: s.GetMemoryOomControl().GetOomKill(), cpu: s.GetCPU().GetUsage().GetTotal(), throttled: s.GetCPU().GetThrottling().GetThrottledPeriods(),
		read: map[[2]uint64]uint64{}, hugepages: map[string]uint64{}}
	for _, e := range s.GetBlkio().GetIoServiceBytesRecursive() {
		if e.Op == "Read" {
			f.read[[2]uint64{e.Major, e.Minor}] += e.Value
		}
	}
	for _, h := range s.GetHugetlb() {
		f.hugepages[h.Pagesize] = h.Max
	}
	return f
}
