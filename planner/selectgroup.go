package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// groupKey binds an item of GROUP BY: an input column first (SQL's rule), then
// an output name, a position or an expression.
func (sc *selectCtx) groupKey(n *pg.Node, targets []*target) ([]Expr, error) {
	sc.clause = "GROUP BY"
	if gs := n.GetGroupingSet(); gs != nil {
		if gs.Kind == pg.GroupingSetKind_GROUPING_SET_EMPTY {
			return nil, nil
		}
		return nil, sc.b.unsupported(gs.Location, "GROUPING SETS, ROLLUP and CUBE here")
	}
	if r := n.GetRowExpr(); r != nil {
		var out []Expr
		for _, a := range r.Args {
			k, err := sc.groupKey(a, targets)
			if err != nil {
				return nil, err
			}
			out = append(out, k...)
		}
		return out, nil
	}
	check := func(e Expr) ([]Expr, error) {
		if sc.isAggOrWindowCol(e) {
			return nil, pgerr.New(pgerr.GroupingError, "aggregate and window functions are not allowed in GROUP BY").At(sc.b.pos(nodeLocation(n)))
		}
		if e.Type().ID == types.Unknown {
			c, err := sc.b.coerce(e, types.T(types.Text), function.Implicit, "GROUP BY")
			return []Expr{c}, err
		}
		if err := sc.b.checkSortable(e.Type(), nodeLocation(n)); err != nil {
			return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", e.Type()).At(sc.b.pos(nodeLocation(n)))
		}
		return []Expr{e}, nil
	}
	if k, ok := intConst(n); ok {
		if k < 1 || k > int64(len(targets)) {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "GROUP BY position %d is not in select list", k).At(sc.b.pos(nodeLocation(n)))
		}
		e, err := sc.itemKey(targets[k-1])
		if err != nil {
			return nil, err
		}
		return check(e)
	}
	if n.GetAConst() != nil {
		return nil, pgerr.New(pgerr.SyntaxError, "non-integer constant in GROUP BY").At(sc.b.pos(nodeLocation(n)))
	}
	if ref := n.GetColumnRef(); ref != nil {
		if parts, _ := nameParts(ref.Fields); len(parts) == 1 {
			c, perr := findColumn(sc.scope, ident{}, ident{parts[0], sc.b.st.Quoted(ref.Location, 0)}, "")
			if perr != nil {
				return nil, perr.At(sc.b.pos(ref.Location))
			}
			if c == nil {
				e, err := sc.outputName(n, targets, false)
				if err != nil {
					return nil, err
				}
				for _, t := range targets {
					if e != nil && t.e == e {
						if e, err = sc.itemKey(t); err != nil {
							return nil, err
						}
						break
					}
				}
				if e != nil {
					return check(e)
				}
			}
		}
	}
	e, err := sc.expr(n)
	if err != nil {
		return nil, err
	}
	if isConst(e) {
		// Not every equal constant is this key, but the first item that is written
		// like it is: its value is NULL in sets without the key.
		for _, tg := range targets {
			if isConst(tg.e) && parser.Same(n, tg.raw) {
				tg.e = e
				break
			}
		}
	}
	return check(e)
}

// itemKey is an item of the select list as a key of GROUP BY: its subqueries have
// to join below the Aggregate.
func (sc *selectCtx) itemKey(t *target) (Expr, error) {
	if t.node == nil || sc.isAggOrWindowCol(t.e) {
		return t.e, nil
	}
	e, err := sc.expr(t.node)
	if err != nil {
		return nil, err
	}
	clear(sc.post[t.posts[0]:t.posts[1]])
	clear(sc.compared[t.compared[0]:t.compared[1]])
	t.e, t.node = e, nil
	return e, nil
}

// isAggOrWindowCol reports whether e reads the result of an aggregate or window call.
func (sc *selectCtx) isAggOrWindowCol(e Expr) bool {
	cols := columnsOf(e)
	for _, c := range sc.aggCols {
		if cols[c.ID] {
			return true
		}
	}
	for _, c := range sc.groupings {
		if cols[c.col.ID] {
			return true
		}
	}
	for _, w := range sc.windows {
		for _, c := range w.Out {
			if cols[c.ID] {
				return true
			}
		}
	}
	return false
}

