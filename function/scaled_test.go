package function

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// randomCoefs makes a Scaled vector: small values, edges of 64 bits, NULLs.
func randomCoefs(r *rand.Rand, n int) *vector.Vector {
	v := vector.NewScaled(numericType, n, int32([]int{0, 1, 2, 4, 9, 18, 20}[r.IntN(7)]))
	kind := r.IntN(3)
	for i, vals := 0, vector.Values[int64](v); i < n; i++ {
		switch kind {
		case 0:
			vals[i] = r.Int64N(2001) - 1000
		case 1:
			vals[i] = (r.Int64() - 1<<62) >> r.IntN(63)
		default:
			vals[i] = []int64{0, 1, -1, 10, 50, -50, math.MaxInt64, math.MinInt64, math.MaxInt64 / 10, 1e18, -1e18, 5e17}[r.IntN(12)]
		}
	}
	if r.IntN(2) == 0 {
		v.Valid = vector.NewValid(n)
		for i := range n {
			if r.IntN(3) == 0 {
				vector.SetNull(v.Valid, i)
			}
		}
	}
	return v
}

// randomConst makes a numeric constant, also one near a value of v.
func randomConst(r *rand.Rand, v *vector.Vector) *vector.Vector {
	d := types.NewDecimal(r.Int64N(2001)-1000, int32(r.IntN(5)))
	switch r.IntN(8) {
	case 0, 1:
		d = vector.At[types.Decimal](v, r.IntN(v.Len))
	case 2:
		d = vector.At[types.Decimal](v, r.IntN(v.Len))
		d.Scale += 3
		d.Hi, d.Lo = 0, d.Lo>>1
	case 3:
		d = types.Decimal{NaN: true}
	case 4:
		d = types.Decimal{Hi: r.Int64N(1<<60) - 1<<59, Lo: r.Uint64(), Scale: int32(r.IntN(30))}
	}
	return vector.NewConst(vector.FromSlice(numericType, []types.Decimal{d}), v.Len)
}

func flatArgs(args []*vector.Vector) []*vector.Vector {
	out := make([]*vector.Vector, len(args))
	for i, a := range args {
		out[i] = a
		if a.Form == vector.Scaled {
			out[i] = a.Flatten()
		}
	}
	return out
}

func textsOf(v *vector.Vector) []string {
	out := make([]string, v.Len)
	for i := range out {
		out[i] = "NULL"
		if !v.IsNull(i) {
			out[i] = string(vector.AppendText(nil, v, i, nil))
		}
	}
	return out
}

func sameResult(got *vector.Vector, gerr error, want *vector.Vector, werr error) error {
	if gerr != nil || werr != nil {
		if fmt.Sprint(gerr) != fmt.Sprint(werr) {
			return fmt.Errorf("error %v instead of %v", gerr, werr)
		}
		return nil
	}
	if got.Type != want.Type {
		return fmt.Errorf("%s instead of %s", got.Type, want.Type)
	}
	g, w := textsOf(got), textsOf(want)
	for i := range w {
		if g[i] != w[i] {
			return fmt.Errorf("row %d: %s instead of %s", i, g[i], w[i])
		}
	}
	return nil
}

