package pgcatalog

import (
	"cmp"
	"hash/fnv"
	"sync"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
)

// typeRow is a row of pg_type.
type typeRow struct {
	oid                          uint32
	name                         string
	size                         int16
	byVal                        bool
	kind, category               byte
	preferred                    bool
	elem, array, subscript       uint32
	input, output, receive, send uint32
	modIn, modOut, analyze       uint32
	align, storage               byte
	collation                    uint32
	schema, owner                uint32 // 0 = pg_catalog, the bootstrap role
}

type typeTable struct {
	rows  []typeRow
	byOID map[uint32]*typeRow
}

var typesOnce = sync.OnceValue(func() *typeTable {
	t := &typeTable{byOID: map[uint32]*typeRow{}}
	fields(typeRows, func(x []string) {
		n := numbers(append(append([]string{x[0]}, x[7:17]...), x[19]))
		t.rows = append(t.rows, typeRow{oid: n[0], name: x[1], size: typeSize(x[2]), byVal: x[3] == "t", kind: x[4][0],
			category: x[5][0], preferred: x[6] == "t", elem: n[1], array: n[2], subscript: n[3], input: n[4], output: n[5],
			receive: n[6], send: n[7], modIn: n[8], modOut: n[9], analyze: n[10], align: x[17][0], storage: x[18][0], collation: n[11]})
	})
	for i := range t.rows {
		t.byOID[t.rows[i].oid] = &t.rows[i]
	}
	return t
})

func typeSize(s string) int16 {
	if s[0] == '-' {
		return -int16(number(s[1:]))
	}
	return int16(number(s))
}

// typeByOID returns a type's row; every type that a column can have has one.
func typeByOID(oid uint32) *typeRow {
	if t := typesOnce().byOID[oid]; t != nil {
		return t
	}
	return typesOnce().byOID[types.T(types.Text).OID()]
}

// formatType is format_type without a modifier.
func formatType(oid uint32) string {
	if t, ok := types.ByOID(oid); ok {
		return t.String()
	}
	if t := typesOnce().byOID[oid]; t != nil {
		return t.name
	}
	return "???"
}

// castRow is a row of pg_cast.
type castRow struct {
	oid, source, target, proc uint32
	context, method           byte
}

// casts are Postgres' casts as far as the engine allows them.
func casts() []castRow {
	var out []castRow
	fields(castRows, func(x []string) {
		r := castRow{oid: number(x[0]), source: number(x[1]), target: number(x[2]), proc: number(x[3]), method: x[4][0]}
		from, ok1 := types.ByOID(r.source)
		to, ok2 := types.ByOID(r.target)
		if !ok1 || !ok2 {
			return
		}
		switch {
		case function.CastAllowed(from, to, function.Implicit):
			r.context = 'i'
		case function.CastAllowed(from, to, function.Assignment):
			r.context = 'a'
		case function.CastAllowed(from, to, function.Explicit):
			r.context = 'e'
		default:
			return
		}
		out = append(out, r)
	})
	return out
}

// collationRow is a row of pg_collation.
type collationRow struct {
	oid      uint32
	name     string
	provider byte
	collate  string // "" = NULL
}

func collations() []collationRow {
	return []collationRow{{defaultCollate, "default", 'd', ""}, {cCollate, "C", 'c', "C"}, {cCollate + 1, "POSIX", 'c', "POSIX"}}
}

