package planner

import (
	"math"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// expr binds an expression.
func (sc *selectCtx) expr(n *pg.Node) (Expr, error) {
	b := sc.b
	b.depth++
	defer func() { b.depth-- }()
	if b.depth > maxDepth {
		return nil, pgerr.New(pgerr.StatementTooComplex, "the expression is nested too deeply").At(b.pos(nodeLocation(n)))
	}
	switch x := n.GetNode().(type) {
	case *pg.Node_AConst:
		return b.constant(x.AConst)
	case *pg.Node_ColumnRef:
		return sc.column(x.ColumnRef)
	case *pg.Node_ParamRef:
		return b.param(x.ParamRef)
	case *pg.Node_AExpr:
		return sc.aExpr(x.AExpr)
	case *pg.Node_BoolExpr:
		return sc.boolOp(x.BoolExpr)
	case *pg.Node_NullTest:
		return sc.nullTest(x.NullTest)
	case *pg.Node_BooleanTest:
		return sc.booleanTest(x.BooleanTest)
	case *pg.Node_CaseExpr:
		return sc.caseExpr(x.CaseExpr)
	case *pg.Node_CoalesceExpr:
		return sc.variadicExpr(proto.Coalesce_COALESCE, "COALESCE", x.CoalesceExpr.Args, x.CoalesceExpr.Location)
	case *pg.Node_MinMaxExpr:
		if x.MinMaxExpr.Op == pg.MinMaxOp_IS_GREATEST {
			return sc.variadicExpr(proto.Coalesce_GREATEST, "GREATEST", x.MinMaxExpr.Args, x.MinMaxExpr.Location)
		}
		return sc.variadicExpr(proto.Coalesce_LEAST, "LEAST", x.MinMaxExpr.Args, x.MinMaxExpr.Location)
	case *pg.Node_FuncCall:
		return sc.funcCall(x.FuncCall)
	case *pg.Node_SqlvalueFunction:
		return sc.sqlValue(x.SqlvalueFunction)
	case *pg.Node_TypeCast:
		return sc.typeCast(x.TypeCast)
	case *pg.Node_CollateClause:
		return sc.collate(x.CollateClause)
	case *pg.Node_SubLink:
		return sc.subLink(x.SubLink)
	case *pg.Node_AArrayExpr:
		return sc.arrayExpr(x.AArrayExpr)
	case *pg.Node_AIndirection:
		return sc.indirection(x.AIndirection)
	case *pg.Node_RowExpr:
		return sc.rowValue(x.RowExpr)
	case *pg.Node_SetToDefault:
		return nil, pgerr.New(pgerr.SyntaxError, "DEFAULT is not allowed in this context").At(b.pos(x.SetToDefault.Location))
	case *pg.Node_GroupingFunc:
		return sc.grouping(x.GroupingFunc)
	case *pg.Node_NamedArgExpr:
		return nil, b.unsupported(x.NamedArgExpr.Location, "a named argument here")
	}
	name := strings.TrimPrefix(strings.ToUpper(nodeName(n)), "NODE_")
	return nil, b.unsupported(nodeLocation(n), "%s", name)
}

func (sc *selectCtx) exprs(ns []*pg.Node) ([]Expr, error) {
	out := make([]Expr, len(ns))
	for i, n := range ns {
		e, err := sc.expr(n)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

func textConst(s string, t types.ID, pos int) *Const {
	return &Const{T: types.T(t), V: vector.FromStrings(types.T(t), []string{s}), Pos: pos}
}

func boolConst(v bool) *Const {
	return &Const{T: boolType, V: vector.FromSlice(boolType, []bool{v})}
}

func (b *binder) constant(c *pg.A_Const) (Expr, error) {
	pos := b.pos(c.Location)
	if c.Isnull {
		return &Const{T: types.T(types.Unknown), Pos: pos}, nil
	}
	switch v := c.Val.(type) {
	case *pg.A_Const_Ival:
		t := types.T(types.Int4)
		return &Const{T: t, V: vector.FromSlice(t, []int32{v.Ival.GetIval()}), Pos: pos}, nil
	case *pg.A_Const_Boolval:
		k := boolConst(v.Boolval.GetBoolval())
		k.Pos = pos
		return k, nil
	case *pg.A_Const_Sval:
		return textConst(v.Sval.GetSval(), types.Unknown, pos), nil
	case *pg.A_Const_Fval:
		s := strings.ReplaceAll(v.Fval.GetFval(), "_", "")
		if i, err := strconv.ParseInt(s, 0, 64); err == nil {
			if i == math.MinInt32 { // the grammar keeps -2147483648 as text
				t := types.T(types.Int4)
				return &Const{T: t, V: vector.FromSlice(t, []int32{int32(i)}), Pos: pos}, nil
			}
			k := constInt8(i)
			k.Pos = pos
			return k, nil
		}
		e, err := b.literal(textConst(s, types.Unknown, pos), types.T(types.Numeric), true)
		if pgerr.Code(err) == pgerr.NumericValueOutOfRange {
			// Too wide for numeric: the nearest float, if there is one.
			if f, ferr := b.literal(textConst(s, types.Unknown, pos), types.T(types.Float8), true); ferr == nil {
				return f, nil
			}
		}
		return e, err
	case *pg.A_Const_Bsval:
		return nil, b.unsupported(c.Location, "a bit string literal")
	}
	return nil, b.unsupported(c.Location, "this constant")
}

func (b *binder) param(p *pg.ParamRef) (Expr, error) {
	n := int(p.Number)
	if b.frame != nil && b.frame.args != nil {
		if e := b.frame.param(n); e != nil {
			return e, nil
		}
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", n).At(b.pos(p.Location))
	}
	if n < 1 || n > 65535 {
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", n).At(b.pos(p.Location))
	}
	if !b.infer {
		if n > len(b.o.Params) {
			return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", n).At(b.pos(p.Location))
		}
		c := *b.o.Params[n-1]
		c.Pos = b.pos(p.Location)
		return &c, nil
	}
	for len(b.params) < n {
		b.params = append(b.params, types.T(types.Unknown))
	}
	t := b.params[n-1]
	if t.ID == types.Invalid {
		t = types.T(types.Unknown)
	}
	return &Param{N: n, T: t, Pos: b.pos(p.Location)}, nil
}

func (sc *selectCtx) boolOp(x *pg.BoolExpr) (Expr, error) {
	op := map[pg.BoolExprType]proto.Bool_Op{pg.BoolExprType_AND_EXPR: proto.Bool_AND, pg.BoolExprType_OR_EXPR: proto.Bool_OR, pg.BoolExprType_NOT_EXPR: proto.Bool_NOT}[x.Boolop]
	out := &Bool{Op: op}
	for _, a := range x.Args {
		e, err := sc.boolExpr(a, op.String())
		if err != nil {
			return nil, err
		}
		if in, ok := e.(*Bool); ok && in.Op == op && op != proto.Bool_NOT {
			out.Args = append(out.Args, in.Args...)
			continue
		}
		out.Args = append(out.Args, e)
	}
	return sc.b.fold(out), nil
}

func (sc *selectCtx) nullTest(x *pg.NullTest) (Expr, error) {
	if es, ok, err := sc.rowFields(x.Arg); err != nil {
		return nil, err
	} else if ok {
		// True of a row when it is of every field.
		out := &Bool{Op: proto.Bool_AND}
		for _, e := range es {
			t, err := sc.isNull(e, x.Nulltesttype)
			if err != nil {
				return nil, err
			}
			out.Args = append(out.Args, t)
		}
		if len(out.Args) == 0 {
			return boolConst(true), nil
		}
		return sc.b.fold(out), nil
	}
	e, err := sc.expr(x.Arg)
	if err != nil {
		return nil, err
	}
	if e.Type().ID == types.Record {
		not := boolConst(x.Nulltesttype == pg.NullTestType_IS_NOT_NULL)
		return sc.b.callByName("volley_row_null", []Expr{e, not}, x.Location)
	}
	return sc.isNull(e, x.Nulltesttype)
}

// rowFields are the fields of ROW(…), t.* or t; ok is false for other expressions.
func (sc *selectCtx) rowFields(n *pg.Node) (fields []Expr, ok bool, err error) {
	if r := n.GetRowExpr(); r != nil {
		fields, err = sc.rowExprs(r)
		return fields, true, err
	}
	ref := n.GetColumnRef()
	if ref == nil {
		return nil, false, nil
	}
	parts, star := nameParts(ref.Fields)
	if len(parts) == 0 || !star && len(parts) > 1 {
		return nil, false, nil
	}
	table := ident{parts[len(parts)-1], sc.b.st.Quoted(ref.Location, len(parts)-1)}
	for c := sc; c != nil; c = c.outer {
		if !star {
			if col, perr := findColumn(c.scope, ident{}, table, ""); col != nil || perr != nil {
				return nil, false, nil // an ordinary column
			}
		}
		for i := range c.scope {
			col := &c.scope[i]
			if !table.exact(col.Table) && !table.fold(col.Table) {
				continue
			}
			if col.Scalar && !star {
				return nil, false, nil
			}
			ok = true
			if !col.Hidden || col.Merged {
				fields = append(fields, &Column{ID: col.ID, T: col.T, Name: col.Name, Pos: sc.b.pos(ref.Location)})
			}
		}
		if ok {
			return fields, true, nil
		}
	}
	return nil, false, nil
}

func (sc *selectCtx) isNull(e Expr, test pg.NullTestType) (Expr, error) {
	var err error
	if e.Type().ID == types.Unknown {
		if e, err = sc.b.coerce(e, types.T(types.Text), function.Implicit, ""); err != nil {
			return nil, err
		}
	}
	op := proto.IsTest_NULL
	if test == pg.NullTestType_IS_NOT_NULL {
		op = proto.IsTest_NOT_NULL
	}
	return sc.b.fold(&Is{Op: op, Arg: e}), nil
}

func (sc *selectCtx) booleanTest(x *pg.BooleanTest) (Expr, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(x.Booltesttype.String(), "IS_"), "_", " ")
	e, err := sc.boolExpr(x.Arg, "IS "+name)
	if err != nil {
		return nil, err
	}
	op := map[pg.BoolTestType]proto.IsTest_Op{
		pg.BoolTestType_IS_TRUE: proto.IsTest_TRUE, pg.BoolTestType_IS_NOT_TRUE: proto.IsTest_NOT_TRUE,
		pg.BoolTestType_IS_FALSE: proto.IsTest_FALSE, pg.BoolTestType_IS_NOT_FALSE: proto.IsTest_NOT_FALSE,
		pg.BoolTestType_IS_UNKNOWN: proto.IsTest_NULL, pg.BoolTestType_IS_NOT_UNKNOWN: proto.IsTest_NOT_NULL}[x.Booltesttype]
	return sc.b.fold(&Is{Op: op, Arg: e}), nil
}

func (sc *selectCtx) caseExpr(x *pg.CaseExpr) (Expr, error) {
	b := sc.b
	var arg Expr
	if x.Arg != nil {
		var err error
		if arg, err = sc.expr(x.Arg); err != nil {
			return nil, err
		}
		if isVolatile(arg) {
			return nil, b.unsupported(x.Location, "a volatile function as the operand of CASE").WithHint("Compute it in a subquery.")
		}
	}
	out := &Case{}
	var results []Expr
	for _, n := range x.Args {
		w := n.GetCaseWhen()
		var cond Expr
		var err error
		if arg != nil {
			v, err := sc.expr(w.Expr)
			if err != nil {
				return nil, err
			}
			if cond, err = b.operator("=", []Expr{arg, v}, nodeLocation(w.Expr)); err != nil {
				return nil, err
			}
		} else if cond, err = sc.boolExpr(w.Expr, "CASE/WHEN"); err != nil {
			return nil, err
		}
		r, err := sc.expr(w.Result)
		if err != nil {
			return nil, err
		}
		out.Whens = append(out.Whens, When{Cond: cond})
		results = append(results, r)
	}
	if x.Defresult != nil {
		r, err := sc.expr(x.Defresult)
		if err != nil {
			return nil, err
		}
		results = append([]Expr{r}, results...) // Postgres' order for the common type
	}
	ts := make([]types.Type, len(results))
	for i, r := range results {
		ts[i] = r.Type()
	}
	t, err := commonType(ts, "CASE")
	if err != nil {
		return nil, b.at(err, x.Location)
	}
	if t.ID == types.Unknown {
		t = types.T(types.Text)
	}
	for i := range results {
		if results[i], err = b.coerce(results[i], t, function.Implicit, "CASE"); err != nil {
			return nil, err
		}
	}
	if x.Defresult != nil {
		out.Else, results = results[0], results[1:]
	}
	for i := range out.Whens {
		out.Whens[i].Result = results[i]
	}
	out.T = t
	return b.fold(out), nil
}

func (sc *selectCtx) variadicExpr(op proto.Coalesce_Op, what string, ns []*pg.Node, loc int32) (Expr, error) {
	args, err := sc.exprs(ns)
	if err != nil {
		return nil, err
	}
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type()
	}
	t, err := commonType(ts, what)
	if err != nil {
		return nil, sc.b.at(err, loc)
	}
	if t.ID == types.Unknown {
		t = types.T(types.Text)
	}
	for i := range args {
		if args[i], err = sc.b.coerce(args[i], t, function.Implicit, what); err != nil {
			return nil, err
		}
	}
	return sc.b.fold(&Coalesce{Op: op, Args: args, T: t}), nil
}

func (sc *selectCtx) typeCast(x *pg.TypeCast) (Expr, error) {
	t, err := ResolveType(sc.b.st, x.TypeName, sc.b.o.Catalog)
	if err != nil {
		return nil, err
	}
	if arr := x.Arg.GetAArrayExpr(); arr != nil && t.ID == types.Array {
		// ARRAY[]::int[]: the cast types the elements.
		return sc.typedArray(arr, t)
	}
	var e Expr
	if f, ok := x.Arg.GetAConst().GetVal().(*pg.A_Const_Fval); ok && (t.ID == types.Float8 || t.ID == types.Float4) {
		// 1e300::float8 need not be a numeric in between.
		e = textConst(strings.ReplaceAll(f.Fval.GetFval(), "_", ""), types.Unknown, sc.b.pos(nodeLocation(x.Arg)))
	} else if e, err = sc.expr(x.Arg); err != nil {
		return nil, err
	}
	out, err := sc.b.coerce(e, t, function.Explicit, "")
	if err != nil {
		return nil, sc.b.at(err, x.Location)
	}
	if c, ok := out.(*Cast); ok && c.Pos == 0 {
		c.Pos = sc.b.pos(x.Location)
	}
	if out.Type() != t && out.Type().Same(t) && t.Typmod == -1 && out.Type().Typmod != -1 {
		// x::numeric of a numeric(p,s) drops the modifier and nothing else.
		return &Cast{Arg: out, T: t, Explicit: true, Pos: sc.b.pos(x.Location)}, nil
	}
	return out, nil
}

func (sc *selectCtx) collate(x *pg.CollateClause) (Expr, error) {
	_, name := lastName(x.Collname)
	switch strings.ToLower(name) {
	case "c", "posix", "default", "ucs_basic":
		return sc.expr(x.Arg)
	}
	return nil, pgerr.New(pgerr.UndefinedObject, "collation %q does not exist", name).
		WithHint("Volley compares text by its UTF-8 bytes, as collation \"C\" does.").At(sc.b.pos(x.Location))
}

// sqlValue binds CURRENT_DATE and its like, which are functions without parentheses.
func (sc *selectCtx) sqlValue(x *pg.SQLValueFunction) (Expr, error) {
	name := strings.ToLower(strings.TrimPrefix(x.Op.String(), "SVFOP_"))
	name = strings.TrimSuffix(name, "_n")
	if name == "current_time" {
		return nil, sc.b.unsupported(x.Location, "CURRENT_TIME").WithHint("Use LOCALTIME.")
	}
	mod := x.Typmod
	if !strings.HasSuffix(x.Op.String(), "_N") || mod >= 6 {
		mod = -1
	}
	switch name {
	case "current_role", "user":
		name = "current_user"
	case "current_timestamp":
		name = "now"
	}
	if name == "current_user" && sc.b.definer != "" {
		return sc.b.coerce(textConst(sc.b.definer, types.Unknown, 0), types.T(types.Name), function.Explicit, "")
	}
	e, err := sc.b.callByName(name, nil, x.Location)
	if err != nil || mod < 0 {
		return e, err
	}
	t := e.Type()
	t.Typmod = mod
	return sc.b.coerce(e, t, function.Explicit, "")
}

// nodeLocation finds where a node begins in the text.
func nodeLocation(n *pg.Node) int32 {
	switch x := n.GetNode().(type) {
	case *pg.Node_AConst:
		return x.AConst.Location
	case *pg.Node_ColumnRef:
		return x.ColumnRef.Location
	case *pg.Node_ParamRef:
		return x.ParamRef.Location
	case *pg.Node_AExpr:
		if x.AExpr.Lexpr != nil {
			if l := nodeLocation(x.AExpr.Lexpr); l >= 0 {
				return l
			}
		}
		return x.AExpr.Location
	case *pg.Node_BoolExpr:
		if len(x.BoolExpr.Args) > 0 && x.BoolExpr.Boolop != pg.BoolExprType_NOT_EXPR {
			return nodeLocation(x.BoolExpr.Args[0])
		}
		return x.BoolExpr.Location
	case *pg.Node_NullTest:
		return nodeLocation(x.NullTest.Arg)
	case *pg.Node_BooleanTest:
		return nodeLocation(x.BooleanTest.Arg)
	case *pg.Node_CaseExpr:
		return x.CaseExpr.Location
	case *pg.Node_CoalesceExpr:
		return x.CoalesceExpr.Location
	case *pg.Node_MinMaxExpr:
		return x.MinMaxExpr.Location
	case *pg.Node_FuncCall:
		return x.FuncCall.Location
	case *pg.Node_SqlvalueFunction:
		return x.SqlvalueFunction.Location
	case *pg.Node_TypeCast:
		if l := nodeLocation(x.TypeCast.Arg); l >= 0 {
			return l
		}
		return x.TypeCast.Location
	case *pg.Node_CollateClause:
		return x.CollateClause.Location
	case *pg.Node_SubLink:
		return x.SubLink.Location
	case *pg.Node_AArrayExpr:
		return x.AArrayExpr.Location
	case *pg.Node_AIndirection:
		return nodeLocation(x.AIndirection.Arg)
	case *pg.Node_RowExpr:
		return x.RowExpr.Location
	case *pg.Node_ResTarget:
		return x.ResTarget.Location
	case *pg.Node_RangeVar:
		return x.RangeVar.Location
	case *pg.Node_SortBy:
		return nodeLocation(x.SortBy.Node)
	case *pg.Node_NamedArgExpr:
		return x.NamedArgExpr.Location
	case *pg.Node_GroupingFunc:
		return x.GroupingFunc.Location
	case *pg.Node_RangeFunction:
		if l := x.RangeFunction.Functions; len(l) > 0 && len(l[0].GetList().GetItems()) > 0 {
			return nodeLocation(l[0].GetList().Items[0])
		}
	case *pg.Node_RangeSubselect:
		if s := x.RangeSubselect.Subquery.GetSelectStmt(); s != nil {
			return selectLocation(s)
		}
	case *pg.Node_JoinExpr:
		return nodeLocation(x.JoinExpr.Larg)
	}
	return -1
}

// nodeName names a node's grammar production, for messages.
func nodeName(n *pg.Node) string {
	if n == nil || n.Node == nil {
		return "an empty expression"
	}
	r := n.ProtoReflect()
	fd := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	return strings.ReplaceAll(string(fd.Name()), "_", " ")
}

// figureName is the column name of an unnamed select-list item, as Postgres
// derives it.
func figureName(n *pg.Node) string {
	if s, _ := figure(n); s != "" {
		return s
	}
	return "?column?"
}

// figure returns a name and its strength: 2 for a name, 1 for a type's.
func figure(n *pg.Node) (string, int) {
	switch x := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		parts, _ := nameParts(x.ColumnRef.Fields)
		if len(parts) > 0 {
			return parts[len(parts)-1], 2
		}
	case *pg.Node_AIndirection:
		parts, _ := nameParts(x.AIndirection.Indirection)
		if len(parts) > 0 {
			return parts[len(parts)-1], 2
		}
		return figure(x.AIndirection.Arg)
	case *pg.Node_FuncCall:
		_, name := lastName(x.FuncCall.Funcname)
		return name, 2
	case *pg.Node_AExpr:
		if x.AExpr.Kind == pg.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pg.Node_TypeCast:
		if s, k := figure(x.TypeCast.Arg); k > 1 {
			return s, k
		}
		_, name := lastName(x.TypeCast.TypeName.Names)
		return name, 1
	case *pg.Node_CollateClause:
		return figure(x.CollateClause.Arg)
	case *pg.Node_CaseExpr:
		if x.CaseExpr.Defresult != nil {
			if s, k := figure(x.CaseExpr.Defresult); k > 1 {
				return s, k
			}
		}
		return "case", 1
	case *pg.Node_CoalesceExpr:
		return "coalesce", 2
	case *pg.Node_MinMaxExpr:
		if x.MinMaxExpr.Op == pg.MinMaxOp_IS_GREATEST {
			return "greatest", 2
		}
		return "least", 2
	case *pg.Node_AArrayExpr:
		return "array", 2
	case *pg.Node_RowExpr:
		return "row", 2
	case *pg.Node_SqlvalueFunction:
		return strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(x.SqlvalueFunction.Op.String(), "SVFOP_")), "_n"), 2
	case *pg.Node_GroupingFunc:
		return "grouping", 2
	case *pg.Node_SubLink:
		switch x.SubLink.SubLinkType {
		case pg.SubLinkType_EXISTS_SUBLINK:
			return "exists", 2
		case pg.SubLinkType_ARRAY_SUBLINK:
			return "array", 2
		case pg.SubLinkType_EXPR_SUBLINK:
			if s := x.SubLink.Subselect.GetSelectStmt(); s != nil && len(s.TargetList) > 0 {
				rt := s.TargetList[0].GetResTarget()
				if rt.Name != "" {
					return rt.Name, 2
				}
				return figure(rt.Val)
			}
		}
	}
	return "", 0
}
