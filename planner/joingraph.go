package planner

import (
	"math/bits"

	"github.com/volleydb/volley/proto"
)

// relation is a leaf of a join tree.
type relation struct {
	node Node
	est  *estimate
	join *Join // of a dependent relation: its kind, keys and condition
	need uint64
}

// edge is a condition between relations.
type edge struct {
	cond Expr // nil for an equality
	l, r Expr
	safe bool
	mask uint64
	lm   uint64
	rm   uint64
}

// class is a set of columns that are equal in the result.
type class []*Column

type joinGraph struct {
	b       *binder
	s       *estimator
	rels    []*relation
	where   map[ColID]int
	edges   []*edge
	classes []class
	subst   map[ColID]Expr
	parts   []uint64 // connected components
	rows    map[uint64]*estimate
	// unfit: the tree stays as it is.
	unfit bool
}

// reorders reports a join that may take part in a reordering.
func reorders(j *Join) bool {
	switch j.Kind {
	case proto.Join_INNER, proto.Join_CROSS, proto.Join_LEFT, proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK:
	default:
		return false
	}
	ok := true
	nodeExprs(j, func(e Expr) { ok = ok && !isVolatile(e) && !hasUDF(e) })
	return ok
}

// inTree reports a node that is a part of a join tree, and the join in it.
func inTree(n Node) (*Join, bool) {
	switch x := n.(type) {
	case *Join:
		return x, reorders(x)
	case *Filter:
		j, ok := x.In.(*Join)
		return j, ok && reorders(j) && !isVolatile(x.Cond) && !hasUDF(x.Cond)
	case *Project:
		j, ok := x.In.(*Join)
		return j, ok && reorders(j) && onlyColumns(x.Exprs)
	}
	return nil, false
}

func inner(j *Join) bool { return j.Kind == proto.Join_INNER || j.Kind == proto.Join_CROSS }

// collect takes a tree apart.
func (g *joinGraph) collect(n Node) {
	j, ok := inTree(n)
	if !ok {
		g.add(n, nil)
		return
	}
	switch x := n.(type) {
	case *Join:
		g.collect(j.Left)
		if !inner(j) {
			d := *j
			d.LeftKeys = make([]Expr, len(j.LeftKeys))
			for i, e := range j.LeftKeys {
				d.LeftKeys[i] = substitute(e, g.subst)
			}
			d.Cond = substitute(j.Cond, g.subst)
			g.add(j.Right, &d)
			return
		}
		g.collect(j.Right)
		for i := range j.LeftKeys {
			g.edges = append(g.edges, &edge{l: substitute(j.LeftKeys[i], g.subst), r: substitute(j.RightKeys[i], g.subst), safe: j.NullSafe[i]})
		}
		g.collectConds(j.Cond)
	case *Filter:
		g.collect(j)
		g.collectConds(x.Cond)
	case *Project:
		g.collect(j)
		for i, c := range x.Out {
			if e := substitute(x.Exprs[i], g.subst); e.(*Column).ID != c.ID {
				g.subst[c.ID] = e
			}
		}
	}
}

func (g *joinGraph) collectConds(cond Expr) {
	for _, c := range conjuncts(nil, cond) {
		g.edges = append(g.edges, &edge{cond: substitute(c, g.subst)})
	}
}

func onlyColumns(es []Expr) bool {
	for _, e := range es {
		if _, ok := e.(*Column); !ok {
			return false
		}
	}
	return true
}

func (g *joinGraph) add(n Node, j *Join) {
	for _, c := range n.Cols() {
		if _, ok := g.where[c.ID]; ok {
			g.unfit = true // which of the two a condition means cannot be told
		}
		g.where[c.ID] = len(g.rels)
	}
	if j != nil && j.Kind == proto.Join_MARK {
		g.where[j.Mark.ID] = len(g.rels)
	}
	g.rels = append(g.rels, &relation{node: n, join: j})
}

// maskOf are the relations whose columns e reads. Columns of enclosing queries
// are of none.
func (g *joinGraph) maskOf(es ...Expr) uint64 {
	m := uint64(0)
	for id := range columnsOf(es...) {
		if i, ok := g.where[id]; ok {
			m |= 1 << i
		}
	}
	return m
}

