package vector

import (
	"fmt"
	"math/bits"
	"strings"
	"unsafe"

	"github.com/volleydb/volley/types"
)

// Form says how the rows of a vector are stored.
type Form uint8

// The forms. Kernels may assume Flat or Const unless they ask for Dict. A Scaled
// vector may reach them too: Values and At read it as a Flat one.
const (
	Flat   Form = iota
	Const       // one stored value, repeated Len times
	Dict        // Codes index the values of Child; only for PhysBytes
	Scaled      // int64 coefficients with one Scale, without NaN; only for PhysNumeric
)

// Vector is one column. The zero value is unusable; make one with New, NewConst
// or the From functions.
type Vector struct {
	Type types.Type
	Form Form
	Len  int // rows

	// Valid is the validity bitmap, bit i (LSB first) for row i, nil when no
	// row is NULL. For Const it has one bit. For Dict it is over the rows; the
	// dictionary itself has no NULLs.
	Valid []byte

	buf   []byte  // fixed-width values, 8-byte aligned
	Offs  []int32 // PhysBytes, PhysList: Len+1 offsets (2 for Const)
	Bytes []byte  // PhysBytes
	Child *Vector // PhysList: the elements; Dict: the dictionary
	Codes []int32 // Dict
	Scale int32   // Scaled: digits behind the point of every value
}

// Fixed is the set of fixed-width physical scalars.
type Fixed interface {
	bool | int16 | int32 | int64 | float32 | float64 | types.Decimal | types.IntervalValue
}

// Width returns the bytes per value of a fixed-width representation, 0 for others.
func Width(p types.Phys) int {
	switch p {
	case types.PhysBool:
		return 1
	case types.PhysInt16:
		return 2
	case types.PhysInt32, types.PhysFloat32:
		return 4
	case types.PhysInt64, types.PhysFloat64:
		return 8
	case types.PhysNumeric:
		return int(unsafe.Sizeof(types.Decimal{}))
	case types.PhysInterval:
		return 16
	}
	return 0
}

func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	w := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), n)
}

// dirtyBytes is alignedBytes for memory that is about to be overwritten: it holds
// anything. To clear what every shuffle copies over is a tenth of its time, and a
// strings.Builder is the way to memory that the runtime has not cleared.
func dirtyBytes(n int) []byte {
	if n < 32<<10 {
		return alignedBytes(n) // small objects need not be aligned
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// New makes a Flat vector of n rows whose values are zero and valid. For
// PhysBytes and PhysList it allocates the offsets only.
func New(t types.Type, n int) *Vector {
	v := &Vector{Type: t, Len: n}
	switch p := t.Phys(); p {
	case types.PhysBytes:
		v.Offs = make([]int32, n+1)
	case types.PhysList:
		v.Offs = make([]int32, n+1)
		v.Child = New(t.ElemType(), 0)
	case types.PhysInvalid:
		panic(fmt.Sprintf("vector of type %s", t))
	default:
		v.buf = alignedBytes(n * Width(p))
	}
	return v
}

// NewDirty is New for a caller that writes every value: the values of a large
// fixed-width vector are anything, which saves clearing them. Decimals are cleared
// nevertheless, since they have padding that nobody writes.
func NewDirty(t types.Type, n int) *Vector {
	switch w := Width(t.Phys()); w {
	case 2, 4, 8:
		return &Vector{Type: t, Len: n, buf: dirtyBytes(n * w)}
	}
	return New(t, n)
}

// Values returns the stored values of a fixed-width vector as a slice that
// aliases it: Len values, or one for Const. T must match the type's Phys. The
// Decimals of a Scaled vector are made for the call; its coefficients are
// Values[int64].
func Values[T Fixed](v *Vector) []T {
	n := v.stored()
	if n == 0 {
		return nil
	}
	var z T
	if v.Form == Scaled {
		if _, wide := any(z).(types.Decimal); wide {
			v = v.widened()
		}
	}
	if len(v.buf) < n*int(unsafe.Sizeof(z)) {
		panic(fmt.Sprintf("vector: %s read as %T", v.Type, z))
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&v.buf[0])), n)
}

func (v *Vector) stored() int {
	if v.Form == Const {
		return 1
	}
	return v.Len
}

