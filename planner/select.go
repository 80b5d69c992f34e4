package planner

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func itoa(i int) string { return strconv.Itoa(i) }

// selectCtx is the state of binding one SELECT: the names in scope, the plan so
// far and the calls met that become operators of their own.
type selectCtx struct {
	b     *binder
	outer *selectCtx
	ctes  *cteEnv

	scope []scopeCol
	plan  Node
	// wholeRows are columns that hold whole rows of tables, whose names these are.
	wholeRows map[ColID]string
	// clause names what is being bound, for errors; what it may contain is said
	// by the three flags.
	clause                    string
	aggsOK, windowsOK, srfsOK bool
	grouped                   bool // the select list stands above an Aggregate
	inAgg, inWindow           bool
	aggs                      []*AggCall
	groupings                 []groupingCall
	direct                    []Expr // arguments before WITHIN GROUP, which may only read group keys
	aggCols                   []Col
	windows                   []*Window // one per partitioning and ordering
	srfs                      []*Call
	srfCols                   []Col
	post                      []func(Node) (Node, error) // subqueries that join above the Aggregate
	late                      []func(Node) (Node, error) // subqueries that join above the Windows
	compared                  [][]Expr                   // left sides of IN in post and late, rewritten with what stands above the Aggregate
	namedWindows              map[string]*pg.WindowDef
	aliases                   []*target // of the select list, while QUALIFY is bound
}

// target is an item of the select list.
type target struct {
	e      Expr
	name   string
	col    Col
	hidden bool
	raw    *pg.Node // what a constant was folded from
	// Of an item with subqueries that join above the Aggregate: what it was bound
	// from, and which they are.
	node            *pg.Node
	posts, compared [2]int // in the lists of the selectCtx
}

