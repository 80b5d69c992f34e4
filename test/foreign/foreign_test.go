package foreign

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/remote"
	sdk "github.com/volleydb/volley/udf/sdk"
)

type client struct {
	t *testing.T
	*engine.Session
}

func (c client) run(sql string) *engine.Rows {
	c.t.Helper()
	return c.Must(c.t, sql)
}

func (c client) want(sql, rows string) {
	c.t.Helper()
	c.Want(c.t, sql, rows)
}

func (c client) fails(sql, code string, parts ...string) {
	c.t.Helper()
	c.Fails(c.t, sql, code, parts...)
}

func python(t *testing.T, modules ...string) {
	t.Helper()
	path, err := udf.Python(context.Background())
	if err != nil {
		t.Skip(err)
	}
	for _, m := range modules {
		if exec.Command(path, "-I", "-c", "import "+m).Run() != nil {
			t.Skipf("Python has no module %s", m)
		}
	}
}

func TestPython(t *testing.T) {
	python(t)
	c := client{t, engine.Start(t, 0).Session()}
	c.run(`CREATE FUNCTION twice(x float8) RETURNS float8 LANGUAGE python IMMUTABLE STRICT AS $$ return x * 2 + 1 $$`)
	c.want(`SELECT twice(x) FROM (VALUES (1.0::float8), (NULL), (2.5)) v(x)`, "3 NULL 6")
	c.want(`SELECT sum(twice(x)) FROM generate_series(1, 100000) x`, "10000200000")
	c.run(`CREATE FUNCTION kinds(a numeric, b int[], c timestamptz, d uuid, e jsonb, f interval) RETURNS text LANGUAGE python AS $$
return ' '.join(type(v).__name__ for v in (a, b, c, d, e, f)) + f' {a} {b} {c} {e} {f.days}'
$$`)
	c.want(`SELECT kinds(1.50, '{1,NULL}', '2020-01-01 00:00Z', '00000000-0000-0000-0000-000000000001', '{"a": 1}', '1 day')`,
		`Decimal list datetime UUID str Interval 1.50 [1, None] 2020-01-01 00:00:00+00:00 {"a": 1} 1`)
	c.run(`CREATE FUNCTION halves(a numeric) RETURNS numeric[] LANGUAGE python AS $$ return [a / 2, None, a] $$`)
	c.want(`SELECT halves(5.0)`, "{2.5,NULL,5.0}")
	c.run(`CREATE FUNCTION inv(x int) RETURNS int LANGUAGE python AS $$
def inv(x):
    print("inverting", x)
    return 100 // x
$$`)
	c.fails(`SELECT inv(x - 3) FROM generate_series(1, 5) x`, "38000", "ZeroDivisionError", "x = 0", "return 100 // x", "row 3")
	c.fails(`CREATE FUNCTION bad(x int) RETURNS int LANGUAGE python AS $$ return x + $$`, "42P13", "invalid syntax")
	c.fails(`CREATE FUNCTION bad(x int) RETURNS int LANGUAGE python AS $$
import nosuchmodule
def bad(x): return x
$$`, "58000", "module nosuchmodule is not installed", "VOLLEY_PYTHON")
	c.run(`CREATE AGGREGATE pymean(float8) (LANGUAGE = python, RETURNS = float8, AS = $$
class pymean:
    def __init__(self): self.n, self.s = 0, 0.0
    def step(self, x): self.n += 1; self.s += x
    def merge(self, o): self.n += o.n; self.s += o.s
    def finish(self): return self.s / self.n if self.n else None
$$)`)
	c.want(`SELECT x % 3, pymean(x), pymean(x) FILTER (WHERE x < 0) FROM generate_series(1, 300) x GROUP BY 1 ORDER BY 1`,
		"0|151.5|NULL 1|149.5|NULL 2|150.5|NULL")
	c.run(`CREATE FUNCTION tops(k int, v int) RETURNS TABLE (k int, v int) LANGUAGE python AS $$
def tops(g: dict):
    for v in sorted(g['v'])[-2:]:
        yield [(g['k'][0], v)]
$$`)
	c.want(`SELECT k, v FROM (SELECT x % 2 AS k, x AS v FROM generate_series(1, 9) x) s GROUP BY k AS key APPLY tops(k, v) ORDER BY 1, 2`, "0|6 0|8 1|7 1|9")
	c.want(`SELECT lanname, prosrc FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE proname = 'twice'`, "python| return x * 2 + 1 ")
	c.run(`CREATE OR REPLACE FUNCTION twice(x float8) RETURNS float8 LANGUAGE python IMMUTABLE STRICT AS $$ return x * 3 $$`)
	c.want(`SELECT twice(1), "twice@1"(1)`, "3|3")
}

