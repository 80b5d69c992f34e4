package inline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
)

func run(t testing.TB, s *engine.Session, sql string) *engine.Rows {
	t.Helper()
	return s.Must(t, sql)
}

func try(s *engine.Session, sql string) (*engine.Rows, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.Run(ctx, sql)
}

func text(r *engine.Rows) string {
	return r.Text("|", "\n")
}

// kinds are functions of every kind in every form of source, with a query of each.
var kinds = []struct{ name, create, query, want string }{
	{"scalar body", `CREATE FUNCTION f1(x float8) RETURNS float8 LANGUAGE go IMMUTABLE AS $$ return math.Abs(x) * 2 $$`,
		`SELECT f1(-1.5), f1(NULL)`, "3|NULL"},
	{"scalar body with an error", `CREATE FUNCTION f2(s text) RETURNS int LANGUAGE go AS $$
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, udf.Errorf("22023", "no number: %q", s)
		}
		return int32(n), nil $$`, `SELECT f2('42')`, "42"},
	{"scalar with NULLs", `CREATE FUNCTION f3(x int) RETURNS text LANGUAGE go CALLED ON NULL INPUT AS $$
		if !x.Valid { return udf.Some("none") }
		if x.V < 0 { return udf.None[string]() }
		return udf.Some(strconv.Itoa(int(x.V))) $$`, `SELECT f3(NULL), f3(-1), f3(7)`, "none|NULL|7"},
	{"vectorised body", `CREATE FUNCTION v1(x float8, y float8) RETURNS float8 LANGUAGE go IMMUTABLE AS $$ for i := range out { out[i] = x[i] + 10*y[i] } $$`,
		`SELECT v1(k, 2) FROM generate_series(1, 3) g(k) ORDER BY 1`, "21\n22\n23"},
	{"vectorised declaration", `CREATE FUNCTION v2(x float8) RETURNS float8 LANGUAGE go AS $$
func v2(x, out []float64) error {
	for i, v := range x {
		if v > 100 {
			return errors.New("too big")
		}
		out[i] = -v
	}
	return nil
}
$$`, `SELECT v2(k) FROM generate_series(1, 2) g(k) ORDER BY 1`, "-2\n-1"},
	{"arrays, timestamps, numerics", `CREATE FUNCTION t1(a int[], ts timestamp, n numeric(10,2), d date) RETURNS text LANGUAGE go AS $$
	return fmt.Sprintf("%d %d %s %s", len(a), ts.Year(), n, d.Weekday()) $$`,
		`SELECT t1(ARRAY[1,2,3], '2024-02-29 12:00', 12.5, '2024-02-29')`, "3 2024 12.5 Thursday"},
	{"variadic and defaults", `CREATE FUNCTION t2(sep text, VARIADIC words text[]) RETURNS text LANGUAGE go AS $$ return strings.Join(words, sep) $$`,
		`SELECT t2('-', 'a', 'b'), t2(sep => '+', VARIADIC words => ARRAY['x','y'])`, "a-b|x+y"},
	{"grouped map body", `CREATE FUNCTION g1(x int) RETURNS TABLE (n bigint, total bigint) LANGUAGE go AS $$
	var n, sum int64
	for g.Next() {
		for _, v := range g.Int32("x") { n++; sum += int64(v) }
	}
	emit(n, sum) $$`, `SELECT * FROM (SELECT k % 2 AS p, k FROM generate_series(1, 10) s(k)) q GROUP BY p APPLY g1(k) ORDER BY total`, "5|25\n5|30"},
	{"table body", `CREATE FUNCTION w1(s text) RETURNS TABLE (word text, size int) LANGUAGE go AS $$
	for _, w := range strings.Fields(s) { emit(w, int32(len(w))) } $$`, `SELECT * FROM w1('one three') ORDER BY size`, "one|3\nthree|5"},
	{"table body with an error", `CREATE FUNCTION w2(n int) RETURNS SETOF int LANGUAGE go AS $$
	for i := int32(0); i < n; i++ { emit(i) }
	if n > 5 { return errors.New("too many") }
	return nil $$`, `SELECT * FROM w2(2)`, "0\n1"},
	{"table declaration", `CREATE FUNCTION w3(s text, t timestamp) RETURNS TABLE (c text) LANGUAGE go AS $$
func w3(s string, t time.Time, emit func(string)) {
	for _, r := range s { emit(string(r) + strconv.Itoa(t.Day())) }
}
$$`, `SELECT c FROM w3('ab', '2024-01-05') ORDER BY 1`, "a5\nb5"},
	{"table declaration of calls", `CREATE FUNCTION w4(n bigint) RETURNS TABLE (i bigint, note text) LANGUAGE go AS $$
func w4(ctx *udf.Context, c *udf.TableCall) error {
	for i := range udf.Arg[int64](c, 0) { c.Emit(i, nil) }
	return nil
}
$$`, `SELECT * FROM w4(2) ORDER BY 1`, "0|NULL\n1|NULL"},
	{"window body", `CREATE FUNCTION m1(x float8) RETURNS float8 LANGUAGE go WINDOW AS $$
	for i := range out { if i > 0 { out[i] = x[i] - x[i-1] } } $$`,
		`SELECT k, m1(k * k) OVER (ORDER BY k) FROM generate_series(1, 4) g(k) ORDER BY k`, "1|0\n2|3\n3|5\n4|7"},
	{"window declaration", `CREATE FUNCTION m2(x bigint) RETURNS bigint LANGUAGE go WINDOW AS $$
func m2(ctx *udf.Context, p *udf.Partition, out []int64) error {
	x := udf.PartitionColumn[int64](p, 0)
	for i := range out {
		from, to := p.Frame(i)
		for _, v := range x[from:to] { out[i] += v }
	}
	return nil
}
$$`, `SELECT k, m2(k) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM generate_series(1, 3) g(k) ORDER BY k`, "1|1\n2|3\n3|5"},
	{"aggregate of methods", `CREATE AGGREGATE a1(float8) (LANGUAGE = go, RETURNS = float8, AS = $$
type State struct{ Sum, N float64 }

func (s *State) Step(x float64)   { s.Sum += x; s.N++ }
func (s *State) Merge(o *State)   { s.Sum += o.Sum; s.N += o.N }
func (s *State) Finish() udf.Null[float64] {
	if s.N == 0 { return udf.None[float64]() }
	return udf.Some(s.Sum / s.N)
}
$$)`, `SELECT a1(k), a1(k) FILTER (WHERE k > 100), a1(DISTINCT k % 3) FROM generate_series(1, 9) g(k)`, "5|NULL|1"},
	{"aggregate of functions", `CREATE AGGREGATE a2(text, int) (LANGUAGE = go, AS = $$
type Top struct {
	Best int32
	Name string
}

func NewTop() Top { return Top{Best: -1} }

func Step(t *Top, name string, score int32) error {
	if score > 1000 { return udf.Errorf("22023", "score %d of %s", score, name) }
	if score > t.Best { t.Best, t.Name = score, name }
	return nil
}

func Merge(into, from *Top) { if from.Best > into.Best { *into = *from } }

func Finish(t *Top) string { return t.Name }
$$)`, `SELECT k % 2, a2('n' || k, k) FROM generate_series(1, 9) g(k) GROUP BY 1 ORDER BY 1`, "0|n8\n1|n9"},
	{"aggregate OVER", `CREATE AGGREGATE a3(bigint) (LANGUAGE = go, AS = $$
type S struct{ Sum int64 }

func (s *S) Step(x int64)  { s.Sum += x }
func (s *S) Merge(o *S)    { s.Sum += o.Sum }
func (s *S) Finish() int64 { return s.Sum }
$$)`, `SELECT k, a3(k) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM generate_series(1, 4) g(k) ORDER BY k`, "1|3\n2|6\n3|9\n4|7"},
	{"aggregate of functions in Go", `CREATE FUNCTION gstep(s float8, x float8) RETURNS float8 LANGUAGE go IMMUTABLE STRICT AS $$ return s + x*x $$;
CREATE AGGREGATE a4(float8) (SFUNC = gstep, STYPE = float8, INITCOND = '0', COMBINEFUNC = float8pl)`,
		`SELECT a4(k) FROM generate_series(1, 1000) g(k)`, "333833500"},
	{"composites by name in a body", `CREATE TYPE map_point AS (x float8, seen date);
CREATE FUNCTION p1(p map_point, d float8) RETURNS map_point LANGUAGE go AS $$ return MapPoint{X: p.X + d, Seen: p.Seen.AddDate(0, 0, 1)} $$`,
		`SELECT p1(ROW(1, '2024-01-01')::map_point, 2)`, "(3,2024-01-02)"},
	{"composites by name in declarations", `CREATE FUNCTION p2(ps map_point[]) RETURNS map_point LANGUAGE go AS $$
		func last(ps []map_point) (out map_point) { for _, p := range ps { out = p }; return }
		func p2(ps []map_point) map_point { return last(ps) } $$`,
		`SELECT p2(ARRAY[ROW(1, '2024-01-01'), ROW(5, '2024-01-03')]::map_point[])`, "(5,2024-01-03)"},
	{"composites by name in an aggregate", `CREATE AGGREGATE p3(map_point) (LANGUAGE = go, AS = $$
type S struct{ Sum float64 }

func (s *S) Step(p MapPoint)  { s.Sum += p.X }
func (s *S) Merge(o *S)    { s.Sum += o.Sum }
func (s *S) Finish() float64 { return s.Sum }
$$)`, `SELECT p3(ROW(k, '2024-01-01')::map_point) FROM generate_series(1, 3) g(k)`, "6"},
	{"whole file", `CREATE FUNCTION h1(x float8) RETURNS float8 LANGUAGE go AS $$
package main

import "github.com/volleydb/volley/udf/sdk"

func main() { udf.Main(udf.Scalar("h1", func(x float64) float64 { return x / 2 })) }
$$`, `SELECT h1(3)`, "1.5"},
}