func (b *binder) selectStmt(sel *pg.SelectStmt, outer *selectCtx, ctes *cteEnv, qo queryOpts) (*Query, error) {
	sc := &selectCtx{b: b, outer: outer, ctes: ctes, plan: &Values{Rows: [][]Expr{{}}}}
	sc.clause = "FROM"
	if err := sc.from(sel.FromClause); err != nil {
		return nil, err
	}
	if sel.WhereClause != nil {
		sc.clause = "WHERE"
		if err := sc.where(sel.WhereClause); err != nil {
			return nil, err
		}
	}
	if call, err := sc.applyCall(sel); err != nil {
		return nil, err
	} else if call != nil {
		return sc.apply(sel, call)
	}
	sc.namedWindows = map[string]*pg.WindowDef{}
	var qualify *pg.Node
	for _, n := range sel.WindowClause {
		w := n.GetWindowDef()
		if q := qualifyOf(w); q != nil && qualify == nil {
			qualify = q
			continue
		}
		if sc.namedWindows[w.Name] != nil {
			return nil, pgerr.New(pgerr.WindowingError, "window %q is already defined", w.Name).At(b.pos(w.Location))
		}
		if w.Refname != "" && sc.namedWindows[w.Refname] == nil { // only earlier ones: no cycles
			return nil, pgerr.New(pgerr.UndefinedObject, "window %q does not exist", w.Refname).At(b.pos(w.Location))
		}
		sc.namedWindows[w.Name] = w
	}

	sc.grouped = len(sel.GroupClause) > 0 || sel.HavingClause != nil || sc.hasAggregate(sel)
	// Expand * and bind the select list.
	var targets []*target
	sc.clause, sc.aggsOK, sc.windowsOK, sc.srfsOK = "SELECT", true, true, true
	for _, n := range sel.TargetList {
		before, compared := len(sc.post), len(sc.compared)
		ts, err := sc.target(n.GetResTarget())
		if err != nil {
			return nil, err
		}
		if len(sc.post) > before && len(ts) == 1 {
			ts[0].node = n.GetResTarget().Val
			ts[0].posts, ts[0].compared = [2]int{before, len(sc.post)}, [2]int{compared, len(sc.compared)}
		}
		if len(ts) == 1 && isConst(ts[0].e) {
			ts[0].raw = n.GetResTarget().Val
		}
		targets = append(targets, ts...)
	}
	for i, t := range targets {
		if t.e.Type().ID == types.Unknown && !qo.keepUnknown {
			e, err := b.coerce(t.e, wantType(qo.want, i), function.Assignment, "")
			if err != nil {
				return nil, err
			}
			t.e = e
		}
	}
	// GROUP BY, over the FROM columns, output names and positions.
	sc.aggsOK, sc.windowsOK, sc.srfsOK = false, false, false
	groups, err := sc.bindGroupBy(sel, targets)
	if err != nil {
		return nil, err
	}
	var having Expr
	if sel.HavingClause != nil {
		sc.clause, sc.aggsOK = "HAVING", true
		e, err := sc.boolExpr(sel.HavingClause, "HAVING")
		if err != nil {
			return nil, err
		}
		having = e
		sc.aggsOK = false
	}
	// ORDER BY: output names first, then positions, then any expression.
	sc.clause, sc.aggsOK, sc.windowsOK, sc.srfsOK = "ORDER BY", true, true, true
	var keysOut []SortKey
	all := make([]int, len(targets))
	for i := range all {
		all[i] = i + 1
	}
	order := orderAll(sel.SortClause, all)
	for _, n := range order {
		s := n.GetSortBy()
		e, err := sc.orderItem(s.Node, targets)
		if err != nil {
			return nil, err
		}
		k, err := b.sortKey(s, e)
		if err != nil {
			return nil, err
		}
		keysOut = append(keysOut, k)
	}
	var distinctOn []Expr
	if len(sel.DistinctClause) > 0 && sel.DistinctClause[0].GetNode() != nil {
		for _, n := range sel.DistinctClause {
			e, err := sc.orderItem(n, targets)
			if err != nil {
				return nil, err
			}
			distinctOn = append(distinctOn, e)
		}
	}
	sc.aggsOK, sc.windowsOK, sc.srfsOK = false, false, false
	above := targets // what is computed above the Aggregate
	var kept *target // QUALIFY
	if qualify != nil {
		e, err := sc.bindQualify(qualify, targets)
		if err != nil {
			return nil, err
		}
		kept = &target{e: e}
		above = append(targets[:len(targets):len(targets)], kept)
	}

	// Aggregate.
	if !sc.grouped && len(sc.aggs) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "an aggregate in this place is not supported")
	}
	if sc.grouped {
		order, on := volatileItems(targets, keyExprs(keysOut)), volatileItems(targets, distinctOn)
		if err := sc.aggregate(groups, above, &having, keysOut, distinctOn); err != nil {
			return nil, err
		}
		for i, t := range order {
			if t != nil {
				keysOut[i].Expr = t.e
			}
		}
		for i, t := range on {
			if t != nil {
				distinctOn[i] = t.e
			}
		}
	}
	for _, f := range sc.post {
		if f == nil {
			continue
		}
		n, err := f(sc.plan)
		if err != nil {
			return nil, err
		}
		sc.plan = n
	}
	if having != nil {
		sc.plan = &Filter{In: sc.plan, Cond: having}
	}
	for _, w := range sc.windows {
		w.In = sc.plan
		sc.plan = w
	}
	for _, f := range sc.late {
		n, err := f(sc.plan)
		if err != nil {
			return nil, err
		}
		sc.plan = n
	}
	if kept != nil {
		sc.plan = &Filter{In: sc.plan, Cond: kept.e}
	}
	if len(sc.srfs) > 0 {
		sc.plan = &ProjectSet{In: sc.plan, Calls: sc.srfs, Out: sc.srfCols}
	}
	return sc.finish(sel, order, targets, keysOut, distinctOn)
}

