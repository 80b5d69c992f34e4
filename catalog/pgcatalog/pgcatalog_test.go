package pgcatalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// The OIDs of sampleView's objects.
var sample struct {
	table, viewOID    uint32
	score, total, raw uint32
}

// sampleView is a catalog with a table, a view on it, a grouped map function in
// two versions, an aggregate, an inline function and some roles.
func sampleView(t *testing.T) *View {
	t.Helper()
	st, err := catalog.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	err = st.Update(context.Background(), func(tx *catalog.Tx) error {
		if _, err := tx.CreateRole(catalog.Role{Name: "team", ConnLimit: -1}); err != nil {
			return err
		}
		if _, err := tx.CreateRole(catalog.Role{Name: "ann", Login: true, ConnLimit: 5, Verifier: "SCRAM-SHA-256$x",
			MemberOf: []string{"team"}, Settings: map[string]string{"work_mem": "64MB"}, Comment: "an analyst"}); err != nil {
			return err
		}
		tab, err := tx.CreateTable(catalog.Relation{Schema: "public", Name: "games", Owner: "volley", Comment: "all games", Columns: []catalog.Column{
			{Name: "id", Type: types.T(types.Int8), NotNull: true, Comment: "key"},
			{Name: "g1", Type: types.T(types.Float8), Default: "0.5"},
			{Name: "Price", Type: types.NumericOf(10, 2)},
			{Name: "tags", Type: types.ArrayOf(types.Text)},
			{Name: "code", Type: types.Type{ID: types.Varchar, Typmod: 14}},
		}})
		if err != nil {
			return err
		}
		v, err := tx.CreateView(catalog.Relation{Schema: "public", Name: "cheap", Owner: "volley", SQL: "SELECT id FROM games WHERE \"Price\" < 1",
			Columns: []catalog.Column{{Name: "id", Type: types.T(types.Int8)}}, Depends: []uint32{tab.OID}}, false)
		if err != nil {
			return err
		}
		def := catalog.FunctionDef{Schema: "public", Name: "score_udf", Kind: catalog.FuncGroupedMap, Owner: "volley", Language: "go",
			Args:    []catalog.Arg{{Name: "user_id", Type: types.T(types.Int8)}, {Name: "G", Type: types.T(types.Float8)}},
			Columns: []catalog.Column{{Name: "user_id", Type: types.T(types.Int8)}, {Name: "prediction", Type: types.T(types.Float8)}},
			Returns: types.T(types.Record), SetOf: true, Digest: "sha256:9f2c", Symbol: "Score", Source: "score@sha256:9f2c",
			Settings: map[string]string{"volley.memory": "64MB"}, Comment: "predicts"}
		if _, err := tx.CreateFunction(def, false); err != nil {
			return err
		}
		def.Digest = "sha256:aaaa"
		f, err := tx.CreateFunction(def, true)
		if err != nil {
			return err
		}
		agg, err := tx.CreateFunction(catalog.FunctionDef{Schema: "public", Name: "total", Kind: catalog.FuncAggregate, Owner: "volley",
			Language: "go", Args: []catalog.Arg{{Type: types.T(types.Float8)}}, Returns: types.T(types.Float8), Digest: "sha256:9f2c", Symbol: "Total"}, false)
		if err != nil {
			return err
		}
		raw, err := tx.CreateFunction(catalog.FunctionDef{Schema: "public", Name: "twice", Kind: catalog.FuncScalar, Owner: "volley", Language: "go",
			Args: []catalog.Arg{{Name: "x", Type: types.T(types.Int4)}}, Returns: types.T(types.Int4), Strict: true,
			Volatility: uint8(function.Stable), Source: "func Twice(x int32) int32 { return 2 * x }", Digest: "sha256:bbbb", Symbol: "Twice"}, false)
		if err != nil {
			return err
		}
		sample.table, sample.viewOID, sample.score, sample.total, sample.raw = tab.OID, v.OID, f.OID, agg.OID, raw.OID
		for _, oid := range []uint32{f.OID, agg.OID, raw.OID} { // by default everybody may
			if err := tx.RevokePrivilege(oid, "public", "EXECUTE", false); err != nil {
				return err
			}
		}
		if err := tx.GrantPrivilege(catalog.Grant{Object: tab.OID, Role: "team", Privilege: "SELECT"}); err != nil {
			return err
		}
		return tx.PutArtifact(catalog.Artifact{Digest: "sha256:9f2c", Name: "score", Size: 12, Owner: "volley", Manifest: []byte("{}"), Created: time.Unix(1, 0)})
	})
	if err != nil {
		t.Fatal(err)
	}
	return &View{Snapshot: st.Snapshot(), SearchPath: []string{"$user", "public"}, User: "volley", Database: "volley",
		Settings: func() []Setting {
			return []Setting{{Name: "server_version", Value: "15.0", VarType: "string", EnumVals: []string{"a"}}}
		},
		Activity: func() []Activity {
			return []Activity{
				{PID: 7, User: "volley", Database: "volley", State: "active", Query: "select 1", ClientAddr: "127.0.0.1:99", QueryStart: time.Unix(5, 0)},
				{PID: 8, User: "ann", Database: "volley", State: "idle", Query: "select secret"},
			}
		},
		Workers: func() []Worker { return []Worker{{ID: "w1", Address: "h:1", State: "up", Slots: 2}} },
		Artifacts: func() []Artifact {
			return []Artifact{{Digest: "sha256:9f2c", Name: "score", Runtime: "go", Functions: []string{"score()"}, Size: 12, Created: time.UnixMicro(1_000_000).UTC(), Manifest: "{}"}}
		},
	}
}

