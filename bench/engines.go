package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the database/sql driver "duckdb"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/examples"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
	"github.com/volleydb/volley/worker"
)

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// duckDB is the peer, in this process, on one connection.
type duckDB struct {
	db   *sql.DB
	conn *sql.Conn
}

func openDuckDB(ctx context.Context, threads int, memory int64, tmp string) (*duckDB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	d := &duckDB{db: db}
	if d.conn, err = db.Conn(ctx); err != nil {
		return nil, err
	}
	for _, s := range []string{
		fmt.Sprintf("PRAGMA threads=%d", threads),
		fmt.Sprintf("PRAGMA memory_limit='%dMiB'", memory>>20),
		"PRAGMA temp_directory=" + quote(tmp),
	} {
		if _, err := d.conn.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *duckDB) close() {
	_ = d.conn.Close()
	_ = d.db.Close()
}

// rows runs a statement and returns its rows as text.
func (d *duckDB) rows(ctx context.Context, q string) ([][]string, error) {
	rs, err := d.conn.QueryContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("DuckDB: %w", err)
	}
	defer rs.Close()
	cols, err := rs.Columns()
	if err != nil {
		return nil, err
	}
	vals, ptrs := make([]any, len(cols)), make([]any, len(cols))
	for i := range vals {
		ptrs[i] = &vals[i]
	}
	var out [][]string
	for rs.Next() {
		if err := rs.Scan(ptrs...); err != nil {
			return nil, err
		}
		row := make([]string, len(vals))
		for i, v := range vals {
			if f, ok := v.(float64); ok {
				row[i] = strconv.FormatFloat(f, 'g', -1, 64)
			} else {
				row[i] = fmt.Sprint(v)
			}
		}
		out = append(out, row)
	}
	return out, rs.Err()
}

// volley is the product, in this process, with its embedded worker.
type volley struct {
	server  *coordinator.Server
	session *coordinator.Session
}

func openVolley(ctx context.Context, dir string, threads int, memory int64) (*volley, error) {
	// As cmd/volley does: the heap may grow well over what lives before the
	// collector runs, under a limit.
	worker.TuneCollector(memory)
	debug.SetMemoryLimit(memory / 5 * 7)
	v := &volley{}
	var err error
	v.server, err = coordinator.Open(ctx, coordinator.OpenConfig{Dir: dir, RunLocally: true, Slots: threads, Memory: memory,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	v.session, err = v.server.NewSession(ctx, coordinator.SessionOptions{Settings: map[string]string{"volley.seed": "1"}})
	return v, err
}

func (v *volley) close() {
	if v.session != nil {
		v.session.Close()
	}
	_ = v.server.Close()
}

// each runs one statement and hands every batch to f.
func (v *volley) each(ctx context.Context, q string, f func(*vector.Batch, []vector.Field) error) error {
	list, err := parser.Parse(q)
	if err != nil {
		return err
	}
	failed := true
	defer func() { v.session.EndImplicit(failed) }()
	p, err := v.session.Prepare(ctx, list[0], nil)
	if err != nil {
		return err
	}
	r, err := v.session.Execute(ctx, p, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			failed = false
			return nil
		}
		if err := f(b.Dense(), r.Fields); err != nil {
			return err
		}
	}
}

// rows runs a statement and returns its rows as text.
func (v *volley) rows(ctx context.Context, q string) ([][]string, error) {
	var out [][]string
	err := v.each(ctx, q, func(b *vector.Batch, fields []vector.Field) error {
		for i := range b.Rows() {
			row := make([]string, len(fields))
			for c, f := range fields {
				if b.Col(c).IsNull(i) {
					row[c] = "<nil>" // as fmt.Sprint(nil) above
				} else {
					row[c] = string(vector.TextAppender(f.Type, &types.TextOptions{ExtraFloatDigits: 1})(nil, b.Col(c), i))
				}
			}
			out = append(out, row)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("volley: %w", err)
	}
	return out, nil
}

// registerScore builds examples/score and registers both its forms.
func (v *volley) registerScore(ctx context.Context, tmp string) error {
	if err := examples.Write("score", tmp); err != nil {
		return err
	}
	a, err := udf.Build(ctx, tmp, udf.BuildOptions{Name: "score"})
	if err != nil {
		return err
	}
	if _, err := v.server.Artifacts.PutFile(ctx, a.Path); err != nil {
		return err
	}
	args := "g1 float8, g2 float8, g3 float8, g4 float8, g5 float8, g6 float8, g7 float8, g8 float8, g9 float8, g10 float8"
	for _, q := range []string{
		"CREATE FUNCTION score_row(" + args + ") RETURNS float8 AS 'score@" + a.Digest + "', 'score_row' LANGUAGE go IMMUTABLE",
		"CREATE FUNCTION score_udf(user_id bigint, " + args + ") RETURNS TABLE (user_id bigint, prediction float8) AS 'score@" + a.Digest + "', 'Score' LANGUAGE go IMMUTABLE",
	} {
		if _, err := v.rows(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// sameAnswer compares two results: text exactly, numbers within 1e-9 of their
// size, since sums of floats depend on the order of the additions.
func sameAnswer(a, b [][]string) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d rows and %d rows", len(a), len(b))
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return fmt.Errorf("%d columns and %d columns", len(a[i]), len(b[i]))
		}
		for c := range a[i] {
			if a[i][c] == b[i][c] {
				continue
			}
			x, err1 := strconv.ParseFloat(a[i][c], 64)
			y, err2 := strconv.ParseFloat(b[i][c], 64)
			if err1 != nil || err2 != nil || !(math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y))) {
				return fmt.Errorf("row %d, column %d: %s and %s", i+1, c+1, a[i][c], b[i][c])
			}
		}
	}
	return nil
}
