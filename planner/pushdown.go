package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// pushDown moves conditions towards the scans and finds the equal keys of
// joins. A condition with a volatile function stays where it is, and nothing
// moves below a node that evaluates one.
func (b *binder) pushDown(n Node, conds []Expr) (Node, error) {
	switch n := n.(type) {
	case *Filter:
		list := terms(n.Cond)
		for _, t := range list {
			if isVolatile(t) {
				// Terms before and after may not pass it either: how often it
				// is evaluated would change.
				in, err := b.pushDown(n.In, nil)
				return filter(&Filter{In: in, Cond: n.Cond}, conds), err
			}
		}
		return b.pushDown(n.In, append(list, conds...))
	case *Project:
		for _, e := range n.Exprs {
			if isVolatile(e) {
				return b.stop(n, conds)
			}
		}
		by := map[ColID]Expr{}
		for i, c := range n.Out {
			by[c.ID] = n.Exprs[i]
		}
		var down, stay []Expr
		for _, c := range conds {
			if costly(c, by) {
				stay = append(stay, c)
				continue
			}
			if c = b.foldCond(substitute(c, by)); !isTrue(c) {
				down = append(down, conjuncts(nil, c)...)
			}
		}
		in, err := b.pushDown(n.In, down)
		return filter(&Project{In: in, Exprs: n.Exprs, Out: n.Out}, stay), err
	case *Sort:
		in, err := b.pushDown(n.In, conds)
		return &Sort{In: in, Keys: n.Keys}, err
	case *Aggregate:
		// Only conditions over keys, and only with keys: without, a condition
		// above decides about the one row.
		if len(n.Keys) == 0 {
			return b.stop(n, conds)
		}
		by := map[ColID]Expr{}
		for i, k := range n.Keys {
			by[n.Out[i].ID] = k
		}
		keys := idsOf(n.Out[:len(n.Keys)])
		var down, stay []Expr
		for _, c := range conds {
			if keys.has(columnsOf(c)) && !isVolatileMap(by) && len(columnsOf(c)) > 0 {
				down = append(down, substitute(c, by))
				if len(n.Always) > 0 { // their groups come back
					stay = append(stay, c)
				}
			} else {
				stay = append(stay, c)
				if e := impliedBy(c, keys); e != nil && !isVolatileMap(by) {
					down = append(down, substitute(e, by))
				}
			}
		}
		in, err := b.pushDown(n.In, down)
		a := *n
		a.In = in
		return filter(&a, stay), err
	case *Window:
		part := colSet{}
		for _, e := range n.Partition {
			if c, ok := e.(*Column); ok {
				part[c.ID] = true
			}
		}
		var down, stay []Expr
		for _, c := range conds {
			// Whole partitions come or go: the others' values do not change.
			if cs := columnsOf(c); len(cs) > 0 && part.has(cs) {
				down = append(down, c)
			} else {
				stay = append(stay, c)
			}
		}
		in, err := b.pushDown(n.In, down)
		w := *n
		w.In = in
		return filter(&w, stay), err
	case *GroupedMap:
		if n.BatchRows != 1 {
			return b.stop(n, conds)
		}
		passed := idsOf(n.Out[:len(n.Keys)])
		var down, stay []Expr
		for _, c := range conds {
			if cs := columnsOf(c); len(cs) > 0 && passed.has(cs) && n.F.Volatility != function.Volatile {
				down = append(down, c)
			} else {
				stay = append(stay, c)
			}
		}
		in, err := b.pushDown(n.In, down)
		g := *n
		g.In = in
		return filter(&g, stay), err
	case *Union:
		u := &Union{Out: n.Out}
		for _, in := range n.In {
			by := map[ColID]Expr{}
			for i, c := range in.Cols() {
				by[n.Out[i].ID] = c.ref()
			}
			var down []Expr
			for _, c := range conds {
				down = append(down, substitute(c, by))
			}
			x, err := b.pushDown(in, down)
			if err != nil {
				return nil, err
			}
			u.In = append(u.In, x)
		}
		return u, nil
	case *Join:
		return b.pushJoin(n, conds)
	case *AsofJoin:
		return b.pushAsof(n, conds)
	case *Dependent:
		left := idsOf(n.Left.Cols())
		var down, stay []Expr
		for _, c := range conds {
			if left.has(columnsOf(c)) {
				down = append(down, c)
			} else {
				stay = append(stay, c)
			}
		}
		l, err := b.pushDown(n.Left, down)
		if err != nil {
			return nil, err
		}
		r, err := b.pushDown(n.Right, nil)
		d := *n
		d.Left, d.Right = l, r
		return filter(&d, stay), err
	case *Scan:
		if len(conds) == 0 {
			return n, nil
		}
		s := *n
		own := idsOf(n.Out)
		var stay []Expr
		for _, c := range conds {
			if n.Limit == 0 && own.has(columnsOf(c)) && !hasUDF(c) {
				if !contains(conjuncts(nil, s.Filter), c) {
					s.Filter = and(s.Filter, c)
				}
			} else {
				stay = append(stay, c)
			}
		}
		return filter(&s, stay), nil
	}
	return b.stop(n, conds)
}

