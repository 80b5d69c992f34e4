package physical

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Keys of any types and forms get the groups that their encodings say, numbered by
// first appearance, and come back as they first came.
func TestGroupTableKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dict := vector.FromStrings(tText, []string{"a", "", "bb", "dictionary", "x\x00y"})
	nulls := func(v *vector.Vector) *vector.Vector {
		if r.IntN(2) == 0 {
			return v
		}
		valid := vector.NewValid(v.Len)
		for i := range v.Len {
			if r.IntN(5) == 0 {
				vector.SetNull(valid, i)
			}
		}
		return v.WithValid(valid)
	}
	text := func(typ types.Type, n int) *vector.Vector {
		switch r.IntN(3) {
		case 0:
			if typ.ID == types.Text {
				codes := make([]int32, n)
				for i := range codes {
					codes[i] = int32(r.IntN(dict.Len))
				}
				return nulls(vector.FromDict(typ, codes, dict))
			}
		case 1:
			return vector.NewConst(vector.FromStrings(typ, []string{"bb"}), n)
		}
		s := make([]string, n)
		for i := range s {
			s[i] = []string{"a", "b ", "b", "", fmt.Sprint("long value number ", r.IntN(30))}[r.IntN(5)]
		}
		return nulls(vector.FromStrings(typ, s))
	}
	makers := map[string]func(n int) *vector.Vector{
		"text":   func(n int) *vector.Vector { return text(tText, n) },
		"bytea":  func(n int) *vector.Vector { return text(types.T(types.Bytea), n) },
		"bpchar": func(n int) *vector.Vector { return text(types.T(types.Bpchar), n) },
		"int2": func(n int) *vector.Vector {
			s := make([]int16, n)
			for i := range s {
				s[i] = int16(r.IntN(5) - 2)
			}
			return nulls(vector.FromSlice(types.T(types.Int2), s))
		},
		"int4": func(n int) *vector.Vector {
			s := make([]int32, n)
			for i := range s {
				s[i] = []int32{0, -1, math.MinInt32, math.MaxInt32, 7}[r.IntN(5)]
			}
			return nulls(vector.FromSlice(types.T(types.Int4), s))
		},
		"int8": func(n int) *vector.Vector {
			s := make([]int64, n)
			for i := range s {
				s[i] = []int64{0, -1, math.MinInt64, math.MaxInt64, int64(r.IntN(20))}[r.IntN(5)]
			}
			return nulls(vector.FromSlice(tInt8, s))
		},
		"float8": func(n int) *vector.Vector {
			s := make([]float64, n)
			for i := range s {
				s[i] = []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), -1.5}[r.IntN(5)]
			}
			return nulls(vector.FromSlice(types.T(types.Float8), s))
		},
		"bool": func(n int) *vector.Vector {
			s := make([]bool, n)
			for i := range s {
				s[i] = r.IntN(2) == 0
			}
			return nulls(vector.FromSlice(types.T(types.Bool), s))
		},
		"numeric": func(n int) *vector.Vector {
			s := make([]types.Decimal, n)
			for i := range s {
				s[i] = types.NewDecimal(int64(10*r.IntN(4)), int32(r.IntN(2)))
			}
			return nulls(vector.FromSlice(types.T(types.Numeric), s))
		},
	}
	for _, names := range [][]string{{"text"}, {"bytea"}, {"bpchar"}, {"numeric"}, {"float8"}, {"bool"}, {"int2"},
		{"text", "int4"}, {"text", "text"}, {"int4", "int4"}, {"int2", "int4"}, {"int8", "int8"}, {"bool", "int2", "int4"},
		{"float8", "text"}, {"numeric", "int8"}, {"bpchar", "bool"}, {"text", "int4", "text", "int8", "float8"}, {}} {
		var ts []types.Type
		for _, name := range names {
			ts = append(ts, makers[name](1).Type)
		}
		table := newGroupTable(ts)
		want := map[string]int32{}
		var first [][]string // text of the keys of each group
		for range 12 {
			n := 1 + r.IntN(400)
			vs := make([]*vector.Vector, len(ts))
			for c, name := range names {
				vs[c] = makers[name](n)
			}
			k := encodeKeys(vs, nil, n)
			row := func(i int) (out []string) {
				for _, v := range vs {
					out = append(out, fmt.Sprint(value(v.Flatten(), i)))
				}
				return out
			}
			groups := make([]int32, n)
			if _, err := table.find(t.Context(), vs, n, groups, false); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				g, ok := want[string(k.at(i))]
				if !ok {
					g = -1
				}
				if groups[i] != g {
					t.Fatalf("%v: row %v found in group %d, want %d", names, row(i), groups[i], g)
				}
			}
			fresh, err := table.find(t.Context(), vs, n, groups, true)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				g, ok := want[string(k.at(i))]
				if !ok {
					g = int32(len(want))
					want[string(k.at(i))] = g
					first = append(first, row(i))
					if len(fresh) == 0 || fresh[0] != int32(i) {
						t.Fatalf("%v: new groups of rows %v, want %d", names, fresh, i)
					}
					fresh = fresh[1:]
				}
				if groups[i] != g {
					t.Fatalf("%v: row %v in group %d, want %d", names, row(i), groups[i], g)
				}
			}
		}
		if table.n != len(want) {
			t.Fatalf("%v: %d groups, want %d", names, table.n, len(want))
		}
		for c, v := range table.columns() {
			for g := range first {
				if got := fmt.Sprint(value(piece(v, g, g+1).Flatten(), 0)); got != first[g][c] {
					t.Fatalf("%v: key %d of group %d is %s, want %s", names, c, g, got, first[g][c])
				}
			}
		}
	}
}

func BenchmarkGroupTable(b *testing.B) {
	const n = 1 << 14
	r := rand.New(rand.NewPCG(1, 2))
	for _, distinct := range []int{100, 100_000, 2_000_000} {
		ints, wide, texts := make([][]int32, 64), make([][]int64, 64), make([][]string, 64)
		for i := range ints {
			ints[i], wide[i], texts[i] = make([]int32, n), make([]int64, n), make([]string, n)
			for j := range n {
				x := r.IntN(distinct)
				ints[i][j], wide[i][j], texts[i][j] = int32(x%1000), int64(x)<<20, fmt.Sprint("some words and ", x)
			}
		}
		for _, c := range []struct {
			name string
			cols func(i int) []*vector.Vector
		}{
			{"int8", func(i int) []*vector.Vector { return []*vector.Vector{vector.FromSlice(tInt8, wide[i])} }},
			{"text", func(i int) []*vector.Vector { return []*vector.Vector{vector.FromStrings(tText, texts[i])} }},
			{"int4,int8", func(i int) []*vector.Vector {
				return []*vector.Vector{vector.FromSlice(types.T(types.Int4), ints[i]), vector.FromSlice(tInt8, wide[i])}
			}},
			{"int4,text", func(i int) []*vector.Vector {
				return []*vector.Vector{vector.FromSlice(types.T(types.Int4), ints[i]), vector.FromStrings(tText, texts[i])}
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, distinct), func(b *testing.B) {
				vs := make([][]*vector.Vector, 64)
				var ts []types.Type
				for i := range vs {
					vs[i] = c.cols(i)
				}
				for _, v := range vs[0] {
					ts = append(ts, v.Type)
				}
				groups := make([]int32, n)
				b.ResetTimer()
				for range b.N {
					t := newGroupTable(ts)
					for _, v := range vs {
						if _, err := t.find(b.Context(), v, n, groups, true); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64*n), "ns/row")
			})
		}
	}
}
