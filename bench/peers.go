package main

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

//go:embed queries
var queryFiles embed.FS

// suiteQuery is a query of a suite, as text for both engines.
type suiteQuery struct{ name, sql string }

func suiteQueries(suite string) ([]suiteQuery, error) {
	names, err := fs.Glob(queryFiles, "queries/"+suite+"/*.sql")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("there is no suite %q; suites: %s", suite, strings.Join(suiteNames, ", "))
	}
	var out []suiteQuery
	for _, n := range names {
		text, err := queryFiles.ReadFile(n)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(n), ".sql")
		out = append(out, suiteQuery{name, strings.TrimSuffix(strings.TrimSpace(string(text)), ";")})
	}
	return out, nil
}

// outcome is what became of a query.
type outcome struct {
	name           string
	err            error  // of Volley, or the first difference
	note           string // how the answers were compared, where that is not as they stand
	rows           int
	volley, duckdb times
}

// runSuite runs a suite on both engines over the same files. Its answer is an
// error when a query failed or differed, after all have been tried.
func runSuite(ctx context.Context, c config, suite string, scale float64, out, log io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(log, format, args...) }
	queries, err := suiteQueries(suite)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(c.threads)
	tmp, err := os.MkdirTemp("", "volley-peers-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	duck, err := openDuckDB(ctx, c.threads, c.memory, filepath.Join(tmp, "duckdb"))
	if err != nil {
		return err
	}
	defer duck.close()
	dir, err := suiteData(ctx, c.dir, suite, scale, duck, say)
	if err != nil {
		return err
	}
	v, err := openVolley(ctx, filepath.Join(tmp, "volley"), c.threads, c.memory)
	if err != nil {
		return err
	}
	defer v.close()
	if err := suiteViews(ctx, dir, duck, v); err != nil {
		return err
	}
	p := &profiler{path: c.profile}
	var done []*outcome
	for _, q := range queries {
		if c.only != "" && !slices.Contains(strings.Split(c.only, ","), q.name) {
			continue
		}
		o := &outcome{name: q.name}
		done = append(done, o)
		if o.note, o.rows, o.err = compareAnswers(ctx, q.sql, c.timeout, v, duck); o.err == nil {
			o.err = timeQuery(ctx, q.sql, c, o, v, duck, p)
		}
		if o.err != nil {
			say("%s %s: %v\n", suite, q.name, o.err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if p.err != nil {
		return p.err
	}
	return printSuite(suite, scale, c, done, out)
}

// suiteViews gives both engines the files under the names of the tables.
func suiteViews(ctx context.Context, dir string, duck *duckDB, v *volley) error {
	// Both as Postgres has it.
	for _, s := range []string{"SET integer_division = true", "SET default_null_order = 'postgres'"} {
		if _, err := duck.rows(ctx, s); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		return err
	}
	for _, f := range files {
		s := fmt.Sprintf("CREATE VIEW %s AS SELECT * FROM read_parquet(%s)", strings.TrimSuffix(filepath.Base(f), ".parquet"), quote(f))
		if _, err := duck.rows(ctx, s); err != nil {
			return err
		}
		if _, err := v.rows(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func timeQuery(ctx context.Context, q string, c config, o *outcome, v *volley, duck *duckDB, p *profiler) error {
	clock := func(t *times, f func() error) error {
		runtime.GC()
		start := time.Now()
		err := f()
		*t = append(*t, time.Since(start))
		return err
	}
	for range c.reps {
		p.start()
		err := clock(&o.volley, func() error { _, err := v.rows(ctx, q); return err })
		p.stop()
		if err != nil {
			return err
		}
		if c.volley {
			continue
		}
		if err := clock(&o.duckdb, func() error { _, err := duck.rows(ctx, q); return err }); err != nil {
			return err
		}
	}
	return nil
}

// limitClause is the end of a query that cuts its rows.
var limitClause = regexp.MustCompile(`(?is)\s+limit\s+\d+(\s+offset\s+\d+)?\s*$`)

// compareAnswers runs a query on both engines. Rows are compared in any order:
// an ORDER BY need not decide between all rows. Where a LIMIT then keeps
// different rows, the answers without it are compared.
func compareAnswers(ctx context.Context, q string, limit time.Duration, v *volley, duck *duckDB) (note string, rows int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	got, err := v.rows(ctx, q)
	if err != nil {
		return "", 0, err
	}
	described, err := duck.rows(ctx, "DESCRIBE "+q)
	if err != nil {
		return "", 0, err
	}
	kinds := make([]string, len(described))
	for i, d := range described {
		kinds[i] = d[1]
	}
	text := func(q string) ([][]string, error) {
		return duck.rows(ctx, "SELECT COLUMNS(*)::varchar FROM ("+q+") q")
	}
	want, err := text(q)
	if err != nil {
		return "", 0, err
	}
	rows = len(got)
	if differ(kinds, got, want) == nil {
		return "", rows, nil
	}
	err = differ(kinds, sortedRows(kinds, got), sortedRows(kinds, want))
	if err == nil {
		return "other order", rows, nil
	}
	whole := limitClause.ReplaceAllString(q, "")
	if whole == q || len(got) != len(want) {
		return "", rows, err
	}
	if got, err = v.rows(ctx, whole); err != nil {
		return "", rows, err
	}
	if want, err = text(whole); err != nil {
		return "", rows, err
	}
	return "without LIMIT", rows, differ(kinds, sortedRows(kinds, got), sortedRows(kinds, want))
}

func inexact(kind string) bool { return kind == "DOUBLE" || kind == "FLOAT" }

// sortedRows orders rows by their text, of floats a few digits only so that the
// last ones do not decide.
func sortedRows(kinds []string, rows [][]string) [][]string {
	type keyed struct{ key, row []string }
	list := make([]keyed, len(rows))
	for i, r := range rows {
		k := make([]string, len(r))
		for c, s := range r {
			k[c] = s
			if f, err := strconv.ParseFloat(s, 64); err == nil && c < len(kinds) && !strings.HasPrefix(kinds[c], "VARCHAR") {
				k[c] = strconv.FormatFloat(f, 'e', 5, 64)
			}
		}
		list[i] = keyed{k, r}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return slices.Compare(a.key, b.key) })
	out := make([][]string, len(rows))
	for i, k := range list {
		out[i] = k.row
	}
	return out
}

// differ tells the first difference: floats may differ by 1e-9 of their size,
// numbers else by nothing but trailing zeros.
func differ(kinds []string, got, want [][]string) error {
	if len(got) != len(want) {
		return fmt.Errorf("Volley has %d rows, DuckDB %d", len(got), len(want))
	}
	for i := range got {
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("Volley has %d columns, DuckDB %d", len(got[i]), len(want[i]))
		}
		for c := range got[i] {
			if !sameValue(kinds[c], got[i][c], want[i][c]) {
				return fmt.Errorf("row %d, column %d (%s): Volley %s, DuckDB %s\n  Volley %v\n  DuckDB %v", i+1, c+1, kinds[c], got[i][c], want[i][c], got[i], want[i])
			}
		}
	}
	return nil
}

func sameValue(kind, a, b string) bool {
	if a == b {
		return true
	}
	if inexact(kind) {
		x, err1 := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		return err1 == nil && err2 == nil && math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y))
	}
	if kind == "BOOLEAN" {
		return a != "" && strings.HasPrefix(b, a)
	}
	if strings.HasPrefix(kind, "DECIMAL") || strings.HasSuffix(kind, "INT") || kind == "INTEGER" {
		x, ok1 := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		return ok1 && ok2 && x.Cmp(y) == 0
	}
	return false
}

func printSuite(suite string, scale float64, c config, done []*outcome, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "query\tVolley ms\tDuckDB ms\tratio\trows\tanswer")
	passed, n, logs := 0, 0, 0.0
	var sumV, sumD float64
	var ratios []float64
	for _, o := range done {
		if o.err != nil {
			first, _, _ := strings.Cut(o.err.Error(), "\n")
			fmt.Fprintf(w, "%s\t\t\t\t\t%s\n", o.name, first)
			continue
		}
		passed++
		v, d := o.volley.timing(), o.duckdb.timing()
		ratio := 0.0
		if d != nil && d.Best > 0 {
			ratio = v.Best / d.Best
			n, logs = n+1, logs+math.Log(ratio)
			sumV, sumD = sumV+v.Best, sumD+d.Best
			ratios = append(ratios, ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", o.name, v, d, number(ratio), o.rows, cmp.Or(o.note, "same"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s, scale %g, %d threads: %d of %d have the same answer", suite, scale, c.threads, passed, len(done))
	if n > 0 {
		slices.Sort(ratios)
		fmt.Fprintf(out, "; Volley %.0f ms, DuckDB %.0f ms; ratios: geometric mean %.2f, median %.2f, %.2f to %.2f",
			sumV, sumD, math.Exp(logs/float64(n)), ratios[n/2], ratios[0], ratios[n-1])
	}
	fmt.Fprintln(out)
	if passed < len(done) {
		return fmt.Errorf("%s: %d of %d queries failed", suite, len(done)-passed, len(done))
	}
	return nil
}