// stop leaves conds above n and starts afresh below it.
func (b *binder) stop(n Node, conds []Expr) (Node, error) {
	m, err := b.mapInputs(n, func(in Node) (Node, error) { return b.pushDown(in, nil) })
	if err != nil {
		return nil, err
	}
	return filter(m, conds), nil
}

func filter(n Node, conds []Expr) Node {
	if len(conds) == 0 {
		return n
	}
	if f, ok := n.(*Filter); ok {
		return &Filter{In: f.In, Cond: and(append([]Expr{f.Cond}, conds...)...)}
	}
	return &Filter{In: n, Cond: and(conds...)}
}

// costly reports whether pushing c below a projection would evaluate user code
// a second time.
func costly(c Expr, by map[ColID]Expr) bool {
	for id := range columnsOf(c) {
		if e, ok := by[id]; ok && hasUDF(e) {
			return true
		}
	}
	return false
}

func hasUDF(e Expr) bool {
	found := false
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Call); ok && c.F.UDF != nil {
			found = true
		}
		return !found
	})
	return found
}

func isVolatileMap(by map[ColID]Expr) bool {
	for _, e := range by {
		if isVolatile(e) {
			return true
		}
	}
	return false
}

func substitute(e Expr, by map[ColID]Expr) Expr {
	return rewrite(e, func(e Expr) Expr {
		if c, ok := e.(*Column); ok {
			return by[c.ID]
		}
		return nil
	})
}

// pushJoin distributes conditions over a join's sides and its keys.
func (b *binder) pushJoin(n *Join, conds []Expr) (Node, error) {
	j := *n
	left, right := idsOf(n.Left.Cols()), idsOf(n.Right.Cols())
	j.Kind = innerKind(n.Kind, conds, left, right)
	kind := j.Kind
	var toLeft, toRight, on, stay []Expr
	for _, c := range terms(n.Cond) {
		cs := columnsOf(c)
		switch {
		case isVolatile(c):
			on = append(on, c)
		case right.has(cs) && len(cs) > 0 && (kind == proto.Join_INNER || kind == proto.Join_CROSS || kind == proto.Join_LEFT || kind == proto.Join_SEMI || kind == proto.Join_ANTI):
			toRight = append(toRight, c)
		case left.has(cs) && len(cs) > 0 && (kind == proto.Join_INNER || kind == proto.Join_CROSS || kind == proto.Join_RIGHT || kind == proto.Join_SEMI):
			toLeft = append(toLeft, c)
		default:
			on = append(on, c)
		}
	}
	for _, c := range conds {
		cs := columnsOf(c)
		inner := kind == proto.Join_INNER || kind == proto.Join_CROSS
		switch {
		case isVolatile(c) || len(cs) == 0:
			stay = append(stay, c)
		case left.has(cs) && kind != proto.Join_RIGHT && kind != proto.Join_FULL:
			toLeft = append(toLeft, c)
		case right.has(cs) && (inner || kind == proto.Join_RIGHT):
			toRight = append(toRight, c)
		case inner && both(left, right).has(cs):
			on = append(on, c)
		default:
			stay = append(stay, c)
		}
	}
	if kind == proto.Join_INNER || kind == proto.Join_CROSS {
		for _, c := range on {
			if e := impliedBy(c, left); e != nil {
				toLeft = append(toLeft, e)
			}
			if e := impliedBy(c, right); e != nil {
				toRight = append(toRight, e)
			}
		}
	}
	j.Cond = nil
	var rest []Expr
	for _, c := range on {
		l, r, safe, ok := b.equalKey(c, left, right)
		if ok && kind != proto.Join_MARK {
			j.LeftKeys = append(j.LeftKeys[:len(j.LeftKeys):len(j.LeftKeys)], l)
			j.RightKeys = append(j.RightKeys[:len(j.RightKeys):len(j.RightKeys)], r)
			j.NullSafe = append(j.NullSafe[:len(j.NullSafe):len(j.NullSafe)], safe)
			continue
		}
		rest = append(rest, c)
	}
	j.Cond = and(rest...)
	if j.Kind == proto.Join_CROSS && (len(j.LeftKeys) > 0 || j.Cond != nil) {
		j.Kind = proto.Join_INNER
	}
	var err error
	if j.Left, err = b.pushDown(n.Left, toLeft); err != nil {
		return nil, err
	}
	if j.Right, err = b.pushDown(n.Right, toRight); err != nil {
		return nil, err
	}
	return filter(&j, stay), nil
}

