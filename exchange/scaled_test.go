package exchange

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// A numeric hashes alike whatever form and scale it is stored in.
func TestHashScaled(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 500 {
		n := 1 + r.IntN(50)
		v := vector.NewScaled(types.T(types.Numeric), n, int32(r.IntN(22)))
		for i, vals := 0, vector.Values[int64](v); i < n; i++ {
			vals[i] = []int64{0, math.MinInt64, math.MaxInt64, -100, 1e18, r.Int64N(2001) - 1000, r.Int64() >> r.IntN(60) / 10 * 10}[r.IntN(7)]
		}
		if r.IntN(2) == 0 {
			v.Valid = vector.NewValid(n)
			vector.SetNull(v.Valid, r.IntN(n))
		}
		trimmed := v.Flatten()
		for i, d := range vector.Values[types.Decimal](trimmed) {
			vector.Values[types.Decimal](trimmed)[i] = d.Normalize()
		}
		a, b, c := make([]uint64, n), make([]uint64, n), make([]uint64, n)
		HashRows([]*vector.Vector{v}, n, a)
		HashRows([]*vector.Vector{v.Flatten()}, n, b)
		HashRows([]*vector.Vector{trimmed}, n, c)
		for i := range n {
			if a[i] != b[i] || a[i] != c[i] {
				t.Fatalf("%s hashes to %x, %x and %x", vector.At[types.Decimal](v, i), a[i], b[i], c[i])
			}
		}
	}
}
