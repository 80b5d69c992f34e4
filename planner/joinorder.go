package planner

import (
	"math"
	"math/bits"
)

// Join ordering. A tree of inner joins is taken apart into relations and the
// conditions between them and put together in the order that the estimates make
// cheapest. Left, semi, anti and mark joins take part as relations that can only
// be joined to what has the columns of their conditions: where they stand among
// the inner joins does not change the result.

const (
	// exactRelations is up to how many relations all orders are compared; more
	// are joined greedily.
	exactRelations = 10
	maxRelations   = 64
	// smallJoin is the cost below which joins stay as they are written, as a share
	// of the rows of a task.
	smallJoin = 0.08
	// betterBy is what another order's cost must be of the written one's.
	betterBy = 0.8
)

// orderJoins reorders the join trees of a plan.
func (b *binder) orderJoins(n Node, s *estimator) (Node, error) {
	if j, ok := n.(*Join); ok && reorders(j) {
		g := &joinGraph{b: b, s: s, where: map[ColID]int{}, subst: map[ColID]Expr{}, rows: map[uint64]*estimate{}}
		out, err := g.order(j)
		if err != nil || out != nil {
			return out, err
		}
	}
	return b.mapInputs(n, func(in Node) (Node, error) {
		out, err := b.orderJoins(in, s)
		if err != nil {
			return nil, err
		}
		switch n.(type) {
		case *Filter, *Project, *Sort, *Limit, *Aggregate, *Window, *Join, *ProjectSet, *SingleRow:
			return out, nil // these know columns by their number
		}
		return inOrder(out, in.Cols()), nil
	})
}

// inOrder gives n exactly the columns cols.
func inOrder(n Node, cols []Col) Node {
	if sameCols(n.Cols(), cols) {
		return n
	}
	p := &Project{In: n, Out: cols}
	for _, c := range cols {
		p.Exprs = append(p.Exprs, c.ref())
	}
	return p
}

// order returns the reordered tree, nil when it stays as it is.
func (g *joinGraph) order(root *Join) (Node, error) {
	g.collect(root)
	if g.unfit || len(g.rels) > maxRelations {
		return nil, nil
	}
	g.equalities()
	g.reduce()
	// The leaves' own join trees, then what is known about the leaves.
	for _, r := range g.rels {
		n, err := g.b.orderJoins(r.node, g.s)
		if err != nil {
			return nil, err
		}
		r.node = inOrder(n, r.node.Cols())
	}
	if err := g.inferConstants(); err != nil {
		return nil, err
	}
	g.masks()
	g.components()
	g.estimates()
	t := g.asWritten(root)
	if t.cost >= smallJoin*g.b.o.sizes().rowsPerTask && len(g.rels) > 2 {
		var o *joinTree
		if len(g.rels) <= exactRelations {
			o = g.exact()
		} else {
			o = g.greedy()
		}
		if o != nil && o.cost <= t.cost*betterBy {
			t = o
		}
	}
	n, err := g.build(t)
	if err != nil {
		return nil, err
	}
	cols := root.Cols()
	if len(g.subst) == 0 {
		return n, nil
	}
	p := &Project{In: n, Out: cols}
	for _, c := range cols {
		p.Exprs = append(p.Exprs, substitute(c.ref(), g.subst))
	}
	return p, nil
}

// joinTree is a way to join a set of relations.
type joinTree struct {
	mask        uint64
	left, right *joinTree
	cost        float64
	fixed       bool // the sides stay as they are
}

// linked reports that a condition connects two sets.
func (g *joinGraph) linked(l, r uint64) bool {
	for i := r; i != 0; i &= i - 1 {
		if rel := g.rels[bits.TrailingZeros64(i)]; rel.join != nil && rel.need&l != 0 {
			return true
		}
	}
	for _, cl := range g.classes {
		x, y := false, false
		for _, c := range cl {
			m := uint64(1) << g.where[c.ID]
			x, y = x || l&m != 0, y || r&m != 0
		}
		if x && y {
			return true
		}
	}
	for _, e := range g.edges {
		if e.mask&^(l|r) == 0 && e.mask&l != 0 && e.mask&r != 0 {
			return true
		}
	}
	return false
}