// equalities turns the edges that say that two columns are equal into classes.
func (g *joinGraph) equalities() {
	index := map[ColID]int{}
	var edges []*edge
	for _, e := range g.edges {
		l, ok1 := e.l.(*Column)
		r, ok2 := e.r.(*Column)
		if !ok1 || !ok2 || e.safe || l.T != r.T || !g.plain(l) || !g.plain(r) {
			edges = append(edges, e)
			continue
		}
		i, ok1 := index[l.ID]
		j, ok2 := index[r.ID]
		switch {
		case ok1 && ok2 && i != j:
			for _, c := range g.classes[j] {
				index[c.ID] = i
			}
			g.classes[i] = append(g.classes[i], g.classes[j]...)
			g.classes[j] = nil
		case ok1 && !ok2:
			g.classes[i] = append(g.classes[i], r)
			index[r.ID] = i
		case ok2 && !ok1:
			g.classes[j] = append(g.classes[j], l)
			index[l.ID] = j
		case !ok1:
			index[l.ID], index[r.ID] = len(g.classes), len(g.classes)
			g.classes = append(g.classes, class{l, r})
		}
	}
	g.edges = edges
	var out []class
	for _, c := range g.classes {
		if len(c) > 0 {
			out = append(out, c)
		}
	}
	g.classes = out
}

// plain reports a column of a relation that is joined by an inner join: what is
// known about it holds of the relation's rows, too.
func (g *joinGraph) plain(c *Column) bool {
	i, ok := g.where[c.ID]
	return ok && g.rels[i].join == nil
}

// inferConstants gives every column of a class the comparisons with constants
// that another has, and makes the columns of one relation equal.
func (g *joinGraph) inferConstants() error {
	more := make([][]Expr, len(g.rels))
	for _, cl := range g.classes {
		first := map[int]*Column{}
		for _, c := range cl {
			i := g.where[c.ID]
			if f := first[i]; f == nil {
				first[i] = c
			} else if f.ID != c.ID {
				eq, err := g.b.operator("=", []Expr{f, c}, -1)
				if err != nil {
					return err
				}
				more[i] = append(more[i], eq)
			}
		}
		for _, c := range cl {
			for _, cond := range conditionsOn(g.rels[g.where[c.ID]].node, c.ID) {
				for _, o := range cl {
					if i := g.where[o.ID]; i != g.where[c.ID] && !hasCondition(g.rels[i].node, substitute(cond, map[ColID]Expr{c.ID: o})) {
						more[i] = append(more[i], substitute(cond, map[ColID]Expr{c.ID: o}))
					}
				}
			}
		}
	}
	for i, conds := range more {
		if len(conds) == 0 {
			continue
		}
		cols := g.rels[i].node.Cols()
		n, err := g.b.pushDown(g.rels[i].node, conds)
		if err != nil {
			return err
		}
		g.rels[i].node = inOrder(n, cols)
	}
	return nil
}

func filterOf(n Node) Expr {
	switch n := n.(type) {
	case *Scan:
		return n.Filter
	case *Filter:
		return n.Cond
	}
	return nil
}

// conditionsOn are the comparisons with constants that a relation's rows pass.
func conditionsOn(n Node, id ColID) []Expr {
	var out []Expr
	for _, c := range conjuncts(nil, filterOf(n)) {
		if op, col, _ := comparison(c); op != "" && op != "<>" && col.ID == id {
			out = append(out, c)
		} else if in, ok := c.(*InList); ok && !in.Not {
			if col, ok := in.Arg.(*Column); ok && col.ID == id {
				out = append(out, c)
			}
		}
	}
	return out
}

func hasCondition(n Node, c Expr) bool { return contains(conjuncts(nil, filterOf(n)), c) }

// masks finds which relations every condition is about.
func (g *joinGraph) masks() {
	for _, e := range g.edges {
		if e.cond != nil {
			e.mask = g.maskOf(e.cond)
			continue
		}
		e.lm, e.rm = g.maskOf(e.l), g.maskOf(e.r)
		e.mask = e.lm | e.rm
	}
	for i, r := range g.rels {
		if r.join != nil {
			r.need = g.maskOf(append(append([]Expr{r.join.Cond}, r.join.LeftKeys...), r.join.RightKeys...)...) &^ (1 << i)
		}
	}
}

// components finds the relations that conditions connect; only between them are
// cross products.
func (g *joinGraph) components() {
	group := make([]uint64, 0, len(g.rels))
	join := func(m uint64) {
		if m == 0 {
			return
		}
		var rest []uint64
		for _, c := range group {
			if c&m != 0 {
				m |= c
			} else {
				rest = append(rest, c)
			}
		}
		group = append(rest, m)
	}
	for i, r := range g.rels {
		join(1<<i | r.need)
	}
	for _, e := range g.edges {
		join(e.mask)
	}
	for _, c := range g.classes {
		m := uint64(0)
		for _, col := range c {
			m |= 1 << g.where[col.ID]
		}
		join(m)
	}
	g.parts = group
}

