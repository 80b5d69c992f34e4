package function

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fuzzPool has values in the text form of each type that kernels take: small
// ones, extremes, and texts that mean something to some function.
var fuzzPool = map[types.ID][]string{
	types.Bool:        {"t", "f"},
	types.Int2:        {"-32768", "-1", "0", "1", "2", "3", "7", "32767"},
	types.Int4:        {"-2147483648", "-1", "0", "1", "2", "3", "7", "46341", "2147483647"},
	types.Int8:        {"-9223372036854775808", "-1", "0", "1", "2", "3", "7", "4294967296", "9223372036854775807"},
	types.Float4:      {"-Infinity", "-1.5", "-0", "0", "1", "2.5", "NaN", "340000", "0.125", "Infinity"},
	types.Float8:      {"-Infinity", "-1.5", "-0", "0", "1", "2.5", "NaN", "340000", "0.125", "Infinity"},
	types.Numeric:     {"-1.5", "-1.50", "0", "0.00", "1", "2", "7", "12345.678", "99999999999999999999.5", "1e-20", "NaN"},
	types.Text:        {"", "a", "A", "ab", "b", "é", "a,b,c", "%a_", "2024-02-30", "12", "YYYY-MM-DD HH24:MI", "day", "hex", "g", "(a|b)+", "{1,2}", "$.a", `{"a":1}`, "日本"},
	types.Varchar:     {"", "a", "ab", "é"},
	types.Bpchar:      {"", "a", "a ", "ab"},
	types.Name:        {"", "a", "pg_class"},
	types.Bytea:       {`\x`, `\x00`, `\xff`, `\x616263`},
	types.Date:        {"2024-02-29", "1969-12-31", "0001-01-01 BC", "infinity", "-infinity"},
	types.Timestamp:   {"2024-02-29 12:34:56.789", "1969-12-31", "-infinity", "4714-11-24 00:00:00 BC", "294247-01-01 23:59:59"},
	types.Timestamptz: {"2024-03-10 06:59:59+00", "1969-12-31 00:00+00", "infinity"},
	types.Time:        {"00:00", "24:00", "12:34:56.789"},
	types.Interval:    {"1 mon", "30 days", "29 days 24:00", "-1 day", "178000000 years", "0"},
	types.UUID:        {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"},
	types.JSON:        {"null", "1", `"a"`, `{"a": 1, "b": [1, {"c": null}]}`, "[]", "[1, 2, 3]"},
	types.JSONB:       {"null", "1", `"a"`, `{"a": 1, "b": [1, {"c": null}]}`, "[]", "[1, 2, 3]"},
}

// fuzzColumn makes n rows of a type, some of them NULL; nil for types that
// literals cannot make.
func fuzzColumn(c *Ctx, rng *rand.Rand, typ types.Type, n int) *vector.Vector {
	b := vector.NewBuilder(typ, n)
	nulls := rng.IntN(3) == 0
	text := func(t types.Type) string {
		p := fuzzPool[t.ID]
		if p == nil {
			return ""
		}
		return p[rng.IntN(len(p))]
	}
	for range n {
		if nulls && rng.IntN(4) == 0 {
			b.AppendNull()
			continue
		}
		val := text(typ)
		if e := typ.ElemType(); typ.Phys() == types.PhysList {
			if fuzzPool[e.ID] == nil {
				return nil
			}
			var list []string
			for range rng.IntN(4) {
				if rng.IntN(5) == 0 {
					list = append(list, "NULL")
				} else {
					list = append(list, `"`+strings.ReplaceAll(strings.ReplaceAll(text(e), `\`, `\\`), `"`, `\"`)+`"`)
				}
			}
			val = "{" + strings.Join(list, ",") + "}"
		} else if fuzzPool[typ.ID] == nil {
			return nil
		}
		v, err := Cast(c, vector.FromStrings(types.T(types.Text), []string{val}), typ, true)
		if err != nil {
			return nil
		}
		b.AppendFrom(v.Flatten(), 0)
	}
	return b.Build()
}

// fuzzType is a type that an argument of a signature may have.
func fuzzType(rng *rand.Rand, t types.Type, elem types.Type) types.Type {
	switch t.ID {
	case types.AnyElement:
		return elem
	case types.AnyArray:
		return types.ArrayOf(elem.ID)
	case types.Any:
		return types.T([]types.ID{types.Int4, types.Text, types.Numeric, types.Timestamp}[rng.IntN(4)])
	}
	return t
}

// fuzzArgs makes columns for a function's arguments, in forms that kernels may
// be given: flat, constant, narrow numerics; nil where a type cannot be made.
func fuzzArgs(c *Ctx, rng *rand.Rand, f *Function, n int) []*vector.Vector {
	elem := types.T([]types.ID{types.Int4, types.Text, types.Float8, types.Numeric, types.Date}[rng.IntN(5)])
	want := f.Args
	if f.Variadic && len(want) > 0 {
		for range rng.IntN(3) {
			want = append(want[:len(want):len(want)], want[len(want)-1])
		}
	}
	args := make([]*vector.Vector, len(want))
	for i, t := range want {
		v := fuzzColumn(c, rng, fuzzType(rng, t, elem), n)
		if v == nil {
			return nil
		}
		if rng.IntN(3) == 0 {
			v = vector.NewConst(vector.Slice(v, 0, 1), n)
		} else if v.Type.ID == types.Numeric && rng.IntN(2) == 0 {
			vals := make([]int64, n)
			for i := range vals {
				vals[i] = []int64{0, 1, -1, 250, -999, math.MaxInt64 / 3, math.MinInt64 / 3, rng.Int64()}[rng.IntN(8)]
			}
			v = vector.FromScaled(v.Type, vals, int32(rng.IntN(5))).WithValid(v.Valid)
		}
		args[i] = v
	}
	return args
}

// unstable are functions whose value is another on every call, or that sleep, or
// whose arguments the planner makes.
func unstable(f *Function) bool {
	return strings.HasPrefix(f.Name, "sample_row") || strings.HasPrefix(f.Name, "volley_") || f.Volatility == Volatile || f.UDF != nil || f.Eval == nil || strings.HasPrefix(f.Name, "pg_") && f.Volatility != Immutable
}

// FuzzKernels evaluates a function over rows at once and row by row: values,
// NULLs and errors must be the same whatever the form of the arguments.
func FuzzKernels(f *testing.F) {
	var all []*Function
	for _, fn := range All() {
		if fn.Kind == Scalar && !unstable(fn) {
			all = append(all, fn)
		}
	}
	for i := range uint16(len(all)) {
		f.Add(i, uint64(i)*7919, uint8(5))
	}
	f.Add(uint16(slices.IndexFunc(all, func(fn *Function) bool { return fn.ID == "pg_catalog.substring(text,text,text)" })), uint64(3911933), uint8('p'))
	f.Fuzz(func(t *testing.T, which uint16, seed uint64, rows uint8) {
		fn := all[int(which)%len(all)]
		c := testCtx(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		n := int(rows)%40 + 1
		args := fuzzArgs(c, rng, fn, n)
		if args == nil || large(fn, args) {
			return
		}
		whole, wholeErr := Call(c, fn, args, n)
		var rowErr error
		for i := range n {
			one := make([]*vector.Vector, len(args))
			for k, a := range args {
				one[k] = vector.Slice(a.Flatten(), i, i+1)
			}
			out, err := Call(c, fn, one, 1)
			if err != nil {
				if pgerr.Code(err) == pgerr.FeatureNotSupported && fn.Volatility == Stable {
					return // it asks the catalog, which is not here
				}
				if pgerr.Code(err) == pgerr.InternalError {
					t.Fatalf("%s%s: %v", fn.ID, fuzzShown(t, c, one, 0), err)
				}
				rowErr = err
				continue
			}
			if out.Len != 1 {
				t.Fatalf("%s: %d rows of one", fn.ID, out.Len)
			}
			if wholeErr == nil {
				if got, want := shown(t, c, vector.Slice(whole.Flatten(), i, i+1), 0), shown(t, c, out, 0); got != want {
					t.Fatalf("%s%s, row %d of %d: %s, alone %s", fn.ID, fuzzShown(t, c, one, 0), i, n, got, want)
				}
			}
		}
		if (wholeErr == nil) != (rowErr == nil) {
			t.Fatalf("%s: %d rows at once: %v; one by one: %v; first %s", fn.ID, n, wholeErr, rowErr, fuzzShown(t, c, args, 0))
		}
	})
}

// large reports arguments that ask for gigabytes: repeat('a', 2147483647).
func large(f *Function, args []*vector.Vector) bool {
	switch f.Name {
	case "repeat", "lpad", "rpad", "array_fill", "factorial", "pow", "power", "exp", "^", "numeric_power", "numeric_fac", "generate_series":
		for _, a := range args {
			for i := range a.Len {
				if !a.IsNull(i) && (a.Type.Phys() == types.PhysInt32 && vector.At[int32](a, i) > 1000 || a.Type.Phys() == types.PhysInt64 && vector.At[int64](a, i) > 1000) {
					return true
				}
			}
		}
	}
	return false
}

func fuzzShown(t *testing.T, c *Ctx, args []*vector.Vector, i int) string {
	list := make([]string, len(args))
	for k, a := range args {
		list[k] = fmt.Sprintf("%s %q", a.Type, shown(t, c, vector.Slice(a.Flatten(), i, i+1), 0))
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// FuzzAggregates folds rows in one go, and in pieces whose states are merged:
// the results must be the same, up to the last digits of floats.
func FuzzAggregates(f *testing.F) {
	var all []*Function
	for _, fn := range All() {
		if fn.Kind == Aggregate && fn.UDF == nil && fn.NewAggregate != nil && fn.StateTypes != nil {
			all = append(all, fn)
		}
	}
	for i := range uint16(len(all)) {
		f.Add(i, uint64(i)*104729, uint8(9))
	}
	f.Fuzz(func(t *testing.T, which uint16, seed uint64, rows uint8) {
		fn := all[int(which)%len(all)]
		c := testCtx(t)
		rng := rand.New(rand.NewPCG(seed, 2))
		n := int(rows)%60 + 1
		args := fuzzArgs(c, rng, fn, n)
		if args == nil {
			return
		}
		ts := make([]types.Type, len(args))
		for i, a := range args {
			ts[i] = a.Type
			if i > 0 && fn.Name == "approx_percentile" {
				args[i] = vector.NewConst(vector.FromSlice(a.Type, []float64{0.5}), n) // one for all rows
			}
		}
		const groups = 3
		of := make([]int32, n)
		for i := range of {
			of[i] = int32(rng.IntN(groups))
		}
		whole := fn.NewAggregate(ts)
		defer whole.Close()
		whole.Grow(groups)
		err := whole.Update(of, args, n)
		total := fn.NewAggregate(ts)
		defer total.Close()
		total.Grow(groups)
		var partErr error
		for at := 0; at < n && partErr == nil; {
			to := min(n, at+1+rng.IntN(n))
			part := fn.NewAggregate(ts)
			part.Grow(groups)
			cut := make([]*vector.Vector, len(args))
			for k, a := range args {
				cut[k] = vector.Slice(a, at, to)
			}
			if partErr = part.Update(of[at:to], cut, to-at); partErr == nil {
				var states []*vector.Vector
				if states, partErr = part.State(0, groups); partErr == nil {
					partErr = total.Merge([]int32{0, 1, 2}, states, groups)
				}
			}
			part.Close()
			at = to
		}
		// Whether a sum of floats overflows before it meets an infinity is a matter
		// of the order, as in Postgres.
		if (err == nil) != (partErr == nil) && pgerr.Code(cmp.Or(err, partErr)) != pgerr.NumericValueOutOfRange {
			t.Fatalf("%s: at once %v, in parts %v", fn.ID, err, partErr)
		}
		if err != nil || partErr != nil {
			return
		}
		a, aErr := whole.Final(0, groups)
		b, bErr := total.Final(0, groups)
		if (aErr == nil) != (bErr == nil) {
			t.Fatalf("%s: at once %v, in parts %v", fn.ID, aErr, bErr)
		}
		for g := 0; aErr == nil && g < groups; g++ {
			x, y := shown(t, c, vector.Slice(a.Flatten(), g, g+1), 0), shown(t, c, vector.Slice(b.Flatten(), g, g+1), 0)
			if x != y && !closeFloats(a.Type, x, y) {
				var in []string
				for i := range n {
					if of[i] == int32(g) {
						in = append(in, fuzzShown(t, c, args, i))
					}
				}
				t.Fatalf("%s, group %d of %d rows: at once %s, in parts %s; input %s", fn.ID, g, n, x, y, in)
			}
		}
	})
}

// closeFloats allows for another order of additions, infinities among them.
func closeFloats(t types.Type, x, y string) bool {
	if t.Phys() != types.PhysFloat64 && t.Phys() != types.PhysFloat32 {
		return false
	}
	var a, b float64
	if _, err := fmt.Sscan(x, &a); err != nil {
		return false
	}
	if _, err := fmt.Sscan(y, &b); err != nil {
		return false
	}
	eps := 1e-9
	if t.Phys() == types.PhysFloat32 {
		eps = 1e-5
	}
	return math.Abs(a-b) <= eps*max(1, math.Abs(a), math.Abs(b)) || math.IsInf(a, 0) || math.IsInf(b, 0) || math.IsNaN(a) || math.IsNaN(b)
}
