package planner

import (
	"math"
	"slices"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// rewriteAggregates replaces aggregations by cheaper ones of the same result:
//
//   - Several sums of x ± constants become sum(x) and count(x), once for all, with
//     the rest computed per group. The type or the file's bounds of x must prove
//     that x ± constant cannot overflow, which would have been an error.
//   - Aggregates of DISTINCT x alone become ordinary ones over groups of x, which
//     all workers make and which need no sets of values.
func (b *binder) rewriteAggregates(n Node, est *estimator) (Node, error) {
	n, err := b.mapInputs(n, func(in Node) (Node, error) { return b.rewriteAggregates(in, est) })
	if err != nil {
		return nil, err
	}
	a, ok := n.(*Aggregate)
	if !ok {
		return n, nil
	}
	if d := b.groupDistinct(a, est); d != nil {
		return d, nil
	}
	return b.shareSums(a)
}

// linearSum is sum(x + add).
type linearSum struct {
	x   Expr
	add int64
}

// shareSums is the first rule of rewriteAggregates.
func (b *binder) shareSums(a *Aggregate) (Node, error) {
	sums := make([]*linearSum, len(a.Calls))
	found := 0
	for i, c := range a.Calls {
		if sums[i] = linearSumOf(a.In, c); sums[i] != nil {
			found++
		}
	}
	if found < 2 {
		return a, nil
	}
	// One sum stays as it is: it would become two aggregates.
	for i, s := range sums {
		if s == nil {
			continue
		}
		many := false
		for j, o := range sums {
			many = many || j != i && o != nil && sameExpr(s.x, o.x) && sameExpr(a.Calls[i].Filter, a.Calls[j].Filter)
		}
		if !many {
			sums[i] = nil
			found--
		}
	}
	if found == 0 {
		return a, nil
	}
	keys := len(a.Keys)
	out := &Aggregate{In: a.In, Keys: a.Keys, Out: a.Out[:keys:keys], Always: a.Always}
	add := func(c *AggCall) Expr {
		for i, have := range out.Calls {
			if sameAgg(have, c) {
				return out.Out[keys+i].ref()
			}
		}
		col := b.newCol(c.F.Name, c.T)
		out.Calls, out.Out = append(out.Calls, c), append(out.Out, col)
		return col.ref()
	}
	p := &Project{In: out, Out: a.Out}
	for _, c := range a.Out[:keys] {
		p.Exprs = append(p.Exprs, c.ref())
	}
	for i, c := range a.Calls {
		s := sums[i]
		if s == nil {
			p.Exprs = append(p.Exprs, add(c))
			continue
		}
		sumF, ats, t, err := function.Resolve("sum", function.Lookup("sum"), []types.Type{s.x.Type()})
		if err != nil {
			return nil, err
		}
		e := add(&AggCall{F: sumF, Args: []Expr{s.x}, ArgTypes: ats, Filter: c.Filter, T: t})
		if s.add != 0 {
			countF, cts, ct, err := function.Resolve("count", function.Lookup("count"), []types.Type{s.x.Type()})
			if err != nil {
				return nil, err
			}
			n := add(&AggCall{F: countF, Args: []Expr{s.x}, ArgTypes: cts, Filter: c.Filter, T: ct})
			if n, err = b.operator("*", []Expr{constInt8(s.add), n}, -1); err != nil {
				return nil, err
			}
			if e, err = b.operator("+", []Expr{e, n}, -1); err != nil {
				return nil, err
			}
		}
		p.Exprs = append(p.Exprs, e)
	}
	return p, nil
}

// linearSumOf takes sum(x + constant) apart, with x alone in its own, perhaps
// narrower type where that gives a sum of the same type; nil for others.
func linearSumOf(in Node, c *AggCall) *linearSum {
	if c.F.Name != "sum" || c.F.UDF != nil || c.Distinct || len(c.Order) > 0 || len(c.Args) != 1 || !isInteger(c.Args[0].Type()) {
		return nil
	}
	s := &linearSum{x: c.Args[0]}
	if call, ok := s.x.(*Call); ok && len(call.Args) == 2 && call.F.UDF == nil && (call.F.Op == "+" || call.F.Op == "-") {
		x, k := call.Args[0], call.Args[1]
		if isConst(x) && call.F.Op == "+" {
			x, k = k, x
		}
		add, ok := integerConst(k)
		if !ok || isConst(x) || !isInteger(x.Type()) {
			return nil
		}
		if call.F.Op == "-" {
			add = -add
		}
		lo, hi, ok := integerRange(in, x)
		least, most, _ := rangeOfType(call.T)
		if !ok || add > 0 && hi > most-add || add < 0 && lo < least-add {
			return nil
		}
		s.x, s.add = x, add
	}
	if isVolatile(s.x) || hasUDF(s.x) {
		return nil
	}
	if cast, ok := s.x.(*Cast); ok && cast.T.ID == types.Int4 && cast.Arg.Type().ID == types.Int2 {
		s.x = cast.Arg // both have sums of type int8
	}
	return s
}

func isInteger(t types.Type) bool {
	return t.ID == types.Int2 || t.ID == types.Int4 || t.ID == types.Int8
}

// integerConst is the value of an integer constant; the least int8 counts as none.
func integerConst(e Expr) (int64, bool) {
	c, ok := e.(*Const)
	if !ok || c.V == nil || c.V.IsNull(0) {
		return 0, false
	}
	switch c.T.ID {
	case types.Int2:
		return int64(vector.At[int16](c.V, 0)), true
	case types.Int4:
		return int64(vector.At[int32](c.V, 0)), true
	case types.Int8:
		x := vector.At[int64](c.V, 0)
		return x, x != math.MinInt64
	}
	return 0, false
}

func rangeOfType(t types.Type) (lo, hi int64, ok bool) {
	switch t.ID {
	case types.Int2:
		return math.MinInt16, math.MaxInt16, true
	case types.Int4:
		return math.MinInt32, math.MaxInt32, true
	case types.Int8:
		return math.MinInt64, math.MaxInt64, true
	}
	return 0, 0, false
}

// integerRange bounds the values of an integer expression over the rows of in: by
// its type, or by what the files say about a column.
func integerRange(in Node, x Expr) (lo, hi int64, ok bool) {
	switch x := x.(type) {
	case *Cast:
		if isInteger(x.T) && isInteger(x.Arg.Type()) {
			return integerRange(in, x.Arg)
		}
	case *Column:
		lo, hi, ok = rangeOfType(x.T)
		if l, h, bounded := fileRange(in, x.ID); ok && bounded {
			return max(lo, l), min(hi, h), true
		}
		return lo, hi, ok
	}
	return 0, 0, false
}

// fileRange is the range of a column in the files that it is read from. Numbers
// beyond what a float64 holds exactly have none.
func fileRange(n Node, id ColID) (lo, hi int64, ok bool) {
	if s, isScan := n.(*Scan); isScan {
		for _, c := range s.Out {
			if c.ID != id {
				continue
			}
			const exact = 1 << 52
			e := scanEstimate(s).cols[id]
			if !e.bounded || e.lo < -exact || e.hi > exact {
				return 0, 0, false
			}
			return int64(math.Floor(e.lo)), int64(math.Ceil(e.hi)), true
		}
		return 0, 0, false
	}
	for _, in := range n.Inputs() {
		if lo, hi, ok := fileRange(in, id); ok {
			return lo, hi, ok
		}
	}
	return 0, 0, false
}

// manyGroups is from how many groups on a shuffle by their keys alone spreads the
// rows evenly.
const manyGroups = 10_000

// groupDistinct is the second rule of rewriteAggregates, nil where it does not
// apply: all calls are of the same DISTINCT argument, and the order in which they
// see its values does not matter.
func (b *binder) groupDistinct(a *Aggregate, est *estimator) Node {
	if len(a.Calls) == 0 || len(a.Always) > 0 || b.o.sizes().tasksFor(est.of(a.In).rows, 0) == 1 {
		return nil // a single task has the set anyway
	}
	var x Expr
	for _, c := range a.Calls {
		if !c.Distinct || c.Filter != nil || len(c.Order) > 0 || len(c.Args) != 1 || c.F.UDF != nil || c.F.StateTypes == nil {
			return nil
		}
		if c.F.Name != "count" && (c.F.Name != "sum" && c.F.Name != "avg" || !isInteger(c.Args[0].Type())) {
			return nil
		}
		if x != nil && !sameExpr(x, c.Args[0]) {
			return nil
		}
		x = c.Args[0]
	}
	if isVolatile(x) || slices.ContainsFunc(a.Keys, isVolatile) {
		return nil
	}
	inner := &Aggregate{In: a.In, Keys: append(slices.Clone(a.Keys), x)}
	outer := &Aggregate{In: inner, Out: a.Out}
	for _, c := range a.Out[:len(a.Keys)] {
		key := b.newCol(c.Name, c.T)
		inner.Out = append(inner.Out, key)
		outer.Keys = append(outer.Keys, key.ref())
	}
	value := b.newCol("", x.Type())
	inner.Out = append(inner.Out, value)
	for _, c := range a.Calls {
		plain := *c
		plain.Distinct, plain.Args = false, []Expr{value.ref()}
		outer.Calls = append(outer.Calls, &plain)
	}
	if len(a.Keys) > 0 && est.of(a).rows >= manyGroups {
		inner.Spread = len(a.Keys)
	}
	return outer
}