func TestKinds(t *testing.T) {
	for _, workers := range []int{0, 2} {
		name := "embedded"
		if workers > 0 {
			name = "2workers"
		}
		t.Run(name, func(t *testing.T) {
			s := engine.Start(t, workers).Session()
			for _, k := range kinds {
				t.Run(k.name, func(t *testing.T) {
					for _, c := range strings.Split(k.create, ";\nCREATE AGG") {
						if strings.HasPrefix(c, "REGATE") {
							c = "CREATE AGG" + c
						}
						start := time.Now()
						run(t, s, c)
						t.Logf("created in %v", time.Since(start).Round(time.Millisecond))
					}
					if got := text(run(t, s, k.query)); got != k.want {
						t.Errorf("%s\ngot  %q\nwant %q", k.query, got, k.want)
					}
				})
			}
		})
	}
}

// Errors of the compiler are at their place in the statement, and speak of lines of
// the source.
func TestCompilerErrors(t *testing.T) {
	s := engine.Start(t, 0).Session()
	for _, c := range []struct{ name, create, message, at string }{
		{"body", "CREATE FUNCTION e(x float8) RETURNS float8 LANGUAGE go AS $$\n\ty := x + 1\n\treturn strings.ToUpper(y) $$", "line 3: cannot use strings.ToUpper(y)", "strings.ToUpper"},
		{"unused variable", "CREATE FUNCTION e(x float8) RETURNS float8 LANGUAGE go AS $$\n\ty := x\n\treturn x $$", "line 2: declared and not used: y", "y := x"},
		{"syntax", "CREATE FUNCTION e(x float8) RETURNS float8 LANGUAGE go AS $$ return x + $$", "line 2: syntax error", "$$"},
		{"vectorised", "CREATE FUNCTION e(x int) RETURNS float8 LANGUAGE go AS $$\nfor i := range out {\n\tout[i] = x[i]\n} $$", "line 3: cannot use x[i]", "x[i]\n"},
		{"table", "CREATE FUNCTION e(x int) RETURNS SETOF text LANGUAGE go AS $$\n\temit(x) $$", "line 2: cannot use x", "x) $$"},
		{"grouped map", "CREATE FUNCTION e(x int) RETURNS TABLE (n bigint) LANGUAGE go AS $$\nfor g.Next() {\n\tfoo()\n} $$", "line 3: undefined: foo", "foo()"},
		{"window", "CREATE FUNCTION e(x int) RETURNS int LANGUAGE go WINDOW AS $$\nfor i := range out { out[i] = nothing }\n$$", "line 2: undefined: nothing", "nothing"},
		{"aggregate", "CREATE AGGREGATE e(float8) (LANGUAGE = go, AS = $$\ntype S struct{ N float64 }\nfunc (s *S) Step(x float64) { s.M += x }\nfunc (s *S) Merge(o *S) {}\nfunc (s *S) Finish() float64 { return s.N }\n$$)",
			"line 3: s.M undefined", "M += x"},
	} {
		_, err := try(s, c.create)
		e := pgerr.From(err)
		if err == nil || e.Code != pgerr.InvalidFunctionDefinition || !strings.Contains(e.Message, "could not compile function \"e\": "+c.message) {
			t.Errorf("%s: %v (%s)", c.name, e, e.Detail)
			continue
		}
		if at := []rune(c.create); e.Position < 1 || e.Position > len(at) || c.name != "syntax" && !strings.HasPrefix(string(at[e.Position-1:]), c.at) {
			t.Errorf("%s: position %d, which is %q; want %q", c.name, e.Position, string(at[max(e.Position-1, 0):]), c.at)
		}
	}
}

