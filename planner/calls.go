package planner

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// candidates finds the functions of a name in the order of the search path, where
// pg_catalog stands first unless it is named later: of those that fit a call with the
// same arguments the first hides the others. What is aggregated is decided by names alone, so a user's function
// must not be of another kind than the built-in ones of its name: such a one has to be
// called with its schema.
func (b *binder) candidates(schema, name string) []*function.Function {
	// The grammar qualifies normalize(x) itself; the user may have one.
	free := schema == "" || schema == "pg_catalog" && name == "normalize"
	var own, builtin []*function.Function
	switch {
	case b.o.Catalog == nil:
	case free:
		own = b.o.Catalog.Functions("", name)
	case schema != "pg_catalog":
		own = b.o.Catalog.Functions(schema, name)
	}
	if schema == "" {
		schema = "pg_catalog"
	}
	for _, f := range function.Lookup(name) {
		if f.Schema == schema {
			builtin = append(builtin, f)
		}
	}
	if len(builtin) == 0 && len(own) == 0 && schema == "pg_catalog" && b.o.Catalog != nil {
		// The grammar itself qualifies names that SQL gives a syntax, such as
		// normalize(x): where there is no such built-in, the user's is meant.
		return b.o.Catalog.Functions("", name)
	}
	if len(builtin) == 0 || len(own) == 0 {
		return slices.Concat(builtin, own)
	}
	path, _ := b.o.Catalog.(PathCatalog)
	var first, last []*function.Function
	for _, u := range own {
		switch {
		case !slices.ContainsFunc(builtin, func(f *function.Function) bool { return sameCalls(f.Kind, u.Kind) }):
		case free && b.definer == "" && path != nil && path.BeforeBuiltins(u.Schema):
			first = append(first, u)
		default:
			last = append(last, u)
		}
	}
	return slices.Concat(first, builtin, last)
}

// unhidden are the candidates of an ordinary call.
func unhidden(cands []*function.Function) []*function.Function {
	var out []*function.Function
	for _, f := range cands {
		if !slices.ContainsFunc(out, func(g *function.Function) bool {
			return f.Schema != g.Schema && slices.EqualFunc(f.Args, g.Args, types.Type.Same)
		}) {
			out = append(out, f)
		}
	}
	return out
}

// sameCalls reports that calls of two kinds of functions are bound in the same way.
func sameCalls(a, b function.Kind) bool {
	aggregated := func(k function.Kind) bool { return k == function.Aggregate || k == function.Window }
	return aggregated(a) == aggregated(b)
}

