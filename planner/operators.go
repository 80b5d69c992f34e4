package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// call makes a call, folded where it is constant.
func (b *binder) call(f *function.Function, args []Expr, t types.Type, loc int32) Expr {
	if f.Canary != nil && f.Kind == function.Scalar {
		return b.canary(f, args, t, loc)
	}
	c := &Call{F: f, Args: args, T: t, Pos: b.pos(loc)}
	if f.Volatility == function.Volatile {
		*b.sites++
		c.Site = *b.sites
		return c
	}
	return b.fold(c)
}

func typesOf(args []Expr) []types.Type {
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type()
	}
	return ts
}

// operator binds an operator over bound operands.
func (b *binder) operator(op string, args []Expr, loc int32) (Expr, error) {
	f, ats, t, err := function.ResolveOperator(op, typesOf(args))
	if err != nil {
		return nil, b.at(err, loc)
	}
	args = append([]Expr(nil), args...)
	for i := range args {
		if args[i], err = b.coerce(args[i], ats[i], function.Implicit, "operator "+op); err != nil {
			return nil, b.at(err, loc)
		}
	}
	return b.call(f, args, t, loc), nil
}

// callByName binds a call of a built-in over bound arguments.
func (b *binder) callByName(name string, args []Expr, loc int32) (Expr, error) {
	f, ats, t, err := function.Resolve(name, function.Lookup(name), typesOf(args))
	if err != nil {
		return nil, b.at(err, loc)
	}
	for i := range args {
		if args[i], err = b.coerce(args[i], ats[i], function.Implicit, name); err != nil {
			return nil, b.at(err, loc)
		}
	}
	return b.call(f, args, t, loc), nil
}

func (b *binder) not(e Expr) Expr {
	return b.fold(&Bool{Op: proto.Bool_NOT, Args: []Expr{e}})
}

// aExpr binds the operator forms of the grammar.
func (sc *selectCtx) aExpr(x *pg.A_Expr) (Expr, error) {
	b := sc.b
	schema, op := lastName(x.Name)
	if schema != "" && schema != "pg_catalog" {
		return nil, pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s.%s", schema, op).At(b.pos(x.Location))
	}
	if x.Lexpr.GetRowExpr() != nil && sc.rowByFields(x) {
		return sc.rowExpr(x, op)
	}
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_IN:
		return sc.inList(x, op)
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return sc.between(x)
	case pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL:
		return sc.arrayCompare(x, op)
	}
	var args []Expr
	for _, n := range []*pg.Node{x.Lexpr, x.Rexpr} {
		if n == nil {
			continue
		}
		// LIKE … ESCAPE arrives as like_escape(pattern, escape), SIMILAR TO as ~
		// with similar_to_escape(pattern).
		e, err := sc.expr(n)
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		return b.operator(op, args, x.Location)
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT, pg.A_Expr_Kind_AEXPR_NULLIF:
		// The operands take the types that = would give them.
		_, ats, _, err := function.ResolveOperator("=", typesOf(args))
		if err != nil {
			return nil, b.at(err, x.Location)
		}
		t := ats[0]
		if args[0].Type().ID == t.ID {
			t = args[0].Type() // with its modifier
		}
		// real = double precision is an operator of its own; here both need one type.
		if ats[0].ID != ats[1].ID {
			wide, err := function.CommonType(ats, "=")
			if err != nil {
				return nil, b.at(err, x.Location)
			}
			ats = []types.Type{wide, wide}
		}
		for i := range args {
			if args[i], err = b.coerce(args[i], ats[i], function.Implicit, "="); err != nil {
				return nil, err
			}
		}
		if x.Kind == pg.A_Expr_Kind_AEXPR_NULLIF {
			// The answer is the left operand of =, which may be a wider one.
			c := &Coalesce{Op: proto.Coalesce_NULLIF, Args: args, T: args[0].Type()}
			if t != c.T {
				return b.coerce(c, t, function.Explicit, "NULLIF")
			}
			return b.fold(c), nil
		}
		is := &Is{Op: proto.IsTest_DISTINCT, Arg: args[0], Right: args[1]}
		if x.Kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT {
			is.Op = proto.IsTest_NOT_DISTINCT
		}
		return b.fold(is), nil
	}
	return nil, b.unsupported(x.Location, "this operator form")
}

