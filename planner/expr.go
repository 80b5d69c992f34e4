package planner

import (
	"bytes"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// ColID identifies a column within one statement. A node that passes a column
// on keeps its ID, so rules move expressions without renumbering them.
type ColID uint32

// Expr is a bound expression.
type Expr interface {
	Type() types.Type
}

type (
	// Column refers to a column of the node's input, or of an enclosing query.
	Column struct {
		ID   ColID
		T    types.Type
		Name string // for messages
		Pos  int
	}
	// Const is a value of one row; V is nil for NULL. An untyped literal has
	// type Unknown and a text value until its context gives it a type.
	Const struct {
		T   types.Type
		V   *vector.Vector
		Pos int
	}
	// Param is $n where the value is not known yet (Prepare).
	Param struct {
		N   int // from 1
		T   types.Type
		Pos int
	}
	// Call is a scalar function call.
	Call struct {
		F    *function.Function
		Args []Expr
		T    types.Type
		Pos  int
		// Site tells one volatile call from another: a copied expression keeps
		// its number only if it stands for the same evaluation.
		Site int
	}
	// Case is CASE WHEN; the simple form is bound to comparisons.
	Case struct {
		Whens []When
		Else  Expr // nil = NULL
		T     types.Type
	}
	// When is a branch of a Case.
	When struct{ Cond, Result Expr }
	// Bool is AND, OR, NOT.
	Bool struct {
		Op   proto.Bool_Op
		Args []Expr
	}
	// Is is IS [NOT] NULL, TRUE, FALSE, DISTINCT FROM.
	Is struct {
		Op         proto.IsTest_Op
		Arg, Right Expr
	}
	// Cast converts Arg to T.
	Cast struct {
		Arg      Expr
		T        types.Type
		Explicit bool
		Pos      int
	}
	// Coalesce is COALESCE, GREATEST, LEAST, NULLIF.
	Coalesce struct {
		Op   proto.Coalesce_Op
		Args []Expr
		T    types.Type
	}
	// InList is arg [NOT] IN (constants).
	InList struct {
		Arg    Expr
		Values []*Const
		Not    bool
	}
	// Array is ARRAY[…].
	Array struct {
		Elems []Expr
		T     types.Type
	}
)

var boolType = types.T(types.Bool)

// Type implementations.
func (e *Column) Type() types.Type   { return e.T }
func (e *Const) Type() types.Type    { return e.T }
func (e *Param) Type() types.Type    { return e.T }
func (e *Call) Type() types.Type     { return e.T }
func (e *Case) Type() types.Type     { return e.T }
func (e *Bool) Type() types.Type     { return boolType }
func (e *Is) Type() types.Type       { return boolType }
func (e *Cast) Type() types.Type     { return e.T }
func (e *Coalesce) Type() types.Type { return e.T }
func (e *InList) Type() types.Type   { return boolType }
func (e *Array) Type() types.Type    { return e.T }

// SortKey is one item of an ORDER BY.
type SortKey struct {
	Expr             Expr
	Desc, NullsFirst bool
}

// children calls f for the direct operands of e.
func children(e Expr, f func(Expr)) {
	switch e := e.(type) {
	case *Call:
		for _, a := range e.Args {
			f(a)
		}
	case *Case:
		for _, w := range e.Whens {
			f(w.Cond)
			f(w.Result)
		}
		if e.Else != nil {
			f(e.Else)
		}
	case *Bool:
		for _, a := range e.Args {
			f(a)
		}
	case *Is:
		f(e.Arg)
		if e.Right != nil {
			f(e.Right)
		}
	case *Cast:
		f(e.Arg)
	case *Coalesce:
		for _, a := range e.Args {
			f(a)
		}
	case *InList:
		f(e.Arg)
	case *Array:
		for _, a := range e.Elems {
			f(a)
		}
	}
}

// walk calls f for e and everything under it, e first; f returns false to stay
// out of a subtree.
func walk(e Expr, f func(Expr) bool) {
	if e == nil || !f(e) {
		return
	}
	children(e, func(c Expr) { walk(c, f) })
}

// rewrite returns e with f applied: where f gives a replacement, its operands
// are not visited. Unchanged parts are shared.
func rewrite(e Expr, f func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	if r := f(e); r != nil {
		return r
	}
	list := func(in []Expr) ([]Expr, bool) {
		var out []Expr
		for i, a := range in {
			if r := rewrite(a, f); r != a {
				if out == nil {
					out = append([]Expr(nil), in...)
				}
				out[i] = r
			}
		}
		if out == nil {
			return in, false
		}
		return out, true
	}
	switch e := e.(type) {
	case *Call:
		if args, ok := list(e.Args); ok {
			c := *e
			c.Args = args
			return &c
		}
	case *Case:
		c := Case{T: e.T, Else: rewrite(e.Else, f)}
		changed := c.Else != e.Else
		for _, w := range e.Whens {
			n := When{rewrite(w.Cond, f), rewrite(w.Result, f)}
			changed = changed || n != w
			c.Whens = append(c.Whens, n)
		}
		if changed {
			return &c
		}
	case *Bool:
		if args, ok := list(e.Args); ok {
			return &Bool{Op: e.Op, Args: args}
		}
	case *Is:
		a, r := rewrite(e.Arg, f), rewrite(e.Right, f)
		if a != e.Arg || r != e.Right {
			return &Is{Op: e.Op, Arg: a, Right: r}
		}
	case *Cast:
		if a := rewrite(e.Arg, f); a != e.Arg {
			c := *e
			c.Arg = a
			return &c
		}
	case *Coalesce:
		if args, ok := list(e.Args); ok {
			return &Coalesce{Op: e.Op, Args: args, T: e.T}
		}
	case *InList:
		if a := rewrite(e.Arg, f); a != e.Arg {
			return &InList{Arg: a, Values: e.Values, Not: e.Not}
		}
	case *Array:
		if args, ok := list(e.Elems); ok {
			return &Array{Elems: args, T: e.T}
		}
	}
	return e
}

// colSet is a set of columns.
type colSet map[ColID]bool

func (s colSet) add(ids ...ColID) {
	for _, id := range ids {
		s[id] = true
	}
}

func (s colSet) has(ids colSet) bool {
	for id := range ids {
		if !s[id] {
			return false
		}
	}
	return true
}

func (s colSet) meets(ids colSet) bool {
	for id := range ids {
		if s[id] {
			return true
		}
	}
	return false
}

// addColumns puts the columns that e reads into s.
func addColumns(s colSet, e Expr) {
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Column); ok {
			s[c.ID] = true
		}
		return true
	})
}