// resolveCall finds the function of a call and its arguments, cast to what the
// function takes.
func (sc *selectCtx) resolveCall(fc *pg.FuncCall, _ function.Kind) (*function.Function, []Expr, types.Type, error) {
	b := sc.b
	none := types.Type{}
	schema, name := lastName(fc.Funcname)
	cands := b.candidates(schema, name)
	shown := name
	if schema != "" {
		shown = schema + "." + name
	}
	var args []Expr
	named := map[string]Expr{}
	var order []string
	for _, n := range fc.Args {
		if na := n.GetNamedArgExpr(); na != nil {
			e, err := sc.expr(na.Arg)
			if err != nil {
				return nil, nil, none, err
			}
			if named[na.Name] != nil {
				return nil, nil, none, pgerr.New(pgerr.SyntaxError, "argument name %q used more than once", na.Name).At(b.pos(na.Location))
			}
			named[na.Name] = e
			order = append(order, na.Name)
			continue
		}
		if len(named) > 0 {
			return nil, nil, none, pgerr.New(pgerr.SyntaxError, "positional argument cannot follow named argument").At(b.pos(nodeLocation(n)))
		}
		e, err := sc.expr(n)
		if err != nil {
			return nil, nil, none, err
		}
		args = append(args, e)
	}
	shapes, err := b.shapes(fc, cands, &args, named, order)
	if err != nil {
		return nil, nil, none, b.at(err, fc.Location)
	}
	if shapes != nil {
		cands = shapes.candidates()
	} else {
		cands = unhidden(cands)
	}
	if len(cands) == 0 {
		if g, ok := b.o.Catalog.(FunctionGuard); ok && g.IsProcedure(schema, name) {
			return nil, nil, none, pgerr.New(pgerr.WrongObjectType, "%s(%s) is a procedure", shown, callList(args, order)).
				WithHint("To call a procedure, use CALL.").At(b.pos(fc.Location))
		}
		if a, ok := b.o.Catalog.(AloneCatalog); ok && a.StandsAlone(schema, name, len(fc.Args)) {
			return nil, nil, none, b.unsupported(fc.Location, "%s within a query", shown).
				WithHint("Call it alone: SELECT %s(…), with constants or parameters.", shown)
		}
		e := pgerr.New(pgerr.UndefinedFunction, "function %s(%s) does not exist", shown, callList(args, order)).At(b.pos(fc.Location))
		if h := b.functionHint(schema, name); h != "" {
			return nil, nil, none, e.WithHint("%s", h)
		}
		names := append(function.Names(), FileFunctionNames()...)
		if b.o.Catalog != nil {
			names = append(names, b.o.Catalog.FunctionNames()...)
		}
		if s := suggest(name, names); s != "" && s != name {
			return nil, nil, none, e.WithHint("Perhaps you meant %q.", s)
		}
		return nil, nil, none, e.WithHint("No function matches the given name and argument types. You might need to add explicit type casts.")
	}
	f, ats, t, err := function.Resolve(shown, cands, typesOf(args))
	if err != nil {
		pe := pgerr.From(err)
		if pe.Code == pgerr.UndefinedFunction && slices.ContainsFunc(cands, func(f *function.Function) bool { return f.UDF != nil || f.Body != "" }) {
			pe = signatureHint(pe, cands)
		}
		return nil, nil, none, b.at(pe, fc.Location)
	}
	if err := b.mayCall(f); err != nil {
		return nil, nil, none, b.at(err, fc.Location)
	}
	for i := range args {
		if args[i], err = b.coerce(args[i], ats[i], function.Implicit, "argument of "+shown); err != nil {
			return nil, nil, none, b.at(err, fc.Location)
		}
	}
	if shapes != nil {
		if f, args, err = sc.arrange(shapes.of(f), args, fc.Location); err != nil {
			return nil, nil, none, err
		}
	}
	for i, name := range f.Prepare {
		if args[i], err = b.callByName(name, []Expr{args[i]}, fc.Location); err != nil {
			return nil, nil, none, err
		}
	}
	return f, args, t, nil
}

// signatureHint shows what a user-defined function does take.
func signatureHint(e *pgerr.Error, cands []*function.Function) *pgerr.Error {
	var sigs []string
	for _, f := range cands {
		if f.UDF != nil || f.Body != "" {
			sigs = append(sigs, f.Name+"("+typeList(f.Args)+")")
		}
	}
	c := *e
	return c.WithHint("The function takes %s. You might need to add explicit type casts.", strings.Join(sigs, " or "))
}

func typeList(ts []types.Type) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.Bare().String()
	}
	return strings.Join(names, ", ")
}

// hasAggregate reports whether a SELECT calls an aggregate outside subqueries
// and windows.
func (sc *selectCtx) hasAggregate(sel *pg.SelectStmt) bool {
	found := false
	var visit func(n *pg.Node) bool
	visit = func(n *pg.Node) bool {
		if sl := n.GetSubLink(); sl != nil && sl.Testexpr != nil {
			parser.Walk(sl.Testexpr, visit) // the left side of IN is this query's
		}
		if n.GetSubLink() != nil || n.GetSelectStmt() != nil {
			return false
		}
		fc := n.GetFuncCall()
		if fc == nil {
			return !found
		}
		schema, name := lastName(fc.Funcname)
		found = found || fc.AggWithinGroup
		if fc.Over == nil {
			for _, f := range sc.b.candidates(schema, name) {
				if f.Kind == function.Aggregate {
					found = true
				}
			}
		}
		return !found
	}
	for _, n := range sel.TargetList {
		parser.Walk(n, visit)
	}
	for _, list := range [][]*pg.Node{sel.SortClause, sel.DistinctClause, sel.WindowClause} {
		for _, n := range list {
			parser.Walk(n, visit)
		}
	}
	return found
}