func TestPandas(t *testing.T) {
	python(t, "pandas", "numpy", "pyarrow")
	e := engine.Start(t, 0)
	c := client{t, e.Session()}
	a, err := udf.BuildPython(context.Background(), "../../examples/python", udf.BuildOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err, pgerr.From(err).Detail)
	}
	if _, err := e.Artifacts.PutFile(context.Background(), a.Path); err != nil {
		t.Fatal(err)
	}
	c.run(`CREATE TABLE users AS SELECT x % 10 AS part, x::bigint AS user_id, sin(x) AS g FROM generate_series(1, 5000) x`)
	c.run(`CREATE FUNCTION score(user_id bigint, g1 float8, g2 float8, g3 float8, g4 float8, g5 float8, g6 float8, g7 float8, g8 float8, g9 float8, g10 float8)
		RETURNS TABLE (user_id bigint, prediction float8) LANGUAGE python IMMUTABLE AS 'python', 'score'`)
	c.run(`CREATE FUNCTION score_row(g1 float8, g2 float8, g3 float8, g4 float8, g5 float8, g6 float8, g7 float8, g8 float8, g9 float8, g10 float8)
		RETURNS float8 LANGUAGE python IMMUTABLE AS 'python'`)
	const want = `SELECT count(*), bool_and(abs(p - 1 / (1 + exp(-(-0.3 + 0.9 * g)))) < 1e-12) FROM `
	c.want(want+`(SELECT g, score_row(g, g, g, g, g, g, g, g, g, g) AS p FROM users) s`, "5000|t")
	c.want(want+`(SELECT user_id AS id, prediction AS p FROM users GROUP BY part APPLY score(user_id, g, g, g, g, g, g, g, g, g, g)) s JOIN users ON id = user_id`, "5000|t")
	c.run(`CREATE AGGREGATE geomean(float8) (ARTIFACT = 'python', SYMBOL = 'GeometricMean', LANGUAGE = python, RETURNS = float8)`)
	c.want(`SELECT round(geomean(x)::numeric, 6) FROM (VALUES (1), (10), (100), (NULL)) v(x)`, "10.000000")
	c.run(`CREATE FUNCTION spark(a bigint, b text) RETURNS text LANGUAGE python AS $$
from pyspark.sql.functions import pandas_udf
@pandas_udf("string")
def spark(a, b):
    return b.str.upper() + a.astype(str)
$$`)
	c.want(`SELECT spark(x, 'v') FROM generate_series(1, 3) x`, "V1 V2 V3")
	c.run(`CREATE FUNCTION nulls(a float8, b bigint) RETURNS bigint LANGUAGE python AS $$
import pandas as pd
def nulls(a: pd.Series, b: pd.Series) -> pd.Series:
    return a.isna() * 1 + b
$$`)
	c.want(`SELECT nulls(a, b) FROM (VALUES (1.5::float8, 9007199254740993), (NULL, 2), (2, NULL)) v(a, b)`, "9007199254740993 3 NULL")
	c.run(`CREATE FUNCTION arrows(a text, b bool) RETURNS bigint LANGUAGE python AS $$
import pyarrow as pa
import pyarrow.compute as pc
def arrows(a: pa.Array, b: pa.Array) -> pa.Array:
    return pc.if_else(b, pc.utf8_length(a), None)
$$`)
	c.want(`SELECT arrows(a, b) FROM (VALUES ('é', true), (NULL, true), ('abc', false), ('abc', true)) v(a, b)`, "1 NULL NULL 3")
	c.run(`CREATE FUNCTION np(a int, b timestamp) RETURNS timestamp LANGUAGE python AS $$
import numpy as np
def np(a: 'np.ndarray', b: 'np.ndarray'):
    return b + a.astype('m8[D]')
$$`)
	c.want(`SELECT np(a, b) FROM (VALUES (1, '2020-01-31'::timestamp), (2, NULL), (NULL, '2020-01-01')) v(a, b)`, "2020-02-01 00:00:00 NULL NULL")
	c.run(`CREATE FUNCTION short(a float8) RETURNS float8 LANGUAGE python AS $$
import pandas as pd
def short(a: pd.Series): return pd.concat([a, a])
$$`)
	c.fails(`SELECT short(x) FROM generate_series(1, 3) x`, "39000", "rows for a batch of")
	c.run(`CREATE FUNCTION widen(a float8) RETURNS bigint LANGUAGE python AS $$
import pandas as pd
def widen(a: pd.Series): return a + 0.5
$$`)
	c.fails(`SELECT widen(x) FROM generate_series(1, 3) x`, "39000", "an array of float64", "astype")
}

