package function

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Aggregates that take dictionary columns fold them as they do flat ones.
func TestAggregatesOfDictionaries(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 9))
	for _, typ := range []types.ID{types.Text, types.Bpchar, types.Bytea} {
		ts := []types.Type{types.T(typ)}
		for _, fn := range []func() Aggregator{
			func() Aggregator { return &countAgg{} },
			func() Aggregator { return &stringExtremeAgg{t: ts[0], sign: 1} },
			func() Aggregator { return &stringExtremeAgg{t: ts[0], sign: -1} },
		} {
			a, b := fn(), fn()
			if _, ok := a.(DictTaker); !ok {
				t.Fatalf("%T takes no dictionaries", a)
			}
			groups := []int32(nil)
			total := 1
			if rng.IntN(2) == 0 {
				total = 5
			}
			a.Grow(total)
			b.Grow(total)
			for range 30 {
				texts := make([]string, 1+rng.IntN(60))
				for i := range texts {
					texts[i] = fmt.Sprint(rng.IntN(40)) + "  "[:rng.IntN(3)]
				}
				n := rng.IntN(100)
				codes, valid := make([]int32, n), vector.NewValid(n)
				if total > 1 {
					groups = make([]int32, n)
				}
				for i := range codes {
					codes[i] = int32(rng.IntN(len(texts)))
					if groups != nil {
						groups[i] = int32(rng.IntN(total))
					}
					if rng.IntN(4) == 0 {
						vector.SetNull(valid, i)
					}
				}
				v := vector.FromDict(ts[0], codes, vector.FromStrings(ts[0], texts))
				if rng.IntN(2) == 0 {
					v = v.WithValid(valid)
				}
				if err := a.Update(groups, []*vector.Vector{v}, n); err != nil {
					t.Fatal(err)
				}
				if err := b.Update(groups, []*vector.Vector{v.Flatten()}, n); err != nil {
					t.Fatal(err)
				}
				x, err := a.Final(0, total)
				if err != nil {
					t.Fatal(err)
				}
				y, err := b.Final(0, total)
				if err != nil {
					t.Fatal(err)
				}
				for g := range total {
					p, q := "NULL", "NULL"
					if !x.IsNull(g) {
						p = string(vector.AppendText(nil, x, g, nil))
					}
					if !y.IsNull(g) {
						q = string(vector.AppendText(nil, y, g, nil))
					}
					if p != q {
						t.Fatalf("%T of %v: %q instead of %q", a, ts[0], p, q)
					}
				}
			}
		}
	}
}
