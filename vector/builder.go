package vector

import (
	"unsafe"

	"github.com/volleydb/volley/types"
)

// Builder appends values to a growing vector. For bulk work write into New's
// Values instead.
type Builder struct {
	t     types.Type
	width int
	n     int
	buf   []byte
	offs  []int32
	bytes []byte
	nulls []int32 // rows that are NULL
	child *Builder
}

// NewBuilder makes a builder with room for capacity rows.
func NewBuilder(t types.Type, capacity int) *Builder {
	b := &Builder{t: t, width: Width(t.Phys())}
	switch t.Phys() {
	case types.PhysBytes:
		b.offs = make([]int32, 1, capacity+1)
	case types.PhysList:
		b.offs = make([]int32, 1, capacity+1)
		b.child = NewBuilder(t.ElemType(), capacity)
	default:
		b.buf = alignedBytes(max(capacity, 8) * b.width)[:0]
	}
	return b
}

// Len is the number of rows so far.
func (b *Builder) Len() int { return b.n }

// Size is the bytes held so far.
func (b *Builder) Size() int64 {
	s := int64(cap(b.buf)) + 4*int64(cap(b.offs)) + int64(cap(b.bytes)) + 4*int64(cap(b.nulls))
	if b.child != nil {
		s += b.child.Size()
	}
	return s
}

func (b *Builder) grow() {
	if len(b.buf)+b.width > cap(b.buf) {
		nb := alignedBytes(max(2*cap(b.buf), 64))
		copy(nb, b.buf)
		b.buf = nb[:len(b.buf)]
	}
	b.buf = b.buf[:len(b.buf)+b.width]
}

// Append adds a fixed-width value; T must match the type's Phys.
func Append[T Fixed](b *Builder, x T) {
	b.grow()
	*(*T)(unsafe.Pointer(&b.buf[b.n*b.width])) = x
	b.n++
}

// AppendBytes adds a PhysBytes value, copying it.
func (b *Builder) AppendBytes(x []byte) {
	b.bytes = append(b.bytes, x...)
	b.offs = append(b.offs, int32(len(b.bytes)))
	b.n++
}

// AppendString adds a PhysBytes value, copying it.
func (b *Builder) AppendString(x string) {
	b.bytes = append(b.bytes, x...)
	b.offs = append(b.offs, int32(len(b.bytes)))
	b.n++
}

// AppendTo adds a PhysBytes value written by f, which appends to its argument.
func (b *Builder) AppendTo(f func(dst []byte) []byte) {
	b.bytes = f(b.bytes)
	b.offs = append(b.offs, int32(len(b.bytes)))
	b.n++
}

// Elems returns the builder of the elements of a list: append the elements,
// then call EndList.
func (b *Builder) Elems() *Builder { return b.child }

// EndList ends one row of a list.
func (b *Builder) EndList() {
	b.offs = append(b.offs, int32(b.child.n))
	b.n++
}

// AppendNull adds a NULL.
func (b *Builder) AppendNull() {
	b.nulls = append(b.nulls, int32(b.n))
	switch {
	case b.child != nil:
		b.offs = append(b.offs, int32(b.child.n))
	case b.offs != nil:
		b.offs = append(b.offs, int32(len(b.bytes)))
	default:
		b.grow()
		clear(b.buf[b.n*b.width:])
	}
	b.n++
}

// AppendFrom adds row i of v, a vector of the same Phys.
func (b *Builder) AppendFrom(v *Vector, i int) {
	if v.IsNull(i) {
		b.AppendNull()
		return
	}
	switch {
	case b.child != nil:
		from, to := v.ListAt(i)
		for e := from; e < to; e++ {
			b.child.AppendFrom(v.Child, e)
		}
		b.EndList()
	case b.offs != nil:
		b.AppendBytes(v.BytesAt(i))
	case v.Form == Scaled:
		Append(b, At[types.Decimal](v, i))
	default:
		if v.Form == Const {
			i = 0
		}
		b.grow()
		copy(b.buf[b.n*b.width:], v.buf[i*b.width:(i+1)*b.width])
		b.n++
	}
}

// Build returns the vector and resets the builder.
func (b *Builder) Build() *Vector {
	v := &Vector{Type: b.t, Len: b.n, buf: b.buf, Offs: b.offs, Bytes: b.bytes}
	if len(b.nulls) > 0 {
		v.Valid = NewValid(b.n)
		for _, i := range b.nulls {
			SetNull(v.Valid, int(i))
		}
	}
	if b.child != nil {
		v.Child = b.child.Build()
	}
	*b = *NewBuilder(b.t, 0)
	return v
}
