package registry

import (
	"context"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	sdk "github.com/volleydb/volley/udf/sdk"
)

// Functions of the coordinator's program run there, whatever workers are connected;
// where nobody has them they are refused.
func TestLinkedInCluster(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	e := engine.Open(t, dir, 1)
	decls := []sdk.Decl{sdk.Version("1"),
		sdk.Scalar("plus_one", func(x int64) int64 { return x + 1 }, sdk.Immutable),
		sdk.Aggregate("longest", nil, func(s *struct{ N int64 }, x string) { s.N = max(s.N, int64(len(x))) },
			func(into, from *struct{ N int64 }) { into.N = max(into.N, from.N) }, func(s *struct{ N int64 }) int64 { return s.N })}
	if err := e.Register(ctx, "public", decls...); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{
		"SELECT sum(plus_one(x)) FROM t": "5050",
		"SELECT count(*) FROM t a JOIN t b ON plus_one(a.x) = b.x WHERE plus_one(b.x) > 50": "50",
		"SELECT longest(s) FROM t": "3",
		"SELECT max(n) FROM (SELECT x % 3, longest(s) AS n FROM t GROUP BY x % 3) q":          "3",
		"SELECT sum(plus_one(x)) FROM t WHERE s IN (SELECT s FROM t WHERE plus_one(x) = 100)": "100",
	}
	s := e.Session()
	if _, err := s.Run(ctx, "CREATE TABLE t AS SELECT i AS x, i::text AS s FROM generate_series(0, 99) i; UPDATE t SET s = '100' WHERE x = 7"); err != nil {
		t.Fatal(err)
	}
	for sql, want := range queries {
		r, err := s.Run(ctx, sql)
		if err != nil || len(r.Rows) != 1 || r.Rows[0][0] != want {
			t.Errorf("%s: %v %v, want %s", sql, r, err, want)
		}
	}
	s.Close()
	e.Stop()
	for _, workers := range []int{0, 1} {
		e := engine.Open(t, dir, workers)
		s := e.Session()
		for sql := range queries {
			_, err := s.Run(ctx, sql)
			if pgerr.Code(err) != pgerr.FeatureNotSupported || !strings.Contains(err.Error(), "part of the program that registered them") {
				t.Errorf("%d workers: %s: %v", workers, sql, err)
			}
		}
		s.Close()
		e.Stop()
	}
}
