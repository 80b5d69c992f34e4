package function

import (
	"context"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// details is the catalog if it knows more than names, else nil.
func (r *row) details() (CatalogLookup, CatalogDetails, error) {
	cat, err := r.c.catalog("this catalog function")
	if err != nil {
		return nil, nil, err
	}
	d, _ := cat.(CatalogDetails)
	return cat, d, nil
}

// description makes a function that gives a comment.
func description(f func(d CatalogDetails, r *row) (string, bool)) EvalFunc {
	return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
		_, d, err := r.details()
		if err != nil || d == nil {
			return dst, false, err
		}
		s, ok := f(d, r)
		return append(dst, s...), ok, nil
	})
}

// grantable are the privileges that has_…_privilege knows for a kind of object.
var grantable = map[string][]string{
	"table":      {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"},
	"any_column": {"SELECT", "INSERT", "UPDATE", "REFERENCES"},
	"column":     {"SELECT", "INSERT", "UPDATE", "REFERENCES"},
	"schema":     {"CREATE", "USAGE"},
	"function":   {"EXECUTE"},
	"language":   {"USAGE"},
}

// privileges reads a list such as "SELECT, INSERT WITH GRANT OPTION", any of
// which suffices.
func privileges(list string, known []string) ([]string, error) {
	var out []string
	for _, p := range strings.Split(list, ",") {
		p = strings.ToUpper(strings.TrimSpace(p))
		p = strings.TrimSuffix(p, " WITH GRANT OPTION")
		if !slices.Contains(known, p) {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unrecognized privilege type: \"%s\"", p)
		}
		out = append(out, p)
	}
	return out, nil
}

// object finds what argument k names, by name or by OID; ok is false for an OID
// that is nothing's.
func (r *row) object(kind string, k int, cat CatalogLookup) (oid uint32, ok bool, err error) {
	if r.args[k].Type.Phys() == types.PhysInt64 {
		oid = uint32(r.i64(k))
		switch kind {
		case "schema":
			_, ok = cat.SchemaName(oid)
		case "function":
			if _, ok = builtins().byOID(oid); !ok {
				_, _, ok = cat.FunctionName(oid)
			}
		case "language":
			d, _ := cat.(CatalogDetails)
			ok = d != nil && d.LanguageName(oid) != ""
		default:
			_, _, ok = cat.RelationName(oid)
		}
		return oid, ok, nil
	}
	switch kind {
	case "schema":
		oid, err = lookupReg(r.c, r.str(k), types.T(types.Regnamespace))
	case "function":
		oid, err = lookupReg(r.c, r.str(k), types.T(types.Regprocedure))
	case "language":
		if d, _ := cat.(CatalogDetails); d != nil {
			oid = d.LanguageOID(r.str(k))
		}
		if oid == 0 {
			err = pgerr.New(pgerr.UndefinedObject, "language \"%s\" does not exist", r.str(k))
		}
	default:
		oid, err = cat.RelationOID(r.str(k))
	}
	return oid, err == nil, err
}

// role is the role that argument 0 names, the user's own when there is none.
func (r *row) role(given bool, cat CatalogLookup) string {
	switch {
	case !given:
		return r.c.User
	case r.args[0].Type.Phys() == types.PhysInt64:
		name, _ := cat.RoleName(uint32(r.i64(0)))
		return name
	}
	return r.str(0)
}

// hasPrivilege makes has_…_privilege; object is the number of the argument that
// names the object, the last one names the privileges.
func hasPrivilege(kind string, object int) EvalFunc {
	return toFixed(types.Bool, func(r *row) (bool, bool, error) {
		cat, d, err := r.details()
		if err != nil {
			return false, false, err
		}
		ps, err := privileges(r.str(len(r.args)-1), grantable[kind])
		if err != nil {
			return false, false, err
		}
		oid, ok, err := r.object(kind, object, cat)
		if err != nil || !ok {
			return false, false, err
		}
		if d == nil {
			return true, true, nil
		}
		role := r.role(object > 0, cat)
		return slices.ContainsFunc(ps, func(p string) bool { return d.HasPrivilege(role, oid, p) }), true, nil
	})
}

