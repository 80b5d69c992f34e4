package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/volleydb/volley/types"
)

var numeric = types.T(types.Numeric)

// randomScaled makes a Scaled vector with the edges of 64 bits and NULLs in it.
func randomScaled(r *rand.Rand, n int) *Vector {
	v := NewScaled(numeric, n, int32(r.IntN(5)))
	for i, vals := 0, Values[int64](v); i < n; i++ {
		switch r.IntN(8) {
		case 0:
			vals[i] = []int64{0, math.MinInt64, math.MaxInt64, -1}[r.IntN(4)]
		default:
			vals[i] = r.Int64N(20001) - 10000
		}
	}
	if r.IntN(2) == 0 {
		v.Valid = NewValid(n)
		for i := range n {
			if r.IntN(4) == 0 {
				SetNull(v.Valid, i)
			}
		}
	}
	return v
}

func sameRows(got, want *Vector) error {
	if got.Len != want.Len || got.Type != want.Type {
		return fmt.Errorf("%d rows of %s instead of %d of %s", got.Len, got.Type, want.Len, want.Type)
	}
	for i := range want.Len {
		if got.IsNull(i) != want.IsNull(i) {
			return fmt.Errorf("row %d: NULL %v", i, got.IsNull(i))
		}
		if g, w := At[types.Decimal](got, i), At[types.Decimal](want, i); !want.IsNull(i) && g != w {
			return fmt.Errorf("row %d: %v instead of %v", i, g, w)
		}
	}
	return nil
}

// Every operation on a Scaled vector gives what it gives on the Flat one.
func TestScaled(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + r.IntN(70)
		v := randomScaled(r, n)
		flat := v.Flatten()
		if flat.Form != Flat || len(flat.Raw()) != 24*n {
			t.Fatalf("form %d, %d bytes", flat.Form, len(flat.Raw()))
		}
		idx := make([]int32, r.IntN(90))
		orNull := make([]int32, len(idx))
		for i := range idx {
			idx[i] = int32(r.IntN(n))
			orNull[i] = max(idx[i]-int32(r.IntN(2)), -1)
		}
		from := r.IntN(n)
		to := from + r.IntN(n-from+1)
		check := func(what string, form Form, got, want *Vector) {
			t.Helper()
			if err := sameRows(got, want); err != nil || got.Form != form {
				t.Fatalf("%s: form %d, %v", what, got.Form, err)
			}
		}
		check("rows", Scaled, v, flat)
		check("values", Flat, FromSlice(numeric, Values[types.Decimal](v)).WithValid(v.Valid), flat)
		check("gather", Scaled, Gather(v, idx), Gather(flat, idx))
		check("gather null", Scaled, GatherNull(v, orNull), GatherNull(flat, orNull))
		check("slice", Scaled, Slice(v, from, to), Slice(flat, from, to))
		check("const", Const, NewConst(Slice(v, from, from+1), 3), NewConst(Slice(flat, from, from+1), 3))

		w := randomScaled(r, 1+r.IntN(40))
		form := Flat
		if w.Scale == v.Scale {
			form = Scaled
		}
		zero := NewConst(FromSlice(numeric, []types.Decimal{types.NewDecimal(7, v.Scale)}), 5)
		check("concat", form, Concat([]*Vector{v, w}), Concat([]*Vector{flat, w.Flatten()}))
		check("concat flat", Flat, Concat([]*Vector{v, w.Flatten(), w}), Concat([]*Vector{flat, w.Flatten(), w.Flatten()}))
		check("concat const", Scaled, Concat([]*Vector{zero, v, NewNull(numeric, 3)}), Concat([]*Vector{zero.Flatten(), flat, NewNull(numeric, 3).Flatten()}))

		all := make([]int32, w.Len)
		for i := range all {
			all[i] = int32(i)
		}
		a, b := NewAppender(numeric), NewAppender(numeric)
		bld, bldFlat := NewBuilder(numeric, 0), NewBuilder(numeric, 0)
		a.Append(v, idx)
		b.Append(flat, idx)
		a.Append(w, all)
		b.Append(w.Flatten(), all)
		if len(idx) == 0 {
			form = Scaled
		}
		check("append", form, a.Build(), b.Build())
		for _, x := range []*Vector{w.Flatten(), v, zero} {
			rows := idx
			if x.Len != v.Len {
				rows = nil
			}
			a.Append(x, rows)
			b.Append(x.Flatten(), rows)
		}
		if got := a.Build(); sameRows(got, b.Build()) != nil {
			t.Fatal("append of several forms")
		}
		null := NewNull(numeric, 9)
		for k := range r.IntN(3) {
			a.Append(null, []int32{0, 1, 2, 3}[:3+k])
			b.Append(null.Flatten(), []int32{0, 1, 2, 3}[:3+k])
		}
		if r.IntN(2) == 0 {
			a.Append(v, idx)
			b.Append(flat, idx)
		}
		if got := a.Build(); sameRows(got, b.Build()) != nil {
			t.Fatal("append after NULLs")
		}
		for i := range v.Len {
			bld.AppendFrom(v, i)
			bldFlat.AppendFrom(flat, i)
		}
		check("builder", Flat, bld.Build(), bldFlat.Build())
		for i := range n {
			if g, w := AppendText(nil, v, i, nil), AppendText(nil, flat, i, nil); string(g) != string(w) {
				t.Fatalf("text %s instead of %s", g, w)
			}
		}

		data, err := EncodeBatch(nil, NewBatch([]*Vector{v, Slice(v, 0, n)}, n))
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeBatch([]types.Type{numeric, numeric}, data)
		if err != nil {
			t.Fatal(err)
		}
		check("codec", Scaled, back.Col(0), flat)
		if v.Size() >= flat.Size() {
			t.Fatalf("%d bytes instead of %d", v.Size(), flat.Size())
		}
	}
}
