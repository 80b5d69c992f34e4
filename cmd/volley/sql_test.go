package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sample = `SELECT * FROM (VALUES
  (1, 'plain', 1.50, true, NULL::text),
  (2, E'two\nlines, "quoted"', -20.25, false, ''),
  (-30, 'größer 日本', NULL, NULL, '{"a": 1}')) v(id, text, amount, flag, extra)`

func TestFormats(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--format", "table"}, ` id  |      text       | amount | flag |  extra
-----+-----------------+--------+------+----------
   1 | plain           |   1.50 | t    | NULL
   2 | two            +| -20.25 | f    |
     | lines, "quoted" |        |      |
 -30 | größer 日本     |   NULL | NULL | {"a": 1}
(3 rows)

`},
		{[]string{"-x"}, `-[ RECORD 1 ]-----
id     | 1
text   | plain
amount | 1.50
flag   | t
extra  | NULL
-[ RECORD 2 ]-----
id     | 2
text   | two
       | lines, "quoted"
amount | -20.25
flag   | f
extra  |
-[ RECORD 3 ]-----
id     | -30
text   | größer 日本
amount | NULL
flag   | NULL
extra  | {"a": 1}
(3 rows)

`},
		{[]string{"--format", "csv"}, `id,text,amount,flag,extra
1,plain,1.50,t,
2,"two
lines, ""quoted""",-20.25,f,""
-30,größer 日本,,,"{""a"": 1}"
`},
		{[]string{"--format", "json"}, `[{"id": 1, "text": "plain", "amount": 1.50, "flag": true, "extra": null},
 {"id": 2, "text": "two\nlines, \"quoted\"", "amount": -20.25, "flag": false, "extra": ""},
 {"id": -30, "text": "größer 日本", "amount": null, "flag": null, "extra": "{\"a\": 1}"}]
`},
	} {
		if got := must(t, append([]string{"sql", "--data", dir, "-c", sample}, c.args...)...); got != c.want {
			t.Errorf("%v: got\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
	if got := must(t, "sql", "--data", dir, "--format", "json", "-c", "SELECT 'NaN'::float8 AS n, 1e300::float8 AS big, 123456789012345678901234567890::numeric AS long WHERE true"); got != `[{"n": "NaN", "big": 1e+300, "long": 123456789012345678901234567890}]`+"\n" {
		t.Errorf("numbers in JSON: %s", got)
	}
	if got := must(t, "sql", "--data", dir, "--format", "json", "-c", "SELECT 1 AS a WHERE false", "-c", "CREATE SCHEMA s"); got != "[]\n" {
		t.Errorf("no rows in JSON: %q", got)
	}
	if got := must(t, "sql", "--data", dir, "-c", "SELECT 1 AS a WHERE false; CREATE SCHEMA s2"); got != " a\n---\n(0 rows)\n\nCREATE SCHEMA\n" {
		t.Errorf("no rows in a table: %q", got)
	}
}

// Errors show the place, stop the script and make the exit status 1.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	out, errs, code := volley("", "sql", "--data", dir, "-c", "CREATE TABLE t (amount int); SELECT 1,\n  amont\nFROM t; SELECT 2", "-c", "SELECT 3")
	want := `ERROR:  column "amont" does not exist
LINE 2:   amont
          ^
HINT:  Perhaps you meant to reference the column "t.amount".
`
	if code != 1 || errs != want || out != "CREATE TABLE\n" {
		t.Errorf("exit %d, got\n%s%s", code, out, errs)
	}
	script := filepath.Join(t.TempDir(), "s.sql")
	if err := os.WriteFile(script, []byte("-- a comment\nSELECT 1 AS a;\n\nSELECT oops;\nSELECT 2;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code = volley("", "sql", "--data", dir, "--format", "csv", "-f", script)
	if code != 1 || out != "a\n1\n" || !strings.HasPrefix(errs, script+`:4: ERROR:  column "oops" does not exist`) {
		t.Errorf("exit %d, got\n%s%s", code, out, errs)
	}
	if _, errs, code := volley("", "sql", "--data", dir, "-f", "/nonexistent.sql"); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("exit %d, got %s", code, errs)
	}
}

// COPY moves data through the shell: inline in scripts, from standard input with
// -c, and by \copy from files of the client.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	script := "CREATE TABLE t (a int, b text);\nCOPY t FROM STDIN (FORMAT csv);\n1,one\n2,\"t;w;o\"\n\\.\nSELECT count(*) AS n FROM t;\n"
	out, errs, code := volley(script, "sql", "--data", dir, "--format", "csv")
	if code != 0 || out != "n\n2\n" {
		t.Fatalf("exit %d, got %q %s", code, out, errs)
	}
	if out, errs, code = volley("3,three\n", "sql", "--data", dir, "-c", "COPY t FROM STDIN (FORMAT csv)"); code != 0 || out != "COPY 1\n" {
		t.Fatalf("exit %d, got %q %s", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "it's.csv")
	file2 := filepath.Join(t.TempDir(), "out.csv")
	if err := os.WriteFile(file2, []byte("a,b\n4,four\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "sql", "--data", dir, "-c", `\copy t from '`+file2+`' (format csv, header)`); out != "COPY 1\n" {
		t.Errorf(`\copy from: %q`, out)
	}
	must(t, "sql", "--data", dir, "-c", `\copy (SELECT a, b FROM t ORDER BY a) to `+file+` (format csv, header)`)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "a,b\n1,one\n2,t;w;o\n3,three\n4,four\n"; string(data) != want {
		t.Errorf(`\copy to wrote %q`, data)
	}
	if out := must(t, "sql", "--data", dir, "-c", "COPY (SELECT a FROM t WHERE a < 3 ORDER BY a) TO STDOUT"); out != "1\n2\n" {
		t.Errorf("COPY TO STDOUT: %q", out)
	}
}

// The lists come from the catalog.
func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	must(t, "sql", "--data", dir, "-c", `CREATE SCHEMA s; CREATE TABLE games (id bigint NOT NULL, "Name" varchar(10)); CREATE VIEW names AS SELECT "Name" FROM games; CREATE TABLE s.games (x int)`)
	out := must(t, "sql", "--data", dir, "-c", `\d`, "-c", `\dt g*`, "-c", `\d games`, "-c", `\d s.games`, "-c", `\dn`, "-c", `\df`, "-c", `\da`, "-c", `\l`)
	want := `List of relations
 Schema | Name  | Type  | Owner
--------+-------+-------+--------
 public | games | table | volley
 public | names | view  | volley
(2 rows)

List of tables
 Schema | Name  | Type  | Owner
--------+-------+-------+--------
 public | games | table | volley
(1 row)

Table "public.games"
 Column |         Type          | Nullable
--------+-----------------------+----------
 id     | bigint                | not null
 Name   | character varying(10) |
(2 rows)

Table "s.games"
 Column |  Type   | Nullable
--------+---------+----------
 x      | integer |
(1 row)

List of schemas
  Name  | Owner
--------+--------
 public | volley
 s      | volley
 volley | volley
(3 rows)

List of functions
 Schema | Name | Result | Arguments | Kind
--------+------+--------+-----------+------
(0 rows)

List of aggregates
 Schema | Name | Result | Arguments | Kind
--------+------+--------+-----------+------
(0 rows)

List of databases
  Name  | Owner
--------+--------
 volley | volley
(1 row)

`
	if out != want {
		t.Errorf("got\n%s", out)
	}
	if out := must(t, "sql", "--data", dir, "-c", `\d names`); !strings.Contains(out, "View definition:\n") || !strings.Contains(out, `"Name"`) {
		t.Errorf("view: %s", out)
	}
	if out := must(t, "sql", "--data", dir, "-c", `\df upper`, "-c", `\da sum`); !strings.Contains(out, "upper") || !strings.Contains(out, "aggregate") {
		t.Errorf("functions: %s", out)
	}
	if _, errs, code := volley("", "sql", "--data", dir, "-c", `\d nothing`); code != 1 || errs != "Did not find any relation named \"nothing\".\n" {
		t.Errorf("exit %d, %s", code, errs)
	}
	if _, errs, code := volley("", "sql", "--data", dir, "-c", `\frob`); code != 1 || !strings.Contains(errs, `unknown command \frob`) {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestMeta(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "inner.sql")
	if err := os.WriteFile(inner, []byte("SELECT 'from the file' AS x;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := volley("\\x\nSELECT 1 AS a;\n\\x off\n\\i "+inner+"\n\\timing\nSELECT 2 AS b;\n\\q\nSELECT 3;\n", "sql", "--data", filepath.Join(dir, "data"))
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"Expanded display is on.\n-[ RECORD 1 ]", "a | 1\n", "Expanded display is off.\n       x\n", "Timing is on.\n", "Time: "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "3") && strings.Contains(out, "?column?") {
		t.Errorf("\\q did not leave:\n%s", out)
	}
}

func TestAcceptable(t *testing.T) {
	for text, want := range map[string]bool{
		"":                              true,
		"select 1":                      false,
		"select 1;":                     true,
		"select ';":                     false,
		"select 1; -- done":             true,
		"select 1; select":              false,
		`\d`:                            true,
		"select 1\n\\d":                 false,
		"select 1;\n\\d":                true,
		"select 1;\n\\d\nselect 2":      false,
		"create function f() as $$;$$;": true,
		"create function f() as $$;":    false,
	} {
		if got := acceptable(text); got != want {
			t.Errorf("acceptable(%q) = %v", text, got)
		}
	}
}

func TestCaret(t *testing.T) {
	long := "SELECT " + strings.Repeat("x, ", 60) + "bad FROM t"
	for _, c := range []struct {
		sql  string
		pos  int
		want string
	}{
		{"SELECT x", 8, "LINE 1: SELECT x\n               ^\n"},
		{"SELECT 1,\n\tx\nFROM t", 12, "LINE 2:  x\n         ^\n"},
		{"SELECT '日本', x", 14, "LINE 1: SELECT '日本', x\n                       ^\n"},
		{"SELECT", 7, "LINE 1: SELECT\n              ^\n"},
		{"SELECT", 9, ""},
	} {
		if got := caret(c.sql, c.pos); got != c.want {
			t.Errorf("caret(%q, %d) =\n%swant\n%s", c.sql, c.pos, got, c.want)
		}
	}
	lines := strings.Split(caret(long, strings.Index(long, "bad")+1), "\n")
	if at := strings.Index(lines[1], "^"); !strings.HasPrefix(lines[0][at:], "bad") || len(lines[0]) > 100 {
		t.Errorf("a long line: %q", lines)
	}
}

func TestSplitPattern(t *testing.T) {
	for p, want := range map[string][2]string{
		"Games":     {"", "games"},
		"g*_?":      {"", `g%\__`},
		"s.t*":      {"s", "t%"},
		`"A.b*".x`:  {"A.b*", "x"},
		`"Nice_%".`: {`Nice\_\%`, ""},
	} {
		if s, n := splitPattern(p); s != want[0] || n != want[1] {
			t.Errorf("splitPattern(%q) = %q, %q", p, s, n)
		}
	}
}

func TestSplitCopy(t *testing.T) {
	for arg, want := range map[string][]string{
		"t from 'a b.csv' (format csv)":                 {"t", "from", "a b.csv", "(format csv)"},
		"t (a, b) FROM x.csv csv header":                {"t (a, b)", "from", "x.csv", "csv header"},
		"(select a from b where c = ' to ') to out.csv": {"(select a from b where c = ' to ')", "to", "out.csv", ""},
		"t to stdout":  {"t", "to", "stdout", ""},
		"t":            nil,
		"from x":       nil,
		"t from":       nil,
		"t from 'open": nil,
	} {
		what, to, file, options, err := splitCopy(arg)
		got := []string{what, map[bool]string{true: "to", false: "from"}[to], file, options}
		if (err != nil) != (want == nil) || err == nil && !slices.Equal(got, want) {
			t.Errorf("splitCopy(%q) = %q, %v", arg, got, err)
		}
	}
}
