package kinds

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
)

var artifact string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "volley-kinds")
	if err == nil {
		artifact = filepath.Join(dir, "kinds.vudf")
		_, err = udf.Build(context.Background(), "testdata/kinds", udf.BuildOptions{Output: artifact})
	}
	if err != nil {
		fmt.Println("building the plugin:", err, pgerr.From(err).Detail)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func run(t testing.TB, s *engine.Session, sql string) *engine.Rows {
	t.Helper()
	return s.Must(t, sql)
}

func text(r *engine.Rows) string {
	return r.Text("|", "\n")
}

const definitions = `
CREATE FUNCTION words(s text) RETURNS SETOF text AS 'kinds', 'words' LANGUAGE go;
CREATE FUNCTION squares(lo bigint, hi bigint) RETURNS TABLE (n bigint, square bigint, note text) AS 'kinds', 'squares' LANGUAGE go;
CREATE FUNCTION ticks() RETURNS SETOF bigint AS 'kinds', 'ticks' LANGUAGE go;
CREATE FUNCTION pick(names text, n bigint) RETURNS SETOF record AS 'kinds', 'pick' LANGUAGE go;
CREATE FUNCTION pieces(id bigint) RETURNS TABLE (rows bigint, calls bigint, total bigint) AS 'kinds', 'Pieces' LANGUAGE go;
CREATE FUNCTION whole(id bigint) RETURNS SETOF record AS 'kinds', 'Whole' LANGUAGE go;
CREATE FUNCTION small_whole(id bigint) RETURNS SETOF record AS 'kinds', 'Whole' LANGUAGE go SET volley.max_group_bytes = '8kB';
CREATE FUNCTION batches(id bigint) RETURNS SETOF record AS 'kinds', 'Batches' LANGUAGE go;
CREATE FUNCTION payload(s text) RETURNS SETOF record AS 'kinds', 'Payload' LANGUAGE go SET volley.memory = '64MB';
CREATE FUNCTION scale(id bigint, x float8, factor float8) RETURNS TABLE (id bigint, y float8) AS 'kinds', 'Scale' LANGUAGE go;
CREATE AGGREGATE span(bigint) (ARTIFACT = 'kinds', SYMBOL = 'span');
CREATE AGGREGATE chain(text) (ARTIFACT = 'kinds', SYMBOL = 'chain');
CREATE FUNCTION smooth(x float8) RETURNS float8 AS 'kinds', 'smooth' LANGUAGE go WINDOW;
CREATE FUNCTION nth_largest(x bigint, n bigint) RETURNS bigint AS 'kinds', 'nth_largest' LANGUAGE go;
CREATE TABLE t (id bigint, k bigint, s text);
INSERT INTO t SELECT i, i % 7, 'w' || i || ' of ' || (i % 3) FROM generate_series(1, 5000) AS g(i);
`

func define(t testing.TB, s *engine.Session) {
	for _, d := range strings.Split(strings.TrimSpace(definitions), ";\n") {
		run(t, s, d)
	}
}

type sqlTest struct{ sql, want string }

var tests = []sqlTest{
	// Table functions.
	{"SELECT * FROM words('to be or not')", "to\nbe\nor\nnot"},
	{"SELECT word FROM words('a b') AS f(word)", "a\nb"},
	{"SELECT * FROM words(NULL)", ""},
	{"SELECT * FROM squares(2, 4)", "2|4|even\n3|9|NULL\n4|16|even"},
	{"SELECT * FROM squares(2, 4) WITH ORDINALITY AS f(n, sq, note, o) WHERE n > 2", "3|9|NULL|2\n4|16|even|3"},
	{"SELECT square FROM squares(20, NULL) LIMIT 4", "400\n441\n484\n529"},
	{"SELECT * FROM TABLE(squares(2, 3)) AS f", "2|4|even\n3|9|NULL"},
	{"SELECT count(*) FROM squares(20, 300000)", "299981"},
	{"SELECT sum(ticks) FROM (SELECT * FROM ticks() LIMIT 5) q", "10"},
	{"SELECT id, w FROM t, words(s) AS w WHERE id <= 2 ORDER BY id, w", "1|1\n1|of\n1|w1\n2|2\n2|of\n2|w2"},
	{"SELECT id, w, o FROM t, LATERAL words(s) WITH ORDINALITY AS f(w, o) WHERE id = 5", "5|w5|1\n5|of|2\n5|2|3"},
	{"SELECT count(*), count(DISTINCT w), max(id) FROM t, words(s) AS w", "15000|5004|5000"},
	{"SELECT id, n FROM t, squares(id, k) WHERE id < 4 ORDER BY 1, 2", "1|1\n2|2\n3|3"},
	{"SELECT id, n FROM t LEFT JOIN LATERAL squares(id + 1, k) ON true WHERE id < 3 ORDER BY 1, 2", "1|NULL\n2|NULL"},
	{"SELECT words(s) FROM t WHERE id = 3", "w3\nof\n0"},
	{"SELECT id, (SELECT count(*) FROM words(s)) FROM t WHERE id < 3 ORDER BY 1", "1|3\n2|3"},
	{"SELECT count(*) FROM t a, words(a.s) w JOIN t b ON w = 'w' || b.id", "5000"},
	// Output columns that depend on the arguments.
	{"SELECT * FROM pick('a,b', 2)", "0|0\n1|1"},
	{"SELECT sum(x.q + x.p) FROM t, pick('q,p', id) AS x WHERE id <= 3", "8"},

	// Contracts of grouped maps.
	{"SELECT sum(rows) FROM (SELECT * FROM t GROUP BY k APPLY small_whole(id)) q", "5000"},
	{"SELECT sum(rows), sum(total), count(*) FROM (SELECT * FROM t GROUP BY k APPLY pieces(id)) q", "5000|12502500|7"},
	{"SELECT k, rows, calls FROM t GROUP BY k APPLY whole(id) ORDER BY k LIMIT 2", "0|714|1\n1|715|1"},
	{"SELECT rows, calls, total FROM t GROUP BY () APPLY whole(id)", "5000|1|12502500"},
	{"SELECT sum(rows), max(calls), sum(total), max(rows) FROM (SELECT * FROM t GROUP BY () APPLY batches(id)) q", "5000|1|12502500|1000"},
	{"SELECT rows FROM t WHERE false GROUP BY () APPLY pieces(id)", "0"},
	{"SELECT rows FROM t WHERE false GROUP BY () APPLY batches(id)", ""},

	// TABLE(f(rows => TABLE(t) …)).
	{"SELECT sum(rows), sum(total), count(*) FROM TABLE(pieces(rows => TABLE(t) PARTITION BY k))", "5000|12502500|7"},
	{"SELECT k, rows FROM TABLE(pieces(TABLE(t) PARTITION BY (k))) AS p ORDER BY k LIMIT 2", "0|714\n1|715"},
	{"SELECT r.rows FROM TABLE(whole(r => TABLE(SELECT * FROM t WHERE k < 2) AS x (id, k, s))) AS r", "1429"},
	{"SELECT * FROM TABLE(scale(rows => TABLE(SELECT id, id / 2.0::float8 AS x FROM t WHERE id < 4) ORDER BY id DESC, factor => 10)) s", "3|15\n2|10\n1|5"},
	{"SELECT sum(rows) FROM TABLE(batches(rows => TABLE(t)))", "5000"},
	{"SELECT count(*) FROM t JOIN TABLE(scale(rows => TABLE(SELECT id, 1::float8 AS x, 2::float8 AS factor FROM t) PARTITION BY id)) s ON s.id = t.id AND s.y = 2", "5000"},

	// Aggregates.
	{"SELECT span(id) FROM t", "1..5000/5000"},
	{"SELECT span(DISTINCT k) FROM t", "0..6/7"},
	{"SELECT k, span(id) FILTER (WHERE id > 4990) FROM t GROUP BY k ORDER BY k LIMIT 3", "0|4991..4998/2\n1|4992..4999/2\n2|4993..5000/2"},
	{"SELECT span(id) FILTER (WHERE id > 9000) FROM t", "NULL"},
	{"SELECT k, span(DISTINCT id % 3) FILTER (WHERE id % 3 > 0), span(DISTINCT id), count(*) FROM t GROUP BY k ORDER BY k LIMIT 1", "0|1..2/2|7..4998/714|714"},
	{"SELECT chain(s ORDER BY id DESC) FROM t WHERE id < 4", "w3 of 0>w2 of 2>w1 of 1"},
	{"SELECT chain(DISTINCT right(s, 1) ORDER BY right(s, 1) DESC) FROM t", "2>1>0"},
	{"SELECT k, chain(id::text ORDER BY id DESC) FILTER (WHERE id < 20) FROM t GROUP BY k ORDER BY k LIMIT 2", "0|14>7\n1|15>8>1"},
	{"SELECT id, span(id) OVER (ORDER BY id) FROM t WHERE id < 4 ORDER BY id", "1|1..1/1\n2|1..2/2\n3|1..3/3"},
	{"SELECT id, span(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM t WHERE id < 4 ORDER BY id", "1|1..2/2\n2|1..3/3\n3|2..3/2"},
	{"SELECT id, span(id) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM t WHERE k = 0 ORDER BY id LIMIT 4", "7|NULL\n14|7..7/1\n21|7..14/2\n28|14..21/2"},
	{"SELECT id, span(id) OVER (ORDER BY id RANGE BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM t WHERE id IN (1, 2, 3, 9) ORDER BY id", "1|NULL\n2|1..1/1\n3|1..2/2\n9|NULL"},
	{"SELECT DISTINCT k, span(id) FILTER (WHERE id > 4990) OVER (PARTITION BY k) FROM t ORDER BY k LIMIT 2", "0|4991..4998/2\n1|4992..4999/2"},
	{"SELECT id, chain(s) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WHERE id < 3 ORDER BY id", "1|w1 of 1\n2|w1 of 1>w2 of 2"},
	{"SELECT max(length(c)) FROM (SELECT chain(id::text) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING) AS c FROM t) q", "34"},

	// Window functions.
	{"SELECT id, smooth(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM t WHERE id < 5 ORDER BY id", "1|1.5\n2|2\n3|3\n4|3.5"},
	{"SELECT count(*), sum(x) FROM (SELECT smooth(id) OVER (PARTITION BY k ORDER BY id ROWS CURRENT ROW) - id AS x FROM t) q", "5000|0"},
	{"SELECT id, nth_largest(id, 2) OVER (PARTITION BY k ORDER BY id) FROM t WHERE k = 0 ORDER BY id LIMIT 3", "7|NULL\n14|7\n21|14"},
	{"SELECT id, nth_largest(id, 1) OVER w, row_number() OVER w, span(id) OVER w FROM t WHERE k = 0 WINDOW w AS (ORDER BY id DESC) ORDER BY id DESC LIMIT 2", "4998|4998|1|4998..4998/1\n4991|4998|2|4991..4998/2"},
	{"SELECT nth_largest(id, 1) OVER () FROM t WHERE false", ""},
}

func TestKinds(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			if _, err := e.Artifacts.PutFile(context.Background(), artifact); err != nil {
				t.Fatal(err)
			}
			s := e.Session()
			define(t, s)
			if workers > 0 {
				run(t, s, "SET volley.rows_per_task = 500")
			}
			for _, x := range tests {
				r, err := s.Run(context.Background(), x.sql)
				if err != nil {
					e := pgerr.From(err)
					t.Errorf("%s\n%s: %s (%s; %s; %s)", x.sql, e.Code, e.Message, e.Detail, e.Hint, e.Where)
					continue
				}
				if got := text(r); got != x.want {
					t.Errorf("%s\ngot:\n%s\nwant:\n%s", x.sql, got, x.want)
				}
			}
			for _, x := range refusals {
				_, err := s.Run(context.Background(), x.sql)
				e := pgerr.From(err)
				if err == nil || e.Code != x.code || !strings.Contains(e.Message+" "+e.Detail+" "+e.Hint+" "+e.Where, x.has) {
					t.Errorf("%s\ngot %v (%+v), want %s %q", x.sql, err, e, x.code, x.has)
				}
			}
		})
	}
}

