package function

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// randomColumn makes rows of small and extreme values with some NULLs.
func randomColumn(t *testing.T, c *Ctx, rng *rand.Rand, typ string, n int) *vector.Vector {
	pools := map[string][]string{
		"bool":        {"t", "f"},
		"int2":        {"-32768", "-1", "0", "1", "7", "32767"},
		"int4":        {"-2147483648", "-1", "0", "1", "7", "46341", "2147483647"},
		"int8":        {"-9223372036854775808", "-1", "0", "1", "7", "3037000500", "4294967296", "9223372036854775807"},
		"float4":      {"-Infinity", "-1.5", "-0", "0", "2.5", "NaN", "Infinity"},
		"float8":      {"-Infinity", "-1.5", "-0", "0", "2.5", "NaN", "Infinity"},
		"numeric":     {"-1.5", "-1.50", "0", "0.00", "7", "99999999999999999999.5", "NaN"},
		"text":        {"", "a", "A", "ab", "b", "é"},
		"bpchar":      {"", "a", "a ", "ab"},
		"bytea":       {`\x`, `\x00`, `\xff`},
		"date":        {"2024-01-01", "1969-12-31", "infinity"},
		"timestamp":   {"2024-01-01", "1969-12-31", "-infinity"},
		"interval":    {"1 mon", "30 days", "29 days 24:00", "-1 day"},
		"uuid":        {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"},
		"int4[]":      {"{}", "{1}", "{1,NULL}", "{NULL}", "{1,2}"},
		"timestamptz": {"2024-01-01 00:00+00", "1969-12-31 00:00+00"},
	}
	b := vector.NewBuilder(signatureType(typ), n)
	for range n {
		if rng.IntN(6) == 0 {
			b.AppendNull()
			continue
		}
		v := literal(t, c, typ+":"+pools[typ][rng.IntN(len(pools[typ]))])
		b.AppendFrom(v, 0)
	}
	return b.Build()
}

// TestCompareOp checks the comparison loops of every type and form against the
// three-way comparison.
func TestCompareOp(t *testing.T) {
	c := testCtx(t)
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 60
	for _, typ := range []string{"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "bpchar", "bytea", "date", "timestamp", "interval", "uuid", "int4[]"} {
		cols := []*vector.Vector{randomColumn(t, c, rng, typ, n), randomColumn(t, c, rng, typ, n)}
		for i := range 4 {
			cols = append(cols, vector.NewConst(vector.Slice(cols[0], i, i+1), n))
		}
		cmp := Comparer(signatureType(typ))
		for _, a := range cols {
			for _, b := range cols {
				for op := EQ; op <= GE; op++ {
					out, err := CompareOp(op, a, b, n)
					if err != nil {
						t.Fatal(err)
					}
					for i := range n {
						if null := a.IsNull(i) || b.IsNull(i); null != out.IsNull(i) {
							t.Fatalf("%s %s: row %d NULL is %t", typ, op, i, !null)
						} else if !null && vector.At[bool](out, i) != holds(op, cmp(a, i, b, i)) {
							t.Fatalf("%s: %s %s %s is %t", typ, shown(t, c, a, i), op, shown(t, c, b, i), vector.At[bool](out, i))
						}
					}
				}
			}
		}
	}
}

// TestIntegerLoops checks the loops with their overflow flags, row by row and
// with a constant, against arithmetic in floating point of twice the range.
func TestIntegerLoops(t *testing.T) {
	c := testCtx(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, typ := range []string{"int2", "int4", "int8"} {
		a, b := randomColumn(t, c, rng, typ, 200), randomColumn(t, c, rng, typ, 200)
		for _, op := range []string{"+", "-", "*", "/", "%"} {
			f, _, _, err := ResolveOperator(op, []types.Type{a.Type, b.Type})
			if err != nil {
				t.Fatal(err)
			}
			nf, _, _, err := ResolveOperator(op, []types.Type{types.T(types.Numeric), types.T(types.Numeric)})
			if err != nil {
				t.Fatal(err)
			}
			if op == "/" {
				nf = Lookup("div")[0]
			}
			for i := range a.Len {
				x, y := vector.Slice(a, i, i+1), vector.Slice(b, i, i+1)
				want := "out of range"
				nx, _ := Cast(c, x, types.T(types.Numeric), false)
				ny, _ := Cast(c, y, types.T(types.Numeric), false)
				if r, err := Call(c, nf, []*vector.Vector{nx, ny}, 1); err != nil {
					want = "division by zero"
				} else if r, err = Cast(c, r, a.Type, false); err == nil {
					want = shown(t, c, r, 0)
				}
				two := vector.Gather(x, []int32{0, 0})
				for _, right := range []*vector.Vector{vector.Gather(y, []int32{0, 0}), vector.NewConst(y, 2)} {
					got := ""
					if out, err := Call(c, f, []*vector.Vector{two, right}, 2); err != nil {
						got = err.Error()
					} else {
						got = shown(t, c, out, 1)
					}
					if got != want && !(want == "out of range" && strings.HasSuffix(got, want)) {
						t.Fatalf("%s: %s %s %s is %s, want %s", typ, shown(t, c, x, 0), op, shown(t, c, y, 0), got, want)
					}
				}
			}
		}
	}
}

// likeByDefinition matches without any of the shortcuts.
func likeByDefinition(s, p []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	switch p[0] {
	case '%':
		return likeByDefinition(s, p[1:]) || len(s) > 0 && likeByDefinition(s[1:], p)
	case '_':
		return len(s) > 0 && likeByDefinition(s[1:], p[1:])
	}
	return len(s) > 0 && s[0] == p[0] && likeByDefinition(s[1:], p[1:])
}

func TestLikeByDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	word := func(letters []rune, n int) string {
		var b strings.Builder
		for range rng.IntN(n) {
			b.WriteRune(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	f, _, _, err := ResolveOperator("~~", []types.Type{textType, textType})
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		p := word([]rune("ab日%_%"), 7)
		rows := make([]string, 5)
		for i := range rows {
			rows[i] = word([]rune("ab日"), 9)
		}
		pat := vector.NewConst(vector.FromStrings(textType, []string{p}), len(rows))
		out, err := Call(nil, f, []*vector.Vector{vector.FromStrings(textType, rows), pat}, len(rows))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range rows {
			if got := vector.At[bool](out, i); got != likeByDefinition([]rune(s), []rune(p)) {
				t.Fatalf("%q LIKE %q is %t", s, p, got)
			}
		}
	}
}

func TestApproxCountDistinct(t *testing.T) {
	for _, n := range []int{1, 100, 5_000, 300_000} {
		x := make([]int64, 2*n)
		s := make([]string, len(x))
		for i := range x {
			x[i] = int64(i % n * 3)
			s[i] = fmt.Sprint("key", i%n)
		}
		for _, v := range []*vector.Vector{vector.FromSlice(types.T(types.Int8), x), vector.FromStrings(textType, s)} {
			whole, total := &approxDistinctAgg{}, &approxDistinctAgg{}
			whole.Grow(1)
			total.Grow(1)
			if err := whole.Update(nil, []*vector.Vector{v}, v.Len); err != nil {
				t.Fatal(err)
			}
			for _, half := range []*vector.Vector{vector.Slice(v, 0, n/2), vector.Slice(v, n/2, v.Len)} {
				part := &approxDistinctAgg{}
				part.Grow(1)
				if err := part.Update(nil, []*vector.Vector{half}, half.Len); err != nil {
					t.Fatal(err)
				}
				st, _ := part.State(0, 1)
				if err := total.Merge([]int32{0}, st, 1); err != nil {
					t.Fatal(err)
				}
			}
			a, _ := whole.Final(0, 1)
			b, _ := total.Final(0, 1)
			got := vector.At[int64](a, 0)
			if got != vector.At[int64](b, 0) {
				t.Errorf("%d: merged sketches differ", n)
			}
			if e := math.Abs(float64(got)/float64(n) - 1); e > 0.08 {
				t.Errorf("%d distinct %s estimated as %d", n, v.Type, got)
			}
		}
	}
}
