package physical

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

const (
	// An array over the words has up to arrayShare entries per build row, but may
	// have smallArray in any case.
	arrayShare = 8
	smallArray = 1 << 14
)

// packed chooses how integer keys are packed into words; false if they do not fit.
func (b *joinBuild) packed() bool {
	shift := 0
	words := make([]joinWord, len(b.keys))
	for c, k := range b.keys {
		lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
		switch k = k.Flatten(); k.Type.Phys() {
		case types.PhysInt16:
			lo, hi = bounds(vector.Values[int16](k), b.null)
		case types.PhysInt32:
			lo, hi = bounds(vector.Values[int32](k), b.null)
		case types.PhysInt64:
			lo, hi = bounds(vector.Values[int64](k), b.null)
		}
		if lo > hi {
			lo, hi = 0, 0 // no row counts
		}
		w := uint64(hi) - uint64(lo)
		words[c] = joinWord{lo: lo, width: w, shift: uint8(shift)}
		if shift += bits.Len64(w); shift > 64 {
			return false
		}
	}
	b.words = words
	return true
}

func bounds[T int16 | int32 | int64](vals []T, null []bool) (int64, int64) {
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for i, x := range vals {
		if null == nil || !null[i] {
			lo, hi = min(lo, int64(x)), max(hi, int64(x))
		}
	}
	return lo, hi
}

// arrayFits makes the array over the words if their range is small.
func (b *joinBuild) arrayFits() bool {
	top, over := uint64(0), uint64(0)
	for _, w := range b.words {
		if w.width == 0 {
			continue
		}
		hi, lo := bits.Mul64(w.width, 1<<w.shift)
		over |= hi
		top |= lo
	}
	if over != 0 || top >= max(smallArray, arrayShare*uint64(b.rows)) {
		return false
	}
	b.array = make([]int32, top+1)
	return true
}

// packWords writes (the first) or adds one key to the words of rows, and marks in
// out those whose value is out of the range, unless out is nil.
func packWords(v *vector.Vector, w joinWord, first bool, words []int64, out []bool) {
	switch v.Type.Phys() {
	case types.PhysInt16:
		packWord(vector.Values[int16](v), w, first, words, out)
	case types.PhysInt32:
		packWord(vector.Values[int32](v), w, first, words, out)
	case types.PhysInt64:
		packWord(vector.Values[int64](v), w, first, words, out)
	}
}

func packWord[T int16 | int32 | int64](vals []T, w joinWord, first bool, words []int64, out []bool) {
	lo := uint64(w.lo)
	words = words[:len(vals)]
	if out == nil {
		// NULLs hold anything; their words are not used.
		for i, x := range vals {
			d := (uint64(int64(x)) - lo) << (w.shift & 63)
			if !first {
				d |= uint64(words[i])
			}
			words[i] = int64(d)
		}
		return
	}
	out = out[:len(vals)]
	for i, x := range vals {
		d := uint64(int64(x)) - lo
		out[i] = out[i] || d > w.width
		d = min(d, w.width) << (w.shift & 63)
		if !first {
			d |= uint64(words[i])
		}
		words[i] = int64(d)
	}
}

// probeWords finds the first match of rows by their words.
func (b *joinBuild) probeWords(p *probeKeys, n int) {
	if len(b.keys) == 1 {
		v := p.vs[0].Flatten()
		switch v.Type.Phys() {
		case types.PhysInt16:
			p.hits = probeWord(b, vector.Values[int16](v), p.at)
		case types.PhysInt32:
			p.hits = probeWord(b, vector.Values[int32](v), p.at)
		default:
			p.hits = probeWord(b, vector.Values[int64](v), p.at)
		}
		return
	}
	words, out := make([]int64, n), make([]bool, n)
	for c, v := range p.vs {
		packWords(v.Flatten(), b.words[c], c == 0, words, out)
	}
	if b.array != nil {
		p.hits = probeArray(b.array, 0, words, p.at)
	} else {
		p.hits = probeSlots(b, 0, words, p.at)
	}
	for i, x := range out {
		if x && p.at[i] >= 0 {
			p.at[i] = -1
			p.hits--
		}
	}
}

func probeWord[T int16 | int32 | int64](b *joinBuild, vals []T, at []int32) int {
	if b.array != nil {
		return probeArray(b.array, b.words[0].lo, vals, at)
	}
	return probeSlots(b, b.words[0].lo, vals, at)
}

func probeArray[T int16 | int32 | int64](array []int32, lo int64, vals []T, at []int32) int {
	none := 0
	at = at[:len(vals)]
	for i, x := range vals {
		r := int32(0)
		if d := uint64(int64(x)) - uint64(lo); d < uint64(len(array)) {
			r = array[d]
		}
		at[i] = r - 1
		none += int(uint32(r-1) >> 31)
	}
	return len(vals) - none
}

// probeSlots reads the slots of a block of rows first, and then the words of the
// rows in them: their cache misses overlap.
func probeSlots[T int16 | int32 | int64](b *joinBuild, lo int64, vals []T, at []int32) int {
	var hashes, found [blockRows]uint64
	hits := 0
	slots, ints, mask := b.slots, b.ints, b.mask
	for from := 0; from < len(vals); from += blockRows {
		block := vals[from:min(from+blockRows, len(vals))]
		to := at[from : from+len(block)]
		for i, x := range block {
			h := hashInt(int64(uint64(int64(x)) - uint64(lo)))
			hashes[i] = h
			found[i] = slots[h&mask]
		}
		for i, x := range block {
			word := int64(uint64(int64(x)) - uint64(lo))
			h, s := hashes[i], found[i]
			slot := h & mask
			r := int32(-1)
			for s != 0 {
				if s>>32 == h>>32 {
					if k := int32(uint32(s)) - 1; ints[k] == word {
						r = k
						hits++
						break
					}
				}
				slot = (slot + 1) & mask
				s = slots[slot]
			}
			to[i] = r
		}
	}
	return hits
}
