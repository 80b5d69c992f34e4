package planner

import (
	"github.com/volleydb/volley/proto"
)

// Reducing aggregates. A join whose other side has few values of a grouping key
// needs few of the groups: what a correlated subquery has become computes all of
// them first. Where the other relations of the join tree tell which values can
// matter, a semi join with them goes below the aggregate, and from there, as a
// runtime filter, into its scans. (The "magic sets" of Mumick and Pirahesh,
// SIGMOD 1994, restricted to what is cheap to compute a second time.)

const (
	// reducedShare is how much of the keys may be left for a reduction to pay.
	reducedShare = 0.3
	// reducedRows is how many rows there must be below, as a share of a task's.
	reducedRows = 0.2
	// reducerShare is what a reducer may read, as a share of what is below.
	reducerShare = 0.5
)

// reducer is a set that has all values that matter of a column, and others perhaps.
type reducer struct {
	node Node
	key  Expr
}

// reduce puts semi joins below the aggregates among the relations.
func (g *joinGraph) reduce() {
	for i, r := range g.rels {
		if r.join == nil {
			for _, cl := range g.classes {
				for _, c := range cl {
					if g.where[c.ID] == i {
						g.reduceBy(i, c.ID, cl)
						break
					}
				}
			}
			continue
		}
		if r.join.Kind != proto.Join_LEFT {
			continue
		}
		for k, e := range r.join.RightKeys {
			c, ok1 := e.(*Column)
			l, ok2 := r.join.LeftKeys[k].(*Column)
			if ok1 && ok2 && !r.join.NullSafe[k] && c.T == l.T {
				g.reduceBy(i, c.ID, g.classOf(l))
			}
		}
	}
}

// classOf are the columns that are equal to c, c among them.
func (g *joinGraph) classOf(c *Column) class {
	for _, cl := range g.classes {
		for _, x := range cl {
			if x.ID == c.ID {
				return cl
			}
		}
	}
	return class{c}
}

// reduceBy restricts the groups of relation i, whose column col is equal to those
// of a class.
func (g *joinGraph) reduceBy(i int, col ColID, cl class) {
	agg, key := groupedBy(g.rels[i].node, col)
	if agg == nil || anyVolatile(g.rels[i].node) {
		return
	}
	in := g.s.of(agg.In)
	if in.rows < reducedRows*g.b.o.sizes().rowsPerTask {
		return
	}
	var best *reducer
	share := reducedShare
	consider := func(n Node, e Expr) {
		est := g.s.of(n)
		if s := est.distinct(e) / in.distinct(key); s < share && est.rows <= g.b.o.sizes().broadcastRows && cheap(n) && scanned(n) <= reducerShare*scanned(agg.In) {
			best, share = &reducer{n, e}, s
		}
	}
	for _, c := range cl {
		if w := g.where[c.ID]; w != i && g.rels[w].join == nil {
			consider(g.rels[w].node, c)
		}
	}
	// A row without a partner in a semi join does not matter either.
	for w, r := range g.rels {
		if w == i || r.join == nil || r.join.Kind != proto.Join_SEMI {
			continue
		}
		for k, e := range r.join.LeftKeys {
			if c, ok := e.(*Column); ok && !r.join.NullSafe[k] && c.T == r.join.RightKeys[k].Type() && cl.has(c.ID) {
				consider(r.node, r.join.RightKeys[k])
			}
		}
	}
	if best == nil {
		return
	}
	name := ""
	if c, ok := best.key.(*Column); ok {
		name = c.Name
	}
	out := g.b.newCol(name, best.key.Type())
	right := prune(&Project{In: best.node, Exprs: []Expr{best.key}, Out: []Col{out}}, colSet{out.ID: true})
	g.rels[i].node = semiBelow(g.rels[i].node, col, right, out)
}

func (c class) has(id ColID) bool {
	for _, x := range c {
		if x.ID == id {
			return true
		}
	}
	return false
}

// groupedBy is the aggregate that a column of n is a key of, and the key.
func groupedBy(n Node, col ColID) (*Aggregate, Expr) {
	switch n := n.(type) {
	case *Filter:
		return groupedBy(n.In, col)
	case *Project:
		if e := exprOf(n.Exprs, n.Out, col); e != nil {
			return groupedBy(n.In, e.ID)
		}
	case *Aggregate:
		for i := range n.Keys {
			if n.Out[i].ID == col && len(n.Always) == 0 {
				return n, n.Keys[i]
			}
		}
	}
	return nil, nil
}

// exprOf is the column that output column id is, nil if it is computed.
func exprOf(exprs []Expr, out []Col, id ColID) *Column {
	for i, c := range out {
		if c.ID == id {
			e, _ := exprs[i].(*Column)
			return e
		}
	}
	return nil
}

// semiBelow joins n, as far down as its column col is a key or passed on, with
// right, whose column is key.
func semiBelow(n Node, col ColID, right Node, key Col) Node {
	switch x := n.(type) {
	case *Filter:
		return &Filter{In: semiBelow(x.In, col, right, key), Cond: x.Cond}
	case *Project:
		if e := exprOf(x.Exprs, x.Out, col); e != nil {
			return &Project{In: semiBelow(x.In, e.ID, right, key), Exprs: x.Exprs, Out: x.Out}
		}
	case *Aggregate:
		for i, k := range x.Keys {
			if x.Out[i].ID != col || len(x.Always) > 0 {
				continue
			}
			a := *x
			if c, ok := k.(*Column); ok {
				a.In = semiBelow(x.In, c.ID, right, key)
			} else {
				a.In = semiJoin(x.In, k, right, key)
			}
			return &a
		}
	}
	for _, c := range n.Cols() {
		if c.ID == col {
			return semiJoin(n, c.ref(), right, key)
		}
	}
	return n
}

func semiJoin(n Node, k Expr, right Node, key Col) Node {
	return &Join{Kind: proto.Join_SEMI, Left: n, Right: right, LeftKeys: []Expr{k}, RightKeys: []Expr{key.ref()}, NullSafe: []bool{false}}
}

// cheap reports a plan that may be run twice: reads and joins with the same rows
// every time, and no code of users.
func cheap(n Node) bool {
	switch x := n.(type) {
	case *Scan, *Filter, *Project, *Aggregate, *Shared, *SingleRow, *Values:
	case *Join:
		if !inner(x) && x.Kind != proto.Join_SEMI {
			return false
		}
	default:
		return false
	}
	ok := true
	nodeExprs(n, func(e Expr) { ok = ok && !isVolatile(e) && !hasUDF(e) })
	for _, in := range n.Inputs() {
		ok = ok && cheap(in)
	}
	return ok
}

// scanned is how many rows the scans of a plan read.
func scanned(n Node) float64 {
	if s, ok := n.(*Scan); ok {
		return float64(s.Files.Rows)
	}
	rows := 0.0
	for _, in := range n.Inputs() {
		rows += scanned(in)
	}
	return rows
}
