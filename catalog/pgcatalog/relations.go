package pgcatalog

import (
	"maps"
	"slices"
	"sync"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/types"
)

// The OIDs of the catalogs that others refer to by classoid.
const (
	procClass     uint32 = 1255
	relationClass uint32 = 1259
	roleClass     uint32 = 1260
	attrdefClass  uint32 = 2604
	languageClass uint32 = 2612
	schemaClass   uint32 = 2615
	rewriteClass  uint32 = 2618
)

// The OIDs of single rows, as in Postgres.
const (
	heapAM         uint32 = 2
	internalLang   uint32 = 12
	defaultCollate uint32 = 100
	cCollate       uint32 = 950
	defaultSpace   uint32 = 1663
)

const (
	pageSize        = 8192 // bytes, for relpages
	maxColumns      = 1600 // of a relation
	expectedSetRows = 1000 // prorows of a set
	encodingUTF8    = 6    // in pg_database.encoding
	unconstrained   = -1   // no modifier, no limit, no target
)

// relRow is a table or view, of the catalog or virtual.
type relRow struct {
	oid, schemaOID, ownerOID uint32
	kind                     byte // 'r' or 'v'
	schema, name, owner      string
	comment                  string
	rows, bytes              int64
	view                     *View             // of one in the catalog, for acl
	db                       string            // the database, in rows of information_schema
	mine                     bool              // likewise: the user belongs to the owner
	rel                      *catalog.Relation // nil of a virtual one
	def                      *Table            // nil of the catalog's
}

func (r *relRow) isView() bool { return r.kind == 'v' }

// acl is made only where it is asked for: it reads all grants.
func (r *relRow) acl() []string {
	if r.view == nil {
		return virtualACL
	}
	return r.view.acl(r.oid, r.owner, tablePrivileges)
}

// natts is the number of columns.
func (r *relRow) natts() int {
	if r.def != nil {
		return len(r.def.Columns)
	}
	return len(r.rel.Columns)
}

// What virtualRelations and virtualAttributes keep.
var (
	virtualOnce  sync.Once
	virtualRels  []relRow
	virtualAttrs []attrRow
)

func loadVirtual() {
	schemas := map[string]uint32{"pg_catalog": catalog.PgCatalogOID, "information_schema": catalog.InfoSchemaOID, "volley": volleySchemaOID}
	for _, t := range Tables() {
		virtualRels = append(virtualRels, relRow{oid: t.OID, schemaOID: schemas[t.Schema], ownerOID: catalog.BootstrapOID, kind: t.kind,
			schema: t.Schema, name: t.Name, owner: catalog.BootstrapRole, def: t})
	}
	virtualAttrs = attributes(virtualRels)
}

// virtualRelations are the rows of the virtual tables.
func virtualRelations() []relRow {
	virtualOnce.Do(loadVirtual)
	return virtualRels
}

// virtualAttributes are the columns of the virtual tables.
func virtualAttributes() []attrRow {
	virtualOnce.Do(loadVirtual)
	return virtualAttrs
}

// relations are the rows of the catalog's tables and views.
func (v *View) relations() []relRow {
	var out []relRow
	for _, r := range v.Snapshot.Relations() {
		out = append(out, v.relation(r))
	}
	return out
}

func (v *View) relation(r *catalog.Relation) relRow {
	return relRow{oid: r.OID, schemaOID: v.schemaOID(r.Schema), ownerOID: v.roleOID(r.Owner), kind: byte(r.Kind),
		schema: r.Schema, name: r.Name, owner: r.Owner, comment: r.Comment, rows: r.Rows, bytes: r.Bytes,
		view: v, rel: r}
}

// only filters rows.
func only[T any](rows []T, keep func(*T) bool) []T {
	out := make([]T, 0, len(rows))
	for i := range rows {
		if keep(&rows[i]) {
			out = append(out, rows[i])
		}
	}
	return out
}

// attrRow is a column of a relation.
type attrRow struct {
	rel     *relRow
	num     int16 // from 1
	name    string
	typ     types.Type
	notNull bool
	def     string // default, "" = none
	comment string
	info    *typeRow
}

