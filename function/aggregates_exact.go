package function

import (
	"math/bits"
	"unsafe"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// exactSumAgg is sum and avg of int8 and numeric: exact, so that no order of
// rows changes the result, which has the largest scale of its group's values.
//
// Sums are kept in 128 bits at the largest scale seen in any group. What does not
// fit (NaN, sums near 38 digits, scales far apart) turns all states into
// DecimalSums, which hold anything.
type exactSumAgg struct {
	noClose
	avg   bool
	ints  bool // over int8
	scale int32
	acc   []sum128
	disp  []int32 // per group: the largest scale of its values; nil if that is scale for all
	slow  []types.DecimalSum
	parts []part // scratch
}

// sum128 is a sum in two's complement and how many values it has. The sum stays
// within ±2^125 but for values of 64 bits, of which it takes 2^62 to overflow.
type sum128 struct {
	lo uint64
	hi int64
	n  int64
}

// part is the sum of a group's values in one batch.
type part struct{ sum, n int64 }

const (
	// maxParts is the number of groups up to which a batch is summed up in parts
	// before it is added.
	maxParts = 256
	// partBits bounds the magnitudes of values whose sum over a batch fits in 64
	// bits, and partRows the rows of it.
	partBits, partRows = 43, 1 << 20
	// safe128 bounds the high word of what is added up.
	safe128 = 1 << 61
)

func within(hi int64) bool { return uint64(hi+safe128) < 2*safe128 }

func (s *sum128) add(lo uint64, hi int64) {
	var c uint64
	s.lo, c = bits.Add64(s.lo, lo, 0)
	s.hi += hi + int64(c)
}

func (a *exactSumAgg) Grow(n int) {
	if a.slow != nil {
		a.slow = grown(a.slow, n)
		return
	}
	a.acc = grown(a.acc, n)
	if a.disp != nil {
		a.disp = grown(a.disp, n)
	}
}

func (a *exactSumAgg) Size() int64 {
	return sliceSize(a.acc, 24) + sliceSize(a.disp, 4) + sliceSize(a.slow, int64(unsafe.Sizeof(types.DecimalSum{})))
}

// widen turns the states into DecimalSums.
func (a *exactSumAgg) widen() {
	if a.slow != nil {
		return
	}
	a.slow = make([]types.DecimalSum, len(a.acc), cap(a.acc))
	for g, s := range a.acc {
		if s.n == 0 {
			continue
		}
		d := &a.slow[g]
		if a.disp != nil && a.disp[g] < a.scale {
			// The digits behind the group's own scale are zeros.
			p := types.Decimal{Lo: s.lo, Hi: s.hi, Scale: a.scale}.Trunc(int(a.disp[g]))
			d.AddInt128(p.Hi, p.Lo, p.Scale, s.n)
			continue
		}
		d.AddInt128(s.hi, s.lo, a.scale, s.n)
	}
	a.acc, a.disp = nil, nil
}

// rescale makes scale that of the sums; false, with the states widened, if they
// do not fit. A smaller scale than theirs only prepares for values that have it.
func (a *exactSumAgg) rescale(scale int32) bool {
	if scale == a.scale && a.disp == nil {
		return true
	}
	used := false
	for i := range a.acc {
		if a.acc[i].n > 0 {
			used = true
			break
		}
	}
	if !used {
		a.scale, a.disp = scale, nil
		return true
	}
	if a.disp == nil {
		a.disp = make([]int32, len(a.acc), cap(a.acc))
		for g := range a.disp {
			if a.acc[g].n > 0 {
				a.disp[g] = a.scale
			}
		}
	}
	if scale <= a.scale {
		if int(a.scale-scale) >= len(pow10s) {
			a.widen()
			return false
		}
		return true
	}
	if int(scale-a.scale) >= len(pow10s) {
		a.widen()
		return false
	}
	p := pow10s[scale-a.scale]
	top := int64(safe128) / p // what the high word may be
	for i := range a.acc {
		if h := a.acc[i].hi; h >= top || h < -top {
			a.widen()
			return false
		}
	}
	for i := range a.acc {
		s := &a.acc[i]
		hi, lo := bits.Mul64(s.lo, uint64(p))
		s.lo, s.hi = lo, int64(hi)+s.hi*p
	}
	a.scale = scale
	return true
}

func (a *exactSumAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	v := args[0]
	if v.Form == vector.Const {
		v = v.Flatten()
	}
	switch {
	case a.ints:
		a.addCoefs(groups, vector.Values[int64](v)[:n], v.Valid, 0)
	case v.Form == vector.Scaled:
		a.addCoefs(groups, vector.Values[int64](v)[:n], v.Valid, v.Scale)
	default:
		a.addDecimals(groups, vector.Values[types.Decimal](v)[:n], v.Valid)
	}
	return nil
}

// addCoefs adds values × 10^-scale.
func (a *exactSumAgg) addCoefs(groups []int32, x []int64, valid []byte, scale int32) {
	if valid != nil && vector.CountValid(valid, len(x)) == 0 {
		return
	}
	if a.slow != nil || !a.rescale(scale) {
		for i, y := range x {
			if vector.IsValid(valid, i) {
				a.slow[group(groups, i)].Add(types.NewDecimal(y, scale))
			}
		}
		return
	}
	switch {
	case a.scale != scale:
		p := pow10s[a.scale-scale]
		for i, y := range x {
			if vector.IsValid(valid, i) {
				a.addSmall(group(groups, i), y, p, scale)
			}
		}
		return
	case groups == nil:
		a.addAll(x, valid)
	case len(a.acc) <= maxParts && len(x) <= partRows && len(x) >= 4*len(a.acc) && a.addParts(groups, x, valid):
	case valid == nil:
		for i, y := range x {
			s := &a.acc[groups[i]]
			s.add(uint64(y), y>>63)
			s.n++
		}
	default:
		for i, y := range x {
			if valid[i>>3]&(1<<(i&7)) != 0 {
				s := &a.acc[groups[i]]
				s.add(uint64(y), y>>63)
				s.n++
			}
		}
	}
	if a.disp == nil {
		return
	}
	for i := range x {
		if vector.IsValid(valid, i) {
			a.disp[group(groups, i)] = scale // none is larger
		}
	}
}

// addSmall adds y × p, of scale.
func (a *exactSumAgg) addSmall(g int32, y, p int64, scale int32) {
	hi, lo := bits.Mul64(uint64(y), uint64(p))
	hi -= uint64(y>>63) & uint64(p)
	s := &a.acc[g]
	s.add(lo, int64(hi))
	s.n++
	a.disp[g] = max(a.disp[g], scale)
}

// addAll adds to group 0: sums of the low and the high halves, neither of which
// can overflow within a batch.
func (a *exactSumAgg) addAll(x []int64, valid []byte) {
	var lo, hi int64
	if valid == nil {
		for _, y := range x {
			lo += int64(uint32(y))
			hi += y >> 32
		}
	} else {
		for i, y := range x {
			y &= -int64(valid[i>>3] >> (i & 7) & 1)
			lo += int64(uint32(y))
			hi += y >> 32
		}
	}
	hi += lo >> 32
	s := &a.acc[0]
	s.add(uint64(hi)<<32|uint64(uint32(lo)), hi>>32)
	s.n += int64(vector.CountValid(valid, len(x)))
}

// addParts sums a batch up by group in 64 bits, and then adds that: false, with
// nothing added, if the values are too large.
func (a *exactSumAgg) addParts(groups []int32, x []int64, valid []byte) bool {
	if cap(a.parts) < len(a.acc) {
		a.parts = make([]part, maxParts)
	}
	parts := a.parts[:len(a.acc)]
	clear(parts)
	groups = groups[:len(x)]
	var m int64
	if valid == nil {
		for i, y := range x {
			p := &parts[groups[i]]
			p.sum += y
			p.n++
			m |= y ^ y>>63
		}
	} else {
		for i, y := range x {
			b := int64(valid[i>>3] >> (i & 7) & 1)
			y &= -b
			p := &parts[groups[i]]
			p.sum += y
			p.n += b
			m |= y ^ y>>63
		}
	}
	if m>>partBits != 0 {
		return false
	}
	for g := range parts {
		p, s := &parts[g], &a.acc[g]
		s.add(uint64(p.sum), p.sum>>63)
		s.n += p.n
	}
	return true
}

func (a *exactSumAgg) addDecimals(groups []int32, x []types.Decimal, valid []byte) {
	for i := range x {
		if vector.IsValid(valid, i) {
			a.addDecimal(group(groups, i), &x[i], 1)
		}
	}
}

// addDecimal adds d, the sum of n values.
func (a *exactSumAgg) addDecimal(g int32, d *types.Decimal, n int64) {
	if a.slow == nil {
		if d.Scale == a.scale && a.disp == nil && !d.NaN && within(d.Hi) {
			s := &a.acc[g]
			if within(s.hi) {
				s.add(d.Lo, d.Hi)
				s.n += n
				return
			}
		}
		if a.addOther(g, d, n) {
			return
		}
	}
	if d.NaN {
		a.slow[g].Add(*d)
		return
	}
	a.slow[g].AddInt128(d.Hi, d.Lo, d.Scale, n)
}

// addOther adds what may have another scale; false, with the states widened, if
// that does not fit.
func (a *exactSumAgg) addOther(g int32, d *types.Decimal, n int64) bool {
	// rescale looks at all groups, and so is for the first value of a scale only.
	if (d.Scale > a.scale || a.disp == nil) && !d.NaN && !a.rescale(d.Scale) {
		return false
	}
	s := &a.acc[g]
	k := int(a.scale - d.Scale)
	switch {
	case d.NaN || !within(d.Hi) || !within(s.hi) || k > 0 && (k >= len(pow10s) || !narrow(d)):
		a.widen()
		return false
	case k == 0:
		s.add(d.Lo, d.Hi)
	default:
		p := pow10s[k]
		hi, lo := bits.Mul64(d.Lo, uint64(p))
		s.add(lo, int64(hi-uint64(d.Hi)&uint64(p)))
	}
	s.n += n
	if a.disp != nil {
		a.disp[g] = max(a.disp[g], d.Scale)
	}
	return true
}

// The state is the sum as a numeric, NULL without values; for avg how many they
// are; and instead of a sum beyond the range of numeric a DecimalSum as bytes.

func (a *exactSumAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	sums, exotic := states[0], states[len(states)-1]
	var counts []int64
	if a.avg {
		counts = vector.Values[int64](states[1].Flatten())
	}
	if exotic.Valid == nil || exotic.Form != vector.Const && vector.CountValid(exotic.Valid, n) > 0 || !exotic.IsNull(0) {
		a.widen()
		for i := range n {
			if exotic.IsNull(i) {
				continue
			}
			var s types.DecimalSum
			if _, err := s.DecodeState(exotic.BytesAt(i)); err != nil {
				return err
			}
			a.slow[group(groups, i)].Merge(&s)
		}
	}
	if sums.Form == vector.Scaled && a.slow == nil && !sums.HasNulls() && a.rescale(sums.Scale) && a.scale == sums.Scale && a.disp == nil {
		for i, y := range vector.Values[int64](sums)[:n] {
			s := &a.acc[group(groups, i)]
			s.add(uint64(y), y>>63)
			if counts != nil {
				s.n += counts[i]
			} else {
				s.n++
			}
		}
		return nil
	}
	for i := range n {
		if sums.IsNull(i) {
			continue
		}
		d, c := vector.At[types.Decimal](sums, i), int64(1)
		if counts != nil {
			c = counts[i]
		}
		if d.NaN {
			// The average of a NaN is one whatever the count is.
			c = 1
		}
		a.addDecimal(group(groups, i), &d, c)
	}
	return nil
}

// sums returns the sums of groups [from, to), NULL without values. exotic gives
// the groups whose sum is not in numeric's range.
func (a *exactSumAgg) sums(from, to int) (out *vector.Vector, exotic []int) {
	n := to - from
	var valid []byte
	null := func(i int) {
		if valid == nil {
			valid = vector.NewValid(n)
		}
		vector.SetNull(valid, i)
	}
	if a.slow == nil && a.disp == nil && a.scale <= mulScale {
		out = vector.NewScaled(numericType, n, a.scale)
		fits := true
		for i, dst := 0, vector.Values[int64](out); i < n; i++ {
			s := &a.acc[from+i]
			dst[i] = int64(s.lo)
			if s.n == 0 {
				null(i)
			}
			fits = fits && s.hi == int64(s.lo)>>63
		}
		if fits {
			return out.WithValid(valid), nil
		}
		valid = nil
	}
	out = vector.New(numericType, n)
	for i, dst := 0, vector.Values[types.Decimal](out); i < n; i++ {
		d, ok := a.sum(from + i)
		if !ok {
			if a.count(from+i) > 0 {
				exotic = append(exotic, i)
			}
			null(i)
			continue
		}
		dst[i] = d
	}
	return out.WithValid(valid), exotic
}

// count is the number of a group's values.
func (a *exactSumAgg) count(g int) int64 {
	if a.slow != nil {
		return a.slow[g].Count()
	}
	return a.acc[g].n
}

// sum is the sum of a group's values at their scale; false if there are none or
// it is not a numeric.
func (a *exactSumAgg) sum(g int) (types.Decimal, bool) {
	if a.slow != nil {
		if a.slow[g].Count() == 0 {
			return types.Decimal{}, false
		}
		return a.slow[g].Exact()
	}
	s := &a.acc[g]
	d := types.Decimal{Lo: s.lo, Hi: s.hi, Scale: a.scale}
	if a.disp != nil && a.disp[g] < a.scale {
		d = d.Trunc(int(a.disp[g])) // drops zeros
	}
	return d, s.n > 0 && within(s.hi)
}

func (a *exactSumAgg) State(from, to int) ([]*vector.Vector, error) {
	sums, exotic := a.sums(from, to)
	out := []*vector.Vector{sums}
	if a.avg {
		counts := vector.New(types.T(types.Int8), to-from)
		for i, dst := 0, vector.Values[int64](counts); i < len(dst); i++ {
			dst[i] = a.count(from + i)
		}
		out = append(out, counts)
	}
	bytea := types.T(types.Bytea)
	if len(exotic) == 0 {
		return append(out, vector.NewNull(bytea, to-from)), nil
	}
	a.widen()
	b := vector.NewBuilder(bytea, to-from)
	for _, i := range exotic {
		for b.Len() < i {
			b.AppendNull()
		}
		b.AppendTo(a.slow[from+i].AppendState)
	}
	for b.Len() < to-from {
		b.AppendNull()
	}
	return append(out, b.Build()), nil
}

func (a *exactSumAgg) Final(from, to int) (*vector.Vector, error) {
	sums, exotic := a.sums(from, to)
	if !a.avg && len(exotic) == 0 {
		return sums, nil
	}
	if len(exotic) > 0 {
		a.widen()
	}
	out := vector.New(numericType, to-from)
	dst := vector.Values[types.Decimal](out)
	var nulls []int
	for i := range dst {
		n := a.count(from + i)
		if n == 0 {
			nulls = append(nulls, i)
			continue
		}
		var err error
		switch {
		case a.slow != nil && a.avg:
			dst[i], err = a.slow[from+i].Avg()
		case a.slow != nil:
			dst[i], err = a.slow[from+i].Sum()
		default:
			dst[i], err = vector.At[types.Decimal](sums, i).Div(types.DecimalFromInt64(n))
		}
		if err != nil {
			return nil, err
		}
	}
	return setNulls(out, nulls), nil
}
