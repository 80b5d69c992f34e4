package function

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggCase resolves an aggregate over the elements of arrays.
func aggCase(t *testing.T, c *Ctx, fields []string) (f *Function, args []types.Type, rt types.Type, cols []*vector.Vector) {
	for _, a := range fields[1:] {
		v := literal(t, c, a)
		cols = append(cols, v.Child)
		args = append(args, v.Child.Type)
	}
	f, args, rt, err := Resolve(fields[0], Lookup(fields[0]), args)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cols {
		if cols[i], err = Cast(c, cols[i], args[i], false); err != nil {
			t.Fatal(err)
		}
	}
	return f, args, rt, cols
}

func finish(t *testing.T, c *Ctx, a Aggregator, err error, g int, rt types.Type) string {
	if err != nil {
		return shownError(err)
	}
	out, err := a.Final(g, g+1)
	if err != nil {
		return shownError(err)
	}
	if out.Len != 1 || !out.Type.Same(rt) {
		t.Errorf("final gives %d rows of %s, want one of %s", out.Len, out.Type, rt)
	}
	return shown(t, c, out, 0)
}

// sameAggregate allows for rounding where floating-point numbers are summed.
func sameAggregate(fields []string, got, want string) bool {
	return got == want || strings.Contains(fields[1], "float") && nearlyEqual(got, want)
}

// TestAggregates compares with results that Postgres 15 gave: in one update, and
// as one group of several that is updated row by row.
func TestAggregates(t *testing.T) {
	c := testCtx(t)
	eachAggregate(t, func(fields []string, want string) {
		f, args, rt, cols := aggCase(t, c, fields)
		n := cols[0].Len
		a := f.NewAggregate(args)
		a.Grow(1)
		err := a.Update(nil, cols, n)
		got := finish(t, c, a, err, 0, rt)
		if !sameAggregate(fields, got, want) {
			t.Errorf("%v: got %s, want %s", fields, got, want)
		}
		if a.Size() <= 0 || a.Close() != nil {
			t.Errorf("%v: size %d", fields, a.Size())
		}
		a = f.NewAggregate(args)
		a.Grow(3)
		err = nil
		for i := 0; i < n && err == nil; i++ {
			row := make([]*vector.Vector, len(cols))
			for k, v := range cols {
				row[k] = vector.GatherNull(v, []int32{int32(i), -1, int32(i)})
			}
			err = a.Update([]int32{1, 2, 0}, row, 3)
		}
		if one := finish(t, c, a, err, 1, rt); !sameAggregate(fields, one, got) {
			t.Errorf("%v: row by row in groups %s, at once %s", fields, one, got)
		}
	})
}

// TestAggregateMerge splits rows in every way that a random number generator
// comes up with: merging partial states in order gives what one state gives.
func TestAggregateMerge(t *testing.T) {
	c := testCtx(t)
	rng := rand.New(rand.NewPCG(1, 2))
	eachAggregate(t, func(fields []string, _ string) {
		f, args, rt, cols := aggCase(t, c, fields)
		n := cols[0].Len
		whole := f.NewAggregate(args)
		whole.Grow(1)
		err := whole.Update(nil, cols, n)
		want := finish(t, c, whole, err, 0, rt)
		for round := range 8 {
			total := f.NewAggregate(args)
			total.Grow(2)
			var err error
			for at := 0; at <= n && err == nil; {
				to := min(n, at+rng.IntN(n+2))
				part := f.NewAggregate(args)
				part.Grow(2)
				slice := make([]*vector.Vector, len(cols))
				for k, v := range cols {
					slice[k] = vector.Slice(v, at, to)
				}
				groups := make([]int32, to-at)
				for i := range groups {
					groups[i] = 1
				}
				if err = part.Update(groups, slice, to-at); err != nil {
					break
				}
				var states []*vector.Vector
				if states, err = part.State(0, 2); err != nil {
					break
				}
				for k, st := range f.StateTypes(args) {
					if !states[k].Type.Same(st) {
						t.Fatalf("%v: state %d is %s, declared %s", fields, k, states[k].Type, st)
					}
				}
				err = total.Merge([]int32{0, 1}, states, 2)
				if at == n {
					break
				}
				at = to
			}
			if got := finish(t, c, total, err, 1, rt); !sameAggregate(fields, got, want) {
				t.Errorf("%v, round %d: merged %s, whole %s", fields, round, got, want)
			}
			empty := "\\N"
			if strings.Contains(fields[0], "count") {
				empty = "0"
			}
			if got := finish(t, c, total, nil, 0, rt); err == nil && got != empty {
				t.Errorf("%v: a group without rows gives %s", fields, got)
			}
		}
	})
}

