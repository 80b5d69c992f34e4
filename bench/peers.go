package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/volleydb/volley/test/answers"
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

// ratio is Volley's best time over DuckDB's, 0 when one is missing.
func (o *outcome) ratio() float64 {
	v, d := o.volley.timing(), o.duckdb.timing()
	if o.err != nil || v == nil || d == nil || d.Best <= 0 {
		return 0
	}
	return v.Best / d.Best
}

// defaultScale is a gigabyte, or ten million rows.
func defaultScale(suite string) float64 {
	if strings.HasPrefix(suite, "tpc") {
		return 1
	}
	return 10
}

// runSuites runs suites one after the other and tells the geometric mean over
// the queries of all, and those that are slow. scale 0 is each suite's default.
func runSuites(ctx context.Context, c config, suites []string, scale float64, out, log io.Writer) error {
	var failed []error
	var slow []string
	n, logs := 0, 0.0
	for _, s := range suites {
		sf := scale
		if sf == 0 {
			sf = defaultScale(s)
		}
		done, err := runSuite(ctx, c, s, sf, out, log)
		if err != nil {
			failed = append(failed, err)
		}
		for _, o := range done {
			if r := o.ratio(); r > 0 {
				n, logs = n+1, logs+math.Log(r)
				if r > 1.5 {
					slow = append(slow, fmt.Sprintf("%s %s %.2f", s, o.name, r))
				}
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(suites) > 1 && n > 0 {
		fmt.Fprintf(out, "\n%d queries of %s: geometric mean of the ratios %.2f; %d above 1.5: %s\n",
			n, strings.Join(suites, ", "), math.Exp(logs/float64(n)), len(slow), strings.Join(slow, ", "))
	}
	return errors.Join(failed...)
}

// runSuite runs a suite on both engines over the same files. Its answer is an
// error when a query failed or differed, after all have been tried.
func runSuite(ctx context.Context, c config, suite string, scale float64, out, log io.Writer) ([]*outcome, error) {
	say := func(format string, args ...any) { fmt.Fprintf(log, format, args...) }
	queries, err := suiteQueries(suite)
	if err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(c.threads)
	tmp, err := os.MkdirTemp("", "volley-peers-run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	duck, err := openDuckDB(ctx, c.threads, c.memory, filepath.Join(tmp, "duckdb"))
	if err != nil {
		return nil, err
	}
	defer duck.close()
	dir, err := suiteData(ctx, c.dir, suite, scale, duck, say)
	if err != nil {
		return nil, err
	}
	v, err := openVolley(ctx, filepath.Join(tmp, "volley"), c.threads, c.memory)
	if err != nil {
		return nil, err
	}
	defer v.close()
	if err := suiteViews(ctx, dir, duck, v); err != nil {
		return nil, err
	}
	p := &profiler{path: c.profile}
	var done []*outcome
	for _, q := range queries {
		if c.only != "" && !slices.Contains(strings.Split(c.only, ","), q.name) {
			continue
		}
		o := &outcome{name: q.name}
		done = append(done, o)
		if o.note, o.rows, o.err = compareAnswers(ctx, q.sql, peerQuery(suite, q), c.timeout, v, duck); o.err == nil {
			o.err = timeQuery(ctx, q.sql, c, o, v, duck, p)
		}
		if o.err != nil {
			say("%s %s: %v\n", suite, q.name, o.err)
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
	if p.err != nil {
		return done, p.err
	}
	if c.json == "-" {
		return done, suiteJSON(done, out)
	}
	return done, printSuite(suite, scale, c, done, out)
}

// suiteViews gives both engines the files under the names of the tables.
func suiteViews(ctx context.Context, dir string, duck *duckDB, v *volley) error {
	if err := duckViews(ctx, dir, duck); err != nil {
		return err
	}
	return eachView(dir, func(sql string) error { _, err := v.rows(ctx, sql); return err })
}

func duckViews(ctx context.Context, dir string, duck *duckDB) error {
	// Both as Postgres has it.
	for _, s := range []string{"SET integer_division = true", "SET default_null_order = 'postgres'"} {
		if _, err := duck.rows(ctx, s); err != nil {
			return err
		}
	}
	return eachView(dir, func(sql string) error { _, err := duck.rows(ctx, sql); return err })
}

func eachView(dir string, run func(sql string) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := run(fmt.Sprintf("CREATE VIEW %s AS SELECT * FROM read_parquet(%s)", strings.TrimSuffix(filepath.Base(f), ".parquet"), quote(f))); err != nil {
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

// peerQuery is the text that DuckDB gets: where it differs from Postgres there is
// one of its own, which is not what is timed.
func peerQuery(suite string, q suiteQuery) string {
	if text, err := queryFiles.ReadFile("queries/" + suite + "/" + q.name + ".duckdb"); err == nil {
		return strings.TrimSuffix(strings.TrimSpace(string(text)), ";")
	}
	return q.sql
}

// described is what DuckDB says of a query's columns, and what its end says of
// the order of the rows.
func described(ctx context.Context, q string, duck *duckDB) (kinds []string, order answers.Order, err error) {
	cols, err := duck.rows(ctx, "DESCRIBE "+q)
	if err != nil {
		return nil, order, err
	}
	var names []string
	for _, d := range cols {
		names, kinds = append(names, d[0]), append(kinds, d[1])
	}
	order, err = answers.ReadOrder(q, names)
	return kinds, order, err
}

// texts runs a query on DuckDB; its columns go by c0, c1, … in the condition.
func (d *duckDB) texts(ctx context.Context, q string, columns int, where string) ([][]string, error) {
	names := make([]string, columns)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	rows, err := d.rows(ctx, "SELECT COLUMNS(*)::varchar FROM ("+q+"\n) q("+strings.Join(names, ", ")+")"+where)
	return withNulls(rows), err
}

// withNulls replaces the text of NULL by that of package answers.
func withNulls(rows [][]string) [][]string {
	for _, r := range rows {
		for c := range r {
			if r[c] == "<nil>" {
				r[c] = answers.Null
			}
		}
	}
	return rows
}

// compareAnswers runs a query on both engines. Where they keep different ones of
// the rows that tie for a LIMIT, all of Volley's have to be in DuckDB's answer
// without it.
func compareAnswers(ctx context.Context, q, peer string, limit time.Duration, v *volley, duck *duckDB) (note string, rows int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	got, err := v.rows(ctx, q)
	if err != nil {
		return "", 0, err
	}
	got, rows = withNulls(got), len(got)
	kinds, order, err := described(ctx, peer, duck)
	if err != nil {
		return "", rows, err
	}
	want, err := duck.texts(ctx, peer, len(kinds), "")
	if err != nil {
		return "", rows, err
	}
	err = answers.New(kinds, order.Keys, want).Check(got)
	if err == nil || !order.Limited || len(got) != len(want) || len(got) == 0 {
		return "", rows, err
	}
	where, err2 := among(kinds, got)
	if err2 != nil {
		return "", rows, err
	}
	pool, err2 := duck.texts(ctx, order.Whole, len(kinds), where)
	if err2 != nil {
		return "", rows, err2
	}
	return "other ties", rows, answers.WithTies(kinds, order.Keys, want, pool).Check(got)
}

// among is a condition that all of these rows meet and few others: on the
// column, floats apart, that has most values.
func among(kinds []string, rows [][]string) (string, error) {
	best, most := -1, map[string]bool{}
	for c, kind := range kinds {
		values := map[string]bool{}
		for _, r := range rows {
			values[r[c]] = true
		}
		if kind != "DOUBLE" && kind != "FLOAT" && !strings.HasPrefix(kind, "DECIMAL") && kind != "BOOLEAN" && !values[answers.Null] && len(values) > len(most) {
			best, most = c, values
		}
	}
	if best < 0 {
		return "", errors.New("no column to find rows by")
	}
	var list []string
	for v := range most {
		list = append(list, quote(v))
	}
	slices.Sort(list)
	return fmt.Sprintf(" WHERE c%d::varchar IN (%s)", best, strings.Join(list, ", ")), nil
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
		ratio := o.ratio()
		if ratio > 0 {
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
