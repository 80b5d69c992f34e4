package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/udf"
)

// postponed is a projection that moves above a LIMIT: columns that user code computes,
// and those computed from them.
type postponed struct {
	exprs []Expr
	out   []Col
}

// postpone moves user code in the select list above LIMIT, where it runs for the rows
// that are left: what ORDER BY and conditions below read stays. For more rows than a
// task is given all tasks together are quicker with it below.
func (b *binder) postpone(n Node) (Node, error) {
	n, err := b.mapInputs(n, b.postpone)
	if err != nil {
		return nil, err
	}
	l, ok := n.(*Limit)
	if !ok || l.Count < 0 || l.Count > RowsPerTask {
		return n, nil
	}
	in, layers := b.split(l.In, colSet{})
	if len(layers) == 0 {
		return n, nil
	}
	return computed(&Limit{In: in, Count: l.Count, Offset: l.Offset}, layers, n.Cols()), nil
}

// computed computes what was postponed from the columns of n, the lowest first; the
// result has the columns cols.
func computed(n Node, layers []postponed, cols []Col) Node {
	for i, l := range layers {
		p := &Project{In: n, Out: cols}
		if i < len(layers)-1 {
			p.Out = concatCols(n.Cols(), l.out)
		}
		by := map[ColID]Expr{}
		for j, c := range l.out {
			by[c.ID] = l.exprs[j]
		}
		for _, c := range p.Out {
			if by[c.ID] == nil {
				by[c.ID] = c.ref()
			}
			p.Exprs = append(p.Exprs, by[c.ID])
		}
		n = p
	}
	return exactly(n, cols)
}

// split takes what can be postponed out of n, of whose columns the nodes between it and
// the LIMIT read some. What is left has the columns that the layers read.
func (b *binder) split(n Node, reads colSet) (Node, []postponed) {
	switch n := n.(type) {
	case *Sort:
		in, layers := b.split(n.In, both(reads, columnsOf(keyExprs(n.Keys)...)))
		return &Sort{In: in, Keys: n.Keys}, layers
	case *Filter:
		in, layers := b.split(n.In, both(reads, columnsOf(n.Cond)))
		return &Filter{In: in, Cond: n.Cond}, layers
	case *Project:
		return b.splitProject(n, reads)
	}
	return n, nil
}

func (b *binder) splitProject(n *Project, reads colSet) (Node, []postponed) {
	below := colSet{}
	var fixed []Expr // calls that are made below in any case
	for i, e := range n.Exprs {
		if reads[n.Out[i].ID] || b.skipsRows(e) {
			addColumns(below, e)
			fixed = append(fixed, e)
		}
	}
	in, layers := b.split(n.In, below)
	late := colSet{}
	for _, l := range layers {
		late.add(colIDs(l.out)...)
	}
	var own postponed
	p := &Project{}
	for i, e := range n.Exprs {
		c := n.Out[i]
		if reads[c.ID] || b.skipsRows(e) || !columnsOf(e).meets(late) && (!hasUDF(e) || repeats(e, fixed)) {
			p.Exprs, p.Out = append(p.Exprs, e), append(p.Out, c)
			continue
		}
		if x, ok := e.(*Column); ok && x.ID == c.ID {
			continue
		}
		own.exprs, own.out = append(own.exprs, e), append(own.out, c)
	}
	if len(own.out) > 0 {
		layers = append(layers, own)
	}
	if len(layers) == 0 {
		return n, nil
	}
	need := colSet{}
	for _, l := range layers {
		for _, e := range l.exprs {
			addColumns(need, e)
		}
	}
	have := idsOf(p.Out)
	for _, c := range in.Cols() {
		if need[c.ID] && !have[c.ID] {
			p.Exprs, p.Out = append(p.Exprs, c.ref()), append(p.Out, c)
		}
	}
	p.In = in
	return p, layers
}

// repeats reports that e has a call of user code that is made for es, too: next to each
// other both are one.
func repeats(e Expr, es []Expr) bool {
	found := false
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Call); ok && c.F.UDF != nil {
			for _, x := range es {
				walk(x, func(x Expr) bool {
					found = found || sameExpr(c, x)
					return !found
				})
			}
		}
		return !found
	})
	return found
}

// skipsRows reports that rows are left out when user code in e fails for them: LIMIT
// counts those that are left.
func (b *binder) skipsRows(e Expr) bool {
	found := false
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Call); ok && c.F.UDF != nil && b.skips(c.F) {
			found = true
		}
		return !found
	})
	return found
}

// skips reports that rows on which f fails are left out.
func (b *binder) skips(f *function.Function) bool {
	session := ""
	if fc := b.o.Functions; fc != nil && fc.Setting != nil {
		session, _ = fc.Setting("volley.on_error")
	}
	return udf.OnErrorOf(udf.RefToProto(f), session) == udf.OnErrorSkip
}

// callsUDF reports that user code computes expressions of a plan.
func callsUDF(n Node) bool {
	found := false
	nodeExprs(n, func(e Expr) { found = found || hasUDF(e) })
	for _, in := range n.Inputs() {
		found = found || callsUDF(in)
	}
	return found
}