var refusals = []struct{ sql, code, has string }{
	{"SELECT * FROM squares(10, 20)", "38000", "unlucky"},
	{"SELECT * FROM t, squares(id, id) WHERE id BETWEEN 12 AND 14", "38000", "unlucky"},
	{"SELECT words(s), words(s) FROM t", "0A000", "select list"},
	{"SELECT (squares(1, 2)).* FROM t", "0A000", "select list"},
	{"SELECT * FROM t, pick(s, 1)", "22023", "constant"},
	{"SELECT * FROM t GROUP BY () APPLY small_whole(id)", "53200", "volley.max_group_bytes"},
	{"SELECT * FROM t GROUP BY k APPLY batches(id)", "42809", "GROUP BY ()"},
	{"SELECT * FROM TABLE(pieces(rows => TABLE(t) PARTITION BY k, more => TABLE(t)))", "0A000", "more than one"},
	{"SELECT * FROM TABLE(pieces(rows => TABLE(t) PARTITION BY k COPARTITION (a, b)))", "0A000", "COPARTITION"},
	{"SELECT * FROM TABLE(pieces(rows => DESCRIPTOR(a)))", "0A000", "DESCRIPTOR"},
	{"SELECT * FROM TABLE(pieces(rows => TABLE(SELECT k FROM t)))", "42883", `no column "id"`},
	{"SELECT * FROM TABLE(pieces(rows => TABLE(nope)))", "42P01", "nope"},
	{"SELECT nth_largest(id, 0) OVER () FROM t", "22023", "n is 0"},
	{"SELECT nth_largest(id, 1) FROM t", "42809", "OVER"},
	{"SELECT smooth(id) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM t", "0A000", "EXCLUDE"},
	{"CREATE FUNCTION f(id bigint) RETURNS bigint AS 'kinds', 'Pieces' LANGUAGE go", "42P13", "RETURNS TABLE"},
	{"CREATE FUNCTION f(s text) RETURNS SETOF bigint AS 'kinds', 'words' LANGUAGE go", "42P13", "Column 1"},
	{"CREATE FUNCTION f(names text, n bigint) RETURNS TABLE (a bigint) AS 'kinds', 'pick' LANGUAGE go", "42P13", "SETOF record"},
	{"CREATE FUNCTION f(id bigint) RETURNS SETOF record AS 'kinds', 'Pieces' LANGUAGE go SET volley.batch_rows = 5", "42P13", "batch_rows"},
}

