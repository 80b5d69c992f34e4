package pgcatalog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Every table can be scanned with all columns, and its vectors are what the
// definition says.
func TestColumns(t *testing.T) {
	v := sampleView(t)
	if n := len(Tables()); n < 200 {
		t.Errorf("%d tables", n)
	}
	for _, d := range Tables() {
		name := d.Schema + "." + d.Name
		all := make([]uint32, len(d.Columns))
		for i := range all {
			all[i] = uint32(i)
		}
		batches, err := v.Scan(name, all)
		if err != nil {
			t.Fatal(name, err)
		}
		rows := 0
		for _, b := range batches {
			if rows += b.Rows(); b.Rows() == 0 || b.Rows() > 16384 {
				t.Errorf("%s: batch of %d rows", name, b.Rows())
			}
			for i, c := range b.Cols() {
				f := d.Columns[i]
				if c.Type != f.Type || c.Len != b.Rows() {
					t.Errorf("%s.%s: %s of %d rows, want %s of %d", name, f.Name, c.Type, c.Len, f.Type, b.Rows())
				}
				if w := vector.Width(f.Type.Phys()); w > 0 && len(c.Flatten().Raw()) != w*b.Rows() {
					t.Errorf("%s.%s: %d bytes for %d rows of %s", name, f.Name, len(c.Flatten().Raw()), b.Rows(), f.Type)
				}
				if d.notNull[i] && c.NullCount() > 0 {
					t.Errorf("%s.%s is NOT NULL and has NULLs", name, f.Name)
				}
				for flat, r := c.Flatten(), 0; r < b.Rows(); r++ {
					show(flat, r) // panics on offsets out of range
				}
			}
		}
		none, err := v.Scan(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range none {
			rows -= b.Rows()
		}
		if rows != 0 {
			t.Errorf("%s: without columns it has another number of rows", name)
		}
	}
}

// OIDs are unique within a catalog, and every reference has its object.
func TestReferences(t *testing.T) {
	v := sampleView(t)
	oids := map[string]map[string]bool{}
	for _, d := range Tables() {
		if d.Schema != "pg_catalog" || d.kind != 'r' || d.Columns[0].Name != "oid" {
			continue
		}
		set := map[string]bool{"0": true}
		for _, o := range read(t, v, "pg_catalog."+d.Name, "oid") {
			if set[o] {
				t.Errorf("%s has OID %s twice", d.Name, o)
			}
			set[o] = true
		}
		oids[d.Name] = set
	}
	for _, c := range []struct{ table, column, target string }{
		{"pg_class", "relnamespace", "pg_namespace"}, {"pg_class", "relowner", "pg_authid"}, {"pg_class", "relam", "pg_am"},
		{"pg_class", "reltype", "pg_type"}, {"pg_class", "reltablespace", "pg_tablespace"},
		{"pg_namespace", "nspowner", "pg_authid"},
		{"pg_attribute", "attrelid", "pg_class"}, {"pg_attribute", "atttypid", "pg_type"}, {"pg_attribute", "attcollation", "pg_collation"},
		{"pg_attrdef", "adrelid", "pg_class"}, {"pg_rewrite", "ev_class", "pg_class"},
		{"pg_type", "typnamespace", "pg_namespace"}, {"pg_type", "typowner", "pg_authid"}, {"pg_type", "typelem", "pg_type"},
		{"pg_type", "typarray", "pg_type"}, {"pg_type", "typrelid", "pg_class"}, {"pg_type", "typinput", "pg_proc"},
		{"pg_type", "typoutput", "pg_proc"}, {"pg_type", "typreceive", "pg_proc"}, {"pg_type", "typsend", "pg_proc"},
		{"pg_type", "typmodin", "pg_proc"}, {"pg_type", "typmodout", "pg_proc"}, {"pg_type", "typanalyze", "pg_proc"},
		{"pg_type", "typsubscript", "pg_proc"}, {"pg_type", "typcollation", "pg_collation"},
		{"pg_proc", "pronamespace", "pg_namespace"}, {"pg_proc", "proowner", "pg_authid"}, {"pg_proc", "prolang", "pg_language"},
		{"pg_proc", "prorettype", "pg_type"}, {"pg_proc", "provariadic", "pg_type"}, {"pg_proc", "proargtypes", "pg_type"},
		{"pg_proc", "proallargtypes", "pg_type"},
		{"pg_aggregate", "aggfnoid", "pg_proc"}, {"pg_aggregate", "aggtranstype", "pg_type"},
		{"pg_operator", "oprleft", "pg_type"}, {"pg_operator", "oprright", "pg_type"}, {"pg_operator", "oprresult", "pg_type"},
		{"pg_operator", "oprcode", "pg_proc"}, {"pg_operator", "oprcom", "pg_operator"}, {"pg_operator", "oprnegate", "pg_operator"},
		{"pg_cast", "castsource", "pg_type"}, {"pg_cast", "casttarget", "pg_type"}, {"pg_cast", "castfunc", "pg_proc"},
		{"pg_database", "dattablespace", "pg_tablespace"}, {"pg_auth_members", "roleid", "pg_authid"}, {"pg_auth_members", "member", "pg_authid"},
	} {
		for _, row := range read(t, v, "pg_catalog."+c.table, c.column) {
			for _, o := range strings.FieldsFunc(row, func(r rune) bool { return strings.ContainsRune("{},∅", r) }) {
				if !oids[c.target][o] {
					t.Errorf("%s.%s: no %s with OID %s", c.table, c.column, c.target, o)
				}
			}
		}
	}
	// Names by classoid, as clients join pg_description and pg_depend.
	classes := read(t, v, "pg_catalog.pg_class", "oid", "relname")
	for _, row := range append(read(t, v, "pg_catalog.pg_description", "classoid", "objoid"),
		append(read(t, v, "pg_catalog.pg_depend", "classid", "objid"), read(t, v, "pg_catalog.pg_depend", "refclassid", "refobjid")...)...) {
		class, obj, _ := strings.Cut(row, "|")
		i := slices.IndexFunc(classes, func(s string) bool { return strings.HasPrefix(s, class+"|") })
		if i < 0 {
			t.Errorf("no class %s", class)
			continue
		}
		_, name, _ := strings.Cut(classes[i], "|")
		if !oids[name][obj] {
			t.Errorf("no %s with OID %s", name, obj)
		}
	}
}

// Every type of the engine and its array type have a row.
func TestTypes(t *testing.T) {
	types.All(func(u types.Type) {
		if r := typesOnce().byOID[u.OID()]; r == nil || r.array != u.ArrayOID() {
			t.Errorf("%s: no row, or another array type", u)
		} else if r.size != u.Size() {
			t.Errorf("%s: size %d, want %d", u, r.size, u.Size())
		}
		if a := u.ArrayOID(); a != 0 && (typesOnce().byOID[a] == nil || typesOnce().byOID[a].elem != u.OID()) {
			t.Errorf("%s[]: no row, or another element", u)
		}
	})
}

// System columns follow a table's own.
func TestSystemColumns(t *testing.T) {
	v := sampleView(t)
	n := uint32(len(Find("pg_catalog", "pg_class").Columns))
	batches, err := v.Scan("pg_catalog.pg_class", []uint32{0, n, n + 1})
	if err != nil || len(batches) != 2 { // virtual, and the catalog's
		t.Fatal(err, len(batches))
	}
	for _, b := range batches {
		if oid, xmin := show(b.Col(1), b.Rows()-1), show(b.Col(2), 0); oid != "1259" || xmin == "0" {
			t.Errorf("tableoid %s, xmin %s", oid, xmin)
		}
	}
}

func TestScanErrors(t *testing.T) {
	v := sampleView(t)
	if _, err := v.Scan("pg_catalog.nothing", nil); err == nil {
		t.Error("no error for an unknown table")
	}
	if _, err := v.Scan("pg_catalog.pg_class", []uint32{99}); err == nil {
		t.Error("no error for an unknown column")
	}
	if Find("pg_catalog", "nothing") != nil || Find("public", "pg_class") != nil {
		t.Error("found what is not there")
	}
}

// After the first use, the big tables are read in well under 5 ms.
func TestSpeed(t *testing.T) {
	v := sampleView(t)
	for _, name := range []string{"pg_attribute", "pg_proc", "pg_class", "pg_type"} {
		all := make([]uint32, len(Find("pg_catalog", name).Columns))
		for i := range all {
			all[i] = uint32(i)
		}
		best := time.Hour
		for range 5 {
			start := time.Now()
			if _, err := v.Scan("pg_catalog."+name, all); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		if t.Logf("%s: %v", name, best); best > 5*time.Millisecond {
			t.Errorf("%s takes %v", name, best)
		}
	}
}