// funcCall binds a call of any kind in an expression.
func (sc *selectCtx) funcCall(fc *pg.FuncCall) (Expr, error) {
	b := sc.b
	schema, name := lastName(fc.Funcname)
	if what := strayClause(name); what != "" {
		return nil, pgerr.New(pgerr.SyntaxError, "%s", what).At(b.pos(fc.Location))
	}
	if name == "overlaps" && (schema == "" || schema == "pg_catalog") && len(fc.Args) == 4 {
		return sc.overlaps(fc)
	}
	if fc.AggWithinGroup {
		return sc.withinGroup(fc, name)
	}
	if function.OrderedSet(name) && (schema == "" || schema == "pg_catalog") {
		return nil, pgerr.New(pgerr.WrongObjectType, "WITHIN GROUP is required for ordered-set aggregate %s", name).At(b.pos(fc.Location))
	}
	if fc.AggStar {
		if name != "count" {
			for _, f := range b.candidates(schema, name) {
				if f.Kind == function.Aggregate && len(f.Args) == 0 {
					if err := b.mayCall(f); err != nil {
						return nil, b.at(err, fc.Location)
					}
					return sc.aggOrWindow(fc, f, nil, f.Returns)
				}
			}
			if len(b.candidates(schema, name)) == 0 {
				return nil, pgerr.New(pgerr.UndefinedFunction, "function %s() does not exist", name).At(b.pos(fc.Location)).
					WithHint("No function matches the given name and argument types. You might need to add explicit type casts.")
			}
			return nil, pgerr.New(pgerr.WrongObjectType, "%s(*) specified, but %s is not an aggregate function without arguments", name, name).At(b.pos(fc.Location))
		}
	}
	if name == "count" && len(fc.Args) == 0 && !fc.AggStar {
		return nil, pgerr.New(pgerr.WrongObjectType, "count(*) must be used to call a parameterless aggregate function").At(b.pos(fc.Location))
	}
	if e, ok, err := sc.castCall(fc, schema, name); ok || err != nil {
		return e, err
	}
	// What an aggregate's arguments may contain is decided before they are bound.
	kind := function.Scalar
	for _, f := range b.candidates(schema, name) {
		if f.Kind == function.Aggregate || f.Kind == function.Window {
			kind = f.Kind
		}
	}
	if kind != function.Scalar {
		return sc.bindAggOrWindow(fc, kind)
	}
	if f := fileFunction(name); f != nil && (schema == "" || schema == "pg_catalog") {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s reads a table: use it in FROM", name).WithHint("SELECT * FROM %s('…')", name).At(b.pos(fc.Location))
	}
	if fc.Over != nil {
		f, _, _, err := sc.resolveCall(fc, function.Scalar)
		if err != nil {
			return nil, err
		}
		return nil, pgerr.New(pgerr.WrongObjectType, "OVER specified, but %s is %s", name, notWindow(f.Kind)).At(b.pos(fc.Location))
	}
	f, args, t, err := sc.resolveCall(fc, function.Scalar)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		has  bool
		what string
	}{{fc.AggDistinct, "DISTINCT"}, {len(fc.AggOrder) > 0 && f.Kind != function.GroupedMap, "ORDER BY"}, {fc.AggFilter != nil, "FILTER"}} {
		if c.has {
			return nil, pgerr.New(pgerr.WrongObjectType, "%s specified, but %s is not an aggregate function", c.what, name).At(b.pos(fc.Location))
		}
	}
	switch f.Kind {
	case function.Table:
		if f.Body != "" {
			return nil, b.unsupported(fc.Location, "a set-returning function in SQL in the select list").WithHint("Call %s in FROM.", name)
		}
		if !sc.srfsOK || sc.inAgg || sc.inWindow {
			what := "set-returning functions are not allowed in " + sc.clause
			if sc.inAgg {
				what = "aggregate function calls cannot contain set-returning function calls"
			}
			return nil, pgerr.New(pgerr.FeatureNotSupported, "%s", what).At(b.pos(fc.Location))
		}
		if len(f.Columns) > 1 {
			return nil, b.unsupported(fc.Location, "a function of several columns in the select list").WithHint("Call %s in FROM.", name)
		}
		return sc.setCall(f, args, name, t, fc.Location), nil
	case function.GroupedMap:
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is a grouped map function", name).
			WithHint("Call it as: SELECT … FROM … GROUP BY key APPLY %s(…)", name).At(b.pos(fc.Location))
	}
	return sc.call(f, args, t, fc.Location)
}

