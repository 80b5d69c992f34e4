package onerror

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

// A group that fails, in whichever way, is left out, or a row of NULLs stands for
// it; nothing of what it had emitted is there, and all of the others is.
func TestGroupsThatFail(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			_, s := start(t, workers)
			// Groups of 1 to 700 rows; group 500 has the value at fault in its middle.
			must(t, s, "CREATE TABLE g AS SELECT k, i AS x FROM generate_series(1, 1000) k, generate_series(1, 1 + (k * 37) % 700) i")
			whole := text(must(t, s, "SELECT count(DISTINCT k), count(*), sum(x) FROM g WHERE k <> 500"))
			for _, c := range []struct {
				value int
				code  string
				says  string
				row   string
			}{
				{-1, "38000", "no value for -1", "201"},
				{-5, "38000", "minus five", "201"},
				{-2, "38000", "exit status 4", "NULL"},
				{-3, "57014", "did not finish within 1s", "NULL"},
				{-4, "53200", "its limit is 64 MB", "NULL"},
			} {
				slow := c.value == -3 || c.value == -4
				if slow && workers > 0 {
					continue
				}
				limit := "30s" // a busy machine takes its time
				if c.value == -3 {
					limit = "1s"
				}
				must(t, s, "ALTER FUNCTION shaky(bigint) SET volley.timeout = '"+limit+"'")
				from := fmt.Sprintf("TABLE(shaky(rows => TABLE(SELECT k, CASE WHEN k = 500 AND x = 201 THEN %d ELSE x END AS x, x AS x2 FROM g) PARTITION BY k ORDER BY x2)) r", c.value)
				must(t, s, "SET volley.on_error = fail")
				_, err := s.Run(context.Background(), "SELECT * FROM "+from)
				if pe := pgerr.From(err); err == nil || pe.Code != c.code || !strings.Contains(pe.Message, c.says) {
					t.Errorf("%d: %v; %s; %s", c.value, err, pe.Detail, pe.Where)
				} else if c.row != "NULL" && !strings.Contains(pe.Where, "group k = 500, row 201") {
					t.Errorf("%d: where is %q", c.value, pe.Where)
				}
				must(t, s, "SET volley.on_error = skip")
				begin := time.Now()
				if got := text(must(t, s, "SELECT count(DISTINCT k), sum(rows), sum(sum) FROM "+from)); got != whole {
					t.Errorf("%d, skip: %s, want %s", c.value, got, whole)
				}
				n := 1
				if !slow {
					n = 3
					must(t, s, "SET volley.on_error = 'null'")
					if got := text(must(t, s, "SELECT count(DISTINCT k) - 1, sum(rows), sum(sum) FROM "+from)); got != whole {
						t.Errorf("%d, null: %s, want %s", c.value, got, whole)
					}
					if got := text(must(t, s, "SELECT k, rows, sum FROM "+from+" WHERE k = 500 OR rows IS NULL")); got != "500 NULL NULL" {
						t.Errorf("%d, null: %s", c.value, got)
					}
				}
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("%d: %v", c.value, took)
				}
				must(t, s, "SET volley.on_error = fail")
				got := text(must(t, s, "SELECT function, key, row_no, sqlstate, count(*), count(DISTINCT query_id) FROM volley.udf_errors WHERE message LIKE '%"+c.says+"%' GROUP BY 1, 2, 3, 4"))
				if want := fmt.Sprintf("shaky k = 500 %s %s %d %d", c.row, c.code, n, n); got != want {
					t.Errorf("udf_errors: %q, want %q", got, want)
				}
			}
		})
	}
}

