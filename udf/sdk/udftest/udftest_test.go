package udftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/udf/sdk"
)

type mean struct {
	N   int64
	Sum float64
}

func result(s *mean) udf.Null[float64] {
	if s.N == 0 {
		return udf.None[float64]()
	}
	return udf.Some(s.Sum / float64(s.N))
}

func step(s *mean, x float64) { s.N++; s.Sum += x }

func add(into, from *mean) { into.N += from.N; into.Sum += from.Sum }

type words struct{ All []string }

type point struct{ X, Y float64 }

var initialised int

// decls are functions that are right.
func decls() []udf.Decl {
	return []udf.Decl{
		udf.Init(func(context.Context) error { initialised++; return nil }),
		udf.Scalar("normalize", func(s string) string { return strings.ToLower(strings.TrimSpace(s)) }, udf.Immutable, udf.Args("s")),
		udf.Scalar2("or_else", func(a udf.Null[int64], b int64) int64 { return a.Or(b) }, udf.Immutable),
		udf.Vector("halve", func(x, out []float64) {
			for i := range out {
				out[i] = x[i] / 2
			}
		}, udf.Stable),
		udf.Scalar("positive", func(x int64) (int64, error) {
			if x < 0 {
				return 0, udf.Errorf("22003", "x is negative")
			}
			return x, nil
		}, udf.Args("x")),
		udf.Scalar1("length", func(p point) float64 { return p.X*p.X + p.Y*p.Y }, udf.Immutable),
		udf.Scalar("tags", func(s string) []string { return strings.Fields(s) }, udf.Immutable),
		udf.Scalar1("next_day", func(d udf.Day) udf.Day { return udf.Day{Time: d.AddDate(0, 0, 1)} }, udf.Immutable),
		udf.Scalar("ticks", func(x int64) int64 { return time.Now().UnixNano() }),
		udf.Aggregate("mean", nil, step, add, result),
		udf.Aggregate("join", nil, func(s *words, w string) { s.All = append(s.All, w) },
			func(into, from *words) { into.All = append(into.All, from.All...) }, func(s *words) string { return strings.Join(s.All, " ") }),
		udf.GroupedMap("running", udf.Columns{udf.Col("x", udf.Int64)}, udf.Columns{udf.Col("x", udf.Int64), udf.Col("sum", udf.Int64)},
			func(ctx *udf.Context, g *udf.Group) error {
				sum := int64(0)
				for g.Next() {
					for i, x := range g.Int64("x") {
						g.Row(i)
						if x == 13 {
							return errors.New("thirteen")
						}
						sum += x
						g.Emit(x, sum)
					}
				}
				return nil
			}),
		udf.GroupedMap("median", udf.Columns{udf.Col("x", udf.Float64)}, udf.Columns{udf.Col("x", udf.Float64)},
			func(ctx *udf.Context, g *udf.Group) error {
				g.Next()
				g.Emit(g.Float64("x")[g.Len()/2])
				return nil
			}, udf.WholeGroup),
		udf.Table("letters", udf.Columns{udf.Col("s", udf.String)}, udf.Columns{udf.Col("n", udf.Int64), udf.Col("letter", udf.String)},
			func(ctx *udf.Context, c *udf.TableCall) error {
				for i, r := range udf.Arg[string](c, 0) {
					c.Emit(i, string(r))
				}
				return nil
			}),
		udf.Window("upto", udf.Columns{udf.Col("x", udf.Float64)}, func(ctx *udf.Context, p *udf.Partition, out []float64) error {
			x := udf.PartitionColumn[float64](p, 0)
			for i := range out {
				from, to := p.Frame(i)
				for _, v := range x[from:to] {
					out[i] += v
				}
			}
			return nil
		}),
		udf.Table("columns", udf.Columns{udf.Col("n", udf.Int64)}, nil, func(ctx *udf.Context, c *udf.TableCall) error { return nil },
			udf.Describe(func(c *udf.TableCall) (udf.Columns, error) {
				var out udf.Columns
				for i := range udf.Arg[int64](c, 0) {
					out = append(out, udf.Col(fmt.Sprint("c", i), udf.String))
				}
				return out, nil
			})),
	}
}