// inList binds x [NOT] IN (a, b, …). Constants of one type become a set.
func (sc *selectCtx) inList(x *pg.A_Expr, op string) (Expr, error) {
	b := sc.b
	arg, err := sc.expr(x.Lexpr)
	if err != nil {
		return nil, err
	}
	items := x.Rexpr.GetList().GetItems()
	vals, err := sc.exprs(items)
	if err != nil {
		return nil, err
	}
	not := op == "<>"
	if arg.Type().ID == types.Record {
		for i, v := range vals {
			if vals[i], err = b.operator("=", []Expr{arg, v}, x.Location); err != nil {
				return nil, err
			}
		}
		e := Expr(&Bool{Op: proto.Bool_OR, Args: vals})
		if len(vals) == 1 {
			e = vals[0]
		}
		if not {
			e = b.not(e)
		}
		return e, nil
	}
	t, err := commonType(append([]types.Type{arg.Type()}, typesOf(vals)...), "IN")
	if err == nil && t.ID == types.Unknown {
		t = types.T(types.Text)
	}
	if err == nil && t.ID == types.Float4 && arg.Type().ID != types.Float4 {
		t = types.T(types.Float8) // as the operators between float4 and other numbers
	}
	if err == nil && !isVolatile(arg) {
		if _, _, _, err := function.ResolveOperator("=", []types.Type{t, t}); err != nil {
			return nil, b.at(err, x.Location)
		}
		if arg, err = b.coerce(arg, t.Bare(), function.Implicit, "IN"); err != nil {
			return nil, err
		}
		in := &InList{Arg: arg, Not: not}
		var rest []Expr
		for _, v := range vals {
			if v, err = b.coerce(v, t.Bare(), function.Implicit, "IN"); err != nil {
				return nil, err
			}
			if c, ok := v.(*Const); ok {
				in.Values = append(in.Values, c)
			} else {
				rest = append(rest, v)
			}
		}
		if len(rest) == 0 {
			return b.fold(in), nil
		}
		vals = rest
		// Mixed: constants as a set, the others one by one.
		out := &Bool{Op: proto.Bool_OR}
		if not {
			out.Op = proto.Bool_AND
		}
		if len(in.Values) > 0 {
			out.Args = append(out.Args, in)
		}
		for _, v := range vals {
			e, err := b.operator(op, []Expr{arg, v}, x.Location)
			if err != nil {
				return nil, err
			}
			out.Args = append(out.Args, e)
		}
		if len(out.Args) == 1 {
			return out.Args[0], nil
		}
		return out, nil
	}
	// No common type, yet each comparison may exist by itself.
	out := &Bool{Op: proto.Bool_OR}
	if not {
		out.Op = proto.Bool_AND
	}
	for _, v := range vals {
		e, err := b.operator(op, []Expr{arg, v}, x.Location)
		if err != nil {
			return nil, err
		}
		out.Args = append(out.Args, e)
	}
	if len(out.Args) == 1 {
		return out.Args[0], nil
	}
	return b.fold(out), nil
}

func (sc *selectCtx) between(x *pg.A_Expr) (Expr, error) {
	b := sc.b
	arg, err := sc.expr(x.Lexpr)
	if err != nil {
		return nil, err
	}
	if isVolatile(arg) {
		return nil, b.unsupported(x.Location, "a volatile function as the operand of BETWEEN").WithHint("Compute it in a subquery.")
	}
	bounds, err := sc.exprs(x.Rexpr.GetList().GetItems())
	if err != nil {
		return nil, err
	}
	within := func(lo, hi Expr) (Expr, error) {
		l, err := b.operator(">=", []Expr{arg, lo}, x.Location)
		if err != nil {
			return nil, err
		}
		h, err := b.operator("<=", []Expr{arg, hi}, x.Location)
		if err != nil {
			return nil, err
		}
		return b.fold(&Bool{Op: proto.Bool_AND, Args: []Expr{l, h}}), nil
	}
	e, err := within(bounds[0], bounds[1])
	if err != nil {
		return nil, err
	}
	sym := x.Kind == pg.A_Expr_Kind_AEXPR_BETWEEN_SYM || x.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
	if sym {
		r, err := within(bounds[1], bounds[0])
		if err != nil {
			return nil, err
		}
		e = b.fold(&Bool{Op: proto.Bool_OR, Args: []Expr{e, r}})
	}
	if x.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN || x.Kind == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM {
		return b.not(e), nil
	}
	return e, nil
}

// arrayCompare binds x op ANY (array) and x op ALL (array).
func (sc *selectCtx) arrayCompare(x *pg.A_Expr, op string) (Expr, error) {
	b := sc.b
	args, err := sc.exprs([]*pg.Node{x.Lexpr, x.Rexpr})
	if err != nil {
		return nil, err
	}
	arg, arr := args[0], args[1]
	if arr.Type().ID == types.Unknown {
		et := arg.Type()
		if et.ID == types.Unknown {
			et = types.T(types.Text)
		}
		if arr, err = b.coerce(arr, types.ListOf(et), function.Implicit, op+" ANY"); err != nil {
			return nil, err
		}
	}
	any := x.Kind == pg.A_Expr_Kind_AEXPR_OP_ANY
	f, ats, err := function.ArrayOp(op, !any, []types.Type{arg.Type(), arr.Type().Bare()})
	if err != nil {
		return nil, b.at(err, x.Location)
	}
	if arg, err = b.coerce(arg, ats[0], function.Implicit, op); err != nil {
		return nil, err
	}
	if !ats[1].Same(arr.Type()) {
		if arr, err = b.coerce(arr, ats[1], function.Explicit, op); err != nil {
			return nil, err
		}
	}
	// = ANY and <> ALL of a constant array are IN lists.
	if c, ok := arr.(*Const); ok && c.V != nil && (any && op == "=" || !any && op == "<>") && arg.Type().Same(arr.Type().ElemType()) {
		in := &InList{Arg: arg, Not: !any}
		child := c.V.Child
		from, to := c.V.ListAt(0)
		for i := from; i < to; i++ {
			k := &Const{T: arg.Type().Bare()}
			if !child.IsNull(i) {
				k.V = vector.Slice(child, i, i+1).Flatten().Retype(k.T)
			}
			in.Values = append(in.Values, k)
		}
		if len(in.Values) == 0 {
			return boolConst(!any), nil
		}
		return b.fold(in), nil
	}
	return b.call(f, []Expr{arg, arr}, boolType, x.Location), nil
}

