package receipt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/test/engine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// client runs statements and compares.
type client struct {
	t *testing.T
	*engine.Session
}

func connect(t *testing.T, e *engine.Engine, user string) client {
	t.Helper()
	s := e.SessionOf(user)
	t.Cleanup(s.Close)
	return client{t, s}
}

func (c client) run(sql string) *engine.Rows {
	c.t.Helper()
	return c.Must(c.t, sql)
}

// text is a result as one string.
func text(r *engine.Rows) string {
	var b strings.Builder
	for _, f := range r.Fields {
		fmt.Fprintf(&b, "%s %s|", f.Name, f.Type)
	}
	for _, row := range r.Rows {
		b.WriteString("\n" + strings.Join(row, "|"))
	}
	return b.String()
}

func (c client) one(sql string) string {
	c.t.Helper()
	r := c.run(sql)
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 {
		c.t.Fatalf("%s gave %v", sql, r.Rows)
	}
	return r.Rows[0][0]
}

// fails checks an error: its SQLSTATE, and what message, detail and hint contain.
func (c client) fails(sql, code string, parts ...string) {
	c.t.Helper()
	c.Fails(c.t, sql, code, parts...)
}

// query runs a statement and returns its rows and its id.
func (c client) query(sql string) (rows, id string) {
	c.t.Helper()
	rows = text(c.run(sql))
	return rows, c.one(`SELECT volley.last_query_id()`)
}

// again replays a query, whose rows must come again.
func (c client) again(id, rows string) {
	c.t.Helper()
	r := c.run(`CALL volley.replay('` + id + `')`)
	if got := text(r); got != rows {
		c.t.Errorf("replay of %s\n got %s\nwant %s", id, got, rows)
	}
	if r.Tag != "CALL" {
		c.t.Errorf("tag %q", r.Tag)
	}
}

func (c client) receipt(id string) map[string]any {
	c.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(c.one(`SELECT volley.query_receipt('`+id+`')`)), &m); err != nil {
		c.t.Fatal(err)
	}
	return m
}

func modes(t *testing.T, f func(t *testing.T, workers int)) {
	for _, n := range []int{0, 2, 3} {
		t.Run(fmt.Sprint(n, " workers"), func(t *testing.T) { f(t, n) })
	}
}

// setup makes tables that are cut into several tasks.
const setup = `SET volley.rows_per_task = 500;
CREATE TABLE t (id bigint, k int, s text, x float8);
INSERT INTO t SELECT i, i % 7, 'row ' || i, i / 3.0 FROM generate_series(1, 3000) i;
INSERT INTO t SELECT i, i % 7, NULL, NULL FROM generate_series(3001, 5000) i;
CREATE VIEW v AS SELECT k, count(*) AS n, sum(x) AS total FROM t GROUP BY k`