// castCall binds a type's name used as a function of one argument: date(x).
func (sc *selectCtx) castCall(fc *pg.FuncCall, schema, name string) (Expr, bool, error) {
	b := sc.b
	if len(fc.Args) != 1 || fc.Over != nil || fc.AggDistinct || len(fc.AggOrder) > 0 || fc.AggFilter != nil || fc.FuncVariadic ||
		fc.Args[0].GetNamedArgExpr() != nil || schema != "" && schema != "pg_catalog" || len(b.candidates(schema, name)) > 0 {
		return nil, false, nil
	}
	t, ok := types.ByName(name)
	if !ok || t.ID == types.Char || t.ID == types.Array {
		return nil, false, nil
	}
	e, err := sc.expr(fc.Args[0])
	if err != nil {
		return nil, false, err
	}
	if from := e.Type(); from.ID != types.Unknown && !function.CastAllowed(from, t, function.Explicit) {
		return nil, false, nil // the error speaks of a function
	}
	e, err = b.coerce(e, t, function.Explicit, "")
	return e, true, b.at(err, fc.Location)
}

// setCall enters a set-returning function of the select list.
func (sc *selectCtx) setCall(f *function.Function, args []Expr, name string, t types.Type, loc int32) Expr {
	c := sc.b.newCol(name, t)
	sc.srfs = append(sc.srfs, &Call{F: f, Args: args, T: t, Pos: sc.b.pos(loc)})
	sc.srfCols = append(sc.srfCols, c)
	return c.ref()
}

// setField binds (f(x)).name of a set-returning function of several columns; nil
// when it is something else.
func (sc *selectCtx) setField(x *pg.A_Indirection) (Expr, error) {
	b := sc.b
	fc := x.Arg.GetFuncCall()
	name := x.Indirection[0].GetString_().GetSval()
	if fc == nil || name == "" {
		return nil, nil
	}
	many := false
	for _, f := range b.candidates(lastName(fc.Funcname)) {
		many = many || f.Kind == function.Table && len(f.Columns) > 1
	}
	if !many {
		return nil, nil
	}
	f, args, t, err := sc.resolveCall(fc, function.Table)
	if err != nil {
		return nil, err
	}
	if !sc.srfsOK || sc.inAgg || sc.inWindow {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "set-returning functions are not allowed in %s", sc.clause).At(b.pos(fc.Location))
	}
	if f.Body != "" {
		return sc.sqlField(f, args, name, fc.Location)
	}
	g, ok := function.Field(f, name)
	if !ok && f.UDF != nil && slices.ContainsFunc(f.Columns, func(c vector.Field) bool { return c.Name == name }) {
		return nil, b.unsupported(fc.Location, "a function of several columns in the select list").WithHint("Call %s in FROM.", f.Name)
	}
	if !ok {
		return nil, pgerr.New(pgerr.UndefinedColumn, "column %q not found in data type record", name).At(b.pos(fc.Location))
	}
	if g.Returns.ID != types.AnyElement && g.Returns.ID != types.AnyArray {
		t = g.Returns
	}
	return sc.setCall(g, args, name, t, fc.Location), nil
}