// attributes are the columns of relations.
func attributes(rels []relRow) []attrRow {
	n := 0
	for i := range rels {
		n += rels[i].natts()
	}
	out := make([]attrRow, 0, n)
	for i := range rels {
		r := &rels[i]
		if r.def != nil {
			for j, c := range r.def.Columns {
				out = append(out, attrRow{rel: r, num: int16(j + 1), name: c.Name, typ: c.Type,
					notNull: r.def.notNull[j], info: typeByOID(c.Type.OID())})
			}
			continue
		}
		for j, c := range r.rel.Columns {
			out = append(out, attrRow{rel: r, num: int16(j + 1), name: c.Name, typ: c.Type, notNull: c.NotNull,
				def: c.Default, comment: c.Comment, info: typeRowOf(c.Type)})
		}
	}
	return out
}

// defaultOID is the OID in pg_attrdef of a column's default: distinct for
// relations whose OIDs are less than two million apart.
func (a *attrRow) defaultOID() uint32 { return a.rel.oid*maxColumns + uint32(a.num) }

// relationSources are the tables of pg_catalog about schemas and relations.
func relationSources() map[string]source {
	m := map[string]source{
		"pg_catalog.pg_namespace": &table[schemaRow]{rows: (*View).schemas, cols: columns[schemaRow]{
			"oid":      oid(func(r *schemaRow) uint32 { return r.oid }),
			"nspname":  str(func(r *schemaRow) string { return r.name }),
			"nspowner": oid(func(r *schemaRow) uint32 { return r.ownerOID }),
			"nspacl":   strs(func(r *schemaRow) []string { return r.acl }),
		}},
		"pg_catalog.pg_class":     &table[relRow]{fixed: virtualRelations, rows: (*View).relations, cols: classColumns},
		"pg_catalog.pg_attribute": &table[attrRow]{fixed: virtualAttributes, rows: (*View).attributes, cols: attributeColumns},
		"pg_catalog.pg_attrdef": &table[attrRow]{rows: (*View).defaults, cols: columns[attrRow]{
			"oid":     oid((*attrRow).defaultOID),
			"adrelid": oid(func(r *attrRow) uint32 { return r.rel.oid }),
			"adnum":   val(func(r *attrRow) int16 { return r.num }),
			"adbin":   str(func(r *attrRow) string { return r.def }),
		}},
		"pg_catalog.pg_tables": &table[relRow]{
			fixed: func() []relRow { return only(virtualRelations(), (*relRow).isTable) },
			rows:  (*View).userTables,
			cols: columns[relRow]{
				"schemaname":  str(func(r *relRow) string { return r.schema }),
				"tablename":   str(func(r *relRow) string { return r.name }),
				"tableowner":  str(func(r *relRow) string { return r.owner }),
				"hasindexes":  flag[relRow](false),
				"hasrules":    flag[relRow](false),
				"hastriggers": flag[relRow](false),
				"rowsecurity": flag[relRow](false),
			}},
		"pg_catalog.pg_views": &table[relRow]{
			fixed: func() []relRow { return only(virtualRelations(), (*relRow).isView) },
			rows:  (*View).userViews,
			cols: columns[relRow]{
				"schemaname": str(func(r *relRow) string { return r.schema }),
				"viewname":   str(func(r *relRow) string { return r.name }),
				"viewowner":  str(func(r *relRow) string { return r.owner }),
				"definition": strOpt((*relRow).definition),
			}},
		"pg_catalog.pg_rewrite": &table[relRow]{rows: (*View).userViews, cols: columns[relRow]{
			// The rule has the OID of its view: OIDs are unique within a catalog.
			"oid":        oid(func(r *relRow) uint32 { return r.oid }),
			"rulename":   text[relRow]("_RETURN"),
			"ev_class":   oid(func(r *relRow) uint32 { return r.oid }),
			"ev_type":    letter[relRow]('1'),
			"ev_enabled": letter[relRow]('O'),
			"is_instead": flag[relRow](true),
			"ev_action":  str((*relRow).definition),
		}},
	}
	maps.Copy(m, tableStatistics())
	return m
}

func (r *relRow) isTable() bool { return r.kind == 'r' }

