package mainjob

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

// TestBadInput: every mistake gets an error that says where, and what was there
// before is there after.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	e := engine.Start(t, 0)
	s := e.Session()
	defer s.Close()
	file := func(name, text string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	must(t, s, "CREATE TABLE kept AS SELECT g AS id, 'row ' || g AS name FROM generate_series(1, 1000) g")
	must(t, s, "CREATE VIEW seen AS SELECT count(*) AS n, sum(id) AS total FROM kept")
	ref := push(t, e, "score")
	must(t, s, `CREATE FUNCTION score_row(float8, float8, float8, float8, float8, float8, float8, float8, float8, float8)
		RETURNS float8 AS '`+ref+`', 'score_row' LANGUAGE go`)

	good := "a,b\n" + strings.Repeat("1,2\n", 30000)
	late := file("late.csv", good+"oops,2\n")
	for _, c := range []struct {
		name, sql, code string
		parts           []string
		position        bool
	}{
		{"a value that does not fit the type", "INSERT INTO kept SELECT a, 'x' FROM read_csv('" + late + "', columns => 'a bigint, b bigint', header => true)",
			"22P02", []string{"late.csv", "30002", `"a"`, "oops"}, false},
		{"too many fields", "INSERT INTO kept SELECT * FROM read_csv('" + file("many.csv", "id,name\n1,x\n2,y,z\n") + "')",
			"22P04", []string{"many.csv", "3"}, false},
		{"an open quote", "INSERT INTO kept SELECT * FROM read_csv('" + file("quote.csv", "id,name\n1,\"x\n") + "', columns => 'id int, name text', header => true)",
			"22P04", []string{"quote.csv", "2"}, false},
		{"COPY of a bad value", "COPY kept FROM '" + file("copy.csv", "1,x\ny,z\n") + "' (FORMAT csv)",
			"22P02", []string{"line 2", "id", `"y"`}, false},
		{"a missing file", "CREATE TABLE t AS SELECT * FROM read_csv('" + filepath.Join(dir, "none.csv") + "')",
			"58P01", []string{"none.csv"}, true},
		{"a missing file for COPY", "COPY kept FROM '" + filepath.Join(dir, "none.csv") + "' (FORMAT csv)", "58P01", []string{"none.csv"}, false},
		{"an unknown column", "SELECT nam FROM kept", "42703", []string{`"nam"`, "name"}, true},
		{"an unknown table", "SELECT * FROM kepp", "42P01", []string{`"kepp"`, "kept"}, true},
		{"an unknown function", "SELECT score_rov(1)", "42883", []string{"score_rov", "score_row"}, true},
		{"an unknown setting", "SET volley.sede = 1", "42704", []string{"volley.seed"}, false},
		{"wrong argument types of a function", "SELECT score_row(name, 1, 1, 1, 1, 1, 1, 1, 1, 1) FROM kept WHERE false", "42883",
			[]string{"score_row(text", "double precision"}, true},
		{"too few arguments of a function", "SELECT score_row(1)", "42883", []string{"score_row(integer)"}, true},
		{"a function that the artifact lacks", "CREATE FUNCTION f(float8) RETURNS float8 AS '" + ref + "', 'nope' LANGUAGE go", "42883",
			[]string{"nope", "score_row"}, true},
		{"another signature than the artifact's", "CREATE FUNCTION f(text) RETURNS float8 AS '" + ref + "', 'score_row' LANGUAGE go", "42P13",
			[]string{"text"}, true},
		{"an artifact that does not exist", "CREATE FUNCTION f(text) RETURNS float8 AS 'nope@sha256:0000', 'f' LANGUAGE go", "42704", []string{"nope"}, true},
		{"a syntax error", "SELECT * FORM kept", "42601", []string{"FORM"}, true},
		{"a statement that is not supported", "CREATE INDEX i ON kept (id)", "0A000", []string{"INDEX"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Run(context.Background(), c.sql)
			pe := pgerr.From(err)
			if err == nil || pe.Code != c.code {
				t.Fatalf("%s\n%v (%s), want %s", c.sql, err, pgerr.Code(err), c.code)
			}
			all := strings.Join([]string{pe.Message, pe.Detail, pe.Hint, pe.Where}, "\n")
			for _, p := range c.parts {
				if !strings.Contains(all, p) {
					t.Errorf("%s: the error lacks %q:\n%s", c.sql, p, all)
				}
			}
			if c.position && pe.Position == 0 {
				t.Errorf("%s: the error has no position: %s", c.sql, all)
			}
			if r := must(t, s, "SELECT * FROM seen"); strings.Join(r.Rows[0], " ") != "1000 500500" {
				t.Errorf("the table was changed: %v", r.Rows)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(e.Dir, "staging", "*")); err != nil || len(left) > 0 {
		t.Errorf("left in staging: %v %v", left, err)
	}
}

// TestSecondServer: a data directory has one server.
func TestSecondServer(t *testing.T) {
	e := engine.Start(t, 0)
	_, err := coordinator.Open(context.Background(), coordinator.OpenConfig{Dir: e.Dir, RunLocally: true})
	if pgerr.Code(err) != pgerr.ObjectInUse {
		t.Fatalf("a second server: %v", err)
	}
	s := e.Session()
	defer s.Close()
	must(t, s, "CREATE TABLE t AS SELECT 1 AS a")
}

// TestFlippedByte: an artifact that was changed on disk is never run.
func TestFlippedByte(t *testing.T) {
	dir := t.TempDir()
	e := engine.Open(t, dir, 0)
	ref := push(t, e, "normalize")
	s := e.Session()
	must(t, s, "CREATE FUNCTION normalize_udf(s text) RETURNS text AS '"+ref+"', 'normalize' LANGUAGE go")
	s.Close()
	e.Stop()

	flipped := 0
	err := filepath.WalkDir(filepath.Join(dir, "artifacts"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if err != nil || st.Size() < 1<<20 {
			return err // the binary is in the big ones
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		flipped++
		_ = os.Chmod(path, 0o755)
		return os.WriteFile(path, b, 0o755)
	})
	if err != nil || flipped == 0 {
		t.Fatalf("%d files flipped: %v", flipped, err)
	}
	e = engine.Open(t, dir, 0)
	defer e.Stop()
	s = e.Session()
	defer s.Close()
	_, err = s.Run(context.Background(), "SELECT normalize_udf(' A ')")
	if pgerr.Code(err) != "XX001" {
		t.Fatalf("a flipped byte: %v (%s)", err, pgerr.Code(err))
	}
	if r := must(t, s, "SELECT 1"); len(r.Rows) != 1 {
		t.Error("the server does not go on")
	}
	// Uploading it again heals.
	push(t, e, "normalize")
	if r := must(t, s, "SELECT normalize_udf(' A ')"); r.Rows[0][0] != "a" {
		t.Errorf("after a new upload: %v", r.Rows)
	}
}
