package function

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// serverVersion is what version() says where the session has no setting
// server_version.
const serverVersion = "15.0 (Volley)"

// session makes a function without arguments that gives one string.
func session(t types.ID, f func(c *Ctx) (s string, ok bool)) EvalFunc {
	return func(c *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		if c == nil {
			c = &Ctx{}
		}
		s, ok := f(c)
		if !ok {
			return vector.NewNull(types.T(t), n), nil
		}
		return vector.NewConst(vector.FromStrings(types.T(t), []string{s}), n), nil
	}
}

func (c *Ctx) setting(name string) (string, bool) {
	if c == nil || c.Setting == nil {
		return "", false
	}
	return c.Setting(name)
}

func currentSetting(dst []byte, r *row) ([]byte, bool, error) {
	s, ok := r.c.setting(r.str(0))
	if !ok && !(len(r.args) > 1 && r.bool(1)) {
		return nil, false, pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", r.str(0))
	}
	return append(dst, s...), ok, nil
}

// lookup makes a function of an OID that asks the catalog for a string.
func lookup(t types.ID, f func(cat CatalogLookup, r *row, oid uint32) (string, bool)) EvalFunc {
	return toNullableBytes(t, func(dst []byte, r *row) ([]byte, bool, error) {
		cat, err := r.c.catalog("this catalog function")
		if err != nil {
			return nil, false, err
		}
		s, ok := f(cat, r, uint32(r.i64(0)))
		return append(dst, s...), ok, nil
	})
}

// visible makes pg_…_is_visible: NULL where there is no such object.
func visible(schema func(cat CatalogLookup, oid uint32) (string, bool)) EvalFunc {
	return toFixed(types.Bool, func(r *row) (bool, bool, error) {
		cat, err := r.c.catalog("this catalog function")
		if err != nil {
			return false, false, err
		}
		s, ok := schema(cat, uint32(r.i64(0)))
		if !ok {
			return false, false, nil
		}
		return cat.Visible(s), true, nil
	})
}

func allNull(t types.ID) EvalFunc {
	return func(_ *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		return vector.NewNull(types.T(t), n), nil
	}
}

func always1[T vector.Fixed](t types.ID, x T) EvalFunc {
	return constant(t, func(*Ctx) (T, error) { return x, nil })
}

// formatType is format_type(oid, typmod): without a modifier the SQL name, with
// one (also -1) the exact one.
func formatType(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(textType, n)
	for i := range n {
		if args[0].IsNull(i) {
			b.AppendNull()
			continue
		}
		oid := uint32(vector.At[int64](args[0], i))
		if args[1].IsNull(i) {
			b.AppendString(c.formatType(oid, -1, false))
		} else {
			b.AppendString(c.formatType(oid, vector.At[int32](args[1], i), true))
		}
	}
	return b.Build(), nil
}

// FormatType names the type of an OID as Postgres' format_type does; typmod
// counts only if it is given.
func FormatType(oid uint32, typmod int32, given bool) string {
	if oid == 0 {
		return "-"
	}
	t, ok := types.ByOID(oid)
	if !ok {
		if name, ok := pseudoTypeName(oid); ok {
			return name
		}
		return "???"
	}
	if given {
		t.Typmod = typmod
	}
	suffix := ""
	if t.ID == types.Array {
		t, suffix = t.ElemType(), "[]"
	}
	if t.Typmod >= 0 {
		switch t.ID {
		case types.Time, types.Timestamp, types.Timestamptz:
			name, zone, _ := strings.Cut(t.Bare().String(), " ")
			return fmt.Sprintf("%s(%d) %s%s", name, t.Typmod, zone, suffix)
		case types.Interval:
			if p := t.Typmod & 0xffff; p != 0xffff {
				return fmt.Sprintf("interval(%d)%s", p, suffix)
			}
		}
	} else if given && t.ID == types.Bpchar {
		return "bpchar" + suffix
	}
	return t.String() + suffix
}

// pgSizePretty writes bytes with a unit, rounding half away from zero.
func pgSizePretty(n int64) string {
	neg, size := n < 0, magnitude(n)
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	// Up to 10 kB stay bytes; above, one bit more than the unit is kept for rounding.
	u, shifted := 0, size
	if size >= 10*1024 {
		shifted >>= 9
		u = 1
		for shifted >= 20*1024-1 && u < len(units)-1 {
			shifted >>= 10
			u++
		}
		shifted = (shifted + 1) >> 1
	}
	s := strconv.FormatUint(shifted, 10) + " " + units[u]
	if neg {
		s = "-" + s
	}
	return s
}

