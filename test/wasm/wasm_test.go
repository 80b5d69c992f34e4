// Package wasm calls functions of WebAssembly modules from SQL, embedded and on a
// cluster. The module is the hand-made one of package udf: no compiler is needed.
package wasm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
)

func TestSQL(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "tiny.vudf")
	if _, err := udf.Build(ctx, filepath.Join("..", "..", "udf", "testdata", "tiny", "tiny.wasm"), udf.BuildOptions{Output: file}); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			digest, err := e.Artifacts.PutFile(ctx, file)
			if err != nil {
				t.Fatal(err)
			}
			s := e.Session()
			ref := "tiny@" + digest
			for _, c := range []struct{ sql, want string }{
				{"CREATE FUNCTION f(x float8) RETURNS float8 AS '" + ref + "', 'twice_plus_one' LANGUAGE go", "42P13 artifact"},
				{"CREATE FUNCTION f(x float8) RETURNS float8 AS '" + ref + "', 'twice_plus_one' LANGUAGE wasm IMMUTABLE", ""},
				{"CREATE FUNCTION f(x int) RETURNS float8 AS '" + ref + "', 'twice_plus_one' LANGUAGE wasm", "42P13"},
				{"CREATE FUNCTION same(x text) RETURNS text AS '" + ref + "' LANGUAGE wasm", ""},
				{"CREATE FUNCTION traps(x bigint) RETURNS bigint AS '" + ref + "' LANGUAGE wasm", ""},
				{"CREATE FUNCTION loops(x bigint) RETURNS bigint AS '" + ref + "' LANGUAGE wasm SET volley.timeout = '300ms'", ""},
				{"SELECT sum(f(i)), count(*) FROM generate_series(1, 100000) AS g(i)", "10000200000 100000"},
				{"SELECT f(NULL), f(2.5)", "NULL 6"},
				{"SELECT same(s) FROM (VALUES ('a'), (NULL), ('')) AS v(s)", "a NULL "},
				{"SELECT traps(i) FROM generate_series(1, 3) AS g(i)", "38000 function traps@1: the module trapped: unreachable"},
				{"SELECT loops(1)", "57014 function loops@1 did not finish within 300ms"},
				{"SELECT f(1), same('x')", "3 x"},
				{"SELECT l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE proname = 'traps'", "wasm"},
			} {
				r, err := s.Run(ctx, c.sql)
				var got string
				if err != nil {
					e := pgerr.From(err)
					got = e.Code + " " + e.Message
				} else if c.want != "" {
					got = show(r)
				}
				if c.want == "" && err != nil || !strings.HasPrefix(got, c.want) {
					t.Errorf("%s: %s, want %s", c.sql, got, c.want)
				}
			}
		})
	}
}

func show(r *engine.Rows) string {
	var out []string
	for _, row := range r.Rows {
		out = append(out, row...)
	}
	return strings.Join(out, " ")
}