// Kernels over Scaled vectors give what they give over Flat ones, errors included.
func TestScaledKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	binaries := []string{"+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">="}
	narrowed := map[string]int{}
	for range 4000 {
		n := 1 + r.IntN(40)
		a, b := randomCoefs(r, n), randomCoefs(r, n)
		switch r.IntN(4) {
		case 0:
			b = randomConst(r, a)
		case 1:
			a = randomConst(r, b)
		case 2:
			b.Scale = a.Scale
		}
		for _, op := range binaries {
			f, ok := ByID(operatorID(op, "numeric", "numeric"))
			if !ok {
				t.Fatal(op)
			}
			args := []*vector.Vector{a, b}
			got, gerr := Call(nil, f, args, n)
			want, werr := Call(nil, f, flatArgs(args), n)
			if err := sameResult(got, gerr, want, werr); err != nil {
				t.Fatalf("%s: %v\n%v\n%v", op, err, textsOf(a), textsOf(b))
			}
			if gerr == nil && got.Form == vector.Scaled {
				narrowed[op]++
			}
		}
		if a.Form != vector.Scaled {
			continue
		}
		digits := vector.NewConst(vector.FromSlice(types.T(types.Int4), []int32{int32(r.IntN(24) - 2)}), n)
		for id, args := range map[string][]*vector.Vector{
			"pg_catalog.numeric_uminus(numeric)": {a}, "pg_catalog.abs(numeric)": {a}, "pg_catalog.round(numeric,int4)": {a, digits},
		} {
			f, ok := ByID(id)
			if !ok {
				t.Fatal(id)
			}
			got, gerr := Call(nil, f, args, n)
			want, werr := Call(nil, f, flatArgs(args), n)
			if err := sameResult(got, gerr, want, werr); err != nil {
				t.Fatalf("%s: %v\n%v %v", id, err, textsOf(a), textsOf(args[len(args)-1])[0])
			}
			if gerr == nil && got.Form == vector.Scaled {
				narrowed[id]++
			}
		}
		for _, to := range []types.Type{types.T(types.Float8), types.T(types.Float4), types.T(types.Int8), types.T(types.Int4), types.T(types.Text),
			types.NumericOf(1+r.IntN(20), r.IntN(10)), types.NumericOf(18, int(a.Scale))} {
			got, gerr := Cast(nil, a, to, true)
			want, werr := Cast(nil, a.Flatten(), to, true)
			if err := sameResult(got, gerr, want, werr); err != nil {
				t.Fatalf("%s: %v\n%v", to, err, textsOf(a))
			}
		}
	}
	for _, op := range []string{"+", "-", "*", "pg_catalog.numeric_uminus(numeric)", "pg_catalog.abs(numeric)", "pg_catalog.round(numeric,int4)"} {
		if narrowed[op] < 100 {
			t.Errorf("%s stayed narrow %d times", op, narrowed[op])
		}
	}
}

// Integers become Scaled numerics and come back.
func TestScaledFromInts(t *testing.T) {
	vals := []int64{0, 1, -1, 1 << 40, math.MaxInt64, math.MinInt64}
	v, err := Cast(nil, vector.FromSlice(types.T(types.Int8), vals), numericType, false)
	if err != nil || v.Form != vector.Scaled || fmt.Sprint(textsOf(v)) != "[0 1 -1 1099511627776 9223372036854775807 -9223372036854775808]" {
		t.Fatalf("%v %v", textsOf(v), err)
	}
	if _, err = Cast(nil, vector.FromSlice(types.T(types.Int4), []int32{7, 1000}), types.NumericOf(5, 2), false); err == nil {
		t.Fatal("1000 as numeric(5,2)")
	}
	v, err = Cast(nil, vector.FromSlice(types.T(types.Int2), []int16{7, -999}), types.NumericOf(5, 2), false)
	if err != nil || fmt.Sprint(textsOf(v)) != "[7.00 -999.00]" {
		t.Fatalf("%v %v", textsOf(v), err)
	}
}

