package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// attach joins a subquery to the plan: now, or above the Aggregate when what is
// bound stands there.
func (sc *selectCtx) attach(f func(Node) (Node, error)) error {
	if sc.grouped && !sc.inAgg && (sc.aggsOK || sc.windowsOK || sc.inWindow) {
		sc.post = append(sc.post, f)
		return nil
	}
	if sc.plan == nil {
		return sc.b.unsupported(-1, "a subquery in %s", sc.clause)
	}
	n, err := f(sc.plan)
	if err == nil {
		sc.plan = n
	}
	return err
}

// attachComparison is attach for a subquery that is compared with expressions of
// this query: it joins above what they read.
func (sc *selectCtx) attachComparison(x *pg.SubLink, left []Expr, f func(Node) (Node, error)) error {
	cols := columnsOf(left...)
	if cols.meets(idsOf(sc.srfCols)) {
		return sc.b.unsupported(x.Location, "IN with a set-returning function before it").WithHint("Call the function in FROM.")
	}
	for _, w := range sc.windows {
		if cols.meets(idsOf(w.Out)) {
			if sc.inWindow {
				return sc.b.unsupported(x.Location, "a subquery over a window function here")
			}
			sc.late = append(sc.late, f)
			sc.compared = append(sc.compared, left)
			return nil
		}
	}
	n := len(sc.post)
	err := sc.attach(f)
	if len(sc.post) > n {
		sc.compared = append(sc.compared, left)
	}
	return err
}

// subPlan binds a subquery; correlated says that it reads columns of this one
// or of an enclosing query.
func (sc *selectCtx) subPlan(n *pg.Node) (q *Query, cols []Col, correlated bool, err error) {
	sel := n.GetSelectStmt()
	q, err = sc.b.query(sel, sc, sc.ctes, queryOpts{})
	if err != nil {
		return nil, nil, false, err
	}
	for _, c := range q.cols {
		if !c.Hidden {
			cols = append(cols, c.Col)
		}
	}
	return q, cols, len(freeColumns(q.plan)) > 0, nil
}

func (sc *selectCtx) oneColumn(cols []Col, loc int32) error {
	if len(cols) != 1 {
		return pgerr.New(pgerr.SyntaxError, "subquery must return only one column").At(sc.b.pos(loc))
	}
	return nil
}

// narrow keeps only the given columns of a plan.
func narrow(n Node, cols []Col) Node {
	if len(n.Cols()) == len(cols) {
		return n
	}
	p := &Project{In: n, Out: cols}
	for _, c := range cols {
		p.Exprs = append(p.Exprs, c.ref())
	}
	return p
}

// subLink binds a subquery in an expression.
func (sc *selectCtx) subLink(x *pg.SubLink) (Expr, error) {
	b := sc.b
	q, cols, correlated, err := sc.subPlan(x.Subselect)
	if err != nil {
		return nil, err
	}
	switch x.SubLinkType {
	case pg.SubLinkType_EXPR_SUBLINK:
		if err := sc.oneColumn(cols, x.Location); err != nil {
			return nil, err
		}
		plan := narrow(q.plan, cols)
		err := sc.attach(func(in Node) (Node, error) {
			if correlated {
				return &Dependent{Kind: proto.DependentJoin_SCALAR, Left: in, Right: plan, Out: cols}, nil
			}
			return &Join{Kind: proto.Join_CROSS, Left: in, Right: &SingleRow{In: plan}}, nil
		})
		return cols[0].ref(), err
	case pg.SubLinkType_EXISTS_SUBLINK:
		mark := b.newCol("exists", boolType)
		if correlated {
			err := sc.attach(func(in Node) (Node, error) {
				return &Dependent{Kind: proto.DependentJoin_EXISTS, Left: in, Right: q.plan, Out: []Col{mark}}, nil
			})
			return mark.ref(), err
		}
		// count(*) > 0 over at most one row.
		n := b.newCol("count", types.T(types.Int8))
		var star *function.Function
		for _, f := range function.Lookup("count") {
			if len(f.Args) == 0 {
				star = f
			}
		}
		agg := &Aggregate{In: &Limit{In: narrow(q.plan, nil), Count: 1}, Calls: []*AggCall{{F: star, T: n.T}}, Out: []Col{n}}
		gt, err := b.operator(">", []Expr{n.ref(), constInt8(0)}, x.Location)
		if err != nil {
			return nil, err
		}
		p := &Project{In: agg, Exprs: []Expr{gt}, Out: []Col{mark}}
		err = sc.attach(func(in Node) (Node, error) {
			return &Join{Kind: proto.Join_CROSS, Left: in, Right: p}, nil
		})
		return mark.ref(), err
	case pg.SubLinkType_ARRAY_SUBLINK:
		if err := sc.oneColumn(cols, x.Location); err != nil {
			return nil, err
		}
		if cols[0].T.ArrayOID() == 0 || cols[0].T.ID == types.Array {
			return nil, b.unsupported(x.Location, "an array of %s", cols[0].T)
		}
		plan := narrow(q.plan, cols)
		at := types.ListOf(cols[0].T)
		out := b.newCol("array", at)
		if correlated {
			err := sc.attach(func(in Node) (Node, error) {
				return &Dependent{Kind: proto.DependentJoin_ARRAY, Left: in, Right: plan, Out: []Col{out}}, nil
			})
			return out.ref(), err
		}
		f, ats, _, err := function.Resolve("array_agg", function.Lookup("array_agg"), []types.Type{cols[0].T})
		if err != nil {
			return nil, b.at(err, x.Location)
		}
		agg := &Aggregate{In: plan, Calls: []*AggCall{{F: f, Args: []Expr{cols[0].ref()}, ArgTypes: ats, T: at}}, Out: []Col{out}}
		empty := &Const{T: at, V: vector.FromList(at, []int32{0, 0}, vector.New(at.ElemType(), 0))}
		err = sc.attach(func(in Node) (Node, error) {
			return &Join{Kind: proto.Join_CROSS, Left: in, Right: agg}, nil
		})
		return &Coalesce{Op: proto.Coalesce_COALESCE, Args: []Expr{out.ref(), empty}, T: at}, err
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK:
		_, op := lastName(x.OperName)
		any := x.SubLinkType == pg.SubLinkType_ANY_SUBLINK
		hashes := op == "" || any && op == "=" || !any && op == "<>"
		if !hashes || correlated {
			return sc.quantified(x, q, cols, op, any)
		}
		left, right, err := sc.inOperands(x, cols)
		if err != nil {
			return nil, err
		}
		mark := b.newCol("in", boolType)
		rp, rk := projectKeys(b, q.plan, right)
		join := func(in Node) (Node, error) {
			return &Join{Kind: proto.Join_MARK, Left: in, Right: rp, LeftKeys: left, RightKeys: rk, NullSafe: make([]bool, len(left)), Mark: mark}, nil
		}
		if err = sc.attachComparison(x, left, join); err != nil {
			return nil, err
		}
		if !any {
			return b.not(mark.ref()), nil
		}
		return mark.ref(), nil
	}
	return nil, b.unsupported(x.Location, "this kind of subquery")
}

