package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// rolledShare is how many of the rows may be left as groups by all keys for a
// grouping by several sets to be made over them.
const rolledShare = 0.25

// rollUp makes the aggregates of GROUPING SETS, ROLLUP and CUBE over groups by all
// keys where these are few: then groups are multiplied by the sets, not rows.
func (b *binder) rollUp(n Node, est *estimator) (Node, error) {
	n, err := b.mapInputs(n, func(in Node) (Node, error) { return b.rollUp(in, est) })
	if err != nil {
		return nil, err
	}
	a, ok := n.(*Aggregate)
	if !ok {
		return n, nil
	}
	r := b.rollUpOf(a)
	if r == nil {
		return n, nil
	}
	in := est.of(r.inner.In)
	if in.rows < reducedRows*b.o.sizes().rowsPerTask || in.groups(r.inner.Keys) > rolledShare*in.rows {
		return n, nil
	}
	return r.plan(a)
}

// rolled is an aggregation by several sets, taken apart.
type rolled struct {
	b       *binder
	sets    *Values
	project *Project // what multiplies and makes the keys
	inner   *Aggregate
	outer   *Aggregate
	out     *Project // of outer's columns, those of the aggregation
	ok      bool
}

// rollUpOf is nil when n has another shape or aggregates that do not come in parts.
func (b *binder) rollUpOf(a *Aggregate) *rolled {
	p, ok := a.In.(*Project)
	if !ok {
		return nil
	}
	j, ok := p.In.(*Join)
	if !ok || j.Kind != proto.Join_CROSS {
		return nil
	}
	v, ok := j.Right.(*Values)
	if !ok || len(v.Out) != 1 || len(v.Rows) < 2 {
		return nil
	}
	set := v.Out[0].ID
	r := &rolled{b: b, sets: v, ok: true, inner: &Aggregate{In: j.Left}, outer: &Aggregate{Keys: a.Keys, Always: a.Always, Out: a.Out[:len(a.Keys):len(a.Keys)]}, project: &Project{}, out: &Project{}}
	by := map[ColID]Expr{}
	for i, c := range p.Out {
		by[c.ID] = p.Exprs[i]
	}
	for _, k := range a.Keys {
		c, ok := k.(*Column)
		if !ok || by[c.ID] == nil {
			return nil
		}
		e := by[c.ID]
		if isVolatile(e) || hasUDF(e) {
			return nil
		}
		r.project.Exprs = append(r.project.Exprs, r.key(e, set))
		r.project.Out = append(r.project.Out, Col{ID: c.ID, Name: c.Name, T: c.T})
	}
	for i, c := range a.Out[:len(a.Keys)] {
		r.out.Exprs, r.out.Out = append(r.out.Exprs, a.Out[i].ref()), append(r.out.Out, c)
	}
	for i, c := range a.Calls {
		if c.Distinct || len(c.Order) > 0 || c.F.UDF != nil {
			return nil
		}
		call := *c
		call.Args = nil
		for _, x := range c.Args {
			call.Args = append(call.Args, substitute(x, by))
		}
		if c.Filter != nil {
			call.Filter = substitute(c.Filter, by)
		}
		if used := columnsOf(append(append([]Expr{}, call.Args...), call.Filter)...); used[set] || anyVolatileExpr(call.Args, call.Filter) {
			return nil
		}
		e := r.call(&call)
		if !r.ok || e == nil || !e.Type().Same(c.T) {
			return nil
		}
		r.out.Exprs, r.out.Out = append(r.out.Exprs, e), append(r.out.Out, a.Out[len(a.Keys)+i])
	}
	if len(r.inner.Keys) == 0 || !r.ok {
		return nil
	}
	return r
}

func anyVolatileExpr(es []Expr, more Expr) bool {
	for _, e := range es {
		if isVolatile(e) || hasUDF(e) {
			return true
		}
	}
	return more != nil && (isVolatile(more) || hasUDF(more))
}

// key makes what e is a key of over the groups by all keys: e itself where it
// decides by the set, over a column of the inner grouping.
func (r *rolled) key(e Expr, set ColID) Expr {
	switch x := e.(type) {
	case *Const:
		return e
	case *Column:
		if x.ID == set {
			return e
		}
	case *Case:
		// As expandSets writes it.
		if len(x.Whens) == 1 && x.Else == nil {
			if cs := columnsOf(x.Whens[0].Cond); len(cs) == 1 && cs[set] && !columnsOf(x.Whens[0].Result)[set] {
				return &Case{T: x.T, Whens: []When{{Cond: x.Whens[0].Cond, Result: r.inner.addKey(r.b, x.Whens[0].Result)}}}
			}
		}
	}
	if columnsOf(e)[set] {
		r.ok = false
		return e
	}
	return r.inner.addKey(r.b, e)
}