// finish adds the select list's projection, DISTINCT, ORDER BY (the list items, bound
// as order) and LIMIT.
func (sc *selectCtx) finish(sel *pg.SelectStmt, items []*pg.Node, targets []*target, order []SortKey, distinctOn []Expr) (*Query, error) {
	b := sc.b
	p := &Project{In: sc.plan}
	made := idsOf(sc.plan.Cols()) // an enclosing query's column gets an ID of its own
	var cols []outCol
	for _, t := range targets {
		c, ok := t.e.(*Column)
		if ok && made[c.ID] && !containsCol(p.Out, c.ID) {
			t.col = Col{ID: c.ID, Name: t.name, T: c.T} // passes through under its own ID
		} else {
			t.col = b.newCol(t.name, t.e.Type())
		}
		p.Exprs = append(p.Exprs, t.e)
		p.Out = append(p.Out, t.col)
		cols = append(cols, outCol{t.col, t.hidden})
	}
	distinct := len(sel.DistinctClause) > 0 && len(distinctOn) == 0
	// Sort keys that are not in the select list are computed beside it.
	extra := func(e Expr) Expr {
		for i, x := range p.Exprs {
			if sameExpr(x, e) {
				return p.Out[i].ref()
			}
		}
		for i := len(cols); i < len(p.Exprs); i++ {
			if equalExprs(p.Exprs[i], e, true) { // ORDER BY random(), random() is one call
				return p.Out[i].ref()
			}
		}
		c := b.newCol("", e.Type())
		p.Exprs = append(p.Exprs, e)
		p.Out = append(p.Out, c)
		return c.ref()
	}
	width := len(p.Out)
	keys := make([]SortKey, len(order))
	for i, k := range order {
		k.Expr = extra(k.Expr)
		if distinct && len(p.Out) > width {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "for SELECT DISTINCT, ORDER BY expressions must appear in select list").
				At(b.pos(items[i].GetSortBy().Location))
		}
		keys[i] = k
	}
	on := make([]Expr, len(distinctOn))
	for i, e := range distinctOn {
		on[i] = extra(e)
	}
	var plan Node = p
	if distinct {
		a := &Aggregate{In: plan, Out: p.Out}
		for _, c := range p.Out {
			if err := b.checkSortable(c.T, -1); err != nil {
				return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", c.T)
			}
			a.Keys = append(a.Keys, c.ref())
		}
		plan = a
	}
	if len(on) > 0 {
		for i, k := range keys {
			if i < len(on) && !containsExpr(on, k.Expr) {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions").
					At(b.pos(items[i].GetSortBy().Location))
			}
		}
		rn := b.newCol("", types.T(types.Int8))
		one := constInt8(1)
		plan = &Window{In: plan, Partition: on, Order: keys, Out: []Col{rn}, Calls: []*WindowCall{{
			F: builtin("row_number"), T: rn.T, Frame: defaultFrame(false)}}}
		eq, err := b.operator("=", []Expr{rn.ref(), one}, 0)
		if err != nil {
			return nil, err
		}
		plan = &Filter{In: plan, Cond: eq}
	}
	if len(keys) > 0 {
		plan = &Sort{In: plan, Keys: keys}
	}
	plan, err := b.limit(sel, plan, sc.outer, sc.ctes)
	if err != nil {
		return nil, err
	}
	if len(plan.Cols()) > width {
		final := &Project{In: plan, Out: p.Out[:width]}
		for _, c := range final.Out {
			final.Exprs = append(final.Exprs, c.ref())
		}
		plan = final
	}
	return &Query{plan: plan, cols: cols}, nil
}

func containsExpr(list []Expr, e Expr) bool {
	for _, x := range list {
		if sameExpr(x, e) {
			return true
		}
	}
	return false
}

func containsCol(cols []Col, id ColID) bool {
	for _, c := range cols {
		if c.ID == id {
			return true
		}
	}
	return false
}

func constInt8(v int64) *Const {
	t := types.T(types.Int8)
	return &Const{T: t, V: vector.FromSlice(t, []int64{v})}
}

func builtin(name string) *function.Function {
	return function.Lookup(name)[0]
}

// target binds one select-list item, which * makes many.
func (sc *selectCtx) target(rt *pg.ResTarget) ([]*target, error) {
	if ref := rt.Val.GetColumnRef(); ref != nil {
		parts, star := nameParts(ref.Fields)
		if star {
			cols, err := sc.starCols(parts, ref.Location)
			return sc.starTargets(cols, ref.Location), err
		}
	}
	if fc := rt.Val.GetFuncCall(); fc != nil && len(fc.Args) > 1 {
		if schema, name := lastName(fc.Funcname); name == starCall && schema == "" {
			return sc.starWith(rt, fc)
		}
	}
	if ind := rt.Val.GetAIndirection(); ind != nil && endsInStar(ind) {
		return sc.starOf(ind)
	}
	e, err := sc.expr(rt.Val)
	if err != nil {
		return nil, err
	}
	name := rt.Name
	if name == "" {
		name = figureName(rt.Val)
		// A column found by folding case keeps its own spelling.
		if c, ok := e.(*Column); ok && rt.Val.GetColumnRef() != nil {
			name = c.Name
		}
	}
	return []*target{{e: e, name: name}}, nil
}

func (sc *selectCtx) starTargets(cols []*scopeCol, loc int32) []*target {
	ts := make([]*target, len(cols))
	for i, c := range cols {
		ts[i] = &target{e: &Column{ID: c.ID, T: c.T, Name: c.Name, Pos: sc.b.pos(loc)}, name: c.Name}
	}
	return ts
}

// starCols are the columns that * or t.* stands for.
func (sc *selectCtx) starCols(parts []string, loc int32) ([]*scopeCol, error) {
	var ts []*scopeCol
	found := false
	table := ""
	if len(parts) > 0 {
		table = parts[len(parts)-1]
	}
	for i := range sc.scope {
		c := &sc.scope[i]
		if table != "" {
			id := ident{table, sc.b.st.Quoted(loc, len(parts)-1)}
			if !id.exact(c.Table) && !id.fold(c.Table) {
				continue
			}
			found = true
			if c.Hidden && !c.Merged {
				continue
			}
		} else if c.Hidden || c.Merged {
			continue
		}
		ts = append(ts, c)
	}
	if table != "" && !found {
		return nil, sc.missingTable(table, loc)
	}
	if table == "" && len(sc.scope) == 0 {
		return nil, pgerr.New(pgerr.SyntaxError, "SELECT * with no tables specified is not valid").At(sc.b.pos(loc))
	}
	return ts, nil
}