// FromSlice makes a Flat vector that takes vals over (it aliases them).
func FromSlice[T Fixed](t types.Type, vals []T) *Vector {
	v := &Vector{Type: t, Len: len(vals)}
	if len(vals) > 0 {
		var z T
		v.buf = unsafe.Slice((*byte)(unsafe.Pointer(&vals[0])), len(vals)*int(unsafe.Sizeof(z)))
	}
	return v
}

// FromStrings makes a Flat PhysBytes vector.
func FromStrings(t types.Type, vals []string) *Vector {
	n := 0
	for _, s := range vals {
		n += len(s)
	}
	v := &Vector{Type: t, Len: len(vals), Offs: make([]int32, 1, len(vals)+1), Bytes: make([]byte, 0, n)}
	for _, s := range vals {
		v.Bytes = append(v.Bytes, s...)
		v.Offs = append(v.Offs, int32(len(v.Bytes)))
	}
	return v
}

// FromBytes makes a Flat PhysBytes vector over offsets and bytes, which it aliases.
func FromBytes(t types.Type, offs []int32, bytes []byte) *Vector {
	return &Vector{Type: t, Len: len(offs) - 1, Offs: offs, Bytes: bytes}
}

// FromList makes a Flat PhysList vector over offsets and elements.
func FromList(t types.Type, offs []int32, child *Vector) *Vector {
	return &Vector{Type: t, Len: len(offs) - 1, Offs: offs, Child: child}
}

// FromDict makes a Dict vector: row i is dict's row codes[i].
func FromDict(t types.Type, codes []int32, dict *Vector) *Vector {
	return &Vector{Type: t, Form: Dict, Len: len(codes), Codes: codes, Child: dict}
}

// FromRaw makes a Flat fixed-width vector over raw little-endian bytes of n
// values; they are copied when not 8-byte aligned.
func FromRaw(t types.Type, raw []byte, n int) *Vector {
	need := n * Width(t.Phys())
	raw = raw[:need]
	if need > 0 && uintptr(unsafe.Pointer(&raw[0]))%8 != 0 {
		c := alignedBytes(need)
		copy(c, raw)
		raw = c
	}
	return &Vector{Type: t, Len: n, buf: raw}
}

// Raw returns the bytes of the stored fixed-width values.
func (v *Vector) Raw() []byte { return v.buf }

// NewConst makes a Const vector of n rows from the one-row vector one.
func NewConst(one *Vector, n int) *Vector {
	one = one.Flatten()
	if one.Len != 1 {
		panic("vector: NewConst wants one row")
	}
	c := *one
	c.Form, c.Len = Const, n
	return &c
}

// NewNull makes a vector of n NULLs.
func NewNull(t types.Type, n int) *Vector {
	one := New(t, 1)
	one.Valid = []byte{0}
	return NewConst(one, n)
}

// Retype returns the same data under another type of the same Phys.
func (v *Vector) Retype(t types.Type) *Vector {
	if v.Type == t {
		return v
	}
	c := *v
	c.Type = t
	if v.Form == Dict {
		c.Child = v.Child.Retype(t)
	}
	return &c
}

// WithValid returns the vector with another validity bitmap.
func (v *Vector) WithValid(valid []byte) *Vector {
	c := *v
	c.Valid = valid
	return &c
}

// IsNull reports whether row i is NULL.
func (v *Vector) IsNull(i int) bool {
	if v.Valid == nil {
		return false
	}
	if v.Form == Const {
		i = 0
	}
	return v.Valid[i>>3]&(1<<(i&7)) == 0
}

// HasNulls reports whether some row may be NULL.
func (v *Vector) HasNulls() bool { return v.Valid != nil && v.Len > 0 }

// NullCount counts the NULL rows.
func (v *Vector) NullCount() int {
	if v.Valid == nil {
		return 0
	}
	if v.Form == Const {
		if v.IsNull(0) {
			return v.Len
		}
		return 0
	}
	return v.Len - CountValid(v.Valid, v.Len)
}