func notWindow(k function.Kind) string {
	if k == function.Scalar {
		return "not a window function nor an aggregate function"
	}
	return kindName(k)
}

// bindAggOrWindow binds the arguments of an aggregate or window call and enters it.
func (sc *selectCtx) bindAggOrWindow(fc *pg.FuncCall, kind function.Kind) (Expr, error) {
	b := sc.b
	_, name := lastName(fc.Funcname)
	if sc.inAgg {
		what := "aggregate function calls cannot be nested"
		code := pgerr.GroupingError
		if fc.Over != nil || kind == function.Window {
			what = "aggregate function calls cannot contain window function calls"
		}
		return nil, pgerr.New(code, "%s", what).At(b.pos(fc.Location))
	}
	if kind == function.Window && fc.Over == nil {
		return nil, pgerr.New(pgerr.WrongObjectType, "window function %s requires an OVER clause", name).At(b.pos(fc.Location))
	}
	if fc.Over != nil {
		if sc.inWindow {
			return nil, pgerr.New(pgerr.WindowingError, "window function calls cannot be nested").At(b.pos(fc.Location))
		}
		if !sc.windowsOK {
			return nil, pgerr.New(pgerr.WindowingError, "window functions are not allowed in %s", sc.clause).At(b.pos(fc.Location))
		}
		sc.inWindow = true
		defer func() { sc.inWindow = false }()
		aggs := sc.aggsOK
		sc.aggsOK = sc.grouped
		defer func() { sc.aggsOK = aggs }()
	} else {
		if !sc.aggsOK {
			return nil, pgerr.New(pgerr.GroupingError, "aggregate functions are not allowed in %s", sc.clause).At(b.pos(fc.Location))
		}
		sc.inAgg = true
		defer func() { sc.inAgg = false }()
	}
	f, args, t, err := sc.resolveCall(fc, kind)
	if err != nil {
		return nil, err
	}
	if fc.Over == nil && !sameCalls(f.Kind, kind) {
		return nil, b.unsupported(fc.Location, "a call of function %s(%s) beside an aggregate of the same name", name, typeList(f.Args))
	}
	return sc.aggOrWindow(fc, f, args, t)
}

func (sc *selectCtx) aggOrWindow(fc *pg.FuncCall, f *function.Function, args []Expr, t types.Type) (Expr, error) {
	b := sc.b
	var filter Expr
	if fc.AggFilter != nil && !ignoreNulls(fc) {
		if f.Kind == function.Window {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "FILTER is not implemented for non-aggregate window functions").At(b.pos(fc.Location))
		}
		save, in := sc.clause, sc.inAgg
		sc.clause, sc.inAgg = "FILTER", true
		e, err := sc.boolExpr(fc.AggFilter, "FILTER")
		sc.clause, sc.inAgg = save, in
		if err != nil {
			return nil, err
		}
		filter = e
	}
	if fc.Over != nil {
		return sc.window(fc, f, args, t, filter)
	}
	ac := &AggCall{F: f, Args: args, ArgTypes: typesOf(args), Distinct: fc.AggDistinct, Filter: filter, T: t}
	if f.Parts != nil {
		var err error
		if ac.parts, err = b.partsOf(f, ac.ArgTypes, fc.Location); err != nil {
			return nil, err
		}
	}
	for _, n := range fc.AggOrder {
		s := n.GetSortBy()
		e, err := sc.expr(s.Node)
		if err != nil {
			return nil, err
		}
		k, err := b.sortKey(s, e)
		if err != nil {
			return nil, err
		}
		if k.Expr.Type().ID == types.Varchar {
			// As text it may be an argument.
			if e, err := b.coerce(k.Expr, types.T(types.Text), function.Implicit, ""); err == nil && containsExpr(args, e) {
				k.Expr = e
			}
		}
		if ac.Distinct && !containsExpr(args, k.Expr) {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list").At(b.pos(s.Location))
		}
		ac.Order = append(ac.Order, k)
	}
	if ac.Distinct {
		if len(args) == 0 {
			return nil, pgerr.New(pgerr.SyntaxError, "DISTINCT specified, but %s takes no arguments", f.Name).At(b.pos(fc.Location))
		}
		for _, a := range args {
			if err := b.checkSortable(a.Type(), fc.Location); err != nil {
				return nil, err
			}
		}
	}
	if sc.readsOnlyOuter(ac) {
		return nil, b.unsupported(fc.Location, "an aggregate of an outer query's columns alone").
			WithHint("In standard SQL it belongs to the outer query: write it there.")
	}
	return sc.addAgg(ac), nil
}

