package coordinator

import (
	"context"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/planner"
	"github.com/volleydb/volley/types"
)

func (x *statement) names() *names {
	return &names{s: x.s, snap: x.snap, view: x.view, uses: x.uses, rec: x.rec, rp: x.rp}
}

// Type finds a user's type, or the row type of a table or view.
func (n *names) Type(schema, name string) (types.Type, bool) {
	schemas := []string{schema}
	if schema == "" {
		schemas = n.view.SearchPath
		if _, ok := types.ByName(name); ok {
			return types.Type{}, false // pg_catalog comes first
		}
	}
	for _, sc := range schemas {
		if t := n.snap.Type(sc, name); t != nil {
			return t.Type, true
		}
		if r := n.snap.Relation(sc, name); r != nil {
			u := types.UserType{OID: r.OID, Schema: r.Schema, Name: r.Name}
			for _, c := range r.Columns {
				u.Fields = append(u.Fields, types.RowField{Name: c.Name, Type: c.Type})
			}
			return types.RegisterUser(u), true
		}
	}
	return types.Type{}, false
}

// storedType refuses the row type of a table as the type of a column or argument:
// it changes when the table does.
func (x *statement) storedType(t types.Type, loc int32) error {
	if u, ok := t.User(); ok && (u.Name == "" || x.snap.Type(u.Schema, u.Name) == nil) {
		return pgerr.New(pgerr.FeatureNotSupported, "the row type of a table is not supported here").
			WithHint("Make a type with CREATE TYPE … AS (…).").At(x.st.Pos(loc))
	}
	return nil
}

// newTypeName is the schema and the name of CREATE TYPE.
func (x *statement) newTypeName(items []*pg.Node) (schema, name string, err error) {
	name = items[len(items)-1].GetString_().GetSval()
	if len(items) > 1 {
		schema = items[len(items)-2].GetString_().GetSval()
	}
	schema, err = x.newSchema(schema, 0)
	return schema, name, err
}

func (x *statement) createType(ctx context.Context, schema, name string, def types.UserType) (*Result, error) {
	err := x.change(ctx, func(tx *catalog.Tx) error {
		_, err := tx.CreateType(schema, name, x.s.o.User, def)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done("CREATE TYPE"), nil
}

// createEnum is CREATE TYPE … AS ENUM.
func (x *statement) createEnum(ctx context.Context, n *pg.CreateEnumStmt) (*Result, error) {
	schema, name, err := x.newTypeName(n.TypeName)
	if err != nil {
		return nil, err
	}
	def := types.UserType{Labels: []types.EnumLabel{}}
	seen := map[string]bool{}
	for i, v := range n.Vals {
		text := v.GetString_().GetSval()
		if err := checkLabel(text); err != nil {
			return nil, err
		}
		if seen[text] {
			return nil, pgerr.New(pgerr.DuplicateObject, "enum label %q used more than once", text)
		}
		seen[text] = true
		def.Labels = append(def.Labels, types.EnumLabel{Sort: uint32(i+1) * types.EnumStep, Text: text})
	}
	if len(def.Labels) > 1<<14 {
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "an enum can have at most %d labels", 1<<14)
	}
	return x.createType(ctx, schema, name, def)
}

func checkLabel(s string) error {
	if len(s) > 63 {
		return pgerr.New(pgerr.InvalidName, "invalid enum label %q", s).WithDetail("Labels must be 63 bytes or less.")
	}
	return nil
}

// createComposite is CREATE TYPE … AS (…).
func (x *statement) createComposite(ctx context.Context, n *pg.CompositeTypeStmt) (*Result, error) {
	schema, err := x.newSchema(n.Typevar.Schemaname, x.st.Pos(n.Typevar.Location))
	if err != nil {
		return nil, err
	}
	def := types.UserType{}
	seen := map[string]bool{}
	for _, e := range n.Coldeflist {
		d := e.GetColumnDef()
		t, err := planner.ResolveType(x.st, d.TypeName, x.names())
		if err != nil {
			return nil, err
		}
		if seen[d.Colname] {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column %q specified more than once", d.Colname)
		}
		seen[d.Colname] = true
		if err := storable(d.Colname, t); err != nil {
			return nil, err
		}
		if err := x.storedType(t, d.Location); err != nil {
			return nil, err
		}
		def.Fields = append(def.Fields, types.RowField{Name: d.Colname, Type: t})
	}
	if len(def.Fields) == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "a composite type without fields is not supported")
	}
	return x.createType(ctx, schema, n.Typevar.Relname, def)
}

// alterEnum is ALTER TYPE … ADD VALUE.
func (x *statement) alterEnum(ctx context.Context, n *pg.AlterEnumStmt) (*Result, error) {
	schema, name := objectName(&pg.Node{Node: &pg.Node_List{List: &pg.List{Items: n.TypeName}}})
	t := x.findType(x.snap, schema, name)
	if t == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "type %q does not exist", name)
	}
	if t.Type.ID != types.Enum {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is not an enum", name)
	}
	if n.OldVal != "" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "ALTER TYPE … RENAME VALUE is not supported")
	}
	if err := checkLabel(n.NewVal); err != nil {
		return nil, err
	}
	u, _ := t.Type.User()
	for _, l := range u.Labels {
		if l.Text == n.NewVal && n.SkipIfNewValExists {
			x.s.notice("NOTICE", pgerr.DuplicateObject, "enum label \""+n.NewVal+"\" already exists, skipping", "")
			return done("ALTER TYPE"), nil
		}
	}
	err := x.change(ctx, func(tx *catalog.Tx) error {
		return tx.AddLabel(t.OID, n.NewVal, n.NewValNeighbor, n.NewValIsAfter)
	})
	if err != nil {
		return nil, err
	}
	return done("ALTER TYPE"), nil
}

// findType finds a user's type by a name that may have no schema.
func (x *statement) findType(snap *catalog.Snapshot, schema, name string) *catalog.UserType {
	if schema != "" {
		return snap.Type(schema, name)
	}
	for _, p := range x.view.SearchPath {
		if t := snap.Type(p, name); t != nil {
			return t
		}
	}
	return nil
}

// typeOIDs are the users' types that names of types in a statement mean.
func (x *statement) typeOIDs(n *pg.TypeName, add func(oid uint32)) {
	schema, name := objectName(&pg.Node{Node: &pg.Node_List{List: &pg.List{Items: n.Names}}})
	if schema == "pg_catalog" || len(n.Names) == 0 || pgcatalog.Find("pg_catalog", name) != nil {
		return
	}
	if t := x.findType(x.snap, schema, name); t != nil {
		add(t.OID)
	}
}

// isUserType tells types whose values user code would not understand.
func isUserType(t types.Type) bool {
	e := t
	if t.ID == types.Array {
		e = t.ElemType()
	}
	return e.ID == types.Enum || e.ID == types.Record && e.Typmod >= 0
}
