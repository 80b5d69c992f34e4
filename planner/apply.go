package planner

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// applyCall finds the grouped map call of a SELECT: volley_apply(f(…)), as the
// parser rewrites GROUP BY … APPLY, or the canonical (f(…)).* that a user may
// write. nil when the SELECT has none.
func (sc *selectCtx) applyCall(sel *pg.SelectStmt) (*pg.FuncCall, error) {
	if len(sel.TargetList) == 0 {
		return nil, nil
	}
	for i, n := range sel.TargetList {
		rt := n.GetResTarget()
		if fc := rt.Val.GetFuncCall(); fc != nil {
			if _, name := lastName(fc.Funcname); name == "volley_apply" && len(fc.Args) == 1 && fc.Args[0].GetFuncCall() != nil && i == 0 {
				return fc.Args[0].GetFuncCall(), nil
			}
		}
		ind := rt.Val.GetAIndirection()
		if ind == nil || ind.Arg.GetFuncCall() == nil {
			continue
		}
		if _, star := nameParts(ind.Indirection); !star || len(ind.Indirection) != 1 {
			continue
		}
		fc := ind.Arg.GetFuncCall()
		schema, name := lastName(fc.Funcname)
		for _, f := range sc.b.candidates(schema, name) {
			if f.Kind != function.GroupedMap {
				continue
			}
			if i > 0 && len(sel.TargetList) > 1 && !onlyKeysBefore(sel, i) {
				return nil, sc.b.unsupported(fc.Location, "(%s(…)).* among other select-list items", name).
					WithHint("Write GROUP BY … APPLY %s(…), or select from it as a subquery.", name)
			}
			return fc, nil
		}
	}
	return nil, nil
}

func onlyKeysBefore(sel *pg.SelectStmt, i int) bool {
	for _, n := range sel.TargetList[:i] {
		if n.GetResTarget().Val.GetAIndirection() != nil {
			return false
		}
	}
	return true
}

