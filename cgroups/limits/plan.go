// Package limits decides what is written to a container's cgroups for linux.resources, and writes
// it.
//
// Planning is pure: resources go in, a list of writes comes out, each with the field of config.json
// that asks for it. Then come Snapshot, Apply and Rollback, which write the list to the kernel's
// files. Device rules have a package of their own, since on cgroup v2 they are no files.
package limits

import (
	"sort"
	"strconv"
	"strings"

	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version returns the version of the hierarchy that has a controller: 1, 2, or 0 if none has it.
type Version func(ctrl string) int

// Plan returns all writes that r asks for, in the order in which they are to be written. r may be
// nil. The error is a *fault.Error, or a fault.List of all fields that cannot be honoured: a value
// that the kernel has no file for, or a controller that no hierarchy has.
func Plan(r *specs.LinuxResources, on Version) ([]Write, error) {
	if r == nil {
		return nil, nil
	}
	p := planner{on: on, out: make([]Write, 0, 12)}
	p.memory(r.Memory)
	p.cpu(r.CPU)
	p.pids(r.Pids)
	p.blockIO(r.BlockIO)
	p.hugetlb(r.HugepageLimits)
	p.network(r.Network)
	p.rdma(r.Rdma)
	p.unified(r.Unified)
	lacks := ""
	for i := range p.out {
		if w := &p.out[i]; on(w.Ctrl) == 0 && w.Ctrl != lacks {
			lacks = w.Ctrl
			p.fail(Missing(w))
		}
	}
	if err := fault.Join(p.errs); err != nil {
		return nil, err
	}
	return p.out, nil
}

type planner struct {
	on   Version
	out  []Write
	errs []*fault.Error
}

func (p *planner) add(ctrl, file, value, field string, flags writeFlag) *Write {
	p.out = append(p.out, Write{Ctrl: ctrl, File: file, Value: value, Field: field, Flags: flags})
	return &p.out[len(p.out)-1]
}

func (p *planner) fail(err *fault.Error) { p.errs = append(p.errs, err) }

// v2 reports whether to plan for cgroup v2's files of a controller. A controller that no hierarchy
// has is planned as v2's: Plan then finds the field to name in the error.
func (p *planner) v2(ctrl string) bool { return p.on(ctrl) != 1 }

// given returns the value of an optional number, and whether it is set. 0 means unset, as with
// runc.
func given[T int64 | uint64](v *T) (T, bool) {
	if v == nil || *v == 0 {
		return 0, false
	}
	return *v, true
}

func itoa(v int64) string  { return strconv.FormatInt(v, 10) }
func utoa(v uint64) string { return strconv.FormatUint(v, 10) }

// orMax formats v, with "max" for the spec's -1: cgroup v2's files take no negative numbers.
func orMax(v int64) string {
	if v < 0 {
		return "max"
	}
	return itoa(v)
}

func (p *planner) pids(r *specs.LinuxPids) {
	if r == nil || r.Limit == nil {
		return
	}
	limit := *r.Limit
	if limit == 0 {
		limit = 1 // the process itself. systemd refuses 0, so both drivers write 1, as runc does
	}
	p.add("pids", "pids.max", orMax(limit), "pids.limit", 0)
}

func (p *planner) rdma(devices map[string]specs.LinuxRdma) {
	names := make([]string, 0, len(devices))
	for name := range devices {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := name
		if h := devices[name].HcaHandles; h != nil {
			value += " hca_handle=" + utoa(uint64(*h))
		}
		if o := devices[name].HcaObjects; o != nil {
			value += " hca_object=" + utoa(uint64(*o))
		}
		p.add("rdma", "rdma.max", value, "rdma["+name+"]", Keyed).reset = "hca_handle=max hca_object=max"
	}
}

func (p *planner) unified(files map[string]string) {
	keys := make([]string, 0, len(files))
	for key := range files {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		field := "unified[" + key + "]"
		ctrl, rest, ok := strings.Cut(key, ".")
		if !ok || ctrl == "" || rest == "" || strings.IndexByte(key, '/') >= 0 {
			p.fail(failure.Refuse(field, `as in "memory.high"`, "%q is not the name of a cgroup v2 file", key))
			return
		}
		if p.on(ctrl) == 1 {
			p.fail(failure.Refuse(field, "unified is for cgroup v2", "controller %s is on a cgroup v1 hierarchy of this host", ctrl))
			return
		}
		p.unifiedLines(ctrl, key, files[key], field)
	}
}

// unifiedLines plans one write for each line: a file with a line for each device takes one line at
// a time.
func (p *planner) unifiedLines(ctrl, key, value, field string) {
	reset := ""
	switch key {
	case "io.max":
		reset = "rbps=max wbps=max riops=max wiops=max"
	case "rdma.max":
		reset = "hca_handle=max hca_object=max"
	case "io.latency":
		reset = "target=0"
	}
	for line := range strings.SplitSeq(strings.TrimRight(value, "\n"), "\n") {
		w := p.add(ctrl, key, line, field, 0)
		if reset != "" {
			w.Flags, w.reset = Keyed, reset
		}
	}
}
