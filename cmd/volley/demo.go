package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/examples"
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/udf"
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Score generated data with a Go function, statement by statement",
		Long: `Generates a table in a temporary directory, divides it into partitions, builds
the example function examples/score, registers it and runs it over every
partition. Prints each statement and its result. Needs the go tool for the
function; without it, the statements that use it are left out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			rows, _ := cmd.Flags().GetInt("rows")
			if rows < 1 {
				return errors.New("--rows must be positive")
			}
			log, err := newLog(cmd)
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "volley-demo-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			return demo(ctx, dir, rows, log, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().Int("rows", 20000, "`rows` to generate")
	return cmd
}

// demo runs the main job in dir.
func demo(ctx context.Context, dir string, rows int, log *slog.Logger, stdout, stderr io.Writer) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(stdout, "-- "+format+"\n", args...) }
	csv := filepath.Join(dir, "games.csv")
	say("%d rows of ten features and a label, in %s", rows, csv)
	if err := writeGames(csv, rows); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	c, err := connectLocal(ctx, coordinator.OpenConfig{Dir: data, RunLocally: true, Memory: limitMemory(), Collector: true, Log: log}, "volley")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	s := &shell{c: c, ctx: ctx, in: bufio.NewReader(strings.NewReader("")), out: stdout, err: stderr, format: "table", timing: true}
	c.onNotice = s.notice
	do := func(sql string) error {
		fmt.Fprintf(stdout, "volley=> %s;\n", strings.ReplaceAll(sql, "\n", "\nvolley-> "))
		if err := s.statement(sql, "", nil); err != nil {
			return err
		}
		fmt.Fprintln(stdout)
		return nil
	}
	all := func(list ...string) error {
		for _, sql := range list {
			if err := do(sql); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(
		"CREATE TABLE games AS SELECT * FROM read_csv("+parser.QuoteLiteral(csv)+")",
		"SELECT * FROM games LIMIT 3",
		"SELECT setseed(0.5)",
		`CREATE TABLE users AS
  SELECT *, user_id % 10 AS partition_id
  FROM (SELECT *, row_number() OVER (ORDER BY random()) AS user_id FROM games) g`,
		"SELECT partition_id, count(*), min(user_id), max(user_id)\nFROM users GROUP BY partition_id ORDER BY partition_id",
	); err != nil {
		return err
	}
	if _, err := exec.LookPath("go"); err != nil {
		say("there is no go tool on this machine: the rest, which builds a Go function and runs it, is left out")
		return nil
	}
	src := filepath.Join(dir, "score")
	if err := os.Mkdir(src, 0o700); err != nil {
		return err
	}
	if err := examples.Write("score", src); err != nil {
		return err
	}
	say("the function is in Go, in examples/score; building it takes a while the first time")
	fmt.Fprintf(stdout, "$ volley udf build examples/score\n")
	a, err := udf.Build(ctx, src, udf.BuildOptions{TempDir: dir})
	if err != nil {
		return err
	}
	ref := a.Name + "@" + a.Digest
	fmt.Fprintf(stdout, "%s\n\n$ volley udf push %s\n", ref, filepath.Base(a.Path))
	if _, err := c.local.Artifacts.PutFile(ctx, a.Path); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n\n", ref)
	const features = "g1, g2, g3, g4, g5, g6, g7, g8, g9, g10"
	params := strings.ReplaceAll(features, ",", " float8,") + " float8"
	if err := all(
		"CREATE FUNCTION score_udf(user_id bigint, "+params+")\n  RETURNS TABLE (user_id bigint, prediction float8)\n  AS '"+ref+"', 'Score' LANGUAGE go IMMUTABLE",
		"CREATE FUNCTION score_row("+params+")\n  RETURNS float8\n  AS '"+ref+"', 'score_row' LANGUAGE go IMMUTABLE",
		"CREATE TABLE predictions AS\n  SELECT user_id, prediction FROM users\n  GROUP BY partition_id APPLY score_udf(user_id, "+features+")",
		"SELECT user_id, prediction FROM users\nGROUP BY partition_id APPLY score_udf(user_id, "+features+")\nORDER BY user_id LIMIT 5",
		"SELECT user_id, score_row("+features+") AS prediction FROM users ORDER BY user_id LIMIT 5",
		"SELECT count(*) AS users, count(*) FILTER (WHERE p.prediction = score_row("+features+")) AS equal\nFROM users u JOIN predictions p ON p.user_id = u.user_id",
	); err != nil {
		return err
	}
	_, agree, err := c.query(ctx, "SELECT count(*) FROM users u JOIN predictions p ON p.user_id = u.user_id WHERE p.prediction = score_row("+features+")")
	if err != nil {
		return err
	}
	if got := string(agree[0][0]); got != strconv.Itoa(rows) {
		return fmt.Errorf("the two forms of the function agree for %s of %d users only", got, rows)
	}
	say("both forms of the function agree for all %d users", rows)
	return nil
}

// writeGames writes rows of made-up features, the same ones every time.
func writeGames(path string, rows int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "G1,G2,G3,G4,G5,G6,G7,G8,G9,G10,label")
	r := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for range rows {
		b = b[:0]
		sum := 0.0
		for range 10 {
			v := r.NormFloat64()
			sum += v
			b = append(strconv.AppendFloat(b, v, 'f', 6, 64), ',')
		}
		label := byte('0')
		if sum > 0 {
			label = '1'
		}
		_, _ = w.Write(append(b, label, '\n'))
	}
	return errors.Join(w.Flush(), f.Close())
}
