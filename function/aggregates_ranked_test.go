package function

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// An aggregate that is told the counts keeps few rows and gives the same
// percentiles, whatever the batches, with NULLs at the end of each group.
func TestPercentileCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	typ, list := types.T(types.Float8), types.ArrayOf(types.Float8)
	for trial := range 400 {
		name := []string{"percentile_cont", "percentile_disc"}[trial%2]
		many := trial%4 >= 2
		fracs := []float64{0, 1, 0.5, r.Float64(), r.Float64()}
		frac := vector.FromSlice(typ, fracs[2:3])
		ft := typ
		if many {
			ft, frac = list, vector.FromList(list, []int32{0, int32(len(fracs))}, vector.FromSlice(typ, fracs))
		}
		const groups = 4
		var gs []int32
		var vals []float64
		var null []bool
		counts := make([]int64, groups)
		for g := range int32(groups) {
			if r.IntN(5) == 0 {
				continue
			}
			part := make([]float64, r.IntN(3000/(1+r.IntN(100))+1))
			for i := range part {
				part[i] = float64(r.IntN(50))
			}
			slices.Sort(part)
			nulls := r.IntN(3)
			counts[g] = int64(len(part))
			for _, x := range part {
				gs, vals, null = append(gs, g), append(vals, x), append(null, false)
			}
			for range nulls {
				gs, vals, null = append(gs, g), append(vals, 0), append(null, true)
			}
		}
		run := func(counted bool) (string, int64) {
			f, _, _, err := Resolve(name, Lookup(name), []types.Type{ft, typ})
			if err != nil {
				t.Fatal(err)
			}
			agg := f.NewAggregate([]types.Type{ft, typ})
			agg.Grow(groups)
			if counted {
				agg.(Ranked).TakeCounts(counts)
			}
			for from := 0; from < len(gs); {
				to := min(from+1+r.IntN(700), len(gs))
				b := vector.NewBuilder(typ, to-from)
				for i := from; i < to; i++ {
					if null[i] {
						b.AppendNull()
					} else {
						vector.Append(b, vals[i])
					}
				}
				if err := agg.Update(gs[from:to], []*vector.Vector{vector.NewConst(frac, to-from), b.Build()}, to-from); err != nil {
					t.Fatal(err)
				}
				from = to
			}
			kept := agg.Size()
			out, err := agg.Final(0, groups)
			if err != nil {
				t.Fatal(err)
			}
			s := ""
			for g := range groups {
				if out.IsNull(g) {
					s += " NULL"
					continue
				}
				if !many {
					s += fmt.Sprint(" ", vector.At[float64](out, g))
					continue
				}
				lo, hi := out.ListAt(g)
				for e := lo; e < hi; e++ {
					s += fmt.Sprint(" ", vector.At[float64](out.Child, e))
				}
			}
			return s, kept
		}
		got, few := run(true)
		want, all := run(false)
		if got != want {
			t.Fatalf("%s %v of %v, groups %v:%s, want%s", name, fracs, vals, gs, got, want)
		}
		if len(gs) > 3000 && few > all/4 {
			t.Errorf("%d of %d bytes kept", few, all)
		}
	}
}
