package planner

import (
	"context"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// RelationKind says what stands behind a relation's name.
type RelationKind uint8

// The kinds of relations.
const (
	TableRelation RelationKind = iota
	ViewRelation
	VirtualRelation
)

// Relation is what the planner needs to know of a table, a view or a catalog table.
type Relation struct {
	Kind    RelationKind
	Schema  string
	Name    string
	Columns []vector.Field
	// Hidden are columns behind Columns that only their names reach: the system
	// columns of a virtual relation.
	Hidden []vector.Field
	Files  *FileSet          // of a table
	View   *parser.Statement // of a view: its query
}

// FileSet is the files of a table or a file function, cut into splits in order.
type FileSet struct {
	Format string // parquet, csv, json
	CSV    *storage.CSVPlan
	JSON   *storage.JSONPlan
	Splits []*proto.Split
	Rows   int64 // exact or estimated
	Bytes  int64
	// Schema are all columns of the files; csv needs them to find a column.
	Schema []vector.Field
	// Stats are what is known about the columns, in any order, for estimates.
	Stats []storage.ColumnStats
	// Extra are columns that come from the files' names; ByName: files may lack columns.
	Extra  []vector.Field
	ByName bool
}

// Catalog is what the planner asks about names. Implementations answer from an
// immutable snapshot.
type Catalog interface {
	// Relation finds a relation; schema "" means the search path. It returns nil
	// when there is none.
	Relation(schema, name string) (*Relation, error)
	// RelationNames are candidates for a hint.
	RelationNames() []string
	// Functions returns the user-defined functions of a name.
	Functions(schema, name string) []*function.Function
	FunctionNames() []string
}

// PathCatalog is a Catalog that can look names up in another search path.
type PathCatalog interface {
	InPath(schemas []string) Catalog
	// BeforeBuiltins reports that the search path names pg_catalog, after a schema.
	BeforeBuiltins(schema string) bool
}

// RoleFiles are Files for which rights are needed.
type RoleFiles interface {
	// As are the files that a role, "" for the session's user, may read with a file
	// function; 42501 if it may read none.
	As(role, function string) (Files, error)
}

// Files plans file functions.
type Files interface {
	CSV(ctx context.Context, pattern string, c *storage.CSVConfig) (*FileSet, error)
	Parquet(ctx context.Context, pattern string, byName bool) (*FileSet, error)
	JSON(ctx context.Context, pattern string, c *storage.JSONConfig) (*FileSet, error)
}

// Options are the surroundings of one statement.
type Options struct {
	Catalog Catalog
	Files   Files
	// Functions evaluates constant expressions: clock, time zone, settings.
	Functions *function.Ctx
	// ParamTypes are the declared types of $1…; Invalid or Unknown is inferred.
	ParamTypes []types.Type
	// Params are the values of $1…; nil while preparing.
	Params []*Const
	// Targets are the columns that an INSERT's VALUES fill, in order: each value is
	// assigned to its column by itself, and DEFAULT stands for the column's.
	Targets []Target
	// RowsPerTask replaces the constant of that name; 0 leaves it. Tests lower it
	// so that small data is cut, shuffled and merged like large data.
	RowsPerTask int64
	// MeasuredCost is what a row of a function took in earlier queries, in nanoseconds;
	// 0 = not known. It decides where rows are computed, never what a query gives.
	MeasuredCost func(f *function.Function) float64
	// Slots is how many tasks run at once now, nil or 0 = not known. It is used where
	// MeasuredCost is.
	Slots func() int
	// Describe asks a function that computes its output columns for those of a call
	// with the given arguments, one row: NULL stands for what is not constant.
	Describe func(f *function.Function, args []*vector.Vector) ([]vector.Field, error)
}

// Target is a column that INSERT fills.
type Target struct {
	Name    string
	Type    types.Type
	Default *parser.Statement // SELECT of the default; nil is NULL
}

// Query is a bound query.
type Query struct {
	plan   Node
	cols   []outCol
	params []types.Type
	b      *binder
	// order is the column by which written files are sorted when a shuffle has
	// mixed the rows; nil if none.
	order *Col
}

// outCol is a column of a query's result. Hidden ones can be named by the
// enclosing query but are not part of *.
type outCol struct {
	Col
	Hidden bool
}

// Fields are the names and types of the result.
func (q *Query) Fields() []vector.Field {
	var fs []vector.Field
	for _, c := range q.cols {
		if !c.Hidden {
			fs = append(fs, vector.Field{Name: c.Name, Type: c.T})
		}
	}
	return fs
}

// Params are the types of $1…, as declared or inferred.
func (q *Query) Params() []types.Type { return q.params }

type binder struct {
	ctx    context.Context
	o      *Options
	st     *parser.Statement
	params []types.Type
	next   *ColID
	sites  *int
	tables *uint32 // working tables of recursive queries so far
	depth  int
	views  int // nesting of views, against a view of itself
	// definer is in whose name functions are called: the owner of the SECURITY
	// DEFINER function whose body is bound, "" for the session's user.
	definer string
	// infer says that parameters have no values yet.
	infer bool
	// frame is the function in SQL whose body is being bound, nil outside.
	frame *sqlFrame
}

const (
	maxDepth     = 2000 // of expressions
	maxViewDepth = 64
)

// Bind resolves a query (SELECT, VALUES, TABLE) of st. want are the types that
// a target table wants for its columns, which decide about untyped literals; may
// be nil.
func Bind(ctx context.Context, st *parser.Statement, node *pg.Node, want []types.Type, o *Options) (*Query, error) {
	b := newBinder(ctx, st, o)
	sel := node.GetSelectStmt()
	if sel == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "this statement is not a query")
	}
	q, err := b.query(sel, nil, nil, queryOpts{want: want})
	if err != nil {
		return nil, err
	}
	q.b = b
	b.finishParams()
	q.params = b.params
	return q, nil
}