// quantified binds x op ANY|ALL (subquery) by what decides it: whether there is a row
// for which the comparison is true (ANY) or false (ALL), and if not, whether there
// is one for which it is NULL.
func (sc *selectCtx) quantified(x *pg.SubLink, q *Query, cols []Col, op string, any bool) (Expr, error) {
	b := sc.b
	if op == "" {
		op = "="
	}
	ns := []*pg.Node{x.Testexpr}
	if r := x.Testexpr.GetRowExpr(); r != nil {
		ns = r.Args
	}
	left, err := sc.exprs(ns)
	if err != nil {
		return nil, err
	}
	switch {
	case len(left) < len(cols):
		return nil, pgerr.New(pgerr.SyntaxError, "subquery has too many columns").At(b.pos(x.Location))
	case len(left) > len(cols):
		return nil, pgerr.New(pgerr.SyntaxError, "subquery has too few columns").At(b.pos(x.Location))
	case len(left) > 1 && op != "=" && op != "<>":
		return nil, b.unsupported(x.Location, "operator %s of rows with ANY or ALL", op)
	}
	for _, e := range left {
		if isVolatile(e) {
			return nil, b.unsupported(x.Location, "a volatile function before %s ANY or ALL of a subquery", op)
		}
	}
	if anyVolatile(q.plan) {
		return nil, b.unsupported(x.Location, "a volatile function in a subquery of %s ANY or ALL", op)
	}
	// Rows are equal when all their fields are, and differ otherwise.
	compare := func(cols []Col) (Expr, error) {
		o := op
		if len(left) > 1 {
			o = "="
		}
		var terms []Expr
		for i := range left {
			e, err := b.operator(o, []Expr{left[i], cols[i].ref()}, x.Location)
			if err != nil {
				return nil, err
			}
			if e.Type().ID != types.Bool {
				return nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires operator to yield boolean").At(b.pos(x.Location))
			}
			terms = append(terms, e)
		}
		if e := and(terms...); o == op {
			return e, nil
		} else {
			return b.not(e), nil
		}
	}
	if _, err := compare(cols); err != nil {
		return nil, err
	}
	again, cols2, _, err := sc.subPlan(x.Subselect) // a plan of its own: columns have one place
	if err != nil {
		return nil, err
	}
	decided, unknown := b.newCol("", boolType), b.newCol("", boolType)
	f := func(in Node) (Node, error) {
		cmp, err := compare(cols)
		if err != nil {
			return nil, err
		}
		if !any {
			cmp = b.not(cmp)
		}
		null, err := compare(cols2)
		if err != nil {
			return nil, err
		}
		in = &Dependent{Kind: proto.DependentJoin_EXISTS, Left: in, Right: &Filter{In: q.plan, Cond: cmp}, Out: []Col{decided}}
		return &Dependent{Kind: proto.DependentJoin_EXISTS, Left: in, Right: &Filter{In: again.plan, Cond: &Is{Op: proto.IsTest_NULL, Arg: null}}, Out: []Col{unknown}}, nil
	}
	if err := sc.attachComparison(x, left, f); err != nil {
		return nil, err
	}
	return &Case{T: boolType, Whens: []When{{Cond: decided.ref(), Result: boolConst(any)}, {Cond: unknown.ref(), Result: &Const{T: boolType}}}, Else: boolConst(!any)}, nil
}

