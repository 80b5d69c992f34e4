package physical

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Prefixes never contradict the order of the whole keys, and equal exact ones
// are equal keys.
func TestKeyPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	exact := 0
	for range 300 {
		var ts []types.Type
		var orders []keyOrder
		for range 1 + r.IntN(4) {
			ts = append(ts, append(slices.Clone(keyTypes), types.T(types.Float4), tBool, tInt2)[r.IntN(len(keyTypes)+3)])
			orders = append(orders, keyOrder{r.IntN(2) == 0, r.IntN(2) == 0})
		}
		n := 40
		vs := make([]*vector.Vector, len(ts))
		for c, ty := range ts {
			if ty.ID == types.Float4 {
				fs := make([]float32, n)
				for i := range fs {
					fs[i] = []float32{-1, 0, float32(math.Copysign(0, -1)), 2.5, float32(math.NaN()), float32(math.Inf(1))}[r.IntN(6)]
				}
				vs[c] = vector.FromSlice(ty, fs)
				continue
			}
			tab := randomTable(r, n, 6, []float64{0, 0.3}[r.IntN(2)], ty)
			vals := make([]any, n)
			for i := range vals {
				vals[i] = tab.rows[i][0]
			}
			vs[c] = column1(ty, vals...)
		}
		k := encodeKeys(vs, orders, n)
		p := keyPrefixes(vs, orders, n)
		if p.exact {
			exact++
		}
		for i := range n {
			for j := range n {
				c := bytes.Compare(k.at(i), k.at(j))
				if p.bits[i] < p.bits[j] && c >= 0 || p.exact && p.bits[i] == p.bits[j] && c != 0 {
					t.Fatalf("%v %+v exact %v: %x against %x, keys %x against %x", ts, orders, p.exact, p.bits[i], p.bits[j], k.at(i), k.at(j))
				}
			}
		}
	}
	if exact < 20 {
		t.Errorf("only %d cases are exact", exact)
	}
}

// Long keys that agree in their first words.
func TestSortLongTies(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	n := 3000
	words := make([]string, n)
	nums := make([]float64, n)
	for i := range words {
		words[i] = strings.Repeat("abcdefgh", r.IntN(5)) + strings.Repeat("x", r.IntN(3))
		nums[i] = float64(r.IntN(4))
	}
	for _, desc := range []bool{false, true} {
		b := vector.NewBatch([]*vector.Vector{vector.FromStrings(tText, words), vector.FromSlice(tFloat8, nums)}, n)
		keys := columnKeys(&Env{}, []int{0, 1}, []types.Type{tText, tFloat8}, []keyOrder{{desc: desc}, {}})
		order, err := keys.sortRows(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortStableFunc(want, func(a, b int32) int {
			c := strings.Compare(words[a], words[b])
			if desc {
				c = -c
			}
			if c == 0 {
				c = int(nums[a] - nums[b])
			}
			return c
		})
		if !slices.Equal(order, want) {
			t.Errorf("desc %v: wrong order", desc)
		}
	}
}
