package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// The names under which the parser hands on clauses that Postgres' grammar has not;
// see parser/clauses.go.
const (
	qualifyWindow  = "volley_qualify"
	groupByAllCall = "volley_group_by_all"
	orderByAllCall = "volley_order_by_all"
	starCall       = "volley_star"
)

// strayClause is the error of such a name where its clause may not stand.
func strayClause(name string) string {
	switch name {
	case "volley_apply":
		return "APPLY must follow GROUP BY"
	case groupByAllCall:
		return "GROUP BY ALL is not allowed here"
	case orderByAllCall:
		return "ORDER BY ALL is not allowed here"
	case starCall, "volley_exclude", "volley_replace", "volley_rename":
		return "EXCLUDE, REPLACE and RENAME must follow the * of a select list"
	}
	return ""
}

// callsOnly reports that a clause is the one call of that name.
func callsOnly(n *pg.Node, name string) bool {
	fc := n.GetFuncCall()
	if fc == nil || len(fc.Args) > 0 || len(fc.Funcname) != 1 {
		return false
	}
	_, f := lastName(fc.Funcname)
	return f == name
}

// qualifyOf is the condition that a window definition stands for, nil for a window.
func qualifyOf(w *pg.WindowDef) *pg.Node {
	if w.Name != qualifyWindow || len(w.PartitionClause) != 1 || len(w.OrderClause) > 0 || w.Refname != "" {
		return nil
	}
	return w.PartitionClause[0]
}

// bindQualify binds the condition of QUALIFY. A bare name in it means a column of
// FROM or else an item of the select list, whose expression takes its place.
func (sc *selectCtx) bindQualify(n *pg.Node, targets []*target) (Expr, error) {
	b := sc.b
	sc.clause, sc.aggsOK, sc.windowsOK, sc.srfsOK = "QUALIFY", true, true, false
	sc.aliases = targets
	e, err := sc.boolExpr(n, "QUALIFY")
	sc.aliases = nil
	sc.aggsOK, sc.windowsOK = false, false
	if err != nil {
		return nil, err
	}
	if len(sc.windows) == 0 {
		return nil, pgerr.New(pgerr.WindowingError, "QUALIFY needs a window function, in the clause or in the select list").
			WithHint("WHERE filters rows before they are grouped, HAVING filters groups.").At(b.pos(nodeLocation(n)))
	}
	return e, nil
}

// alias finds what a name in QUALIFY means in the select list, nil for nothing.
func (sc *selectCtx) alias(ref *pg.ColumnRef) (Expr, error) {
	if sc.aliases == nil {
		return nil, nil
	}
	b := sc.b
	e, err := sc.outputName(&pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: ref}}, sc.aliases, true)
	if e == nil || err != nil {
		return nil, err
	}
	cols := columnsOf(e)
	windowed := false
	for _, w := range sc.windows {
		windowed = windowed || cols.meets(idsOf(w.Out))
	}
	switch {
	case sc.inAgg && windowed:
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot contain window function calls").At(b.pos(ref.Location))
	case sc.inAgg && sc.isAggOrWindowCol(e):
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot be nested").At(b.pos(ref.Location))
	case sc.inWindow && windowed:
		return nil, pgerr.New(pgerr.WindowingError, "window function calls cannot be nested").At(b.pos(ref.Location))
	case cols.meets(idsOf(sc.srfCols)):
		return nil, pgerr.New(pgerr.FeatureNotSupported, "set-returning functions are not allowed in QUALIFY").At(b.pos(ref.Location))
	case isVolatile(e): // it would be evaluated a second time
		return nil, b.unsupported(ref.Location, "a volatile function of the select list in QUALIFY").WithHint("Filter in an outer query.")
	}
	return e, nil
}

// groupAll are the keys of GROUP BY ALL: the items of the select list without an
// aggregate or a window function.
func (sc *selectCtx) groupAll(n *pg.Node, targets []*target) ([]Expr, error) {
	var keys []Expr
	sc.clause = "GROUP BY"
	for _, t := range targets {
		if sc.isAggOrWindowCol(t.e) {
			continue
		}
		if _, err := sc.itemKey(t); err != nil {
			return nil, err
		}
		if columnsOf(t.e).meets(idsOf(sc.srfCols)) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "set-returning functions are not allowed in GROUP BY").At(sc.b.pos(nodeLocation(n)))
		}
		if err := sc.b.checkSortable(t.e.Type(), -1); err != nil {
			return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", t.e.Type()).At(sc.b.pos(nodeLocation(n)))
		}
		keys = append(keys, t.e)
	}
	return keys, nil
}

// orderAll is an ORDER BY list with the positions of the columns in the place of
// ORDER BY ALL.
func orderAll(list []*pg.Node, positions []int) []*pg.Node {
	if len(list) != 1 || !callsOnly(list[0].GetSortBy().GetNode(), orderByAllCall) {
		return list
	}
	s := list[0].GetSortBy()
	at := s.Node.GetFuncCall().Location
	out := make([]*pg.Node, len(positions))
	for i, k := range positions {
		c := &pg.A_Const{Val: &pg.A_Const_Ival{Ival: &pg.Integer{Ival: int32(k)}}, Location: at}
		out[i] = &pg.Node{Node: &pg.Node_SortBy{SortBy: &pg.SortBy{Node: &pg.Node{Node: &pg.Node_AConst{AConst: c}},
			SortbyDir: s.SortbyDir, SortbyNulls: s.SortbyNulls, UseOp: s.UseOp, Location: s.Location}}}
	}
	return out
}

// positions are the numbers of visible columns.
func positions(cols []outCol) []int {
	var out []int
	for i, c := range cols {
		if !c.Hidden {
			out = append(out, i+1)
		}
	}
	return out
}
