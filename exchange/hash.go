package exchange

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"github.com/zeebo/xxh3"
)

// The hash that assigns rows to partitions is fixed, since every worker and
// every release that takes part in a query must agree on it:
//
//	fixed-width values  mix(x, k1): x is the value as int64 (integers, dates,
//	                    times, booleans) or as float64 bits with -0 = 0 and one
//	                    NaN; so equal int2, int4 and int8 hash equal
//	numeric             coefficient and scale without trailing zeros after the point
//	interval            days (30 per month) and the rest in microseconds
//	bytes               XXH3-64; char(n) without trailing blanks
//	jsonb, records      XXH3-64 of their keys (vector.KeyBytes)
//	arrays              elements folded one after the other, then their number
//	NULL                the constant hashNull
//	several keys        h = mix(h ^ next, k2)
//
// mix(a, b) is the exclusive or of the two halves of the 128-bit product.
const (
	k1       = 0x9E3779B97F4A7C15
	k2       = 0xE7037ED1A0B428DB
	hashNull = 0x8EBC6AF09C88C6E3
	hashSeed = 0x589965CC75374CC3
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func hash64(x uint64) uint64 { return mix(x^hashSeed, k1) }

// HashRows writes the hash of rows 0…n-1 of the key columns to out, which has
// room for n. Without keys all rows hash equal.
func HashRows(keys []*vector.Vector, n int, out []uint64) {
	out = out[:n]
	if len(keys) == 0 {
		for i := range out {
			out[i] = hashSeed
		}
		return
	}
	hashColumn(keys[0], out)
	if len(keys) == 1 {
		return
	}
	tmp := make([]uint64, n)
	for _, k := range keys[1:] {
		hashColumn(k, tmp)
		for i, h := range tmp {
			out[i] = mix(out[i]^h, k2)
		}
	}
}

// HashPartition maps a hash to one of count partitions by its high bits, so that
// the low bits stay free for hash tables.
func HashPartition(h uint64, count int) int {
	hi, _ := bits.Mul64(h, uint64(count))
	return int(hi)
}

func hashColumn(v *vector.Vector, out []uint64) {
	switch v.Form {
	case vector.Const:
		var one [1]uint64
		c := *v
		c.Form, c.Len = vector.Flat, 1
		hashColumn(&c, one[:])
		for i := range out {
			out[i] = one[0]
		}
		return
	case vector.Dict:
		if v.Child.Len > len(out) {
			hashColumn(v.Flatten(), out)
			return
		}
		dict := make([]uint64, v.Child.Len)
		hashColumn(v.Child, dict)
		for i, c := range v.Codes[:len(out)] {
			out[i] = dict[c]
		}
	default:
		hashFlat(v, out)
	}
	if v.Valid != nil {
		for i := range out {
			if v.Valid[i>>3]&(1<<(i&7)) == 0 {
				out[i] = hashNull
			}
		}
	}
}

func hashFlat(v *vector.Vector, out []uint64) {
	switch v.Type.Phys() {
	case types.PhysBool:
		for i, x := range vector.Values[bool](v)[:len(out)] {
			u := uint64(0)
			if x {
				u = 1
			}
			out[i] = hash64(u)
		}
	case types.PhysInt16:
		hashInts(vector.Values[int16](v), out)
	case types.PhysInt32:
		hashInts(vector.Values[int32](v), out)
	case types.PhysInt64:
		hashInts(vector.Values[int64](v), out)
	case types.PhysFloat32:
		hashFloats(vector.Values[float32](v), out)
	case types.PhysFloat64:
		hashFloats(vector.Values[float64](v), out)
	case types.PhysNumeric:
		if v.Form == vector.Scaled {
			hashScaled(vector.Values[int64](v), v.Scale, out)
			break
		}
		for i, x := range vector.Values[types.Decimal](v)[:len(out)] {
			out[i] = hashDecimal(x)
		}
	case types.PhysInterval:
		for i, x := range vector.Values[types.IntervalValue](v)[:len(out)] {
			out[i] = hashInterval(x)
		}
	case types.PhysBytes:
		trim := v.Type.ID == types.Bpchar
		structured := v.Type.ID == types.JSONB || v.Type.ID == types.Record
		for i := range out {
			b := v.Bytes[v.Offs[i]:v.Offs[i+1]]
			if structured {
				b = vector.KeyBytes(v, i)
			}
			for trim && len(b) > 0 && b[len(b)-1] == ' ' {
				b = b[:len(b)-1]
			}
			out[i] = xxh3.Hash(b)
		}
	case types.PhysList:
		elems := make([]uint64, v.Child.Len)
		hashColumn(v.Child, elems)
		for i := range out {
			h := uint64(hashSeed)
			for _, e := range elems[v.Offs[i]:v.Offs[i+1]] {
				h = mix(h^e, k2)
			}
			out[i] = mix(h^uint64(v.Offs[i+1]-v.Offs[i]), k1)
		}
	}
}

func hashInts[T int16 | int32 | int64](vals []T, out []uint64) {
	for i, x := range vals[:len(out)] {
		out[i] = hash64(uint64(int64(x)))
	}
}

func hashFloats[T float32 | float64](vals []T, out []uint64) {
	for i, x := range vals[:len(out)] {
		f := float64(x)
		u := math.Float64bits(f)
		if f == 0 {
			u = 0
		} else if f != f {
			u = 0x7FF8000000000000
		}
		out[i] = hash64(u)
	}
}

func hashDecimal(d types.Decimal) uint64 {
	if d.NaN {
		return hash64(0x7FF8000000000000)
	}
	hi, lo := uint64(d.Hi), d.Lo
	neg := d.Hi < 0
	if neg {
		var b uint64
		lo, b = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, b)
	}
	scale := d.Scale
	for scale > 0 {
		if lo&1 != 0 {
			break // odd: not divisible by ten
		}
		qh, r := hi/10, hi%10
		ql, r := bits.Div64(r, lo, 10)
		if r != 0 {
			break
		}
		hi, lo = qh, ql
		scale--
		if hi|lo == 0 {
			scale = 0
		}
	}
	h := hash64(lo)
	if hi != 0 {
		h = mix(h^hi, k2)
	}
	s := uint64(uint32(scale))
	if neg {
		s |= 1 << 32
	}
	if s != 0 {
		h = mix(h^s, k2)
	}
	return h
}

// hashScaled gives what hashDecimal does for coefficients of one scale.
func hashScaled(vals []int64, scale int32, out []uint64) {
	for i, x := range vals[:len(out)] {
		u, s := uint64(x), scale
		if x < 0 {
			u = -u
		}
		for s > 0 && u&1 == 0 {
			q := u / 10
			if 10*q != u {
				break
			}
			u = q
			s--
			if u == 0 {
				s = 0
			}
		}
		h, t := hash64(u), uint64(uint32(s))
		if x < 0 {
			t |= 1 << 32
		}
		if t != 0 {
			h = mix(h^t, k2)
		}
		out[i] = h
	}
}

const dayMicros = 86_400_000_000

func hashInterval(v types.IntervalValue) uint64 {
	days := int64(v.Months)*30 + int64(v.Days) + v.Micros/dayMicros
	rest := v.Micros % dayMicros
	if rest < 0 {
		rest += dayMicros
		days--
	}
	return mix(hash64(uint64(days))^uint64(rest), k2)
}
