package registry

import (
	"context"
	"os/exec"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/conformance"
)

// TestTypes runs functions of all types from SQL: what the declaration must say, and
// values on their way through the engine, with and without workers.
func TestTypes(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	a, err := udf.Build(context.Background(), conformance.SourceDir(t), udf.BuildOptions{Output: t.TempDir() + "/types.vudf"})
	if err != nil {
		t.Fatalf("%v (%s)", err, pgerr.From(err).Detail)
	}
	for _, workers := range []int{0, 2} {
		e := engine.Start(t, workers)
		digest, err := e.Artifacts.PutFile(context.Background(), a.Path)
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, e, "")
		scalar := func(name, args, returns, symbol string) {
			t.Helper()
			c.run("CREATE FUNCTION " + name + "(" + args + ") RETURNS " + returns + " LANGUAGE go AS 'conformance@" + digest + "', '" + symbol + "'")
		}
		scalar("inc", "numeric, numeric", "numeric", "add_numeric")
		c.want("SELECT inc(0.1, 0.20), inc(1.50, 1), inc(NULL, 1)", "0.30|2.50|NULL")
		c.want("SELECT sum(inc(x, 0.5)) FROM generate_series(1, 1000) x", "501000.0")
		scalar("u", "uuid", "uuid", "id_uuid")
		c.want("SELECT u('00112233445566778899aabbccddeeff')", "00112233-4455-6677-8899-aabbccddeeff")
		scalar("j", "jsonb", "jsonb", "id_jsonb")
		c.want(`SELECT j('{"b":1,"a":[1.50]}') -> 'a'`, "[1.50]")
		scalar("i", "interval", "interval", "id_interval")
		c.want("SELECT i('1 month -2 days')", "1 mon -2 days")
		scalar("tod", "time", "time", "id_clock")
		c.want("SELECT tod('12:30') + interval '1 minute'", "12:31:00")
		scalar("ts", "timestamp", "timestamp", "id_timestamp")
		scalar("tz", "timestamptz", "timestamptz", "id_timestamptz")
		c.want("SELECT ts('2024-02-29 01:02:03') = '2024-02-29 01:02:03', tz('2024-02-29 01:02:03+02') = '2024-02-28 23:02:03+00'", "t|t")
		c.fails("CREATE FUNCTION no(timestamptz) RETURNS timestamp LANGUAGE go AS 'conformance@"+digest+"', 'id_timestamp'", "42P13", "Argument 1 is timestamp, not timestamp with time zone.")

		scalar("push", "float8[], float8", "float8[]", "append_float64")
		c.want("SELECT push(ARRAY[1,NULL], 2), push('{}', NULL), push(NULL, 1)", "{1,NULL,2}|{NULL}|NULL")
		c.want("SELECT sum(cardinality(push(array_fill(x::float8, ARRAY[x % 5]), x))) FROM generate_series(1, 10000) x", "30000")
		c.fails("CREATE FUNCTION no(float4[], float8) RETURNS float8[] LANGUAGE go AS 'conformance@"+digest+"', 'append_float64'", "42P13", "Argument 1 is double precision[], not real[].")

		c.run(`CREATE TYPE point3 AS (a bigint, b text, c float8[], "d d" numeric); CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE other AS (a bigint, x text, c float8[], "d d" numeric)`)
		scalar("p", "point3", "point3", "id_struct")
		scalar("ps", "point3[], point3", "point3[]", "append_struct")
		c.want(`SELECT (p(ROW(1, 'x', ARRAY[1.5], 2.50))).b, (p(ROW(1, NULL, '{}', NULL)::point3))."d d", p(NULL), p(ROW(1, 'x', ARRAY[1.5], 2.50))`, "x|NULL|NULL|(1,x,{1.5},2.50)")
		c.want(`SELECT ps(ARRAY[ROW(1, 'x', '{}', 2)::point3], NULL)`, `{"(1,x,{},2)",NULL}`)
		c.run("CREATE TABLE points (k bigint, p point3); INSERT INTO points SELECT k, ROW(k, 'n' || k, ARRAY[k, 2 * k], k / 2.0)::point3 FROM generate_series(1, 500) k")
		c.want(`SELECT count(*), sum((p(p)).a), max((p(p)).b) FROM points WHERE p(p) = p`, "500|125250|n99")
		c.fails("CREATE FUNCTION no(other) RETURNS point3 LANGUAGE go AS 'conformance@"+digest+"', 'id_struct'", "42P13", "not other")
		c.fails("CREATE FUNCTION no(mood) RETURNS text LANGUAGE go AS 'conformance@"+digest+"', 'id_string'", "0A000", "mood")

		c.run("CREATE AGGREGATE total(numeric) (ARTIFACT = 'conformance@" + digest + "', SYMBOL = 'sum_numeric')")
		c.want("SELECT total(x * 0.01), total(x) FILTER (WHERE x < 0) FROM generate_series(1, 5000) x", "125025.00|NULL")
		c.run("CREATE AGGREGATE any_p(point3) (ARTIFACT = 'conformance@" + digest + "', SYMBOL = 'first_struct', RETURNS = point3)")
		c.want("SELECT count(*) FROM (SELECT k % 10 g, any_p(p) q FROM points GROUP BY 1) s WHERE (q).a % 10 = g", "10")
		c.run(`CREATE FUNCTION echo(k bigint, x numeric[]) RETURNS TABLE (k bigint, x numeric[]) LANGUAGE go AS 'conformance@` + digest + `', 'echo_list_numeric'`)
		c.want("WITH t AS (SELECT k, k % 3 g, ARRAY[k * 0.25, NULL] x FROM generate_series(1, 100) k), s AS (SELECT * FROM t GROUP BY g APPLY echo(k, x)) SELECT count(*), sum(x[1]), sum(x[2]) FROM s", "100|1262.50|NULL")
	}
}