// Aggregates over any mix of Scaled, Flat and Const batches, in one part or in
// several that are merged, give what a sum of the Decimals one by one gives.
func TestScaledAggregates(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for round := range 1500 {
		groups := 1 + r.IntN(5)
		if round%50 == 0 {
			groups = 400 // more than are summed up in parts
		}
		sums, extremes := make([]types.DecimalSum, groups), make([][2]*types.Decimal, groups)
		names := []string{"sum", "avg", "min", "max"}
		aggs := make([][]Aggregator, len(names)) // by name and part
		fs := make([]*Function, len(names))
		for k, name := range names {
			f, ok := ByID("pg_catalog." + name + "(numeric)")
			if !ok {
				t.Fatal(name)
			}
			fs[k] = f
			for range 1 + r.IntN(3) {
				aggs[k] = append(aggs[k], f.NewAggregate([]types.Type{numericType}))
			}
		}
		same := randomCoefs(r, 1).Scale
		for range 1 + r.IntN(5) {
			n := 1 + r.IntN(200)
			v := randomCoefs(r, n)
			if round%3 > 0 {
				v.Scale = same
			}
			switch r.IntN(12) {
			case 0, 1:
				v = v.Flatten()
			case 2:
				v = randomConst(r, v)
			case 3:
				// NaN only now and then: it would hide all else.
				v = vector.Concat([]*vector.Vector{v.Flatten(), randomCoefs(r, 7).Flatten()})
			}
			n = v.Len
			var gs []int32
			if groups > 1 || r.IntN(2) == 0 {
				gs = make([]int32, n)
				for i := range gs {
					gs[i] = int32(r.IntN(groups))
				}
			}
			for i := range n {
				if v.IsNull(i) {
					continue
				}
				d, g := vector.At[types.Decimal](v, i), group(gs, i)
				sums[g].Add(d)
				if m := &extremes[g][0]; *m == nil || d.Cmp(**m) < 0 {
					*m = &d
				}
				if m := &extremes[g][1]; *m == nil || d.Cmp(**m) > 0 {
					*m = &d
				}
			}
			for k := range aggs {
				a := aggs[k][r.IntN(len(aggs[k]))]
				a.Grow(groups)
				if err := a.Update(gs, []*vector.Vector{v}, n); err != nil {
					t.Fatal(err)
				}
			}
		}
		ids := make([]int32, groups)
		for g := range ids {
			ids[g] = int32(g)
		}
		for k, name := range names {
			total := aggs[k][0]
			total.Grow(groups)
			for _, a := range aggs[k][1:] {
				a.Grow(groups)
				half := groups / 2
				for _, part := range [][2]int{{0, half}, {half, groups}} {
					states, err := a.State(part[0], part[1])
					if err != nil {
						t.Fatal(err)
					}
					for c, want := range fs[k].StateTypes(nil) {
						if states[c].Type != want || states[c].Len != part[1]-part[0] {
							t.Fatalf("%s: state column %d", name, c)
						}
						if r.IntN(2) == 0 {
							states[c] = states[c].Flatten()
						}
					}
					if err := total.Merge(ids[part[0]:part[1]], states, part[1]-part[0]); err != nil {
						t.Fatal(err)
					}
				}
			}
			out, err := total.Final(0, groups)
			for g := range groups {
				want, werr := "NULL", error(nil)
				if sums[g].Count() > 0 {
					var d types.Decimal
					switch name {
					case "sum":
						d, werr = sums[g].Sum()
					case "avg":
						d, werr = sums[g].Avg()
					case "min":
						d = *extremes[g][0]
					default:
						d = *extremes[g][1]
					}
					want = d.String()
				}
				if werr != nil {
					if err == nil {
						t.Fatalf("%s: no error instead of %v", name, werr)
					}
					break
				}
				if err != nil {
					continue // of another group
				}
				got := "NULL"
				if !out.IsNull(g) {
					got = vector.At[types.Decimal](out, g).String()
				}
				if name != "sum" && name != "avg" && want != "NULL" && got != "NULL" {
					// Of equal values at several scales any is the least.
					if !vector.At[types.Decimal](out, g).Equal(mustNumeric(t, want)) {
						t.Fatalf("round %d: %s: %s instead of %s", round, name, got, want)
					}
					continue
				}
				if got != want {
					t.Fatalf("round %d: %s of group %d: %s instead of %s", round, name, g, got, want)
				}
			}
		}
	}
}

func mustNumeric(t *testing.T, s string) types.Decimal {
	d, err := types.ParseNumeric(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