// addAgg enters an aggregate, once if there is the same already.
func (sc *selectCtx) addAgg(ac *AggCall) Expr {
	for i, have := range sc.aggs {
		if sameAgg(have, ac) {
			return sc.aggCols[i].ref()
		}
	}
	c := sc.b.newCol(ac.F.Name, ac.T)
	sc.aggs = append(sc.aggs, ac)
	sc.aggCols = append(sc.aggCols, c)
	return c.ref()
}

// ignoreNulls tells whether the call was written with IGNORE NULLS, for which the
// parser puts a filter in its place.
func ignoreNulls(fc *pg.FuncCall) bool {
	m := fc.AggFilter.GetFuncCall()
	if m == nil {
		return false
	}
	_, name := lastName(m.Funcname)
	return name == "volley_ignore_nulls"
}

// readsOnlyOuter reports whether all columns that a call reads are of enclosing
// queries: it would then be their aggregate.
func (sc *selectCtx) readsOnlyOuter(ac *AggCall) bool {
	cols := columnsOf(ac.Args...)
	addColumns(cols, ac.Filter)
	for _, k := range ac.Order {
		addColumns(cols, k.Expr)
	}
	if len(cols) == 0 {
		return false
	}
	outer := colSet{}
	for c := sc.outer; c != nil; c = c.outer {
		for _, col := range c.scope {
			outer[col.ID] = true
		}
	}
	return outer.has(cols)
}

func sameAgg(a, b *AggCall) bool {
	if a.F != b.F || a.Distinct != b.Distinct || len(a.Args) != len(b.Args) || len(a.Order) != len(b.Order) || !sameExpr(a.Filter, b.Filter) || a.F.Volatility == function.Volatile {
		return false
	}
	for i := range a.Args {
		if !sameExpr(a.Args[i], b.Args[i]) {
			return false
		}
	}
	for i := range a.Order {
		if !sameKey(a.Order[i], b.Order[i]) {
			return false
		}
	}
	return true
}

func sameKey(a, b SortKey) bool {
	return a.Desc == b.Desc && a.NullsFirst == b.NullsFirst && sameExpr(a.Expr, b.Expr)
}

