package coordinator

import (
	"context"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// change applies catalog changes: in the open block, or in a transaction of
// their own that commits now.
func (x *statement) change(ctx context.Context, f func(tx *catalog.Tx) error) error {
	if x.s.tx != nil {
		return f(x.s.tx)
	}
	tx := x.s.c.cfg.Store.Begin()
	if err := f(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit(ctx)
}

// writeRows runs a query whose rows go to staged files of a table's shape. The
// files are dropped by the caller's transaction, or by done, if they are not committed.
func (x *statement) writeRows(ctx context.Context, q *planner.Query, table string, cols []catalog.Column) (files []catalog.File, n int64, err error) {
	store := x.s.c.cfg.Store
	dir, err := store.StagingDir(x.id)
	if err != nil {
		return nil, 0, err
	}
	w := &planner.Write{Directory: dir, Table: table}
	for _, c := range cols {
		w.Schema = append(w.Schema, vector.Field{Name: c.Name, Type: c.Type})
		w.NotNull = append(w.NotNull, c.NotNull)
	}
	plan, err := q.Plan(ctx, w)
	if err != nil {
		return nil, 0, err
	}
	run, err := x.run(ctx, plan)
	if err != nil {
		return nil, 0, err
	}
	defer run.Close()
	for {
		b, err := run.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		if b == nil {
			if x.trace != nil {
				*x.trace = append(*x.trace, traced{x.phase, plan, run.Stats()})
			}
			return files, n, nil
		}
		b = b.Dense()
		for i := 0; i < b.Rows(); i++ {
			rows := vector.At[int64](b.Col(1), i)
			if rows == 0 {
				continue
			}
			files = append(files, catalog.File{Path: b.Col(0).StringAt(i), Rows: rows,
				Bytes: vector.At[int64](b.Col(2), i), Stats: append([]byte(nil), b.Col(3).BytesAt(i)...)})
			n += rows
		}
	}
}

// stagedCommit applies f and then drops whatever the statement staged and did
// not commit. Inside a block the staged files belong to the block's transaction.
func (x *statement) stagedCommit(ctx context.Context, f func(tx *catalog.Tx) error) error {
	err := x.change(ctx, f)
	if err != nil || x.s.tx == nil {
		x.dropStaging()
	} else {
		x.s.staged = append(x.s.staged, x.id)
	}
	return err
}

func (x *statement) dropStaging() { _ = x.s.c.cfg.Store.DropStaging(x.id) }

// createTableAs is CREATE TABLE … AS.
func (x *statement) createTableAs(ctx context.Context, n *pg.CreateTableAsStmt) (*Result, error) {
	if n.Objtype == pg.ObjectType_OBJECT_MATVIEW {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "materialized views are not supported").WithHint("Use CREATE TABLE … AS.")
	}
	into := n.Into
	if len(into.Options) > 0 || into.AccessMethod != "" || into.TableSpaceName != "" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "storage options of CREATE TABLE AS are not supported")
	}
	if err := x.persistence(into.Rel); err != nil {
		return nil, err
	}
	schema, err := x.targetSchema(into.Rel)
	if err != nil {
		return nil, err
	}
	if x.snap.Relation(schema, into.Rel.Relname) != nil {
		if n.IfNotExists {
			x.s.notice("NOTICE", pgerr.DuplicateTable, "relation \""+into.Rel.Relname+"\" already exists, skipping", "")
			return done("CREATE TABLE AS"), nil
		}
		return nil, pgerr.New(pgerr.DuplicateTable, "relation %q already exists", into.Rel.Relname).At(x.st.Pos(into.Rel.Location))
	}
	query := n.Query
	if e := query.GetExecuteStmt(); e != nil {
		p, err := x.become(ctx, e)
		if err != nil {
			return nil, err
		}
		if query = p.Statement.Node; query.GetSelectStmt() == nil {
			return nil, pgerr.New(pgerr.WrongObjectType, "prepared statement is not a SELECT")
		}
	}
	q, err := planner.Bind(ctx, x.st, query, nil, x.options())
	if err != nil {
		return nil, err
	}
	fields := q.Fields()
	if len(fields) == 0 && !into.SkipData {
		return nil, noRows(into.Rel.Relname)
	}
	names := make([]string, 0, len(into.ColNames))
	for _, c := range into.ColNames {
		names = append(names, c.GetString_().GetSval())
	}
	if len(names) > len(fields) {
		return nil, pgerr.New(pgerr.SyntaxError, "too many column names were specified")
	}
	cols := make([]catalog.Column, len(fields))
	for i, f := range fields {
		cols[i] = catalog.Column{Name: f.Name, Type: f.Type}
		if i < len(names) {
			cols[i].Name = names[i]
		}
	}
	if err := checkColumns(cols); err != nil {
		return nil, err
	}
	var files []catalog.File
	var count int64
	if !into.SkipData {
		if files, count, err = x.writeRows(ctx, q, into.Rel.Relname, cols); err != nil {
			x.dropStaging()
			return nil, err
		}
	}
	err = x.stagedCommit(ctx, func(tx *catalog.Tx) error {
		r, err := tx.CreateTable(catalog.Relation{Schema: schema, Name: into.Rel.Relname, Columns: cols, Owner: x.s.o.User})
		if err != nil || len(files) == 0 {
			return err
		}
		return tx.AddFiles(r.OID, files)
	})
	if err != nil {
		return nil, err
	}
	if into.SkipData {
		return done("CREATE TABLE AS"), nil
	}
	return done("SELECT " + strconv.FormatInt(count, 10)), nil
}

