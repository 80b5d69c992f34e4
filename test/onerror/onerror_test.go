// Package onerror tests, through SQL, what becomes of rows on which user code
// fails, and what is told about functions.
package onerror

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
)

var artifact *udf.Artifact

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "onerror-")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Setenv("TMPDIR", dir)
		if _, err := exec.LookPath("go"); err == nil {
			if artifact, err = udf.Build(context.Background(), "testdata/faulty", udf.BuildOptions{}); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		return m.Run()
	}())
}

func start(t *testing.T, workers int) (*engine.Engine, *engine.Session) {
	t.Helper()
	if artifact == nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	e := engine.Start(t, workers)
	digest, err := e.Artifacts.PutFile(context.Background(), artifact.Path)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Session()
	t.Cleanup(s.Close)
	for f, limit := range map[string]string{"panic_mod": "", "exit_at": "", "hang_at": "SET volley.timeout='600ms'", "leak_at": "SET volley.memory='64MB'", "vector_at": ""} {
		must(t, s, "CREATE FUNCTION "+f+"(x bigint, y bigint) RETURNS bigint LANGUAGE go "+limit+" AS 'faulty@"+digest+"', '"+f+"'")
	}
	for f, limit := range map[string]string{"shaky": "SET volley.timeout='1s' SET volley.memory='64MB'", "shaky_whole": ""} {
		must(t, s, "CREATE FUNCTION "+f+"(x bigint) RETURNS TABLE (rows bigint, sum bigint) LANGUAGE go "+limit+" AS 'faulty@"+digest+"', '"+f+"'")
	}
	must(t, s, "CREATE FUNCTION shaky_rows(x bigint) RETURNS SETOF bigint LANGUAGE go AS 'faulty@"+digest+"', 'shaky_rows'")
	must(t, s, "CREATE FUNCTION shaky_window(x bigint) RETURNS bigint LANGUAGE go WINDOW AS 'faulty@"+digest+"', 'shaky_window'")
	must(t, s, "CREATE AGGREGATE shaky_sum(bigint) (ARTIFACT = 'faulty@"+digest+"', SYMBOL = 'shaky_sum')")
	must(t, s, "CREATE FUNCTION count_calls(s text) RETURNS bigint LANGUAGE go AS 'faulty@"+digest+"', 'count_calls'")
	must(t, s, "CREATE FUNCTION one_at_most(x bigint) RETURNS bigint LANGUAGE go AS 'faulty@"+digest+"', 'one_at_most'")
	must(t, s, "CREATE FUNCTION slow(x bigint) RETURNS bigint LANGUAGE go AS 'faulty@"+digest+"', 'slow'")
	must(t, s, "CREATE FUNCTION says(x bigint) RETURNS bigint LANGUAGE go AS 'faulty@"+digest+"', 'says'")
	must(t, s, "CREATE FUNCTION at_once(x bigint) RETURNS bigint LANGUAGE go SET volley.concurrency='1' AS 'faulty@"+digest+"', 'at_once'")
	must(t, s, "CREATE FUNCTION lenient(x bigint, y bigint) RETURNS bigint LANGUAGE go SET volley.on_error='null' AS 'faulty@"+digest+"', 'panic_mod'")
	return e, s
}

func must(t testing.TB, s *engine.Session, sql string) *engine.Rows {
	t.Helper()
	return s.Must(t, sql)
}

func text(r *engine.Rows) string {
	return r.Text(" ", "|")
}