// projectKeys computes the compared expressions of an IN's right side.
func projectKeys(b *binder, in Node, keys []Expr) (Node, []Expr) {
	p := &Project{In: in}
	var out []Expr
	for _, k := range keys {
		c := b.newCol("", k.Type())
		p.Exprs = append(p.Exprs, k)
		p.Out = append(p.Out, c)
		out = append(out, c.ref())
	}
	return p, out
}

// inOperands binds the left side of IN and brings both sides to common types.
func (sc *selectCtx) inOperands(x *pg.SubLink, cols []Col) (left, right []Expr, err error) {
	b := sc.b
	ns := []*pg.Node{x.Testexpr}
	if r := x.Testexpr.GetRowExpr(); r != nil {
		ns = r.Args
	}
	if left, err = sc.exprs(ns); err != nil {
		return nil, nil, err
	}
	if len(left) < len(cols) {
		return nil, nil, pgerr.New(pgerr.SyntaxError, "subquery has too many columns").At(b.pos(x.Location))
	}
	if len(left) > len(cols) {
		return nil, nil, pgerr.New(pgerr.SyntaxError, "subquery has too few columns").At(b.pos(x.Location))
	}
	for i := range left {
		r := Expr(cols[i].ref())
		if left[i], r, err = b.comparable(left[i], r); err != nil {
			return nil, nil, b.at(err, x.Location)
		}
		right = append(right, r)
	}
	return left, right, nil
}

// comparable brings two operands of = to one type, as hashing needs it: that of
// the operator, or the wider one where the operator takes two.
func (b *binder) comparable(l, r Expr) (Expr, Expr, error) {
	_, ats, _, err := function.ResolveOperator("=", []types.Type{l.Type(), r.Type()})
	if err != nil {
		return nil, nil, err
	}
	t := ats[0]
	if !t.Same(ats[1]) || t.ID == types.Array || t.ID == types.AnyArray {
		if t, err = commonType([]types.Type{l.Type(), r.Type()}, "="); err != nil {
			return nil, nil, err
		}
		if t.ID == types.Float4 && !l.Type().Same(r.Type()) {
			t = types.T(types.Float8) // as the operators between float4 and other numbers
		}
	}
	switch t.ID {
	case types.Unknown, types.Varchar, types.Name:
		t = types.T(types.Text)
	}
	if l, err = b.coerce(l, t.Bare(), function.Implicit, "="); err != nil {
		return nil, nil, err
	}
	r, err = b.coerce(r, t.Bare(), function.Implicit, "=")
	return l, r, err
}

// semiJoin turns x [NOT] IN (subquery), EXISTS and NOT EXISTS that are a whole
// term of WHERE into a semi or anti join where that is the same. It reports
// whether it did.
func (sc *selectCtx) semiJoin(n *pg.Node) (bool, error) {
	x := n.GetSubLink()
	if x == nil || x.SubLinkType != pg.SubLinkType_ANY_SUBLINK {
		return false, nil
	}
	if _, op := lastName(x.OperName); op != "" && op != "=" {
		return false, nil
	}
	q, cols, correlated, err := sc.subPlan(x.Subselect)
	if err != nil {
		return false, err
	}
	left, right, err := sc.inOperands(x, cols)
	if err != nil {
		return false, err
	}
	if !correlated {
		rp, rk := projectKeys(sc.b, q.plan, right)
		sc.plan = &Join{Kind: proto.Join_SEMI, Left: sc.plan, Right: rp, LeftKeys: left, RightKeys: rk, NullSafe: make([]bool, len(left))}
		return true, nil
	}
	// As a term of WHERE, NULL is as good as false: EXISTS with the comparison inside.
	var terms []Expr
	for i := range left {
		if isVolatile(left[i]) {
			return false, sc.b.unsupported(x.Location, "a volatile function before a correlated IN")
		}
		eq, err := sc.b.operator("=", []Expr{left[i], right[i]}, x.Location)
		if err != nil {
			return false, err
		}
		terms = append(terms, eq)
	}
	mark := sc.b.newCol("exists", boolType)
	inner := &Filter{In: q.plan, Cond: and(terms...)}
	sc.plan = &Filter{In: &Dependent{Kind: proto.DependentJoin_EXISTS, Left: sc.plan, Right: inner, Out: []Col{mark}}, Cond: mark.ref()}
	return true, nil
}
