package planner

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

const (
	maxGroupingSets = 4096
	maxCube         = 12
)

// groupBy is a bound GROUP BY clause. Several sets are planned as one grouping
// of the input times the sets: a row comes once per set, with the set's number as
// a further key and NULL in place of the keys that the set has not.
type groupBy struct {
	keys []Expr
	sets [][]int // per grouping set, the keys in it; nil for a plain GROUP BY
}

// groupingCall is a call of GROUPING(): a column until the sets are known.
type groupingCall struct {
	col  Col
	args []Expr
	pos  []int32
}

// bindGroupBy binds the clause, over the FROM columns, output names and positions.
func (sc *selectCtx) bindGroupBy(sel *pg.SelectStmt, targets []*target) (*groupBy, error) {
	g := &groupBy{}
	all := len(sel.GroupClause) == 1 && callsOnly(sel.GroupClause[0], groupByAllCall)
	plain := true
	for _, n := range sel.GroupClause {
		if gs := n.GetGroupingSet(); gs != nil && gs.Kind != pg.GroupingSetKind_GROUPING_SET_EMPTY {
			plain = false
		}
	}
	if plain {
		var constant Expr
		for _, n := range sel.GroupClause {
			var k []Expr
			var err error
			if all {
				k, err = sc.groupAll(n, targets)
			} else {
				k, err = sc.groupKey(n, targets)
			}
			if err != nil {
				return nil, err
			}
			for _, e := range k {
				if isConst(e) {
					constant = e // one value: groups nothing
					continue
				}
				if !containsExpr(g.keys, e) {
					g.keys = append(g.keys, e)
				}
			}
		}
		if len(g.keys) == 0 && constant != nil {
			g.keys = []Expr{constant} // no rows make no group, unlike without GROUP BY
		}
		return g, nil
	}
	sets := [][]int{nil}
	for _, n := range sel.GroupClause {
		item, err := sc.groupingSets(g, n, targets)
		if err != nil {
			return nil, err
		}
		if len(sets)*len(item) > maxGroupingSets {
			return nil, tooManySets()
		}
		var next [][]int
		for _, a := range sets {
			for _, b := range item {
				next = append(next, unionSet(a, b))
			}
		}
		sets = next
	}
	if sel.GroupDistinct {
		var once [][]int
		for _, s := range sets {
			if !slices.ContainsFunc(once, func(o []int) bool { return slices.Equal(o, s) }) {
				once = append(once, s)
			}
		}
		sets = once
	}
	g.sets = sets
	return g, nil
}

func tooManySets() error {
	return pgerr.New(pgerr.StatementTooComplex, "too many grouping sets present (maximum %d)", maxGroupingSets)
}

