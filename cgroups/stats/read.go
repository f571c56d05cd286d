package stats

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Read returns the container's resource usage, with each controller's values from the hierarchy
// that has it. Values whose file does not exist are zero. It returns what it could read even if it
// returns an error, which is the first one.
func Read(from Source) (*Stats, error) {
	s := &Stats{Hugetlb: map[string]HugetlbStats{}}
	r := &reader{Source: from}
	if r.On("cpu") == 1 || r.On("cpuacct") == 1 {
		r.cpu1(s)
	} else {
		r.cpu2(s)
	}
	r.cpuset(s)
	if r.On("memory") == 1 {
		r.memory1(&s.Memory)
	} else {
		r.memory2(&s.Memory)
	}
	if current := r.text("pids", "pids.current"); current != "" {
		s.Pids.Current = fs.ParseNumber(current)
	} else if pids, err := r.Pids(); err == nil { // there is no pids controller
		s.Pids.Current = uint64(len(pids))
	}
	if max := r.number("pids", "pids.max"); max != math.MaxUint64 {
		s.Pids.Limit = max
	}
	if r.On("blkio") == 1 {
		r.blkio1(&s.Blkio)
	} else {
		r.io2(&s.Blkio)
	}
	r.hugetlb(s)
	if r.Unified { // only v2 has pressure, also for controllers whose hierarchy is v1's
		s.CPU.PSI = r.pressure("cpu.pressure")
		s.Memory.PSI = r.pressure("memory.pressure")
		s.Blkio.PSI = r.pressure("io.pressure")
	}
	return s, r.err
}

// reader reads the files of a container's controllers. It keeps the first error that is not just a
// missing file.
type reader struct {
	Source
	err error
}

// Source gives access to a container's cgroups.
type Source struct {
	On      func(ctrl string) int          // the version of the hierarchy that has a controller, 0 if none has it
	Open    func(ctrl string) (int, error) // the open directory of a controller
	Pids    func() ([]int, error)          // all processes; asked only if there is no pids controller
	Unified bool                           // the container has a cgroup2 directory
}

// text returns a file's contents, "" if the file does not exist.
func (r *reader) text(ctrl, file string) string {
	if r.On(ctrl) == 0 {
		return ""
	}
	dir, err := r.Open(ctrl)
	if err == nil {
		var s string
		if s, err = fs.ReadString(dir, file); err == nil {
			return s
		}
	}
	if r.err == nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) { // EOPNOTSUPP means that the kernel has PSI switched off
		r.err = fmt.Errorf("read %s: %w", file, err)
	}
	return ""
}

// number returns the number that a file contains, as fs.ParseNumber reads it.
func (r *reader) number(ctrl, file string) uint64 { return fs.ParseNumber(r.text(ctrl, file)) }

// each calls f for each line "key value" of a file.
func (r *reader) each(ctrl, file string, f func(key string, value uint64)) {
	for line := range strings.Lines(r.text(ctrl, file)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			f(key, fs.ParseNumber(value))
		}
	}
}

// cpu2 reads cpu.stat, which v2 has even without the cpu controller. It converts microseconds to
// nanoseconds.
func (r *reader) cpu2(s *Stats) {
	r.each("cgroup", "cpu.stat", func(key string, v uint64) {
		switch key {
		case "usage_usec":
			s.CPU.Usage.Total = v * 1000
		case "user_usec":
			s.CPU.Usage.User = v * 1000
		case "system_usec":
			s.CPU.Usage.Kernel = v * 1000
		case "nr_periods":
			s.CPU.Throttling.Periods = v
		case "nr_throttled":
			s.CPU.Throttling.ThrottledPeriods = v
		case "throttled_usec":
			s.CPU.Throttling.ThrottledTime = v * 1000
		}
	})
}

func (r *reader) cpuset(s *Stats) {
	c := &s.CPUSet
	if r.On("cpuset") == 1 {
		r.cpuset1(c)
		return
	}
	c.CPUs = fs.ParseList(r.text("cpuset", "cpuset.cpus.effective"))
	c.Mems = fs.ParseList(r.text("cpuset", "cpuset.mems.effective"))
}

