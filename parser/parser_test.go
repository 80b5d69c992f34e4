package parser

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	pgparser "github.com/wasilibs/go-pgquery/parser"

	"github.com/volleydb/volley/pgerr"
)

func TestParse(t *testing.T) {
	list, err := Parse(" ;; SELECT 1 ; /* é */ select 2;\n-- end\n;")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, fmt.Sprintf("%d:%s", s.Offset, s.SQL))
	}
	if want := []string{"4:SELECT 1", "15:/* é */ select 2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	three := "select 1; SELECT * FROM é GROUP BY a APPLY f(x) -- r\n; select * FROM t GROUP BY a APPLY f(x) LIMIT 1"
	list, err = Parse(three)
	if err != nil || len(list) != 3 || list[1].SQL != "SELECT * FROM é GROUP BY a APPLY f(x) -- r" ||
		list[2].SQL != "select * FROM t GROUP BY a APPLY f(x) LIMIT 1" || list[2].Offset != strings.LastIndex(three, "select") {
		t.Errorf("three statements: %v, %v", list, err)
	}
	for _, sql := range []string{"", " ", ";", "-- nothing\n", "/* nothing */"} {
		if s, err := ParseOne(sql); s != nil || err != nil {
			t.Errorf("ParseOne(%q) = %v, %v", sql, s, err)
		}
	}
	if _, err := ParseOne("select 1; select 2"); pgerr.Code(err) != "42601" ||
		err.Error() != "cannot insert multiple commands into a prepared statement" {
		t.Errorf("two commands: %v", err)
	}
	s, err := ParseOne("select 1;")
	if err != nil || s.SQL != "select 1" || s.Pos(-1) != 0 || s.Node.GetSelectStmt() == nil {
		t.Errorf("ParseOne: %+v, %v", s, err)
	}
}