// Every third group fails: the others are complete, in every contract, and cost no
// more than a few calls each.
func TestManyGroupsFail(t *testing.T) {
	_, s := start(t, 0)
	must(t, s, "SET volley.on_error = skip")
	for _, f := range []string{"shaky", "shaky_whole"} {
		begin := time.Now()
		got := text(must(t, s, "SELECT count(*), sum(rows), min(k % 3) FROM (SELECT k, rows FROM (SELECT i / 10 AS k, CASE WHEN i % 30 = 4 THEN -1 ELSE i END AS x FROM generate_series(0, 29999) i) q GROUP BY k APPLY "+f+"(x)) r"))
		if got != "2000 20000 1" {
			t.Errorf("%s: %s", f, got)
		}
		t.Logf("%s: 1000 of 3000 groups failed in %v", f, time.Since(begin).Round(time.Millisecond))
		if got := text(must(t, s, "SELECT count(*), count(DISTINCT key) FROM volley.udf_errors WHERE function = '"+f+"'")); got != "1000 1000" {
			t.Errorf("%s, udf_errors: %s", f, got)
		}
		if got := text(must(t, s, "SELECT errors, restarts, calls > 0, batches > 0, rows >= 30000, user_ms > 0 FROM volley.udf_stats WHERE function = '"+f+"'")); got != "1000 0 t t t t" {
			t.Errorf("%s, udf_stats: %s", f, got)
		}
	}
}

// A table function's call is what fails, a window function's partition.
func TestCallsAndPartitionsFail(t *testing.T) {
	_, s := start(t, 0)
	from := "(SELECT CASE WHEN i = 3 THEN -1 WHEN i = 6 THEN -2 ELSE i END AS x FROM generate_series(1, 8) i) q"
	must(t, s, "SET volley.on_error = skip")
	if got := text(must(t, s, "SELECT x, n FROM "+from+", shaky_rows(x) n ORDER BY 1, 2")); got != "1 1|1 2|2 2|2 3|4 4|4 5|5 5|5 6|7 7|7 8|8 8|8 9" {
		t.Errorf("table function, skip: %s", got)
	}
	must(t, s, "SET volley.on_error = 'null'")
	if got := text(must(t, s, "SELECT x, n FROM "+from+", shaky_rows(x) n WHERE n IS NULL ORDER BY 1")); got != "-2 NULL|-1 NULL" {
		t.Errorf("table function, null: %s", got)
	}
	got := text(must(t, s, "SELECT x % 2 = 0, count(*), count(w), sum(w) FROM (SELECT x, shaky_window(x) OVER (PARTITION BY abs(x) % 3) AS w FROM "+from+") r GROUP BY 1 ORDER BY 1"))
	// Partition 1 has 1, -1, 4, 7; 2 has 2, 5, -2, 8.
	if got != "f 4 0 NULL|t 4 0 NULL" {
		t.Errorf("window function, null: %s", got)
	}
	if got := text(must(t, s, "SELECT i, shaky_window(CASE WHEN i = 4 THEN -5 ELSE i END) OVER (PARTITION BY i % 3) FROM generate_series(1, 6) i ORDER BY 1")); got != "1 NULL|2 4|3 6|4 NULL|5 10|6 12" {
		t.Errorf("window function, null: %s", got)
	}
	for _, x := range []struct{ sql, code, says string }{
		{"ALTER FUNCTION shaky_window(bigint) SET volley.on_error = 'skip'", "0A000", "window functions"},
		{"ALTER ROUTINE shaky_sum(bigint) SET volley.on_error = 'skip'", "0A000", "aggregates"},
		{"ALTER FUNCTION shaky(bigint) SET volley.concurrency = '2'", "0A000", "scalar functions only"},
		{"ALTER FUNCTION shaky(bigint) SET volley.batch_rows = '20'", "42P13", "takes groups"},
		{"ALTER FUNCTION shaky(bigint) SET volley.on_error = 'often'", "22023", "volley.on_error"},
	} {
		if _, err := s.Run(context.Background(), x.sql); pgerr.Code(err) != x.code || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", x.sql, err)
		}
	}
	// A session's skip is not for functions that cannot: their errors are errors.
	must(t, s, "SET volley.on_error = skip")
	if _, err := s.Run(context.Background(), "SELECT shaky_window(x) OVER () FROM "+from); pgerr.Code(err) != "38000" {
		t.Error(err)
	}
}

// Of large groups the one that ended the process is named without a search.
func TestLargeGroupNamed(t *testing.T) {
	_, s := start(t, 0)
	must(t, s, "ALTER FUNCTION shaky(bigint) SET volley.timeout = '20s'") // 300,000 rows on a busy machine
	must(t, s, "CREATE TABLE l AS SELECT i / 300000 AS k, i, CASE i WHEN 1050000 THEN -2 ELSE i END AS x FROM generate_series(0, 1499999) i")
	_, err := s.Run(context.Background(), "SELECT * FROM TABLE(shaky(rows => TABLE(l) PARTITION BY k ORDER BY i)) r")
	if pe := pgerr.From(err); pe.Code != "38000" || !strings.Contains(pe.Message, "exit status 4") || !strings.Contains(pe.Where, "group k = 3") {
		t.Errorf("%v; %s", err, pe.Where)
	}
}

