package onerror

import (
	"strings"
	"testing"
	"time"
)

// Figures and logs are there for every kind of function, wherever it ran.
func TestFiguresOfEveryKind(t *testing.T) {
	_, s := start(t, 2)
	must(t, s, "SET volley.rows_per_task = 2000")
	must(t, s, "CREATE TABLE n AS SELECT i % 10 AS k, i AS x FROM generate_series(1, 20000) i")
	for f, q := range map[string]string{
		"panic_mod":    "SELECT sum(panic_mod(x, 30000)) FROM n",
		"shaky":        "SELECT sum(rows) FROM (SELECT * FROM n GROUP BY k APPLY shaky(x)) q",
		"shaky_rows":   "SELECT count(*) FROM n, shaky_rows(x) r",
		"shaky_sum":    "SELECT k, shaky_sum(x) FROM n GROUP BY k",
		"shaky_window": "SELECT sum(w) FROM (SELECT shaky_window(x) OVER (PARTITION BY k) AS w FROM n) q",
	} {
		must(t, s, q)
		if got := text(must(t, s, "SELECT queries, calls > 0, batches > 0, rows >= 20000, user_ms > 0, transfer_ms > 0, restarts, errors FROM volley.udf_stats WHERE function = '"+f+"'")); got != "1 t t t t t 0 0" {
			t.Errorf("%s: %s", f, got)
		}
		plan := text(must(t, s, "EXPLAIN (ANALYZE) "+q))
		if !strings.Contains(plan, "UDF "+f+"@1: ") || strings.Contains(plan, " 0 batches") {
			t.Errorf("%s: %s", f, plan)
		}
	}
	must(t, s, "SELECT sum(says(x)) FROM n WHERE x <= 4000")
	const lines = "SELECT count(*), count(DISTINCT line), bool_and(worker IN ('w1', 'w2')) FROM volley.udf_logs WHERE line LIKE 'value %'"
	got := ""
	for deadline := time.Now().Add(20 * time.Second); got != "4000 4000 t" && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		got = text(must(t, s, lines))
	}
	if got != "4000 4000 t" {
		t.Errorf("udf_logs: %s", got)
	}
}