// read returns the rows of a table's columns as text, columns separated by |.
func read(t *testing.T, v *View, table string, cols ...string) []string {
	t.Helper()
	schema, name, _ := strings.Cut(table, ".")
	def := Find(schema, name)
	if def == nil {
		t.Fatalf("no table %s", table)
	}
	var idx []uint32
	for _, c := range cols {
		i := slices.IndexFunc(def.Columns, func(f vector.Field) bool { return f.Name == c })
		if i < 0 {
			t.Fatalf("%s has no column %s", table, c)
		}
		idx = append(idx, uint32(i))
	}
	batches, err := v.Scan(table, idx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range batches {
		var flat []*vector.Vector
		for _, c := range b.Cols() {
			flat = append(flat, c.Flatten())
		}
		for i := range b.Rows() {
			var parts []string
			for _, c := range flat {
				parts = append(parts, show(c, i))
			}
			out = append(out, strings.Join(parts, "|"))
		}
	}
	return out
}

func show(c *vector.Vector, i int) string {
	if c.IsNull(i) {
		return "∅"
	}
	switch c.Type.Phys() {
	case types.PhysBytes:
		return string(c.BytesAt(i))
	case types.PhysBool:
		return fmt.Sprint(vector.At[bool](c, i))
	case types.PhysInt16:
		return fmt.Sprint(vector.At[int16](c, i))
	case types.PhysInt32:
		return fmt.Sprint(vector.At[int32](c, i))
	case types.PhysInt64:
		return fmt.Sprint(vector.At[int64](c, i))
	case types.PhysFloat32:
		return fmt.Sprint(vector.At[float32](c, i))
	case types.PhysFloat64:
		return fmt.Sprint(vector.At[float64](c, i))
	case types.PhysInterval:
		return fmt.Sprint(vector.At[types.IntervalValue](c, i))
	case types.PhysList:
		var es []string
		from, to := c.ListAt(i)
		for e := from; e < to; e++ {
			es = append(es, show(c.Child.Flatten(), e))
		}
		return "{" + strings.Join(es, ",") + "}"
	}
	return "?"
}

// expand replaces the names of sample's OIDs in a wanted row.
func expand(s string) string {
	return strings.NewReplacer("$games", fmt.Sprint(sample.table), "$cheap", fmt.Sprint(sample.viewOID), "$score", fmt.Sprint(sample.score),
		"$total", fmt.Sprint(sample.total), "$twice", fmt.Sprint(sample.raw)).Replace(s)
}

func TestRows(t *testing.T) {
	v := sampleView(t)
	for _, c := range []struct {
		table, cols string
		want        []string // rows that must be among the table's
	}{
		{"pg_catalog.pg_namespace", "oid nspname nspowner", []string{"11|pg_catalog|10", "2200|public|10", "13000|information_schema|10", "15000|volley|10"}},
		{"pg_catalog.pg_class", "oid relname relnamespace relkind relnatts relacl", []string{
			"$games|games|2200|r|5|{volley=arwdDxt/volley,team=r/volley}", "$cheap|cheap|2200|v|1|∅", "1259|pg_class|11|r|33|{volley=arwdDxt/volley,=r/volley}",
			"15001|workers|15000|v|9|{volley=arwdDxt/volley,=r/volley}"}},
		{"pg_catalog.pg_attribute", "attrelid attname atttypid attnum atttypmod attnotnull atthasdef attlen attndims attidentity", []string{
			"$games|id|20|1|-1|true|false|8|0|", "$games|g1|701|2|-1|false|true|8|0|", "$games|Price|1700|3|655366|false|false|-1|0|",
			"$games|tags|1009|4|-1|false|false|-1|1|", "$games|code|1043|5|14|false|false|-1|0|", "1259|oid|26|1|-1|true|false|4|0|", "1259|relacl|1009|31|-1|false|false|-1|1|"}},
		{"pg_catalog.pg_attrdef", "adrelid adnum adbin", []string{"$games|2|0.5"}},
		{"pg_catalog.pg_tables", "schemaname tablename tableowner hasindexes", []string{"public|games|volley|false", "pg_catalog|pg_class|volley|false"}},
		{"pg_catalog.pg_views", "schemaname viewname definition", []string{"public|cheap| SELECT id FROM games WHERE \"Price\" < 1;", "pg_catalog|pg_roles|∅"}},
		{"pg_catalog.pg_rewrite", "rulename ev_class", []string{"_RETURN|$cheap"}},
		{"pg_catalog.pg_depend", "classid objid refclassid refobjid deptype", []string{"2618|$cheap|1259|$games|n", "1259|$games|2615|2200|n", "1255|$score|2612|15100|n"}},
		{"pg_catalog.pg_description", "objoid classoid objsubid description", []string{"$games|1259|0|all games", "$games|1259|1|key", "$score|1255|0|predicts", "12|2612|0|built-in functions"}},
		{"pg_catalog.pg_shdescription", "classoid description", []string{"1260|an analyst"}},
		{"pg_catalog.pg_proc", "oid proname prokind proretset prorettype proargtypes proallargtypes proargmodes proargnames prosrc probin provolatile proconfig", []string{
			"$score|score_udf|f|true|2249|{20,701}|{20,701,20,701}|{i,i,t,t}|{user_id,G,user_id,prediction}|Score|sha256:aaaa|i|{volley.memory=64MB}",
			"$total|total|a|false|701|{701}|∅|∅|∅|Total|sha256:9f2c|i|∅",
			"177|int4pl|f|false|23|{23,23}|∅|∅|∅|int4pl|∅|i|∅",
			"3058|concat|f|false|25|{2276}|∅|∅|∅|concat|∅|s|∅",
			"2406|int4recv|f|false|23|{2281}|∅|∅|∅|int4recv|∅|i|∅"}},
		{"pg_catalog.pg_proc", "proname proretset proallargtypes proargmodes proargnames", []string{"pg_get_keywords|true|{25,18,25}|{o,o,o}|{word,catcode,catdesc}"}},
		{"pg_catalog.pg_proc", "proname prokind", []string{"row_number|w", "sum|a"}},
		{"pg_catalog.pg_aggregate", "aggfnoid aggkind", []string{"$total|n", "2803|n"}},
		{"pg_catalog.pg_language", "oid lanname lanispl lanpltrusted", []string{"12|internal|false|false", "15100|go|true|false"}},
		{"pg_catalog.pg_type", "oid typname typlen typcategory typelem typarray typreceive", []string{"23|int4|4|N|0|1007|2406", "1009|_text|-1|A|25|0|2400", "2249|record|-1|P|0|2287|2402"}},
		{"pg_catalog.pg_operator", "oid oprname oprleft oprright oprresult oprcom oprnegate", []string{"96|=|23|23|16|96|518", "558|-|0|23|23|0|0"}},
		{"pg_catalog.pg_cast", "castsource casttarget castcontext", []string{"23|20|i", "20|23|a", "16|23|e"}},
		{"pg_catalog.pg_collation", "oid collname collprovider", []string{"100|default|d", "950|C|c"}},
		{"pg_catalog.pg_database", "oid datname encoding datallowconn", []string{"5|volley|6|true"}},
		{"pg_catalog.pg_am", "oid amname amtype", []string{"2|heap|t"}},
		{"pg_catalog.pg_roles", "rolname rolsuper rolcanlogin rolconnlimit rolpassword rolconfig", []string{"volley|true|true|-1|********|∅", "ann|false|true|5|********|{work_mem=64MB}"}},
		{"pg_catalog.pg_authid", "rolname rolpassword", []string{"ann|SCRAM-SHA-256$x", "team|∅"}},
		{"pg_catalog.pg_user", "usename passwd", []string{"ann|********"}},
		{"pg_catalog.pg_db_role_setting", "setdatabase setconfig", []string{"0|{work_mem=64MB}"}},
		{"pg_catalog.pg_settings", "name setting unit enumvals", []string{"server_version|15.0|∅|{a}"}},
		{"pg_catalog.pg_stat_activity", "pid datid usename client_addr client_port state query query_start", []string{"7|5|volley|127.0.0.1|99|active|select 1|5000000"}},
		{"pg_catalog.pg_timezone_names", "name abbrev utc_offset is_dst", []string{"UTC|UTC|{0 0 0}|false", "Asia/Tokyo|JST|{0 0 32400000000}|false"}},
		{"pg_catalog.pg_stat_user_tables", "relid relname n_live_tup seq_scan", []string{"$games|games|0|0"}},
		{"information_schema.schemata", "catalog_name schema_name schema_owner", []string{"volley|public|volley", "volley|volley|volley"}},
		{"information_schema.tables", "table_schema table_name table_type is_insertable_into", []string{"public|games|BASE TABLE|YES", "public|cheap|VIEW|NO", "pg_catalog|pg_class|BASE TABLE|NO"}},
		{"information_schema.columns", "table_name column_name ordinal_position column_default is_nullable data_type udt_name numeric_precision numeric_scale character_maximum_length", []string{
			"games|id|1|∅|NO|bigint|int8|64|0|∅", "games|g1|2|0.5|YES|double precision|float8|53|∅|∅", "games|Price|3|∅|YES|numeric|numeric|10|2|∅",
			"games|tags|4|∅|YES|ARRAY|_text|∅|∅|∅", "games|code|5|∅|YES|character varying|varchar|∅|∅|10"}},
		{"information_schema.element_types", "object_name collection_type_identifier data_type", []string{"games|4|text"}},
		{"information_schema.views", "table_name view_definition", []string{"cheap| SELECT id FROM games WHERE \"Price\" < 1;"}},
		{"information_schema.view_table_usage", "view_name table_name", []string{"cheap|games"}},
		{"information_schema.table_constraints", "table_name constraint_name constraint_type", []string{"games|2200_$games_1_not_null|CHECK"}},
		{"information_schema.routines", "specific_name routine_type data_type external_language", []string{"score_udf_$score|FUNCTION|record|GO", "total_$total|∅|double precision|GO"}},
		{"information_schema.parameters", "specific_name ordinal_position parameter_mode parameter_name data_type", []string{"score_udf_$score|1|IN|user_id|bigint", "score_udf_$score|4|OUT|prediction|double precision"}},
		{"information_schema.table_privileges", "grantee table_name privilege_type is_grantable", []string{"team|games|SELECT|NO", "volley|games|INSERT|YES"}},
		{"information_schema.applicable_roles", "grantee role_name", []string{"ann|team"}},
		{"information_schema.character_sets", "character_set_name default_collate_catalog", []string{"UTF8|volley"}},
		{"volley.workers", "id slots memory_bytes", []string{"w1|2|∅"}},
		{"volley.artifacts", "digest name version runtime size owner created last_used manifest", []string{"sha256:9f2c|score|∅|go|12|∅|1000000|∅|{}"}},
		{"volley.functions", "function arguments version digest symbol kind current", []string{
			"score_udf|user_id bigint, \"G\" double precision|1|sha256:9f2c|Score|grouped map|false", "score_udf|user_id bigint, \"G\" double precision|2|sha256:aaaa|Score|grouped map|true"}},
	} {
		got := read(t, v, c.table, strings.Fields(c.cols)...)
		for _, w := range c.want {
			if !slices.Contains(got, expand(w)) {
				first, _, _ := strings.Cut(expand(w), "|")
				near := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.Contains(s, first) })
				t.Errorf("%s (%s)\nno row %s\namong   %s", c.table, c.cols, expand(w), strings.Join(near, "\n        "))
			}
		}
	}
}