// TestLargeGroup streams a group of ten times its function's memory.
func TestLargeGroup(t *testing.T) {
	e := engine.Start(t, 0)
	if _, err := e.Artifacts.PutFile(context.Background(), artifact); err != nil {
		t.Fatal(err)
	}
	s := e.Session()
	define(t, s)
	run(t, s, "SET work_mem = '64MB'")
	const q = "SELECT * FROM (SELECT repeat('x', 1024) || i AS s FROM generate_series(1, 640000) AS g(i)) q GROUP BY () APPLY payload(s)"
	r := run(t, s, q)
	want := 640000*1024 + 9*1 + 90*2 + 900*3 + 9000*4 + 90000*5 + 540001*6
	if got := text(r); got != fmt.Sprintf("640000|%d", want) {
		t.Errorf("got %s, want %d", got, want)
	}
}

// TestLimitEndsCall: nobody waits for the rows that a LIMIT does not want.
func TestLimitEndsCall(t *testing.T) {
	e := engine.Start(t, 1)
	if _, err := e.Artifacts.PutFile(context.Background(), artifact); err != nil {
		t.Fatal(err)
	}
	s := e.Session()
	define(t, s)
	begin := time.Now()
	for range 3 {
		run(t, s, "SELECT * FROM ticks() LIMIT 3")
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("three rows of an endless function took %s", d)
	}
}