// Who shares a process with calls that end it goes on, however often they do: its next
// attempt has a process of its own. In the same way a poisoned group is found among
// groups that are not.
func TestOthersEndTheProcess(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e, s := start(t, workers)
			must(t, s, "ALTER FUNCTION shaky(bigint) SET volley.timeout = '60s'") // on a busy machine
			ctx, cancel := context.WithCancel(context.Background())
			var crashes atomic.Int64
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				bad := e.Session()
				defer bad.Close()
				for ctx.Err() == nil {
					// Its own attempts tell it apart: it is found, too.
					_, err := bad.Run(ctx, "SELECT * FROM (SELECT i AS k, CASE i WHEN 3 THEN -2 ELSE i END AS x FROM generate_series(1, 4) i) q GROUP BY k APPLY shaky(x)")
					if pe := pgerr.From(err); ctx.Err() == nil && (pe.Code != "38000" || !strings.Contains(pe.Message, "exit status 4")) {
						t.Errorf("the poisoned query: %v", err)
						return
					}
					crashes.Add(1)
				}
			}()
			for crashes.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			for range 3 {
				for _, x := range []struct{ sql, want string }{
					{"SELECT shaky_sum(x) FROM generate_series(1, 1000000) x", "500000500000"},
					{"SELECT sum(rows), sum(sum) FROM (SELECT * FROM generate_series(1, 1000000) x GROUP BY x % 4 APPLY shaky(x)) r", "1000000 500000500000"},
				} {
					if rows, err := s.Run(context.Background(), x.sql); err != nil {
						t.Errorf("%s: %v", x.sql, err)
					} else if got := text(rows); got != x.want {
						t.Errorf("%s: %s, want %s", x.sql, got, x.want)
					}
				}
			}
			cancel()
			<-ended
			t.Logf("after %d queries that end the process", crashes.Load())
		})
	}
}

// A statement whose rows are being read goes on after another has ended the process: it
// gives the rows that are missing, where they are sure to be the same, and else says what
// to do.
func TestProcessEndsBetweenFetches(t *testing.T) {
	e, s := start(t, 0)
	for _, x := range []struct{ alter, query string }{
		{"FUNCTION shaky(bigint)", "SELECT * FROM generate_series(1, 100000) x GROUP BY x APPLY shaky(x)"},
		{"FUNCTION shaky_rows(bigint)", "SELECT x, n FROM generate_series(1, 50000) x, shaky_rows(x) n"},
	} {
		whole := must(t, s, x.query).Rows
		for _, volatility := range []string{"IMMUTABLE", "VOLATILE"} {
			must(t, s, "ALTER "+x.alter+" "+volatility)
			must(t, s, "BEGIN")
			must(t, s, "DECLARE c CURSOR FOR "+x.query)
			got := must(t, s, "FETCH 10 FROM c").Rows
			other := e.Session()
			// A table function of the same process, which is working for the cursor, too.
			if _, err := other.Run(context.Background(), "SELECT * FROM (SELECT -2 AS x) q GROUP BY () APPLY shaky(x)"); pgerr.Code(err) != "38000" {
				t.Error(err)
			}
			other.Close()
			var err error
			for n := 10; n > 0 && err == nil; {
				var r *engine.Rows
				if r, err = s.Run(context.Background(), "FETCH 20000 FROM c"); err == nil {
					n = len(r.Rows)
					got = append(got, r.Rows...)
				}
			}
			switch pe := pgerr.From(err); {
			case err == nil && !reflect.DeepEqual(got, whole):
				t.Errorf("%s, %s: %d rows, want %d", x.query, volatility, len(got), len(whole))
			case err != nil && volatility == "IMMUTABLE":
				t.Errorf("%s: after %d rows: %v", x.query, len(got), err)
			case err != nil && (pe.Code != "38000" || !strings.Contains(pe.Hint, "run it again")):
				t.Errorf("%s, %s: %v; %s", x.query, volatility, err, pe.Hint)
			}
			t.Logf("%s, %s: %d rows, %v", x.query, volatility, len(got), err)
			must(t, s, "ROLLBACK")
		}
	}
}

