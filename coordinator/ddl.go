package coordinator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// createTable is CREATE TABLE (columns).
func (x *statement) createTable(ctx context.Context, n *pg.CreateStmt) (*Result, error) {
	pos := x.st.Pos(n.Relation.Location)
	no := func(what string) error {
		return pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", what).At(pos)
	}
	if err := x.persistence(n.Relation); err != nil {
		return nil, err
	}
	switch {
	case len(n.InhRelations) > 0:
		return nil, no("table inheritance and PARTITION OF")
	case n.Partspec != nil:
		return nil, no("PARTITION BY")
	case len(n.Options) > 0 || n.Tablespacename != "" || n.AccessMethod != "":
		return nil, no("a storage option")
	case n.OfTypename != nil:
		return nil, no("CREATE TABLE OF")
	case len(n.Constraints) > 0:
		return nil, no("a table constraint")
	case n.Oncommit > pg.OnCommitAction_ONCOMMIT_NOOP:
		return nil, pgerr.New(pgerr.InvalidTableDefinition, "ON COMMIT can only be used on temporary tables")
	}
	schema, err := x.targetSchema(n.Relation)
	if err != nil {
		return nil, err
	}
	var cols []catalog.Column
	for _, e := range n.TableElts {
		switch d := e.GetNode().(type) {
		case *pg.Node_ColumnDef:
			c, err := x.column(ctx, d.ColumnDef)
			if err != nil {
				return nil, err
			}
			cols = append(cols, c)
		case *pg.Node_Constraint:
			return nil, pgerr.New(pgerr.FeatureNotSupported, "constraints other than NOT NULL and DEFAULT are not supported").At(x.st.Pos(d.Constraint.Location))
		default:
			return nil, no("LIKE in CREATE TABLE")
		}
	}
	if err := checkColumns(cols); err != nil {
		return nil, err
	}
	if n.IfNotExists && x.snap.Relation(schema, n.Relation.Relname) != nil {
		x.s.notice("NOTICE", pgerr.DuplicateTable, "relation \""+n.Relation.Relname+"\" already exists, skipping", "")
		return done("CREATE TABLE"), nil
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		_, err := tx.CreateTable(catalog.Relation{Schema: schema, Name: n.Relation.Relname, Columns: cols, Owner: x.s.o.User})
		return err
	})
	if err != nil {
		return nil, pgerr.From(err)
	}
	return done("CREATE TABLE"), nil
}

func (x *statement) column(ctx context.Context, d *pg.ColumnDef) (catalog.Column, error) {
	c := catalog.Column{Name: d.Colname}
	t, err := planner.ResolveType(x.st, d.TypeName, x.names())
	if err != nil {
		return c, err
	}
	c.Type = t
	if err := x.storedType(t, d.Location); err != nil {
		return c, err
	}
	if d.CollClause != nil {
		if name := d.CollClause.Collname[len(d.CollClause.Collname)-1].GetString_().GetSval(); name != "C" && name != "default" && name != "POSIX" {
			return c, pgerr.New(pgerr.FeatureNotSupported, "collation %q is not supported", name).At(x.st.Pos(d.CollClause.Location))
		}
	}
	if d.Compression != "" || d.StorageName != "" {
		return c, pgerr.New(pgerr.FeatureNotSupported, "COMPRESSION and STORAGE of a column are not supported").At(x.st.Pos(d.Location))
	}
	null := false
	for _, n := range d.Constraints {
		k := n.GetConstraint()
		switch k.Contype {
		case pg.ConstrType_CONSTR_NOTNULL, pg.ConstrType_CONSTR_NULL:
			c.NotNull = c.NotNull || k.Contype == pg.ConstrType_CONSTR_NOTNULL
			null = null || k.Contype == pg.ConstrType_CONSTR_NULL
			if c.NotNull && null {
				return c, pgerr.New(pgerr.SyntaxError, "conflicting NULL/NOT NULL declarations for column %q", d.Colname).At(x.st.Pos(k.Location))
			}
		case pg.ConstrType_CONSTR_DEFAULT:
			if c.Default != "" {
				return c, pgerr.New(pgerr.SyntaxError, "multiple default values specified for column %q", d.Colname).At(x.st.Pos(k.Location))
			}
			text, err := deparseExpr(k.RawExpr)
			if err != nil {
				return c, err
			}
			x.uses = map[uint32]bool{}
			if err := planner.CheckDefault(ctx, text, t, x.options()); err != nil {
				return c, err
			}
			if err := x.noTemporary("a default"); err != nil {
				return c, err
			}
			c.Default = text
			for _, oid := range slices.Sorted(maps.Keys(x.uses)) {
				c.DefaultUses += fmt.Sprintf(" %d ", oid)
			}
		default:
			what := strings.ReplaceAll(strings.TrimPrefix(k.Contype.String(), "CONSTR_"), "_", " ")
			switch k.Contype {
			case pg.ConstrType_CONSTR_PRIMARY:
				what = "PRIMARY KEY"
			case pg.ConstrType_CONSTR_FOREIGN:
				what = "FOREIGN KEY"
			}
			e := pgerr.New(pgerr.FeatureNotSupported, "constraint %s of column %q is not supported", what, d.Colname).At(x.st.Pos(k.Location))
			if k.Contype == pg.ConstrType_CONSTR_PRIMARY || k.Contype == pg.ConstrType_CONSTR_UNIQUE {
				e = e.WithHint("Volley keeps no indexes. Check uniqueness with GROUP BY … HAVING count(*) > 1.")
			}
			return c, e
		}
	}
	return c, nil
}