// What is wrong with a source before the compiler sees it.
func TestRefused(t *testing.T) {
	s := engine.Start(t, 0).Session()
	for _, c := range []struct{ create, code, message string }{
		{`CREATE FUNCTION e(x float8) RETURNS float8 LANGUAGE go AS $$
func one(x float64) float64 { return x }
func two(x float64) float64 { return x }
$$`, "42P13", `the source declares no function "e"`},
		{`CREATE AGGREGATE e(float8) (LANGUAGE = go, AS = $$
type S struct{ N float64 }
func (s *S) Step(x float64) { s.N += x }
func (s *S) Finish() float64 { return s.N }
$$)`, "42P13", `the source of aggregate "e" does not declare Merge`},
		{`CREATE AGGREGATE e(float8, float8) (LANGUAGE = go, AS = $$
type S struct{ N float64 }
func (s *S) Step(x float64) { s.N += x }
func (s *S) Merge(o *S) { s.N += o.N }
func (s *S) Finish() float64 { return s.N }
$$)`, "42P13", `Step of aggregate "e" takes 1 arguments, and the aggregate 2`},
		{`CREATE FUNCTION e(x float8) RETURNS SETOF record LANGUAGE go AS $$ emit(x) $$`, "0A000", "must be a whole file"},
		{`CREATE FUNCTION e(x point) RETURNS float8 LANGUAGE go AS $$ return 1 $$`, "", ""},
		{`CREATE FUNCTION e(x float8) RETURNS float8 LANGUAGE go AS $$
func e(x int64) float64 { return 1 }
$$`, "42P13", "the declaration does not fit function"},
		{`CREATE AGGREGATE e(text) (LANGUAGE = go, AS = $$
type S struct{ N float64 }
func (s *S) Step(x float64) { s.N += x }
func (s *S) Merge(o *S) { s.N += o.N }
func (s *S) Finish() float64 { return s.N }
$$)`, "42P13", "the declaration does not fit function"},
		{`CREATE AGGREGATE e(float8) (LANGUAGE = go, RETURNS = int, AS = $$
type S struct{ N float64 }
func (s *S) Step(x float64) { s.N += x }
func (s *S) Merge(o *S) { s.N += o.N }
func (s *S) Finish() float64 { return s.N }
$$)`, "42P13", "the declaration does not fit function"},
	} {
		_, err := try(s, c.create)
		if e := pgerr.From(err); err == nil || c.code != "" && e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s\n%v; want %s %s", c.create, err, c.code, c.message)
		}
	}
}
