package seccomp

import (
	"slices"

	"davit/internal/fault"
)

// optimize turns the compiler's programs into a single short one.
func optimize(cfg *config, ans *answer) ([]byte, error) {
	g := newGraph()
	list, err := tables(g, cfg, ans)
	if err != nil {
		return nil, fault.In("linux.seccomp", err)
	}
	root := g.dispatch(list)
	prog := assemble(g, root)
	if len(prog) > MaxInstructions {
		return nil, fault.At("linux.seccomp.syscalls", "the filter takes %d instructions, the kernel loads %d at most; fewer rules with args make it shorter", len(prog), MaxInstructions)
	}
	return encode(prog), nil
}

// dispatch returns the decision that list's tables describe. Other architectures
// get libseccomp's answer to them (SCMP_FLTATR_ACT_BADARCH).
func (g *graph) dispatch(list []table) nodeID {
	next := g.ret(retKillThread)
	for i := len(list) - 1; i >= 0; i-- {
		number := g.add(node{code: opLoad, k: offNumber, yes: g.search(list[i].spans)})
		next = g.add(node{code: opEQ, k: list[i].arch, yes: number, no: next})
	}
	return g.add(node{code: opLoad, k: offArch, yes: next})
}

// search returns a binary search over spans for the number in A.
func (g *graph) search(spans []span) nodeID {
	n := len(spans)
	switch {
	case n == 1:
		return spans[0].what
	case n == 3 && spans[0].what == spans[2].what && spans[2].first == spans[1].first+1:
		return g.add(node{code: opEQ, k: spans[1].first, yes: spans[1].what, no: spans[0].what})
	}
	low, high := g.search(spans[:n/2]), g.search(spans[n/2:])
	return g.add(node{code: opGE, k: spans[n/2].first, yes: high, no: low})
}

// assembler writes a program from its end to its start, so that a jump's target
// is always there before the jump: cBPF jumps only forwards.
type assembler struct {
	g    *graph
	code []insn         // in reverse
	at   map[nodeID]int // where a node's latest copy is in code
}

// assemble returns the program for the decision root.
func assemble(g *graph, root nodeID) []insn {
	a := &assembler{g: g, at: make(map[nodeID]int)}
	a.write(root)
	if a.at[root] != len(a.code)-1 {
		a.reach(root, 0)
	}
	slices.Reverse(a.code)
	return a.code
}

func (a *assembler) put(in insn) {
	a.code = append(a.code, in)
}

// write adds id's code to the program unless it has it already.
func (a *assembler) write(id nodeID) {
	if _, ok := a.at[id]; ok {
		return
	}
	n := a.g.nodes[id]
	switch {
	case n.code == opRet:
		a.put(insn{code: opRet, k: n.k})
	case isBranch(n.code):
		// The smaller successors get copies near by if they are too far.
		a.write(n.yes)
		a.write(n.no)
		a.branch(n)
	default:
		a.write(n.yes)
		a.reach(n.yes, 0)
		a.put(insn{code: n.code, k: n.k})
	}
	a.at[id] = len(a.code) - 1
}

// distance returns the number of instructions between the next one to be added and id.
func (a *assembler) distance(id nodeID) int {
	return len(a.code) - 1 - a.at[id]
}

// reach makes sure that id's code begins at most most instructions away, by a copy of a return or
// by a long jump.
func (a *assembler) reach(id nodeID, most int) {
	d := a.distance(id)
	if d <= most {
		return
	}
	if n := a.g.nodes[id]; n.code == opRet {
		a.put(insn{code: opRet, k: n.k})
		a.at[id] = len(a.code) - 1
		return
	}
	a.put(insn{code: opJump, k: uint32(d)})
}

const jumpMax = 255

// branch puts a conditional jump whose successors are written.
func (a *assembler) branch(n node) {
	yes, no := a.distance(n.yes), a.distance(n.no)
	// A detour for one successor moves the other one instruction away.
	if yes > jumpMax || yes == jumpMax && no > jumpMax {
		a.reach(n.yes, 0)
		yes, no = 0, a.distance(n.no)
	}
	if no > jumpMax {
		a.reach(n.no, 0)
		yes, no = yes+1, 0
	}
	a.put(insn{code: n.code, jt: uint8(yes), jf: uint8(no), k: n.k})
}
