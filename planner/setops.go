package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// setOperation binds UNION, INTERSECT and EXCEPT.
func (b *binder) setOperation(sel *pg.SelectStmt, outer *selectCtx, ctes *cteEnv, qo queryOpts) (*Query, error) {
	// A left-deep chain of the same UNION is flattened: its depth is the number
	// of branches, and so is the width of one Union node.
	var branches []*pg.SelectStmt
	var flatten func(s *pg.SelectStmt)
	flatten = func(s *pg.SelectStmt) {
		if s.Op == sel.Op && s.All == sel.All && s.Op == pg.SetOperation_SETOP_UNION &&
			(s == sel || s.WithClause == nil && len(s.SortClause) == 0 && s.LimitCount == nil && s.LimitOffset == nil) {
			flatten(s.Larg)
			flatten(s.Rarg)
			return
		}
		branches = append(branches, s)
	}
	if sel.Op == pg.SetOperation_SETOP_UNION {
		flatten(sel)
	} else {
		branches = []*pg.SelectStmt{sel.Larg, sel.Rarg}
	}
	name := map[pg.SetOperation]string{pg.SetOperation_SETOP_UNION: "UNION", pg.SetOperation_SETOP_INTERSECT: "INTERSECT", pg.SetOperation_SETOP_EXCEPT: "EXCEPT"}[sel.Op]
	qs := make([]*Query, len(branches))
	ins := make([]Node, len(branches))
	colsOf := make([][]outCol, len(branches))
	for i, s := range branches {
		q, err := b.query(s, outer, ctes, queryOpts{keepUnknown: true})
		if err != nil {
			return nil, err
		}
		qs[i] = q
		for _, c := range q.cols {
			if !c.Hidden {
				colsOf[i] = append(colsOf[i], c)
			}
		}
		if len(colsOf[i]) != len(colsOf[0]) {
			return nil, pgerr.New(pgerr.SyntaxError, "each %s query must have the same number of columns", name).At(b.pos(selectLocation(s)))
		}
	}
	out := make([]Col, len(colsOf[0]))
	for j := range out {
		ts := make([]types.Type, len(qs))
		for i := range qs {
			ts[i] = colsOf[i][j].T
		}
		t, err := commonType(ts, name)
		if err != nil {
			return nil, b.at(err, selectLocation(branches[1]))
		}
		if t.ID == types.Unknown {
			// Decided here, within a larger set operation, too.
			t = wantType(qo.want, j)
		}
		out[j] = b.newCol(colsOf[0][j].Name, t)
	}
	for i, q := range qs {
		p := &Project{In: q.plan}
		for j, c := range colsOf[i] {
			e, err := b.coerce(c.ref(), out[j].T, function.Implicit, name)
			if err != nil {
				return nil, err
			}
			p.Exprs = append(p.Exprs, e)
			p.Out = append(p.Out, b.newCol(c.Name, out[j].T))
		}
		ins[i] = p
	}
	distinct := func(in Node, cols []Col) Node {
		a := &Aggregate{In: in, Out: cols}
		for _, c := range cols {
			a.Keys = append(a.Keys, c.ref())
		}
		return a
	}
	var plan Node
	if sel.Op == pg.SetOperation_SETOP_UNION {
		plan = &Union{In: ins, Out: out}
		if !sel.All {
			plan = distinct(plan, out)
		}
	} else {
		if sel.All {
			// Rows that occur more than once are told apart by their number.
			for i := range ins {
				ins[i] = b.numbered(ins[i])
			}
		}
		j := &Join{Kind: proto.Join_SEMI, Left: ins[0], Right: ins[1]}
		if sel.Op == pg.SetOperation_SETOP_EXCEPT {
			j.Kind = proto.Join_ANTI
		}
		l, r := ins[0].Cols(), ins[1].Cols()
		for i := range l {
			j.LeftKeys = append(j.LeftKeys, l[i].ref())
			j.RightKeys = append(j.RightKeys, r[i].ref())
			j.NullSafe = append(j.NullSafe, true)
		}
		for i := range out {
			out[i].ID = l[i].ID
		}
		if plan = j; sel.All {
			plan = narrow(j, out)
		} else {
			plan = distinct(j, l)
		}
	}
	return b.orderLimit(sel, plan, visible(out), outer, ctes)
}

// numbered adds the number of each row among its equals.
func (b *binder) numbered(in Node) Node {
	w := &Window{In: in, Out: []Col{b.newCol("", types.T(types.Int8))}}
	for _, c := range in.Cols() {
		w.Partition = append(w.Partition, c.ref())
	}
	w.Calls = []*WindowCall{{F: builtin("row_number"), T: w.Out[0].T, Frame: defaultFrame(false)}}
	return w
}

func selectLocation(s *pg.SelectStmt) int32 {
	for s.Larg != nil {
		s = s.Larg
	}
	if len(s.TargetList) > 0 {
		return nodeLocation(s.TargetList[0])
	}
	if len(s.ValuesLists) > 0 {
		return nodeLocation(s.ValuesLists[0].GetList().GetItems()[0])
	}
	return -1
}