// The row at fault is found, whatever it does, and named; in modes null and skip
// the other rows are all there.
func TestPoisonRow(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			_, s := start(t, workers)
			// Other work of the same artifact goes on meanwhile.
			for _, c := range []struct{ f, code, says string }{
				{"panic_mod", "38000", "no value for"},
				{"exit_at", "38000", "exit status 3"},
				{"hang_at", "57014", "did not finish within 600ms"},
				{"leak_at", "53200", "its limit is 64 MB"},
				{"vector_at", "38000", "this batch is no good"},
			} {
				if workers > 0 && c.f == "hang_at" {
					continue
				}
				const at = 33333
				call := fmt.Sprintf("%s(g, %d)", c.f, at)
				from := " FROM generate_series(1, 50000) g"
				must(t, s, "SET volley.on_error = fail")
				begin := time.Now()
				_, err := s.Run(context.Background(), "SELECT sum("+call+")"+from)
				pe := pgerr.From(err)
				if took := time.Since(begin); err == nil || pe.Code != c.code || !strings.Contains(pe.Message, c.says) ||
					!strings.Contains(pe.Detail, "x = 33333, ") || !strings.Contains(pe.Where, "row ") || !strings.Contains(pe.Where, c.f+"@1") || took > 10*time.Second {
					t.Errorf("%s after %v: %v %s; %s; %s", c.f, took, pgerr.Code(err), err, pe.Detail, pe.Where)
				}
				must(t, s, "SET volley.on_error = 'null'")
				if got := text(must(t, s, "SELECT count(*), count(v), sum(v) FROM (SELECT "+call+" AS v"+from+") q")); got != fmt.Sprintf("50000 49999 %d", 2*(50000*50001/2-at)) {
					t.Errorf("%s, null: %s", c.f, got)
				}
				must(t, s, "SET volley.on_error = skip")
				queries := []string{
					"SELECT count(*), sum(v) FROM (SELECT g, " + call + " AS v" + from + ") q",
					"SELECT count(v), sum(v) FROM (SELECT CASE WHEN g > 0 THEN " + call + " END AS v" + from + ") q",
					"SELECT count(*), 2 * sum(g)" + from + " WHERE " + call + " > 0",
					"SELECT count(*), sum(" + call + ")" + from,
				}
				if c.f == "hang_at" || c.f == "leak_at" {
					queries = queries[3:] // they take their time
				}
				for _, q := range queries {
					if got := text(must(t, s, q)); got != fmt.Sprintf("49999 %d", 2*(50000*50001/2-at)) {
						t.Errorf("%s, skip: %s: %s", c.f, q, got)
					}
				}
				must(t, s, "SET volley.on_error = fail")
				n := 1 + len(queries)
				got := text(must(t, s, "SELECT function, version, row_no > 0, args, sqlstate, attempt, count(DISTINCT query_id), count(*) FROM volley.udf_errors WHERE function = '"+c.f+"' GROUP BY 1, 2, 3, 4, 5, 6"))
				arg := map[bool]string{true: "m", false: "at"}[c.f == "panic_mod"]
				if want := fmt.Sprintf("%s 1 t x = 33333, %s = 33333 %s 1 %d %d", c.f, arg, c.code, n, n); got != want {
					t.Errorf("udf_errors: %s, want %s", got, want)
				}
			}
		})
	}
}