// definition is a view's query, with the semicolon of pg_get_viewdef.
func (r *relRow) definition() string {
	if r.rel == nil || !r.isView() {
		return ""
	}
	return viewDefinition(r.rel)
}

func viewDefinition(r *catalog.Relation) string { return " " + r.SQL + ";" }

func (v *View) userTables() []relRow { return only(v.relations(), (*relRow).isTable) }
func (v *View) userViews() []relRow  { return only(v.relations(), (*relRow).isView) }

func (v *View) attributes() []attrRow { return attributes(v.relations()) }

func (v *View) defaults() []attrRow {
	return only(v.attributes(), func(a *attrRow) bool { return a.def != "" })
}

var classColumns = columns[relRow]{
	"oid":            oid(func(r *relRow) uint32 { return r.oid }),
	"relname":        str(func(r *relRow) string { return r.name }),
	"relnamespace":   oid(func(r *relRow) uint32 { return r.schemaOID }),
	"relowner":       oid(func(r *relRow) uint32 { return r.ownerOID }),
	"relam":          oid((*relRow).accessMethod),
	"relpages":       val(func(r *relRow) int32 { return int32((r.bytes + pageSize - 1) / pageSize) }),
	"reltuples":      val(func(r *relRow) float32 { return float32(r.rows) }),
	"relpersistence": letter[relRow]('p'),
	"relkind":        char(func(r *relRow) byte { return r.kind }),
	"relnatts":       val(func(r *relRow) int16 { return int16(r.natts()) }),
	"relhasrules":    val((*relRow).isView),
	"relispopulated": flag[relRow](true),
	"relreplident":   char((*relRow).replicaIdentity),
	"relacl":         strs((*relRow).acl),
}

func (r *relRow) accessMethod() uint32 {
	if r.isView() {
		return 0
	}
	return heapAM
}

func (r *relRow) replicaIdentity() byte {
	if r.isView() || r.def != nil {
		return 'n'
	}
	return 'd'
}

var attributeColumns = columns[attrRow]{
	"attrelid":      oid(func(r *attrRow) uint32 { return r.rel.oid }),
	"attname":       str(func(r *attrRow) string { return r.name }),
	"atttypid":      oid(func(r *attrRow) uint32 { return r.info.oid }),
	"attstattarget": fixed[attrRow](int32(unconstrained)),
	"attlen":        val(func(r *attrRow) int16 { return r.info.size }),
	"attnum":        val(func(r *attrRow) int16 { return r.num }),
	"attndims":      val((*attrRow).dimensions),
	"attcacheoff":   fixed[attrRow](int32(unconstrained)),
	"atttypmod":     val(func(r *attrRow) int32 { return r.typ.Typmod }),
	"attbyval":      val(func(r *attrRow) bool { return r.info.byVal }),
	"attalign":      char(func(r *attrRow) byte { return r.info.align }),
	"attstorage":    char(func(r *attrRow) byte { return r.info.storage }),
	"attnotnull":    val(func(r *attrRow) bool { return r.notNull }),
	"atthasdef":     val(func(r *attrRow) bool { return r.def != "" }),
	"attislocal":    flag[attrRow](true),
	"attcollation":  oid(func(r *attrRow) uint32 { return r.info.collation }),
}

func (r *attrRow) dimensions() int32 {
	if r.typ.ID == types.Array {
		return 1
	}
	return 0
}