// BuiltinArguments lists the arguments of a function as pg_get_function_arguments does.
func BuiltinArguments(f *Function) string {
	var b strings.Builder
	for i, a := range f.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		if f.Variadic && i == len(f.Args)-1 {
			b.WriteString("VARIADIC ")
		}
		if i < len(f.ArgNames) && f.ArgNames[i] != "" {
			b.WriteString(quoteIdent(f.ArgNames[i]) + " ")
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// BuiltinResult is the result of a function as pg_get_function_result writes it.
func BuiltinResult(f *Function) string {
	if f.Kind == Table {
		return "SETOF " + f.Returns.String()
	}
	return f.Returns.String()
}

// functionText asks a built-in, or the catalog for a UDF.
func functionText(builtin func(*Function) (string, bool), udf func(cat CatalogLookup, oid uint32) (string, bool)) EvalFunc {
	return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
		oid := uint32(r.i64(0))
		if f, ok := builtins().byOID(oid); ok {
			s, ok := builtin(f)
			return append(dst, s...), ok, nil
		}
		cat, err := r.c.catalog("this catalog function")
		if err != nil {
			return nil, false, err
		}
		s, ok := udf(cat, oid)
		return append(dst, s...), ok, nil
	})
}

// toReg makes to_regclass and its like: NULL where the cast would fail.
func toReg(t types.ID) EvalFunc {
	return toFixed(t, func(r *row) (int64, bool, error) {
		if s := r.str(0); s != "" && s[0] >= '0' && s[0] <= '9' {
			return 0, false, nil
		}
		oid, err := lookupReg(r.c, r.str(0), types.T(t))
		if err != nil && pgerr.Code(err) == pgerr.FeatureNotSupported {
			return 0, false, err
		}
		return int64(oid), err == nil, nil
	})
}

func relationSize(r *row) (int64, bool, error) {
	cat, err := r.c.catalog("pg_relation_size")
	if err != nil {
		return 0, false, err
	}
	n, ok := cat.RelationSize(uint32(r.i64(0)))
	return n, ok, nil
}

// sleep is pg_sleep: it ends early when the query is cancelled.
func sleep(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	for i := range n {
		if args[0].IsNull(i) {
			continue
		}
		t := time.NewTimer(time.Duration(max(floatAt(args[0], i), 0) * float64(time.Second)))
		if c == nil || c.Context == nil {
			<-t.C
			continue
		}
		select {
		case <-t.C:
		case <-c.Context.Done():
			t.Stop()
			return nil, c.Context.Err()
		}
	}
	return vector.New(types.T(types.Void), n), nil
}

func registerSession(r *registry) {
	r.scalar("version() text", session(types.Text, func(c *Ctx) (string, bool) {
		v, ok := c.setting("server_version")
		if !ok {
			v = serverVersion
		}
		return "PostgreSQL " + v, true
	}), stable, doc("PostgreSQL version string"))
	database := session(types.Name, func(c *Ctx) (string, bool) { return c.Database, true })
	r.scalar("current_database() name", database, stable, doc("name of the current database"))
	r.scalar("current_catalog() name", database, stable)
	user := session(types.Name, func(c *Ctx) (string, bool) { return c.User, true })
	for _, name := range []string{"current_user", "session_user", "user", "current_role", "getpgusername"} {
		r.scalar(name+"() name", user, stable)
	}
	r.scalar("current_schema() name", session(types.Name, func(c *Ctx) (string, bool) {
		if c.Catalog == nil {
			return "", false
		}
		s := c.Catalog.CurrentSchemas(false)
		if len(s) == 0 {
			return "", false
		}
		return s[0], true
	}), stable, doc("current schema name"))
	r.scalar("current_schemas(bool) name[]", func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		cat, err := c.catalog("current_schemas")
		if err != nil {
			return nil, err
		}
		b := vector.NewBuilder(types.ArrayOf(types.Name), n)
		for i := range n {
			for _, s := range cat.CurrentSchemas(vector.At[bool](args[0], i)) {
				b.Elems().AppendString(s)
			}
			b.EndList()
		}
		return b.Build(), nil
	}, stable)
	r.scalar("current_setting(text) text", toNullableBytes(types.Text, currentSetting), stable, doc("SHOW X as a function"))
	r.scalar("current_setting(text,bool) text", toNullableBytes(types.Text, currentSetting), stable)
	r.scalar("pg_backend_pid() int4", constant(types.Int4, func(c *Ctx) (int32, error) {
		s, _ := c.setting("volley.backend_pid")
		if s == "" {
			return 0, nil
		}
		return types.ParseInt4(s)
	}), stable)
	utf8Name := session(types.Name, func(*Ctx) (string, bool) { return "UTF8", true })
	r.scalar("getdatabaseencoding() name", utf8Name, stable)
	r.scalar("pg_client_encoding() name", utf8Name, stable)
	r.scalar("pg_is_in_recovery() bool", always1(types.Bool, false), volatile)
	r.scalar("pg_postmaster_start_time() timestamptz", toFixed(types.Timestamptz, func(r *row) (int64, bool, error) {
		s, ok := r.c.setting("volley.start_time")
		if !ok {
			return 0, false, nil
		}
		ts, err := types.ParseTimestamptz(s, r.c.textOptions())
		return ts, true, err
	}), stable)
	// Every statement is a transaction of its own: its start names it.
	txid := constant(types.Int8, func(c *Ctx) (int64, error) { return c.nowMicros(), nil })
	r.scalar("txid_current() int8", txid, stable)
	r.scalar("pg_my_temp_schema() oid", always1(types.OID, int64(0)), stable)
	r.scalar("pg_is_other_temp_schema(oid) bool", always1(types.Bool, false), stable)
	r.scalar("pg_sleep(float8) void", sleep, volatile)
	r.scalar("pg_advisory_unlock_all() void", func(_ *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		return vector.New(types.T(types.Void), n), nil
	}, volatile)
	r.scalar("pg_typeof(any) regtype", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		return vector.NewConst(vector.FromSlice(types.T(types.Regtype), []int64{int64(args[0].Type.OID())}), n), nil
	}, called, stable, doc("type of the argument"))
}

