package planner

import (
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// limitValue is a LIMIT or OFFSET that is computed: e over the one row of plan.
type limitValue struct {
	plan Node
	e    Expr
}

// numberedLimit is LIMIT and OFFSET by the rows' numbers, for what the Limit node
// cannot do: values that are known at run time only, and WITH TIES, whose bound is
// a rank. values are the constants where dynamic has nothing.
func (b *binder) numberedLimit(in Node, values [2]Expr, dynamic [2]*limitValue, ties bool) (Node, error) {
	cols := in.Cols()
	w := &Window{In: in}
	if s, ok := in.(*Sort); ok {
		w.In, w.Order = s.In, s.Keys
	}
	add := func(f string) Col {
		c := b.newCol("", types.T(types.Int8))
		w.Out = append(w.Out, c)
		w.Calls = append(w.Calls, &WindowCall{F: builtin(f), T: c.T, Frame: defaultFrame(false)})
		return c
	}
	rn := add("row_number")
	last := rn
	if ties {
		last = add("rank")
	}
	var one Node = &Values{Rows: [][]Expr{{}}}
	for i, d := range dynamic {
		if d == nil {
			continue
		}
		checked, err := b.callByName("row_limit", []Expr{d.e, boolConst(i == 1)}, -1)
		if err != nil {
			return nil, err
		}
		c := b.newCol("", types.T(types.Int8))
		var p Node = &Project{In: d.plan, Exprs: []Expr{checked}, Out: []Col{c}}
		if len(one.Cols()) > 0 {
			p = &Join{Kind: proto.Join_CROSS, Left: one, Right: p}
		}
		one, values[i] = p, c.ref()
	}
	var n Node = w
	if len(one.Cols()) > 0 {
		n = &Join{Kind: proto.Join_CROSS, Left: w, Right: one}
	}
	count, offset := values[0], Expr(&Coalesce{Op: proto.Coalesce_COALESCE, Args: []Expr{values[1], constInt8(0)}, T: types.T(types.Int8)})
	after, err := b.operator(">", []Expr{rn.ref(), offset}, -1)
	if err != nil {
		return nil, err
	}
	place, err := b.operator("-", []Expr{last.ref(), offset}, -1)
	if err != nil {
		return nil, err
	}
	within, err := b.operator("<=", []Expr{place, count}, -1)
	if err != nil {
		return nil, err
	}
	all := &Is{Op: proto.IsTest_NULL, Arg: count}
	f := &Filter{In: n, Cond: and(after, &Bool{Op: proto.Bool_OR, Args: []Expr{all, within}})}
	return exactly(&Sort{In: f, Keys: []SortKey{{Expr: rn.ref()}}}, cols), nil
}
