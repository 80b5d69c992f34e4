package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

type (
	// RecursiveUnion gives the rows of Base, then those of Rec again and again, over
	// the rows of the round before, until a round gives none.
	RecursiveUnion struct {
		Table     uint32 // number of its WorkTables
		Base, Rec Node
		Distinct  bool
		Out       []Col
	}
	// WorkTable are the rows of the last round.
	WorkTable struct {
		Name  string
		Table uint32
		Out   []Col
	}
)

// Cols implements Node.
func (n *RecursiveUnion) Cols() []Col { return n.Out }

// Inputs implements Node.
func (n *RecursiveUnion) Inputs() []Node { return []Node{n.Base, n.Rec} }

// Cols implements Node.
func (n *WorkTable) Cols() []Col { return n.Out }

// Inputs implements Node.
func (n *WorkTable) Inputs() []Node { return nil }

// cteOrder puts the queries of WITH RECURSIVE behind those that they read: names
// may be used ahead there.
func (b *binder) cteOrder(list []*pg.Node) ([]*pg.Node, error) {
	var out []*pg.Node
	state := make([]int, len(list)) // 1 in progress, 2 done
	var visit func(i int) error
	visit = func(i int) error {
		c := list[i].GetCommonTableExpr()
		if state[i] == 1 {
			return pgerr.New(pgerr.FeatureNotSupported, "mutual recursion between WITH items is not implemented").At(b.pos(c.Location))
		}
		if state[i] == 2 {
			return nil
		}
		state[i] = 1
		for j, other := range list {
			if j != i && refersTo(c.Ctequery, other.GetCommonTableExpr().Ctename) {
				if err := visit(j); err != nil {
					return err
				}
			}
		}
		state[i] = 2
		out = append(out, list[i])
		return nil
	}
	for i := range list {
		if err := visit(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// recursiveCTE binds name AS (base UNION [ALL] term that reads name).
func (b *binder) recursiveCTE(c *pg.CommonTableExpr, outer *selectCtx, ctes *cteEnv) (*cteEnv, error) {
	name := c.Ctename
	pos := b.pos(c.Location)
	invalid := func(format string, args ...any) error {
		return pgerr.New("42P19", format, args...).At(pos)
	}
	sel := c.Ctequery.GetSelectStmt()
	if sel == nil {
		return nil, invalid("recursive query %q must not contain data-modifying statements", name)
	}
	if sel.Op != pg.SetOperation_SETOP_UNION {
		return nil, invalid("recursive query %q does not have the form non-recursive-term UNION [ALL] recursive-term", name)
	}
	for _, x := range []struct {
		has  bool
		what string
	}{{len(sel.SortClause) > 0, "ORDER BY"}, {sel.LimitOffset != nil, "OFFSET"}, {sel.LimitCount != nil, "LIMIT"}, {len(sel.LockingClause) > 0, "FOR UPDATE/SHARE"}} {
		if x.has {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "%s in a recursive query is not implemented", x.what).At(pos)
		}
	}
	if sel.WithClause != nil {
		if refersTo(&pg.Node{Node: &pg.Node_WithClause{WithClause: sel.WithClause}}, name) {
			return nil, b.unsupported(c.Location, "a recursive reference in WITH inside the recursive query")
		}
		var err error
		if ctes, err = b.with(sel.WithClause, outer, ctes); err != nil {
			return nil, err
		}
	}
	node := func(s *pg.SelectStmt) *pg.Node { return &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: s}} }
	if refersTo(node(sel.Larg), name) {
		return nil, invalid("recursive reference to query %q must not appear within its non-recursive term", name)
	}
	base, err := b.query(sel.Larg, outer, ctes, queryOpts{})
	if err != nil {
		return nil, err
	}
	*b.tables++
	u := &RecursiveUnion{Table: *b.tables, Distinct: !sel.All}
	var in []Col
	for _, col := range base.cols {
		if !col.Hidden {
			in = append(in, col.Col)
			u.Out = append(u.Out, b.newCol(col.Name, col.T.Bare()))
		}
	}
	if u.Distinct {
		for _, col := range u.Out {
			if b.checkSortable(col.T, -1) != nil {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "could not implement recursive UNION").WithDetail("All column datatypes must be hashable.").At(pos)
			}
		}
	}
	cols, err := b.renameCols(visible(u.Out), c.Aliascolnames, "WITH query "+quoteIdent(name), c.Location)
	if err != nil {
		return nil, err
	}
	env := &cteEnv{name: name, cols: cols, node: c, up: ctes, work: u}
	rec, err := b.query(sel.Rarg, outer, env, queryOpts{keepUnknown: true})
	if err != nil {
		return nil, err
	}
	if env.refs > 1 {
		return nil, invalid("recursive reference to query %q must not appear more than once", name)
	}
	if env.refs == 0 { // a name of an inner WITH hid it
		return nil, b.unsupported(c.Location, "this recursive reference")
	}
	if err := b.checkRecursive(rec.plan, u, name); err != nil {
		return nil, b.at(err, c.Location)
	}
	var from []Col
	for _, col := range rec.cols {
		if !col.Hidden {
			from = append(from, col.Col)
		}
	}
	if len(from) != len(in) {
		return nil, pgerr.New(pgerr.SyntaxError, "each UNION query must have the same number of columns").At(b.pos(selectLocation(sel.Rarg)))
	}
	p0, p1 := &Project{In: base.plan}, &Project{In: rec.plan}
	for i, col := range in {
		t, err := commonType([]types.Type{col.T, from[i].T}, "UNION")
		if err != nil {
			return nil, b.at(err, selectLocation(sel.Rarg))
		}
		if !t.Bare().Same(col.T.Bare()) {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "recursive query %q column %d has type %s in non-recursive term but type %s overall", name, i+1, col.T.Bare(), t.Bare()).
				WithHint("Cast the output of the non-recursive term to the correct type.").At(b.pos(selectLocation(sel.Larg)))
		}
		for _, side := range []struct {
			p *Project
			c Col
		}{{p0, col}, {p1, from[i]}} {
			e, err := b.coerce(side.c.ref(), u.Out[i].T, function.Implicit, "UNION")
			if err != nil {
				return nil, err
			}
			side.p.Exprs = append(side.p.Exprs, e)
			side.p.Out = append(side.p.Out, b.newCol(side.c.Name, u.Out[i].T))
		}
	}
	u.Base, u.Rec = p0, p1
	return &cteEnv{name: name, cols: cols, query: &Query{plan: u, cols: visible(u.Out)}, node: c, up: ctes}, nil
}

