package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
)

// nullCalls is the rule that a call of a strict function with a constant NULL is
// NULL without its other arguments, whose errors (1/x + NULL) are then never
// raised, as in Postgres. It runs on the bound tree: while names are bound a
// column that vanishes would hide that it is not grouped by.
type nullCalls struct {
	b *binder
	// nulls are columns that are NULL in every row; an outer join leaves them so.
	nulls colSet
}

func (p *nullCalls) node(n Node) (Node, error) {
	n, err := p.b.mapInputs(n, p.node)
	if err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case *Filter:
		return &Filter{In: n.In, Cond: p.expr(n.Cond)}, nil
	case *Project:
		out := &Project{In: n.In, Exprs: p.list(n.Exprs), Out: n.Out}
		for i, e := range out.Exprs {
			if p.isNull(e) {
				p.nulls.add(n.Out[i].ID)
			}
		}
		return out, nil
	case *SingleRow:
		// The value of a scalar subquery counts as computed, whatever it is.
		for _, c := range n.Cols() {
			delete(p.nulls, c.ID)
		}
	case *Join:
		j := *n
		j.Cond = p.expr(n.Cond)
		return &j, nil
	case *Aggregate:
		a := *n
		a.Calls = append(a.Calls[:0:0], n.Calls...)
		for i, c := range n.Calls {
			call := *c
			call.Args, call.Filter = p.list(c.Args), p.expr(c.Filter)
			a.Calls[i] = &call
		}
		return &a, nil
	case *Window:
		w := *n
		w.Calls = append(w.Calls[:0:0], n.Calls...)
		for i, c := range n.Calls {
			call := *c
			call.Args, call.Filter = p.list(c.Args), p.expr(c.Filter)
			w.Calls[i] = &call
		}
		return &w, nil
	}
	return n, nil
}

func (p *nullCalls) list(es []Expr) []Expr {
	if es == nil {
		return nil
	}
	out := make([]Expr, len(es))
	for i, e := range es {
		out[i] = p.expr(e)
	}
	return out
}

// expr applies the rule to operands first, and folds what it makes constant.
func (p *nullCalls) expr(e Expr) Expr {
	out := rewrite(e, func(operand Expr) Expr {
		if operand == e {
			return nil // goes on to the operands
		}
		return p.expr(operand)
	})
	if p.neverComputed(out) {
		return &Const{T: out.Type(), Pos: exprPos(out)}
	}
	if out != e {
		return p.b.fold(out)
	}
	return out
}

func (p *nullCalls) neverComputed(e Expr) bool {
	switch e := e.(type) {
	case *Call:
		if !e.F.Strict || e.F.Kind != function.Scalar {
			return false
		}
		null := false
		for _, a := range e.Args {
			if p.isNull(a) {
				null = true
			} else if !isConst(a) && constant(a) {
				return false // it fails, and of constants that comes first
			}
		}
		return null
	case *Coalesce:
		return e.Op == proto.Coalesce_NULLIF && p.isNull(e.Args[0])
	case *InList:
		return len(e.Values) == 1 && p.isNull(e.Values[0]) // of more the elements count
	}
	return false
}

func (p *nullCalls) isNull(e Expr) bool {
	switch e := e.(type) {
	case *Const:
		return e.V == nil
	case *Column:
		return p.nulls[e.ID]
	}
	return false
}

// constant reports an expression of constants alone.
func constant(e Expr) bool {
	switch x := e.(type) {
	case *Const:
		return true
	case *Call:
		if x.F.Volatility == function.Volatile {
			return false
		}
	}
	ok, operands := true, 0
	children(e, func(c Expr) {
		operands++
		ok = ok && constant(c)
	})
	return ok && operands > 0
}
