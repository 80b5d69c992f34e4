package function

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func TestTextLengths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		n := 1 + rng.IntN(300)
		vals := make([]string, n+2)
		for i := range vals {
			r := make([]rune, rng.IntN(20))
			for k := range r {
				r[k] = rune(1 + rng.IntN(127))
				if round%3 > 0 && rng.IntN(40) == 0 {
					r[k] = []rune{0x80, 'é', 0x7ff, 0x800, '€', 0xffff, 0x10000, '😀', 0x10ffff}[rng.IntN(9)]
				}
			}
			vals[i] = string(r)
		}
		text := vector.FromStrings(types.T(types.Text), vals)
		for _, c := range []struct {
			v  *vector.Vector
			at func(i int) string
		}{
			{text, func(i int) string { return vals[i] }},
			{vector.Slice(text, 2, n+2), func(i int) string { return vals[i+2] }},
			{vector.NewConst(vector.Slice(text, 1, 2), n), func(int) string { return vals[1] }},
		} {
			for name, k := range map[string]struct {
				f    EvalFunc
				want func(string) int
			}{
				"characters": {textLengths, utf8.RuneCountInString},
				"bytes":      {byteLengths(1), func(s string) int { return len(s) }},
				"bits":       {byteLengths(8), func(s string) int { return 8 * len(s) }},
			} {
				out, err := k.f(nil, []*vector.Vector{c.v}, n)
				if err != nil || out.Len != n {
					t.Fatal(name, out, err)
				}
				for i := range n {
					if got, want := vector.At[int32](out, i), k.want(c.at(i)); int(got) != want {
						t.Fatalf("%s of %q: %d, want %d", name, c.at(i), got, want)
					}
				}
			}
		}
	}
}

func BenchmarkTextLengths(b *testing.B) {
	const n = 8192
	for _, more := range []string{"", "é"} {
		vals := make([]string, n)
		for i := range vals {
			vals[i] = fmt.Sprintf("  User-%08d, \"Segment %d\"  <X>%s", i*7919%1000003, i%97, more)
		}
		args := []*vector.Vector{vector.FromStrings(types.T(types.Text), vals)}
		b.Run("with "+more, func(b *testing.B) {
			for b.Loop() {
				_, _ = textLengths(nil, args, n)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/n, "ns/row")
		})
	}
}