// Functions of every kind in results of many batches, for several clients at once: what
// is opened for one batch serves the next.
func TestManyBatches(t *testing.T) {
	e, _ := start(t, 0)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 6 {
		wg.Go(func() {
			s := e.Session()
			defer s.Close()
			for _, x := range []struct {
				sql  string
				rows int
			}{
				{"SELECT x, panic_mod(x, 2000000000) FROM generate_series(1, 50000) x", 50000},
				{"SELECT x, shaky_sum(x + 1000) FROM generate_series(1, 40000) x GROUP BY x", 40000},
				{"SELECT x, shaky_sum(x + 1000) OVER (ORDER BY x) FROM generate_series(1, 20000) x", 20000},
				{"SELECT * FROM (SELECT * FROM generate_series(1, 40000) x GROUP BY x APPLY shaky(x)) r", 40000},
				{"SELECT x, shaky_window(x) OVER (PARTITION BY x % 1000) FROM generate_series(1, 40000) x", 40000},
				{"SELECT x, n FROM generate_series(1, 40000) x, shaky_rows(x) n", 80000},
				{"SELECT x, panic_mod(x, 2000000000) FROM generate_series(1, 50000) x", 50000},
			} {
				if r, err := s.Run(context.Background(), x.sql); err != nil {
					t.Errorf("%s: %v", x.sql, err)
				} else if len(r.Rows) != x.rows {
					t.Errorf("%s: %d rows", x.sql, len(r.Rows))
				}
			}
		})
	}
}

// What a group needs counts in work_mem, and a session can bound it. A group of 20
// times the memory streams; a function that wants it whole is told why it cannot.
func TestGroupMemory(t *testing.T) {
	_, s := start(t, 0)
	must(t, s, "CREATE TABLE big AS SELECT i AS x FROM generate_series(1, 2700000) i")
	must(t, s, "SET work_mem = '1MB'")
	_, err := s.Run(context.Background(), "SELECT * FROM big GROUP BY () APPLY shaky_whole(x)")
	if pe := pgerr.From(err); pe.Code != pgerr.OutOfMemory || !strings.Contains(pe.Hint, "work_mem") {
		t.Errorf("%v; %s", err, pe.Hint)
	}
	if got := text(must(t, s, "SELECT sum(rows), sum(sum) FROM (SELECT * FROM big GROUP BY () APPLY shaky(x)) q")); got != "2700000 3645001350000" {
		t.Error(got)
	}
	// Small groups are no matter of memory, though the sort below has used it up.
	for _, mem := range []string{"1MB", "4MB"} {
		must(t, s, "SET work_mem = '"+mem+"'")
		if got := text(must(t, s, "SELECT count(*), sum(rows), sum(sum) FROM (SELECT * FROM big GROUP BY x * 31 % 675001 APPLY shaky_whole(x)) q")); got != "675001 2700000 3645001350000" {
			t.Errorf("%s: %s", mem, got)
		}
	}
	must(t, s, "RESET work_mem")
	if got := text(must(t, s, "SELECT * FROM big GROUP BY () APPLY shaky_whole(x)")); got != "2700000 3645001350000" {
		t.Error(got)
	}
	must(t, s, "SET volley.max_group_bytes = '1MB'")
	if _, err := s.Run(context.Background(), "SELECT * FROM big GROUP BY () APPLY shaky_whole(x)"); pgerr.Code(err) != pgerr.OutOfMemory || !strings.Contains(err.Error(), "volley.max_group_bytes (1048576 bytes)") {
		t.Error(err)
	}
	must(t, s, "SET volley.on_error = skip")
	if got := text(must(t, s, "SELECT min(k), sum(rows) FROM (SELECT k, rows FROM (SELECT CASE WHEN x < 10 THEN 1 ELSE 2 END AS k, x FROM big) q GROUP BY k APPLY shaky_whole(x)) r")); got != "1 9" {
		t.Error(got)
	}
	// A group that is larger than what is kept of it can raise errors, not end processes.
	must(t, s, "RESET volley.max_group_bytes")
	must(t, s, "CREATE TABLE huge AS SELECT i / 6000000 AS k, CASE i WHEN 5999000 THEN -5 ELSE i END AS x FROM generate_series(1, 6001000) i")
	if got := text(must(t, s, "SELECT k, sum(rows) FROM (SELECT k, rows FROM huge GROUP BY k APPLY shaky(x)) q GROUP BY k")); got != "1 1001" {
		t.Error(got)
	}
	_, err = s.Run(context.Background(), "SELECT k, sum(rows) FROM (SELECT k, rows FROM (SELECT k, CASE x WHEN -5 THEN -2 ELSE x END AS x FROM huge) h GROUP BY k APPLY shaky(x)) q GROUP BY k")
	if pe := pgerr.From(err); pe.Code != "38000" || !strings.Contains(pe.Detail, "up to which a group is kept") {
		t.Errorf("%v; %s", err, pe.Detail)
	}
}