// apply plans GROUP BY keys APPLY f(args ORDER BY o). The result's columns are
// the function's, and the keys: hidden from *, when the query came from APPLY,
// visible where the user listed them beside (f(…)).*.
func (sc *selectCtx) apply(sel *pg.SelectStmt, fc *pg.FuncCall) (*Query, error) {
	b := sc.b
	_, name := lastName(fc.Funcname)
	rewritten := false
	if outer := sel.TargetList[0].GetResTarget().Val.GetFuncCall(); outer != nil && outer != fc {
		rewritten = true
	}
	if len(sel.WindowClause) > 0 {
		return nil, b.unsupported(fc.Location, "a WINDOW clause with APPLY")
	}
	if len(sel.DistinctClause) > 0 {
		return nil, b.unsupported(fc.Location, "DISTINCT in the select list of (%s(…)).*", name).WithHint("Select DISTINCT from it as a subquery.")
	}
	if fc.AggFilter != nil || fc.AggDistinct || fc.Over != nil || fc.AggStar {
		return nil, b.unsupported(fc.Location, "FILTER, DISTINCT, OVER or * in the call of a grouped map function")
	}
	sc.clause = "the arguments of " + name
	call, err := sc.tableArgument(fc)
	if err != nil {
		return nil, err
	}
	f, args, _, err := sc.resolveCall(call, function.GroupedMap)
	if err != nil {
		return nil, err
	}
	if f, err = b.described(f, args, fc.Location); err != nil {
		return nil, err
	}
	if f.Kind != function.GroupedMap {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is %s, and APPLY needs a grouped map function", name, kindName(f.Kind)).
			WithHint("A grouped map function is created with RETURNS TABLE (…) from a plugin's GroupedMap.").At(b.pos(fc.Location))
	}
	g := &GroupedMap{F: f, Args: args, Pos: b.pos(fc.Location), BatchRows: f.UDF.BatchRows}
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
		g.Order = append(g.Order, k)
	}
	// Group keys, with the names that the select list gives them.
	type key struct {
		e    Expr
		name string
	}
	var keys []key
	if len(sel.GroupClause) == 0 {
		return nil, pgerr.New(pgerr.GroupingError, "%s is a grouped map function and needs GROUP BY", name).
			WithHint("GROUP BY () gives it all rows as one group.").At(b.pos(fc.Location))
	}
	for _, n := range sel.GroupClause {
		if gs := n.GetGroupingSet(); gs != nil && gs.Kind == pg.GroupingSetKind_GROUPING_SET_EMPTY && len(sel.GroupClause) == 1 {
			g.Empty = true
			continue
		}
		es, err := sc.groupKey(n, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			kn := ""
			if c, ok := e.(*Column); ok {
				kn = c.Name
			}
			keys = append(keys, key{e, kn})
		}
	}
	if g.BatchRows > 0 && (len(keys) > 0 || len(g.Order) > 0) {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s takes batches of %d rows, not groups", name, g.BatchRows).
			WithHint("Call it as GROUP BY () APPLY %s(…), without ORDER BY.", name).At(b.pos(fc.Location))
	}
	if sel.HavingClause != nil {
		return nil, b.unsupported(nodeLocation(sel.HavingClause), "HAVING with APPLY").WithHint("Filter the result: SELECT * FROM (… APPLY …) r WHERE …, or the groups beforehand with WHERE … IN (SELECT … HAVING …).")
	}
	var cols []outCol
	keyCols := make([]Col, len(keys))
	for i, k := range keys {
		g.Keys = append(g.Keys, k.e)
		keyCols[i] = b.newCol(k.name, k.e.Type())
	}
	// Which keys are named or shown is in the rest of the select list.
	shown := map[int]bool{}
	for _, n := range sel.TargetList {
		rt := n.GetResTarget()
		if cf := rt.Val.GetFuncCall(); cf != nil && rewritten && n == sel.TargetList[0] {
			for i, c := range f.Columns {
				col := b.newCol(c.Name, c.Type)
				g.Out = append(g.Out, col)
				cols = append(cols, outCol{Col: col})
				_ = i
			}
			continue
		}
		if ind := rt.Val.GetAIndirection(); ind != nil && ind.Arg.GetFuncCall() == fc {
			for _, c := range f.Columns {
				col := b.newCol(c.Name, c.Type)
				g.Out = append(g.Out, col)
				cols = append(cols, outCol{Col: col})
			}
			continue
		}
		e, err := sc.expr(rt.Val)
		if err != nil {
			return nil, err
		}
		found := -1
		for i, k := range keys {
			if sameExpr(k.e, e) {
				found = i
			}
		}
		if found < 0 && isConst(e) && rewritten {
			continue
		}
		if found < 0 {
			return nil, pgerr.New(pgerr.GroupingError, "beside (%s(…)).* only group keys can be selected", name).
				WithHint("Select from it as a subquery.").At(b.pos(rt.Location))
		}
		c := keyCols[found]
		if rt.Name != "" {
			c.Name = rt.Name
		} else if c.Name == "" {
			c.Name = figureName(rt.Val)
		}
		keyCols[found].Name = c.Name
		if call != fc && rewritten && slices.ContainsFunc(f.Columns, func(o vector.Field) bool { return o.Name == c.Name }) {
			continue // the key of TABLE(t) PARTITION BY cannot be given another name
		}
		shown[found] = true
		cols = append(cols, outCol{Col: c, Hidden: rewritten})
	}
	g.In = sc.plan
	g.Out = append(append([]Col(nil), keyCols...), g.Out...)
	var plan Node = g
	// ORDER BY and LIMIT of the canonical form see the output columns.
	return b.orderLimit(&pg.SelectStmt{SortClause: sel.SortClause, LimitCount: sel.LimitCount, LimitOffset: sel.LimitOffset, LimitOption: sel.LimitOption}, plan, cols, sc.outer, sc.ctes)
}