func columnsOf(es ...Expr) colSet {
	s := colSet{}
	for _, e := range es {
		addColumns(s, e)
	}
	return s
}

// isVolatile reports whether evaluating e twice may differ.
func isVolatile(e Expr) bool {
	found := false
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Call); ok && c.F.Volatility == function.Volatile {
			found = true
		}
		return !found
	})
	return found
}

// sameExpr reports structural equality; volatile calls equal only themselves.
func sameExpr(a, b Expr) bool { return equalExprs(a, b, false) }

// equalExprs is sameExpr; with volatile also calls are equal that may give different
// results, as for an item of ORDER BY that is an item of the select list.
func equalExprs(a, b Expr, volatile bool) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if a == b {
		return true
	}
	list := func(x, y []Expr) bool {
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equalExprs(x[i], y[i], volatile) {
				return false
			}
		}
		return true
	}
	switch a := a.(type) {
	case *Column:
		b, ok := b.(*Column)
		return ok && a.ID == b.ID
	case *Const:
		b, ok := b.(*Const)
		return ok && sameConst(a, b)
	case *Param:
		b, ok := b.(*Param)
		return ok && a.N == b.N
	case *Call:
		b, ok := b.(*Call)
		return ok && a.F == b.F && (volatile || a.F.Volatility != function.Volatile) && a.T == b.T && list(a.Args, b.Args)
	case *Case:
		b, ok := b.(*Case)
		if !ok || len(a.Whens) != len(b.Whens) || a.T != b.T || !equalExprs(a.Else, b.Else, volatile) {
			return false
		}
		for i := range a.Whens {
			if !equalExprs(a.Whens[i].Cond, b.Whens[i].Cond, volatile) || !equalExprs(a.Whens[i].Result, b.Whens[i].Result, volatile) {
				return false
			}
		}
		return true
	case *Bool:
		b, ok := b.(*Bool)
		return ok && a.Op == b.Op && list(a.Args, b.Args)
	case *Is:
		b, ok := b.(*Is)
		return ok && a.Op == b.Op && equalExprs(a.Arg, b.Arg, volatile) && equalExprs(a.Right, b.Right, volatile)
	case *Cast:
		b, ok := b.(*Cast)
		return ok && a.T == b.T && a.Explicit == b.Explicit && equalExprs(a.Arg, b.Arg, volatile)
	case *Coalesce:
		b, ok := b.(*Coalesce)
		return ok && a.Op == b.Op && a.T == b.T && list(a.Args, b.Args)
	case *InList:
		b, ok := b.(*InList)
		if !ok || a.Not != b.Not || len(a.Values) != len(b.Values) || !equalExprs(a.Arg, b.Arg, volatile) {
			return false
		}
		for i := range a.Values {
			if !sameConst(a.Values[i], b.Values[i]) {
				return false
			}
		}
		return true
	case *Array:
		b, ok := b.(*Array)
		return ok && a.T == b.T && list(a.Elems, b.Elems)
	}
	return false
}

func sameConst(a, b *Const) bool {
	if a.T != b.T || (a.V == nil) != (b.V == nil) {
		return false
	}
	return a.V == nil || bytes.Equal(vector.AppendBinary(nil, a.V, 0), vector.AppendBinary(nil, b.V, 0))
}

// conjuncts appends the terms of a conjunction to out.
func conjuncts(out []Expr, e Expr) []Expr {
	if b, ok := e.(*Bool); ok && b.Op == proto.Bool_AND {
		for _, a := range b.Args {
			out = conjuncts(out, a)
		}
		return out
	}
	if e != nil {
		out = append(out, e)
	}
	return out
}

// and is the conjunction of terms, nil for none.
func and(terms ...Expr) Expr {
	var flat []Expr
	for _, t := range terms {
		flat = conjuncts(flat, t)
	}
	switch len(flat) {
	case 0:
		return nil
	case 1:
		return flat[0]
	}
	return &Bool{Op: proto.Bool_AND, Args: flat}
}

func isConst(e Expr) bool { _, ok := e.(*Const); return ok }

// isTrue reports the constant true.
func isTrue(e Expr) bool {
	c, ok := e.(*Const)
	return ok && c.T.ID == types.Bool && c.V != nil && vector.At[bool](c.V, 0)
}