func both(a, b colSet) colSet {
	out := colSet{}
	for id := range a {
		out[id] = true
	}
	for id := range b {
		out[id] = true
	}
	return out
}

// equalKey recognises l = r and l IS NOT DISTINCT FROM r with one side each,
// and brings both to one type, which hashing needs.
func (b *binder) equalKey(c Expr, left, right colSet) (l, r Expr, nullSafe, ok bool) {
	var x, y Expr
	switch e := c.(type) {
	case *Call:
		if len(e.Args) != 2 || !isEquality(e.F) {
			return nil, nil, false, false
		}
		x, y = e.Args[0], e.Args[1]
	case *Is:
		if e.Op != proto.IsTest_NOT_DISTINCT {
			return nil, nil, false, false
		}
		x, y, nullSafe = e.Arg, e.Right, true
	default:
		return nil, nil, false, false
	}
	cx, cy := columnsOf(x), columnsOf(y)
	if len(cx) == 0 || len(cy) == 0 {
		return nil, nil, false, false
	}
	switch {
	case left.has(cx) && right.has(cy):
		l, r = x, y
	case left.has(cy) && right.has(cx):
		l, r = y, x
	default:
		return nil, nil, false, false
	}
	l, r, err := b.comparable(l, r)
	if err != nil || l.Type() != r.Type() {
		return nil, nil, false, false
	}
	return l, r, nullSafe, true
}

// isEquality reports whether f stands behind the operator =.
func isEquality(f *function.Function) bool {
	return f.Op == "=" && len(f.Args) == 2 && (f.Args[0] == f.Args[1] ||
		f.Args[0].IsNumeric() && f.Args[1].IsNumeric() && f.Args[0].ID != types.Float4 && f.Args[1].ID != types.Float4)
}

// mapInputs copies a node with other inputs.
func (b *binder) mapInputs(n Node, f func(Node) (Node, error)) (Node, error) {
	var err error
	one := func(in Node) Node {
		if err != nil {
			return in
		}
		var out Node
		out, err = f(in)
		return out
	}
	switch n := n.(type) {
	case *Filter:
		return &Filter{In: one(n.In), Cond: n.Cond}, err
	case *Project:
		return &Project{In: one(n.In), Exprs: n.Exprs, Out: n.Out}, err
	case *ProjectSet:
		return &ProjectSet{In: one(n.In), Calls: n.Calls, Out: n.Out}, err
	case *Limit:
		return &Limit{In: one(n.In), Count: n.Count, Offset: n.Offset}, err
	case *Sort:
		return &Sort{In: one(n.In), Keys: n.Keys}, err
	case *Aggregate:
		c := *n
		c.In = one(n.In)
		return &c, err
	case *Join:
		c := *n
		c.Left, c.Right = one(n.Left), one(n.Right)
		return &c, err
	case *AsofJoin:
		c := *n
		c.Left, c.Right = one(n.Left), one(n.Right)
		return &c, err
	case *Window:
		c := *n
		c.In = one(n.In)
		return &c, err
	case *Union:
		c := &Union{Out: n.Out}
		for _, in := range n.In {
			c.In = append(c.In, one(in))
		}
		return c, err
	case *GroupedMap:
		c := *n
		c.In = one(n.In)
		return &c, err
	case *SingleRow:
		return &SingleRow{In: one(n.In)}, err
	case *Dependent:
		c := *n
		c.Left, c.Right = one(n.Left), one(n.Right)
		return &c, err
	case *RecursiveUnion:
		c := *n
		c.Base, c.Rec = exactly(one(n.Base), n.Base.Cols()), exactly(one(n.Rec), n.Rec.Cols())
		return &c, err
	}
	return n, nil
}