// addKey groups by k, too.
func (a *Aggregate) addKey(b *binder, k Expr) Expr {
	for i, h := range a.Keys {
		if sameExpr(h, k) {
			return a.Out[i].ref()
		}
	}
	name := ""
	if c, ok := k.(*Column); ok {
		name = c.Name
	}
	// Keys come before calls; calls are added once all keys are known.
	a.Keys = append(a.Keys, k)
	a.Out = append(a.Out, b.newCol(name, k.Type()))
	return a.Out[len(a.Out)-1].ref()
}

// call computes an aggregate in two steps and returns the result over the outer
// grouping's columns, nil if that is not possible.
func (r *rolled) call(c *AggCall) Expr {
	switch c.F.Name {
	case "count":
		n := r.total("sum", r.part(c))
		if n == nil {
			return nil
		}
		return &Coalesce{Op: proto.Coalesce_COALESCE, Args: []Expr{&Cast{T: c.T, Arg: n}, constInt8(0)}, T: c.T}
	case "sum":
		switch c.T.ID {
		case types.Int8:
			if s := r.total("sum", r.part(c)); s != nil {
				return &Cast{T: c.T, Arg: s}
			}
		case types.Numeric:
			return r.total("sum", r.part(c))
		}
	case "min", "max":
		return r.total(c.F.Name, r.part(c))
	case "avg":
		if c.T.ID != types.Numeric || len(c.Args) != 1 {
			return nil
		}
		s, n := r.total("sum", r.partOf("sum", c)), r.total("sum", r.partOf("count", c))
		if s == nil || n == nil {
			return nil
		}
		some, err := r.b.operator(">", []Expr{n, constInt8(0)}, -1)
		if err != nil {
			return nil
		}
		q, err := r.b.operator("/", []Expr{s, n}, -1)
		if err != nil {
			return nil
		}
		return &Case{T: c.T, Whens: []When{{Cond: some, Result: q}}}
	}
	return nil
}

// partOf is a part that another aggregate of c's argument makes.
func (r *rolled) partOf(name string, c *AggCall) Expr {
	f, ats, t, err := function.Resolve(name, function.Lookup(name), []types.Type{c.Args[0].Type()})
	if err != nil {
		return nil
	}
	return r.part(&AggCall{F: f, Args: c.Args, ArgTypes: ats, Filter: c.Filter, T: t})
}

// part is a call of the inner grouping.
func (r *rolled) part(c *AggCall) Expr {
	keys := len(r.inner.Keys)
	for i, h := range r.inner.Calls {
		if sameAgg(h, c) {
			return r.inner.Out[keys+i].ref()
		}
	}
	col := r.b.newCol(c.F.Name, c.T)
	r.inner.Calls, r.inner.Out = append(r.inner.Calls, c), append(r.inner.Out, col)
	r.project.Exprs, r.project.Out = append(r.project.Exprs, col.ref()), append(r.project.Out, col)
	return col.ref()
}

// total is an aggregate of parts in the outer grouping.
func (r *rolled) total(name string, part Expr) Expr {
	if part == nil {
		return nil
	}
	f, ats, t, err := function.Resolve(name, function.Lookup(name), []types.Type{part.Type()})
	if err != nil || len(ats) != 1 || !ats[0].Same(part.Type()) {
		return nil
	}
	c := &AggCall{F: f, Args: []Expr{part}, ArgTypes: ats, T: t}
	keys := len(r.outer.Keys)
	for i, h := range r.outer.Calls {
		if sameAgg(h, c) {
			return r.outer.Out[keys+i].ref()
		}
	}
	col := r.b.newCol(name, t)
	r.outer.Calls, r.outer.Out = append(r.outer.Calls, c), append(r.outer.Out, col)
	return col.ref()
}

// plan puts the parts together.
func (r *rolled) plan(*Aggregate) (Node, error) {
	r.project.In = &Join{Kind: proto.Join_CROSS, Left: r.inner, Right: r.sets}
	r.outer.In = r.project
	r.out.In = r.outer
	return r.out, nil
}