// defaultACL are the default privileges by kind of object, of everybody and of the owner.
var defaultACL = map[byte][2]string{'c': {}, 'r': {"", "arwdDxt"}, 's': {"", "rwU"}, 'd': {"Tc", "CTc"}, 'f': {"X", "X"}, 'l': {"U", "U"},
	'L': {"", "rw"}, 'n': {"", "UC"}, 'p': {"", "sA"}, 't': {"", "C"}, 'F': {"", "U"}, 'S': {"", "U"}, 'T': {"U", "U"}}

func aclDefault(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	cat, err := c.catalog("acldefault")
	if err != nil {
		return nil, err
	}
	b := vector.NewBuilder(types.ArrayOf(types.Text), n)
	for i := range n {
		if args[0].IsNull(i) || args[1].IsNull(i) {
			b.AppendNull()
			continue
		}
		kind := args[0].BytesAt(i)
		acl, ok := [2]string{}, false
		if len(kind) == 1 {
			acl, ok = defaultACL[kind[0]]
		}
		if !ok {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unrecognized object type abbreviation: %s", kind)
		}
		owner, _ := cat.RoleName(uint32(vector.At[int64](args[1], i)))
		if acl[0] != "" {
			b.Elems().AppendString("=" + acl[0] + "/" + quoteIdent(owner))
		}
		if acl[1] != "" {
			b.Elems().AppendString(quoteIdent(owner) + "=" + acl[1] + "/" + quoteIdent(owner))
		}
		b.EndList()
	}
	return b.Build(), nil
}

// registerDetails registers comments, and privileges: those of the objects that
// Volley has are looked up, those of others (types, languages, …) everybody has.
func registerDetails(r *registry) {
	r.scalar("obj_description(oid) text", description(func(d CatalogDetails, r *row) (string, bool) {
		return d.Comment("", uint32(r.i64(0)), 0)
	}), stable, doc("deprecated, use two-argument form instead"))
	named := description(func(d CatalogDetails, r *row) (string, bool) { return d.Comment(r.str(1), uint32(r.i64(0)), 0) })
	r.scalar("obj_description(oid,name) text", named, stable, doc("get description for object id and catalog name"))
	r.scalar("shobj_description(oid,name) text", named, stable, doc("get description for object id and shared catalog name"))
	r.scalar("col_description(oid,int4) text", description(func(d CatalogDetails, r *row) (string, bool) {
		if r.int(1) <= 0 {
			return "", false
		}
		return d.Comment("pg_class", uint32(r.i64(0)), int32(r.int(1)))
	}), stable, doc("get description for table column"))
	r.scalar("pg_describe_object(oid,oid,int4) text", description(func(d CatalogDetails, r *row) (string, bool) {
		return d.Describe(uint32(r.i64(0)), uint32(r.i64(1)), int32(r.int(2)))
	}), stable, doc("get identification of SQL object"))

	yes := always1(types.Bool, true)
	for _, kind := range []string{"table", "any_column", "schema", "function", "database", "sequence", "type", "language", "tablespace", "server", "foreign_data_wrapper"} {
		for _, args := range []string{"text,text", "oid,text", "name,text,text", "name,oid,text", "oid,text,text", "oid,oid,text"} {
			eval := yes
			if grantable[kind] != nil {
				eval = hasPrivilege(kind, strings.Count(args, ",")-1)
			}
			r.scalar("has_"+kind+"_privilege("+args+") bool", eval, stable)
		}
	}
	for _, column := range []string{"text", "int2"} {
		for _, args := range []string{"text", "oid", "name,text", "name,oid", "oid,text", "oid,oid"} {
			r.scalar("has_column_privilege("+args+","+column+",text) bool", hasPrivilege("column", strings.Count(args, ",")), stable)
		}
	}
	for _, args := range []string{"name,text", "oid,text", "name,name,text", "oid,oid,text"} {
		r.scalar("pg_has_role("+args+") bool", yes, stable)
	}
	r.scalar("set_config(text,text,bool) text", func(*Ctx, []*vector.Vector, int) (*vector.Vector, error) {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "set_config is supported only as a query of its own: SELECT set_config(…)")
	}, volatile, doc("SET X as a function"))
	r.scalar(`acldefault("char",oid) text[]`, aclDefault, stable, doc("show default privileges, for use by pg_dump"))
	r.table("pg_options_to_table(text[]) record", optionRows, func(f *Function) {
		f.Columns = []vector.Field{{Name: "option_name", Type: textType}, {Name: "option_value", Type: textType}}
	}, stable)
	// UPDATE is not supported.
	r.scalar("pg_column_is_updatable(regclass,int2,bool) bool", always1(types.Bool, false), stable)
	r.table("_pg_expandarray(anyarray) anyelement", expandArray, func(f *Function) {
		f.Schema = InformationSchema
		f.Columns = []vector.Field{{Name: "x", Type: f.Returns}, {Name: "n", Type: types.T(types.Int4)}}
	})
}