func TestReplay(t *testing.T) {
	modes(t, func(t *testing.T, workers int) {
		e := engine.Start(t, workers)
		c := connect(t, e, "volley")
		c.run(setup)
		c.run(`SET TIME ZONE 'Europe/Berlin'; SET extra_float_digits = 0; SET app.who = 'me'`)
		queries := []string{
			`SELECT 1 AS one, 'x', NULL`,
			`SELECT id, s, x, rand() AS r FROM t WHERE id % 100 = 3 ORDER BY id`,
			`SELECT k, n, total FROM v ORDER BY k`,
			`SELECT k, sum(rand()) AS r, avg(x) FROM t GROUP BY k ORDER BY k`,
			`SELECT now(), current_timestamp::timestamp, current_user, current_setting('app.who'), current_setting('TimeZone')`,
			`SELECT * FROM t TABLESAMPLE BERNOULLI (2) ORDER BY id`,
			`SELECT a.id, b.s FROM t a JOIN t b ON a.id = b.id + 1000 WHERE a.k = 2 ORDER BY a.id LIMIT 20`,
			`SELECT k FROM t`,
			`SELECT DISTINCT k, x IS NULL FROM t`,
			`SELECT ROW(id, s), ARRAY[k, 1], '\xff'::bytea, 1.50::numeric, interval '1 day', true FROM t ORDER BY id LIMIT 3`,
			`WITH RECURSIVE f(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM f WHERE n < 5) SELECT n, random() FROM f`,
			`SELECT gen_random_uuid(), setval FROM (SELECT id AS setval FROM t WHERE id < 4) q ORDER BY 2`,
		}
		type ran struct{ sql, rows, id string }
		var all []ran
		for _, q := range queries {
			rows, id := c.query(q)
			all = append(all, ran{q, rows, id})
		}
		c.run(`RESET TIME ZONE; RESET extra_float_digits; RESET app.who; SET volley.rows_per_task = 100000; SET search_path = pg_catalog`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
		// The tables change; what they were is still there.
		c.run(`RESET search_path; UPDATE t SET x = 0 WHERE id < 10; DELETE FROM t WHERE id > 4000; INSERT INTO t SELECT 9000, 1, 'new', 1; DROP VIEW v; CREATE VIEW v AS SELECT 1 AS k`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
		c.run(`DROP VIEW v; ALTER TABLE t RENAME TO other`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
		c.run(`DROP TABLE other`)
		for _, r := range all {
			c.again(r.id, r.rows)
		}
	})
}

// TestRestart replays what another process ran with another number of workers, and
// compares the receipts of the same query in all modes.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	var rows string
	var receipts []map[string]any
	for _, workers := range []int{0, 2, 3} {
		e := engine.Open(t, dir, workers)
		c := connect(t, e, "volley")
		if workers == 0 {
			c.run(setup)
		}
		for _, id := range ids {
			c.again(id, rows)
		}
		c.run(`SET volley.rows_per_task = 500; SET volley.seed = 42`)
		got, id := c.query(`SELECT v.k, n, total, t.s, rand() FROM v JOIN t ON t.id = v.n + v.k ORDER BY v.k`)
		if rows != "" && got != rows {
			t.Errorf("%d workers\n got %s\nwant %s", workers, got, rows)
		}
		rows = got
		ids = append(ids, id)
		r := c.receipt(id)
		if int(r["workers"].(float64)) != workers {
			t.Errorf("%d workers: receipt has %v", workers, r["workers"])
		}
		for _, k := range []string{"workers", "query_id", "started", "now", "duration_ms"} {
			if r[k] == nil {
				t.Errorf("receipt without %s", k)
			}
			delete(r, k)
		}
		receipts = append(receipts, r)
		c.Close()
		e.Stop()
	}
	for i, r := range receipts[1:] {
		a, _ := json.Marshal(receipts[0])
		b, _ := json.Marshal(r)
		if string(a) != string(b) {
			t.Errorf("receipt %d\n got %s\nwant %s", i+1, b, a)
		}
	}
}

func TestReceipt(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "volley")
	c.run(setup)
	if id := c.one(`SELECT volley.last_query_id()`); id == "NULL" {
		t.Error("INSERT … SELECT has no receipt")
	}
	csv := filepath.Join(e.Dir, "in.csv")
	if err := os.WriteFile(csv, []byte("a,b\n1,2\n3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(`COPY t TO '` + e.Dir + `/out.parquet' (FORMAT parquet); SET app.who = 'me'`)
	_, id := c.query(`SELECT a, n, p.id FROM read_csv('` + csv + `'), v, read_parquet('` + e.Dir + `/out.par*') p WHERE p.id = a AND v.k = 1`)
	r := c.receipt(id)
	if r["statement"] == "" || r["command"] != "SELECT" || r["user"] != "volley" || r["state"] != "finished" || r["rows"].(float64) != 2 || r["engine_version"] != coordinator.Version {
		t.Errorf("%v", r)
	}
	set := r["settings"].(map[string]any)
	if len(set) != 3 || set["app.who"] != "me" || set["volley.rows_per_task"] != "500" || set["search_path"] == nil {
		t.Errorf("settings %v", set)
	}
	kinds := map[string]map[string]any{}
	for _, in := range r["inputs"].([]any) {
		m := in.(map[string]any)
		kinds[fmt.Sprint(m["kind"], m["format"])] = m
	}
	files := func(kind string) map[string]any { return kinds[kind]["files"].([]any)[0].(map[string]any) }
	if f := files("filescsv"); f["path"] != csv || f["size"].(float64) != 12 || f["checksum"] != nil {
		t.Errorf("%v", f)
	}
	if f := files("filesparquet"); f["path"] != e.Dir+"/out.parquet" || len(f["checksum"].(string)) != 16 {
		t.Errorf("%v", f)
	}
	if v := kinds["view<nil>"]; v["sql"] == "" || v["name"] != "v" {
		t.Errorf("%v", v)
	}
	table := kinds["table<nil>"]
	if table["rows"].(float64) != 5000 || len(table["snapshot"].(string)) != 16 || len(table["paths"].([]any)) == 0 || table["columns"].([]any)[0] != "id bigint" {
		t.Errorf("%v", table)
	}
	if list := c.run(`SELECT command, state, rows, result_hash = volley.query_receipt(query_id) ->> 'result_hash' FROM volley.query_receipts ORDER BY started`); !slices.Equal(list.Rows[len(list.Rows)-1], []string{"SELECT", "finished", "2", "t"}) {
		t.Errorf("%v", list.Rows)
	}
	// What asks about receipts has none, nor has what runs no plan.
	c.run(`SHOW TimeZone; SET app.who = 'you'; EXPLAIN SELECT 1`)
	if got := c.one(`SELECT volley.last_query_id()`); got != id {
		t.Errorf("last query is %s, want %s", got, id)
	}
	c.again(id, text(c.run(`CALL volley.replay(volley.last_query_id())`)))

	// Statements that fail, and those whose rows nobody wants.
	c.fails(`SELECT 1 / (id - 17) FROM t`, "22012")
	r = c.receipt(c.one(`SELECT volley.last_query_id()`))
	if r["state"] != "failed" || r["error"].(map[string]any)["sqlstate"] != "22012" || r["rows"] != nil {
		t.Errorf("%v", r)
	}
	c.fails(`CALL volley.replay(volley.last_query_id())`, "22012", "division by zero")
	c.run(`BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id; FETCH 2 FROM c; COMMIT`)
	id = c.one(`SELECT volley.last_query_id()`)
	if r = c.receipt(id); r["state"] != "abandoned" {
		t.Errorf("%v", r)
	}
	if got := c.run(`CALL volley.replay('` + id + `')`); len(got.Rows) != 5000 {
		t.Errorf("%d rows", len(got.Rows))
	}
	c.run(`PREPARE p (int, text, timestamptz, float8[]) AS SELECT $1 + 1, $2, $3, $4; SET TimeZone = 'Asia/Tokyo'`)
	rows, id := c.query(`EXECUTE p (41, 'a''b', '2020-01-01 00:00+00', '{1.5,NULL}')`)
	c.run(`DEALLOCATE ALL; RESET TimeZone`)
	c.again(id, rows)

	c.run("SET volley.dialect = 'mysql'")
	rows, id = c.query("SELECT 7 / 2 AS `q`, CONCAT('a', id) FROM t WHERE id < 3 ORDER BY id")
	c.run(`SET volley.dialect = 'postgres'`)
	c.again(id, rows)

	c.run(`SET volley.receipts = off`)
	c.run(`SELECT 5`)
	if got := c.one(`SELECT volley.last_query_id()`); got != id {
		t.Errorf("a receipt in spite of volley.receipts = off")
	}
	c.fails(`SET volley.receipts_kept = 5`, "55P02", "without restarting the server")
	if ctx := c.one(`SELECT context FROM pg_settings WHERE name = 'volley.receipts_kept'`); ctx != "postmaster" {
		t.Error(ctx)
	}
}

func TestRefused(t *testing.T) {
	e := engine.Start(t, 0)
	c := connect(t, e, "volley")
	c.run(setup)
	c.fails(`CALL volley.replay(volley.last_query_id())`, "0A000", "replay of INSERT is not supported")
	c.fails(`CALL volley.replay('nope')`, "42704", "there is no receipt of query", "volley.query_receipts")
	c.fails(`SELECT volley.query_receipt('nope')`, "42704", "there is no receipt of query")
	c.fails(`CALL volley.replay(NULL)`, "22004")
	c.fails(`CALL volley.replay()`, "42883", "procedure volley.replay() does not exist", "No procedure matches")
	c.fails(`CALL volley.replay('a', 1)`, "42883", "procedure volley.replay(unknown, integer) does not exist")
	c.fails(`CALL replay('a')`, "42883", "procedure replay(unknown) does not exist")
	c.fails(`CALL abs(1)`, "42809", "abs(integer) is not a procedure", "To call a function, use SELECT.")
	c.fails(`CALL pg_catalog.abs('1')`, "42809", "pg_catalog.abs(unknown) is not a procedure")
	c.fails(`CALL abs('x'::text)`, "42883", "procedure abs(text) does not exist")
	c.fails(`SELECT volley.replay('x')`, "42809", "volley.replay(unknown) is a procedure", "To call a procedure, use CALL.")
	c.fails(`SELECT * FROM volley.replay('x')`, "42809", "volley.replay(unknown) is a procedure")
	c.fails(`CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'`, "0A000", "procedures are not supported")

	_, id := c.query(`SELECT relname FROM pg_class`)
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "It read pg_catalog.pg_class, which shows the present only.")
	_, id = c.query(`SELECT clock_timestamp()`)
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "gave other rows than the query", "clock_timestamp()")
	c.run(`BEGIN; INSERT INTO t VALUES (1, 1, '', 1)`)
	_, id = c.query(`SELECT count(*) FROM t`)
	c.run(`COMMIT`)
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "its transaction had written and not committed")

	csv := filepath.Join(e.Dir, "in.csv")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(csv, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a,b\n1,2\n3,4\n")
	rows, id := c.query(`SELECT * FROM read_csv('` + e.Dir + `/*.csv')`)
	if err := os.WriteFile(filepath.Join(e.Dir, "another.csv"), []byte("a,b\n5,6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.again(id, rows) // a new file is none that the query read
	write("a,b\n1,2\n3,5\n")
	if err := os.Chtimes(csv, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "cannot be replayed", "has changed: it had 12 bytes")
	if err := os.Remove(csv); err != nil {
		t.Fatal(err)
	}
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "is gone")

	// Without room for old files.
	rows, id = c.query(`SELECT sum(id) FROM t`)
	if err := e.Store.SetRetention(time.Hour, 10); err != nil {
		t.Fatal(err)
	}
	c.again(id, rows)
	c.run(`UPDATE t SET k = 1 WHERE id = 1`)
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "Table public.t has changed since", "files that it had are gone", "volley.snapshot_retention")
	c.run(`DROP TABLE t CASCADE`)
	c.fails(`CALL volley.replay('`+id+`')`, "55000", "Table public.t has been dropped since")
}

func TestRights(t *testing.T) {
	e := engine.Start(t, 0)
	root := connect(t, e, "volley")
	root.run(setup)
	root.run(`CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT x * 2'`)
	ann, bob := connect(t, e, "ann"), connect(t, e, "bob")
	rows, id := ann.query(`SELECT twice(id), current_user FROM t WHERE id < 3 ORDER BY id`)
	ann.again(id, rows)
	root.again(id, rows)
	bob.fails(`CALL volley.replay('`+id+`')`, "42501", "permission denied for the receipt of query")
	bob.fails(`SELECT volley.query_receipt('`+id+`')`, "42501")
	if n := bob.one(`SELECT count(*) FROM volley.query_receipts`); n != "0" {
		t.Errorf("bob sees %s receipts", n)
	}
	if n := ann.one(`SELECT count(*) FROM volley.query_receipts`); n != "1" {
		t.Errorf("ann sees %s receipts", n)
	}
	root.run(`REVOKE EXECUTE ON FUNCTION twice(bigint) FROM PUBLIC`)
	ann.fails(`CALL volley.replay('`+id+`')`, "42501", "permission denied for function twice")
	root.again(id, rows)
	root.run(`DROP FUNCTION twice(bigint)`)
	root.again(id, rows)
	ann.fails(`CALL volley.replay('`+id+`')`, "42501", "permission denied for function twice", "It has been dropped")

	// A function of one's own, in pg_temp.
	ann.run(`CREATE FUNCTION pg_temp.mine(x bigint) RETURNS bigint LANGUAGE sql AS 'SELECT x - 1'`)
	rows, id = ann.query(`SELECT pg_temp.mine(9)`)
	ann.run(`CREATE OR REPLACE FUNCTION pg_temp.mine(x bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'`)
	ann.again(id, rows)
	ann2 := connect(t, e, "ann")
	ann.Close()
	ann2.again(id, rows)
}

// TestRestartDropped replays in another process what was over things that are gone.
func TestRestartDropped(t *testing.T) {
	dir := t.TempDir()
	e := engine.Open(t, dir, 0)
	c := connect(t, e, "volley")
	c.run(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text); CREATE SCHEMA other; SET search_path = other, public;
		CREATE TABLE people (id int, m mood, p pair, l numeric[]);
		INSERT INTO people SELECT i, CASE WHEN i % 2 = 0 THEN 'sad' ELSE 'ok' END::mood, ROW(i, 'x')::pair, ARRAY[i, 1.5] FROM generate_series(1, 10) i;
		CREATE FUNCTION plus(x int, y int DEFAULT 5) RETURNS int LANGUAGE sql AS 'SELECT x + y';
		CREATE VIEW folks AS SELECT id, m, p, l, plus(id) AS q FROM people WHERE id < 5`)
	rows, id := c.query(`SELECT *, (p).b, m::text AS mt FROM folks ORDER BY m, id DESC`)
	c.run(`DROP SCHEMA other CASCADE; DROP TYPE pair; DROP TYPE mood; RESET search_path`)
	c.again(id, rows)
	c.Close()
	e.Stop()
	e = engine.Open(t, dir, 2)
	defer e.Stop()
	c = connect(t, e, "volley")
	defer c.Close()
	c.again(id, rows)
}