func TestGRPC(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- remote.Serve(ctx, lis, remote.Options{},
			sdk.Scalar("Twice", func(x float64) float64 { return x*2 + 1 }, sdk.Immutable),
			sdk.Scalar("Fail", func(x int64) (int64, error) {
				if x == 3 {
					return 0, errors.New("three")
				}
				return x, nil
			}))
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := client{t, engine.Start(t, 0).Session()}
	c.run(`CREATE FUNCTION twice(x float8) RETURNS float8 LANGUAGE grpc AS '` + lis.Addr().String() + `', 'Twice'`)
	c.want(`SELECT sum(twice(x)) FROM generate_series(1, 100000) x`, "10000200000")
	c.run(`CREATE FUNCTION fail(x bigint) RETURNS bigint LANGUAGE grpc AS '` + lis.Addr().String() + `', 'Fail'`)
	c.fails(`SELECT fail(x) FROM generate_series(1, 5) x`, "38000", "three", "row 3")
	c.fails(`CREATE FUNCTION other(x text) RETURNS text LANGUAGE grpc AS '`+lis.Addr().String()+`', 'Twice'`, "42P13", "double precision")
	c.fails(`CREATE FUNCTION other(x text) RETURNS text LANGUAGE grpc AS 'nowhere', 'Twice'`, "22023", "host:port")
}

const kindsPython = `
import volley
from typing import Iterator

@volley.table(args={"lo": "bigint", "hi": "bigint"}, columns={"n": "bigint"})
def series(lo: int, hi: int):
    "The numbers from lo to hi."
    yield from range(lo, hi + 1)

@volley.table(args={"s": "text"}, columns={"word": "text", "len": "int"})
def words(s: str):
    return [(w, len(w)) for w in s.split()]

@volley.window(args={"x": "double precision"}, returns="float8")
def smooth(x, frames):
    return [sum(x[a:b]) / (b - a) for a, b in frames]

@volley.grouped_map(args={"k": "bigint", "v": "numeric"}, columns={"k": "bigint", "total": "numeric", "pieces": "int"})
def totals(pieces: Iterator[dict]):
    k, total, n = None, 0, 0
    for p in pieces:
        k, total, n = p["k"][0], total + sum(p["v"]), n + 1
    yield k, total, n

@volley.grouped_map(args={"v": "int"}, columns={"rows": "int"}, contract="rows", batch_rows=100)
def batches(g: dict):
    return [(len(g["v"]),)]

@volley.table(args={"names": "text"}, columns=lambda names: dict.fromkeys(names.split(","), "text"))
def pick(names):
    yield tuple(n.upper() for n in names.split(","))

@volley.scalar(args={"x": "date"}, returns="date", volatility="immutable")
def same_day(x):
    return x
`

