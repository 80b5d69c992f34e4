package planner

import (
	"context"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// rowNumber is the Source of a Scan's column that is not in the files: the ordinal
// of the row among all rows of the table, in the order of its files.
const rowNumber = ""

// The actions that a change's rows ask for.
const (
	ActUpdate int32 = iota
	ActDelete
	ActInsert
)

// The columns of the files in which a change's rows are kept: ChangeRow is NULL
// for rows to insert, ChangeAction is there for MERGE only. New values and the
// columns of RETURNING follow, numbered.
const (
	ChangeRow    = "row"
	ChangeAction = "action"
)

// Change is a bound UPDATE, DELETE or MERGE, or an INSERT with RETURNING. It runs in
// steps, so that everything is evaluated once and only files with changed rows are
// written again: Rows finds the rows and their new values, which the caller keeps
// in files; Rewrite and Inserted make the table's new files from them; Returning
// gives the client its rows.
type Change struct {
	// Rows gives the rows of the files: see Fields.
	Rows *Query
	// Merge says that rows have an action each, and may ask for one row twice.
	Merge bool
	// Deletes says that all rows are to be deleted, Inserts that all are new.
	Deletes, Inserts bool

	b     *binder
	table *Relation
	set   []int    // columns of the table that the rows have values for
	out   []outCol // of RETURNING, as the rows have them; nil without
}

// BindChange binds an UPDATE, DELETE or MERGE; o.Targets are all the table's columns.
func BindChange(ctx context.Context, st *parser.Statement, node *pg.Node, o *Options) (*Change, error) {
	b := newBinder(ctx, st, o)
	var c *Change
	var err error
	switch n := node.GetNode().(type) {
	case *pg.Node_UpdateStmt:
		c, err = b.update(n.UpdateStmt)
	case *pg.Node_DeleteStmt:
		c, err = b.delete(n.DeleteStmt)
	case *pg.Node_MergeStmt:
		c, err = b.merge(n.MergeStmt)
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "this statement changes no rows")
	}
	if err != nil {
		return nil, err
	}
	c.b, c.Rows.b = b, b
	b.finishParams()
	c.Rows.params = b.params
	return c, nil
}

// Returning makes a change of an INSERT whose query gives all the table's columns.
func (q *Query) Returning(table *Relation, alias *pg.Alias, list []*pg.Node) (*Change, error) {
	b := q.b
	sc := &selectCtx{b: b, plan: q.plan}
	name := table.Name
	if alias != nil {
		name = alias.Aliasname
	}
	c := &Change{Rows: q, Inserts: true, b: b, table: table}
	for i, col := range q.cols {
		sc.scope = append(sc.scope, scopeCol{Col: col.Col, Table: name})
		c.set = append(c.set, i)
	}
	values := make([]Expr, len(q.cols))
	for i, col := range q.cols {
		values[i] = col.ref()
	}
	if err := c.project(sc, nil, values, list); err != nil {
		return nil, err
	}
	c.Rows.b = b
	b.finishParams()
	c.Rows.params = b.params
	return c, nil
}

// Fields are the columns of the files with a change's rows.
func (c *Change) Fields() []vector.Field { return c.Rows.Fields() }

// Returns are the columns of RETURNING, nil without.
func (c *Change) Returns() []vector.Field {
	var out []vector.Field
	for _, f := range c.out {
		out = append(out, vector.Field{Name: f.Name, Type: f.T})
	}
	return out
}