// allowed reports whether two sets may be joined, and which must be the right
// one (0: either).
func (g *joinGraph) allowed(l, r uint64) (right uint64, ok bool) {
	if d := g.dependent(r); d != nil {
		return r, d.need&^l == 0
	}
	if d := g.dependent(l); d != nil {
		return l, d.need&^r == 0
	}
	if g.linked(l, r) {
		return 0, true
	}
	// A cross product: of whole components only.
	for _, c := range g.parts {
		if m := c & (l | r); m != 0 && (m != c || c&^l != 0 && c&^r != 0) {
			return 0, false
		}
	}
	return 0, true
}

// dependent is the dependent relation that a set consists of.
func (g *joinGraph) dependent(m uint64) *relation {
	if bits.OnesCount64(m) != 1 {
		return nil
	}
	if r := g.rels[bits.TrailingZeros64(m)]; r.join != nil {
		return r
	}
	return nil
}

// estimateOf is the estimate of a joined set, the same however it is joined: its
// relations are joined one by one in a fixed order.
func (g *joinGraph) estimateOf(m uint64) *estimate {
	if e := g.rows[m]; e != nil {
		return e
	}
	var e *estimate
	if bits.OnesCount64(m) == 1 {
		e = g.rels[bits.TrailingZeros64(m)].est
	} else {
		// The last relation without which the rest still is one; a dependent
		// one that others need cannot go.
		last := uint64(0)
		for i := len(g.rels) - 1; i >= 0; i-- {
			x := uint64(1) << i
			rest := m &^ x
			if m&x == 0 || !g.possible(rest) {
				continue
			}
			if last == 0 {
				last = x
			}
			if r, ok := g.allowed(rest, x); ok && r != rest && g.linked(rest, x) {
				last = x
				break
			}
		}
		if last == 0 {
			last = 1 << (63 - bits.LeadingZeros64(m))
		}
		e = g.s.joined(g.joinOf(m&^last, last, nil, nil), g.estimateOf(m&^last), g.estimateOf(last))
		e.rows = max(e.rows, 1)
	}
	g.rows[m] = e
	return e
}

// possible reports that a set has what its dependent relations need, and is not
// one of them alone.
func (g *joinGraph) possible(m uint64) bool {
	for x := m; x != 0; x &= x - 1 {
		r := g.rels[bits.TrailingZeros64(x)]
		if r.join != nil && (r.need&^m != 0 || r.need == 0 && bits.OnesCount64(m) == 1) {
			return false
		}
	}
	return true
}

// costOf is the work of joining two sets with known estimates: rows read, built
// and made, and pairs compared where nothing can be hashed.
func (g *joinGraph) costOf(l, r uint64) float64 {
	le, re, out := g.estimateOf(l).rows, g.estimateOf(r).rows, g.estimateOf(l|r).rows
	hashed := false
	if d := g.dependent(r); d != nil {
		hashed = len(d.join.LeftKeys) > 0
		if hashed {
			return le + 2*re + out
		}
	} else {
		lk, _, _ := g.keysBetween(l, r)
		hashed = len(lk) > 0
	}
	if !hashed {
		return le + re + le*re/8 + out
	}
	return max(le, re) + 2*min(le, re) + out
}

