package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/volleydb/volley/test/answers"
)

// writeAnswers writes DuckDB's answers to the queries of a suite into a
// directory, and the data that they are of.
func writeAnswers(ctx context.Context, c config, suite string, scale float64, log io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(log, format, args...) }
	queries, err := suiteQueries(suite)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "volley-answers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// One thread: the same sums of floats on every machine.
	duck, err := openDuckDB(ctx, 1, c.memory, filepath.Join(tmp, "duckdb"))
	if err != nil {
		return err
	}
	defer duck.close()
	source, err := suiteData(ctx, c.dir, suite, scale, duck, say)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.answers, suite)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(source, "*.parquet"))
	if err != nil {
		return err
	}
	// Small files, of many row groups for many tasks.
	for _, f := range files {
		q := fmt.Sprintf("COPY (FROM read_parquet(%s)) TO %s (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 22, ROW_GROUP_SIZE %d)",
			quote(f), quote(filepath.Join(dir, filepath.Base(f))), answersRowGroup)
		if _, err := duck.rows(ctx, q); err != nil {
			return err
		}
	}
	if err := duckViews(ctx, dir, duck); err != nil {
		return err
	}
	var list []*answers.Answer
	for _, q := range queries {
		text := peerQuery(suite, q)
		kinds, order, err := described(ctx, text, duck)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		rows, err := duck.texts(ctx, text, len(kinds), "")
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		a := answers.New(kinds, order.Keys, rows)
		if order.Limited {
			n := len(rows)
			if rows, err = duck.texts(ctx, order.Whole, len(kinds), ""); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			a = answers.NewLimited(kinds, order.Keys, rows, order.Offset, n)
		}
		a.Name = q.name
		list = append(list, a)
	}
	var b strings.Builder
	if err := answers.Write(&b, list); err != nil {
		return err
	}
	say("%s: %d answers\n", suite, len(list))
	return os.WriteFile(filepath.Join(c.answers, suite+".answers"), []byte(b.String()), 0o644)
}

// answersRowGroup is DuckDB's smallest size of a row group, times four.
const answersRowGroup = 8192
