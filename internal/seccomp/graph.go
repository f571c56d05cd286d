package seccomp

// A graph holds decisions: nodes that are instructions, with their successors
// instead of jump offsets. Equal decisions are one node, so comparing nodeIDs
// compares decisions.
type graph struct {
	nodes []node
	index map[node]nodeID
}

type nodeID int32

// node is an instruction: opRet has no successor, a branch has two, the rest yes
// only (no is 0 then). Successors have smaller IDs.
type node struct {
	code    uint16
	k       uint32
	yes, no nodeID
}

func newGraph() *graph {
	return &graph{index: make(map[node]nodeID)}
}

func (g *graph) ret(k uint32) nodeID {
	return g.add(node{code: opRet, k: k})
}

// add returns the node n, or one that decides the same with less.
func (g *graph) add(n node) nodeID {
	switch {
	case isBranch(n.code) && n.yes == n.no:
		return n.yes
	case (n.code == opLoad || n.code == opAnd) && !g.needsA(n.yes):
		return n.yes
	}
	if id, ok := g.index[n]; ok {
		return id
	}
	id := nodeID(len(g.nodes))
	g.nodes = append(g.nodes, n)
	g.index[n] = id
	return id
}

// needsA says whether what id decides depends on A as its predecessor leaves it.
func (g *graph) needsA(id nodeID) bool {
	code := g.nodes[id].code
	return code != opRet && code != opLoad
}

// orElse returns the decision a, with b wherever a returns none.
func (g *graph) orElse(a, b, none nodeID) nodeID {
	if a == b || b == none {
		return a
	}
	memo := make(map[nodeID]nodeID)
	var replace func(id nodeID) nodeID
	replace = func(id nodeID) nodeID {
		if id == none {
			return b
		}
		n := g.nodes[id]
		if n.code == opRet {
			return id
		}
		out, ok := memo[id]
		if !ok {
			n.yes = replace(n.yes)
			if isBranch(n.code) {
				n.no = replace(n.no)
			}
			out = g.add(n)
			memo[id] = out
		}
		return out
	}
	return replace(a)
}