// BytesAt returns the bytes of row i of a PhysBytes vector, of any form,
// aliasing the vector.
func (v *Vector) BytesAt(i int) []byte {
	switch v.Form {
	case Const:
		i = 0
	case Dict:
		d := v.Child
		c := v.Codes[i]
		return d.Bytes[d.Offs[c]:d.Offs[c+1]:d.Offs[c+1]]
	}
	return v.Bytes[v.Offs[i]:v.Offs[i+1]:v.Offs[i+1]]
}

// StringAt is BytesAt as a string that aliases the vector: do not keep it
// beyond the vector's life unless cloned.
func (v *Vector) StringAt(i int) string {
	b := v.BytesAt(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// ListAt returns the range of row i's elements in Child of a Flat or Const list.
func (v *Vector) ListAt(i int) (from, to int) {
	if v.Form == Const {
		i = 0
	}
	return int(v.Offs[i]), int(v.Offs[i+1])
}

// At returns the value of row i of a fixed-width Flat or Const vector. For
// loops, take Values.
func At[T Fixed](v *Vector, i int) T {
	switch v.Form {
	case Const:
		i = 0
	case Scaled:
		if d, wide := any(types.NewDecimal(Values[int64](v)[i], v.Scale)).(T); wide {
			return d
		}
	}
	return Values[T](v)[i]
}

// Flatten returns v in Flat form, v itself if it is Flat already.
func (v *Vector) Flatten() *Vector {
	switch v.Form {
	case Flat:
		return v
	case Dict:
		out := Gather(v.Child, v.Codes)
		out.Valid = v.Valid
		return out
	case Scaled:
		return v.widened()
	}
	one := *v
	one.Form, one.Len = Flat, 1
	if v.Len == 1 {
		return &one
	}
	return Gather(&one, make([]int32, v.Len))
}

// Size is the bytes of memory the vector holds on to, for memory accounts.
// Buffers shared with other vectors count in full.
func (v *Vector) Size() int64 {
	n := int64(len(v.Valid)) + int64(len(v.buf)) + 4*int64(len(v.Offs)) + int64(len(v.Bytes)) + 4*int64(len(v.Codes)) + 96
	if v.Child != nil {
		n += v.Child.Size()
	}
	return n
}

// Trim gives up what an Appender reserved for rows that did not come, where that
// is more than a quarter of v, by copying. v must not have been handed on.
func (v *Vector) Trim() {
	if len(v.buf)+len(v.buf)/4 < cap(v.buf) {
		b := dirtyBytes(len(v.buf))
		copy(b, v.buf)
		v.buf = b
	}
	v.Codes, v.Offs, v.Bytes = trimmed(v.Codes), trimmed(v.Offs), trimmed(v.Bytes)
}

func trimmed[T any](s []T) []T {
	if len(s)+len(s)/4 < cap(s) {
		return append(make([]T, 0, len(s)), s...)
	}
	return s
}

// CountValid counts the set bits among the first n.
func CountValid(valid []byte, n int) int {
	if valid == nil {
		return n
	}
	c := 0
	for _, b := range valid[:n>>3] {
		c += bits.OnesCount8(b)
	}
	if r := n & 7; r != 0 {
		c += bits.OnesCount8(valid[n>>3] & (1<<r - 1))
	}
	return c
}

// NewValid returns a bitmap of n set bits.
func NewValid(n int) []byte {
	b := make([]byte, (n+7)/8)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

// SetNull clears bit i.
func SetNull(valid []byte, i int) { valid[i>>3] &^= 1 << (i & 7) }

// IsValid reports bit i; a nil bitmap is all valid.
func IsValid(valid []byte, i int) bool { return valid == nil || valid[i>>3]&(1<<(i&7)) != 0 }

// AndValid intersects two bitmaps of n bits; nil is all valid. The result may
// alias an input.
func AndValid(a, b []byte, n int) []byte {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := make([]byte, (n+7)/8)
	for i := range out {
		out[i] = a[i] & b[i]
	}
	return out
}

// RowValid returns the bitmap over v's rows, spreading that of a Const; nil
// when no row is NULL.
func (v *Vector) RowValid() []byte {
	if v.Valid == nil || v.Form != Const {
		return v.Valid
	}
	if v.Valid[0]&1 != 0 {
		return nil
	}
	return make([]byte, (v.Len+7)/8)
}