func newBinder(ctx context.Context, st *parser.Statement, o *Options) *binder {
	b := &binder{ctx: ctx, o: o, st: st, next: new(ColID), sites: new(int), tables: new(uint32)}
	b.params = append([]types.Type(nil), o.ParamTypes...)
	b.infer = o.Params == nil
	return b
}

// finishParams gives parameters without context the type text, as Postgres does.
func (b *binder) finishParams() {
	for i, t := range b.params {
		if t.ID == types.Invalid || t.ID == types.Unknown {
			b.params[i] = types.T(types.Text)
		}
	}
}

func (b *binder) newCol(name string, t types.Type) Col {
	*b.next++
	return Col{ID: *b.next, Name: name, T: t}
}

func (b *binder) pos(loc int32) int {
	if b.st == nil || b.frame != nil {
		return 0 // the body of a function is not the user's statement
	}
	return b.st.Pos(loc)
}

// cteEnv is the chain of WITH names in scope.
type cteEnv struct {
	name  string
	cols  []outCol
	query *Query // bound once; further uses share it
	node  *pg.CommonTableExpr
	refs  int
	// shared is set at the second use.
	shared *SharedPlan
	// work is set inside the recursive term: the name means the rows of the last round.
	work *RecursiveUnion
	up   *cteEnv
}

func (e *cteEnv) find(name string) *cteEnv {
	for ; e != nil; e = e.up {
		if e.name == name {
			return e
		}
	}
	return nil
}

type queryOpts struct {
	want []types.Type
	// keepUnknown leaves untyped literals to the caller (branches of UNION).
	keepUnknown bool
}

// query binds any SelectStmt.
func (b *binder) query(sel *pg.SelectStmt, outer *selectCtx, ctes *cteEnv, qo queryOpts) (*Query, error) {
	b.depth++
	defer func() { b.depth-- }()
	if b.depth > maxDepth {
		return nil, pgerr.New(pgerr.StatementTooComplex, "the statement is nested too deeply")
	}
	if err := b.ctx.Err(); err != nil {
		return nil, pgerr.From(err)
	}
	if w := sel.WithClause; w != nil {
		var err error
		if ctes, err = b.with(w, outer, ctes); err != nil {
			return nil, err
		}
	}
	if len(sel.LockingClause) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "SELECT FOR UPDATE/SHARE is not supported").
			WithHint("Volley's tables are immutable snapshots; there is nothing to lock.")
	}
	if sel.IntoClause != nil {
		return nil, b.unsupported(sel.IntoClause.GetRel().GetLocation(), "SELECT INTO").
			WithHint("Use CREATE TABLE … AS SELECT …")
	}
	switch {
	case sel.Op != pg.SetOperation_SETOP_NONE:
		return b.setOperation(sel, outer, ctes, qo)
	case len(sel.ValuesLists) > 0:
		return b.values(sel, outer, ctes, qo)
	}
	return b.selectStmt(sel, outer, ctes, qo)
}