// rowByFields reports whether a comparison of ROW(…) can be spelled out: the other
// side is written as rows too.
func (sc *selectCtx) rowByFields(x *pg.A_Expr) bool {
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_OP:
		return x.Rexpr.GetRowExpr() != nil || x.Rexpr.GetSubLink() != nil
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return x.Rexpr.GetRowExpr() != nil
	case pg.A_Expr_Kind_AEXPR_IN:
		for _, it := range x.Rexpr.GetList().GetItems() {
			if it.GetRowExpr() == nil {
				return false
			}
		}
		return true
	}
	return false
}

// rowExpr binds comparisons of row values by spelling them out.
func (sc *selectCtx) rowExpr(x *pg.A_Expr, op string) (Expr, error) {
	b := sc.b
	left, err := sc.rowExprs(x.Lexpr.GetRowExpr())
	if err != nil {
		return nil, err
	}
	compare := func(r *pg.RowExpr, op string) (Expr, error) {
		if r == nil {
			return nil, b.unsupported(x.Location, "this comparison of a row value")
		}
		right, err := sc.rowExprs(r)
		if err != nil {
			return nil, err
		}
		if len(left) != len(right) {
			return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(b.pos(x.Location))
		}
		if len(left) == 0 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot compare rows of zero length").At(b.pos(x.Location))
		}
		switch op {
		case "=", "<>":
			out := &Bool{Op: proto.Bool_AND}
			if op == "<>" {
				out.Op = proto.Bool_OR
			}
			for i := range left {
				e, err := b.operator(op, []Expr{left[i], right[i]}, x.Location)
				if err != nil {
					return nil, err
				}
				out.Args = append(out.Args, e)
			}
			return b.fold(out), nil
		case "<", "<=", ">", ">=":
			// (a, b) < (c, d) is a < c OR a = c AND b < d.
			var out Expr
			for i := len(left) - 1; i >= 0; i-- {
				o := op
				if i < len(left)-1 {
					o = op[:1]
				}
				e, err := b.operator(o, []Expr{left[i], right[i]}, x.Location)
				if err != nil {
					return nil, err
				}
				if out == nil {
					out = e
					continue
				}
				eq, err := b.operator("=", []Expr{left[i], right[i]}, x.Location)
				if err != nil {
					return nil, err
				}
				out = &Bool{Op: proto.Bool_OR, Args: []Expr{e, &Bool{Op: proto.Bool_AND, Args: []Expr{eq, out}}}}
			}
			return b.fold(out), nil
		}
		return nil, b.unsupported(x.Location, "operator %s for row values", op)
	}
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_OP:
		return compare(x.Rexpr.GetRowExpr(), op)
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		right, err := sc.rowExprs(x.Rexpr.GetRowExpr())
		if err != nil {
			return nil, err
		}
		if len(left) != len(right) {
			return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(b.pos(x.Location))
		}
		out := &Bool{Op: proto.Bool_OR}
		for i := range left {
			l, r, err := b.comparable(left[i], right[i])
			if err != nil {
				return nil, b.at(err, x.Location)
			}
			out.Args = append(out.Args, b.fold(&Is{Op: proto.IsTest_DISTINCT, Arg: l, Right: r}))
		}
		if len(out.Args) == 0 {
			return boolConst(x.Kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT), nil
		}
		var e Expr = out
		if len(out.Args) == 1 {
			e = out.Args[0]
		}
		if x.Kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT {
			return b.not(e), nil
		}
		return b.fold(e), nil
	case pg.A_Expr_Kind_AEXPR_IN:
		out := &Bool{Op: proto.Bool_OR}
		for _, it := range x.Rexpr.GetList().GetItems() {
			e, err := compare(it.GetRowExpr(), "=")
			if err != nil {
				return nil, err
			}
			out.Args = append(out.Args, e)
		}
		var e Expr = out
		if len(out.Args) == 1 {
			e = out.Args[0]
		}
		if op == "<>" {
			return b.not(e), nil
		}
		return e, nil
	}
	return nil, b.unsupported(x.Location, "this comparison of a row value")
}
