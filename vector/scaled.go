package vector

import (
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/volleydb/volley/types"
)

// maxScaled is the largest scale of a Scaled vector: beyond it 64 bits hold too
// few values to be of use.
const maxScaled = 36

// NewScaled makes a Scaled vector of n rows for a caller that writes every
// coefficient (Values[int64]): those of a large one are anything.
func NewScaled(t types.Type, n int, scale int32) *Vector {
	return &Vector{Type: t, Form: Scaled, Len: n, Scale: scale, buf: dirtyBytes(8 * n)}
}

// FromScaled makes a Scaled vector of vals × 10^-scale, which it aliases.
func FromScaled(t types.Type, vals []int64, scale int32) *Vector {
	v := FromSlice(t, vals)
	v.Form, v.Scale = Scaled, scale
	return v
}

// FromScaledRaw makes a Scaled vector over the raw little-endian bytes of n
// coefficients; they are copied when not 8-byte aligned.
func FromScaledRaw(t types.Type, raw []byte, n int, scale int32) *Vector {
	v := FromRaw(types.T(types.Int8), raw, n)
	v.Type, v.Form, v.Scale = t, Scaled, scale
	return v
}

// width is the bytes per stored value of a fixed-width vector.
func (v *Vector) width() int {
	if v.Form == Scaled {
		return 8
	}
	return Width(v.Type.Phys())
}

// widened returns a Scaled vector as a Flat one.
func (v *Vector) widened() *Vector {
	out := &Vector{Type: v.Type, Len: v.Len, Valid: v.Valid}
	if v.Len == 0 {
		return out
	}
	out.buf = dirtyBytes(v.Len * Width(types.PhysNumeric))
	// Written as words: of a Decimal's fields the padding would stay what it was.
	const words = unsafe.Sizeof(types.Decimal{}) / 8
	dst := unsafe.Slice((*[words]uint64)(unsafe.Pointer(&out.buf[0])), v.Len)
	scale := uint64(uint32(v.Scale))
	for i, c := range Values[int64](v) {
		dst[i] = [words]uint64{uint64(c), uint64(c >> 63), scale}
	}
	return out
}

// concatScaled is Concat where all rows are at one scale: of Scaled vectors, and
// of constants that have it or are NULL. Else it is nil.
func concatScaled(vs []*Vector) *Vector {
	n, scale, anyNull := 0, int32(-1), false
	for _, v := range vs {
		n += v.Len
		anyNull = anyNull || v.Valid != nil
		if v.Form == Scaled && scale < 0 {
			scale = v.Scale
		}
	}
	if scale < 0 {
		return nil
	}
	for _, v := range vs {
		if _, ok := v.constAt(scale); !ok && (v.Form != Scaled || v.Scale != scale) {
			return nil
		}
	}
	if len(vs) == 1 {
		return vs[0]
	}
	out := NewScaled(vs[0].Type, n, scale)
	if anyNull {
		out.Valid = concatValid(vs, n)
	}
	dst := Values[int64](out)
	for _, v := range vs {
		if c, ok := v.constAt(scale); ok {
			for i := range dst[:v.Len] {
				dst[i] = c
			}
		} else {
			copy(dst, Values[int64](v))
		}
		dst = dst[v.Len:]
	}
	return out
}

// constAt returns the coefficient of a Const numeric that is NULL or is stored
// at scale, and fits.
func (v *Vector) constAt(scale int32) (int64, bool) {
	if v.Form != Const || v.Type.Phys() != types.PhysNumeric {
		return 0, false
	}
	if v.Valid != nil && v.Valid[0]&1 == 0 {
		return 0, true
	}
	d := Values[types.Decimal](v)[0]
	return int64(d.Lo), d.Scale == scale && !d.NaN && d.Hi == int64(d.Lo)>>63
}

// rescale makes the Appender hold the form in which v is appended: Scaled while
// all that came has one scale.
func (a *Appender) rescale(v *Vector) {
	switch {
	case v.Form == Scaled && a.n == 0 && len(a.buf) == 0:
		a.scaled, a.scale, a.width = true, v.Scale, 8
	case a.scaled && (v.Form != Scaled || v.Scale != a.scale):
		so := &Vector{Type: a.t, Form: Scaled, Len: a.n, Scale: a.scale, buf: a.buf}
		a.buf = so.widened().buf
		a.scaled, a.width = false, Width(types.PhysNumeric)
	}
}

// fromScaled reads the Arrow form of a Scaled vector.
func fromScaled(t types.Type, d arrow.ArrayData, scale string) (*Vector, error) {
	s, err := strconv.Atoi(scale)
	if err != nil || s < 0 || s > maxScaled || t.Phys() != types.PhysNumeric || d.DataType().ID() != arrow.INT64 {
		return nil, corrupt("%s of scale %q for %s", d.DataType(), scale, t)
	}
	n, off, b := d.Len(), d.Offset(), buffer(d, 1)
	if n < 0 || len(b) < 8*(off+n) {
		return nil, corrupt("%d bytes for %d values", len(b), n)
	}
	valid, err := validOf(d)
	if err != nil {
		return nil, err
	}
	return FromScaledRaw(t, b[8*off:], n, int32(s)).WithValid(valid), nil
}

// Narrow returns a Flat numeric vector as a Scaled one if all values have one
// scale and fit, else v itself.
func Narrow(v *Vector) *Vector {
	if v.Form != Flat || v.Type.Phys() != types.PhysNumeric || v.Len == 0 {
		return v
	}
	vals := Values[types.Decimal](v)
	first := 0
	if v.Valid != nil {
		for first < len(vals) && v.IsNull(first) {
			first++
		}
		if first == len(vals) {
			return v
		}
	}
	out := NewScaled(v.Type, v.Len, vals[first].Scale)
	out.Valid = v.Valid
	if out.Scale > maxScaled {
		return v
	}
	dst := Values[int64](out)
	for i := range vals {
		d := &vals[i]
		dst[i] = int64(d.Lo)
		if d.Scale != out.Scale || d.NaN || d.Hi != int64(d.Lo)>>63 {
			if !v.IsNull(i) {
				return v
			}
			dst[i] = 0
		}
	}
	return out
}