// TestPythonKinds has CREATE EXTENSION declare functions of every kind, whose types
// are in the code.
func TestPythonKinds(t *testing.T) {
	python(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kinds.py"), []byte(kindsPython), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	a, err := udf.BuildPython(ctx, dir, udf.BuildOptions{Name: "pykinds", Version: "1.0", Output: filepath.Join(t.TempDir(), "a.vudf")})
	if err != nil {
		t.Fatal(err, pgerr.From(err).Detail)
	}
	e := engine.Start(t, 0)
	if _, err := e.Artifacts.PutFile(ctx, a.Path); err != nil {
		t.Fatal(err)
	}
	c := client{t, e.Session()}
	c.run(`CREATE EXTENSION pykinds`)
	c.want(`SELECT * FROM series(2, 4)`, "2 3 4")
	c.want(`SELECT count(*), max(n) FROM series(1, 100000) AS s(n)`, "100000|100000")
	c.want(`SELECT n FROM series(1, 1000000000000) AS s(n) LIMIT 2`, "1 2")
	c.want(`SELECT x, word, len FROM (VALUES ('a bb'), (NULL), ('ccc')) v(x), words(x) ORDER BY word`, "a bb|a|1 a bb|bb|2 ccc|ccc|3")
	c.want(`SELECT x, smooth(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM generate_series(1, 4) x ORDER BY x`, "1|1.5 2|2 3|3 4|3.5")
	c.want(`SELECT k, total FROM (SELECT x % 2 AS k, x / 10.0 AS v FROM generate_series(1, 10) x) s GROUP BY k AS g APPLY totals(k, v) ORDER BY k`, "0|3.00000000000000000000 1|2.50000000000000000000")
	c.want(`SELECT total, pieces > 1 FROM (SELECT 0::bigint AS k, 1::numeric AS v FROM generate_series(1, 300000) x) s GROUP BY () APPLY totals(k, v)`, "300000|t")
	c.want(`SELECT count(*), sum(rows), max(rows) FROM (SELECT rows FROM (SELECT x AS v FROM generate_series(1, 1050) x) s GROUP BY () APPLY batches(v)) q`, "11|1050|100")
	c.want(`SELECT b, a FROM pick('a,b')`, "B|A")
	c.want(`SELECT same_day(d) FROM (VALUES ('infinity'::date), ('0044-03-15 BC'), ('2024-02-29')) v(d)`, "infinity 0044-03-15 BC 2024-02-29")
	c.want(`SELECT obj_description(oid) FROM pg_proc WHERE proname = 'series'`, "The numbers from lo to hi.")
	c.fails(`CREATE FUNCTION days(x timestamp) RETURNS date LANGUAGE python AS 'pykinds', 'same_day'`, "42P13", "Argument 1 is date")

	// The same from source in SQL.
	c.run(`CREATE FUNCTION upto(n int) RETURNS TABLE (i int, sq numeric) LANGUAGE python AS $$
import volley
@volley.table
def upto(n: int):
    for i in range(n):
        yield i, i * i
$$`)
	c.want(`SELECT * FROM upto(3)`, "0|0 1|1 2|4")
	c.run(`CREATE FUNCTION pylag(x text) RETURNS text LANGUAGE python WINDOW AS $$ return [None] + x[:-1] $$`)
	c.want(`SELECT pylag(x::text) OVER (ORDER BY x) FROM generate_series(1, 3) x ORDER BY x`, "NULL 1 2")
	c.run(`CREATE FUNCTION cols(n int) RETURNS SETOF record LANGUAGE python AS $$
import volley
@volley.table(columns=lambda n: {"c%d" % i: "int" for i in range(n)})
def cols(n: int):
    yield tuple(range(n))
$$`)
	c.want(`SELECT c2, c0 FROM cols(3)`, "2|0")
	c.fails(`CREATE FUNCTION bare(n int) RETURNS SETOF record LANGUAGE python AS $$
import volley
@volley.table
def bare(n: int):
    yield n
$$`, "42P13", "output columns of bare must be specified")

	// An artifact whose code does not know its types.
	if err := os.WriteFile(filepath.Join(dir, "kinds.py"), []byte("def twice(x):\n    return x * 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a, err = udf.BuildPython(ctx, dir, udf.BuildOptions{Name: "pyplain", Output: filepath.Join(t.TempDir(), "b.vudf")}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Artifacts.PutFile(ctx, a.Path); err != nil {
		t.Fatal(err)
	}
	c.fails(`CREATE EXTENSION pyplain`, "0A000", "function twice of artifact pyplain has a parameter of type any", "CREATE FUNCTION", "@volley.scalar")
	c.run(`CREATE FUNCTION twice(x numeric) RETURNS numeric LANGUAGE python AS 'pyplain', 'twice'`)
	c.want(`SELECT twice(1.50)`, "3.00")
}