// TestExtension has CREATE EXTENSION declare all functions of the artifact, of every
// kind, and runs the same statements.
func TestExtension(t *testing.T) {
	e := engine.Start(t, 0)
	if _, err := e.Artifacts.PutFile(context.Background(), artifact); err != nil {
		t.Fatal(err)
	}
	s := e.Session()
	run(t, s, "CREATE EXTENSION kinds")
	for _, d := range strings.Split(strings.TrimSpace(definitions), ";\n") {
		if !strings.HasPrefix(d, "CREATE FUNCTION") && !strings.HasPrefix(d, "CREATE AGGREGATE") {
			run(t, s, d)
		}
	}
	for _, x := range tests {
		if strings.Contains(x.sql, "small_whole") || strings.Contains(x.sql, "sum(ticks)") {
			continue // what this declaration sets, and what it calls its column
		}
		r, err := s.Run(context.Background(), x.sql)
		if err != nil {
			e := pgerr.From(err)
			t.Errorf("%s\n%s: %s (%s; %s; %s)", x.sql, e.Code, e.Message, e.Detail, e.Hint, e.Where)
		} else if got := text(r); got != x.want {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", x.sql, got, x.want)
		}
	}
	if got := text(run(t, s, "SELECT joined('-', 'a', 'b', 'c'), plus(1), plus(y => 2, x => 3)")); got != "a-b-c|11|5" {
		t.Errorf("arguments: %s", got)
	}
	if got := text(run(t, s, "SELECT count(*), count(*) FILTER (WHERE prokind = 'w') FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid JOIN pg_extension x ON x.oid = d.refobjid WHERE extname = 'kinds'")); got != "15|2" {
		t.Errorf("functions of the extension: %s", got)
	}
	run(t, s, "DROP EXTENSION kinds")
	if _, err := s.Run(context.Background(), "SELECT * FROM words('a')"); pgerr.Code(err) != pgerr.UndefinedFunction {
		t.Errorf("after DROP EXTENSION: %v", err)
	}
}