// project ends the plan of the rows: the lead columns, the new values and what
// RETURNING has, which sees new values in the table's columns.
func (c *Change) project(sc *selectCtx, lead []Col, values []Expr, returning []*pg.Node) error {
	b := sc.b
	p := &Project{In: sc.plan}
	for _, col := range sc.plan.Cols() {
		p.Exprs, p.Out = append(p.Exprs, col.ref()), append(p.Out, col)
	}
	var fresh []Col
	for i, e := range values {
		col := b.newCol(c.table.Columns[c.set[i]].Name, e.Type())
		p.Exprs, p.Out = append(p.Exprs, e), append(p.Out, col)
		fresh = append(fresh, col)
	}
	sc.plan = p
	out := lead
	for i, f := range fresh {
		at := c.set[i]
		f.Name = "new" + itoa(at+1)
		out = append(out, f)
	}
	if len(returning) > 0 {
		for i, f := range fresh {
			f.Name = sc.scope[c.set[i]].Name // an alias may have renamed it
			sc.scope[c.set[i]].Col = f
		}
		sc.clause = "RETURNING"
		var ts []*target
		for _, n := range returning {
			t, err := sc.target(n.GetResTarget())
			if err != nil {
				return err
			}
			ts = append(ts, t...)
		}
		last := &Project{In: sc.plan}
		for _, col := range out {
			last.Exprs, last.Out = append(last.Exprs, col.ref()), append(last.Out, col)
		}
		for i, t := range ts {
			if t.e.Type().ID == types.Unknown {
				e, err := b.coerce(t.e, types.T(types.Text), function.Implicit, "")
				if err != nil {
					return err
				}
				t.e = e
			}
			if ty := t.e.Type(); ty.ID == types.Void || ty.ID == types.Record || ty.Phys() == types.PhysInvalid {
				return pgerr.New(pgerr.FeatureNotSupported, "a column of type %s in RETURNING is not supported", ty).At(exprPos(t.e))
			}
			col := b.newCol("out"+itoa(i+1), t.e.Type())
			last.Exprs, last.Out = append(last.Exprs, t.e), append(last.Out, col)
			out = append(out, col)
			shown := col
			shown.Name = t.name
			c.out = append(c.out, outCol{Col: shown})
		}
		sc.plan = last
	}
	c.Rows = &Query{plan: sc.plan, b: b}
	for _, col := range out {
		c.Rows.cols = append(c.Rows.cols, outCol{Col: col})
	}
	return nil
}

// changed binds the table that a statement changes, with the column of its rows'
// numbers. verb is how the statement is called in errors.
func (b *binder) changed(r *pg.RangeVar, verb string) (it *fromItem, c *Change, row Col, err error) {
	fail := func(err error) (*fromItem, *Change, Col, error) { return nil, nil, Col{}, err }
	noCTE := &selectCtx{b: b, clause: "FROM"}
	if it, err = noCTE.rangeVar(r); err != nil {
		return fail(err)
	}
	rel, err := b.o.Catalog.Relation(r.Schemaname, r.Relname)
	if err != nil {
		return fail(b.at(err, r.Location))
	}
	scan, ok := it.plan.(*Scan)
	switch {
	case rel.Kind == ViewRelation:
		return fail(pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot %s view %q", verb, rel.Name).
			WithDetail("Views are not updatable.").WithHint("Change the tables that it reads.").At(b.pos(r.Location)))
	case rel.Kind == VirtualRelation || !ok:
		return fail(pgerr.New(pgerr.InsufficientPrivilege, "permission denied: %q is a system catalog", rel.Name).At(b.pos(r.Location)))
	}
	row = b.newCol(ChangeRow, types.T(types.Int8))
	scan.Out, scan.Source = append(scan.Out, row), append(scan.Source, rowNumber)
	return it, &Change{b: b, table: rel}, row, nil
}

// others joins what FROM or USING has besides the table, which cannot see the table.
func (sc *selectCtx) others(list []*pg.Node) error {
	if len(list) == 0 {
		return nil
	}
	from := &selectCtx{b: sc.b, ctes: sc.ctes, plan: &Values{Rows: [][]Expr{{}}}, clause: "FROM"}
	if err := from.from(list); err != nil {
		return err
	}
	if err := sc.checkAliases(from.scope, list[0]); err != nil {
		return err
	}
	sc.plan = &Join{Kind: proto.Join_CROSS, Left: sc.plan, Right: from.plan}
	sc.scope = append(sc.scope, from.scope...)
	return nil
}