// with enters the WITH list. A name used once is inlined; used more often it is
// computed once and read by all its users, as in Postgres.
func (b *binder) with(w *pg.WithClause, outer *selectCtx, ctes *cteEnv) (*cteEnv, error) {
	list := w.Ctes
	if w.Recursive {
		var err error
		if list, err = b.cteOrder(w.Ctes); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{}
	for _, n := range list {
		c := n.GetCommonTableExpr()
		if seen[c.Ctename] {
			return nil, pgerr.New(pgerr.DuplicateAlias, "WITH query name %q specified more than once", c.Ctename).At(b.pos(c.Location))
		}
		seen[c.Ctename] = true
		if c.SearchClause != nil || c.CycleClause != nil {
			return nil, b.unsupported(c.Location, "SEARCH and CYCLE")
		}
		if w.Recursive && refersTo(c.Ctequery, c.Ctename) {
			var err error
			if ctes, err = b.recursiveCTE(c, outer, ctes); err != nil {
				return nil, err
			}
			continue
		}
		sel := c.Ctequery.GetSelectStmt()
		if sel == nil {
			return nil, b.unsupported(c.Location, "a data-modifying statement in WITH")
		}
		q, err := b.query(sel, outer, ctes, queryOpts{})
		if err != nil {
			return nil, err
		}
		cols, err := b.renameCols(q.cols, c.Aliascolnames, "WITH query "+strconv.Quote(c.Ctename), c.Location)
		if err != nil {
			return nil, err
		}
		ctes = &cteEnv{name: c.Ctename, cols: cols, query: q, node: c, up: ctes}
	}
	return ctes, nil
}

// refersTo reports whether a query reads from a relation of that name.
func refersTo(n *pg.Node, name string) bool {
	found := false
	parser.Walk(n, func(n *pg.Node) bool {
		if r := n.GetRangeVar(); r != nil && r.Relname == name && r.Schemaname == "" {
			found = true
		}
		return !found
	})
	return found
}

// cteRef returns the plan of a use of a CTE with column IDs of its own.
func (b *binder) cteRef(e *cteEnv) (Node, []outCol) {
	if e.work != nil {
		e.refs++
		n := &WorkTable{Name: e.name, Table: e.work.Table}
		var cols []outCol
		for _, c := range e.cols {
			n.Out = append(n.Out, b.newCol(c.Name, c.T))
		}
		return n, append(cols, visible(n.Out)...)
	}
	if e.shared == nil {
		e.shared = &SharedPlan{Name: e.name, In: e.query.plan}
	}
	e.refs++
	e.shared.refs++
	in := e.shared.In.Cols()
	out := make([]Col, len(in))
	byOld := map[ColID]Col{}
	for i, c := range in {
		out[i] = b.newCol(c.Name, c.T)
		byOld[c.ID] = out[i]
	}
	cols := make([]outCol, len(e.cols))
	for i, c := range e.cols {
		n := byOld[c.ID]
		n.Name = c.Name
		cols[i] = outCol{n, c.Hidden}
	}
	return &Shared{Plan: e.shared, Out: out}, cols
}

// renameCols applies a column alias list.
func (b *binder) renameCols(cols []outCol, names []*pg.Node, what string, loc int32) ([]outCol, error) {
	out := append([]outCol(nil), cols...)
	parts, _ := nameParts(names)
	i := 0
	for j := range out {
		if out[j].Hidden {
			continue
		}
		if i < len(parts) {
			out[j].Name = parts[i]
			i++
		}
	}
	if i < len(parts) {
		return nil, pgerr.New(pgerr.InvalidColumnReference, "%s has %d columns available but %d columns specified", what, i, len(parts)).At(b.pos(loc))
	}
	return out, nil
}

// defaultOf binds the value of DEFAULT.
func (b *binder) defaultOf(t *Target) (Expr, error) {
	if t.Default == nil {
		return &Const{T: t.Type}, nil
	}
	return bindDefault(b, t.Default, t.Type)
}

// values binds VALUES lists.
func (b *binder) values(sel *pg.SelectStmt, outer *selectCtx, ctes *cteEnv, qo queryOpts) (*Query, error) {
	sc := &selectCtx{b: b, outer: outer, ctes: ctes, clause: "VALUES", plan: &Values{Rows: [][]Expr{{}}}}
	var rows [][]Expr
	width := -1
	for _, l := range sel.ValuesLists {
		items := l.GetList().GetItems()
		if width >= 0 && len(items) != width {
			return nil, pgerr.New(pgerr.SyntaxError, "VALUES lists must all be the same length").At(b.pos(nodeLocation(items[0])))
		}
		width = len(items)
		row := make([]Expr, len(items))
		for i, it := range items {
			if it.GetSetToDefault() != nil && qo.want != nil && i < len(b.o.Targets) {
				e, err := b.defaultOf(&b.o.Targets[i])
				if err != nil {
					return nil, err
				}
				row[i] = e
				continue
			}
			if it.GetSetToDefault() != nil {
				return nil, pgerr.New(pgerr.SyntaxError, "DEFAULT is not allowed in this context").At(b.pos(it.GetSetToDefault().Location))
			}
			e, err := sc.expr(it)
			if err != nil {
				return nil, err
			}
			row[i] = e
		}
		rows = append(rows, row)
	}
	if _, ok := sc.plan.(*Values); !ok {
		if len(rows) > 1 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "subqueries in VALUES of several rows are not supported").WithHint("Write SELECT … UNION ALL SELECT ….")
		}
		in := sc.plan
		p := &Project{In: in, Exprs: rows[0]}
		for i := range rows[0] {
			if rows[0][i].Type().ID == types.Unknown && !qo.keepUnknown {
				e, err := b.coerce(rows[0][i], wantType(qo.want, i), function.Assignment, "")
				if err != nil {
					return nil, err
				}
				rows[0][i] = e
			}
			p.Out = append(p.Out, b.newCol(valuesName(i), rows[0][i].Type()))
		}
		return b.orderLimit(sel, p, visible(p.Out), outer, ctes)
	}
	v := &Values{}
	for i := 0; i < width; i++ {
		if qo.want != nil && i < len(b.o.Targets) {
			t := &b.o.Targets[i]
			for r := range rows {
				e, err := b.assign(rows[r][i], t.Name, t.Type)
				if err != nil {
					return nil, b.at(err, nodeLocation(sel.ValuesLists[r].GetList().Items[i]))
				}
				rows[r][i] = e
			}
			v.Out = append(v.Out, b.newCol(valuesName(i), t.Type))
			continue
		}
		ts := make([]types.Type, len(rows))
		for r := range rows {
			ts[r] = rows[r][i].Type()
		}
		t, err := commonType(ts, "VALUES")
		if err != nil {
			return nil, b.at(err, nodeLocation(sel.ValuesLists[0].GetList().Items[i]))
		}
		if t.ID == types.Unknown && !qo.keepUnknown {
			t = wantType(qo.want, i)
		}
		for r := range rows {
			if rows[r][i], err = b.coerce(rows[r][i], t, function.Implicit, "VALUES"); err != nil {
				return nil, err
			}
		}
		v.Out = append(v.Out, b.newCol(valuesName(i), t))
	}
	v.Rows = rows
	return b.orderLimit(sel, v, visible(v.Out), outer, ctes)
}