func (r *reader) memory2(s *MemoryStats) {
	s.Raw = make(map[string]uint64, 64)
	r.each("memory", "memory.stat", func(key string, v uint64) { s.Raw[key] = v })
	s.Cache = s.Raw["file"]
	s.Kernel.Usage = s.Raw["kernel"]
	if r.On("memory") == 0 {
		return
	}
	e := new(MemoryEvents)
	r.each("memory", "memory.events", func(key string, v uint64) {
		switch key {
		case "low":
			e.Low = v
		case "high":
			e.High = v
		case "max":
			e.Max = v
		case "oom":
			e.OOM = v
		case "oom_kill":
			e.OOMKill = v
		case "oom_group_kill":
			e.OOMGroupKill = v
		}
	})
	s.EventCount = e
	s.Usage = MemoryEntry{
		Usage:   r.number("memory", "memory.current"),
		Limit:   r.number("memory", "memory.max"),
		Max:     r.number("memory", "memory.peak"), // Linux 5.19
		Failcnt: e.Max,
	}
	if limit := r.text("memory", "memory.swap.max"); limit != "" {
		s.Swap.Limit = fs.ParseNumber(limit)
		if s.Swap.Limit != math.MaxUint64 && s.Usage.Limit != math.MaxUint64 {
			s.Swap.Limit += s.Usage.Limit
		}
		s.Swap.Usage = s.Usage.Usage + r.number("memory", "memory.swap.current")
	}
}

// io2 reads io.stat: "259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". The operations get
// v1's names. A value belongs to the last device named before it, since the kernel writes no
// newline after a device without values. A device that no longer exists is called "(unknown)"
// there, and is left out.
func (r *reader) io2(s *BlkioStats) {
	for line := range strings.Lines(r.text("io", "io.stat")) {
		var e BlkioEntry
		known := false
		for _, word := range strings.Fields(line) {
			key, value, figure := strings.Cut(word, "=")
			if !figure {
				var major, minor string
				major, minor, known = strings.Cut(word, ":")
				e.Major, e.Minor = fs.ParseNumber(major), fs.ParseNumber(minor)
				continue
			}
			if !known {
				continue
			}
			e.Value = fs.ParseNumber(value)
			switch key {
			case "rbytes", "wbytes":
				e.Op = operation(key)
				s.IoServiceBytesRecursive = append(s.IoServiceBytesRecursive, e)
			case "rios", "wios":
				e.Op = operation(key)
				s.IoServicedRecursive = append(s.IoServicedRecursive, e)
			}
		}
	}
}

func operation(key string) string {
	if key[0] == 'r' {
		return "Read"
	}
	return "Write"
}

// hugetlb reads the usage for each page size that the cgroup has files for. Where the kernel
// accounts for reservations (since 5.7) it reads those instead, as runc does: they reach the limit
// first.
func (r *reader) hugetlb(s *Stats) {
	v := r.On("hugetlb")
	if v == 0 {
		return
	}
	sizes, _ := fs.Subdirs("/sys/kernel/mm/hugepages")
	for _, name := range sizes {
		size := fs.PageSize(strings.TrimSuffix(strings.TrimPrefix(name, "hugepages-"), "kB"))
		read := r.hugetlb2
		if v == 1 {
			read = r.hugetlb1
		}
		if h, has := read("hugetlb." + size + "."); has {
			s.Hugetlb[size] = h
		}
	}
}

func (r *reader) hugetlb2(file string) (h HugetlbStats, has bool) {
	usage := r.text("hugetlb", file+"rsvd.current")
	if usage == "" {
		usage = r.text("hugetlb", file+"current")
	}
	if usage == "" {
		return h, false
	}
	h.Usage = fs.ParseNumber(usage)
	r.each("hugetlb", file+"events", func(key string, v uint64) { // the file counts for both limits
		if key == "max" {
			h.Failcnt = v
		}
	})
	return h, true
}

// pressure reads lines like "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". It returns nil if the
// kernel has PSI switched off.
func (r *reader) pressure(file string) *PSI {
	text := r.text("cgroup", file)
	if text == "" {
		return nil
	}
	psi := new(PSI)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		p := &psi.Some
		if f[0] == "full" {
			p = &psi.Full
		}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			switch key {
			case "avg10":
				p.Avg10, _ = strconv.ParseFloat(value, 64)
			case "avg60":
				p.Avg60, _ = strconv.ParseFloat(value, 64)
			case "avg300":
				p.Avg300, _ = strconv.ParseFloat(value, 64)
			case "total":
				p.Total = fs.ParseNumber(value)
			}
		}
	}
	return psi
}