// An ordinary user sees neither passwords, nor others' queries, nor objects
// without a privilege in information_schema.
func TestPrivileges(t *testing.T) {
	v := sampleView(t)
	v.User = "ann"
	if got := read(t, v, "pg_catalog.pg_authid", "rolpassword"); slices.Contains(got, "SCRAM-SHA-256$x") {
		t.Error("ann sees verifiers")
	}
	want := []string{"7|<insufficient privilege>|∅", "8|select secret|idle"}
	if got := read(t, v, "pg_catalog.pg_stat_activity", "pid", "query", "state"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	var mine []string
	for _, s := range read(t, v, "information_schema.tables", "table_schema", "table_name") {
		if strings.HasPrefix(s, "public|") {
			mine = append(mine, s)
		}
	}
	if !slices.Equal(mine, []string{"public|games"}) { // through team
		t.Errorf("got %q", mine)
	}
	for _, s := range read(t, v, "information_schema.routines", "routine_schema", "routine_name") {
		if strings.HasPrefix(s, "public|") {
			t.Errorf("ann sees %s", s)
		}
	}
}

func TestLookup(t *testing.T) {
	v := sampleView(t)
	l := v.Lookup()
	for _, c := range []struct{ name, want string }{
		{"games", "$games"}, {"public.GAMES", "$games"}, {`"public" . "games"`, "$games"}, {"volley.public.games", "$games"},
		{"pg_class", "1259"}, {"pg_catalog.pg_class", "1259"}, {"information_schema.tables", "13425"}, {"volley.workers", "15001"},
		{"workers", "42P01"}, {`"Games"`, "42P01"}, {"other.public.games", "0A000"}, {"", "42602"}, {`"x`, "42602"}, {"a b", "42602"}, {"a.b.c.d", "42601"},
	} {
		oid, err := l.RelationOID(c.name)
		got := fmt.Sprint(oid)
		if err != nil {
			got = pgerr.Code(err)
		}
		if got != expand(c.want) {
			t.Errorf("RelationOID(%s) = %s, want %s", c.name, got, expand(c.want))
		}
	}
	if s, n, ok := l.RelationName(sample.viewOID); s != "public" || n != "cheap" || !ok {
		t.Error(s, n, ok)
	}
	if s, n, ok := l.RelationName(1249); s != "pg_catalog" || n != "pg_attribute" || !ok {
		t.Error(s, n, ok)
	}
	if _, _, ok := l.RelationName(1); ok {
		t.Error("relation 1")
	}
	for name, want := range map[string][]uint32{"score_udf": {sample.score}, "public.twice": {sample.raw}, "array_in": {750},
		"pg_catalog.int4pl": {177}, "nothing": nil, "volley.twice": nil} {
		if got, err := l.(function.CatalogDetails).FunctionOIDs(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("FunctionOIDs(%s) = %v, %v", name, got, err)
		}
	}
	for oid, want := range map[uint32]string{sample.score: "public.score_udf", 177: "pg_catalog.int4pl", 2406: "pg_catalog.int4recv"} {
		if s, n, ok := l.FunctionName(oid); s+"."+n != want || !ok {
			t.Error(s, n, ok)
		}
	}
	for oid, want := range map[uint32]string{
		sample.score: `user_id bigint, "G" double precision → TABLE(user_id bigint, prediction double precision)`,
		sample.raw:   `x integer → integer`, 3058: `VARIADIC "any" → text`, 177: `integer, integer → integer`,
		1686: "OUT word text, OUT catcode \"char\", OUT catdesc text → SETOF record", 42: "cstring → integer", 1066: "integer, integer, integer → SETOF integer",
	} {
		if a, r, ok := l.FunctionArgs(oid); a+" → "+r != want || !ok {
			t.Errorf("got %s → %s, want %s", a, r, want)
		}
	}
	for oid, want := range map[uint32]string{
		sample.score: "CREATE OR REPLACE FUNCTION public.score_udf(user_id bigint, \"G\" double precision)\n RETURNS TABLE(user_id bigint, prediction double precision)\n" +
			" LANGUAGE go\n IMMUTABLE\n SET volley.memory TO '64MB'\nAS 'score@sha256:9f2c', 'Score'\n",
		sample.raw: "CREATE OR REPLACE FUNCTION public.twice(x integer)\n RETURNS integer\n LANGUAGE go\n STABLE STRICT\n" +
			"AS $function$func Twice(x int32) int32 { return 2 * x }$function$\n",
		177: "CREATE OR REPLACE FUNCTION pg_catalog.int4pl(integer, integer)\n RETURNS integer\n LANGUAGE internal\n" +
			" IMMUTABLE PARALLEL SAFE STRICT\nAS $function$int4pl$function$\n",
	} {
		if d, ok := l.FunctionDef(oid); d != want || !ok {
			t.Errorf("got\n%swant\n%s", d, want)
		}
	}
	if _, ok := l.FunctionDef(sample.total); ok {
		t.Error("definition of an aggregate")
	}
	if s, ok := l.SchemaName(2200); s != "public" || !ok {
		t.Error(s)
	}
	if s, ok := l.SchemaName(volleySchemaOID); s != "volley" || !ok {
		t.Error(s)
	}
	if o, ok := l.SchemaOID("information_schema"); o != catalog.InfoSchemaOID || !ok {
		t.Error(o)
	}
	if s, ok := l.RoleName(10); s != "volley" || !ok {
		t.Error(s)
	}
	if !l.Visible("public") || !l.Visible("pg_catalog") || l.Visible("information_schema") {
		t.Error("visibility")
	}
	if d, ok := l.ViewDef(sample.viewOID); d != ` SELECT id FROM games WHERE "Price" < 1;` || !ok {
		t.Error(d)
	}
	if _, ok := l.ViewDef(sample.table); ok {
		t.Error("view definition of a table")
	}
	if n, ok := l.RelationSize(sample.table); n != 0 || !ok {
		t.Error(n, ok)
	}
	if got := l.CurrentSchemas(false); !slices.Equal(got, []string{"public"}) {
		t.Error(got)
	}
	if got := l.CurrentSchemas(true); !slices.Equal(got, []string{"pg_catalog", "public"}) {
		t.Error(got)
	}
}

func TestCommentsAndPrivileges(t *testing.T) {
	v := sampleView(t)
	l := v.Lookup().(*lookup)
	ann := v.Snapshot.Role("ann").OID
	for _, c := range []struct {
		class string
		oid   uint32
		sub   int32
		want  string
	}{
		{"pg_class", sample.table, 0, "all games"}, {"pg_class", sample.table, 1, "key"}, {"pg_class", sample.table, 2, ""},
		{"pg_class", sample.table, 99, ""}, {"pg_proc", sample.table, 0, ""}, {"", sample.score, 0, "predicts"},
		{"pg_namespace", catalog.PublicOID, 0, "standard public schema"}, {"pg_authid", ann, 0, "an analyst"}, {"pg_class", 1, 0, ""},
	} {
		if got, ok := l.Comment(c.class, c.oid, c.sub); got != c.want || ok != (c.want != "") {
			t.Errorf("Comment(%s, %d, %d) = %q", c.class, c.oid, c.sub, got)
		}
	}
	for _, c := range []struct {
		role      string
		oid       uint32
		privilege string
		want      bool
	}{
		{"ann", sample.table, "SELECT", true}, {"ann", sample.table, "INSERT", false}, {"volley", sample.table, "INSERT", true},
		{"ann", 1259, "SELECT", true}, {"ann", 1259, "INSERT", false}, {"ann", catalog.PublicOID, "USAGE", true},
		{"ann", volleySchemaOID, "USAGE", true}, {"ann", volleySchemaOID, "CREATE", false}, {"ann", 177, "EXECUTE", true},
		{"ann", sample.score, "EXECUTE", false},
	} {
		if got := l.HasPrivilege(c.role, c.oid, c.privilege); got != c.want {
			t.Errorf("HasPrivilege(%s, %d, %s) = %v", c.role, c.oid, c.privilege, got)
		}
	}
}