// checkRecursive refuses the working table where the rounds together would not be
// the fixed point that the query means.
func (b *binder) checkRecursive(n Node, u *RecursiveUnion, name string) error {
	var reads func(n Node) bool
	reads = func(n Node) bool {
		if w, ok := n.(*WorkTable); ok && w.Table == u.Table {
			return true
		}
		if s, ok := n.(*Shared); ok {
			return reads(s.Plan.In)
		}
		for _, in := range n.Inputs() {
			if reads(in) {
				return true
			}
		}
		return false
	}
	within := func(what string) error {
		return pgerr.New("42P19", "recursive reference to query %q must not appear within %s", name, what)
	}
	var visit func(n Node) error
	visit = func(n Node) error {
		switch x := n.(type) {
		case *Aggregate:
			if len(x.Calls) > 0 && reads(x.In) {
				return pgerr.New("42P19", "aggregate functions are not allowed in a recursive query's recursive term")
			}
		case *Join:
			switch x.Kind {
			case proto.Join_LEFT:
				if reads(x.Right) {
					return within("an outer join")
				}
			case proto.Join_RIGHT:
				if reads(x.Left) {
					return within("an outer join")
				}
			case proto.Join_FULL:
				if reads(x) {
					return within("an outer join")
				}
			case proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK:
				if reads(x.Right) {
					return within("a subquery")
				}
			}
			if s, ok := x.Right.(*SingleRow); ok && reads(s) {
				return within("a subquery")
			}
		case *Dependent:
			if x.Kind != proto.DependentJoin_INNER && reads(x.Right) {
				return within("a subquery")
			}
		case *Shared:
			if !reads(x) && anyVolatile(x.Plan.In) {
				return pgerr.New(pgerr.FeatureNotSupported, "WITH query %q has volatile functions and is read by a recursive query; this is not supported", x.Plan.Name)
			}
			return visit(x.Plan.In)
		}
		for _, in := range n.Inputs() {
			if err := visit(in); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(n)
}

// exactly makes a node have the given columns, in order.
func exactly(n Node, cols []Col) Node {
	if sameCols(n.Cols(), cols) {
		return n
	}
	p := &Project{In: n, Out: cols}
	for _, c := range cols {
		p.Exprs = append(p.Exprs, c.ref())
	}
	return p
}

// recursiveUnion plans a RecursiveUnion: one task, in which the recursive term runs
// round by round, so that nothing in it is cut.
func (p *phys) recursiveUnion(n *RecursiveUnion) (*stream, error) {
	side := func(in Node) (*stream, error) {
		s, err := p.lower(in)
		if err != nil {
			return nil, err
		}
		if s, err = p.gather(s, nil); err != nil || sameCols(s.cols, in.Cols()) {
			return s, err
		}
		var es []Expr
		for _, c := range in.Cols() {
			es = append(es, c.ref())
		}
		return p.project(s, es, in.Cols())
	}
	base, err := side(n.Base)
	if err != nil {
		return nil, err
	}
	p.serial++
	rec, err := side(n.Rec)
	p.serial--
	if err != nil {
		return nil, err
	}
	op := p.node(n.Out, base.rows*10, base, rec)
	op.Node = &proto.Operator_RecursiveUnion{RecursiveUnion: &proto.RecursiveUnion{Table: n.Table, Distinct: n.Distinct}}
	return &stream{op: op, cols: n.Out, frag: impure(merge(base.frag, rec.frag)), rows: base.rows * 10}, nil
}

func (p *phys) workTable(n *WorkTable) *stream {
	op := p.node(n.Out, 100)
	op.Node = &proto.Operator_WorkTable{WorkTable: &proto.WorkTable{Table: n.Table}}
	return &stream{op: op, cols: n.Out, rows: 100, frag: &fragment{tasks: 1}}
}
