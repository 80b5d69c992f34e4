package planner

import (
	"math"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// decorrelate turns dependent joins into ordinary ones where it can: the
// conditions that mention the outer row are pulled out of the inner plan and
// become the join's. What is left (set-returning functions of outer columns,
// conditions inside outer joins, …) keeps running once per row.
//
// The rules are those of Galindo-Legaria and Joshi, "Orthogonal Optimization of
// Subqueries and Aggregation" (SIGMOD 2001), restricted to what needs no outer
// apply in between.
func (b *binder) decorrelate(n Node) (Node, error) {
	n, err := b.mapInputs(n, b.decorrelate)
	if err != nil {
		return nil, err
	}
	d, ok := n.(*Dependent)
	if !ok {
		return n, nil
	}
	out, err := b.join(d)
	if err != nil || out != nil {
		return out, err
	}
	return n, nil
}

// join is the ordinary join that equals d, nil when there is none.
func (b *binder) join(d *Dependent) (Node, error) {
	left := idsOf(d.Left.Cols())
	right := d.Right
	switch d.Kind {
	case proto.DependentJoin_EXISTS:
		right = someRows(right)
		in, conds, ok := b.pullUp(right, left)
		if !ok || !covered(conds, left, in) {
			return nil, nil
		}
		// A mark join compares keys as IN does: its NULL means no match here.
		mark := b.newCol("exists", boolType)
		j := &Join{Kind: proto.Join_MARK, Left: d.Left, Right: in, Mark: mark}
		rightIDs := idsOf(in.Cols())
		var rest []Expr
		for _, c := range conds {
			l, r, safe, ok := b.equalKey(c, left, rightIDs)
			if !ok {
				rest = append(rest, c)
				continue
			}
			j.LeftKeys, j.RightKeys, j.NullSafe = append(j.LeftKeys, l), append(j.RightKeys, r), append(j.NullSafe, safe)
		}
		j.Cond = and(rest...)
		return b.over(j, d, &Is{Op: proto.IsTest_TRUE, Arg: mark.ref()}), nil
	case proto.DependentJoin_INNER, proto.DependentJoin_LEFT:
		in, conds, ok := b.pullUp(right, left)
		if !ok || !covered(conds, left, in) {
			return nil, nil
		}
		kind := proto.Join_INNER
		if d.Kind == proto.DependentJoin_LEFT {
			kind = proto.Join_LEFT
		} else if len(conds) == 0 {
			kind = proto.Join_CROSS
		}
		return &Join{Kind: kind, Left: d.Left, Right: in, Cond: and(conds...)}, nil
	case proto.DependentJoin_SCALAR:
		return b.scalarJoin(d, left)
	}
	return nil, nil
}

// covered reports that conditions read nothing but the two sides of the join.
func covered(conds []Expr, left colSet, right Node) bool {
	return both(left, idsOf(right.Cols())).has(columnsOf(conds...))
}

// over projects the left columns of d and its one output column, computed by e.
func (b *binder) over(in Node, d *Dependent, e Expr) Node {
	p := &Project{In: in}
	for _, c := range d.Left.Cols() {
		p.Out = append(p.Out, c)
		p.Exprs = append(p.Exprs, c.ref())
	}
	p.Out = append(p.Out, d.Out[0])
	p.Exprs = append(p.Exprs, e)
	return p
}

// someRows drops what does not change whether a plan has rows.
func someRows(n Node) Node {
	for {
		switch x := n.(type) {
		case *Project:
			for _, e := range x.Exprs {
				if isVolatile(e) {
					return n
				}
			}
			n = x.In
		case *Sort:
			n = x.In
		case *Limit:
			if x.Count == 0 || x.Offset > 0 {
				return n
			}
			n = x.In
		case *Aggregate:
			if len(x.Keys) == 0 || len(x.Always) > 0 {
				return n
			}
			n = x.In
		default:
			return n
		}
	}
}

// pullUp takes the conditions that mention outer columns out of a plan: the
// result is the plan without them, which has at least n's columns and those that
// the conditions read. ok is false when outer columns are used in another way.
func (b *binder) pullUp(n Node, outer colSet) (out Node, conds []Expr, ok bool) {
	if !freeColumns(n).meets(outer) {
		return n, nil, true
	}
	switch n := n.(type) {
	case *Filter:
		in, conds, ok := b.pullUp(n.In, outer)
		if !ok {
			return nil, nil, false
		}
		var stay []Expr
		for _, c := range terms(n.Cond) {
			switch {
			case isVolatile(c):
				return nil, nil, false
			case columnsOf(c).meets(outer):
				conds = append(conds, c)
			default:
				stay = append(stay, c)
			}
		}
		return filter(in, stay), conds, true
	case *Project:
		for _, e := range n.Exprs {
			if columnsOf(e).meets(outer) || isVolatile(e) {
				return nil, nil, false
			}
		}
		in, conds, ok := b.pullUp(n.In, outer)
		if !ok {
			return nil, nil, false
		}
		p := &Project{In: in, Exprs: n.Exprs[:len(n.Exprs):len(n.Exprs)], Out: n.Out[:len(n.Out):len(n.Out)]}
		p.Exprs, p.Out = carry(p.Exprs, p.Out, in, conds, outer)
		return p, conds, true
	case *Sort:
		in, conds, ok := b.pullUp(n.In, outer)
		if !ok || columnsOf(keyExprs(n.Keys)...).meets(outer) {
			return nil, nil, false
		}
		return &Sort{In: in, Keys: n.Keys}, conds, true
	case *Join:
		return b.pullUpJoin(n, outer)
	case *Aggregate:
		if len(n.Keys) == 0 || len(n.Always) > 0 {
			return nil, nil, false
		}
		return b.pullUpAggregate(n, outer)
	case *Limit:
		return b.pullUpLimit(n, outer)
	case *Window:
		in, conds, ok := b.pullUp(n.In, outer)
		if !ok {
			return nil, nil, false
		}
		keys, conds, ok := b.keysOf(conds, outer)
		if !ok {
			return nil, nil, false
		}
		w := *n
		w.Partition = append(n.Partition[:len(n.Partition):len(n.Partition)], keys...)
		w.In = in
		used := colSet{}
		nodeExprs(&w, func(e Expr) { addColumns(used, e) })
		if used.meets(outer) {
			return nil, nil, false
		}
		return &w, conds, true
	}
	return nil, nil, false
}

// carry adds the columns of in that conds read to a projection.
func carry(exprs []Expr, out []Col, in Node, conds []Expr, outer colSet) ([]Expr, []Col) {
	have := idsOf(out)
	need := columnsOf(conds...)
	for _, c := range in.Cols() {
		if need[c.ID] && !have[c.ID] && !outer[c.ID] {
			exprs, out = append(exprs, c.ref()), append(out, c)
		}
	}
	return exprs, out
}

func (b *binder) pullUpJoin(n *Join, outer colSet) (Node, []Expr, bool) {
	j := *n
	for _, k := range append(append([]Expr(nil), n.LeftKeys...), n.RightKeys...) {
		if columnsOf(k).meets(outer) {
			return nil, nil, false
		}
	}
	l, conds, ok := b.pullUp(n.Left, outer)
	if !ok {
		return nil, nil, false
	}
	j.Left = l
	inner := n.Kind == proto.Join_INNER || n.Kind == proto.Join_CROSS
	if !inner {
		// Rows of the other side that have no partner depend on the whole
		// condition: only the preserved side's own filters can go.
		switch n.Kind {
		case proto.Join_LEFT, proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK:
		default:
			return nil, nil, false
		}
		if freeColumns(n.Right).meets(outer) || columnsOf(n.Cond).meets(outer) {
			return nil, nil, false
		}
		return &j, conds, true
	}
	r, more, ok := b.pullUp(n.Right, outer)
	if !ok {
		return nil, nil, false
	}
	j.Right = r
	conds = append(conds, more...)
	var stay []Expr
	for _, c := range terms(n.Cond) {
		if columnsOf(c).meets(outer) {
			if isVolatile(c) {
				return nil, nil, false
			}
			conds = append(conds, c)
		} else {
			stay = append(stay, c)
		}
	}
	j.Cond = and(stay...)
	if j.Cond == nil && len(j.LeftKeys) == 0 {
		j.Kind = proto.Join_CROSS
	}
	return &j, conds, true
}

// keysOf are the inner sides of conditions that are all equalities of an inner
// with an outer expression: rows of one outer row have one value of each.
func (b *binder) keysOf(conds []Expr, outer colSet) (keys []Expr, out []Expr, ok bool) {
	for _, c := range conds {
		call, is := c.(*Call)
		if !is || !isEquality(call.F) {
			return nil, nil, false
		}
		x, y := call.Args[0], call.Args[1]
		cx, cy := columnsOf(x), columnsOf(y)
		switch {
		case cx.meets(outer) && !cy.meets(outer) && outer.has(cx) && len(cy) > 0:
			keys = append(keys, y)
		case cy.meets(outer) && !cx.meets(outer) && outer.has(cy) && len(cx) > 0:
			keys = append(keys, x)
		default:
			return nil, nil, false
		}
	}
	return keys, conds, true
}

// replaceKeys makes conditions read the columns that hold their inner sides.
func replaceKeys(conds, keys []Expr, cols []Col) []Expr {
	out := make([]Expr, len(conds))
	for i, c := range conds {
		out[i] = rewrite(c, func(e Expr) Expr {
			for j, k := range keys {
				if sameExpr(e, k) {
					return cols[j].ref()
				}
			}
			return nil
		})
	}
	return out
}

// pullUpAggregate adds the keys of the pulled conditions to those of the grouping.
func (b *binder) pullUpAggregate(n *Aggregate, outer colSet) (Node, []Expr, bool) {
	used := colSet{}
	nodeExprs(n, func(e Expr) { addColumns(used, e) })
	if used.meets(outer) {
		return nil, nil, false
	}
	in, conds, ok := b.pullUp(n.In, outer)
	if !ok {
		return nil, nil, false
	}
	keys, conds, ok := b.keysOf(conds, outer)
	if !ok {
		return nil, nil, false
	}
	a, cols := b.withKeys(n, in, keys)
	return a, replaceKeys(conds, keys, cols), true
}

// withKeys is n over in with more keys, and the columns that hold them.
func (b *binder) withKeys(n *Aggregate, in Node, keys []Expr) (*Aggregate, []Col) {
	a := &Aggregate{In: in, Keys: n.Keys[:len(n.Keys):len(n.Keys)], Calls: n.Calls}
	out := n.Out[:len(n.Keys):len(n.Keys)]
	cols := make([]Col, len(keys))
	for i, k := range keys {
		found := false
		for j, h := range a.Keys {
			if sameExpr(h, k) {
				cols[i], found = out[j], true
			}
		}
		if !found {
			cols[i] = b.newCol("", k.Type())
			a.Keys, out = append(a.Keys, k), append(out, cols[i])
		}
	}
	a.Out = append(out, n.Out[len(n.Keys):]...)
	return a, cols
}

// pullUpLimit makes LIMIT per outer row a condition on a numbering.
func (b *binder) pullUpLimit(n *Limit, outer colSet) (Node, []Expr, bool) {
	in := n.In
	if n.Count > math.MaxInt64-n.Offset {
		return nil, nil, false
	}
	var order []SortKey
	if s, ok := in.(*Sort); ok {
		in, order = s.In, s.Keys
	}
	if columnsOf(keyExprs(order)...).meets(outer) {
		return nil, nil, false
	}
	x, conds, ok := b.pullUp(in, outer)
	if !ok {
		return nil, nil, false
	}
	keys, conds, ok := b.keysOf(conds, outer)
	if !ok {
		return nil, nil, false
	}
	rn := b.newCol("", types.T(types.Int8))
	w := &Window{In: x, Partition: keys, Order: order, Out: []Col{rn}, Calls: []*WindowCall{{F: builtin("row_number"), T: rn.T, Frame: defaultFrame(false)}}}
	var terms []Expr
	if n.Offset > 0 {
		c, err := b.operator(">", []Expr{rn.ref(), constInt8(n.Offset)}, -1)
		if err != nil {
			return nil, nil, false
		}
		terms = append(terms, c)
	}
	if n.Count >= 0 {
		c, err := b.operator("<=", []Expr{rn.ref(), constInt8(n.Count + n.Offset)}, -1)
		if err != nil {
			return nil, nil, false
		}
		terms = append(terms, c)
	}
	return filter(w, terms), conds, true
}

// scalarJoin plans (SELECT …) for every outer row as a left join: of groups,
// when the subquery is an aggregate, else of rows that must be alone.
func (b *binder) scalarJoin(d *Dependent, left colSet) (Node, error) {
	// Projections above the aggregate are computed after the join; they may
	// mention the outer row.
	value := Expr(d.Right.Cols()[0].ref())
	n := d.Right
	for {
		p, ok := n.(*Project)
		if !ok {
			break
		}
		by := map[ColID]Expr{}
		for i, c := range p.Out {
			if isVolatile(p.Exprs[i]) {
				return nil, nil
			}
			by[c.ID] = p.Exprs[i]
		}
		value = substitute(value, by)
		n = p.In
	}
	agg, isAgg := n.(*Aggregate)
	if isAgg && len(agg.Keys) == 0 {
		used := colSet{}
		nodeExprs(agg, func(e Expr) { addColumns(used, e) })
		if used.meets(left) {
			return nil, nil
		}
		in, conds, ok := b.pullUp(agg.In, left)
		if !ok {
			return nil, nil
		}
		keys, conds, ok := b.keysOf(conds, left)
		if !ok || len(keys) == 0 {
			return nil, nil
		}
		a, cols := b.withKeys(agg, in, keys)
		conds = replaceKeys(conds, keys, cols)
		// No group for the outer row: the aggregates of no rows.
		empty := map[ColID]Expr{}
		for i, c := range agg.Calls {
			col := agg.Out[i]
			empty[col.ID] = &Const{T: col.T}
			if c.F.UDF != nil {
				return nil, nil // what it gives for no rows is its own affair
			}
			if c.F.Name == "count" || c.F.Name == "regr_count" || c.F.Name == "approx_count_distinct" {
				empty[col.ID] = constInt8(0)
			}
		}
		return b.leftJoin(d, a, conds, left, value, b.refold(substitute(value, empty)))
	}
	// Not an aggregate: group the rows by the keys, and complain about a second
	// one where an outer row meets it.
	in, conds, ok := b.pullUp(n, left)
	if !ok {
		return nil, nil
	}
	keys, conds, ok := b.keysOf(conds, left)
	if !ok || len(keys) == 0 {
		return nil, nil
	}
	check := function.Lookup("single_row")
	if len(check) == 0 {
		return nil, nil
	}
	g := &Aggregate{}
	by := map[ColID]Expr{}
	count := b.newCol("", types.T(types.Int8))
	for _, c := range in.Cols() {
		if !columnsOf(value)[c.ID] {
			continue
		}
		f, ats, t, err := function.Resolve("any_value", function.Lookup("any_value"), []types.Type{c.T})
		if err != nil || !t.Same(c.T) {
			return nil, nil
		}
		v := b.newCol(c.Name, c.T)
		g.Calls = append(g.Calls, &AggCall{F: f, Args: []Expr{c.ref()}, ArgTypes: ats, T: c.T})
		g.Out = append(g.Out, v)
		by[c.ID] = v.ref()
	}
	g.Calls = append(g.Calls, &AggCall{F: countStar(), T: count.T})
	g.Out = append(g.Out, count)
	a, cols := b.withKeys(g, in, keys)
	conds = replaceKeys(conds, keys, cols)
	value = substitute(value, by)
	t := value.Type()
	checked := &Call{F: check[0], Args: []Expr{value, count.ref()}, T: t}
	return b.leftJoin(d, a, conds, left, checked, &Const{T: t})
}

// leftJoin joins groups to the outer rows: value where there is a group, none
// where there is not.
func (b *binder) leftJoin(d *Dependent, right Node, conds []Expr, left colSet, value, none Expr) (Node, error) {
	matched := b.newCol("", boolType)
	p := &Project{In: right}
	for _, c := range right.Cols() {
		p.Exprs, p.Out = append(p.Exprs, c.ref()), append(p.Out, c)
	}
	p.Exprs, p.Out = append(p.Exprs, boolConst(true)), append(p.Out, matched)
	if !covered(conds, left, p) || !both(left, idsOf(p.Out)).has(columnsOf(value)) {
		return nil, nil
	}
	j := &Join{Kind: proto.Join_LEFT, Left: d.Left, Right: p, Cond: and(conds...)}
	e := &Case{T: d.Out[0].T, Else: none, Whens: []When{{Cond: matched.ref(), Result: value}}}
	return b.over(j, d, e), nil
}

// refold folds what substitution has made constant.
func (b *binder) refold(e Expr) Expr {
	switch x := e.(type) {
	case *Column, *Const, *Param:
		return e
	case *Call:
		c := *x
		c.Args = make([]Expr, len(x.Args))
		for i, a := range x.Args {
			c.Args[i] = b.refold(a)
		}
		return b.fold(&c)
	case *Cast:
		c := *x
		c.Arg = b.refold(x.Arg)
		return b.fold(&c)
	}
	return b.fold(e)
}

func countStar() *function.Function {
	for _, f := range function.Lookup("count") {
		if len(f.Args) == 0 {
			return f
		}
	}
	return nil
}
