package vector

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/volleydb/volley/types"
)

// column makes a random vector of type t.
func column(r *rand.Rand, t types.Type, n int, nulls bool) *Vector {
	b := NewBuilder(t, n)
	for range n {
		if nulls && r.IntN(4) == 0 {
			b.AppendNull()
			continue
		}
		appendRandom(r, b, t)
	}
	return b.Build()
}

func appendRandom(r *rand.Rand, b *Builder, t types.Type) {
	switch t.Phys() {
	case types.PhysBool:
		Append(b, r.IntN(2) == 0)
	case types.PhysInt16:
		Append(b, int16(r.Int()))
	case types.PhysInt32:
		Append(b, int32(r.Int()))
	case types.PhysInt64:
		Append(b, r.Int64())
	case types.PhysFloat32:
		Append(b, r.Float32())
	case types.PhysFloat64:
		Append(b, r.NormFloat64())
	case types.PhysNumeric:
		Append(b, types.Decimal{Lo: r.Uint64(), Hi: r.Int64N(1000), Scale: int32(r.IntN(10)), NaN: r.IntN(5) == 0})
	case types.PhysInterval:
		Append(b, types.IntervalValue{Months: int32(r.IntN(9)), Days: -3, Micros: r.Int64()})
	case types.PhysBytes:
		b.AppendString(fmt.Sprint("s", r.IntN(1000)))
	case types.PhysList:
		for range r.IntN(4) {
			if r.IntN(5) == 0 {
				b.Elems().AppendNull()
			} else {
				appendRandom(r, b.Elems(), t.ElemType())
			}
		}
		b.EndList()
	}
}

// show prints row i for comparison.
func show(v *Vector, i int) string {
	v = v.Flatten()
	if v.IsNull(i) {
		return "NULL"
	}
	switch v.Type.Phys() {
	case types.PhysBytes:
		return v.StringAt(i)
	case types.PhysList:
		from, to := v.ListAt(i)
		s := "{"
		for e := from; e < to; e++ {
			s += show(v.Child, e) + ","
		}
		return s + "}"
	}
	w := Width(v.Type.Phys())
	return fmt.Sprintf("%x", v.buf[i*w:(i+1)*w])
}

func sameVectors(t *testing.T, want, got *Vector) {
	t.Helper()
	if got.Type != want.Type || got.Len != want.Len || got.NullCount() != want.NullCount() {
		t.Fatalf("got %s %d rows %d nulls, want %s %d rows %d nulls", got.Type, got.Len, got.NullCount(), want.Type, want.Len, want.NullCount())
	}
	for i := range want.Len {
		if g, w := show(got, i), show(want, i); g != w {
			t.Fatalf("%s row %d: got %s, want %s", want.Type, i, g, w)
		}
	}
}

func allTypes() []types.Type {
	var ts []types.Type
	types.All(func(t types.Type) {
		if p := t.Phys(); p != types.PhysInvalid {
			ts = append(ts, t)
			if p != types.PhysList && t.ArrayOID() != 0 {
				ts = append(ts, types.ArrayOf(t.ID))
			}
		}
	})
	return append(ts, types.NumericOf(12, 2))
}

