package onerror

import (
	"context"
	"fmt"
	"testing"

	"github.com/volleydb/volley/pgerr"
)

// TestCallsAboveLimit: functions of the select list are called for the rows of the
// result, so that others neither cost time nor fail; every engine gives the same rows.
func TestCallsAboveLimit(t *testing.T) {
	// panic_mod(x, m) fails where m divides x.
	const f, noisy = "panic_mod", "noisy_mod"
	cases := []struct {
		sql, want string
		calls     int // of both functions
	}{
		{"SELECT panic_mod(g, 7) FROM t ORDER BY g LIMIT 1", "2", 1},
		{"SELECT panic_mod(g, 11), g FROM t ORDER BY g DESC LIMIT 2", "40000 20000|39998 19999", 2},
		{"SELECT panic_mod(g, 7) FROM t ORDER BY g LIMIT 2 OFFSET 7", "16|18", 2},
		{"SELECT panic_mod(g, 7) FROM t ORDER BY g LIMIT (SELECT 2) OFFSET (SELECT 7)", "16|18", 2},
		{"SELECT panic_mod(g, 7), g / 3 FROM t ORDER BY g / 3 FETCH FIRST 1 ROW WITH TIES", "2 0|4 0", 2},
		{"SELECT panic_mod(g, 7) + 1 AS v FROM t ORDER BY g LIMIT 0", "", 0},
		{"SELECT count(v) FROM (SELECT panic_mod(g, 30000) AS v FROM t LIMIT 3) s", "3", 3},
		{"SELECT v + 1 FROM (SELECT g, panic_mod(g, 7) AS v FROM t) s ORDER BY g LIMIT 2", "3|5", 2},
		{"WITH s AS (SELECT g, panic_mod(g, 7) AS v FROM t WHERE g > 7) SELECT v, g, v + 1 FROM s ORDER BY g LIMIT 2", "16 8 17|18 9 19", 2},
		{"SELECT panic_mod(g, 11), (SELECT max(h) FROM u WHERE h < g) FROM t ORDER BY g DESC LIMIT 2", "40000 10|39998 10", 2},
		{"SELECT panic_mod(g + (SELECT min(h) FROM u), 7) FROM t ORDER BY g LIMIT 2", "4|6", 2},
		{"SELECT h, (SELECT panic_mod(g + h, 17) FROM t ORDER BY g LIMIT 1) FROM u WHERE h < 4 ORDER BY h", "1 4|2 6|3 8", 3},
		{"SELECT h, v FROM u, LATERAL (SELECT panic_mod(g + h, 19) AS v FROM t ORDER BY g DESC LIMIT 1) s WHERE h < 4 ORDER BY h", "1 40002|2 40004|3 40006", 3},
		{"SELECT noisy_mod(g, 7) FROM t ORDER BY g LIMIT 3", "2|4|6", 3},
		{"SELECT noisy_mod(g, 30000) FROM t ORDER BY noisy_mod(g, 30000) DESC LIMIT 2", "40000|39998", 20000},
		{"SELECT DISTINCT noisy_mod(h, 30) FROM u ORDER BY noisy_mod(h, 30) LIMIT 2", "2|4", 10},
		{"SELECT noisy_mod(h, 30) FROM u GROUP BY h ORDER BY noisy_mod(h, 30) DESC LIMIT 1", "20", 10},
		{"SELECT noisy_mod(h, 30) AS a, noisy_mod(h, 40) FROM u ORDER BY a DESC, noisy_mod(h, 30) LIMIT 1", "20 20", 11},
	}
	for _, workers := range []int{0, 1, 2, 3} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			_, s := start(t, workers)
			must(t, s, "CREATE FUNCTION noisy_mod(x bigint, y bigint) RETURNS bigint LANGUAGE go VOLATILE AS 'faulty', 'panic_mod'")
			must(t, s, "SET volley.rows_per_task = 4000")
			must(t, s, "CREATE TABLE t AS SELECT g::bigint FROM generate_series(1, 20000) g")
			must(t, s, "CREATE TABLE u AS SELECT h::bigint FROM generate_series(1, 10) h")
			calls := func() (n int) {
				_, err := fmt.Sscan(text(must(t, s, "SELECT coalesce(sum(rows), 0) FROM volley.udf_stats WHERE function IN ('"+f+"', '"+noisy+"')")), &n)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			for _, c := range cases {
				before := calls()
				r, err := s.Run(context.Background(), c.sql)
				if err != nil {
					t.Errorf("%s: %s", c.sql, pgerr.From(err).Message)
					continue
				}
				if got := text(r); got != c.want {
					t.Errorf("%s: %s, want %s", c.sql, got, c.want)
				}
				if n := calls() - before; n != c.calls {
					t.Errorf("%s: %d calls, want %d", c.sql, n, c.calls)
				}
			}
			before := calls()
			if n := len(must(t, s, "SELECT panic_mod(g, 30000) FROM t LIMIT 3").Rows); n != 3 || calls()-before != 3 {
				t.Errorf("LIMIT without ORDER BY: %d rows, %d calls", n, calls()-before)
			}
			must(t, s, "PREPARE p AS SELECT panic_mod(g, $2) FROM t ORDER BY g LIMIT $1")
			before = calls()
			if got := text(must(t, s, "EXECUTE p(2, 7)")); got != "2|4" || calls()-before != 2 {
				t.Errorf("prepared: %s after %d calls", got, calls()-before)
			}
			// Rows that fail are not among those that LIMIT counts.
			must(t, s, "SET volley.on_error = skip")
			if got := text(must(t, s, "SELECT panic_mod(g, 2) FROM t ORDER BY g LIMIT 3")); got != "2|6|10" {
				t.Errorf("skip: %s", got)
			}
		})
	}
}
