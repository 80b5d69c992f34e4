package fuzzsql

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

var (
	postgres = flag.String("postgres", "", "connection string of a Postgres to compare with")
	count    = flag.Int("statements", 30, "how many statements")
	first    = flag.Int("from", 0, "number of the first statement")
	seed     = flag.Uint64("seed", 1, "of the tables and statements")
	only     = flag.String("sql", "", "ask this `query` of the seed's tables instead, to make a difference smaller")
	show     = flag.Bool("show", false, "print every statement")
)

// result is an answer: rows in order, or an error.
type result struct {
	rows []string
	err  string // SQLSTATE and message
}

func (r *result) code() string { c, _, _ := strings.Cut(r.err, " "); return c }

func (r *result) sorted() *result {
	c := &result{rows: slices.Clone(r.rows), err: r.err}
	slices.Sort(c.rows)
	return c
}

func (r *result) equal(o *result) bool { return r.err == o.err && slices.Equal(r.rows, o.rows) }

func (r *result) String() string {
	if r.err != "" {
		return "  error " + r.err
	}
	n := min(len(r.rows), 12)
	return fmt.Sprintf("  %d rows\n    %s", len(r.rows), strings.Join(r.rows[:n], "\n    "))
}

// difference shows where two answers part.
func difference(a, b *result) string {
	if a.err != "" || b.err != "" || slices.Equal(a.rows, b.rows) {
		return fmt.Sprintf("%v\n  against\n%v", a, b)
	}
	only := func(x, y []string) []string {
		n := map[string]int{}
		for _, r := range y {
			n[r]++
		}
		var out []string
		for _, r := range x {
			if n[r]--; n[r] < 0 {
				out = append(out, r)
			}
		}
		return out[:min(len(out), 6)]
	}
	return fmt.Sprintf("  %d and %d rows\n  only first:  %q\n  only second: %q", len(a.rows), len(b.rows), only(a.rows, b.rows), only(b.rows, a.rows))
}

func TestFuzz(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	tables, setup := schema(rand.New(rand.NewPCG(*seed, 0)))
	open := func(workers int, cut bool) func(sql string) *result {
		s := engine.Start(t, workers).Session()
		t.Cleanup(s.Close)
		if cut {
			setup := append([]string{"SET volley.rows_per_task = 50"}, setup...)
			mustAll(t, s, setup)
		} else {
			mustAll(t, s, setup)
		}
		return func(sql string) *result {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			rows, err := s.Run(ctx, sql)
			if err != nil {
				return &result{err: pgerr.Code(err) + " " + err.Error()}
			}
			out := &result{}
			for _, r := range rows.Rows {
				out.rows = append(out.rows, strings.Join(r, "|"))
			}
			return out
		}
	}
	whole, cut, cluster := open(0, false), open(0, true), open(3, true)
	var reference func(sql string) *result
	if *postgres != "" {
		reference = openPostgres(t, setup)
	}
	unsupported := map[string]int{}
	failed := 0
	for i := *first; i < *first+*count; i++ {
		g := &gen{Rand: rand.New(rand.NewPCG(*seed, uint64(i)+1)), tables: tables}
		sql, ordered := g.statement()
		if *only != "" {
			sql, ordered = *only, false
		}
		if *show {
			t.Logf("%d: %s", i, sql)
		}
		var ref *result
		if reference != nil {
			if ref = reference(sql); ref.code() == "57014" || len(ref.rows) > 200000 {
				continue // too much work
			}
		}
		a := whole(sql)
		if c := a.code(); c == pgerr.FeatureNotSupported || c == pgerr.QueryCanceled {
			unsupported[a.err]++
			continue
		}
		fail := func(what string, x, y *result) {
			failed++
			t.Errorf("-seed %d -from %d -statements 1: %s\n%s\n%s", *seed, i, what, sql, difference(x, y))
		}
		b, c := cut(sql), cluster(sql)
		if b.code() == pgerr.QueryCanceled || c.code() == pgerr.QueryCanceled {
			unsupported[b.err+c.err]++
			continue
		}
		if !c.equal(b) {
			fail("three workers answer differently from one process", c, b)
		}
		if !a.sorted().equal(b.sorted()) || ordered && !a.equal(b) {
			fail("small tasks answer differently from large ones", b, a)
		}
		if ref != nil {
			if ref.err != "" && a.err != "" {
				if ref.code() != a.code() {
					t.Logf("-from %d: other error: %s\n  %s\n  %s", i, sql, a.err, ref.err)
				}
			} else if !soft(a).sorted().equal(soft(ref).sorted()) {
				fail("Postgres answers differently", a, ref)
			} else if ordered && !soft(a).equal(soft(ref)) {
				fail("Postgres has another order", a, ref)
			}
		}
		if failed >= 20 {
			t.Fatal("enough")
		}
	}
	for e, n := range unsupported {
		t.Logf("not supported, %d times: %s", n, e)
	}
}

// soft makes answers comparable: which of several equal numerics of different
// scale stands for a group is open.
func soft(r *result) *result {
	out := &result{err: r.err}
	for _, row := range r.rows {
		fs := strings.Split(row, "|")
		for i, f := range fs {
			if strings.Contains(f, ".") && strings.Trim(f, "-0123456789.") == "" {
				f = strings.TrimRight(strings.TrimRight(f, "0"), ".")
			}
			if f == "-0" {
				f = "0"
			}
			fs[i] = f
		}
		out.rows = append(out.rows, strings.Join(fs, "|"))
	}
	return out
}

func mustAll(t *testing.T, s *engine.Session, stmts []string) {
	for _, sql := range stmts {
		if _, err := s.Run(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

func openPostgres(t *testing.T, setup []string) func(sql string) *result {
	conn, err := pgconn.Connect(context.Background(), *postgres)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	run := func(sql string) *result {
		rs, err := conn.Exec(context.Background(), sql).ReadAll()
		if err != nil {
			var pe *pgconn.PgError
			if !errors.As(err, &pe) {
				t.Fatal(err)
			}
			return &result{err: pe.Code + " " + pe.Message}
		}
		out := &result{}
		for _, r := range rs {
			for _, row := range r.Rows {
				fs := make([]string, len(row))
				for i, v := range row {
					fs[i] = "NULL"
					if v != nil {
						fs[i] = string(v)
					}
				}
				out.rows = append(out.rows, strings.Join(fs, "|"))
			}
		}
		return out
	}
	for _, sql := range append([]string{"DROP SCHEMA IF EXISTS fuzzsql CASCADE; CREATE SCHEMA fuzzsql", "SET search_path = fuzzsql", "SET statement_timeout = '10s'"}, setup...) {
		if r := run(sql); r.err != "" {
			t.Fatal(r.err)
		}
	}
	return run
}
