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

// readStats reads a container's figures from whichever version has each controller. A file that this kernel
// or controller does not have leaves its figures at zero.
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
	} else if pids, err := r.Pids(); err == nil { // without the controller
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
	if r.Unified { // pressure is told by v2 alone, also for controllers that sit on v1
		s.CPU.PSI = r.pressure("cpu.pressure")
		s.Memory.PSI = r.pressure("memory.pressure")
		s.Blkio.PSI = r.pressure("io.pressure")
	}
	return s, r.err
}

// reader reads files of a container's controllers and keeps the first error that is more than
// a missing file.
type reader struct {
	Source
	err error
}

// source is where a container's figures are.
type Source struct {
	On      func(ctrl string) int          // where a controller is
	Open    func(ctrl string) (int, error) // the directory of a controller
	Pids    func() ([]int, error)          // all processes, where there is no pids controller
	Unified bool                           // there is a cgroup2 directory
}

// text is a file's contents, "" if there is none.
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
	if r.err == nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) { // EOPNOTSUPP: PSI is off
		r.err = fmt.Errorf("read %s: %w", file, err)
	}
	return ""
}

// number is a file with one number; "max" is the largest.
func (r *reader) number(ctrl, file string) uint64 { return fs.ParseNumber(r.text(ctrl, file)) }

// each calls f for the lines "key value" of a file.
func (r *reader) each(ctrl, file string, f func(key string, value uint64)) {
	for line := range strings.Lines(r.text(ctrl, file)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			f(key, fs.ParseNumber(value))
		}
	}
}

// cpu2 reads cpu.stat, which v2 has without the controller too; microseconds become nanoseconds.
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

// io2 reads io.stat: "259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"; the operations get v1's names. The figures
// are those of the last device before them: the kernel writes no end of line after a device without any. It calls one
// that is gone "(unknown)", which is left out.
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

// hugetlb reads each page size that the cgroup has files for: the reservations, where the kernel accounts for them
// (5.7), since it is those that the limit is first met by; else the usage. As in runc.
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
	r.each("hugetlb", file+"events", func(key string, v uint64) { // counts for both limits
		if key == "max" {
			h.Failcnt = v
		}
	})
	return h, true
}

// pressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full …"; nil if the kernel has PSI off.
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