// aggregate puts an Aggregate on the plan and rewrites everything above it to
// read its output.
func (sc *selectCtx) aggregate(g *groupBy, targets []*target, having *Expr, order []SortKey, on []Expr) error {
	b := sc.b
	keys := g.keys
	a := &Aggregate{In: sc.plan, Keys: keys, Calls: sc.aggs}
	made := idsOf(sc.plan.Cols()) // an enclosing query's column gets an ID of its own
	for _, k := range keys {
		if c, ok := k.(*Column); ok && made[c.ID] {
			a.Out = append(a.Out, Col{ID: c.ID, Name: c.Name, T: c.T})
		} else {
			a.Out = append(a.Out, b.newCol("", k.Type()))
		}
	}
	var gid Col
	if len(g.sets) > 1 {
		a.Keys = nil
		gid = sc.expandSets(g, a)
		a.Out = append(a.Out, gid)
	} else if g.sets != nil {
		a.Keys, a.Out, keys = pickKeys(g.sets[0], a.Keys, a.Out)
	}
	groupings, err := sc.groupingValues(g, gid)
	if err != nil {
		return err
	}
	a.Out = append(a.Out, sc.aggCols...)
	have := idsOf(a.Out)
	for _, w := range sc.windows {
		have.add(colIDs(w.Out)...)
	}
	have.add(colIDs(sc.srfCols)...)
	inScope := colSet{}
	for _, c := range sc.scope {
		inScope[c.ID] = true
	}
	// Group keys are replaced first, outermost match first.
	var bad *Column
	fix := func(e Expr) Expr {
		e = rewrite(e, func(e Expr) Expr {
			for i, k := range keys {
				if sameKeyExpr(k, e) {
					return a.Out[i].ref()
				}
			}
			if c, ok := e.(*Column); ok {
				return groupings[c.ID]
			}
			return withKeys(e, keys, a.Out)
		})
		walk(e, func(e Expr) bool {
			if c, ok := e.(*Column); ok && inScope[c.ID] && !have[c.ID] && bad == nil {
				bad = c
			}
			return true
		})
		return e
	}
	for _, e := range sc.direct {
		fix(e)
	}
	for _, t := range targets {
		t.e = fix(t.e)
	}
	*having = fix(*having)
	for i := range order {
		order[i].Expr = fix(order[i].Expr)
	}
	for i := range on {
		on[i] = fix(on[i])
	}
	for _, w := range sc.windows {
		for i := range w.Partition {
			w.Partition[i] = fix(w.Partition[i])
		}
		for i := range w.Order {
			w.Order[i].Expr = fix(w.Order[i].Expr)
		}
		for _, c := range w.Calls {
			for i := range c.Args {
				c.Args[i] = fix(c.Args[i])
			}
			c.Filter = fix(c.Filter)
			for _, r := range c.Ranges {
				if r != nil {
					r.Key, r.Limit = fix(r.Key), fix(r.Limit)
				}
			}
		}
	}
	for i, c := range sc.srfs {
		sc.srfs[i] = fix(c).(*Call)
	}
	for _, es := range sc.compared {
		for i := range es {
			es[i] = fix(es[i])
		}
	}
	if bad != nil {
		name := bad.Name
		for _, c := range sc.scope {
			if c.ID == bad.ID && c.Table != "" {
				name = c.Table + "." + c.Name
			}
		}
		return pgerr.New(pgerr.GroupingError, "column %q must appear in the GROUP BY clause or be used in an aggregate function", name).At(bad.Pos)
	}
	sc.plan = a
	// Correlated subqueries above may only read what is grouped.
	for i, f := range sc.post {
		if f == nil {
			continue
		}
		sc.post[i] = func(n Node) (Node, error) {
			out, err := f(n)
			if err != nil {
				return nil, err
			}
			if d, ok := out.(*Dependent); ok {
				for id := range freeColumns(d.Right) {
					if inScope[id] && !have[id] {
						return nil, pgerr.New(pgerr.GroupingError, "subquery uses ungrouped column from outer query")
					}
				}
			}
			return out, nil
		}
	}
	return nil
}