// optionRows splits options, name=value, as the catalogs keep them.
func optionRows(_ *Ctx, args []*vector.Vector) (Generator, error) {
	name, value := vector.NewBuilder(textType, 4), vector.NewBuilder(textType, 4)
	from, to := args[0].ListAt(0)
	for i := from; i < to; i++ {
		k, v, ok := strings.Cut(args[0].Child.StringAt(i), "=")
		name.AppendString(k)
		if ok {
			value.AppendString(v)
		} else {
			value.AppendNull()
		}
	}
	if n := name.Len(); n > 0 {
		return &batches{b: []*vector.Batch{vector.NewBatch([]*vector.Vector{name.Build(), value.Build()}, n)}}, nil
	}
	return noRows{}, nil
}

// InformationSchema is the schema of the few built-ins that are not in pg_catalog.
const InformationSchema = "information_schema"

// expandArray gives the elements of an array and their numbers from 1.
func expandArray(_ *Ctx, args []*vector.Vector) (Generator, error) {
	if anyNull(args) {
		return noRows{}, nil
	}
	from, to := args[0].ListAt(0)
	n := to - from
	if n == 0 {
		return noRows{}, nil
	}
	number := make([]int32, n)
	for i := range number {
		number[i] = int32(i + 1)
	}
	x := vector.Slice(args[0].Child, from, to)
	return &batches{b: []*vector.Batch{vector.NewBatch([]*vector.Vector{x, vector.FromSlice(types.T(types.Int4), number)}, n)}}, nil
}

// Field returns the set-returning function that gives one column of f, which
// has several: (f(x)).name. It is internal, as those of ArrayOp are.
func Field(f *Function, name string) (*Function, bool) { return ByID(f.ID + "." + name) }

func (r *registry) registerFields() {
	for _, f := range r.all {
		if f.Kind != Table || len(f.Columns) < 2 {
			continue
		}
		for i, c := range f.Columns {
			g := *f
			g.ID, g.Returns, g.Columns = f.ID+"."+c.Name, c.Type, []vector.Field{c}
			g.NewTable = func(ctx *Ctx, args []*vector.Vector) (Generator, error) {
				gen, err := f.NewTable(ctx, args)
				if err != nil {
					return nil, err
				}
				return &field{gen, i}, nil
			}
			r.byID[g.ID] = &g
		}
	}
}

// field is one column of a generator's.
type field struct {
	Generator
	column int
}

func (g *field) Next(ctx context.Context) (*vector.Batch, error) {
	b, err := g.Generator.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	return vector.NewBatch([]*vector.Vector{b.Col(g.column)}, b.Rows()), nil
}