func valuesName(i int) string {
	return "column" + itoa(i+1)
}

func wantType(want []types.Type, i int) types.Type {
	if i < len(want) && want[i].ID != types.Invalid {
		return want[i]
	}
	return types.T(types.Text)
}

func visible(cols []Col) []outCol {
	out := make([]outCol, len(cols))
	for i, c := range cols {
		out[i] = outCol{Col: c}
	}
	return out
}

// orderLimit applies ORDER BY, LIMIT and OFFSET to a query whose ORDER BY can
// name output columns only (VALUES and set operations).
func (b *binder) orderLimit(sel *pg.SelectStmt, in Node, cols []outCol, outer *selectCtx, ctes *cteEnv) (*Query, error) {
	sc := &selectCtx{b: b, outer: outer, ctes: ctes, clause: "ORDER BY", plan: in}
	for _, c := range cols {
		sc.scope = append(sc.scope, scopeCol{Col: c.Col, Hidden: c.Hidden})
	}
	var keys []SortKey
	for _, n := range orderAll(sel.SortClause, positions(cols)) {
		s := n.GetSortBy()
		var e Expr
		if k, ok := intConst(s.Node); ok {
			if k < 1 || k > int64(len(cols)) {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "ORDER BY position %d is not in select list", k).At(b.pos(nodeLocation(s.Node)))
			}
			e = cols[k-1].ref()
		} else {
			var err error
			if e, err = sc.expr(s.Node); err != nil {
				return nil, err
			}
			if _, ok := e.(*Column); !ok && sel.Op != pg.SetOperation_SETOP_NONE {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause").
					WithDetail("Only result column names can be used, not expressions or functions.").
					WithHint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.").At(b.pos(nodeLocation(s.Node)))
			}
		}
		k, err := b.sortKey(s, e)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	plan := sc.plan
	if len(keys) > 0 {
		plan = &Sort{In: plan, Keys: keys}
	}
	plan, err := b.limit(sel, plan, outer, ctes)
	if err != nil {
		return nil, err
	}
	return &Query{plan: plan, cols: cols}, nil
}

