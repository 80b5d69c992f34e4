package function

import (
	"context"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// benchRows is the number of rows per call; SetBytes makes "MB/s" millions of rows per second.
const benchRows = vector.DefaultRows

func benchCall(b *testing.B, f *Function, args ...*vector.Vector) {
	b.Helper()
	c := testCtx(b)
	b.SetBytes(benchRows)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Call(c, f, args, benchRows); err != nil {
			b.Fatal(err)
		}
	}
}

func benchColumn(id types.ID) *vector.Vector {
	t := types.T(id)
	switch t.Phys() {
	case types.PhysInt32:
		x := make([]int32, benchRows)
		for i := range x {
			x[i] = int32(i*7919) % 10007
		}
		return vector.FromSlice(t, x)
	case types.PhysInt64:
		x := make([]int64, benchRows)
		for i := range x {
			x[i] = int64(i*7919) % 10007
		}
		return vector.FromSlice(t, x)
	case types.PhysFloat64:
		x := make([]float64, benchRows)
		for i := range x {
			x[i] = float64(i*7919%10007) + 0.5
		}
		return vector.FromSlice(t, x)
	case types.PhysNumeric:
		x := make([]types.Decimal, benchRows)
		for i := range x {
			x[i] = types.NewDecimal(int64(i*7919%10007), 2)
		}
		return vector.FromSlice(t, x)
	}
	words := []string{"the quick brown fox", "MED BAG", "special packages", "carefully final requests sleep", "x"}
	x := make([]string, benchRows)
	for i := range x {
		x[i] = words[i%len(words)]
	}
	return vector.FromStrings(t, x)
}

func BenchmarkKernels(b *testing.B) {
	for _, id := range []types.ID{types.Int4, types.Int8, types.Float8, types.Numeric} {
		v := benchColumn(id)
		one := vector.NewConst(vector.Slice(v, 5, 6), benchRows)
		for _, op := range []string{"=", "<", "+", "*", "/", "%"} {
			f, _, _, err := ResolveOperator(op, []types.Type{v.Type, v.Type})
			if err != nil {
				continue
			}
			b.Run(op+"/"+typeName(v.Type)+"/const", func(b *testing.B) { benchCall(b, f, v, one) })
			if op != "/" && op != "%" {
				b.Run(op+"/"+typeName(v.Type)+"/rows", func(b *testing.B) { benchCall(b, f, v, v) })
			}
		}
	}
	text := benchColumn(types.Text)
	word := func(s string) *vector.Vector {
		return vector.NewConst(vector.FromStrings(textType, []string{s}), benchRows)
	}
	for _, tc := range []struct{ name, op, pattern string }{
		{"equal", "=", "MED BAG"}, {"prefix", "~~", "special%"}, {"contains", "~~", "%packages%"},
		{"segments", "~~", "%final%sleep%"}, {"regex", "~", "^special.*s$"}, {"ilike", "~~*", "%PACK%"}, {"concat", "||", "!"},
	} {
		f, _, _, err := ResolveOperator(tc.op, []types.Type{textType, textType})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("text/"+tc.name, func(b *testing.B) { benchCall(b, f, text, word(tc.pattern)) })
	}
	for _, name := range []string{"lower", "length", "btrim"} {
		b.Run("text/"+name, func(b *testing.B) { benchCall(b, Lookup(name)[0], text) })
	}
	ints := benchColumn(types.Int4)
	b.Run("random", func(b *testing.B) { benchCall(b, Lookup("random")[0]) })
	b.Run("cast/int4 to int8", func(b *testing.B) {
		b.SetBytes(benchRows)
		for b.Loop() {
			if _, err := Cast(nil, ints, types.T(types.Int8), false); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGenerateSeries(b *testing.B) {
	f := Lookup("generate_series")
	for _, g := range f {
		if g.ID != "pg_catalog.generate_series(int8,int8)" {
			continue
		}
		const n = 5_000_000
		one := func(x int64) *vector.Vector { return vector.FromSlice(types.T(types.Int8), []int64{x}) }
		b.SetBytes(n)
		for b.Loop() {
			gen, err := g.NewTable(nil, []*vector.Vector{one(1), one(n)})
			if err != nil {
				b.Fatal(err)
			}
			rows := 0
			for {
				batch, err := gen.Next(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if batch == nil {
					break
				}
				rows += batch.Rows()
			}
			if rows != n {
				b.Fatal(rows)
			}
		}
	}
}