// noRows refuses rows for a table without columns: its files could not keep them.
func noRows(table string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "rows in table %q, which has no columns, are not supported", table)
}

// checkColumns refuses names that a table cannot have twice, and types it cannot store.
func checkColumns(cols []catalog.Column) error {
	seen := map[string]bool{}
	for _, c := range cols {
		if seen[c.Name] {
			return pgerr.New(pgerr.DuplicateColumn, "column %q specified more than once", c.Name)
		}
		seen[c.Name] = true
		if err := storable(c.Name, c.Type); err != nil {
			return err
		}
	}
	return nil
}

func storable(name string, t types.Type) error {
	switch t.ID {
	case types.Record:
		if u, ok := t.User(); !ok || u.Name == "" {
			return pgerr.New(pgerr.InvalidTableDefinition, "column %q has pseudo-type %s", name, t)
		}
	case types.Void, types.Unknown, types.Int2Vector, types.OIDVector, types.AnyElement, types.AnyArray, types.Any:
		return pgerr.New(pgerr.InvalidTableDefinition, "column %q has pseudo-type %s", name, t)
	}
	return nil
}

func (x *statement) persistence(r *pg.RangeVar) error {
	if r.Relpersistence == "t" {
		return pgerr.New(pgerr.FeatureNotSupported, "temporary tables are not supported").At(x.st.Pos(r.Location)).
			WithHint("Use a common table expression (WITH …), or a table in a schema of your own.")
	}
	return nil
}

// targetSchema is where a new object goes.
func (x *statement) targetSchema(r *pg.RangeVar) (string, error) {
	return x.newSchema(r.Schemaname, x.st.Pos(r.Location))
}

func (x *statement) newSchema(schema string, pos int) (string, error) {
	if schema == "" {
		if len(x.view.SearchPath) == 0 {
			return "", pgerr.New(pgerr.InvalidSchemaName, "no schema has been selected to create in")
		}
		return x.view.SearchPath[0], nil
	}
	if schema == tempAlias {
		return "", pgerr.New(pgerr.FeatureNotSupported, "only functions can be temporary").At(pos)
	}
	if x.snap.Schema(schema) == nil {
		return "", pgerr.New(pgerr.InvalidSchemaName, "schema %q does not exist", schema).At(pos)
	}
	if schema == "pg_catalog" || schema == "information_schema" {
		return "", pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create in schema %q", schema).At(pos)
	}
	return schema, nil
}

// table finds the table that a statement changes.
func (x *statement) table(r *pg.RangeVar) (*catalog.Relation, error) {
	rel, err := x.snap.ResolveRelation(x.view.SearchPath, r.Schemaname, r.Relname)
	if err != nil {
		return nil, pgerr.From(err).At(x.st.Pos(r.Location))
	}
	if rel.Kind != catalog.KindTable {
		return nil, pgerr.New(pgerr.WrongObjectType, "%q is a view, not a table", r.Relname).At(x.st.Pos(r.Location))
	}
	return rel, nil
}