func TestRight(t *testing.T) {
	f := New(t, decls()...)
	if initialised != 1 {
		t.Errorf("Init ran %d times", initialised)
	}
	f.Scalar(t, "normalize", Case{Row{" A"}, "a"}, Case{Row{nil}, nil}, Case{Row{""}, ""}, Case{Row{"Ñu"}, "ñu"})
	f.Scalar(t, "or_else", Case{Row{nil, 3}, 3}, Case{Row{1, 3}, 1}, Case{Row{nil, nil}, nil})
	f.Scalar(t, "halve", Case{Row{3}, 1.5}, Case{Row{-1.0}, -0.5}, Case{Row{nil}, nil})
	f.Scalar(t, "length", Case{Row{point{3, 4}}, 25})
	f.Scalar(t, "tags", Case{Row{"a b"}, []string{"a", "b"}}, Case{Row{""}, []any{}}, Case{Row{nil}, nil})
	f.Scalar(t, "next_day", Case{Row{udf.Day{Time: time.Date(2024, 2, 28, 0, 0, 0, 0, time.UTC)}}, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)})
	if got := f.Call(t, "positive", 7); got != int64(7) {
		t.Error(got)
	}
	f.Fails(t, "positive", Row{-1}, "22003", "x is negative", "x = -1")
	f.Immutable(t, "normalize", Row{"x"}, Row{" Y "}, Row{nil})
	f.Aggregate(t, "mean", Group{Rows: Rows{{1}, {2}, {6}}, Out: 3}, Group{Out: nil}, Group{Rows: Rows{{nil}, {5}}, Out: 5})
	f.Ordered(t, "join", Group{Rows: Rows{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}, {"f"}, {"g"}}, Out: "a b c d e f g"}, Group{Rows: Rows{{"x"}}, Out: "x"})
	if got := f.Empty(t, "mean"); got != nil {
		t.Error(got)
	}
	f.GroupedMap(t, "running", []Group{
		{Rows: Rows{{1}, {2}, {3}}, OutRows: Rows{{1, 1}, {2, 3}, {3, 6}}},
		{},
		{Rows: Rows{{5}}, OutRows: Rows{{5, 5}}}})
	f.GroupedMap(t, "median", []Group{{Rows: Rows{{1}, {2}, {3}}, OutRows: Rows{{2}}}, {Rows: Rows{{7}}, OutRows: Rows{{7}}}})
	f.Table(t, "letters", Group{Rows: Rows{{"ab"}}, OutRows: Rows{{0, "a"}, {1, "b"}}}, Group{Rows: Rows{{""}}}, Group{Rows: Rows{{nil}}})
	f.Window(t, "upto", Group{Rows: Rows{{1}, {2}, {3}}, OutRows: Rows{{1}, {3}, {6}}}, Group{Rows: Rows{{4}}, OutRows: Rows{{4}}})
	if c := f.Describe(t, "columns", 2); fmt.Sprint(c) != "[{c0 string} {c1 string}]" {
		t.Error(c)
	}
	// Large output, in more than one piece.
	var many Group
	for i := range 200_000 {
		many.Rows, many.OutRows = append(many.Rows, Row{1}), append(many.OutRows, Row{1, i + 1})
	}
	rows, err := f.tester.Groups("running", frames([]Group{many}, 50_000), nil)
	if err != nil || len(rows) != len(many.Rows) || rows[len(rows)-1].Row[1] != int64(len(many.Rows)) {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestGolden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "golden.json")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := New(t, decls()...)
	write(`{"normalize": [{"in": ["' It''s '"], "out": "'it''s'"}, {"in": ["NULL"], "out": "NULL"}],
		"mean": [{"rows": [["1"], ["2"]], "out": "1.5"}, {"out": "NULL"}],
		"halve": [{"in": ["1"], "out": "0.5000001", "tolerance": 0.001}],
		"next_day": [{"in": ["'2024-12-31'"], "out": "'2025-01-01'"}],
		"running": [{"rows": [["1"], ["2"]], "out_rows": [["1", "1"], ["2", "3"]]}]}`)
	f.Golden(t, file)
	write(`{"normalize": [{"in": ["'A'"], "out": "'A'"}], "nobody": [{}], "halve": [{"in": ["x"], "out": "1"}], "running": [{"rows": [["1"]], "out_rows": []}]}`)
	tells(t, func(t testing.TB) { f.Golden(t, file) }, `case 1 of normalize: normalize(s = "A") is "a", want "A"`, `cases of "nobody"`, "invalid syntax", "want no row")
}

// recorder collects what a test would be told.
type recorder struct {
	testing.TB
	said []string
}

type ended struct{}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(ended{})
}

func tells(t *testing.T, f func(t testing.TB), words ...string) {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != (ended{}) {
				panic(v)
			}
		}()
		f(r)
	}()
	all := strings.Join(r.said, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q lacks %q", all, w)
		}
	}
}