// limit applies LIMIT and OFFSET.
func (b *binder) limit(sel *pg.SelectStmt, in Node, outer *selectCtx, ctes *cteEnv) (Node, error) {
	var dynamic [2]*limitValue // count and offset that are known at run time only
	value := func(n *pg.Node, what, code string) (int64, bool, error) {
		if n == nil {
			return 0, false, nil
		}
		sc := &selectCtx{b: b, outer: nil, ctes: ctes, clause: what, plan: &Values{Rows: [][]Expr{{}}}}
		e, err := sc.expr(n)
		if err != nil {
			if pgerr.Code(err) == pgerr.UndefinedColumn {
				err = pgerr.New(pgerr.InvalidColumnReference, "argument of %s must not contain variables", what).At(b.pos(nodeLocation(n)))
			}
			return 0, false, err
		}
		if e, err = b.coerce(e, types.T(types.Int8), function.Assignment, what); err != nil {
			return 0, false, err
		}
		c, ok := e.(*Const)
		if !ok {
			if _, plain := sc.plan.(*Values); plain && b.infer {
				return 0, false, nil // a parameter
			}
			i := 0
			if what == "OFFSET" {
				i = 1
			}
			dynamic[i] = &limitValue{plan: sc.plan, e: e}
			return 0, true, nil
		}
		if c.V == nil {
			return 0, false, nil
		}
		v := vector.At[int64](c.V, 0)
		if v < 0 {
			return 0, false, pgerr.New(code, "%s must not be negative", what).At(b.pos(nodeLocation(n)))
		}
		return v, true, nil
	}
	count, hasCount, err := value(sel.LimitCount, "LIMIT", pgerr.InvalidRowCountInLimit)
	if err != nil {
		return nil, err
	}
	offset, hasOffset, err := value(sel.LimitOffset, "OFFSET", pgerr.InvalidRowCountInOffset)
	if err != nil {
		return nil, err
	}
	ties := sel.LimitOption == pg.LimitOption_LIMIT_OPTION_WITH_TIES && hasCount
	if _, ok := in.(*Sort); ties && !ok {
		return nil, pgerr.New(pgerr.SyntaxError, "WITH TIES cannot be specified without ORDER BY clause").At(b.pos(nodeLocation(sel.LimitCount)))
	}
	if !hasCount && !hasOffset {
		return in, nil
	}
	if ties || dynamic[0] != nil || dynamic[1] != nil {
		values := [2]Expr{&Const{T: types.T(types.Int8)}, constInt8(offset)}
		if hasCount {
			values[0] = constInt8(count)
		}
		cols := in.Cols()
		var layers []postponed
		if hasCount {
			in, layers = b.split(in, colSet{})
		}
		n, err := b.numberedLimit(in, values, dynamic, ties)
		if err != nil {
			return nil, err
		}
		return computed(n, layers, cols), nil
	}
	l := &Limit{In: in, Count: -1, Offset: offset}
	if hasCount {
		l.Count = count
	}
	return l, nil
}

func (b *binder) sortKey(s *pg.SortBy, e Expr) (SortKey, error) {
	k := SortKey{}
	switch s.SortbyDir {
	case pg.SortByDir_SORTBY_DESC:
		k.Desc = true
	case pg.SortByDir_SORTBY_USING:
		_, op := lastName(s.UseOp)
		switch op {
		case ">":
			k.Desc = true
		case "<":
		default:
			return k, b.unsupported(s.Location, "ORDER BY USING %s", op)
		}
	}
	switch s.SortbyNulls {
	case pg.SortByNulls_SORTBY_NULLS_FIRST:
		k.NullsFirst = true
	case pg.SortByNulls_SORTBY_NULLS_LAST:
	default:
		k.NullsFirst = k.Desc
	}
	var err error
	if e.Type().ID == types.Unknown {
		if e, err = b.coerce(e, types.T(types.Text), function.Implicit, "ORDER BY"); err != nil {
			return k, err
		}
	}
	k.Expr = e
	return k, b.checkSortable(e.Type(), s.Location)
}

func (b *binder) checkSortable(t types.Type, loc int32) error {
	switch t.ID {
	case types.Record:
		fields, _ := t.RowFields()
		for _, f := range fields {
			if err := b.checkSortable(f.Type, loc); err != nil {
				return err
			}
		}
	case types.JSON, types.JSONPathType, types.Void:
		return pgerr.New(pgerr.UndefinedFunction, "could not identify an ordering operator for type %s", t).
			WithHint("Use an explicit ordering operator or modify the query.").At(b.pos(loc))
	}
	return nil
}