// Many failing rows; a function's own setting goes before the session's.
func TestManyFailures(t *testing.T) {
	e, s := start(t, 0)
	if got := text(must(t, s, "SELECT count(*), count(v) FROM (SELECT lenient(g, 100) AS v FROM generate_series(1, 100000) g) q")); got != "100000 99000" {
		t.Error(got)
	}
	if got := text(must(t, s, "SELECT count(*), count(DISTINCT args), min(row_no), max(row_no) FROM volley.udf_errors")); got != "1000 1000 100 100000" && !strings.HasPrefix(got, "1000 1000 ") {
		t.Error(got)
	}
	if got := text(must(t, s, "SELECT function, rows, errors, calls > 0, batches > 0, user_ms > 0 FROM volley.udf_stats")); got != "lenient 100000 1000 t t t" {
		t.Error(got)
	}
	plan := text(must(t, s, "EXPLAIN (ANALYZE) SELECT lenient(g, 100) FROM generate_series(1, 1000) g"))
	if !strings.Contains(plan, "UDF lenient@1: ") || !strings.Contains(plan, "10 errors") || !strings.Contains(plan, "user ") {
		t.Error(plan)
	}
	if _, err := s.Run(context.Background(), "SELECT panic_mod(g, 5) FROM generate_series(3, 9) g"); pgerr.Code(err) != "38000" {
		t.Error(err)
	}
	kept, err := filepath.Glob(filepath.Join(e.Dir, "udf", "failed", "*", "call.json"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || !strings.Contains(string(b), `"values": "x = 5, m = 5"`) {
		t.Errorf("%s %v", b, err)
	}
	must(t, s, "SELECT says(7)")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := text(must(t, s, "SELECT worker, level, line FROM volley.udf_logs WHERE line LIKE 'value%'"))
		if got == "embedded INFO value 7" {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("udf_logs: %q", got)
			break
		}
	}
	if _, err := s.Run(context.Background(), "CREATE FUNCTION f(x bigint) RETURNS bigint LANGUAGE go SET volley.on_error='maybe' AS 'faulty', 'slow'"); pgerr.Code(err) != pgerr.InvalidParameterValue {
		t.Error(err)
	}
	// The journal outlives the process.
	s.Close()
	e.Stop()
	e2 := engine.Open(t, e.Dir, 0)
	defer e2.Stop()
	s2 := e2.Session()
	defer s2.Close()
	if got := text(must(t, s2, "SELECT count(*) FROM volley.udf_errors")); got != "1010" {
		t.Errorf("after a restart: %s", got)
	}
}

// An immutable function of a dictionary column is called once per entry.
func TestDictionaryCache(t *testing.T) {
	_, s := start(t, 0)
	must(t, s, "CREATE TABLE words AS SELECT 'word ' || (g % 5) AS w FROM generate_series(1, 20000) g")
	r := must(t, s, "SELECT count(DISTINCT count_calls(w)) FROM words")
	if n, _ := strconv.Atoi(r.Rows[0][0]); n == 0 || n > 100 {
		t.Errorf("%d calls for 5 words in 20000 rows", n)
	}
	if got := text(must(t, s, "SELECT cache_hits > 15000, rows < 1000 FROM volley.udf_stats WHERE function = 'count_calls'")); got != "t t" {
		t.Error(got)
	}
}

// A concurrency limit holds across tasks, and slow functions use every slot and
// end at once when they are cancelled.
func TestConcurrencyAndSlow(t *testing.T) {
	_, s := start(t, 0)
	must(t, s, "SET volley.rows_per_task = 50")
	if got := text(must(t, s, "SELECT max(at_once(g)) FROM generate_series(1, 200) g")); got != "1" {
		t.Errorf("%s at once, the limit is 1", got)
	}
	must(t, s, "SET volley.rows_per_task = 1")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(500*time.Millisecond, cancel)
	begin := time.Now()
	if _, err := s.Run(ctx, "SELECT sum(slow(g)) FROM generate_series(1, 1000) g"); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Error(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("cancelled after %v", took)
	}
}

// An error about a batch whose rows all pass by themselves is the statement's: what
// the function gives for smaller batches need not be what it would have given.
func TestBatchAtFault(t *testing.T) {
	_, s := start(t, 0)
	for _, mode := range []string{"fail", "null", "skip"} {
		must(t, s, "SET volley.on_error = '"+mode+"'")
		_, err := s.Run(context.Background(), "SELECT sum(one_at_most(g)) FROM generate_series(1, 100) g")
		if pe := pgerr.From(err); err == nil || pe.Code != "38000" || !strings.Contains(pe.Message, "this batch is too large") {
			t.Errorf("%s: %v", mode, err)
		}
		if r := text(must(t, s, "SELECT sum(one_at_most(g)) FROM generate_series(7, 7) g")); !strings.Contains(r, "7") {
			t.Errorf("%s, one row: %s", mode, r)
		}
	}
}