// once keeps one of the joined rows for each row of the table.
func (sc *selectCtx) once(row Col) error {
	rn := sc.b.newCol("", types.T(types.Int8))
	w := &Window{In: sc.plan, Partition: []Expr{row.ref()}, Out: []Col{rn}, Calls: []*WindowCall{{
		F: builtin("row_number"), T: rn.T, Frame: defaultFrame(false)}}}
	eq, err := sc.b.operator("=", []Expr{rn.ref(), constInt8(1)}, -1)
	if err != nil {
		return err
	}
	sc.plan = &Filter{In: w, Cond: eq}
	return nil
}

func (sc *selectCtx) condition(n *pg.Node) error {
	if n == nil {
		return nil
	}
	if c := n.GetCurrentOfExpr(); c != nil {
		return sc.b.unsupported(-1, "WHERE CURRENT OF")
	}
	sc.clause = "WHERE"
	return sc.where(n)
}

// open starts the context of a statement that changes a table.
func (b *binder) open(w *pg.WithClause, r *pg.RangeVar, verb string) (*selectCtx, *Change, Col, error) {
	sc := &selectCtx{b: b, clause: "FROM"}
	if w != nil {
		var err error
		if sc.ctes, err = b.with(w, nil, nil); err != nil {
			return nil, nil, Col{}, err
		}
	}
	it, c, row, err := b.changed(r, verb)
	if err != nil {
		return nil, nil, Col{}, err
	}
	sc.plan, sc.scope = it.plan, append([]scopeCol(nil), it.cols...)
	return sc, c, row, nil
}

func (b *binder) delete(n *pg.DeleteStmt) (*Change, error) {
	sc, c, row, err := b.open(n.WithClause, n.Relation, "delete from")
	if err != nil {
		return nil, err
	}
	c.Deletes = true
	if err := sc.others(n.UsingClause); err != nil {
		return nil, err
	}
	if err := sc.condition(n.WhereClause); err != nil {
		return nil, err
	}
	if len(n.UsingClause) > 0 {
		if err := sc.once(row); err != nil {
			return nil, err
		}
	}
	return c, c.project(sc, []Col{row}, nil, n.ReturningList)
}

func (b *binder) update(n *pg.UpdateStmt) (*Change, error) {
	sc, c, row, err := b.open(n.WithClause, n.Relation, "update")
	if err != nil {
		return nil, err
	}
	if err := sc.others(n.FromClause); err != nil {
		return nil, err
	}
	if err := sc.condition(n.WhereClause); err != nil {
		return nil, err
	}
	if len(n.FromClause) > 0 {
		if err := sc.once(row); err != nil {
			return nil, err
		}
	}
	sc.clause = "UPDATE"
	set, values, err := c.assignments(sc, n.TargetList)
	if err != nil {
		return nil, err
	}
	c.set = set
	return c, c.project(sc, []Col{row}, values, n.ReturningList)
}

// column finds the column that a SET or a list of columns names.
func (c *Change) column(rt *pg.ResTarget) (int, error) {
	b := c.b
	id := ident{rt.Name, b.st.Quoted(rt.Location, 0)}
	at := -1
	for i, f := range c.table.Columns {
		if id.exact(f.Name) {
			at = i
			break
		}
		if id.fold(f.Name) {
			if at >= 0 {
				return 0, pgerr.New(pgerr.AmbiguousColumn, "column reference %q is ambiguous", rt.Name).At(b.pos(rt.Location))
			}
			at = i
		}
	}
	if at < 0 {
		return 0, pgerr.New(pgerr.UndefinedColumn, "column %q of relation %q does not exist", rt.Name, c.table.Name).At(b.pos(rt.Location))
	}
	if len(rt.Indirection) > 0 {
		return 0, b.unsupported(rt.Location, "assignment to a part of a column")
	}
	return at, nil
}