func registerCatalog(r *registry) {
	registerSession(r)
	r.scalar("pg_get_userbyid(oid) name", lookup(types.Name, func(cat CatalogLookup, _ *row, oid uint32) (string, bool) {
		if s, ok := cat.RoleName(oid); ok {
			return s, true
		}
		return fmt.Sprintf("unknown (OID=%d)", oid), true
	}), stable)
	// The catalogs keep expressions as text.
	expr := text(func(dst []byte, r *row) ([]byte, error) { return append(dst, r.bytes(0)...), nil })
	r.scalar("pg_get_expr(text,oid) text", expr, stable, doc("deparse an encoded expression"))
	r.scalar("pg_get_expr(text,oid,bool) text", expr, stable)
	view := lookup(types.Text, func(cat CatalogLookup, _ *row, oid uint32) (string, bool) { return cat.ViewDef(oid) })
	r.scalar("pg_get_viewdef(oid) text", view, stable)
	r.scalar("pg_get_viewdef(oid,bool) text", view, stable)
	r.scalar("pg_get_viewdef(oid,int4) text", view, stable)
	args := functionText(func(f *Function) (string, bool) { return BuiltinArguments(f), true },
		func(cat CatalogLookup, oid uint32) (string, bool) { a, _, ok := cat.FunctionArgs(oid); return a, ok })
	r.scalar("pg_get_function_arguments(oid) text", args, stable)
	r.scalar("pg_get_function_identity_arguments(oid) text", args, stable)
	r.scalar("pg_get_function_result(oid) text", functionText(func(f *Function) (string, bool) { return BuiltinResult(f), true },
		func(cat CatalogLookup, oid uint32) (string, bool) {
			_, s, ok := cat.FunctionArgs(oid)
			return s, ok && s != ""
		}), stable)
	r.scalar("pg_get_functiondef(oid) text", lookup(types.Text, func(cat CatalogLookup, _ *row, oid uint32) (string, bool) { return cat.FunctionDef(oid) }), stable)
	// There are no indexes, constraints, triggers, rules and partitions to define.
	for _, sig := range []string{
		"pg_get_function_sqlbody(oid)", "pg_get_constraintdef(oid)", "pg_get_constraintdef(oid,bool)",
		"pg_get_indexdef(oid)", "pg_get_indexdef(oid,int4,bool)", "pg_get_partkeydef(oid)", "pg_get_partition_constraintdef(oid)",
		"pg_get_ruledef(oid)", "pg_get_ruledef(oid,bool)", "pg_get_triggerdef(oid)", "pg_get_triggerdef(oid,bool)",
		"pg_get_statisticsobjdef_columns(oid)", "pg_get_serial_sequence(text,text)",
		"pg_tablespace_location(oid)",
	} {
		r.scalar(sig+" text", allNull(types.Text), stable)
	}
	r.scalar("pg_get_replica_identity_index(regclass) regclass", allNull(types.Regclass), stable)
	r.scalar("pg_stat_get_numscans(oid) int8", always1(types.Int8, int64(0)), stable)
	r.scalar("pg_database_size(name) int8", allNull(types.Int8), volatile)
	r.scalar("pg_database_size(oid) int8", allNull(types.Int8), volatile)

	r.scalar("pg_table_is_visible(oid) bool", visible(func(cat CatalogLookup, oid uint32) (string, bool) {
		s, _, ok := cat.RelationName(oid)
		return s, ok
	}), stable)
	r.scalar("pg_function_is_visible(oid) bool", visible(func(cat CatalogLookup, oid uint32) (string, bool) {
		if f, ok := builtins().byOID(oid); ok {
			return f.Schema, true
		}
		s, _, ok := cat.FunctionName(oid)
		return s, ok
	}), stable)
	r.scalar("pg_type_is_visible(oid) bool", toFixed(types.Bool, func(r *row) (bool, bool, error) {
		_, ok := types.ByOID(uint32(r.i64(0)))
		return ok, ok, nil
	}), stable)
	for _, kind := range []string{"operator", "opclass", "opfamily", "collation", "conversion", "ts_parser", "ts_dict", "ts_template", "ts_config", "statistics_obj"} {
		r.scalar("pg_"+kind+"_is_visible(oid) bool", always1(types.Bool, true), stable)
	}
	r.scalar("format_type(oid,int4) text", formatType, called, stable, doc("format a type oid and atttypmod to canonical SQL"))
	r.scalar("pg_encoding_to_char(int4) name", toBytes(types.Name, func(dst []byte, r *row) ([]byte, error) {
		switch r.int(0) {
		case 0:
			return append(dst, "SQL_ASCII"...), nil
		case 6:
			return append(dst, "UTF8"...), nil
		}
		return dst, nil
	}), stable)
	r.scalar("pg_char_to_encoding(name) int4", toInt4(func(r *row) int {
		switch strings.ToUpper(strings.ReplaceAll(r.str(0), "-", "")) {
		case "UTF8", "UNICODE":
			return 6
		case "SQL_ASCII":
			return 0
		}
		return -1
	}), stable)

	for _, name := range []string{"pg_relation_size", "pg_table_size", "pg_total_relation_size"} {
		r.scalar(name+"(regclass) int8", toFixed(types.Int8, relationSize), volatile)
	}
	r.scalar("pg_relation_size(regclass,text) int8", toFixed(types.Int8, relationSize), volatile)
	r.scalar("pg_indexes_size(regclass) int8", always1(types.Int8, int64(0)), volatile)
	r.scalar("pg_size_pretty(int8) text", text(func(dst []byte, r *row) ([]byte, error) { return append(dst, pgSizePretty(r.i64(0))...), nil }))
	r.scalar("pg_size_pretty(numeric) text", text(func(dst []byte, r *row) ([]byte, error) {
		n, err := r.dec(0).Int64()
		return append(dst, pgSizePretty(n)...), err
	}))

	for name, t := range map[string]types.ID{"to_regclass": types.Regclass, "to_regtype": types.Regtype, "to_regproc": types.Regproc,
		"to_regprocedure": types.Regprocedure, "to_regnamespace": types.Regnamespace} {
		r.scalar(name+"(text) "+typeName(types.T(t)), toReg(t), stable)
	}
	r.scalar("pg_relation_is_publishable(regclass) bool", always1(types.Bool, false), stable)
	r.table("pg_partition_ancestors(regclass) regclass", func(*Ctx, []*vector.Vector) (Generator, error) { return noRows{}, nil })
	registerDetails(r)
	r.table("pg_get_keywords() record", func(*Ctx, []*vector.Vector) (Generator, error) { return keywordRows(), nil },
		func(f *Function) {
			f.Columns = []vector.Field{{Name: "word", Type: textType}, {Name: "catcode", Type: types.T(types.Char)}, {Name: "catdesc", Type: textType}}
		})
}

func keywordRows() Generator {
	word, code, desc := vector.NewBuilder(textType, 512), vector.NewBuilder(types.T(types.Char), 512), vector.NewBuilder(textType, 512)
	for _, k := range keywords {
		for _, w := range strings.Fields(k.words) {
			word.AppendString(w)
			code.AppendBytes([]byte{k.code})
			desc.AppendString(k.desc)
		}
	}
	n := word.Len()
	return &batches{b: []*vector.Batch{vector.NewBatch([]*vector.Vector{word.Build(), code.Build(), desc.Build()}, n)}}
}