func encode(t testing.TB, b *Batch) []byte {
	out, err := EncodeBatch(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every type survives in every form, with and without NULLs, sliced and empty.
func TestArrowRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range allTypes() {
		for _, n := range []int{0, 1, 9, 100} {
			var cols []*Vector
			for _, nulls := range []bool{false, true} {
				cols = append(cols, column(r, typ, n, nulls), Slice(column(r, typ, n+11, nulls), 5, 5+n))
				if n > 0 {
					cols = append(cols, NewConst(Slice(column(r, typ, 1, nulls), 0, 1), n))
				}
			}
			cols = append(cols, NewNull(typ, n))
			b := NewBatch(cols, n)
			got, err := DecodeBatch(nil, encode(t, b))
			if err != nil {
				t.Fatalf("%s × %d: %v", typ, n, err)
			}
			for i := range cols {
				sameVectors(t, cols[i], got.Col(i))
				if cols[i].Form == Const && n > 0 && got.Col(i).Form != Const {
					t.Errorf("%s: Const came back as form %d", typ, got.Col(i).Form)
				}
			}
		}
	}
}

func TestArrowDict(t *testing.T) {
	dict := FromStrings(types.T(types.Text), []string{"a", "bb", ""})
	v := FromDict(types.T(types.Text), []int32{0, 1, 2, 1, 0}, dict).WithValid([]byte{0b10111})
	got, err := DecodeBatch([]types.Type{types.T(types.Text)}, encode(t, NewBatch([]*Vector{v}, 5)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Col(0).Form != Dict {
		t.Error("a dictionary must stay one")
	}
	sameVectors(t, v, got.Col(0))
	short := Slice(v, 1, 3) // fewer rows than dictionary entries: sent flat
	got, err = DecodeBatch(nil, encode(t, NewBatch([]*Vector{short}, 2)))
	if err != nil {
		t.Fatal(err)
	}
	sameVectors(t, short, got.Col(0))
	if _, err := DecodeBatch([]types.Type{types.T(types.Int4)}, encode(t, NewBatch([]*Vector{v}, 5))); err == nil {
		t.Error("a wrong type must be refused")
	}
}

// No columns, but rows: what count(*) reads.
func TestArrowNoColumns(t *testing.T) {
	got, err := DecodeBatch([]types.Type{}, encode(t, NewBatch(nil, 42)))
	if err != nil || got.Rows() != 42 {
		t.Fatal(got, err)
	}
}

// Whatever is changed or missing, the block is refused.
func TestDecodeDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	good := encode(t, NewBatch([]*Vector{column(r, types.T(types.Text), 20, true), column(r, types.T(types.Int4), 20, true)}, 20))
	for range 2000 {
		bad := bytes.Clone(good)
		bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
		if _, err := DecodeBatch(nil, bad); err == nil {
			t.Fatal("a damaged block was accepted")
		}
	}
	for i := range good {
		if _, err := DecodeBatch(nil, good[:i]); err == nil {
			t.Fatalf("a block cut at %d was accepted", i)
		}
	}
}

// A peer's inconsistent vectors are found before a kernel reads past an end.
func TestFromArrowInconsistent(t *testing.T) {
	text := types.T(types.Text)
	dict := FromStrings(text, []string{"a", "b"})
	nan := FromSlice(types.T(types.Numeric), []types.Decimal{{Lo: 1}})
	nan.buf[unsafe.Offsetof(types.Decimal{}.NaN)] = 7
	for name, v := range map[string]*Vector{
		"code":           FromDict(text, []int32{0, 2}, dict),
		"negative code":  FromDict(text, []int32{0, -1}, dict),
		"offset order":   FromBytes(text, []int32{0, 3, 2}, []byte("abc")),
		"offset start":   FromBytes(text, []int32{1, 2, 3}, []byte("abc")),
		"list offset":    FromList(types.ArrayOf(types.Int4), []int32{0, 9}, FromSlice(types.T(types.Int4), []int32{1, 2})),
		"numeric's bool": nan,
	} {
		func() {
			defer func() { _ = recover() }() // arrow-go's own checks panic
			rec, err := ToArrow(NewBatch([]*Vector{v}, v.Len), nil)
			if err != nil {
				return
			}
			if _, err := FromArrow(rec); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}()
	}
}

// An Appender gives the rows that were appended, whatever the forms.
func TestAppender(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, typ := range allTypes() {
		for range 10 {
			a := NewAppender(typ)
			var want []string
			dict := column(r, typ, 3, false)
			for range 1 + r.IntN(5) {
				v := column(r, typ, 20, r.IntN(2) == 0)
				switch r.IntN(3) {
				case 0:
					v = NewConst(Slice(v, 0, 1), 20)
				case 1:
					if typ.Phys() == types.PhysBytes {
						v = FromDict(typ, []int32{0, 1, 2, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0}, dict)
					}
				}
				idx := make([]int32, r.IntN(20))
				for i := range idx {
					idx[i] = int32(r.IntN(20))
					want = append(want, show(v, int(idx[i])))
				}
				a.Append(v, idx)
			}
			got := a.Build()
			if got.Len != len(want) {
				t.Fatalf("%s: %d rows, want %d", typ, got.Len, len(want))
			}
			for i := range want {
				if g := show(got, i); g != want[i] {
					t.Fatalf("%s row %d: got %s, want %s", typ, i, g, want[i])
				}
			}
		}
	}
}

func BenchmarkEncodeBatch(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	var cols []*Vector
	for range 6 {
		cols = append(cols, column(r, types.T(types.Float8), DefaultRows, false))
	}
	batch := NewBatch(cols, DefaultRows)
	b.SetBytes(batch.Size())
	var buf []byte
	for b.Loop() {
		buf, _ = EncodeBatch(buf[:0], batch)
		if _, err := DecodeBatch(nil, buf); err != nil {
			b.Fatal(err)
		}
	}
}
