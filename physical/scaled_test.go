package physical

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func randomScaled(r *rand.Rand, n int) *vector.Vector {
	v := vector.NewScaled(tNumeric, n, int32(r.IntN(4)))
	kind := r.IntN(2)
	for i, vals := 0, vector.Values[int64](v); i < n; i++ {
		vals[i] = r.Int64N(41) - 20
		if kind == 0 && r.IntN(4) == 0 {
			vals[i] = []int64{math.MinInt64, math.MaxInt64, 0, 10}[r.IntN(4)]
		}
	}
	if r.IntN(2) == 0 {
		v.Valid = vector.NewValid(n)
		for i := range n {
			if r.IntN(4) == 0 {
				vector.SetNull(v.Valid, i)
			}
		}
	}
	return v
}

// Keys, orders and IN are those of the Flat form.
func TestScaledKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 400 {
		n := 1 + r.IntN(60)
		v, w := randomScaled(r, n), randomScaled(r, n)
		text := vector.NewConst(vector.FromStrings(tText, []string{"x"}), n)
		orders := []keyOrder{{desc: r.IntN(2) == 0, nullsFirst: r.IntN(2) == 0}, {desc: r.IntN(2) == 0}}
		for _, o := range [][]keyOrder{nil, orders} {
			for _, cols := range [][2]*vector.Vector{{v, w}, {v, text}} {
				a := encodeKeys([]*vector.Vector{cols[0], cols[1]}, o, n)
				b := encodeKeys([]*vector.Vector{cols[0].Flatten(), cols[1].Flatten()}, o, n)
				for i := range n {
					if string(a.at(i)) != string(b.at(i)) {
						t.Fatalf("row %d has the key %x instead of %x", i, a.at(i), b.at(i))
					}
				}
			}
		}
		pa, pb := keyPrefixes([]*vector.Vector{v, w}, orders, n), keyPrefixes([]*vector.Vector{v.Flatten(), w.Flatten()}, orders, n)
		if !slices.Equal(pa.bits, pb.bits) || pa.exact != pb.exact {
			t.Fatal("prefixes differ")
		}
		keys := columnKeys(&Env{}, []int{0, 1}, []types.Type{tNumeric, tNumeric}, orders)
		got, err := keys.sortRows(t.Context(), vector.NewBatch([]*vector.Vector{v, w}, n))
		if err != nil {
			t.Fatal(err)
		}
		want, err := keys.sortRows(t.Context(), vector.NewBatch([]*vector.Vector{v.Flatten(), w.Flatten()}, n))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("order %v instead of %v", got, want)
		}

		in := &inList{arg: &column{i: 0, typ: tNumeric}, keys: map[string]struct{}{}, hasNull: r.IntN(3) == 0, not: r.IntN(2) == 0}
		for range 5 {
			d := types.NewDecimal(r.Int64N(401)-200, int32(r.IntN(5)))
			switch r.IntN(6) {
			case 0:
				d = vector.At[types.Decimal](v, r.IntN(n))
			case 1:
				d = types.Decimal{NaN: true}
			case 2:
				d = types.Decimal{Hi: 1 << 40, Lo: r.Uint64()}
			}
			e := encodeKeys([]*vector.Vector{vector.FromSlice(tNumeric, []types.Decimal{d})}, nil, 1)
			in.keys[string(e.at(0))] = struct{}{}
			in.decs = append(in.decs, d)
		}
		for _, x := range []*vector.Vector{v, w} {
			got, err := in.eval(nil, vector.NewBatch([]*vector.Vector{x}, n))
			if err != nil {
				t.Fatal(err)
			}
			want, err := in.eval(nil, vector.NewBatch([]*vector.Vector{x.Flatten()}, n))
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if got.IsNull(i) != want.IsNull(i) || !got.IsNull(i) && vector.At[bool](got, i) != vector.At[bool](want, i) {
					t.Fatalf("IN of %s differs", vector.At[types.Decimal](x, i))
				}
			}
		}
	}
}
