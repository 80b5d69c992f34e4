package coordinator

import (
	"math"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// resultHash is a fingerprint of rows in their order: of the values, not of the
// bytes on the wire, which depend on formats and settings; and not of batches. It
// costs about a nanosecond per number.
type resultHash struct {
	rows    int64
	columns []uint64
	dict    []uint64
}

const (
	hashSeed = 0x243F6A8885A308D3
	hashMul  = 0x9E3779B97F4A7C15
	hashAdd  = 0xD1B54A32D192ED03
	hashNull = 0xA0761D6478BD642F
)

// fold adds one value.
func fold(h, v uint64) uint64 { return bits.RotateLeft64((h^v)*hashMul+hashAdd, 29) }

// String is the fingerprint of what was added.
func (r *resultHash) String() string {
	h := fold(hashSeed, uint64(r.rows))
	for _, c := range r.columns {
		h = fold(h, c)
	}
	h ^= h >> 32
	return hex64(h * hashMul)
}

func (r *resultHash) add(b *vector.Batch) {
	n := b.NumCols()
	if r.columns == nil {
		r.columns = make([]uint64, n)
		for i := range r.columns {
			r.columns[i] = hashSeed + uint64(i)
		}
	}
	for i := range n {
		r.columns[i] = r.column(r.columns[i], b.Col(i))
	}
	r.rows += int64(b.Rows())
}

func (r *resultHash) column(h uint64, v *vector.Vector) uint64 {
	if v.Len == 0 {
		return h
	}
	if v.Form == vector.Const {
		x := uint64(hashNull)
		if !v.IsNull(0) {
			x = valueHash(v, 0)
		}
		for range v.Len {
			h = fold(h, x)
		}
		return h
	}
	valid := v.RowValid()
	switch v.Type.Phys() {
	case types.PhysInt16:
		return foldInts(h, vector.Values[int16](v), valid)
	case types.PhysInt32:
		return foldInts(h, vector.Values[int32](v), valid)
	case types.PhysInt64:
		return foldInts(h, vector.Values[int64](v), valid)
	case types.PhysBytes:
		if v.Type.ID == types.Record {
			break // its bytes name types by numbers of this process
		}
		if v.Form == vector.Dict {
			d := v.Child
			r.dict = r.dict[:0]
			for i := range d.Len {
				r.dict = append(r.dict, xxh3.Hash(d.BytesAt(i)))
			}
			for i, c := range v.Codes[:v.Len] {
				if vector.IsValid(valid, i) {
					h = fold(h, r.dict[c])
				} else {
					h = fold(h, hashNull)
				}
			}
			return h
		}
		for i := range v.Len {
			if vector.IsValid(valid, i) {
				h = fold(h, xxh3.Hash(v.Bytes[v.Offs[i]:v.Offs[i+1]]))
			} else {
				h = fold(h, hashNull)
			}
		}
		return h
	}
	for i := range v.Len {
		if vector.IsValid(valid, i) {
			h = fold(h, valueHash(v, i))
		} else {
			h = fold(h, hashNull)
		}
	}
	return h
}

func foldInts[T int16 | int32 | int64](h uint64, vals []T, valid []byte) uint64 {
	if valid == nil {
		for _, x := range vals {
			h = fold(h, uint64(int64(x)))
		}
		return h
	}
	for i, x := range vals {
		if vector.IsValid(valid, i) {
			h = fold(h, uint64(int64(x)))
		} else {
			h = fold(h, hashNull)
		}
	}
	return h
}

// valueHash is of one value that is not NULL, the same in every form of vector.
func valueHash(v *vector.Vector, i int) uint64 {
	switch v.Type.Phys() {
	case types.PhysBool:
		if vector.At[bool](v, i) {
			return 1
		}
		return 0
	case types.PhysInt16:
		return uint64(int64(vector.At[int16](v, i)))
	case types.PhysInt32:
		return uint64(int64(vector.At[int32](v, i)))
	case types.PhysInt64:
		return uint64(vector.At[int64](v, i))
	case types.PhysFloat32:
		f := vector.At[float32](v, i)
		if f != f {
			return math.Float64bits(math.NaN())
		}
		return uint64(math.Float32bits(f))
	case types.PhysFloat64:
		f := vector.At[float64](v, i)
		if f != f {
			f = math.NaN() // NaNs print alike
		}
		return math.Float64bits(f)
	case types.PhysNumeric:
		d := vector.At[types.Decimal](v, i)
		if d.NaN {
			return hashAdd
		}
		return fold(fold(d.Lo, uint64(d.Hi)), uint64(d.Scale))
	case types.PhysInterval:
		x := vector.At[types.IntervalValue](v, i)
		return fold(uint64(x.Micros), uint64(uint32(x.Months))<<32|uint64(uint32(x.Days)))
	case types.PhysBytes:
		if v.Type.ID != types.Record {
			return xxh3.Hash(v.BytesAt(i))
		}
	}
	return xxh3.Hash(vector.AppendText(nil, v, i, nil))
}
