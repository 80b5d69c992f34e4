package physical

import (
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// prefixes are the first 64 bits of rows' keys: a row with the smaller prefix
// sorts first. Rows with equal prefixes have equal keys when exact, and may be in
// any order otherwise. Prefixes of different batches may be compared.
type prefixes struct {
	bits  []uint64
	exact bool
}

// narrowBits is the bits of a type's values that leave room for another column
// and for the NULL mark, 0 for wider types.
func narrowBits(p types.Phys) uint {
	switch p {
	case types.PhysBool:
		return 1
	case types.PhysInt16:
		return 16
	case types.PhysInt32, types.PhysFloat32:
		return 32
	}
	return 0
}

const markBits = 2

// keyPrefixes computes the prefixes of n rows of evaluated keys.
func keyPrefixes(vs []*vector.Vector, orders []keyOrder, n int) prefixes {
	p := prefixes{bits: make([]uint64, n)}
	used := uint(0)
	for c, v := range vs {
		v = flatOrScaled(v)
		w := narrowBits(v.Type.Phys())
		if w == 0 || used+w+markBits > 64 {
			exact := wideKeys(p.bits, used, v, orders[c])
			p.exact = exact && used == 0 && c == len(vs)-1
			return p
		}
		used += w + markBits
		shift := 64 - used
		switch v.Type.Phys() {
		case types.PhysBool:
			narrowKeys(p.bits, v, vector.Values[bool](v), boolKey, orders[c], w, shift)
		case types.PhysInt16:
			narrowKeys(p.bits, v, vector.Values[int16](v), func(x int16) uint64 { return uint64(uint16(x) ^ 1<<15) }, orders[c], w, shift)
		case types.PhysInt32:
			narrowKeys(p.bits, v, vector.Values[int32](v), func(x int32) uint64 { return uint64(uint32(x) ^ 1<<31) }, orders[c], w, shift)
		case types.PhysFloat32:
			narrowKeys(p.bits, v, vector.Values[float32](v), func(x float32) uint64 { return uint64(float32Key(x)) }, orders[c], w, shift)
		}
	}
	p.exact = true
	return p
}

func narrowKeys[T any](out []uint64, v *vector.Vector, vals []T, key func(T) uint64, o keyOrder, w, shift uint) {
	flip := uint64(0)
	if o.desc {
		flip = 1<<w - 1
	}
	null := uint64(markNullFirst) << w
	if !o.nullsFirst {
		null = markNullLast << w
	}
	for i := range out {
		k := markValue<<w | key(vals[i]) ^ flip
		if v.Valid != nil && v.IsNull(i) {
			k = null
		}
		out[i] |= k << shift
	}
}

// wideKeys fills the bits after the first used ones. It reports that the whole of
// every value has gone in if nothing was used before.
func wideKeys(out []uint64, used uint, v *vector.Vector, o keyOrder) bool {
	switch v.Type.Phys() {
	case types.PhysInt64:
		fillKeys(out, used, vector.Values[int64](v), intKey[int64], o.desc)
	case types.PhysFloat64:
		fillKeys(out, used, vector.Values[float64](v), types.FloatKey, o.desc)
	case types.PhysInt32:
		fillKeys(out, used, vector.Values[int32](v), intKey[int32], o.desc)
	case types.PhysInt16:
		fillKeys(out, used, vector.Values[int16](v), intKey[int16], o.desc)
	case types.PhysFloat32:
		fillKeys(out, used, vector.Values[float32](v), floatKey[float32], o.desc)
	case types.PhysBool:
		fillKeys(out, used, vector.Values[bool](v), func(b bool) uint64 { return boolKey(b) << 63 }, o.desc)
	case types.PhysBytes:
		flip := uint64(0)
		if o.desc {
			flip = 1<<64 - 1
		}
		for i := range out {
			out[i] |= (prefix64(keyBytes(v, i)) ^ flip) >> used
		}
	default:
		k := encodeKeys([]*vector.Vector{v}, []keyOrder{o}, len(out))
		for i := range out {
			out[i] |= prefix64(k.at(i)) >> used
		}
		return false
	}
	if v.Valid == nil {
		return v.Type.Phys() != types.PhysBytes
	}
	rest := ^uint64(0) >> used
	for i := range out {
		if v.IsNull(i) {
			out[i] &^= rest
			if !o.nullsFirst {
				out[i] |= rest
			}
		}
	}
	return false
}

func fillKeys[T any](out []uint64, used uint, vals []T, key func(T) uint64, desc bool) {
	flip := uint64(0)
	if desc {
		flip = 1<<64 - 1
	}
	for i := range out {
		out[i] |= (key(vals[i]) ^ flip) >> used
	}
}
