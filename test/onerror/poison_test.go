package onerror

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

// One row in a million: it is found and named, and the others are all there. The
// bounds are for a busy machine; the times are printed. What is promised: less
// than 5 s, at most 3 deaths of the function's process, none of anything else.
func TestPoisonRowAmongAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	const (
		rows  = 1_000_000
		at    = 765_432
		bound = 20 * time.Second
	)
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e, s := start(t, workers)
			must(t, s, "CREATE TABLE million AS SELECT g AS id FROM generate_series(1, 1000000) g")
			// The workers are this process, which lives; none has had to register again.
			const lives = "SELECT string_agg(id || ' ' || started, ',' ORDER BY id) FROM volley.workers WHERE state = 'up'"
			born := text(must(t, s, lives))
			for _, c := range []struct{ f, code, says string }{
				{"panic_mod", "38000", "no value for 765432"},
				{"exit_at", "38000", "plugin process exited: exit status 3"},
				{"hang_at", "57014", "did not finish within 600ms"},
			} {
				name := map[bool]string{true: "m", false: "at"}[c.f == "panic_mod"]
				values := fmt.Sprintf("x = %d, %s = %d", at, name, at)
				call := fmt.Sprintf("%s(id, %d)", c.f, at)
				stop := others(t, e) // queries that nothing of this may disturb
				must(t, s, "SET volley.on_error = fail")
				begin := time.Now()
				_, err := s.Run(context.Background(), "SELECT sum("+call+") FROM million")
				took := time.Since(begin)
				t.Logf("%s: found after %v", c.f, took.Round(time.Millisecond))
				pe := pgerr.From(err)
				if err == nil || pe.Code != c.code || !strings.Contains(pe.Message, c.says) || !strings.Contains(pe.Detail, values) || took > bound {
					t.Errorf("%s after %v: %v %s; %s; %s", c.f, took, pgerr.Code(err), err, pe.Detail, pe.Where)
				}
				before := restarts(t, s, c.f)
				for _, m := range []struct {
					mode string
					n    int
				}{{"skip", rows - 1}, {"null", rows}} {
					must(t, s, "SET volley.on_error = '"+m.mode+"'")
					begin := time.Now()
					got := text(must(t, s, "SELECT count(*), count(v), sum(v), sum(id) FROM (SELECT id, "+call+" AS v FROM million) q"))
					took := time.Since(begin)
					t.Logf("%s, %s: all other rows after %v", c.f, m.mode, took.Round(time.Millisecond))
					sum := rows * (rows + 1) / 2
					want := fmt.Sprintf("%d %d %d %d", m.n, rows-1, 2*(sum-at), sum-(rows-m.n)*at)
					if got != want || took > bound {
						t.Errorf("%s, %s, after %v: %s, want %s", c.f, m.mode, took, got, want)
					}
					now := restarts(t, s, c.f)
					// A process that does not get the CPU to answer a cancel within 300 ms is
					// ended, too: on a busy machine there may be one such death besides.
					t.Logf("%s, %s: %d deaths", c.f, m.mode, now-before)
					if now-before > 4 {
						t.Errorf("%s, %s: %d deaths", c.f, m.mode, now-before)
					}
					before = now
				}
				must(t, s, "SET volley.on_error = fail")
				if err := stop(); err != nil {
					t.Errorf("beside %s: %v", c.f, err)
				}
				got := text(must(t, s, "SELECT function, args, sqlstate, count(DISTINCT query_id), count(*), min(row_no) > 0 FROM volley.udf_errors WHERE function = '"+c.f+"' GROUP BY 1, 2, 3"))
				if want := fmt.Sprintf("%s %s %s 2 2 t", c.f, values, c.code); got != want {
					t.Errorf("udf_errors: %q, want %q", got, want)
				}
			}
			if now := text(must(t, s, lives)); now != born {
				t.Errorf("workers: %s, before: %s", now, born)
			}
		})
	}
}

// restarts is how many processes a function has cost so far.
func restarts(t *testing.T, s *engine.Session, f string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(text(must(t, s, "SELECT coalesce(sum(restarts), 0) FROM volley.udf_stats WHERE function = '"+f+"'")), &n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// others runs queries that have no poisoned row, with a function of the same
// artifact, thus of the same process, and without, until it is stopped.
func others(t *testing.T, e *engine.Engine) (stop func() error) {
	t.Helper()
	s := e.Session()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var failed error
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer s.Close()
		for ctx.Err() == nil && failed == nil {
			for q, want := range map[string]string{
				"SELECT sum(panic_mod(id, 2000000)) FROM million WHERE id <= 20000": "400020000",
				"SELECT sum(id) FROM million":                                       "500000500000",
			} {
				r, err := s.Run(context.Background(), q)
				if err == nil && text(r) != want {
					err = fmt.Errorf("%s: %s", q, text(r))
				}
				if err != nil {
					failed = err
				}
			}
		}
	}()
	return func() error {
		cancel()
		wg.Wait()
		return failed
	}
}