func TestExtremesOfArrays(t *testing.T) {
	c := testCtx(t)
	var rows []*vector.Vector
	for _, l := range []string{"{2,1}", "{10}", "\\N", "{2,NULL}"} {
		rows = append(rows, literal(t, c, "int4[]:"+l))
	}
	col := vector.Concat(rows)
	for name, want := range map[string]string{"min": "{2,1}", "max": "{10}"} {
		f, args, rt, err := Resolve(name, Lookup(name), []types.Type{col.Type})
		if err != nil {
			t.Fatal(err)
		}
		part, total := f.NewAggregate(args), f.NewAggregate(args)
		part.Grow(1)
		total.Grow(1)
		if err := part.Update(nil, []*vector.Vector{col}, col.Len); err != nil {
			t.Fatal(err)
		}
		states, err := part.State(0, 1)
		if err == nil {
			err = total.Merge([]int32{0}, states, 1)
		}
		if got := finish(t, c, total, err, 0, rt); got != want || total.Size() == 0 {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// eachAggregate runs f on the cases with Postgres' results and on our own.
func eachAggregate(t *testing.T, f func(fields []string, want string)) {
	eachCase(t, "testdata/aggregates.tsv", f)
	eachCase(t, "testdata/aggregates_own.tsv", f)
}

func BenchmarkAggregates(b *testing.B) {
	const n = vector.DefaultRows
	groups := make([]int32, n)
	ints, bigs, floats, decs := make([]int32, n), make([]int64, n), make([]float64, n), make([]types.Decimal, n)
	for i := range n {
		groups[i] = int32(i*7919) % 1000
		ints[i], bigs[i], floats[i], decs[i] = int32(i), int64(i), float64(i), types.NewDecimal(int64(i), 2)
	}
	cols := []*vector.Vector{
		vector.FromSlice(types.T(types.Int4), ints), vector.FromSlice(types.T(types.Int8), bigs),
		vector.FromSlice(types.T(types.Float8), floats), vector.FromSlice(types.T(types.Numeric), decs),
	}
	for _, name := range []string{"sum", "avg", "min", "max", "count"} {
		for _, v := range cols {
			f, args, _, err := Resolve(name, Lookup(name), []types.Type{v.Type})
			if err != nil {
				b.Fatal(err)
			}
			for _, g := range [][]int32{nil, groups} {
				b.Run(fmt.Sprintf("%s/%s/grouped=%t", name, typeName(v.Type), g != nil), func(b *testing.B) {
					a := f.NewAggregate(args)
					a.Grow(1000)
					b.SetBytes(n)
					for b.Loop() {
						if err := a.Update(g, []*vector.Vector{v}, n); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// A percentile of values in any order is that of the sorted ones.
func TestPercentileUnsorted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	typ := types.T(types.Float8)
	for trial := range 300 {
		n := 1 + r.IntN(200)
		vals := make([]float64, n)
		for i := range vals {
			switch trial % 4 {
			case 0:
				vals[i] = float64(i)
			case 1:
				vals[i] = float64(r.IntN(4))
			case 2:
				vals[i] = []float64{r.NormFloat64(), math.NaN(), math.Inf(-1)}[r.IntN(3)]
			default:
				vals[i] = -r.ExpFloat64()
			}
		}
		p := []float64{0, 1, 0.5, r.Float64()}[r.IntN(4)]
		groups := make([]int32, n)
		for i := range groups {
			groups[i] = int32(r.IntN(3))
		}
		run := func(unsorted bool) string {
			f, _, _, err := Resolve("percentile_cont", Lookup("percentile_cont"), []types.Type{typ, typ})
			if err != nil {
				t.Fatal(err)
			}
			agg := f.NewAggregate([]types.Type{typ, typ})
			agg.Grow(3)
			idx := make([]int32, n)
			for i := range idx {
				idx[i] = int32(i)
			}
			if unsorted {
				if !agg.(SelfSorting).TakeUnsorted() {
					t.Fatal("percentile_cont wants an order")
				}
			} else {
				slices.SortStableFunc(idx, func(a, b int32) int { return cmp.Compare(types.FloatKey(vals[a]), types.FloatKey(vals[b])) })
			}
			gs := make([]int32, n)
			for i, k := range idx {
				gs[i] = groups[k]
			}
			args := []*vector.Vector{vector.NewConst(vector.FromSlice(typ, []float64{p}), n), vector.Gather(vector.FromSlice(typ, vals), idx)}
			if err := agg.Update(gs, args, n); err != nil {
				t.Fatal(err)
			}
			out, err := agg.Final(0, 3)
			if err != nil {
				t.Fatal(err)
			}
			s := ""
			for g := range 3 {
				if out.IsNull(g) {
					s += " NULL"
				} else {
					s += fmt.Sprint(" ", vector.At[float64](out, g))
				}
			}
			return s
		}
		if got, want := run(true), run(false); got != want {
			t.Fatalf("percentile %v of %v by %v:%s, want%s", p, vals, groups, got, want)
		}
	}
}