// assignments binds the list after SET: the columns, each once, and their values.
func (c *Change) assignments(sc *selectCtx, list []*pg.Node) (set []int, values []Expr, err error) {
	b := c.b
	seen := map[int]bool{}
	var several []Expr // of (a, b) = …
	for _, n := range list {
		rt := n.GetResTarget()
		at, err := c.column(rt)
		if err != nil {
			return nil, nil, err
		}
		if seen[at] {
			return nil, nil, pgerr.New(pgerr.SyntaxError, "multiple assignments to same column %q", c.table.Columns[at].Name).At(b.pos(rt.Location))
		}
		seen[at] = true
		val := rt.Val
		var e Expr
		if m := val.GetMultiAssignRef(); m != nil {
			if row := m.Source.GetRowExpr(); row != nil {
				if len(row.Args) != int(m.Ncolumns) {
					return nil, nil, pgerr.New(pgerr.SyntaxError, "number of columns does not match number of values").At(b.pos(row.Location))
				}
				val = row.Args[m.Colno-1]
			} else {
				if m.Colno == 1 {
					if several, err = sc.row(m); err != nil {
						return nil, nil, err
					}
				}
				e = several[m.Colno-1]
			}
		}
		if e == nil {
			if e, err = c.value(sc, at, val); err != nil {
				return nil, nil, err
			}
		} else if e, err = c.assigned(e, at); err != nil {
			return nil, nil, err
		}
		set, values = append(set, at), append(values, e)
	}
	return set, values, nil
}

// value binds the value of a column, which may be DEFAULT.
func (c *Change) value(sc *selectCtx, at int, n *pg.Node) (Expr, error) {
	if n.GetSetToDefault() != nil {
		return c.b.defaultOf(&c.b.o.Targets[at])
	}
	e, err := sc.expr(n)
	if err != nil {
		return nil, err
	}
	return c.assigned(e, at)
}

func (c *Change) assigned(e Expr, at int) (Expr, error) {
	f := c.table.Columns[at]
	return c.b.assign(e, f.Name, f.Type)
}

// row binds the subquery of (a, b) = (SELECT …): NULLs when it gives no row, 21000
// when it gives several.
func (sc *selectCtx) row(m *pg.MultiAssignRef) ([]Expr, error) {
	b := sc.b
	x := m.Source.GetSubLink()
	if x == nil || x.SubLinkType != pg.SubLinkType_EXPR_SUBLINK {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression").At(b.pos(nodeLocation(m.Source)))
	}
	q, cols, correlated, err := sc.subPlan(x.Subselect)
	if err != nil {
		return nil, err
	}
	if len(cols) != int(m.Ncolumns) {
		return nil, pgerr.New(pgerr.SyntaxError, "number of columns does not match number of values").At(b.pos(x.Location))
	}
	one := &SingleRow{In: narrow(q.plan, cols)}
	if correlated {
		sc.plan = &Dependent{Kind: proto.DependentJoin_LEFT, Left: sc.plan, Right: one, Out: cols}
	} else {
		sc.plan = &Join{Kind: proto.Join_CROSS, Left: sc.plan, Right: one}
	}
	var out []Expr
	for _, c := range cols {
		out = append(out, c.ref())
	}
	return out, nil
}

// changeScan reads columns of the files with the change's rows.
func (c *Change) changeScan(files *FileSet, want func(name string) bool) (*Scan, map[string]Col) {
	s := &Scan{Name: c.table.Name + " (changes)", Format: files.Format, Files: files}
	by := map[string]Col{}
	for _, f := range c.Fields() {
		if want(f.Name) {
			col := c.b.newCol(f.Name, f.Type)
			s.Out, s.Source = append(s.Out, col), append(s.Source, f.Name)
			by[f.Name] = col
		}
	}
	return s, by
}

func newValue(at int) string { return "new" + strconv.Itoa(at+1) }