// unionSet merges two sorted sets.
func unionSet(a, b []int) []int {
	out := append(append([]int(nil), a...), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// groupingSets are the sets that an item of GROUP BY stands for; its keys are
// entered in g.
func (sc *selectCtx) groupingSets(g *groupBy, n *pg.Node, targets []*target) ([][]int, error) {
	gs := n.GetGroupingSet()
	if gs == nil {
		s, err := sc.groupingSet(g, n, targets)
		return [][]int{s}, err
	}
	sc.b.depth++
	defer func() { sc.b.depth-- }()
	if sc.b.depth > maxDepth {
		return nil, pgerr.New(pgerr.StatementTooComplex, "the grouping sets are nested too deeply")
	}
	var out [][]int
	switch gs.Kind {
	case pg.GroupingSetKind_GROUPING_SET_EMPTY:
		return [][]int{nil}, nil
	case pg.GroupingSetKind_GROUPING_SET_SETS:
		for _, c := range gs.Content {
			s, err := sc.groupingSets(g, c, targets)
			if err != nil {
				return nil, err
			}
			if out = append(out, s...); len(out) > maxGroupingSets {
				return nil, tooManySets()
			}
		}
		return out, nil
	}
	parts := make([][]int, len(gs.Content))
	for i, c := range gs.Content {
		var err error
		if parts[i], err = sc.groupingSet(g, c, targets); err != nil {
			return nil, err
		}
	}
	if gs.Kind == pg.GroupingSetKind_GROUPING_SET_ROLLUP {
		out = [][]int{nil}
		for _, p := range parts {
			out = append(out, unionSet(out[len(out)-1], p))
		}
		slices.Reverse(out)
		return out, nil
	}
	if len(parts) > maxCube {
		return nil, pgerr.New(pgerr.TooManyColumns, "CUBE is limited to %d elements", maxCube).At(sc.b.pos(gs.Location))
	}
	for mask := 1<<len(parts) - 1; mask >= 0; mask-- {
		var s []int
		for i, p := range parts {
			if mask&(1<<(len(parts)-1-i)) != 0 {
				s = unionSet(s, p)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// groupingSet is the one set of an expression or a list in parentheses.
func (sc *selectCtx) groupingSet(g *groupBy, n *pg.Node, targets []*target) ([]int, error) {
	es, err := sc.groupKey(n, targets)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range es {
		at := slices.IndexFunc(g.keys, func(k Expr) bool { return sameKeyExpr(k, e) })
		if at < 0 {
			at = len(g.keys)
			g.keys = append(g.keys, e)
		}
		out = unionSet(out, []int{at})
	}
	return out, nil
}

// sameKeyExpr reports whether e is the key k. A constant is one only where the key
// itself stands: an equal one elsewhere stays what it is.
func sameKeyExpr(k, e Expr) bool {
	if isConst(k) {
		return k == e
	}
	return sameExpr(k, e)
}

// withKeys replaces keys that are an AND or OR (also BETWEEN is) by their columns
// where folding has made their operands those of a larger AND or OR; nil for none.
func withKeys(e Expr, keys []Expr, cols []Col) Expr {
	l, ok := e.(*Bool)
	if !ok || l.Op == proto.Bool_NOT {
		return nil
	}
	args := l.Args
	for i, key := range keys {
		k, ok := key.(*Bool)
		if !ok || k.Op != l.Op || len(k.Args) >= len(args) {
			continue
		}
		for at := 0; at+len(k.Args) <= len(args); at++ {
			if slices.EqualFunc(k.Args, args[at:at+len(k.Args)], sameExpr) {
				args = slices.Concat(args[:at], []Expr{cols[i].ref()}, args[at+len(k.Args):])
				break
			}
		}
	}
	if len(args) == len(l.Args) {
		return nil
	}
	for i, x := range args {
		args[i] = rewrite(x, func(e Expr) Expr {
			for j, k := range keys {
				if sameKeyExpr(k, e) {
					return cols[j].ref()
				}
			}
			return nil
		})
	}
	return &Bool{Op: l.Op, Args: args}
}

// grouping binds GROUPING(a, b, …).
func (sc *selectCtx) grouping(x *pg.GroupingFunc) (Expr, error) {
	b := sc.b
	if sc.inAgg {
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot be nested").At(b.pos(x.Location))
	}
	if !sc.aggsOK {
		return nil, pgerr.New(pgerr.GroupingError, "grouping operations are not allowed in %s", sc.clause).At(b.pos(x.Location))
	}
	if len(x.Args) > 31 {
		return nil, pgerr.New("54023", "GROUPING must have fewer than 32 arguments").At(b.pos(x.Location))
	}
	c := groupingCall{col: b.newCol("grouping", types.T(types.Int4))}
	own := colSet{}
	for _, col := range sc.scope {
		own.add(col.ID)
	}
	all := len(x.Args) > 0
	outside := func(e Expr) bool {
		read := columnsOf(e)
		return len(read) > 0 && !read.meets(own)
	}
	for _, a := range x.Args {
		e, err := sc.expr(a)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, e)
		c.pos = append(c.pos, nodeLocation(a))
		_, bare := e.(*Column)
		outer := outside(e)
		if bare && outer {
			return nil, sc.notGroupingKey(&c, len(c.args)-1)
		}
		all = all && outer
	}
	if all {
		// Of an enclosing query's columns alone it would be that query's.
		return nil, sc.notGroupingKey(&c, 0)
	}
	if !sc.grouped {
		return nil, sc.notGroupingKey(&c, 0)
	}
	sc.groupings = append(sc.groupings, c)
	return c.col.ref(), nil
}

func (sc *selectCtx) notGroupingKey(c *groupingCall, i int) error {
	return pgerr.New(pgerr.GroupingError, "arguments to GROUPING must be grouping expressions of the associated query level").At(sc.b.pos(c.pos[i]))
}

func int4Const(v int32) *Const {
	t := types.T(types.Int4)
	return &Const{T: t, V: vector.FromSlice(t, []int32{v})}
}

// groupingValues are the values of the GROUPING() calls, by the columns that stand
// for them. gid is the column of the set's number; unused with one set.
func (sc *selectCtx) groupingValues(g *groupBy, gid Col) (map[ColID]Expr, error) {
	out := map[ColID]Expr{}
	for i := range sc.groupings {
		c := &sc.groupings[i]
		at := make([]int, len(c.args))
		for j, a := range c.args {
			at[j] = slices.IndexFunc(g.keys, func(k Expr) bool { return sameExpr(k, a) })
			if at[j] < 0 {
				return nil, sc.notGroupingKey(c, j)
			}
		}
		if len(g.sets) < 2 {
			v := int32(0)
			if g.sets != nil {
				v = groupingBits(g.sets[0], at)
			}
			out[c.col.ID] = int4Const(v)
			continue
		}
		by := map[int32]*InList{}
		e := &Case{T: c.col.T}
		for s, set := range g.sets {
			v := groupingBits(set, at)
			if by[v] == nil {
				by[v] = &InList{Arg: gid.ref()}
				e.Whens = append(e.Whens, When{Cond: by[v], Result: int4Const(v)})
			}
			by[v].Values = append(by[v].Values, int4Const(int32(s)))
		}
		out[c.col.ID] = e
	}
	return out, nil
}

// groupingBits has a bit per argument, the last one the lowest: 1 when the set has
// not that key.
func groupingBits(set, args []int) int32 {
	v := int32(0)
	for _, a := range args {
		v <<= 1
		if !slices.Contains(set, a) {
			v |= 1
		}
	}
	return v
}

// expandSets multiplies the plan's rows by the grouping sets and makes a's keys:
// those of the clause, NULL where a set has them not, then the set's number.
func (sc *selectCtx) expandSets(g *groupBy, a *Aggregate) (gid Col) {
	b := sc.b
	in := b.newCol("", types.T(types.Int4))
	v := &Values{Out: []Col{in}}
	for s, set := range g.sets {
		v.Rows = append(v.Rows, []Expr{int4Const(int32(s))})
		if len(set) == 0 { // exists without rows, too
			row := make([]Expr, 0, len(g.keys)+1)
			for _, k := range g.keys {
				row = append(row, &Const{T: k.Type()})
			}
			a.Always = append(a.Always, append(row, int4Const(int32(s))))
		}
	}
	p := &Project{In: &Join{Kind: proto.Join_CROSS, Left: sc.plan, Right: v}}
	for _, c := range p.In.Cols() {
		p.Exprs, p.Out = append(p.Exprs, c.ref()), append(p.Out, c)
	}
	for i, k := range g.keys {
		l := &InList{Arg: in.ref()}
		for s, set := range g.sets {
			if slices.Contains(set, i) {
				l.Values = append(l.Values, int4Const(int32(s)))
			}
		}
		e := k
		if len(l.Values) < len(g.sets) {
			e = &Case{T: k.Type(), Whens: []When{{Cond: l, Result: k}}}
			if len(l.Values) == 0 {
				e = &Const{T: k.Type()}
			}
		}
		c := b.newCol("", k.Type())
		p.Exprs, p.Out = append(p.Exprs, e), append(p.Out, c)
		a.Keys = append(a.Keys, c.ref())
	}
	a.Keys = append(a.Keys, in.ref())
	a.In = p
	return b.newCol("", in.T)
}

// pickKeys are the keys of the only set, with their output columns.
func pickKeys(set []int, keys []Expr, out []Col) ([]Expr, []Col, []Expr) {
	var ks []Expr
	var cs []Col
	for _, i := range set {
		ks, cs = append(ks, keys[i]), append(cs, out[i])
	}
	return ks, cs, ks
}