func TestQuoted(t *testing.T) {
	s, err := ParseOne(`SELECT "G1", g1, t . /* x */ "Ab", "S".t."c", U&"x" FROM "S" . t, "T" GROUP BY k, "K" APPLY "F"(a)`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	Walk(s.Node, func(n *pg_query.Node) bool {
		flags := func(at int32, parts int) (f string) {
			for i := range parts + 1 {
				f += map[bool]string{false: "0", true: "1"}[s.Quoted(at, i)]
			}
			return f
		}
		if r := n.GetColumnRef(); r != nil {
			var name []string
			for _, f := range r.Fields {
				name = append(name, f.GetString_().GetSval())
			}
			got[strings.Join(name, ".")] = flags(r.Location, len(r.Fields))
		}
		if v := n.GetRangeVar(); v != nil {
			got["table "+v.Relname] = flags(v.Location, 2)
		}
		if c := n.GetFuncCall(); c != nil {
			got["function "+c.Funcname[0].GetString_().Sval] = flags(c.Location, 1)
		}
		return true
	})
	want := map[string]string{"G1": "10", "g1": "00", "t.Ab": "010", "S.t.c": "1010", "x": "10",
		"table t": "100", "table T": "100", "k": "00", "K": "10", "a": "00",
		"function volley_apply": "00", "function F": "10"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if s.Quoted(-1, 0) || s.Quoted(1<<30, 0) {
		t.Error("a location outside the text is quoted")
	}
}

func TestGuards(t *testing.T) {
	r := strings.Repeat
	for _, tt := range []struct{ name, sql, code string }{
		{"too long", "SELECT '" + r("x", maxText) + "'", "54000"},
		{"almost too long", "SELECT '" + r("x", maxText-100) + "'", ""},
		{"NUL", "SELECT 1\x00", "22021"},
		{"not UTF-8", "SELECT 'é\xff'", "22021"},
		{"surrogate", "SELECT '\xed\xa0\x80'", "22021"},
		{"100k (", r("(", 100_000), "54001"},
		{"100k () pairs", "SELECT " + r("(", 100_000) + "1" + r(")", 100_000), "54001"},
		{"100k [", "SELECT ARRAY" + r("[", 100_000), "54001"},
		{"100k CASE", "SELECT " + r("CASE ", 100_000), "54001"},
		{"100k NOT", "SELECT " + r("NOT ", 100_000) + "true", "54001"},
		{"100k minus", "SELECT " + r("- ", 100_000) + "1", "54001"},
		{"100k +1", "SELECT 1" + r("+1", 100_000), "54001"},
		{"5k +1", "SELECT 1" + r("+1", 5_000), "54001"},
		{"100k casts", "SELECT 1" + r("::int", 100_000), "54001"},
		{"chain cut by BETWEEN … AND", "SELECT 1" + r(" BETWEEN 1 AND 2 IS NULL", 10_000), "54001"},
		{"chain cut by names that are keywords", "SELECT a" + r(".and+a", 10_000), "54001"},
		{"chain cut by labels that are keywords", "SELECT 1" + r("+1", 1000) + r("+(SELECT 1 AS case)"+r("+1", 1000), 4), "54001"},
		{"100k UNION", "SELECT 1" + r(" UNION SELECT 1", 100_000), "54001"},
		{"100k JOIN", "SELECT * FROM t" + r(" CROSS JOIN t", 100_000), "54001"},
		{"deep APPLY", "SELECT * FROM " + r("(SELECT * FROM ", 600) + "t" + r(" GROUP BY a APPLY f(x))", 600), "54001"},
		{"APPLY in keys doubles the text", "SELECT * FROM t GROUP BY " + r("(SELECT b FROM t GROUP BY ", 40) + "a" + r(" APPLY f(x))", 40) + " APPLY f(x)", "54000"},

		{"1000 +1", "SELECT 1" + r("+1", 1_000), ""},
		{"10k AND", "SELECT true" + r(" AND a = 1", 10_000), ""},
		{"2k AND OR", "SELECT true" + r(" AND NOT a = -1 OR b BETWEEN 1 AND 2", 2_000), ""},
		{"2k rows", "INSERT INTO t VALUES (1, -1, 'a' || 'b')" + r(", (1, -1, 'a' || 'b')", 2_000), ""},
		{"2k IN", "SELECT a IN (-1" + r(", -1", 2_000) + ")", ""},
		{"2k statements", r("SELECT 1+1;", 2_000), ""},
		{"10k parentheses", "SELECT " + r("(", 10_000) + "1" + r(")", 10_000), "54001"},
		{"10k IN", "SELECT a IN (0" + r(", 1", 10_000) + ")", ""},
		{"1 MB string", "SELECT '" + r("x", 1_000_000) + "'", ""},
		{"1 MB of rows", "INSERT INTO t VALUES (1, 'abcdefgh')" + r(", (1, 'abcdefgh')", 60_000), ""},
		{"2k columns of a table", "CREATE TABLE t (a int" + r(", a int", 2_000) + ")", ""},
		{"2k excluded", "SELECT * EXCLUDE (a" + r(", a", 2_000) + ") REPLACE (a AS b" + r(", a + 1 AS b", 2_000) + ") FROM t", ""},
		{"QUALIFY in QUALIFY", r("SELECT a FROM t QUALIFY a IN (", 100) + "1" + r(")", 100), ""},
		{"products that look like stars", "SELECT 1" + r(", (a) * exclude (b)", 20_000), ""},
		{"samples in parentheses", "SELECT 1 FROM " + r("(", 700) + "a" + r(") b TABLESAMPLE c (1)", 700), "42601"},
		{"1k ASOF", "SELECT 1 FROM t" + r(" ASOF JOIN u USING (a)", 300), ""},
		{"2k columns", "SELECT a.b + 1 AS c" + r(", a.b + 1 AS c", 2_000) + " FROM t", ""},
		{"2k WHEN", "SELECT CASE" + r(" WHEN a = 1 THEN 2", 2_000) + " END", ""},

		// What the library must survive: each construct just below the limit.
		{"limit: +", "SELECT 1" + r("+1", maxNesting-5), ""},
		{"limit: ()", "SELECT " + r("(", maxNesting-5) + "1" + r(")", maxNesting-5), ""},
		{"limit: NOT", "SELECT " + r("NOT ", maxNesting-5) + "true", ""},
		{"limit: casts", "SELECT 1" + r("::int", maxNesting/2-5), ""},
		{"limit: subqueries", "SELECT " + r("(SELECT ", maxNesting/2-5) + "1" + r(")", maxNesting/2-5), ""},
		{"limit: UNION", "SELECT 1" + r(" UNION SELECT 1", maxNesting/2-5), ""},
		{"limit: JOIN", "SELECT * FROM t" + r(" NATURAL JOIN t", maxNesting/2-5), ""},
		{"limit: functions", "SELECT " + r("f(", maxNesting-5) + "1" + r(")", maxNesting-5), ""},
		{"limit: arrays", "SELECT ARRAY" + r("[", maxNesting-5) + "1" + r("]", maxNesting-5), ""},
		{"limit: CASE", "SELECT " + r("CASE WHEN a THEN ", maxNesting-5) + "1" + r(" END", maxNesting-5), ""},
		{"limit: FROM", r("SELECT * FROM (", 300) + "SELECT 1" + r(") a", 300), ""},
		{"limit: WITH", r("WITH a AS (", 300) + "SELECT 1" + r(") SELECT 1", 300), ""},
		{"limit: BETWEEN", "SELECT 1" + r(" BETWEEN 1 AND 2 IS NULL", maxNesting/4-5), ""},
		{"limit: parser stack", r("SELECT * FROM (", 499) + "SELECT 1" + r(") a", 499), "?"},
	} {
		start := time.Now()
		list, err := Parse(tt.sql)
		// What is quadratic takes minutes; a machine that does much else takes seconds.
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s took %v", tt.name, d)
		}
		if code := pgerr.Code(err); code != tt.code && (tt.code != "?" || code != "" && code != "54001") {
			t.Errorf("%s: %q (%v), want %q", tt.name, code, err, tt.code)
		}
		if err == nil {
			for _, s := range list[:1] { // walking and printing go as deep as parsing
				n := 0
				Walk(s.Node, func(*pg_query.Node) bool { n++; return true })
				if _, err := Deparse(s.Node); err != nil && pgerr.Code(err) != "54001" {
					t.Errorf("%s: Deparse: %v", tt.name, err)
				}
			}
		}
	}
	if _, err := Parse("SELECT 1"); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// A panic in the library must become an error, and later calls must work.
func TestGuardedPanic(t *testing.T) {
	_, err := guarded(func(string) (int, error) { panic("x") }, "")
	if pgerr.Code(err) != pgerr.InternalError {
		t.Errorf("a panic gave %v", err)
	}
	if _, err := guarded(pgparser.ParseToProtobuf, "SELECT 1"+strings.Repeat("+1", 8000)); err != nil {
		if pgerr.Code(err) != pgerr.InternalError {
			t.Errorf("a stack overflow gave %v", err)
		}
	}
	done := make(chan error, 1)
	go func() { _, err := Parse("SELECT 1"); done <- err }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the parser hangs after a panic")
	}
}

func TestConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				sql := fmt.Sprintf("SELECT %d, x FROM t GROUP BY k%d APPLY f(x)", k, i)
				s, err := ParseOne(sql)
				if err != nil || s.SQL != sql {
					t.Errorf("%s: %v", sql, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDeparse(t *testing.T) {
	s, err := ParseOne(`SELECT * FROM t GROUP BY "K" APPLY f(x ORDER BY y) AS r LIMIT 1`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Deparse(s.Node)
	want := `SELECT * FROM (SELECT volley_apply(f(x ORDER BY y)), "K" FROM t GROUP BY "K") r LIMIT 1`
	if err != nil || text != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
	if _, err := ParseOne(text); err != nil {
		t.Errorf("the deparsed text does not parse: %v", err)
	}
	if text, err := Deparse(nil); text != "" || err != nil {
		t.Errorf("Deparse(nil) = %q, %v", text, err)
	}
}

// Deparse must refuse a tree before the library overwrites its own memory.
func TestDeparseDepth(t *testing.T) {
	for _, sql := range []string{"SELECT %s1%s", "(SELECT %s1%s)", "SELECT * FROM (%sSELECT 1%s) a", "SELECT %sa%s"} {
		for _, parts := range [][2]string{{"(SELECT ", ")"}, {"SELECT * FROM (", ") a"}, {"f(", ")"}, {"NOT ", ""}, {"", "+1"}, {"", "::int"},
			{"CASE WHEN a THEN ", " END"}, {"ARRAY[", "]"}, {"(1, ", ")"}, {"a IN (SELECT ", ")"}, {"", " IN (1)"}} {
			refused := false
			for n := 1; n < 120 && !refused; n += 3 {
				s, err := ParseOne(fmt.Sprintf(sql, strings.Repeat(parts[0], n), strings.Repeat(parts[1], n)))
				if pgerr.Code(err) == pgerr.SyntaxError && n == 1 {
					break
				}
				if err != nil {
					t.Fatalf("%q x %d: %v", parts, n, err)
				}
				_, err = Deparse(s.Node)
				if refused = pgerr.Code(err) == "54001"; err != nil && !refused {
					t.Fatalf("%q x %d: %v", parts, n, err)
				}
			}
		}
	}
}

func TestWalk(t *testing.T) {
	s, err := ParseOne(`WITH c AS (SELECT a1) SELECT a2, (SELECT a3) FROM t JOIN (SELECT a4) x ON a5 WHERE a6 IN (SELECT a7) UNION SELECT a8 ORDER BY a9`)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	Walk(s.Node, func(n *pg_query.Node) bool {
		if r := n.GetColumnRef(); r != nil {
			names[r.Fields[0].GetString_().Sval] = true
		}
		return true
	})
	if len(names) != 9 {
		t.Errorf("Walk found %v", names)
	}
	count := 0
	Walk(s.Node, func(*pg_query.Node) bool { count++; return false })
	Walk(nil, func(*pg_query.Node) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d nodes visited below one that was declined", count)
	}
}

func TestSame(t *testing.T) {
	const sql = "SELECT f(a, 1 + $1) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t"
	for other, want := range map[string]bool{
		sql: true,
		"SELECT  f(a,\n1 +  $1) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t":      true,
		"SELECT f(a, 1 + $2) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t":         false,
		"SELECT f(a, 1.0 + $1) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t":       false,
		"SELECT f(a, 1 + $1) OVER (PARTITION BY c) AS x FROM t":                          false,
		"SELECT f(a, 1 + $1, 2) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t":      false,
		"SELECT f(a, 1 + $1) FILTER (WHERE b) OVER (PARTITION BY c, c) AS x FROM t":      false,
		"SELECT f(a, 1 + $1) FILTER (WHERE b) OVER (PARTITION BY c) AS x FROM t LIMIT 1": false,
	} {
		a, err := ParseOne(sql)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseOne(other)
		if err != nil {
			t.Fatal(err)
		}
		if Same(a.Node, b.Node) != want || Same(b.Node, a.Node) != want {
			t.Errorf("Same of %s is not %v", other, want)
		}
	}
	if Same(nil, &pg_query.Node{}) || !Same(nil, nil) {
		t.Error("Same of nil")
	}
}

func TestPositionsInLongText(t *testing.T) {
	sql := "SELECT '" + strings.Repeat("aé", 10_000) + "', 1 2"
	_, err := Parse(sql)
	var e *pgerr.Error
	if !errors.As(err, &e) || e.Position != len([]rune(sql)) {
		t.Errorf("position %v, want %d", e, len([]rune(sql)))
	}
	src := &source{user: sql}
	for off := 0; off <= len(sql); off += 997 {
		for off < len(sql) && sql[off]&0xc0 == 0x80 {
			off++
		}
		if got, want := src.charPos(off), len([]rune(sql[:off]))+1; got != want {
			t.Fatalf("charPos(%d) = %d, want %d", off, got, want)
		}
	}
}

// TestClientQueries parses what real clients sent, where the file is at hand.
func TestClientQueries(t *testing.T) {
	text, err := os.ReadFile("../../shared/data/client_queries.sql")
	if err != nil {
		t.Skip("no file of client queries")
	}
	complete, rest := Split(string(text))
	for _, sql := range append(complete, rest) {
		if _, err := Parse(sql); err != nil {
			t.Errorf("%v: %.200s", err, sql)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, sql := range []string{"SELECT 1", "SELECT user_id, prediction FROM users GROUP BY partition_id APPLY score_udf(user_id, g1)"} {
		b.Run(sql[:8], func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse(sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