// where binds a condition and filters the plan. Subqueries in it have joined the plan by
// then; IN (subquery) as a term of the conjunction becomes a semi join.
func (sc *selectCtx) where(n *pg.Node) error {
	var terms []*pg.Node
	var split func(n *pg.Node)
	split = func(n *pg.Node) {
		if be := n.GetBoolExpr(); be != nil && be.Boolop == pg.BoolExprType_AND_EXPR {
			for _, a := range be.Args {
				split(a)
			}
			return
		}
		terms = append(terms, n)
	}
	split(n)
	var conds []Expr
	for _, t := range terms {
		done, err := sc.semiJoin(t)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		e, err := sc.boolExpr(t, "WHERE")
		if err != nil {
			return err
		}
		if !isTrue(e) {
			conds = append(conds, e)
		}
	}
	if len(conds) > 0 {
		sc.plan = &Filter{In: sc.plan, Cond: and(conds...)}
	}
	return nil
}

// boolExpr binds a condition.
func (sc *selectCtx) boolExpr(n *pg.Node, what string) (Expr, error) {
	e, err := sc.expr(n)
	if err != nil {
		return nil, err
	}
	return sc.b.toBool(e, what, nodeLocation(n))
}

func (b *binder) toBool(e Expr, what string, loc int32) (Expr, error) {
	t := e.Type()
	if t.ID == types.Bool {
		return e, nil
	}
	if t.ID == types.Unknown {
		return b.coerce(e, boolType, function.Implicit, what)
	}
	return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type boolean, not type %s", what, t).At(b.pos(loc))
}

// intConst returns the value of a bare integer, as ORDER BY 1 has it.
func intConst(n *pg.Node) (int64, bool) {
	c := n.GetAConst()
	if c == nil || c.Isnull {
		return 0, false
	}
	if i, ok := c.Val.(*pg.A_Const_Ival); ok {
		return int64(i.Ival.GetIval()), true
	}
	return 0, false
}

// orderItem binds an ORDER BY or DISTINCT ON item: an output name, a position
// or an expression over the input.
func (sc *selectCtx) orderItem(n *pg.Node, targets []*target) (Expr, error) {
	if k, ok := intConst(n); ok {
		if k < 1 || k > int64(len(targets)) {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "ORDER BY position %d is not in select list", k).At(sc.b.pos(nodeLocation(n)))
		}
		return targets[k-1].e, nil
	}
	if n.GetAConst() != nil {
		return nil, pgerr.New(pgerr.SyntaxError, "non-integer constant in %s", sc.clause).At(sc.b.pos(nodeLocation(n)))
	}
	if e, err := sc.outputName(n, targets, true); e != nil || err != nil {
		return e, err
	}
	e, err := sc.expr(n)
	if err != nil {
		return nil, err
	}
	if isVolatile(e) {
		// It is the item of the list, not a second call.
		for _, t := range targets {
			if equalExprs(t.e, e, true) {
				return t.e, nil
			}
		}
	}
	return e, nil
}

// volatileItems are the items of the select list that volatile items of ORDER BY or
// DISTINCT ON are.
func volatileItems(targets []*target, es []Expr) []*target {
	ts := make([]*target, len(es))
	for i, e := range es {
		if !isVolatile(e) {
			continue
		}
		for _, t := range targets {
			if t.e == e {
				ts[i] = t
				break
			}
		}
	}
	return ts
}

// outputName finds the select-list item that a bare name means.
func (sc *selectCtx) outputName(n *pg.Node, targets []*target, exactFirst bool) (Expr, error) {
	ref := n.GetColumnRef()
	if ref == nil {
		return nil, nil
	}
	parts, star := nameParts(ref.Fields)
	if len(parts) != 1 || star {
		return nil, nil
	}
	id := ident{parts[0], sc.b.st.Quoted(ref.Location, 0)}
	for _, match := range []func(string) bool{id.exact, id.fold} {
		var found Expr
		for _, t := range targets {
			if !match(t.name) {
				continue
			}
			if found != nil && !sameExpr(found, t.e) {
				return nil, pgerr.New(pgerr.AmbiguousColumn, "%s %q is ambiguous", sc.clause, id.name).At(sc.b.pos(ref.Location))
			}
			found = t.e
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

func colIDs(cols []Col) []ColID {
	ids := make([]ColID, len(cols))
	for i, c := range cols {
		ids[i] = c.ID
	}
	return ids
}
