package inline

import (
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

// What SQL declares and what Go has must be the same: nothing is cast in silence, and
// what a function gives is checked.
func TestContract(t *testing.T) {
	s := engine.Start(t, 0).Session()
	for _, sql := range []string{
		`CREATE FUNCTION over(x int) RETURNS text LANGUAGE go AS $$ return "int" $$`,
		`CREATE FUNCTION over(x text) RETURNS text LANGUAGE go AS $$ return "text" $$`,
		`CREATE FUNCTION over(x float8, y float8 DEFAULT 1) RETURNS text LANGUAGE go AS $$ return "float8s" $$`,
		`CREATE FUNCTION plain(x int, y int) RETURNS int LANGUAGE go AS $$ return x + y $$`,
		`CREATE FUNCTION mixed(x int, y int) RETURNS text LANGUAGE go AS $$
func mixed(x int32, y udf.Null[int32]) string { return fmt.Sprint(x, y.Valid) }
$$`,
		`CREATE FUNCTION nulls(x int) RETURNS bool LANGUAGE go CALLED ON NULL INPUT AS $$ return udf.Some(!x.Valid) $$`,
		`CREATE FUNCTION scaled(x numeric(6,2)) RETURNS numeric(6,2) LANGUAGE go AS $$ return x $$`,
		`CREATE FUNCTION far(y int) RETURNS timestamp LANGUAGE go AS $$ return time.Date(int(y), 1, 1, 0, 0, 0, 0, time.UTC) $$`,
		`CREATE FUNCTION day(h int) RETURNS date LANGUAGE go AS $$ return time.Date(2024, 1, 2, int(h), 0, 0, 0, time.UTC) $$`,
		`CREATE FUNCTION bytes(s bytea) RETURNS text LANGUAGE go AS $$ return string(s) $$`,
		`CREATE FUNCTION js(s text) RETURNS jsonb LANGUAGE go AS $$ return udf.JSONB(s) $$`,
		`CREATE FUNCTION sum_of(a int[]) RETURNS bigint LANGUAGE go AS $$ var s int64; for _, v := range a { s += int64(v) }; return s $$`,
		`CREATE FUNCTION sum_some(a int[]) RETURNS bigint LANGUAGE go AS $$
func sum_some(a []udf.Null[int32]) int64 { var s int64; for _, v := range a { s += int64(v.Or(100)) }; return s }
$$`,
		`CREATE TYPE pair AS (a int, b text)`,
		`CREATE FUNCTION second(p pair) RETURNS text LANGUAGE go AS $$ return p.B + strconv.Itoa(int(p.A)) $$`,
		`CREATE FUNCTION make_pair(a int) RETURNS pair LANGUAGE go AS $$
type Pair struct { A int32; B udf.Null[string] }
func make_pair(a int32) Pair { return Pair{A: a} }
$$`,
		`CREATE FUNCTION narrow(x bigint) RETURNS varchar LANGUAGE go AS $$ return strings.Repeat("x", int(x)) $$`,
		`CREATE FUNCTION nan() RETURNS float8 LANGUAGE go AS $$ return math.NaN() $$`,
		`CREATE FUNCTION vec(VARIADIC xs float8[]) RETURNS float8 LANGUAGE go AS $$ s := 0.0; for _, x := range xs { s += x }; return s $$`,
		`CREATE FUNCTION tz(t timestamptz) RETURNS timestamptz LANGUAGE go AS $$ return t.Add(time.Hour) $$`,
	} {
		run(t, s, sql)
	}
	for _, c := range []struct{ query, want string }{
		{`SELECT over(1), over('x'::text), over(1.5::float8), over(1.5::float8, 2), over(x => 1)`, "int|text|float8s|float8s|int"},
		{`SELECT over('1'), over(NULL)`, "text|NULL"}, // text is what an untyped literal prefers
		{`SELECT plain(1, NULL), plain(y => 2, x => 1)`, "NULL|3"},
		{`SELECT proname, proisstrict FROM pg_proc WHERE proname IN ('plain', 'mixed', 'nulls') ORDER BY 1`, "mixed|f\nnulls|f\nplain|t"},
		{`SELECT mixed(1, NULL), mixed(NULL, 1)`, "1 false|NULL"},
		{`SELECT nulls(NULL), nulls(1)`, "t|f"},
		// As in Postgres the modifier of a function's type is not applied.
		{`SELECT scaled(1.239), scaled(123456.789)`, "1.239|123456.789"},
		{`SELECT day(0)`, "2024-01-02"},
		{`SELECT bytes('\x61c3a4')`, "aä"},
		{`SELECT js('{"b": 1, "a": [1.50, null]}')`, `{"a": [1.50, null], "b": 1}`},
		{`SELECT sum_of('{1,2,3}'), sum_of(NULL), sum_of('{}'), sum_some('{1,NULL,3}')`, "6|NULL|0|104"},
		{`SELECT second(ROW(7, 'x')::pair), make_pair(3), (make_pair(4)).a`, "x7|(3,)|4"},
		{`SELECT narrow(3)::varchar(2)`, "xx"},
		{`SELECT nan(), vec(1, 2.5), vec(VARIADIC ARRAY[1, 2]::float8[])`, "NaN|3.5|3"},
		{`SELECT tz('2024-03-31 00:30:00+01') = '2024-03-31 01:30:00+01'`, "t"},
	} {
		r, err := try(s, c.query)
		if err != nil {
			e := pgerr.From(err)
			t.Errorf("%s\n%s %s (%s)", c.query, e.Code, e.Message, e.Detail)
			continue
		}
		if got := text(r); got != c.want {
			t.Errorf("%s\ngot  %q\nwant %q", c.query, got, c.want)
		}
	}
	for _, c := range []struct{ sql, code, contains string }{
		{`SELECT plain('a', 1)`, "22P02", "integer"},
		{`SELECT plain(1.5, 1)`, "42883", "function plain(numeric, integer) does not exist"},
		{`SELECT plain(1, 2, 3)`, "42883", "does not exist"},
		{`SELECT plain(x => 1, x => 2)`, "42601", "used more than once"},
		{`SELECT plain(1, z => 2)`, "42883", ""},
		{`SELECT plain(2147483647, 1) + 1`, "", ""}, // Go's arithmetic wraps: it is the author's
		{`SELECT far(300000)`, "39000", "function far@1 returned a timestamp out of range Arguments: y = 300000."},
		{`SELECT far(-5000)`, "39000", "out of range"},
		{`SELECT day(7)`, "39000", "day"},
		{`SELECT bytes('\xff')`, "39000", "bytes"},
		{`SELECT js('{')`, "39000", "js"},
		{`SELECT sum_of('{1,NULL}')`, "22004", "Take the elements as udf.Null values."},
		{`SELECT second(ROW(NULL, 'x')::pair)`, "22004", "Make the field a udf.Null."},
		{`CREATE FUNCTION e(x int) RETURNS int LANGUAGE go CALLED ON NULL INPUT AS $$
func e(x int32) int32 { return x }
$$`, "42P13", "cannot be CALLED ON NULL INPUT: its argument 1 (x) takes no NULL"},
		{`ALTER FUNCTION plain(int, int) CALLED ON NULL INPUT`, "42P13", "cannot be CALLED ON NULL INPUT"},
		{`CREATE FUNCTION e(x int) RETURNS float4 LANGUAGE go AS $$
func e(x int32) float64 { return 1 }
$$`, "42P13", "Declared: e(integer) returns real. In the artifact: e(x integer) returns double precision. It returns double precision, not real."},
		{`CREATE FUNCTION e(x smallint) RETURNS int LANGUAGE go AS $$
func e(x int32) int32 { return 1 }
$$`, "42P13", "Argument 1 is integer, not smallint."},
		{`CREATE FUNCTION e(x int, y int) RETURNS int LANGUAGE go AS $$
func e(x int32) int32 { return 1 }
$$`, "42P13", ""},
		{`CREATE FUNCTION e(x int[]) RETURNS int LANGUAGE go AS $$
func e(x []int64) int32 { return 1 }
$$`, "42P13", "Argument 1 is bigint[], not integer[]."},
		{`CREATE FUNCTION e(p pair) RETURNS int LANGUAGE go AS $$
func e(p struct{ A int32; C string }) int32 { return 1 }
$$`, "42P13", "Argument 1 is row(a integer, c text), not pair."},
		{`CREATE FUNCTION e(x text) RETURNS jsonb LANGUAGE go AS $$
func e(x string) string { return x }
$$`, "42P13", "It returns text, not jsonb."},
		{`CREATE FUNCTION e(x int) RETURNS TABLE (a int, b text) LANGUAGE go AS $$
func e(x int32, emit func(a int64, b string)) {}
$$`, "42P13", "e"},
		{`CREATE FUNCTION e(x int DEFAULT 'a') RETURNS int LANGUAGE go AS $$ return x $$`, "22P02", "integer"},
		{`CREATE FUNCTION e(x int DEFAULT 1, y int) RETURNS int LANGUAGE go AS $$ return x $$`, "42P13", "must also have defaults"},
		{`CREATE FUNCTION e(VARIADIC x int[], y int) RETURNS int LANGUAGE go AS $$ return y $$`, "42P13", "VARIADIC parameter must be the last"},
		{`CREATE FUNCTION e(x anyelement) RETURNS anyelement LANGUAGE go AS $$ return x $$`, "0A000", ""},
	} {
		_, err := try(s, c.sql)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s\n%v", c.sql, err)
			}
			continue
		}
		e := &pgerr.Error{}
		if err != nil {
			e = pgerr.From(err)
		}
		if err == nil || e.Code != c.code || !strings.Contains(e.Message+" "+e.Detail+" "+e.Hint+" "+e.Where, c.contains) {
			t.Errorf("%s\ngot  %v (%s %s; %s; %s)\nwant %s %s", c.sql, err, e.Code, e.Detail, e.Hint, e.Where, c.code, c.contains)
		}
	}
}