// keysBetween are the equalities that join two sets.
func (g *joinGraph) keysBetween(l, r uint64) (lk, rk []Expr, safe []bool) {
	for _, cl := range g.classes {
		var x, y *Column
		for _, c := range cl {
			switch m := uint64(1) << g.where[c.ID]; {
			case l&m != 0 && x == nil:
				x = c
			case r&m != 0 && y == nil:
				y = c
			}
		}
		if x != nil && y != nil {
			lk, rk, safe = append(lk, x), append(rk, y), append(safe, false)
		}
	}
	for _, e := range g.edges {
		switch {
		case !e.keyOf(l, r):
		case e.lm&^l == 0:
			lk, rk, safe = append(lk, e.l), append(rk, e.r), append(safe, e.safe)
		default:
			lk, rk, safe = append(lk, e.r), append(rk, e.l), append(safe, e.safe)
		}
	}
	return lk, rk, safe
}

// condsAt are the other conditions that can be checked once l and r are joined
// and not before.
func (g *joinGraph) condsAt(l, r uint64) ([]Expr, error) {
	var out []Expr
	for _, e := range g.edges {
		if e.mask&^(l|r) != 0 || e.mask&l == 0 || e.mask&r == 0 || g.dependent(r) == nil && e.keyOf(l, r) {
			continue
		}
		c, err := g.condition(e)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// keyOf reports an equality with one side in each set.
func (e *edge) keyOf(l, r uint64) bool {
	return e.cond == nil && e.lm != 0 && e.rm != 0 && (e.lm&^l == 0 && e.rm&^r == 0 || e.lm&^r == 0 && e.rm&^l == 0)
}

func (g *joinGraph) condition(e *edge) (Expr, error) {
	switch {
	case e.cond != nil:
		return e.cond, nil
	case e.safe:
		return &Is{Op: proto.IsTest_NOT_DISTINCT, Arg: e.l, Right: e.r}, nil
	}
	return g.b.operator("=", []Expr{e.l, e.r}, -1)
}

// joinOf is the join of two sets, without the conditions for its outcome.
func (g *joinGraph) joinOf(l, r uint64, left, right Node) *Join {
	if d := g.dependent(r); d != nil {
		j := *d.join
		j.Left, j.Right = left, right
		return &j
	}
	j := &Join{Kind: proto.Join_INNER, Left: left, Right: right}
	j.LeftKeys, j.RightKeys, j.NullSafe = g.keysBetween(l, r)
	return j
}

// build makes the nodes of a tree.
func (g *joinGraph) build(t *joinTree) (Node, error) {
	n, err := g.buildSet(t)
	if err != nil {
		return nil, err
	}
	// Conditions that no relation has a part in.
	var rest []Expr
	for _, e := range g.edges {
		if e.mask == 0 {
			c, err := g.condition(e)
			if err != nil {
				return nil, err
			}
			rest = append(rest, c)
		}
	}
	return filter(n, rest), nil
}

func (g *joinGraph) buildSet(t *joinTree) (Node, error) {
	if t.left == nil {
		i := bits.TrailingZeros64(t.mask)
		r := g.rels[i]
		if r.join != nil {
			return r.node, nil
		}
		return g.ownConditions(t.mask, r.node)
	}
	l, r := t.left, t.right
	if !t.fixed && g.dependent(r.mask) == nil && g.estimateOf(r.mask).rows > g.estimateOf(l.mask).rows {
		l, r = r, l // the right side is built
	}
	left, err := g.buildSet(l)
	if err != nil {
		return nil, err
	}
	right, err := g.buildSet(r)
	if err != nil {
		return nil, err
	}
	j := g.joinOf(l.mask, r.mask, left, right)
	conds, err := g.condsAt(l.mask, r.mask)
	if err != nil {
		return nil, err
	}
	if g.dependent(r.mask) != nil {
		n, err := g.ownConditions(r.mask, j)
		return filter(n, conds), err
	}
	j.Cond = and(conds...)
	if len(j.LeftKeys) == 0 && j.Cond == nil {
		j.Kind = proto.Join_CROSS
	}
	return j, nil
}

// ownConditions puts the conditions about one relation alone over it; those of a
// dependent relation over its join.
func (g *joinGraph) ownConditions(m uint64, n Node) (Node, error) {
	var conds []Expr
	for _, e := range g.edges {
		if e.mask != m {
			continue
		}
		c, err := g.condition(e)
		if err != nil {
			return nil, err
		}
		conds = append(conds, c)
	}
	return filter(n, conds), nil
}
