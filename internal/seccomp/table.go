package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// span is a decision for the numbers from first to the next span's first - 1.
type span struct {
	first uint32
	what  nodeID
}

// table is what a filter decides for one architecture as the kernel reports it
// (AUDIT_ARCH_*): spans in ascending order from 0 to the highest number.
type table struct {
	arch  uint32
	spans []span
}

// at returns what the table decides for number.
func at(spans []span, number uint32) nodeID {
	i, found := slices.BinarySearchFunc(spans, number, func(s span, n uint32) int {
		switch {
		case s.first < n:
			return -1
		case s.first > n:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return spans[i].what
}

// appendSpan joins equal neighbours.
func appendSpan(spans []span, first uint32, what nodeID) []span {
	if n := len(spans); n > 0 && spans[n-1].what == what {
		return spans
	}
	return append(spans, span{first, what})
}

// read follows prog, which is only for arch, for all numbers. The decision can only change at a
// constant with which the program compares.
func (g *graph) read(prog []insn, arch uint32) ([]span, error) {
	firsts := []uint32{0}
	for _, in := range prog {
		switch {
		case in.code == opEQ, in.code == opGT:
			firsts = append(firsts, in.k, in.k+1)
		case in.code == opGE:
			firsts = append(firsts, in.k)
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	var spans []span
	for _, first := range firsts {
		f := follower{prog: prog, arch: arch, number: first, g: g}
		what, err := f.follow(0, accumulator{known: true}) // A is 0 at first
		if err != nil {
			return nil, err
		}
		spans = appendSpan(spans, first, what)
	}
	return spans, nil
}

// merge joins the decisions of several programs. As in libseccomp, a rule without conditions, which
// becomes a plain return, beats all others. Otherwise the first program whose conditions hold
// decides.
func (g *graph) merge(programs [][]span, none nodeID) []span {
	var firsts []uint32
	for _, spans := range programs {
		for _, s := range spans {
			firsts = append(firsts, s.first)
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	var out []span
	next := make([]int, len(programs)) // of each program, the span behind the current one
	for _, first := range firsts {
		what, plain := none, none
		for p := len(programs) - 1; p >= 0; p-- {
			spans := programs[p]
			for next[p] < len(spans) && spans[next[p]].first <= first {
				next[p]++
			}
			this := spans[next[p]-1].what
			if this != none && g.nodes[this].code == opRet {
				plain = this
			}
			what = g.orElse(this, what, none)
		}
		if plain != none {
			what = plain
		}
		out = appendSpan(out, first, what)
	}
	return out
}

// cut returns the part of spans for the numbers from first to last.
func cut(spans []span, first, last uint32) []span {
	out := []span{{first, at(spans, first)}}
	for _, s := range spans {
		if s.first > first && s.first <= last {
			out = append(out, s)
		}
	}
	return out
}

// join appends the spans of higher numbers.
func join(low, high []span) []span {
	for _, s := range high {
		low = appendSpan(low, s.first, s.what)
	}
	return low
}

// numbers returns the first and the last number that calls of arch have if the
// filter is for x32 too.
func numbers(arch uint32) (first, last uint32) {
	switch arch {
	case archX8664:
		return 0, x32Bit - 1
	case archX32:
		return x32Bit, ^uint32(0)
	}
	return 0, ^uint32(0)
}

// tables returns the decisions for each architecture of cfg as the kernel
// reports it.
func tables(g *graph, cfg *config, ans *answer) ([]table, error) {
	var out []table
	for i, arch := range cfg.arches {
		spans, err := archSpans(g, cfg, ans, i)
		if err != nil {
			return nil, err
		}
		known := slices.IndexFunc(out, func(t table) bool { return t.arch == auditArch(arch) })
		if known < 0 {
			out = append(out, table{auditArch(arch), spans})
			continue
		}
		// x86_64 and x32, in either order.
		first, last := numbers(arch)
		other := out[known].spans
		joined := cut(spans, first, last)
		if first == 0 {
			joined = join(joined, cut(other, last+1, ^uint32(0)))
		} else {
			joined = join(cut(other, 0, first-1), joined)
		}
		out[known].spans = joined
	}
	return out, nil
}

// archSpans returns what is decided for architecture cfg.arches[i] alone.
func archSpans(g *graph, cfg *config, ans *answer, i int) ([]span, error) {
	arch := cfg.arches[i]
	none := g.ret(cfg.defaultAction)
	programs := make([][]span, len(ans.programs[i]))
	for p, prog := range ans.programs[i] {
		spans, err := g.read(prog, auditArch(arch))
		if err != nil {
			return nil, err
		}
		programs[p] = spans
	}
	spans := g.merge(programs, none)
	_, last := numbers(arch)
	above := ans.above[i]
	if !wantsENOSYS(cfg.defaultAction) || above == 0 || above > last {
		return spans, nil
	}
	enosys := g.ret(retErrno | uint32(unix.ENOSYS))
	out := cut(spans, 0, above-1)
	if cfg.machine.unknownIsZero {
		out = []span{{0, enosys}}
		if above > 1 {
			out = join(out, cut(spans, 1, above-1))
		}
	}
	out = join(out, []span{{above, enosys}})
	if last != ^uint32(0) {
		out = join(out, cut(spans, last+1, ^uint32(0)))
	}
	return out, nil
}

// auditArch returns the AUDIT_ARCH_* value (linux/audit.h) that the kernel reports for arch.
func auditArch(arch uint32) uint32 {
	if arch == archX32 {
		return archX8664
	}
	return arch
}

// wantsENOSYS reports whether the rule for unknown numbers applies with this default action (see
// the package comment).
func wantsENOSYS(action uint32) bool {
	switch action & retActionMask {
	case retAllow, retLog, retTrace, retNotify:
		return false
	}
	return action != retErrno|uint32(unix.ENOSYS)
}