// bindInsert binds the query of an INSERT to the columns of its table.
func (x *statement) bindInsert(ctx context.Context, n *pg.InsertStmt) (*planner.Query, *catalog.Relation, error) {
	if n.OnConflictClause != nil {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "ON CONFLICT is not supported: tables have no unique indexes")
	}
	if sel := n.SelectStmt.GetSelectStmt(); n.WithClause != nil && sel != nil && sel.WithClause != n.WithClause {
		if sel.WithClause != nil {
			return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "WITH before INSERT and before its query is not supported").
				At(x.st.Pos(sel.WithClause.Location)).WithHint("Write both lists as one.")
		}
		sel.WithClause = n.WithClause
	}
	rel, err := x.table(n.Relation)
	if err != nil {
		return nil, nil, err
	}
	if len(rel.Columns) == 0 {
		return nil, nil, noRows(rel.Name)
	}
	// The columns that the query fills, in its order.
	var target []int
	if len(n.Cols) == 0 {
		for i := range rel.Columns {
			target = append(target, i)
		}
	}
	seen := map[int]bool{}
	for _, c := range n.Cols {
		rt := c.GetResTarget()
		if len(rt.Indirection) > 0 {
			return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "INSERT into a part of a column is not supported").At(x.st.Pos(rt.Location))
		}
		i := columnIndex(rel.Columns, rt.Name, x.st.Quoted(rt.Location, 0))
		if i < 0 {
			return nil, nil, pgerr.New(pgerr.UndefinedColumn, "column %q of relation %q does not exist", rt.Name, rel.Name).At(x.st.Pos(rt.Location))
		}
		if seen[i] {
			return nil, nil, pgerr.New(pgerr.DuplicateColumn, "column %q specified more than once", rt.Name).At(x.st.Pos(rt.Location))
		}
		seen[i] = true
		target = append(target, i)
	}
	node := n.SelectStmt
	if node == nil { // DEFAULT VALUES
		st, err := parser.ParseOne("SELECT")
		if err != nil {
			return nil, nil, err
		}
		node, target = st.Node, nil
	}
	want := make([]types.Type, len(target))
	for i, t := range target {
		want[i] = rel.Columns[t].Type
	}
	o := x.options()
	for _, t := range target {
		c := &rel.Columns[t]
		to := planner.Target{Name: c.Name, Type: c.Type}
		if c.Default != "" {
			if to.Default, err = parser.ParseOne("SELECT " + c.Default); err != nil {
				return nil, nil, err
			}
		}
		o.Targets = append(o.Targets, to)
	}
	q, err := planner.Bind(ctx, x.st, node, want, o)
	if err != nil {
		return nil, nil, err
	}
	have := len(q.Fields())
	if have > len(target) {
		return nil, nil, pgerr.New(pgerr.SyntaxError, "INSERT has more expressions than target columns")
	}
	if have < len(target) && len(n.Cols) > 0 {
		return nil, nil, pgerr.New(pgerr.SyntaxError, "INSERT has more target columns than expressions")
	}
	source := make([]int, len(rel.Columns))
	defaults := make([]planner.Expr, len(rel.Columns))
	for i := range source {
		source[i] = -1
	}
	for i := 0; i < have; i++ {
		source[target[i]] = i
	}
	for i, c := range rel.Columns {
		if source[i] < 0 && c.Default != "" {
			st, err := parser.ParseOne("SELECT " + c.Default)
			if err != nil {
				return nil, nil, err
			}
			if defaults[i], err = q.Default(st, c.Type); err != nil {
				return nil, nil, err
			}
		}
	}
	return q, rel, q.Assign(rel.Fields(), source, defaults)
}

// columnIndex finds a column as names are matched everywhere: exactly, then,
// when it was not quoted, in any case.
func columnIndex(cols []catalog.Column, name string, quoted bool) int {
	for i, c := range cols {
		if c.Name == name {
			return i
		}
	}
	found := -1
	for i, c := range cols {
		if !quoted && equalFold(c.Name, name) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

func (x *statement) insert(ctx context.Context, n *pg.InsertStmt) (*Result, error) {
	if len(n.ReturningList) > 0 {
		return x.insertReturning(ctx, n)
	}
	q, rel, err := x.bindInsert(ctx, n)
	if err != nil {
		return nil, err
	}
	files, count, err := x.writeRows(ctx, q, rel.Name, rel.Columns)
	if err != nil {
		x.dropStaging()
		return nil, err
	}
	if err := x.stagedCommit(ctx, func(tx *catalog.Tx) error {
		if len(files) == 0 {
			return nil
		}
		return tx.AddFiles(rel.OID, files)
	}); err != nil {
		return nil, err
	}
	return done("INSERT 0 " + strconv.FormatInt(count, 10)), nil
}
