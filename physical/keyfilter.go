package physical

import (
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// keyFilter is the set of the values of one key column of a join's build side,
// or one that contains it: what it refuses, the join cannot match. NULL is not in
// it. It is not changed once made.
type keyFilter struct {
	isInt  bool
	lo, hi int64 // bounds, of integers; lo > hi when there is none

	bits  []uint64 // exact: bit x-lo
	few   []int64  // else, of few integers: all of them, sorted
	bloom []uint64 // else: three bits of the word that the hash names
	mask  uint64   // of words of bloom
	bytes int64
}

const (
	// maxExactBits is up to how many bits a filter may have that lists every
	// value between the bounds, and maxKeyFilterRows up to how many rows a build
	// side is looked at.
	maxExactBits     = 1 << 23
	maxKeyFilterRows = 8 << 20
	// maxFewKeys is how many keys are listed where bits would be too many.
	maxFewKeys = 1024
	// exactShare: a list of all values may have so many bits per key.
	exactShare = 64
)

// newKeyFilter makes the filter of n keys, nil if it would be too large. null
// marks rows that do not count.
func newKeyFilter(key *vector.Vector, null []bool, n int, charge func(int64) error) *keyFilter {
	if n > maxKeyFilterRows {
		return nil
	}
	f := &keyFilter{isInt: isIntPhys(key.Type.Phys())}
	if !f.isInt {
		if !f.alloc(bloomWords(n), &f.bloom, charge) {
			return nil
		}
		enc := encodeKeys([]*vector.Vector{key}, nil, n)
		for i := range n {
			if null == nil || !null[i] {
				f.add(xxh3.Hash(enc.at(i)))
			}
		}
		return f
	}
	ints := widen(key.Flatten())
	f.lo, f.hi = math.MaxInt64, math.MinInt64
	for i, x := range ints {
		if null == nil || !null[i] {
			f.lo, f.hi = min(f.lo, x), max(f.hi, x)
		}
	}
	if f.lo > f.hi {
		return f
	}
	if width := uint64(f.hi) - uint64(f.lo); width < min(maxExactBits, max(1<<16, exactShare*uint64(n))) {
		if !f.alloc(int(width/64)+1, &f.bits, charge) {
			return nil
		}
		for i, x := range ints {
			if null == nil || !null[i] {
				d := uint64(x) - uint64(f.lo)
				f.bits[d>>6] |= 1 << (d & 63)
			}
		}
		return f
	}
	if !f.alloc(bloomWords(n), &f.bloom, charge) {
		return nil
	}
	for i, x := range ints {
		if null == nil || !null[i] {
			f.add(hashInt(x))
			if n <= maxFewKeys {
				f.few = append(f.few, x)
			}
		}
	}
	slices.Sort(f.few)
	return f
}

// anyIn reports whether the filter may have an integer from lo to hi.
func (f *keyFilter) anyIn(lo, hi int64) bool {
	lo, hi = max(lo, f.lo), min(hi, f.hi)
	switch {
	case lo > hi:
		return false
	case f.few != nil:
		i, _ := slices.BinarySearch(f.few, lo)
		return i < len(f.few) && f.few[i] <= hi
	case f.bits == nil:
		return true
	}
	from, to := uint64(lo)-uint64(f.lo), uint64(hi)-uint64(f.lo)
	for w := from >> 6; w <= to>>6; w++ {
		word := f.bits[w]
		if w == from>>6 {
			word &= ^uint64(0) << (from & 63)
		}
		if w == to>>6 {
			word &= ^uint64(0) >> (63 - to&63)
		}
		if word != 0 {
			return true
		}
	}
	return false
}

// bloomWords is how many words a filter of n keys has: 10 to 20 bits per key.
func bloomWords(n int) int {
	words := 64
	for words*64 < 10*n {
		words *= 2
	}
	return words
}

func (f *keyFilter) alloc(words int, to *[]uint64, charge func(int64) error) bool {
	if charge(int64(words)*8) != nil {
		return false
	}
	f.bytes = int64(words) * 8
	*to = make([]uint64, words)
	f.mask = uint64(words - 1)
	return true
}

// bloomBits are the three bits that a hash sets. The word is chosen by the low
// bits of the hash, these by the high ones.
func bloomBits(h uint64) uint64 {
	return 1<<(h>>58) | 1<<(h>>52&63) | 1<<(h>>46&63)
}

func (f *keyFilter) add(h uint64) { f.bloom[h&f.mask] |= bloomBits(h) }

func (f *keyFilter) has(h uint64) bool {
	b := bloomBits(h)
	return f.bloom[h&f.mask]&b == b
}

// rows appends to out those of the rows sel of v (nil: of all) whose value is in
// the filter.
func (f *keyFilter) rows(v *vector.Vector, sel []int32, out []int32) []int32 {
	switch {
	case v.Form == vector.Const:
		if v.IsNull(0) || v.Len == 0 || !f.hasOne(v) {
			return out
		}
		if sel != nil {
			return append(out, sel...)
		}
		for i := range v.Len {
			out = append(out, int32(i))
		}
		return out
	case f.isInt:
		switch v.Type.Phys() {
		case types.PhysInt16:
			return passInts(f, vector.Values[int16](v), v.Valid, sel, out)
		case types.PhysInt32:
			return passInts(f, vector.Values[int32](v), v.Valid, sel, out)
		}
		return passInts(f, vector.Values[int64](v), v.Valid, sel, out)
	case v.Form == vector.Dict && v.Child.Len <= v.Len:
		enc := encodeKeys([]*vector.Vector{v.Child.Retype(v.Type)}, nil, v.Child.Len)
		pass := make([]bool, v.Child.Len)
		for i := range pass {
			pass[i] = f.has(xxh3.Hash(enc.at(i)))
		}
		return passRows(v.Len, sel, out, func(i int32) bool { return vector.IsValid(v.Valid, int(i)) && pass[v.Codes[i]] })
	}
	enc := encodeKeys([]*vector.Vector{v}, nil, v.Len)
	return passRows(v.Len, sel, out, func(i int32) bool {
		return vector.IsValid(v.Valid, int(i)) && f.has(xxh3.Hash(enc.at(int(i))))
	})
}

// hasOne is the answer for the first row of v, which is not NULL.
func (f *keyFilter) hasOne(v *vector.Vector) bool {
	one := vector.Slice(v, 0, 1).Flatten()
	return len(f.rows(one, nil, nil)) == 1
}

func passRows(n int, sel, out []int32, pass func(int32) bool) []int32 {
	if sel != nil {
		for _, i := range sel {
			if pass(i) {
				out = append(out, i)
			}
		}
		return out
	}
	for i := range int32(n) {
		if pass(i) {
			out = append(out, i)
		}
	}
	return out
}

// passInts is rows of integers. What a NULL's value is found to be is put right at
// the end, when few rows are left.
func passInts[T int16 | int32 | int64](f *keyFilter, vals []T, valid []byte, sel, out []int32) []int32 {
	if f.lo > f.hi {
		return out
	}
	n := len(vals)
	if sel != nil {
		n = len(sel)
	}
	k := len(out)
	out = append(out, make([]int32, n)...)
	dst := out[k:]
	at := 0
	switch {
	case sel != nil:
		for _, i := range sel {
			dst[at] = i
			if f.hasInt(int64(vals[i])) {
				at++
			}
		}
	case f.bits != nil:
		lo, width := uint64(f.lo), uint64(f.hi)-uint64(f.lo)
		for i, x := range vals {
			dst[at] = int32(i)
			if d := uint64(int64(x)) - lo; d <= width {
				at += int(f.bits[d>>6] >> (d & 63) & 1)
			}
		}
	default:
		for i, x := range vals {
			dst[at] = int32(i)
			if f.has(hashInt(int64(x))) {
				at++
			}
		}
	}
	if valid != nil {
		some := dst[:at]
		at = 0
		for _, i := range some {
			dst[at] = i
			at += int(valid[i>>3] >> (i & 7) & 1)
		}
	}
	return out[:k+at]
}

func (f *keyFilter) hasInt(x int64) bool {
	if x < f.lo || x > f.hi {
		return false
	}
	if f.bits != nil {
		d := uint64(x) - uint64(f.lo)
		return f.bits[d>>6]>>(d&63)&1 != 0
	}
	return f.has(hashInt(x))
}
