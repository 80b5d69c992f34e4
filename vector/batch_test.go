package vector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/types"
)

// Chains of Select, Slice, Project and Beside give what doing them row by row
// gives, whatever columns were read between.
func TestBatchChains(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	text, int8s := types.T(types.Text), types.T(types.Int8)
	make1 := func(n int) (*Vector, []string) {
		want := make([]string, n)
		ty := []types.Type{text, int8s}[r.IntN(2)]
		b := NewBuilder(ty, n)
		nulls := r.IntN(2) == 0
		for i := range n {
			k := r.IntN(50)
			switch {
			case nulls && k%5 == 0:
				b.AppendNull()
				want[i] = "NULL"
			case ty.ID == types.Text:
				b.AppendString(fmt.Sprint("s", k))
				want[i] = fmt.Sprint("s", k)
			default:
				Append(b, int64(k))
				want[i] = fmt.Sprint(k)
			}
		}
		v := b.Build()
		if v.Type.ID == types.Text && r.IntN(2) == 0 && n > 0 {
			codes := make([]int32, n)
			for i := range codes {
				codes[i] = int32(i)
			}
			v = FromDict(text, codes, v.WithValid(nil)).WithValid(v.Valid)
		}
		return v, want
	}
	show := func(v *Vector, i int) string {
		if v.IsNull(i) {
			return "NULL"
		}
		return string(AppendText(nil, v, i, nil))
	}
	for trial := range 400 {
		n := r.IntN(200)
		var cols []*Vector
		var want [][]string
		for range 1 + r.IntN(3) {
			v, w := make1(n)
			cols, want = append(cols, v), append(want, w)
		}
		b := NewBatch(cols, n)
		for range r.IntN(6) {
			n := b.Rows()
			if r.IntN(2) == 0 {
				b.Col(r.IntN(b.NumCols()))
			}
			switch r.IntN(4) {
			case 0:
				sel := make([]int32, r.IntN(2*n+1))
				for i := range sel {
					sel[i] = int32(r.IntN(n))
				}
				b = b.Select(sel)
				for c := range want {
					var w []string
					for _, i := range sel {
						w = append(w, want[c][i])
					}
					want[c] = w
				}
			case 1:
				from := r.IntN(n + 1)
				to := from + r.IntN(n-from+1)
				b = b.Slice(from, to)
				for c := range want {
					want[c] = want[c][from:to]
				}
			case 2:
				idx := make([]int, 1+r.IntN(4))
				w := make([][]string, len(idx))
				for i := range idx {
					idx[i] = r.IntN(b.NumCols())
					w[i] = slices.Clone(want[idx[i]])
				}
				b, want = b.Project(idx), w
			case 3:
				v, w := make1(1 + r.IntN(60))
				idx, got, null := make([]int32, n), make([]string, n), r.IntN(2) == 0
				for i := range idx {
					if idx[i] = int32(r.IntN(v.Len)); null && r.IntN(5) == 0 {
						idx[i] = -1
						got[i] = "NULL"
						continue
					}
					got[i] = w[idx[i]]
				}
				b, want = b.Beside([]*Vector{v}, idx, null), append(want, got)
			}
		}
		if r.IntN(2) == 0 {
			b = b.Dense()
		}
		for c, w := range want {
			v := b.Col(c)
			if v.Len != len(w) || b.Rows() != len(w) {
				t.Fatalf("trial %d, column %d: %d rows instead of %d", trial, c, v.Len, len(w))
			}
			for i := range w {
				if got := show(v, i); got != w[i] {
					t.Fatalf("trial %d, column %d, row %d: %s instead of %s", trial, c, i, got, w[i])
				}
			}
		}
	}
}