// typeSources are the tables of pg_catalog about types, operators and casts.
func typeSources() map[string]source {
	return map[string]source{
		"pg_catalog.pg_type": &table[typeRow]{fixed: func() []typeRow { return typesOnce().rows }, rows: (*View).userTypes, cols: columns[typeRow]{
			"oid":            oid(func(r *typeRow) uint32 { return r.oid }),
			"typname":        str(func(r *typeRow) string { return r.name }),
			"typnamespace":   oid(func(r *typeRow) uint32 { return cmp.Or(r.schema, catalog.PgCatalogOID) }),
			"typowner":       oid(func(r *typeRow) uint32 { return cmp.Or(r.owner, catalog.BootstrapOID) }),
			"typlen":         val(func(r *typeRow) int16 { return r.size }),
			"typbyval":       val(func(r *typeRow) bool { return r.byVal }),
			"typtype":        char(func(r *typeRow) byte { return r.kind }),
			"typcategory":    char(func(r *typeRow) byte { return r.category }),
			"typispreferred": val(func(r *typeRow) bool { return r.preferred }),
			"typisdefined":   flag[typeRow](true),
			"typdelim":       letter[typeRow](','),
			"typsubscript":   oid(func(r *typeRow) uint32 { return r.subscript }),
			"typelem":        oid(func(r *typeRow) uint32 { return r.elem }),
			"typarray":       oid(func(r *typeRow) uint32 { return r.array }),
			"typinput":       oid(func(r *typeRow) uint32 { return r.input }),
			"typoutput":      oid(func(r *typeRow) uint32 { return r.output }),
			"typreceive":     oid(func(r *typeRow) uint32 { return r.receive }),
			"typsend":        oid(func(r *typeRow) uint32 { return r.send }),
			"typmodin":       oid(func(r *typeRow) uint32 { return r.modIn }),
			"typmodout":      oid(func(r *typeRow) uint32 { return r.modOut }),
			"typanalyze":     oid(func(r *typeRow) uint32 { return r.analyze }),
			"typalign":       char(func(r *typeRow) byte { return r.align }),
			"typstorage":     char(func(r *typeRow) byte { return r.storage }),
			"typtypmod":      fixed[typeRow](int32(unconstrained)),
			"typcollation":   oid(func(r *typeRow) uint32 { return r.collation }),
		}},
		"pg_catalog.pg_enum": &table[enumRow]{rows: (*View).enumLabels, cols: columns[enumRow]{
			"oid":           oid(func(r *enumRow) uint32 { return r.oid }),
			"enumtypid":     oid(func(r *enumRow) uint32 { return r.typ }),
			"enumsortorder": val(func(r *enumRow) float32 { return r.sort }),
			"enumlabel":     str(func(r *enumRow) string { return r.label }),
		}},
		"pg_catalog.pg_cast": &table[castRow]{fixed: casts, cols: columns[castRow]{
			"oid":         oid(func(r *castRow) uint32 { return r.oid }),
			"castsource":  oid(func(r *castRow) uint32 { return r.source }),
			"casttarget":  oid(func(r *castRow) uint32 { return r.target }),
			"castfunc":    oid(func(r *castRow) uint32 { return r.proc }),
			"castcontext": char(func(r *castRow) byte { return r.context }),
			"castmethod":  char(func(r *castRow) byte { return r.method }),
		}},
		"pg_catalog.pg_collation": &table[collationRow]{fixed: collations, cols: columns[collationRow]{
			"oid":                 oid(func(r *collationRow) uint32 { return r.oid }),
			"collname":            str(func(r *collationRow) string { return r.name }),
			"collnamespace":       fixed[collationRow](int64(catalog.PgCatalogOID)),
			"collowner":           fixed[collationRow](int64(catalog.BootstrapOID)),
			"collprovider":        char(func(r *collationRow) byte { return r.provider }),
			"collisdeterministic": flag[collationRow](true),
			"collencoding":        fixed[collationRow](int32(unconstrained)),
			"collcollate":         strOpt(func(r *collationRow) string { return r.collate }),
			"collctype":           strOpt(func(r *collationRow) string { return r.collate }),
		}},
		"pg_catalog.pg_operator": &table[operatorRow]{fixed: operators, cols: columns[operatorRow]{
			"oid":          oid(func(r *operatorRow) uint32 { return r.oid }),
			"oprname":      str(func(r *operatorRow) string { return r.name }),
			"oprnamespace": fixed[operatorRow](int64(catalog.PgCatalogOID)),
			"oprowner":     fixed[operatorRow](int64(catalog.BootstrapOID)),
			"oprkind":      char(func(r *operatorRow) byte { return r.kind }),
			"oprcanmerge":  val(func(r *operatorRow) bool { return r.merge }),
			"oprcanhash":   val(func(r *operatorRow) bool { return r.hash }),
			"oprleft":      oid(func(r *operatorRow) uint32 { return r.left }),
			"oprright":     oid(func(r *operatorRow) uint32 { return r.right }),
			"oprresult":    oid(func(r *operatorRow) uint32 { return r.result }),
			"oprcom":       oid(func(r *operatorRow) uint32 { return r.commutator }),
			"oprnegate":    oid(func(r *operatorRow) uint32 { return r.negator }),
			"oprcode":      oid(func(r *operatorRow) uint32 { return r.proc }),
		}},
	}
}

// operatorRow is a row of pg_operator.
type operatorRow struct {
	oid                       uint32
	name                      string
	kind                      byte // 'b' binary, 'l' prefix
	merge, hash               bool
	left, right, result       uint32
	commutator, negator, proc uint32
}

type operatorKey struct {
	name        string
	left, right uint32
}

// ownOperatorOID numbers an operator that Postgres does not have: derived from
// its function's ID, so that it stays the same, and above all users' objects.
func ownOperatorOID(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return 2_000_000_000 + h.Sum32()%1_000_000_000
}

// operators are the engine's, with Postgres' OIDs where it has them.
func operators() []operatorRow {
	known := map[operatorKey]operatorRow{}
	fields(operatorRows, func(x []string) {
		n := numbers(append([]string{x[0]}, x[5:]...))
		known[operatorKey{x[1], n[1], n[2]}] = operatorRow{oid: n[0], name: x[1], kind: x[2][0], merge: x[3] == "t", hash: x[4] == "t",
			left: n[1], right: n[2], commutator: n[3], negator: n[4]}
	})
	var out []operatorRow
	have := map[uint32]bool{}
	for _, f := range function.All() {
		if f.Op == "" || len(f.Args) == 0 || len(f.Args) > 2 {
			continue
		}
		k := operatorKey{name: f.Op, right: f.Args[len(f.Args)-1].OID()}
		if len(f.Args) == 2 {
			k.left = f.Args[0].OID()
		}
		r, ok := known[k]
		if !ok {
			r = operatorRow{oid: ownOperatorOID(f.ID), name: f.Op, kind: 'b', left: k.left, right: k.right}
			if k.left == 0 {
				r.kind = 'l'
			}
		}
		if have[r.oid] {
			continue
		}
		r.result, r.proc = f.Returns.OID(), f.OID
		have[r.oid] = true
		out = append(out, r)
	}
	for i := range out {
		if !have[out[i].commutator] {
			out[i].commutator = 0
		}
		if !have[out[i].negator] {
			out[i].negator = 0
		}
	}
	return out
}