// A group of an aggregate whose rows fail, or whose result does, has NULL: in every
// plan that computes it, and over windows. What ends the process ends the statement.
func TestAggregatesThatFail(t *testing.T) {
	for _, workers := range []int{0, 2} {
		_, s := start(t, workers)
		must(t, s, "SET volley.rows_per_task = 500")
		// Group 3 has a row that panics, group 5 an error, and the sum of group 13 is 13.
		must(t, s, "CREATE TABLE a AS SELECT i % 20 AS k, CASE i WHEN 1003 THEN -1 WHEN 2005 THEN -5 ELSE CASE i % 20 WHEN 13 THEN CASE i WHEN 13 THEN 13 ELSE 0 END ELSE i END END AS x FROM generate_series(0, 3999) i")
		want := text(must(t, s, "SELECT k, sum(x) FROM a WHERE k NOT IN (3, 5, 13) GROUP BY k ORDER BY k"))
		if _, err := s.Run(context.Background(), "SELECT k, shaky_sum(x) FROM a GROUP BY k"); pgerr.Code(err) != "38000" {
			t.Error(err)
		}
		must(t, s, "SET volley.on_error = 'null'")
		if got := text(must(t, s, "SELECT * FROM (SELECT k, shaky_sum(x) AS v FROM a GROUP BY k) q WHERE v IS NOT NULL ORDER BY k")); got != want {
			t.Errorf("workers=%d: %s, want %s", workers, got, want)
		}
		if got := text(must(t, s, "SELECT function, args, message LIKE '%no value%', message LIKE '%minus five%', message LIKE '%no result of 13%' FROM volley.udf_errors ORDER BY message LIKE '%no result%', message")); got !=
			"shaky_sum x = -5 f t f|shaky_sum x = -1 t f f|shaky_sum NULL f f t" && got != "shaky_sum x = -5 f t f|shaky_sum x = -1 t f f|shaky_sum  f f t" {
			t.Errorf("udf_errors: %s", got)
		}
		if got := text(must(t, s, "SELECT shaky_sum(x), shaky_sum(x) FILTER (WHERE x >= 0 AND k <> 13), shaky_sum(DISTINCT x) FILTER (WHERE x < 3) FROM a")); got != "NULL "+text(must(t, s, "SELECT sum(x) FILTER (WHERE x >= 0 AND k <> 13) FROM a"))+" NULL" {
			t.Errorf("without groups: %s", got)
		}
		if got := text(must(t, s, "SELECT i, shaky_sum(CASE i WHEN 3 THEN -5 ELSE i END) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM generate_series(1, 6) i")); got != "1 1|2 3|3 NULL|4 NULL|5 9|6 11" {
			t.Errorf("over a window: %s", got)
		}
		if _, err := s.Run(context.Background(), "SELECT shaky_sum(CASE x WHEN -1 THEN -2 ELSE x END) FROM a"); !strings.Contains(fmt.Sprint(err), "exit status 4") {
			t.Error(err)
		}
		// A function's own setting goes before the session's.
		must(t, s, "ALTER ROUTINE shaky_sum(bigint) SET volley.on_error = 'fail'")
		if _, err := s.Run(context.Background(), "SELECT k, shaky_sum(x) FROM a GROUP BY k"); pgerr.Code(err) != "38000" {
			t.Error(err)
		}
	}
}
