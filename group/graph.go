package group

import (
	"container/heap"

	"kith.alt/kith"
)

// graph is a set of entries in its canonical order: parents before children,
// and of those that could come next always the one with the smallest hash. The
// order depends on nothing but the set, and entries added later never change
// the relative order of those that were there (docs/roster.md).
type graph struct {
	nodes []*node
	index map[Hash]int
	hosts map[kith.ID]*host
	ids   []kith.ID // keys of hosts, in the order of their first admission
}

// node is an entry in a graph.
type node struct {
	*Entry
	effect    string
	past      bits  // positions of its ancestors, without itself
	overrides []int // positions of the named endings in its past
	invite    int   // position of the named invite in its past, else -1
}

// host is where the graph speaks of one host; positions ascend.
type host struct {
	id         kith.ID
	admissions []int // genesis for the founder
	endings    []int // revocations of it, and its leaves
	roles      []int // role entries about it
	renames    []int
}

// newGraph orders the entries that descend from genesis without a gap. Others,
// and copies, are left out.
func newGraph(genesis Hash, entries []*Entry) *graph {
	g := &graph{index: make(map[Hash]int, len(entries)), hosts: make(map[kith.ID]*host)}
	set := make(map[Hash]*Entry, len(entries))
	for _, e := range entries {
		set[e.hash] = e
	}
	root := set[genesis]
	if root == nil || root.effect() != kindGenesis {
		return g
	}
	children := make(map[Hash][]*Entry, len(set))
	missing := make(map[Hash]int, len(set))
	for _, e := range set {
		missing[e.hash] = len(e.body.Parents)
		for _, parent := range e.body.Parents {
			children[parent] = append(children[parent], e)
		}
	}
	ready := &byHash{root}
	for ready.Len() > 0 {
		e := heap.Pop(ready).(*Entry)
		g.add(e, len(set))
		for _, child := range children[e.hash] {
			if missing[child.hash]--; missing[child.hash] == 0 {
				heap.Push(ready, child)
			}
		}
	}
	return g
}

// add appends e, whose parents are there.
func (g *graph) add(e *Entry, size int) {
	pos := len(g.nodes)
	n := &node{Entry: e, effect: e.effect(), past: makeBits(size), invite: -1}
	for _, parent := range e.body.Parents {
		at := g.index[parent]
		n.past.set(at)
		n.past.join(g.nodes[at].past)
	}
	if n.effect == kindGenesis && pos > 0 {
		n.effect = ""
	}
	g.index[e.hash] = pos
	g.nodes = append(g.nodes, n)

	b := &e.body
	switch n.effect {
	case kindGenesis:
		h := g.host(b.Author)
		h.admissions = append(h.admissions, pos)
	case kindAdmit:
		for _, hash := range b.Overrides {
			if at, ok := g.index[hash]; ok && n.past.has(at) {
				n.overrides = append(n.overrides, at)
			}
		}
		if at, ok := g.index[b.Invite]; ok && n.past.has(at) {
			n.invite = at
		}
		h := g.host(b.Subject)
		h.admissions = append(h.admissions, pos)
	case kindRevoke:
		h := g.host(b.Subject)
		h.endings = append(h.endings, pos)
	case kindRole:
		h := g.host(b.Subject)
		h.roles = append(h.roles, pos)
	case kindLeave:
		h := g.host(b.Author)
		h.endings = append(h.endings, pos)
	case kindRename:
		if b.Host != "" {
			h := g.host(b.Author)
			h.renames = append(h.renames, pos)
		}
	}
}

func (g *graph) host(id kith.ID) *host {
	h := g.hosts[id]
	if h == nil {
		h = &host{id: id}
		g.hosts[id] = h
		g.ids = append(g.ids, id)
	}
	return h
}

// grants reports whether an admission or role entry makes its host an admin.
func (n *node) grants() bool { return n.effect == kindGenesis || n.body.Admin }

// lifts reports whether the admission at a lifts the ending at r: it names r,
// or a later ending that had seen r.
func (g *graph) lifts(a, r int) bool {
	for _, at := range g.nodes[a].overrides {
		if at == r || g.nodes[at].past.has(r) {
			return true
		}
	}
	return false
}

// bits is a set of positions; nil holds every position.
type bits []uint64

func makeBits(size int) bits  { return make(bits, (size+63)/64) }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b == nil || b[i/64]&(1<<(i%64)) != 0 }
func (b bits) join(other bits) {
	for i, word := range other {
		b[i] |= word
	}
}

type byHash []*Entry

func (h byHash) Len() int           { return len(h) }
func (h byHash) Less(i, j int) bool { return h[i].hash.compare(h[j].hash) < 0 }
func (h byHash) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byHash) Push(x any)        { *h = append(*h, x.(*Entry)) }
func (h *byHash) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