// exact compares all orders: the best tree of every set from those of its halves.
func (g *joinGraph) exact() *joinTree {
	n := len(g.rels)
	best := make([]*joinTree, 1<<n)
	for i := range n {
		best[1<<i] = &joinTree{mask: 1 << i}
	}
	for m := uint64(3); m < 1<<n; m++ {
		if bits.OnesCount64(m) < 2 || !g.possible(m) {
			continue
		}
		low := m & -m
		// Every division once: the left half has the first relation.
		for r := (m &^ low) & -(m &^ low); r != 0; r = (r - (m &^ low)) & (m &^ low) {
			l := m &^ r
			if best[l] == nil || best[r] == nil {
				continue
			}
			a, c := l, r
			right, ok := g.allowed(a, c)
			if !ok {
				continue
			}
			if right == a {
				a, c = c, a
			}
			if g.dependent(a) != nil {
				continue
			}
			cost := best[a].cost + best[c].cost + g.costOf(a, c)
			if bits.OnesCount64(a) > 1 && bits.OnesCount64(c) > 1 {
				cost *= 1.1 // only where it is clearly better
			}
			if best[m] == nil || cost < best[m].cost {
				best[m] = &joinTree{mask: m, left: best[a], right: best[c], cost: cost}
			}
		}
	}
	return best[1<<n-1]
}

// greedy joins the two sets with the smallest outcome, again and again.
func (g *joinGraph) greedy() *joinTree {
	var list []*joinTree
	for i := range g.rels {
		list = append(list, &joinTree{mask: 1 << i})
	}
	for len(list) > 1 {
		bi, bj, least := -1, -1, math.Inf(1)
		for i, x := range list {
			for j, y := range list {
				if i == j || g.dependent(x.mask) != nil {
					continue
				}
				right, ok := g.allowed(x.mask, y.mask)
				if !ok || right == x.mask || right == 0 && i > j {
					continue
				}
				// What a join makes of its larger input, and what it costs to get there.
				cost := g.estimateOf(x.mask|y.mask).rows + 0.1*g.costOf(x.mask, y.mask)
				if cost < least {
					bi, bj, least = i, j, cost
				}
			}
		}
		if bi < 0 {
			return nil
		}
		x, y := list[bi], list[bj]
		t := &joinTree{mask: x.mask | y.mask, left: x, right: y, cost: x.cost + y.cost + g.costOf(x.mask, y.mask)}
		var rest []*joinTree
		for i, z := range list {
			if i != bi && i != bj {
				rest = append(rest, z)
			}
		}
		list = append(rest, t)
	}
	return list[0]
}

// asWritten is the tree as it stands.
func (g *joinGraph) asWritten(n Node) *joinTree {
	next := 0
	var visit func(n Node) *joinTree
	leaf := func() *joinTree {
		next++
		return &joinTree{mask: 1 << (next - 1)}
	}
	visit = func(n Node) *joinTree {
		j, ok := inTree(n)
		if !ok {
			return leaf()
		}
		if n != Node(j) {
			return visit(j)
		}
		l := visit(j.Left)
		var r *joinTree
		if inner(j) {
			r = visit(j.Right)
		} else {
			r = leaf()
		}
		return &joinTree{mask: l.mask | r.mask, left: l, right: r, fixed: true, cost: l.cost + r.cost + g.costOf(l.mask, r.mask)}
	}
	return visit(n)
}

// estimates finds what the orders are compared by, of the columns that
// conditions read alone.
func (g *joinGraph) estimates() {
	used := colSet{}
	for _, c := range g.classes {
		for _, x := range c {
			used[x.ID] = true
		}
	}
	for _, e := range g.edges {
		for _, x := range []Expr{e.cond, e.l, e.r} {
			addColumns(used, x)
		}
	}
	for _, r := range g.rels {
		if r.join != nil {
			nodeExprs(r.join, func(e Expr) { addColumns(used, e) })
		}
	}
	for _, r := range g.rels {
		all := g.s.of(r.node)
		r.est = &estimate{rows: all.rows, base: all.base, cols: map[ColID]colEstimate{}}
		for id, c := range all.cols {
			if used[id] {
				r.est.cols[id] = c
			}
		}
	}
}
