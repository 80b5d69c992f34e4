package planner

import (
	"fmt"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// mergeWhen is a bound WHEN clause.
type mergeWhen struct {
	act    int32 // -1 is DO NOTHING
	cond   Expr  // matched or not, and the clause's own condition
	values map[int]Expr
}

// merge binds MERGE: the rows of the source, joined to those of the table. The
// first clause whose condition a joined row meets says what happens.
func (b *binder) merge(n *pg.MergeStmt) (*Change, error) {
	if len(n.ReturningList) > 0 {
		return nil, b.unsupported(nodeLocation(n.ReturningList[0]), "RETURNING of MERGE")
	}
	sc, c, row, err := b.open(n.WithClause, n.Relation, "merge into")
	if err != nil {
		return nil, err
	}
	c.Merge = true
	table := sc.scope
	src := &selectCtx{b: b, ctes: sc.ctes, plan: &Values{Rows: [][]Expr{{}}}, clause: "FROM"}
	if err := src.from([]*pg.Node{n.SourceRelation}); err != nil {
		return nil, err
	}
	if err := sc.checkAliases(src.scope, n.SourceRelation); err != nil {
		e := *pgerr.From(err)
		e.Message, e.Detail = "name \""+table[0].Table+"\" specified more than once", "The name is used both as MERGE target table and data source."
		return nil, &e
	}
	sc.scope = append(table[:len(table):len(table)], src.scope...)
	on := &selectCtx{b: b, ctes: sc.ctes, scope: sc.scope, clause: "JOIN conditions"}
	cond, err := on.boolExpr(n.JoinCondition, "JOIN/ON")
	if err != nil {
		return nil, err
	}
	kind := proto.Join_INNER
	for _, w := range n.MergeWhenClauses {
		switch w.GetMergeWhenClause().MatchKind {
		case pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_TARGET:
			kind = proto.Join_LEFT
		case pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE:
			return nil, b.unsupported(-1, "WHEN NOT MATCHED BY SOURCE")
		}
	}
	sc.plan = &Join{Kind: kind, Left: src.plan, Right: sc.plan, Cond: cond}
	var whens []mergeWhen
	open := map[pg.MergeMatchKind]bool{}
	for _, x := range n.MergeWhenClauses {
		w := x.GetMergeWhenClause()
		if open[w.MatchKind] {
			return nil, pgerr.New(pgerr.SyntaxError, "unreachable WHEN clause specified after unconditional WHEN clause")
		}
		open[w.MatchKind] = w.Condition == nil
		bound, err := c.when(sc, w, row, src.scope)
		if e := pgerr.From(err); err != nil && e.Code == pgerr.UndefinedTable && e.Message == fmt.Sprintf("missing FROM-clause entry for table %q", table[0].Table) {
			hidden := *e
			hidden.Message = fmt.Sprintf("invalid reference to FROM-clause entry for table %q", table[0].Table)
			return nil, hidden.WithDetail("There is an entry for table %q, but it cannot be referenced from this part of the query.", table[0].Table)
		}
		if err != nil {
			return nil, err
		}
		whens = append(whens, bound)
	}
	return c, c.mergeRows(sc, row, whens)
}

// when binds one clause.
func (c *Change) when(sc *selectCtx, w *pg.MergeWhenClause, row Col, source []scopeCol) (mergeWhen, error) {
	all := sc.scope
	defer func() { sc.scope = all }()
	out := mergeWhen{act: -1}
	is := proto.IsTest_NOT_NULL
	if w.MatchKind == pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_TARGET {
		is = proto.IsTest_NULL
		sc.scope = source
	}
	out.cond = &Is{Op: is, Arg: row.ref()}
	if w.Condition != nil {
		sc.clause = "MERGE WHEN conditions"
		e, err := sc.boolExpr(w.Condition, "WHEN")
		if err != nil {
			return out, err
		}
		out.cond = and(out.cond, e)
	}
	sc.clause = "MERGE"
	switch w.CommandType {
	case pg.CmdType_CMD_UPDATE:
		out.act = ActUpdate
		set, values, err := c.assignments(sc, w.TargetList)
		if err != nil {
			return out, err
		}
		out.values = map[int]Expr{}
		for i, at := range set {
			out.values[at] = values[i]
		}
	case pg.CmdType_CMD_DELETE:
		out.act = ActDelete
	case pg.CmdType_CMD_INSERT:
		out.act = ActInsert
		var err error
		out.values, err = c.mergeInsert(sc, w)
		return out, err
	}
	return out, nil
}

// mergeInsert binds the values of all columns.
func (c *Change) mergeInsert(sc *selectCtx, w *pg.MergeWhenClause) (map[int]Expr, error) {
	b := c.b
	var target []int
	for _, n := range w.TargetList {
		rt := n.GetResTarget()
		at, err := c.column(rt)
		if err != nil {
			return nil, err
		}
		for _, t := range target {
			if t == at {
				return nil, pgerr.New(pgerr.DuplicateColumn, "column %q specified more than once", rt.Name).At(b.pos(rt.Location))
			}
		}
		target = append(target, at)
	}
	named := len(target) > 0
	if !named {
		for i := range c.table.Columns {
			target = append(target, i)
		}
	}
	if len(w.Values) > len(target) {
		return nil, pgerr.New(pgerr.SyntaxError, "INSERT has more expressions than target columns").At(b.pos(nodeLocation(w.Values[len(target)])))
	}
	if named && len(w.Values) < len(target) {
		return nil, pgerr.New(pgerr.SyntaxError, "INSERT has more target columns than expressions")
	}
	out := map[int]Expr{}
	for i, v := range w.Values {
		e, err := c.value(sc, target[i], v)
		if err != nil {
			return nil, err
		}
		out[target[i]] = e
	}
	for i := range c.table.Columns {
		if out[i] == nil {
			e, err := b.defaultOf(&b.o.Targets[i])
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
	}
	return out, nil
}

// mergeRows makes the rows of the change: those that a clause does something with.
func (c *Change) mergeRows(sc *selectCtx, row Col, whens []mergeWhen) error {
	b := c.b
	// Which clause a row meets is computed once: conditions may be volatile.
	which := b.newCol("", types.T(types.Int4))
	pick := &Case{T: which.T}
	for i, w := range whens {
		at := int32(i)
		if w.act < 0 {
			at = -1
		}
		pick.Whens = append(pick.Whens, When{Cond: w.cond, Result: constInt4(at)})
	}
	pick.Else = constInt4(-1)
	p := &Project{In: sc.plan}
	for _, col := range sc.plan.Cols() {
		p.Exprs, p.Out = append(p.Exprs, col.ref()), append(p.Out, col)
	}
	p.Exprs, p.Out = append(p.Exprs, pick), append(p.Out, which)
	some, err := b.operator(">=", []Expr{which.ref(), constInt4(0)}, -1)
	if err != nil {
		return err
	}
	f := &Filter{In: p, Cond: some}
	act := b.newCol(ChangeAction, types.T(types.Int4))
	kind := &Case{T: act.T}
	is := make([]Expr, len(whens))
	for i, w := range whens {
		if is[i], err = b.operator("=", []Expr{which.ref(), constInt4(int32(i))}, -1); err != nil {
			return err
		}
		if w.act >= 0 {
			kind.Whens = append(kind.Whens, When{Cond: is[i], Result: constInt4(w.act)})
		}
	}
	acts := &Project{In: f}
	for _, col := range f.Cols() {
		acts.Exprs, acts.Out = append(acts.Exprs, col.ref()), append(acts.Out, col)
	}
	if len(kind.Whens) == 0 {
		acts.Exprs = append(acts.Exprs, &Const{T: act.T})
	} else {
		acts.Exprs = append(acts.Exprs, kind)
	}
	acts.Out = append(acts.Out, act)
	sc.plan = acts
	var values []Expr
	for i, col := range c.table.Columns {
		v := &Case{T: col.Type, Else: sc.scope[i].ref()}
		for k, w := range whens {
			if e := w.values[i]; e != nil {
				v.Whens = append(v.Whens, When{Cond: is[k], Result: e})
			}
		}
		if len(v.Whens) > 0 {
			c.set, values = append(c.set, i), append(values, v)
		}
	}
	return c.project(sc, []Col{row, act}, values, nil)
}