// tableStatistics are the pg_stat and pg_statio views of tables: their names
// and rows; what the engine does not count is 0.
func tableStatistics() map[string]source {
	m := map[string]source{}
	base := func() columns[relRow] {
		return columns[relRow]{
			"relid":      oid(func(r *relRow) uint32 { return r.oid }),
			"schemaname": str(func(r *relRow) string { return r.schema }),
			"relname":    str(func(r *relRow) string { return r.name }),
		}
	}
	counted := func(names ...string) columns[relRow] {
		c := base()
		for _, n := range names {
			c[n] = zero[relRow]
		}
		return c
	}
	scans := counted("seq_scan", "seq_tup_read", "n_tup_ins", "n_tup_upd", "n_tup_del", "n_tup_hot_upd", "n_dead_tup",
		"n_mod_since_analyze", "n_ins_since_vacuum", "vacuum_count", "autovacuum_count", "analyze_count", "autoanalyze_count")
	scans["n_live_tup"] = val(func(r *relRow) int64 { return r.rows })
	xact := counted("seq_scan", "seq_tup_read", "n_tup_ins", "n_tup_upd", "n_tup_del", "n_tup_hot_upd")
	io := counted("heap_blks_read", "heap_blks_hit")
	for name, c := range map[string]columns[relRow]{"pg_stat": scans, "pg_stat_xact": xact, "pg_statio": io} {
		for _, which := range []string{"all", "sys", "user"} {
			s := &table[relRow]{cols: c}
			if which != "user" {
				s.fixed = func() []relRow { return only(virtualRelations(), (*relRow).isTable) }
			}
			if which != "sys" {
				s.rows = (*View).userTables
			}
			m["pg_catalog."+name+"_"+which+"_tables"] = s
		}
	}
	return m
}

// dependRow is a row of pg_depend: obj needs ref.
type dependRow struct {
	class, obj       uint32
	sub              int32
	refClass, refObj uint32
	refSub           int32
	kind             byte // 'n' normal, 'a' auto, 'i' internal
}

// depends are the dependencies among users' objects and on their schemas.
func (v *View) depends() []dependRow {
	var out []dependRow
	for _, r := range v.relations() {
		out = append(out, dependRow{class: relationClass, obj: r.oid, refClass: schemaClass, refObj: r.schemaOID, kind: 'n'})
		if r.isView() {
			// As in Postgres, it is the view's rule that uses other objects.
			out = append(out, dependRow{class: rewriteClass, obj: r.oid, refClass: relationClass, refObj: r.oid, kind: 'i'})
			for _, o := range r.rel.Depends {
				class := relationClass
				if v.Snapshot.FunctionByOID(o) != nil {
					class = procClass
				}
				out = append(out, dependRow{class: rewriteClass, obj: r.oid, refClass: class, refObj: o, kind: 'n'})
			}
		}
	}
	for _, a := range v.defaults() {
		out = append(out, dependRow{class: attrdefClass, obj: a.defaultOID(), refClass: relationClass, refObj: a.rel.oid,
			refSub: int32(a.num), kind: 'a'})
	}
	for _, f := range v.functions() {
		out = append(out,
			dependRow{class: procClass, obj: f.oid, refClass: schemaClass, refObj: f.schemaOID, kind: 'n'},
			dependRow{class: procClass, obj: f.oid, refClass: languageClass, refObj: f.lang, kind: 'n'})
	}
	for _, e := range v.Snapshot.Extensions() {
		out = append(out, dependRow{class: extensionClass, obj: e.OID, refClass: schemaClass, refObj: v.schemaOID(e.Schema), kind: 'n'})
		for _, m := range e.Members {
			out = append(out, dependRow{class: procClass, obj: m, refClass: extensionClass, refObj: e.OID, kind: 'e'})
		}
	}
	return out
}

// commentRow is a row of pg_description or pg_shdescription.
type commentRow struct {
	obj, class uint32
	sub        int32
	text       string
}

// comments are those on users' objects and on schemas.
func (v *View) comments() []commentRow {
	var out []commentRow
	for _, s := range v.schemas() {
		out = append(out, commentRow{s.oid, schemaClass, 0, s.comment})
	}
	rels := v.relations()
	for _, r := range rels {
		out = append(out, commentRow{r.oid, relationClass, 0, r.comment})
	}
	for _, a := range attributes(rels) {
		out = append(out, commentRow{a.rel.oid, relationClass, int32(a.num), a.comment})
	}
	for _, f := range v.functions() {
		out = append(out, commentRow{f.oid, procClass, 0, f.comment})
	}
	for _, e := range v.Snapshot.Extensions() {
		out = append(out, commentRow{e.OID, extensionClass, 0, e.Comment})
	}
	for _, l := range v.languages() {
		out = append(out, commentRow{l.oid, languageClass, 0, l.description})
	}
	return slices.DeleteFunc(out, func(c commentRow) bool { return c.text == "" })
}
