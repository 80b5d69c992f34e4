package physical

import (
	"math"
	"math/bits"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// slideKind says how an aggregate is computed over the frames of a chunk in plain
// loops over its values; see slide.
type slideKind uint8

const (
	slideNone slideKind = iota
	slideCount
	slideSum
	slideAvg
	slideMin
	slideMax
)

// slideOf returns slideNone for aggregates that have no such loop.
func slideOf(c *windowCall) slideKind {
	if !c.builtin {
		return slideNone
	}
	if c.name == "count" {
		return slideCount
	}
	if len(c.args) != 1 {
		return slideNone
	}
	switch c.args[0].Type.Phys() {
	case types.PhysInt16, types.PhysInt32, types.PhysInt64, types.PhysFloat32, types.PhysFloat64, types.PhysNumeric:
	default:
		return slideNone
	}
	switch c.name {
	case "sum":
		return slideSum
	case "avg":
		return slideAvg
	case "min":
		return slideMin
	case "max":
		return slideMax
	}
	return slideNone
}

// slider is the input of one call of slide.
type slider struct {
	ch *chunk
	fr *frameRows
	lo []int32
	hi []int32
	// before is, for every row and the end, how many rows before it count: are not
	// NULL and pass the filter. It is nil if all do.
	before []int32
	valid  []byte // of the results, nil if none is NULL
}

// slide computes count, sum, avg, min and max of numbers over frames of one range
// each. It reports false for what it does not compute.
//
// Sums that are exact are differences of running sums. Sums of floats depend on
// the order of additions, so each frame is added up by itself, in a way that
// depends on the frame's place in its partition only: see floatSums. Extremes are
// found from extremes of blocks or with a queue: see extremes.
func (c *windowCall) slide(ch *chunk, args []*vector.Vector, keep []int32, fr *frameRows) (*vector.Vector, bool, error) {
	if c.slides == slideNone || len(fr.segs) != 1 {
		return nil, false, nil
	}
	s := &slider{ch: ch, fr: fr, lo: fr.segs[0].lo, hi: fr.segs[0].hi}
	var v *vector.Vector
	if len(args) > 0 {
		v = flatOrScaled(args[0])
		if c.slides != slideCount && v.Type.Phys() == types.PhysNumeric {
			if v = vector.Narrow(v); v.Form != vector.Scaled || v.Scale > maxSlideScale {
				return nil, false, nil
			}
		}
	}
	s.count(v, keep)
	if c.slides == slideCount {
		return vector.FromSlice(int8Type, s.counts()), true, nil
	}
	if (c.slides == slideMin || c.slides == slideMax) && !fr.simple && !fr.monotone {
		return nil, false, nil
	}
	s.nulls()
	switch p := v.Type.Phys(); {
	case c.slides == slideMin || c.slides == slideMax:
		return s.extremeOf(v, c.slides == slideMin).WithValid(s.valid), true, nil
	case p == types.PhysFloat32 && c.slides == slideSum:
		sums, err := s.checkedSums32(vector.Values[float32](v))
		return sums, true, err
	case p == types.PhysFloat32 || p == types.PhysFloat64:
		vals, ok := vector.Values[float64], p == types.PhysFloat64
		var x []float64
		if ok {
			x = vals(v)
		} else {
			x = floats64(vector.Values[float32](v))
		}
		if c.slides == slideSum {
			sums, err := checkedSums(s, x)
			return vector.FromSlice(float8Type, sums).WithValid(s.valid), true, err
		}
		sums := floatSums(s, masked(s, x))
		s.divide(sums)
		return vector.FromSlice(float8Type, sums).WithValid(s.valid), true, nil
	}
	var x []int64
	scale := int32(0)
	if v.Form == vector.Scaled {
		x, scale = vector.Values[int64](v), v.Scale
	} else {
		x = widen(v)
	}
	x = masked(s, x)
	if !sumsFit(x, fr.longest) {
		return nil, false, nil
	}
	sums := s.intSums(x)
	if c.slides == slideAvg {
		out, err := s.decimalAvg(sums, scale)
		return out, true, err
	}
	if c.typ.ID == types.Int8 {
		return vector.FromSlice(int8Type, sums).WithValid(s.valid), true, nil
	}
	return vector.FromScaled(types.T(types.Numeric), sums, scale).WithValid(s.valid), true, nil
}

// maxSlideScale is the largest scale of numerics that are added up as integers.
const maxSlideScale = 30

// count fills before. v is nil for count(*).
func (s *slider) count(v *vector.Vector, keep []int32) {
	n := s.ch.n
	if keep == nil && (v == nil || v.Valid == nil) {
		return
	}
	s.before = make([]int32, n+1)
	k := int32(0)
	if keep == nil {
		for i := range n {
			s.before[i] = k
			k += int32(v.Valid[i>>3] >> (i & 7) & 1)
		}
		s.before[n] = k
		return
	}
	at := 0
	for _, r := range keep {
		for ; at <= int(r); at++ {
			s.before[at] = k
		}
		if v == nil || v.Valid == nil || !v.IsNull(int(r)) {
			k++
		}
	}
	for ; at <= n; at++ {
		s.before[at] = k
	}
}

func (s *slider) counts() []int64 {
	out := make([]int64, len(s.lo))
	if s.before == nil {
		for i, l := range s.lo {
			out[i] = int64(s.hi[i] - l)
		}
		return out
	}
	for i, l := range s.lo {
		out[i] = int64(s.before[s.hi[i]] - s.before[l])
	}
	return out
}

// nulls marks the results of frames without values.
func (s *slider) nulls() {
	if s.before == nil && !s.fr.empty {
		return
	}
	for i, l := range s.lo {
		h := s.hi[i]
		if s.before != nil {
			l, h = s.before[l], s.before[h]
		}
		if l == h {
			if s.valid == nil {
				s.valid = vector.NewValid(len(s.lo))
			}
			vector.SetNull(s.valid, i)
		}
	}
}

// masked returns the values with 0 in place of those that do not count.
func masked[T int64 | float32 | float64](s *slider, x []T) []T {
	if s.before == nil {
		return x
	}
	out := make([]T, len(x))
	for i, v := range x {
		if s.before[i+1] != s.before[i] {
			out[i] = v
		}
	}
	return out
}

func floats64(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// sumsFit says whether any sum of up to longest of the values fits in 64 bits.
func sumsFit(x []int64, longest int32) bool {
	var m int64
	for _, v := range x {
		m |= v ^ v>>63
	}
	return bits.Len64(uint64(m))+bits.Len32(uint32(longest)) <= 62
}

// intSums takes differences of running sums. Those may wrap around; the
// differences, which fit, do not.
func (s *slider) intSums(x []int64) []int64 {
	run := make([]int64, len(x)+1)
	sum := int64(0)
	for i, v := range x {
		sum += v
		run[i+1] = sum
	}
	out := make([]int64, len(s.lo))
	for i, l := range s.lo {
		out[i] = run[s.hi[i]] - run[l]
	}
	return out
}

func (s *slider) decimalAvg(sums []int64, scale int32) (*vector.Vector, error) {
	out := vector.New(types.T(types.Numeric), len(sums))
	dst := vector.Values[types.Decimal](out)
	for i, n := range s.counts() {
		if n == 0 {
			continue
		}
		var err error
		if dst[i], err = types.NewDecimal(sums[i], scale).Div(types.DecimalFromInt64(n)); err != nil {
			return nil, err
		}
	}
	return out.WithValid(s.valid), nil
}

// divide makes averages of sums.
func (s *slider) divide(sums []float64) {
	if s.before == nil {
		for i, l := range s.lo {
			sums[i] /= float64(max(s.hi[i]-l, 1))
		}
		return
	}
	for i, l := range s.lo {
		sums[i] /= float64(max(s.before[s.hi[i]]-s.before[l], 1))
	}
}

func (s *slider) checkedSums32(x []float32) (*vector.Vector, error) {
	sums, err := checkedSums(s, x)
	return vector.FromSlice(types.T(types.Float4), sums).WithValid(s.valid), err
}

// checkedSums is floatSums where an infinite sum of finite values is 22003.
func checkedSums[T float32 | float64](s *slider, x []T) ([]T, error) {
	x = masked(s, x)
	sums := floatSums(s, x)
	for i, v := range sums {
		if v-v == 0 {
			continue
		}
		sum := T(0)
		for _, y := range x[s.lo[i]:s.hi[i]] {
			was := sum
			if sum += y; math.IsInf(float64(sum), 0) && !math.IsInf(float64(was), 0) && !math.IsInf(float64(y), 0) {
				return nil, pgerr.New(pgerr.NumericValueOutOfRange, "value out of range: overflow")
			}
		}
	}
	return sums, nil
}

const (
	// shortFrame is the length up to which a frame's floats are added up one by one.
	shortFrame = 64
	// sumFan is how many sums of one level make one of the next, as a shift.
	sumFan = 4
)

// floatSums adds up every frame. A frame of up to shortFrame rows is added from
// left to right; so is one that starts with the partition, by running sums, which
// are the same. Others take sums of aligned blocks, counted from the start of the
// partition: how does not depend on other rows or on how the input was cut.
func floatSums[T float32 | float64](s *slider, x []T) []T {
	out := make([]T, len(s.lo))
	var run []T      // of a partition: sums of the rows before
	var levels [][]T // of a partition: see sumLevels
	for p := range len(s.ch.parts) - 1 {
		from, to := s.ch.parts[p], s.ch.parts[p+1]
		vals := x[from:to]
		lo, hi, dst := s.lo[from:to], s.hi[from:to], out[from:to]
		if s.fr.longest <= shortFrame/4 || len(vals) <= shortFrame/4 {
			for i, l := range lo {
				sum := T(0)
				for _, v := range vals[l-from : hi[i]-from] {
					sum += v
				}
				dst[i] = sum
			}
			continue
		}
		run = append(run[:0], 0)
		sum := T(0)
		for _, v := range vals {
			sum += v
			run = append(run, sum)
		}
		levels = levels[:0]
		for i, l := range lo {
			h := hi[i] - from
			switch l -= from; {
			case l == 0:
				dst[i] = run[h]
			case h-l <= shortFrame:
				sum := T(0)
				for _, v := range vals[l:h] {
					sum += v
				}
				dst[i] = sum
			default:
				if len(levels) == 0 {
					levels = sumLevels(levels, vals)
				}
				dst[i] = blockSum(levels, 0, l, h)
			}
		}
	}
	return out
}

// sumLevels returns the values, the sums of 16 of them each, the sums of 16 of
// those, and so on.
func sumLevels[T float32 | float64](levels [][]T, vals []T) [][]T {
	levels = append(levels, vals)
	for len(vals) >= 2<<sumFan {
		up := make([]T, len(vals)>>sumFan)
		for i := range up {
			sum := T(0)
			for _, v := range vals[i<<sumFan : (i+1)<<sumFan] {
				sum += v
			}
			up[i] = sum
		}
		levels, vals = append(levels, up), up
	}
	return levels
}

// blockSum adds [l, h) of a level. A range of two blocks or more implies that
// there is a level above.
func blockSum[T float32 | float64](levels [][]T, k int, l, h int32) T {
	vals := levels[k]
	sum := T(0)
	if h-l < 2<<sumFan {
		for _, v := range vals[l:h] {
			sum += v
		}
		return sum
	}
	first, last := (l+1<<sumFan-1)>>sumFan, h>>sumFan
	for _, v := range vals[l : first<<sumFan] {
		sum += v
	}
	sum += blockSum(levels, k+1, first, last)
	for _, v := range vals[last<<sumFan : h] {
		sum += v
	}
	return sum
}

// extremeOf computes min or max: the values are mapped to integers of which the
// greatest is wanted.
func (s *slider) extremeOf(v *vector.Vector, least bool) *vector.Vector {
	n := s.ch.n
	keys := make([]int64, n)
	switch {
	case v.Form == vector.Scaled || v.Type.Phys() == types.PhysInt64:
		copy(keys, vector.Values[int64](v))
	case v.Type.Phys() == types.PhysFloat64:
		for i, x := range vector.Values[float64](v) {
			keys[i] = signedKey(x)
		}
	case v.Type.Phys() == types.PhysFloat32:
		for i, x := range vector.Values[float32](v) {
			keys[i] = signedKey(float64(x))
		}
	case v.Type.Phys() == types.PhysInt32:
		for i, x := range vector.Values[int32](v) {
			keys[i] = int64(x)
		}
	default:
		for i, x := range vector.Values[int16](v) {
			keys[i] = int64(x)
		}
	}
	flip := int64(0)
	if least {
		flip = -1
		for i := range keys {
			keys[i] = ^keys[i]
		}
	}
	if s.before != nil {
		for i := range keys {
			if s.before[i+1] == s.before[i] {
				keys[i] = math.MinInt64
			}
		}
	}
	out := make([]int64, n)
	if s.fr.simple {
		s.blockExtremes(keys, out)
	} else {
		s.queueExtremes(keys, out)
	}
	t := v.Type
	switch {
	case v.Form == vector.Scaled:
		return vector.FromScaled(t, flipped(out, flip), v.Scale)
	case t.Phys() == types.PhysInt64:
		return vector.FromSlice(t, flipped(out, flip))
	case t.Phys() == types.PhysFloat64:
		return vector.FromSlice(t, unkeyed(out, func(k int64) float64 { return signedValue(k ^ flip) }))
	case t.Phys() == types.PhysFloat32:
		return vector.FromSlice(t, unkeyed(out, func(k int64) float32 { return float32(signedValue(k ^ flip)) }))
	case t.Phys() == types.PhysInt32:
		return vector.FromSlice(t, unkeyed(out, func(k int64) int32 { return int32(k ^ flip) }))
	}
	return vector.FromSlice(t, unkeyed(out, func(k int64) int16 { return int16(k ^ flip) }))
}

func flipped(keys []int64, flip int64) []int64 {
	for i := range keys {
		keys[i] ^= flip
	}
	return keys
}

func unkeyed[T any](keys []int64, value func(int64) T) []T {
	out := make([]T, len(keys))
	for i, k := range keys {
		out[i] = value(k)
	}
	return out
}

// signedKey maps a float to an integer of the same order, NaN the greatest. Unlike
// types.FloatKey it can be undone, and so -0 is below 0.
func signedKey(x float64) int64 {
	b := int64(math.Float64bits(x))
	if x != x {
		b = int64(math.Float64bits(math.NaN()))
	}
	return b ^ int64(uint64(b>>63)>>1)
}

func signedValue(k int64) float64 {
	return math.Float64frombits(uint64(k ^ int64(uint64(k>>63)>>1)))
}

// blockExtremes finds the greatest keys of frames that all have the longest
// length or end with the partition on a side. The partition is cut into blocks of
// that length, so that a frame is the end of one and the beginning of the next:
// two comparisons, without a branch on the values.
func (s *slider) blockExtremes(keys, out []int64) {
	size := max(s.fr.longest, 1)
	head, tail := make([]int64, len(keys)), make([]int64, len(keys)) // from the block's start, to its end
	for p := range len(s.ch.parts) - 1 {
		from, to := s.ch.parts[p], s.ch.parts[p+1]
		start := from // of the last block
		for at := from; at < to; at += size {
			start = at
			end := min(at+size, to)
			block := keys[at:end]
			most := int64(math.MinInt64)
			for i, k := range block {
				most = max(most, k)
				head[int(at)+i] = most
			}
			most = math.MinInt64
			for i := len(block) - 1; i >= 0; i-- {
				most = max(most, block[i])
				tail[int(at)+i] = most
			}
			if end == to {
				break // at+size may overflow
			}
		}
		for i := from; i < to; i++ {
			l, h := s.lo[i], s.hi[i]
			switch {
			case l >= h:
			case h-l == size:
				out[i] = max(tail[l], head[h-1])
			case l == from:
				out[i] = head[h-1]
			case l >= start:
				out[i] = tail[l]
			default:
				out[i] = max(tail[l], head[h-1])
			}
		}
	}
}

// queueExtremes finds the greatest keys of frames whose ends only move on: a queue
// has the rows of the frame that no later one of it outdoes.
func (s *slider) queueExtremes(keys, out []int64) {
	var queue []int32
	for p := range len(s.ch.parts) - 1 {
		from, to := s.ch.parts[p], s.ch.parts[p+1]
		if n := int(to - from); cap(queue) < n {
			queue = make([]int32, max(n, 2*cap(queue)))
		}
		queue = queue[:cap(queue)]
		first, end := 0, 0
		at := from
		for i := from; i < to; i++ {
			l, h := s.lo[i], s.hi[i]
			for at = max(at, min(l, h)); at < h; at++ {
				k := keys[at]
				for end > first && keys[queue[end-1]] <= k {
					end--
				}
				queue[end] = at
				end++
			}
			for first < end && queue[first] < l {
				first++
			}
			if first == end {
				// Nothing in it needs its place.
				first, end = 0, 0
			} else {
				out[i] = keys[queue[first]]
			}
		}
	}
}