// Faults of functions are found and explained.
func TestWrong(t *testing.T) {
	calls := 0
	var kept [][]float64
	shared := map[string]int64{}
	f := New(t,
		udf.Scalar("counts", func(x int64) int64 { calls++; return int64(calls) }, udf.Immutable),
		udf.Vector("cumulates", func(x, out []float64) {
			sum := 0.0
			for i := range out {
				sum += x[i]
				out[i] = sum
			}
		}, udf.Immutable),
		udf.Vector("forgets", func(x, out []float64) { kept = append(kept, x) }),
		udf.Scalar("ticks", func(x int64) int64 { return x }),
		udf.Scalar("panics", func(x int64) int64 { return 10 / x }, udf.Args("x")),
		udf.Aggregate("averages", nil, func(s *mean, x float64) { s.N++; s.Sum += (x - s.Sum) / float64(s.N) },
			func(into, from *mean) { into.N += from.N; into.Sum = (into.Sum + from.Sum) / 2 }, func(s *mean) float64 { return s.Sum }),
		udf.Aggregate("loses", func() words { return words{} }, func(s *words, x string) { s.All = append(s.All, x) },
			func(into, from *words) {}, func(s *words) int64 { return int64(len(s.All)) }),
		udf.Aggregate("global", nil, func(s *mean, x float64) { shared["sum"] += int64(x); s.Sum = float64(shared["sum"]) }, add,
			func(s *mean) float64 { return s.Sum }),
		udf.Aggregate("joins", nil, func(s *words, w string) { s.All = append(s.All, w) },
			func(into, from *words) { into.All = append(into.All, from.All...) }, func(s *words) string { return strings.Join(s.All, " ") }),
		udf.GroupedMap("per_batch", udf.Columns{udf.Col("x", udf.Int64)}, udf.Columns{udf.Col("n", udf.Int64)},
			func(ctx *udf.Context, g *udf.Group) error {
				for g.Next() {
					g.Emit(g.Len())
				}
				return nil
			}))
	tells(t, func(t testing.TB) { f.Immutable(t, "counts", Row{1}, Row{2}) }, "counts(1) is", "depends on other rows or calls")
	tells(t, func(t testing.TB) { f.Scalar(t, "cumulates", Case{Row{1}, 1}, Case{Row{2}, 2}) }, "cumulates(2) is 3 in one batch, and 2 otherwise")
	tells(t, func(t testing.TB) { f.Scalar(t, "forgets", Case{Row{1}, 1}) }, "forgets(1) is 0, want 1")
	tells(t, func(t testing.TB) { f.Immutable(t, "ticks", Row{1}) }, "declared volatile")
	tells(t, func(t testing.TB) { f.Scalar(t, "panics", Case{Row{0}, 0}) }, "panics(x = 0)", "divide by zero", "udftest_test.go")
	tells(t, func(t testing.TB) { f.Call(t, "panics", "text") }, "argument 1", "cannot hold a string")
	tells(t, func(t testing.TB) { f.Call(t, "panics", 1, 2) }, "has 2 values, want 1")
	tells(t, func(t testing.TB) { f.Call(t, "nobody", 1) }, `there is no function "nobody"`)
	tells(t, func(t testing.TB) { f.Fails(t, "panics", Row{1}, "38000") }, "panics(x = 1) is 10; want an error")
	tells(t, func(t testing.TB) { f.Aggregate(t, "averages", Group{Rows: Rows{{1}, {2}, {6}}, Out: 3}) }, "averages is", "merge(a, b) must give the state")
	tells(t, func(t testing.TB) { f.Aggregate(t, "loses", Group{Rows: Rows{{"a"}, {"b"}}, Out: 2}) }, "loses is 0 when the states of its parts are merged")
	tells(t, func(t testing.TB) { f.Aggregate(t, "global", Group{Rows: Rows{{1}}, Out: 1}) }, "global is")
	tells(t, func(t testing.TB) {
		f.Aggregate(t, "joins", Group{Rows: Rows{{"a"}, {"b"}, {"c"}, {"d"}}, Out: "a b c d"})
	}, "joins is")
	tells(t, func(t testing.TB) {
		f.GroupedMap(t, "per_batch", []Group{{Rows: Rows{{1}, {2}, {3}}, OutRows: Rows{{3}}}})
	},
		"group 1 in pieces of 1 rows", "is (1), want (3)")
	tells(t, func(t testing.TB) { f.Table(t, "per_batch") }, `there is no table function "per_batch"`)
	tells(t, func(t testing.TB) { New(t, udf.Scalar("a", strings.ToUpper), udf.Scalar("a", strings.ToUpper)) }, "declared twice")
	tells(t, func(t testing.TB) {
		New(t, udf.Init(func(context.Context) error { return errors.New("no model") }))
	}, "no model")
	right := New(t, decls()...)
	tells(t, func(t testing.TB) { right.GroupedMap(t, "running", []Group{{Rows: Rows{{1}, {13}}, OutRows: nil}}) }, "thirteen", "row 2", "x = 13")
}

func ExampleFunctions_Aggregate() {
	var t *testing.T // of the test
	f := New(t,
		udf.Aggregate("mean", nil,
			func(s *mean, x float64) { s.N++; s.Sum += x },
			func(into, from *mean) { into.N += from.N; into.Sum += from.Sum },
			func(s *mean) float64 { return s.Sum / float64(s.N) }))
	f.Aggregate(t, "mean", Group{Rows: Rows{{1}, {2}, {6}}, Out: 3}, Group{Rows: Rows{{5}}, Out: 5})
}

func ExampleFunctions_Call() {
	t := &testing.T{}
	f := New(t, udf.Scalar("initials", func(name string) string {
		s := ""
		for _, w := range strings.Fields(name) {
			s += w[:1]
		}
		return s
	}))
	fmt.Println(f.Call(t, "initials", "Grace Hopper"), f.Call(t, "initials", nil))
	// Output: GH <nil>
}