// window enters a window call under its partitioning and ordering.
func (sc *selectCtx) window(fc *pg.FuncCall, f *function.Function, args []Expr, t types.Type, filter Expr) (Expr, error) {
	b := sc.b
	if fc.AggDistinct {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "DISTINCT is not implemented for window functions").At(b.pos(fc.Location))
	}
	if len(fc.AggOrder) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "aggregate ORDER BY is not implemented for window functions").At(b.pos(fc.Location))
	}
	def, err := sc.windowDef(fc.Over)
	if err != nil {
		return nil, err
	}
	w := &Window{}
	for _, n := range def.PartitionClause {
		e, err := sc.expr(n)
		if err != nil {
			return nil, err
		}
		if e.Type().ID == types.Unknown {
			if e, err = b.coerce(e, types.T(types.Text), function.Implicit, ""); err != nil {
				return nil, err
			}
		}
		if err := b.checkSortable(e.Type(), nodeLocation(n)); err != nil {
			return nil, err
		}
		if !isConst(e) {
			w.Partition = append(w.Partition, e)
		}
	}
	for _, n := range def.OrderClause {
		s := n.GetSortBy()
		e, err := sc.expr(s.Node)
		if err != nil {
			return nil, err
		}
		k, err := b.sortKey(s, e)
		if err != nil {
			return nil, err
		}
		w.Order = append(w.Order, k)
	}
	frame, ranges, err := sc.frame(def, w.Order)
	if err != nil {
		return nil, err
	}
	call := &WindowCall{F: f, Args: args, Frame: frame, Ranges: ranges, Filter: filter, T: t, IgnoreNulls: ignoreNulls(fc)}
	if call.IgnoreNulls {
		switch {
		case f.Kind != function.Window:
			return nil, b.unsupported(fc.Location, "IGNORE NULLS of an aggregate").WithHint("Filter the nulls: %s(…) FILTER (WHERE x IS NOT NULL) OVER (…).", f.Name)
		case !slices.Contains([]string{"first_value", "last_value", "nth_value", "lag", "lead"}, f.Name):
			return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s does not allow RESPECT NULLS or IGNORE NULLS", f.Name).At(b.pos(fc.Location))
		}
	}
	if f.Parts != nil {
		if call.parts, err = b.partsOf(f, typesOf(args), fc.Location); err != nil {
			return nil, err
		}
	}
	c := b.newCol(f.Name, t)
	for _, have := range sc.windows {
		if sameWindow(have, w) {
			have.Calls = append(have.Calls, call)
			have.Out = append(have.Out, c)
			return c.ref(), nil
		}
	}
	w.Calls, w.Out = []*WindowCall{call}, []Col{c}
	sc.windows = append(sc.windows, w)
	return c.ref(), nil
}

func sameWindow(a, b *Window) bool {
	if len(a.Partition) != len(b.Partition) || len(a.Order) != len(b.Order) {
		return false
	}
	for i := range a.Partition {
		if !sameExpr(a.Partition[i], b.Partition[i]) {
			return false
		}
	}
	for i := range a.Order {
		if !sameKey(a.Order[i], b.Order[i]) {
			return false
		}
	}
	return true
}

// windowDef resolves OVER w and OVER (w …).
func (sc *selectCtx) windowDef(d *pg.WindowDef) (*pg.WindowDef, error) {
	name := d.Refname
	if name == "" {
		name = d.Name
	}
	if name == "" {
		return d, nil
	}
	base := sc.namedWindows[name]
	if base == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "window %q does not exist", name).At(sc.b.pos(d.Location))
	}
	if base == d {
		return d, nil
	}
	base, err := sc.windowDef(&pg.WindowDef{Refname: base.Refname, PartitionClause: base.PartitionClause, OrderClause: base.OrderClause,
		FrameOptions: base.FrameOptions, StartOffset: base.StartOffset, EndOffset: base.EndOffset, Location: base.Location})
	if err != nil {
		return nil, err
	}
	if d.Refname == "" {
		return base, nil
	}
	if len(d.PartitionClause) > 0 {
		return nil, pgerr.New(pgerr.WindowingError, "cannot override PARTITION BY clause of window %q", name).At(sc.b.pos(d.Location))
	}
	if len(d.OrderClause) > 0 && len(base.OrderClause) > 0 {
		return nil, pgerr.New(pgerr.WindowingError, "cannot override ORDER BY clause of window %q", name).At(sc.b.pos(d.Location))
	}
	if base.FrameOptions&frameNonDefault != 0 {
		return nil, pgerr.New(pgerr.WindowingError, "cannot copy window %q because it has a frame clause", name).At(sc.b.pos(d.Location))
	}
	out := &pg.WindowDef{PartitionClause: base.PartitionClause, OrderClause: d.OrderClause,
		FrameOptions: d.FrameOptions, StartOffset: d.StartOffset, EndOffset: d.EndOffset, Location: d.Location}
	if len(out.OrderClause) == 0 {
		out.OrderClause = base.OrderClause
	}
	return out, nil
}
