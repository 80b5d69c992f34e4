package planner

import (
	"context"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// sqlFrame is a call of a function in SQL whose body is being bound in place of
// the call: what its arguments are, and which calls are around it.
type sqlFrame struct {
	f    *function.Function // nil inside a view
	args []Expr
	up   *sqlFrame
}

// maxSQLCalls bounds how deep calls of functions in SQL are put into each other.
const maxSQLCalls = 64

// within is the frame inside a view: it has no arguments, and remembers the calls.
func (f *sqlFrame) within() *sqlFrame {
	if f == nil {
		return nil
	}
	return &sqlFrame{up: f}
}

// param is the argument $n, nil when there is none.
func (f *sqlFrame) param(n int) Expr {
	if n < 1 || n > len(f.args) {
		return nil
	}
	return f.args[n-1]
}

// named is the argument that a name means which no column has: name or
// function.name.
func (f *sqlFrame) named(table, name ident, last int) Expr {
	if f == nil || f.f == nil || last > 1 || last == 1 && !table.exact(f.f.Name) && !table.fold(f.f.Name) {
		return nil
	}
	for _, match := range []func(string) bool{name.exact, name.fold} {
		for i, a := range f.f.ArgNames {
			if a != "" && match(a) && i < len(f.args) {
				return f.args[i]
			}
		}
	}
	return nil
}

// call binds a call of a scalar function; that of a function in SQL becomes its
// body.
func (sc *selectCtx) call(f *function.Function, args []Expr, t types.Type, loc int32) (Expr, error) {
	if f.Body == "" {
		return sc.b.call(f, args, t, loc), nil
	}
	e, err := sc.inlineScalar(f, args, t, loc)
	return e, sc.inBody(err, f, loc)
}

// inBody names the function whose body an error is about.
func (sc *selectCtx) inBody(err error, f *function.Function, loc int32) error {
	if err == nil {
		return nil
	}
	e := *pgerr.From(err)
	if e.Position == 0 {
		e.Position = sc.b.pos(loc)
	}
	if e.Where == "" {
		return (&e).WithWhere("SQL function %q during inlining", f.Name)
	}
	return &e
}

// enter prepares to bind a function's body. Arguments that may differ from one
// evaluation to the next are computed beside the plan, once per row.
func (sc *selectCtx) enter(f *function.Function, args []Expr, loc int32) (*binder, *pg.SelectStmt, []Expr, error) {
	b := sc.b
	n := 0
	for fr := b.frame; fr != nil; fr = fr.up {
		if n++; fr.f != nil && f.ID != "" && fr.f.ID == f.ID {
			return nil, nil, nil, b.unsupported(loc, "a function in SQL that calls itself (%s)", f.Name).
				WithHint("Write the loop as WITH RECURSIVE, or the function in LANGUAGE go.")
		}
	}
	if n >= maxSQLCalls {
		return nil, nil, nil, pgerr.New(pgerr.StatementTooComplex, "functions in SQL call each other more than %d deep at %q", maxSQLCalls, f.Name).At(b.pos(loc))
	}
	st, err := parser.ParseOne(f.Body)
	if err != nil {
		return nil, nil, nil, err
	}
	if st == nil || st.Node.GetSelectStmt() == nil {
		return nil, nil, nil, pgerr.New(pgerr.InternalError, "the body of function %q is no query", f.Name)
	}
	args = append([]Expr{}, args...)
	for i, a := range args {
		if isVolatile(a) {
			if args[i], err = sc.computed(a, loc); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	inner := *b
	inner.st = st
	inner.params = nil
	inner.frame = &sqlFrame{f: f, args: args, up: b.frame}
	if f.Definer != "" {
		inner.definer = f.Definer
	}
	if c, ok := b.o.Catalog.(PathCatalog); ok && f.BodyPath != nil {
		o := *b.o
		o.Catalog = c.InPath(f.BodyPath)
		inner.o = &o
	}
	return &inner, st.Node.GetSelectStmt(), args, nil
}

// computed makes e a column of the plan.
func (sc *selectCtx) computed(e Expr, loc int32) (Expr, error) {
	c := sc.b.newCol("", e.Type())
	left := []Expr{e}
	err := sc.attachComparison(&pg.SubLink{Location: loc}, left, func(in Node) (Node, error) {
		p := &Project{In: in}
		for _, x := range in.Cols() {
			p.Out, p.Exprs = append(p.Out, x), append(p.Exprs, x.ref())
		}
		p.Out, p.Exprs = append(p.Out, c), append(p.Exprs, left[0])
		return p, nil
	})
	return c.ref(), err
}

// mismatch is Postgres' error about a body that does not give what was declared.
func mismatch(t types.Type, detail string, args ...any) error {
	return pgerr.New(pgerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", t.Bare()).WithDetail(detail, args...)
}

// declared brings a result of the body to the declared type.
func (b *binder) declared(e Expr, t types.Type) (Expr, error) {
	if from := e.Type(); from.ID != types.Unknown && !from.Same(t) && !function.CastAllowed(from, t, function.Assignment) {
		return nil, mismatch(t, "Actual return type is %s.", from.Bare())
	}
	return b.coerce(e, t, function.Assignment, "")
}

// inlineScalar is the value of a call.
func (sc *selectCtx) inlineScalar(f *function.Function, args []Expr, t types.Type, loc int32) (Expr, error) {
	inner, sel, args, err := sc.enter(f, args, loc)
	if err != nil {
		return nil, err
	}
	var q *Query
	if inner.isExpression(sel) {
		before := Node(&Values{Rows: [][]Expr{{}}})
		body := &selectCtx{b: inner, plan: before, clause: "SELECT"}
		e, err := body.expr(sel.TargetList[0].GetResTarget().Val)
		if err != nil {
			return nil, err
		}
		if e, err = inner.declared(e, t); err != nil {
			return nil, err
		}
		if body.plan == before {
			return sc.b.strictly(f, args, e), nil
		}
		// It calls a function that is a query.
		c := inner.newCol(f.Name, t)
		q = &Query{plan: &Project{In: body.plan, Exprs: []Expr{e}, Out: []Col{c}}, cols: visible([]Col{c})}
	} else if q, err = inner.query(sel, nil, nil, queryOpts{want: []types.Type{t}}); err != nil {
		return nil, err
	}
	var cols []Col
	for _, c := range q.cols {
		if !c.Hidden {
			cols = append(cols, c.Col)
		}
	}
	if len(cols) != 1 {
		return nil, mismatch(t, "Final statement must return exactly one column.")
	}
	e, err := inner.declared(cols[0].ref(), t)
	if err != nil {
		return nil, err
	}
	return e, sc.joinValue(q.plan, f, args, cols, loc)
}

// joinValue joins the first row of a body's query, or NULL, to the plan.
func (sc *selectCtx) joinValue(plan Node, f *function.Function, args []Expr, cols []Col, loc int32) error {
	if !oneRow(plan) {
		plan = &Limit{In: plan, Count: 1}
	}
	plan = narrow(plan, cols)
	if cond := sc.b.noneNull(f, args); cond != nil {
		plan = &Filter{In: plan, Cond: cond}
	}
	correlated := len(freeColumns(plan)) > 0
	if !correlated && anyVolatile(plan) {
		return sc.b.unsupported(loc, "a volatile query as the body of a function in SQL (%s)", f.Name)
	}
	return sc.attach(func(in Node) (Node, error) {
		if correlated {
			return &Dependent{Kind: proto.DependentJoin_SCALAR, Left: in, Right: plan, Out: cols}, nil
		}
		return &Join{Kind: proto.Join_CROSS, Left: in, Right: &SingleRow{In: plan}}, nil
	})
}

// oneRow reports plans that always give one row.
func oneRow(n Node) bool {
	switch x := n.(type) {
	case *Values:
		return len(x.Rows) == 1
	case *Project:
		return oneRow(x.In)
	case *Aggregate:
		return len(x.Keys) == 0
	case *SingleRow:
		return true
	}
	return false
}

// isExpression reports whether a body is SELECT expression and no more, so that
// the expression can stand in place of the call.
func (b *binder) isExpression(sel *pg.SelectStmt) bool {
	if sel.Op != pg.SetOperation_SETOP_NONE || len(sel.ValuesLists)+len(sel.FromClause)+len(sel.GroupClause)+len(sel.WindowClause)+
		len(sel.SortClause)+len(sel.DistinctClause)+len(sel.LockingClause) > 0 || sel.WhereClause != nil || sel.HavingClause != nil ||
		sel.LimitCount != nil || sel.LimitOffset != nil || sel.WithClause != nil || sel.IntoClause != nil || len(sel.TargetList) != 1 {
		return false
	}
	plain := true
	parser.Walk(sel.TargetList[0], func(n *pg.Node) bool {
		if n.GetSubLink() != nil || n.GetAStar() != nil {
			plain = false
		}
		if fc := n.GetFuncCall(); fc != nil {
			plain = plain && fc.Over == nil && !fc.AggStar && !fc.AggWithinGroup
			for _, f := range b.candidates(lastName(fc.Funcname)) {
				plain = plain && f.Kind == function.Scalar
			}
		}
		return plain
	})
	return plain
}

// noneNull is the condition under which a STRICT function is called, nil for none.
func (b *binder) noneNull(f *function.Function, args []Expr) Expr {
	if !f.Strict {
		return nil
	}
	var terms []Expr
	for _, a := range args {
		if c, ok := a.(*Const); ok && c.V != nil {
			continue
		}
		terms = append(terms, &Is{Op: proto.IsTest_NOT_NULL, Arg: a})
	}
	return and(terms...)
}

// strictly makes the body of a STRICT function NULL where an argument is.
func (b *binder) strictly(f *function.Function, args []Expr, e Expr) Expr {
	if !f.Strict {
		return e
	}
	var terms []Expr
	for _, a := range args {
		if c, ok := a.(*Const); ok && c.V == nil {
			return &Const{T: e.Type()}
		} else if !ok && !nullThrough(e, a) {
			terms = append(terms, &Is{Op: proto.IsTest_NULL, Arg: a})
		}
	}
	switch len(terms) {
	case 0:
		return e
	case 1:
		return &Case{T: e.Type(), Whens: []When{{Cond: terms[0], Result: &Const{T: e.Type()}}}, Else: e}
	}
	return &Case{T: e.Type(), Whens: []When{{Cond: &Bool{Op: proto.Bool_OR, Args: terms}, Result: &Const{T: e.Type()}}}, Else: e}
}

// nullThrough reports whether e is NULL wherever a, a part of it, is.
func nullThrough(e, a Expr) bool {
	if e == a {
		return true
	}
	switch x := e.(type) {
	case *Call:
		if x.F.Strict {
			for _, y := range x.Args {
				if nullThrough(y, a) {
					return true
				}
			}
		}
	case *Cast:
		return nullThrough(x.Arg, a)
	}
	return false
}

// inlineRows is the rows of a call of a function in SQL that gives a table, with
// columns of its own.
func (sc *selectCtx) inlineRows(f *function.Function, args []Expr, t types.Type, name string, loc int32) (Node, []Col, []Expr, error) {
	inner, sel, args, err := sc.enter(f, args, loc)
	if err != nil {
		return nil, nil, nil, err
	}
	var want []types.Type
	var out []Col
	for _, c := range f.Columns {
		ct := c.Type
		if ct.ID == types.AnyElement || ct.ID == types.AnyArray {
			ct = t
		}
		want = append(want, ct)
		out = append(out, inner.newCol(c.Name, ct))
	}
	if len(f.Columns) == 0 {
		want, out = []types.Type{t}, []Col{inner.newCol(name, t)}
	}
	q, err := inner.query(sel, nil, nil, queryOpts{want: want})
	if err != nil {
		return nil, nil, nil, err
	}
	p := &Project{In: q.plan, Out: out}
	for _, c := range q.cols {
		if c.Hidden {
			continue
		}
		i := len(p.Exprs)
		if i >= len(out) {
			return nil, nil, nil, mismatch(t, "Final statement returns too many columns.")
		}
		e := Expr(c.ref())
		if from := c.T; from.ID != types.Unknown && !from.Same(want[i]) && !function.CastAllowed(from, want[i], function.Assignment) {
			if len(f.Columns) == 0 {
				return nil, nil, nil, mismatch(t, "Actual return type is %s.", from.Bare())
			}
			return nil, nil, nil, mismatch(types.T(types.Record), "Final statement returns %s instead of %s at column %d.", from.Bare(), want[i].Bare(), i+1)
		}
		if e, err = inner.coerce(e, want[i], function.Assignment, ""); err != nil {
			return nil, nil, nil, err
		}
		p.Exprs = append(p.Exprs, e)
	}
	if len(p.Exprs) < len(out) {
		return nil, nil, nil, mismatch(t, "Final statement returns too few columns.")
	}
	var plan Node = p
	if f.OneRow && !oneRow(plan) {
		plan = &Limit{In: plan, Count: 1}
	}
	if cond := inner.noneNull(f, args); cond != nil {
		plan = &Filter{In: plan, Cond: cond}
	}
	return plan, out, args, nil
}

// sqlRows binds a call of a function in SQL in FROM; sc is the context of its
// arguments.
func (sc *selectCtx) sqlRows(f *function.Function, args []Expr, t types.Type, rf *pg.RangeFunction, name string, loc int32) (*fromItem, error) {
	b := sc.b
	if rf.Ordinality {
		return nil, b.unsupported(loc, "WITH ORDINALITY for a function in SQL").WithHint("Use row_number() OVER ().")
	}
	cn := name
	if rf.Alias != nil {
		cn = rf.Alias.Aliasname
	}
	plan, out, _, err := sc.inlineRows(f, args, t, cn, loc)
	if err != nil {
		return nil, sc.inBody(err, f, loc)
	}
	if f.OneRow && !oneRow(plan) {
		plan = &SingleRow{In: plan} // a row of NULLs for none
	}
	if _, ok := sc.plan.(*Values); !ok {
		if plan, err = sc.joinNodes(proto.Join_CROSS, sc.plan, plan, nil); err != nil {
			return nil, err
		}
		plan = narrow(plan, out)
	}
	return sc.functionAlias(plan, visible(out), name, rf)
}

// sqlField binds (f(x)).name of a function in SQL with OUT arguments.
func (sc *selectCtx) sqlField(f *function.Function, args []Expr, name string, loc int32) (Expr, error) {
	b := sc.b
	if !f.OneRow {
		return nil, b.unsupported(loc, "a set-returning function in SQL in the select list").WithHint("Call %s in FROM.", f.Name)
	}
	for i, c := range f.Columns {
		if c.Name != name {
			continue
		}
		plan, out, bound, err := sc.inlineRows(f, args, types.T(types.Record), f.Name, loc)
		if err == nil {
			err = sc.joinValue(plan, f, bound, out[i:i+1], loc)
		}
		return out[i].ref(), sc.inBody(err, f, loc)
	}
	return nil, pgerr.New(pgerr.UndefinedColumn, "column %q not found in data type record", name).At(b.pos(loc))
}

// CheckBody binds the body of a function in SQL as a call would, with arguments
// whose values are not known, so that CREATE FUNCTION finds what is wrong with it.
// A polymorphic function can only be checked when it is called.
func CheckBody(ctx context.Context, f *function.Function, o *Options) error {
	unbound := *o
	unbound.Params, unbound.ParamTypes = nil, nil
	b := newBinder(ctx, nil, &unbound)
	var args []Expr
	for i, t := range f.Args {
		if t.ID == types.AnyElement || t.ID == types.AnyArray || t.ID == types.Any {
			return nil
		}
		args = append(args, &Param{N: i + 1, T: t})
	}
	sc := &selectCtx{b: b, plan: &Values{Rows: [][]Expr{{}}}, clause: "SELECT"}
	var err error
	if f.Kind == function.Table {
		_, _, _, err = sc.inlineRows(f, args, f.Returns, f.Name, -1)
	} else {
		_, err = sc.inlineScalar(f, args, f.Returns, -1)
	}
	if err == nil {
		return nil
	}
	e := *pgerr.From(err)
	if e.Where == "" {
		return (&e).WithWhere("SQL function %q", f.Name)
	}
	return &e
}