// Rewrite gives the rows that files of the table have after the change; old are
// the files, with the row numbers that they have among all, changes the files with
// the change's rows.
func (c *Change) Rewrite(old, changes *FileSet) *Query {
	b := c.b
	row := b.newCol(ChangeRow, types.T(types.Int8))
	scan := b.scan(c.table.Name, c.table.Columns, old)
	cols := scan.Out
	scan.Out, scan.Source = append(scan.Out[:len(cols):len(cols)], row), append(scan.Source, rowNumber)
	changed, by := c.changeScan(changes, func(name string) bool {
		if name == ChangeRow || name == ChangeAction {
			return true
		}
		for _, at := range c.set {
			if name == newValue(at) {
				return true
			}
		}
		return false
	})
	j := &Join{Kind: proto.Join_LEFT, Left: scan, Right: changed, LeftKeys: []Expr{row.ref()}, RightKeys: []Expr{by[ChangeRow].ref()}, NullSafe: []bool{false}}
	q := &Query{b: b, order: &row}
	if c.Deletes {
		j.Kind = proto.Join_ANTI
		q.plan = j
		for _, col := range cols {
			q.cols = append(q.cols, outCol{Col: col})
		}
		return q
	}
	var in Node = j
	if c.Merge {
		in = &Filter{In: in, Cond: &Is{Op: proto.IsTest_DISTINCT, Arg: by[ChangeAction].ref(), Right: constInt4(ActDelete)}}
	}
	p := &Project{In: in}
	fresh := map[int]bool{}
	for _, at := range c.set {
		fresh[at] = true
	}
	for i, col := range cols {
		e := Expr(col.ref())
		if fresh[i] {
			e = &Case{T: col.T, Whens: []When{{Cond: &Is{Op: proto.IsTest_NULL, Arg: by[ChangeRow].ref()}, Result: e}}, Else: by[newValue(i)].ref()}
		}
		out := b.newCol(col.Name, col.T)
		p.Exprs, p.Out = append(p.Exprs, e), append(p.Out, out)
		q.cols = append(q.cols, outCol{Col: out})
	}
	p.Exprs, p.Out = append(p.Exprs, row.ref()), append(p.Out, row)
	q.plan = p
	return q
}

// Inserted gives the rows that the change adds to the table.
func (c *Change) Inserted(changes *FileSet) *Query {
	s, by := c.changeScan(changes, func(name string) bool {
		for _, at := range c.set {
			if name == newValue(at) {
				return true
			}
		}
		return name == ChangeAction
	})
	q := &Query{b: c.b, plan: s}
	if c.Merge {
		eq, err := c.b.operator("=", []Expr{by[ChangeAction].ref(), constInt4(ActInsert)}, -1)
		if err == nil {
			q.plan = &Filter{In: s, Cond: eq}
		}
	}
	for i, f := range c.table.Columns {
		col := by[newValue(i)]
		col.Name = f.Name
		q.cols = append(q.cols, outCol{Col: col})
	}
	return q
}

// Return gives the rows of RETURNING.
func (c *Change) Return(changes *FileSet) *Query {
	s, by := c.changeScan(changes, func(name string) bool { return len(name) > 3 && name[:3] == "out" })
	q := &Query{b: c.b, plan: s}
	for i, f := range c.out {
		col := by["out"+itoa(i+1)]
		col.Name = f.Name
		q.cols = append(q.cols, outCol{Col: col})
	}
	return q
}

func constInt4(v int32) *Const {
	t := types.T(types.Int4)
	return &Const{T: t, V: vector.FromSlice(t, []int32{v})}
}

// numberLast moves the column of the rows' numbers, if there is one, to the end,
// where a scan has it.
func (n *Scan) numberLast() *Scan {
	for i, s := range n.Source[:max(len(n.Source)-1, 0)] {
		if s == rowNumber {
			c := *n
			c.Out = append(append(append([]Col(nil), n.Out[:i]...), n.Out[i+1:]...), n.Out[i])
			c.Source = append(append(append([]string(nil), n.Source[:i]...), n.Source[i+1:]...), rowNumber)
			return &c
		}
	}
	return n
}

// ChangeScan is the scan of the row numbers, and of the actions of a MERGE, that a
// change's files have.
func ChangeScan(table string, merge bool) *proto.Scan {
	s := &proto.Scan{Format: "parquet", Name: table, Columns: []string{ChangeRow}}
	if merge {
		s.Columns = append(s.Columns, ChangeAction)
	}
	return s
}