// deparseExpr writes an expression as SQL text.
func deparseExpr(e *pg.Node) (string, error) {
	sel := &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
		TargetList:  []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: e}}}},
		LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE}}}
	s, err := parser.Deparse(sel)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(s, "SELECT "), nil
}

func (x *statement) createSchema(ctx context.Context, n *pg.CreateSchemaStmt) (*Result, error) {
	if len(n.SchemaElts) > 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "objects inside CREATE SCHEMA are not supported")
	}
	name := n.Schemaname
	if name == "" {
		name = n.Authrole.GetRolename()
	}
	if n.IfNotExists && (x.snap.Schema(name) != nil || name == "volley") {
		x.s.notice("NOTICE", pgerr.DuplicateSchema, "schema \""+name+"\" already exists, skipping", "")
		return done("CREATE SCHEMA"), nil
	}
	owner := x.s.o.User
	if n.Authrole != nil && n.Authrole.Rolename != "" {
		owner = n.Authrole.Rolename
	}
	err := x.change(ctx, func(tx *catalog.Tx) error {
		_, err := tx.CreateSchema(name, owner)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done("CREATE SCHEMA"), nil
}

// createView stores a view's query as text, after it has been bound once.
func (x *statement) createView(ctx context.Context, n *pg.ViewStmt) (*Result, error) {
	if err := x.persistence(n.View); err != nil {
		return nil, err
	}
	if len(n.Options) > 0 || n.WithCheckOption > pg.ViewCheckOption_NO_CHECK_OPTION {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "view options are not supported")
	}
	schema, err := x.targetSchema(n.View)
	if err != nil {
		return nil, err
	}
	x.uses = map[uint32]bool{}
	q, err := planner.Bind(ctx, x.st, n.Query, nil, x.options())
	if err != nil {
		return nil, err
	}
	if len(q.Params()) > 0 {
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $1")
	}
	if err := x.noTemporary("a view"); err != nil {
		return nil, err
	}
	text, err := parser.Deparse(n.Query)
	if err != nil {
		return nil, err
	}
	r := catalog.Relation{Schema: schema, Name: n.View.Relname, SQL: text, Owner: x.s.o.User, Depends: x.depends(n.Query)}
	fields := q.Fields()
	if len(n.Aliases) > len(fields) {
		return nil, pgerr.New(pgerr.SyntaxError, "CREATE VIEW specifies more column names than columns")
	}
	for i, f := range fields {
		c := catalog.Column{Name: f.Name, Type: f.Type}
		if i < len(n.Aliases) {
			c.Name = n.Aliases[i].GetString_().GetSval()
		}
		r.Columns = append(r.Columns, c)
	}
	if err := checkColumns(r.Columns); err != nil {
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error {
		_, err := tx.CreateView(r, n.Replace)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done("CREATE VIEW"), nil
}

// depends lists the user objects that a query names, and the functions that
// binding it has found.
func (x *statement) depends(n *pg.Node) []uint32 {
	seen := map[uint32]bool{}
	var out []uint32
	add := func(oid uint32) {
		if !seen[oid] {
			seen[oid] = true
			out = append(out, oid)
		}
	}
	parser.Walk(n, func(n *pg.Node) bool {
		if r := n.GetRangeVar(); r != nil {
			if r.Schemaname != "" || pgcatalog.Find("pg_catalog", r.Relname) == nil {
				if rel, err := x.snap.ResolveRelation(x.view.SearchPath, r.Schemaname, r.Relname); err == nil {
					add(rel.OID)
				}
			}
		}
		if t := n.GetTypeName(); t != nil {
			x.typeOIDs(t, add)
		}
		if c := n.GetTypeCast(); c != nil && c.TypeName != nil {
			x.typeOIDs(c.TypeName, add)
		}
		return true
	})
	for _, oid := range slices.Sorted(maps.Keys(x.uses)) {
		add(oid)
	}
	return out
}

// names of an object in DROP and COMMENT: schema (may be "") and name.
func objectName(n *pg.Node) (schema, name string) {
	items := n.GetList().GetItems()
	if len(items) == 0 {
		if t := n.GetTypeName(); t != nil {
			items = t.Names
		} else if o := n.GetObjectWithArgs(); o != nil {
			items = o.Objname
		} else if s := n.GetString_(); s != nil {
			return "", s.Sval
		}
	}
	if len(items) == 0 {
		return "", ""
	}
	name = items[len(items)-1].GetString_().GetSval()
	if len(items) > 1 {
		schema = items[len(items)-2].GetString_().GetSval()
	}
	return schema, name
}

func (x *statement) drop(ctx context.Context, n *pg.DropStmt) (*Result, error) {
	cascade := n.Behavior == pg.DropBehavior_DROP_CASCADE
	var tag string
	var one func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error)
	relation := func(kind catalog.RelKind) func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
		return func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
			schema, name := objectName(o)
			if schema == "" {
				schema = x.schemaOf(tx.Snapshot(), name)
			}
			if r := tx.Snapshot().Relation(schema, name); r == nil {
				e := pgerr.New(pgerr.UndefinedTable, "%s %q does not exist", kind, name)
				if near := tx.Snapshot().Suggest(x.view.SearchPath, name); len(near) > 0 {
					e = e.WithHint("Perhaps you meant %q.", near[0])
				}
				return nil, e
			}
			return tx.DropRelation(kind, schema, name, cascade)
		}
	}
	switch n.RemoveType {
	case pg.ObjectType_OBJECT_TABLE:
		tag, one = "DROP TABLE", relation(catalog.KindTable)
	case pg.ObjectType_OBJECT_VIEW:
		tag, one = "DROP VIEW", relation(catalog.KindView)
	case pg.ObjectType_OBJECT_SCHEMA:
		tag = "DROP SCHEMA"
		one = func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
			_, name := objectName(o)
			return tx.DropSchema(name, cascade)
		}
	case pg.ObjectType_OBJECT_FUNCTION, pg.ObjectType_OBJECT_AGGREGATE, pg.ObjectType_OBJECT_ROUTINE:
		tag = "DROP " + strings.TrimPrefix(n.RemoveType.String(), "OBJECT_")
		one = func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
			f, err := x.findFunction(tx.Snapshot(), o.GetObjectWithArgs(), n.RemoveType)
			if err != nil {
				return nil, err
			}
			if err := x.mustOwnFunction(f); err != nil {
				return nil, err
			}
			return tx.DropFunction(f.OID, cascade)
		}
	case pg.ObjectType_OBJECT_EXTENSION:
		tag = "DROP EXTENSION"
		one = func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
			_, name := objectName(o)
			if e := tx.Snapshot().Extension(name); e != nil {
				if err := x.mustOwn(e.OID, "extension", name); err != nil {
					return nil, err
				}
			}
			return tx.DropExtension(name, cascade)
		}
	case pg.ObjectType_OBJECT_TYPE:
		tag = "DROP TYPE"
		one = func(tx *catalog.Tx, o *pg.Node) (catalog.Dropped, error) {
			schema, name := objectName(o)
			t := x.findType(tx.Snapshot(), schema, name)
			if t == nil {
				full := name
				if schema != "" {
					full = schema + "." + name
				}
				return nil, pgerr.New(pgerr.UndefinedObject, "type %q does not exist", full)
			}
			return tx.DropType(t.Schema, t.Name, cascade)
		}
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "DROP %s is not supported", strings.ReplaceAll(strings.TrimPrefix(n.RemoveType.String(), "OBJECT_"), "_", " "))
	}
	var notices []string
	err := x.change(ctx, func(tx *catalog.Tx) error {
		for _, o := range n.Objects {
			gone, err := one(tx, o)
			if err != nil {
				if n.MissingOk && isMissing(err) {
					notices = append(notices, pgerr.From(err).Message+", skipping")
					continue
				}
				return x.unqualified(err)
			}
			for _, g := range gone {
				notices = append(notices, x.visibleNames("drop cascades to "+g))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range notices {
		x.s.notice("NOTICE", "00000", m, "")
	}
	return done(tag), nil
}

// unqualified drops the schemas of the search path from a message about
// dependencies, as Postgres does for what is visible.
func (x *statement) unqualified(err error) error {
	e := pgerr.From(err)
	if e.Code != pgerr.DependentObjectsStillExist {
		return err
	}
	c := *e
	c.Message, c.Detail = x.visibleNames(c.Message), x.visibleNames(c.Detail)
	return &c
}

func (x *statement) visibleNames(text string) string {
	for _, s := range x.view.SearchPath {
		text = strings.ReplaceAll(text, " "+s+".", " ")
	}
	return text
}

func isMissing(err error) bool {
	switch pgerr.Code(err) {
	case pgerr.UndefinedTable, pgerr.UndefinedFunction, pgerr.InvalidSchemaName, pgerr.UndefinedObject:
		return true
	}
	return false
}

// schemaOf is the first schema of the search path that has a relation of a name.
func (x *statement) schemaOf(snap *catalog.Snapshot, name string) string {
	for _, p := range x.view.SearchPath {
		if snap.Relation(p, name) != nil {
			return p
		}
	}
	return "public"
}

func (x *statement) truncate(ctx context.Context, n *pg.TruncateStmt) (*Result, error) {
	var oids []uint32
	for _, r := range n.Relations {
		rel, err := x.table(r.GetRangeVar())
		if err != nil {
			return nil, err
		}
		oids = append(oids, rel.OID)
	}
	err := x.change(ctx, func(tx *catalog.Tx) error {
		for _, o := range oids {
			if err := tx.Truncate(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done("TRUNCATE TABLE"), nil
}

func (x *statement) rename(ctx context.Context, n *pg.RenameStmt) (*Result, error) {
	if functionObject(n.RenameType) {
		return x.renameFunction(ctx, n)
	}
	if n.RenameType != pg.ObjectType_OBJECT_TABLE && n.RenameType != pg.ObjectType_OBJECT_VIEW {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "ALTER … RENAME of a %s is not supported", strings.ToLower(strings.TrimPrefix(n.RenameType.String(), "OBJECT_")))
	}
	tag := "ALTER " + strings.TrimPrefix(n.RenameType.String(), "OBJECT_")
	rel, err := x.snap.ResolveRelation(x.view.SearchPath, n.Relation.Schemaname, n.Relation.Relname)
	if err != nil {
		if n.MissingOk && isMissing(err) {
			x.s.notice("NOTICE", "00000", pgerr.From(err).Message+", skipping", "")
			return done(tag), nil
		}
		return nil, err
	}
	err = x.change(ctx, func(tx *catalog.Tx) error { return tx.RenameRelation(rel.OID, n.Newname) })
	if err != nil {
		return nil, err
	}
	return done(tag), nil
}

func (x *statement) comment(ctx context.Context, n *pg.CommentStmt) (*Result, error) {
	var oid uint32
	column := 0
	switch n.Objtype {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW:
		schema, name := objectName(n.Object)
		rel, err := x.snap.ResolveRelation(x.view.SearchPath, schema, name)
		if err != nil {
			return nil, err
		}
		oid = rel.OID
	case pg.ObjectType_OBJECT_COLUMN:
		items := n.Object.GetList().GetItems()
		if len(items) < 2 {
			return nil, pgerr.New(pgerr.SyntaxError, "column name must be qualified")
		}
		col := items[len(items)-1].GetString_().GetSval()
		schema := ""
		if len(items) > 2 {
			schema = items[len(items)-3].GetString_().GetSval()
		}
		rel, err := x.snap.ResolveRelation(x.view.SearchPath, schema, items[len(items)-2].GetString_().GetSval())
		if err != nil {
			return nil, err
		}
		i := columnIndex(rel.Columns, col, false)
		if i < 0 {
			return nil, pgerr.New(pgerr.UndefinedColumn, "column %q of relation %q does not exist", col, rel.Name)
		}
		oid, column = rel.OID, i+1
	case pg.ObjectType_OBJECT_SCHEMA:
		_, name := objectName(n.Object)
		sc := x.snap.Schema(name)
		if sc == nil {
			return nil, pgerr.New(pgerr.InvalidSchemaName, "schema %q does not exist", name)
		}
		oid = sc.OID
	case pg.ObjectType_OBJECT_FUNCTION, pg.ObjectType_OBJECT_AGGREGATE, pg.ObjectType_OBJECT_ROUTINE:
		f, err := x.findFunction(x.snap, n.Object.GetObjectWithArgs(), n.Objtype)
		if err != nil {
			return nil, err
		}
		if err := x.mustOwnFunction(f); err != nil {
			return nil, err
		}
		oid = f.OID
	case pg.ObjectType_OBJECT_EXTENSION:
		_, name := objectName(n.Object)
		e := x.snap.Extension(name)
		if e == nil {
			return nil, pgerr.New(pgerr.UndefinedObject, "extension %q does not exist", name)
		}
		if err := x.mustOwn(e.OID, "extension", name); err != nil {
			return nil, err
		}
		oid = e.OID
	case pg.ObjectType_OBJECT_LANGUAGE:
		_, name := objectName(n.Object)
		l := x.snap.Language(name)
		if l == nil {
			return nil, pgerr.New(pgerr.UndefinedObject, "language %q does not exist", name)
		}
		if err := x.mustOwn(l.OID, "language", name); err != nil {
			return nil, err
		}
		oid = l.OID
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COMMENT ON %s is not supported", strings.TrimPrefix(n.Objtype.String(), "OBJECT_"))
	}
	if err := x.change(ctx, func(tx *catalog.Tx) error { return tx.CommentOn(oid, column, n.Comment) }); err != nil {
		return nil, err
	}
	return done("COMMENT"), nil
}

// findFunction finds the function that DROP or COMMENT names.
func (x *statement) findFunction(snap *catalog.Snapshot, o *pg.ObjectWithArgs, kind pg.ObjectType) (*catalog.FunctionDef, error) {
	var items = o.Objname
	name := items[len(items)-1].GetString_().GetSval()
	schemas := x.view.SearchPath
	shown := name
	if len(items) > 1 {
		schemas = []string{items[len(items)-2].GetString_().GetSval()}
		shown = schemas[0] + "." + name
		schemas[0] = x.s.schema(schemas[0])
	}
	var args []types.Type
	for _, a := range o.Objargs {
		if a.GetTypeName() == nil {
			continue // (*) of an aggregate without arguments
		}
		t, err := planner.ResolveType(x.st, a.GetTypeName(), x.names())
		if err != nil {
			return nil, err
		}
		args = append(args, t)
	}
	what := "function"
	if kind == pg.ObjectType_OBJECT_AGGREGATE {
		what = "aggregate"
	}
	var found []*catalog.FunctionDef
	// As in calls, a function hides those of its arguments later in the path.
	for _, s := range schemas {
		list := snap.Functions(s, name)
		if !o.ArgsUnspecified {
			list = nil
			if f := snap.Function(s, name, args); f != nil {
				list = []*catalog.FunctionDef{f}
			}
		}
		for _, f := range list {
			if !slices.ContainsFunc(found, func(g *catalog.FunctionDef) bool { return sameTypes(f.ArgTypes(), g.ArgTypes()) }) {
				found = append(found, f)
			}
		}
	}
	switch {
	case len(found) == 0:
		if !o.ArgsUnspecified {
			var ts []string
			for _, t := range args {
				ts = append(ts, t.String())
			}
			shown += "(" + strings.Join(ts, ", ") + ")"
		}
		return nil, pgerr.New(pgerr.UndefinedFunction, "%s %s does not exist", what, shown)
	case len(found) > 1:
		return nil, pgerr.New(pgerr.AmbiguousFunction, "%s name %q is not unique", what, name).WithHint("Specify the argument list to select the function unambiguously.")
	}
	f := found[0]
	if kind == pg.ObjectType_OBJECT_AGGREGATE && f.Kind != catalog.FuncAggregate {
		return nil, pgerr.New(pgerr.WrongObjectType, "function %s is not an aggregate", f.Signature())
	}
	if kind == pg.ObjectType_OBJECT_FUNCTION && f.Kind == catalog.FuncAggregate {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is an aggregate function", f.Signature()).WithHint("Use DROP AGGREGATE to drop aggregate functions.")
	}
	return f, nil
}
