package function

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fakeCatalog has table games in public, table hidden in a schema that is not
// in the search path, and function f.
type fakeCatalog struct{}

func (fakeCatalog) RelationName(oid uint32) (schema, name string, ok bool) {
	switch oid {
	case 16384:
		return "public", "games", true
	case 16385:
		return "other", "hidden", true
	}
	return "", "", false
}

func (fakeCatalog) RelationOID(name string) (uint32, error) {
	switch name {
	case "games":
		return 16384, nil
	case "other.hidden":
		return 16385, nil
	}
	return 0, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", name)
}

func (fakeCatalog) FunctionName(oid uint32) (schema, name string, ok bool) {
	return "public", "f", oid == 16390
}

func (fakeCatalog) FunctionArgs(oid uint32) (args, result string, ok bool) {
	if oid != 16390 {
		return "", "", false
	}
	return "x integer", "double precision", true
}

func (fakeCatalog) FunctionDef(oid uint32) (string, bool) { return "CREATE FUNCTION f", oid == 16390 }
func (fakeCatalog) SchemaName(oid uint32) (string, bool)  { return "public", oid == 2200 }
func (fakeCatalog) SchemaOID(name string) (uint32, bool)  { return 2200, name == "public" }
func (fakeCatalog) RoleName(oid uint32) (string, bool)    { return "volley", oid == 10 }
func (fakeCatalog) Visible(schema string) bool            { return schema != "other" }
func (fakeCatalog) ViewDef(oid uint32) (string, bool)     { return " SELECT 1;", oid == 16384 }
func (fakeCatalog) RelationSize(uint32) (int64, bool)     { return 4096, true }
func (fakeCatalog) CurrentSchemas(implicit bool) []string {
	if implicit {
		return []string{"pg_catalog", "public"}
	}
	return []string{"public"}
}

func sessionCtx(t testing.TB) *Ctx {
	c := testCtx(t)
	c.Catalog = fakeCatalog{}
	c.Setting = func(name string) (string, bool) {
		s, ok := map[string]string{
			"server_version": "15.0 (Volley 0.1.0)", "volley.backend_pid": "77", "volley.start_time": "2026-03-01 10:00:00+00",
		}[name]
		return s, ok
	}
	return c
}

func TestSession(t *testing.T) {
	c := sessionCtx(t)
	eachCase(t, "testdata/own.tsv", func(fields []string, want string) {
		if got := evalCase(t, c, fields[0], fields[1:]); got != want {
			t.Errorf("%s: got %s, want %s", strings.Join(fields, " "), got, want)
		}
	})
}

func TestRegText(t *testing.T) {
	c := sessionCtx(t)
	for _, tc := range []struct {
		id   types.ID
		oid  uint32
		want string
	}{
		{types.Regclass, 16384, "games"}, {types.Regclass, 16385, "other.hidden"}, {types.Regclass, 5, "5"}, {types.Regclass, 0, "-"},
		{types.Regtype, 23, "integer"}, {types.Regtype, 99999, "99999"}, {types.Regproc, 16390, "f"}, {types.Regproc, 1299, "now"},
		{types.Regprocedure, 16390, "f(x integer)"}, {types.Regprocedure, 1397, "abs(integer)"}, {types.Regnamespace, 2200, "public"},
	} {
		if got := RegText(c, types.T(tc.id), tc.oid); got != tc.want {
			t.Errorf("%s %d: got %s, want %s", types.T(tc.id), tc.oid, got, tc.want)
		}
	}
	v := vector.FromStrings(types.T(types.Unknown), []string{"games"})
	if out, err := Cast(c, v, types.T(types.Regclass), false); err != nil || vector.At[int64](out, 0) != 16384 {
		t.Errorf("'games'::regclass: %v", err)
	}
	if _, err := Cast(c, vector.FromStrings(types.T(types.Text), []string{"x"}), types.T(types.Regclass), false); pgerr.Code(err) != pgerr.UndefinedTable {
		t.Errorf("'x'::regclass: %v", err)
	}
	if _, err := Cast(&Ctx{}, v, types.T(types.Regclass), false); pgerr.Code(err) != pgerr.FeatureNotSupported {
		t.Errorf("without a catalog: %v", err)
	}
}

func TestKeywords(t *testing.T) {
	g, err := Lookup("pg_get_keywords")[0].NewTable(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := g.Next(t.Context())
	if err != nil || b.NumCols() != 3 || b.Rows() < 400 {
		t.Fatalf("keywords: %v", err)
	}
	if end, err := g.Next(t.Context()); end != nil || err != nil {
		t.Error("keywords do not end")
	}
}
