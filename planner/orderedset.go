package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// withinGroup binds f(direct arguments) WITHIN GROUP (ORDER BY …).
func (sc *selectCtx) withinGroup(fc *pg.FuncCall, name string) (Expr, error) {
	b := sc.b
	pos := b.pos(fc.Location)
	switch {
	case sc.inAgg:
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot be nested").At(pos)
	case fc.Over != nil:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "OVER is not supported for ordered-set aggregate %s", name).At(pos)
	case !sc.aggsOK:
		return nil, pgerr.New(pgerr.GroupingError, "aggregate functions are not allowed in %s", sc.clause).At(pos)
	}
	sc.inAgg = true
	defer func() { sc.inAgg = false }()
	switch name {
	case "rank", "dense_rank", "percent_rank", "cume_dist":
		return sc.hypothetical(fc, name)
	}
	if !function.OrderedSet(name) {
		if len(function.Lookup(name)) == 0 {
			_, _, _, err := sc.resolveCall(fc, function.Aggregate)
			if err != nil {
				return nil, err
			}
		}
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is not an ordered-set aggregate, so it cannot have WITHIN GROUP", name).At(pos)
	}
	call := &pg.FuncCall{Funcname: fc.Funcname, Location: fc.Location, AggFilter: fc.AggFilter, AggOrder: fc.AggOrder}
	call.Args = append(call.Args, fc.Args...)
	for _, n := range fc.AggOrder {
		call.Args = append(call.Args, n.GetSortBy().Node)
	}
	f, args, t, err := sc.resolveCall(call, function.Aggregate)
	if err != nil {
		return nil, err
	}
	sc.direct = append(sc.direct, args[:len(fc.Args)]...)
	return sc.aggOrWindow(call, f, args, t)
}

// hypothetical binds rank(a, …) WITHIN GROUP (ORDER BY x, …) and its like: where a
// row with these values would stand among the others. All of them follow from how
// many rows stand before it.
func (sc *selectCtx) hypothetical(fc *pg.FuncCall, name string) (Expr, error) {
	b := sc.b
	if len(fc.Args) != len(fc.AggOrder) {
		return nil, pgerr.New(pgerr.UndefinedFunction, "function %s has %d direct and %d ordered arguments", name, len(fc.Args), len(fc.AggOrder)).
			WithHint("To use the hypothetical-set aggregate %s, the number of hypothetical direct arguments must match the number of ordering columns.", name).At(b.pos(fc.Location))
	}
	var before, equal Expr // conditions over a row
	var first Expr
	for i, n := range fc.AggOrder {
		s := n.GetSortBy()
		h, err := sc.expr(fc.Args[i])
		if err != nil {
			return nil, err
		}
		x, err := sc.expr(s.Node)
		if err != nil {
			return nil, err
		}
		if isVolatile(h) || isVolatile(x) {
			return nil, b.unsupported(fc.Location, "a volatile function in %s WITHIN GROUP", name)
		}
		t, err := commonType([]types.Type{x.Type(), h.Type()}, "WITHIN GROUP")
		if err != nil {
			return nil, b.at(err, fc.Location)
		}
		if t.ID == types.Unknown {
			t = types.T(types.Text)
		}
		if h, err = b.coerce(h, t.Bare(), function.Implicit, "WITHIN GROUP"); err != nil {
			return nil, b.at(err, fc.Location)
		}
		if x, err = b.coerce(x, t.Bare(), function.Implicit, "WITHIN GROUP"); err != nil {
			return nil, b.at(err, fc.Location)
		}
		sc.direct = append(sc.direct, h)
		k, err := b.sortKey(s, x)
		if err != nil {
			return nil, err
		}
		op := "<"
		if k.Desc {
			op = ">"
		}
		less, err := b.operator(op, []Expr{x, h}, fc.Location)
		if err != nil {
			return nil, err
		}
		null, value := x, h // NULL stands before a value, or a value before NULL
		if !k.NullsFirst {
			null, value = h, x
		}
		nulls := &Bool{Op: proto.Bool_AND, Args: []Expr{&Is{Op: proto.IsTest_NULL, Arg: null}, &Is{Op: proto.IsTest_NOT_NULL, Arg: value}}}
		var term Expr = &Bool{Op: proto.Bool_OR, Args: []Expr{&Is{Op: proto.IsTest_TRUE, Arg: less}, nulls}}
		if i == 0 {
			before, first = term, x
		} else {
			before = &Bool{Op: proto.Bool_OR, Args: []Expr{before, and(equal, term)}}
		}
		equal = and(equal, &Is{Op: proto.IsTest_NOT_DISTINCT, Arg: x, Right: h})
	}
	if before == nil {
		return nil, pgerr.New(pgerr.UndefinedFunction, "function %s() does not exist", name).At(b.pos(fc.Location))
	}
	var filter Expr
	if fc.AggFilter != nil {
		save := sc.clause
		sc.clause = "FILTER"
		e, err := sc.boolExpr(fc.AggFilter, "FILTER")
		sc.clause = save
		if err != nil {
			return nil, err
		}
		filter = e
	}
	int8 := types.T(types.Int8)
	count := func(cond Expr) Expr {
		return sc.addAgg(&AggCall{F: countStar(), Filter: and(filter, cond), T: int8})
	}
	call := func(fn string, distinct bool, arg, cond Expr) (Expr, error) {
		f, ats, t, err := function.Resolve(fn, function.Lookup(fn), []types.Type{arg.Type()})
		if err != nil {
			return nil, b.at(err, fc.Location)
		}
		return sc.addAgg(&AggCall{F: f, Args: []Expr{arg}, ArgTypes: ats, Distinct: distinct, Filter: and(filter, cond), T: t}), nil
	}
	op := func(o string, x, y Expr) (Expr, error) { return b.operator(o, []Expr{x, y}, fc.Location) }
	float := func(e Expr) (Expr, error) { return b.coerce(e, types.T(types.Float8), function.Explicit, "") }
	ratio := func(x, y Expr) (Expr, error) {
		x, err := float(x)
		if err != nil {
			return nil, err
		}
		if y, err = float(y); err != nil {
			return nil, err
		}
		return op("/", x, y)
	}
	switch name {
	case "rank":
		return op("+", count(before), constInt8(1))
	case "percent_rank":
		n := count(nil)
		none, err := op("=", n, constInt8(0))
		if err != nil {
			return nil, err
		}
		zero, err := float(constInt8(0))
		if err != nil {
			return nil, err
		}
		r, err := ratio(count(before), n)
		return &Case{T: types.T(types.Float8), Whens: []When{{Cond: none, Result: zero}}, Else: r}, err
	case "cume_dist":
		up, err := op("+", count(&Bool{Op: proto.Bool_OR, Args: []Expr{before, equal}}), constInt8(1))
		if err != nil {
			return nil, err
		}
		n, err := op("+", count(nil), constInt8(1))
		if err != nil {
			return nil, err
		}
		return ratio(up, n)
	}
	if len(fc.Args) > 1 {
		return nil, b.unsupported(fc.Location, "dense_rank WITHIN GROUP of several columns")
	}
	values, err := call("count", true, first, before)
	if err != nil {
		return nil, err
	}
	nulls, err := call("bool_or", false, &Is{Op: proto.IsTest_NULL, Arg: first}, before)
	if err != nil {
		return nil, err
	}
	one := &Case{T: int8, Whens: []When{{Cond: nulls, Result: constInt8(2)}}, Else: constInt8(1)}
	return op("+", values, one)
}
