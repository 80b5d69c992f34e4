package types

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"github.com/volleydb/volley/pgerr"
)

// DecimalSum accumulates the exact sum and the count of numerics or bigints.
// 192 bits hold 2^63 values of 38 digits at one scale; when values of very
// different scales do not fit, it goes over to a big.Int. The result does not
// depend on the order of values. The zero value is empty.
type DecimalSum struct {
	w     [3]uint64 // two's complement, least significant first
	n     int64     // values, NaNs included
	nans  int64
	scale int32    // the largest scale seen
	wide  *big.Int // in place of w once w is too small
}

// Count is the number of values.
func (s *DecimalSum) Count() int64 { return s.n }

// Add adds d.
func (s *DecimalSum) Add(d Decimal) {
	s.n++
	if d.Scale == s.scale && !d.NaN && s.wide == nil {
		s.add128(d.Lo, d.Hi)
		return
	}
	s.addSlow(d, false)
}

// Remove takes d, which was added, out again. The scale of the result stays.
func (s *DecimalSum) Remove(d Decimal) {
	s.n--
	s.addSlow(d, true)
}

// AddInt64 adds v.
func (s *DecimalSum) AddInt64(v int64) {
	s.n++
	if s.scale == 0 && s.wide == nil {
		s.add128(uint64(v), v>>63)
		return
	}
	s.addSlow(DecimalFromInt64(v), false)
}

// RemoveInt64 takes v out again.
func (s *DecimalSum) RemoveInt64(v int64) { s.Remove(DecimalFromInt64(v)) }

// AddInt64s adds all of vals: a 128-bit sum of the slice, added once.
func (s *DecimalSum) AddInt64s(vals []int64) {
	var lo uint64
	var hi int64
	for _, v := range vals {
		var c uint64
		lo, c = bits.Add64(lo, uint64(v), 0)
		hi += v>>63 + int64(c)
	}
	s.AddInt128(hi, lo, 0, int64(len(vals)))
}

// AddInt128 adds hi:lo × 10^-scale, the sum of n values that a caller has added up.
func (s *DecimalSum) AddInt128(hi int64, lo uint64, scale int32, n int64) {
	s.n += n
	if scale > s.scale && s.wide == nil && s.w == [3]uint64{} {
		s.scale = scale
	}
	if scale == s.scale && s.wide == nil {
		s.add128(lo, hi)
		return
	}
	s.addBig(Decimal{Lo: lo, Hi: hi}.big(), scale)
}

// add128 adds at the scale of s.
func (s *DecimalSum) add128(lo uint64, hi int64) {
	ext := hi >> 63
	var c uint64
	top := int64(s.w[2])
	s.w[0], c = bits.Add64(s.w[0], lo, 0)
	s.w[1], c = bits.Add64(s.w[1], uint64(hi), c)
	sum := top + ext + int64(c)
	// A top word near the edge leaves 192 bits in good time.
	if sum > 1<<61 || sum < -1<<61 {
		s.w[2] = uint64(sum)
		s.widen()
		return
	}
	s.w[2] = uint64(sum)
}

func (s *DecimalSum) addSlow(d Decimal, remove bool) {
	if d.NaN {
		if remove {
			s.nans--
		} else {
			s.nans++
		}
		return
	}
	if remove {
		d = d.Neg()
	}
	if s.wide == nil && d.Scale >= s.scale && s.w == [3]uint64{} {
		s.scale = d.Scale
	}
	if d.Scale < s.scale && s.wide == nil {
		if m, neg := d.mag(); m.hi == 0 {
			if p, ok := scaleUp(m, s.scale-d.Scale); ok && p.hi>>63 == 0 {
				t := fromMag(p, neg, s.scale)
				s.add128(t.Lo, t.Hi)
				return
			}
		}
	}
	if d.Scale == s.scale && s.wide == nil {
		s.add128(d.Lo, d.Hi)
		return
	}
	s.addBig(d.big(), d.Scale)
}

// addBig adds z × 10^-scale, which it may change.
func (s *DecimalSum) addBig(z *big.Int, scale int32) {
	sum := s.big()
	if scale > s.scale {
		sum.Mul(sum, bigPow10(int(scale-s.scale)))
		s.scale = scale
	} else if scale < s.scale {
		z.Mul(z, bigPow10(int(s.scale-scale)))
	}
	s.setBig(sum.Add(sum, z))
}

// big returns the sum as a new big.Int.
func (s *DecimalSum) big() *big.Int {
	if s.wide != nil {
		return new(big.Int).Set(s.wide)
	}
	w, neg := s.w, int64(s.w[2]) < 0
	if neg {
		var b uint64
		w[0], b = bits.Sub64(0, w[0], 0)
		w[1], b = bits.Sub64(0, w[1], b)
		w[2], _ = bits.Sub64(0, w[2], b)
	}
	var buf [24]byte
	binary.BigEndian.PutUint64(buf[:], w[2])
	binary.BigEndian.PutUint64(buf[8:], w[1])
	binary.BigEndian.PutUint64(buf[16:], w[0])
	z := new(big.Int).SetBytes(buf[:])
	if neg {
		z.Neg(z)
	}
	return z
}

func (s *DecimalSum) widen() { s.wide, s.w = s.big(), [3]uint64{} }

func (s *DecimalSum) setBig(z *big.Int) {
	if z.BitLen() > 188 {
		s.wide, s.w = z, [3]uint64{}
		return
	}
	s.wide = nil
	var buf [24]byte
	neg := z.Sign() < 0
	new(big.Int).Abs(z).FillBytes(buf[:])
	s.w = [3]uint64{binary.BigEndian.Uint64(buf[16:]), binary.BigEndian.Uint64(buf[8:]), binary.BigEndian.Uint64(buf[:])}
	if neg {
		var b uint64
		s.w[0], b = bits.Sub64(0, s.w[0], 0)
		s.w[1], b = bits.Sub64(0, s.w[1], b)
		s.w[2], _ = bits.Sub64(0, s.w[2], b)
	}
}

// Merge adds all values of o.
func (s *DecimalSum) Merge(o *DecimalSum) {
	s.n += o.n
	s.nans += o.nans
	if s.wide == nil && s.scale < o.scale && s.w == [3]uint64{} {
		s.scale = o.scale
	}
	if s.wide == nil && o.wide == nil && s.scale == o.scale {
		if t, ok := add192(s.w, o.w); ok {
			s.w = t
			return
		}
	}
	s.addBig(o.big(), o.scale)
}

// Unmerge takes all values of o, which were added, out again.
func (s *DecimalSum) Unmerge(o *DecimalSum) {
	s.n -= o.n
	s.nans -= o.nans
	z := o.big()
	s.addBig(z.Neg(z), o.scale)
}

func add192(a, b [3]uint64) (t [3]uint64, ok bool) {
	var c uint64
	t[0], c = bits.Add64(a[0], b[0], 0)
	t[1], c = bits.Add64(a[1], b[1], c)
	t[2], _ = bits.Add64(a[2], b[2], c)
	top := int64(t[2])
	return t, top <= 1<<61 && top >= -1<<61
}

// Sum returns the sum at the largest scale seen. Beyond 38 digits it is 22003.
// The sum of no value is NULL in SQL, which the caller knows by Count.
func (s *DecimalSum) Sum() (Decimal, error) {
	if s.nans > 0 {
		return nan, nil
	}
	if s.wide == nil && s.w[2] == uint64(int64(s.w[1])>>63) {
		d := Decimal{Lo: s.w[0], Hi: int64(s.w[1]), Scale: s.scale}
		if m, _ := d.mag(); m.less(limit) {
			return d, nil
		}
	}
	return fitBig(s.big(), int(s.scale))
}

// Exact returns the sum if a Decimal holds it without rounding.
func (s *DecimalSum) Exact() (d Decimal, ok bool) {
	if s.nans > 0 {
		return nan, true
	}
	d = Decimal{Lo: s.w[0], Hi: int64(s.w[1]), Scale: s.scale}
	m, _ := d.mag()
	return d, s.wide == nil && s.w[2] == uint64(d.Hi>>63) && m.less(limit)
}

// Avg returns the average with the scale that Postgres gives it. Count is not 0.
func (s *DecimalSum) Avg() (Decimal, error) {
	if s.nans > 0 {
		return nan, nil
	}
	if s.wide == nil && s.w[2] == uint64(int64(s.w[1])>>63) {
		d := Decimal{Lo: s.w[0], Hi: int64(s.w[1]), Scale: s.scale}
		if m, _ := d.mag(); m.less(limit) {
			return d.Div(DecimalFromInt64(s.n))
		}
	}
	return quotient(s.big(), int(s.scale), big.NewInt(s.n))
}

// quotient divides by an integer at Postgres' result scale.
func quotient(a *big.Int, as int, b *big.Int) (Decimal, error) {
	ai, bi := infoOfBig(a, as), infoOfBig(b, 0)
	return divBig(a, as, b, 0, divScale(&ai, &bi, as, 0))
}

// AppendState appends the state in a form that DecodeState reads.
func (s *DecimalSum) AppendState(dst []byte) []byte {
	dst = binary.AppendVarint(dst, s.n)
	dst = binary.AppendVarint(dst, s.nans)
	dst = binary.AppendUvarint(dst, uint64(s.scale))
	if s.wide == nil {
		dst = append(dst, 24)
		for _, w := range s.w {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
		return dst
	}
	// 25 and up: a sign byte and the magnitude, which is wider than w.
	mag := s.wide.Bytes()
	dst = binary.AppendUvarint(dst, uint64(len(mag)+1+25))
	dst = append(dst, byte(s.wide.Sign()+1))
	return append(dst, mag...)
}

// DecodeState reads one state from the start of data and returns the rest.
// Errors are XX001.
func (s *DecimalSum) DecodeState(data []byte) (rest []byte, err error) {
	bad := func() ([]byte, error) {
		return nil, pgerr.New(pgerr.DataCorrupted, "invalid aggregate state of numeric sum")
	}
	*s = DecimalSum{}
	var k int
	if s.n, k = binary.Varint(data); k <= 0 {
		return bad()
	}
	data = data[k:]
	if s.nans, k = binary.Varint(data); k <= 0 {
		return bad()
	}
	data = data[k:]
	scale, k := binary.Uvarint(data)
	if k <= 0 || scale > 4*maxScale {
		return bad()
	}
	s.scale, data = int32(scale), data[k:]
	size, k := binary.Uvarint(data)
	if k <= 0 {
		return bad()
	}
	data = data[k:]
	if size == 24 && len(data) >= 24 {
		for i := range s.w {
			s.w[i] = binary.LittleEndian.Uint64(data[8*i:])
		}
		return data[24:], nil
	}
	if size < 26 || size-25 > uint64(len(data)) {
		return bad()
	}
	size -= 25
	s.wide = new(big.Int).SetBytes(data[1:size])
	if data[0] == 0 {
		s.wide.Neg(s.wide)
	}
	return data[size:], nil
}

// DecimalMoments is DecimalSum with the sum of squares, for variance and
// standard deviation. The zero value is empty.
type DecimalMoments struct {
	Sum    DecimalSum
	square DecimalSum
}

// Add adds d.
func (m *DecimalMoments) Add(d Decimal) {
	m.Sum.Add(d)
	m.addSquare(d, false)
}

// Remove takes d, which was added, out again.
func (m *DecimalMoments) Remove(d Decimal) {
	m.Sum.Remove(d)
	m.addSquare(d, true)
}

// AddInt64 adds v.
func (m *DecimalMoments) AddInt64(v int64) { m.Add(DecimalFromInt64(v)) }

func (m *DecimalMoments) addSquare(d Decimal, remove bool) {
	if d.NaN {
		return
	}
	if mag, _ := d.mag(); mag.hi == 0 && mag.lo < 1<<63 {
		hi, lo := bits.Mul64(mag.lo, mag.lo)
		sq := fromMag(u128{hi, lo}, remove, 2*d.Scale)
		if m.square.wide == nil && m.square.scale == sq.Scale {
			m.square.add128(sq.Lo, sq.Hi)
		} else {
			m.square.addSlow(sq, false)
		}
		return
	}
	z := d.big()
	z.Mul(z, z)
	if remove {
		z.Neg(z)
	}
	m.square.addBig(z, 2*d.Scale)
}

// Merge adds all values of o.
func (m *DecimalMoments) Merge(o *DecimalMoments) {
	m.Sum.Merge(&o.Sum)
	m.square.Merge(&o.square)
}

// Variance returns var_samp or var_pop; ok is false for NULL (too few values).
func (m *DecimalMoments) Variance(sample bool) (v Decimal, ok bool, err error) {
	num, scale, den, ok := m.parts(sample)
	switch {
	case !ok:
		return nan, false, nil
	case m.Sum.nans > 0:
		return nan, true, nil
	case num.Sign() <= 0:
		return Decimal{}, true, nil
	}
	v, err = quotient(num, scale, den)
	return v, true, err
}

// Stddev returns the root of Variance.
func (m *DecimalMoments) Stddev(sample bool) (v Decimal, ok bool, err error) {
	num, scale, den, ok := m.parts(sample)
	switch {
	case !ok:
		return nan, false, nil
	case m.Sum.nans > 0:
		return nan, true, nil
	case num.Sign() <= 0:
		return Decimal{}, true, nil
	}
	ai, bi := infoOfBig(num, scale), infoOfBig(den, 0)
	rscale := divScale(&ai, &bi, scale, 0)
	q := roundDivBig(new(big.Int).Mul(num, bigPow10(rscale-scale)), den)
	v, err = sqrtBig(q, rscale, rscale)
	return v, true, err
}

// parts returns n Σx² - (Σx)² with its scale, and n (n-1) or n².
func (m *DecimalMoments) parts(sample bool) (num *big.Int, scale int, den *big.Int, ok bool) {
	n := m.Sum.n
	if n == 0 || sample && n == 1 {
		return nil, 0, nil, false
	}
	bn := big.NewInt(n)
	sum, sq := m.Sum.big(), m.square.big()
	scale = 2 * int(m.Sum.scale)
	sq.Mul(sq, bigPow10(scale-int(m.square.scale)))
	num = sq.Mul(sq, bn)
	num.Sub(num, sum.Mul(sum, sum))
	den = new(big.Int).Set(bn)
	if sample {
		n--
	}
	return num, scale, den.Mul(den, big.NewInt(n)), true
}

// AppendState appends the state in a form that DecodeState reads.
func (m *DecimalMoments) AppendState(dst []byte) []byte {
	return m.square.AppendState(m.Sum.AppendState(dst))
}

// DecodeState reads one state from the start of data and returns the rest.
func (m *DecimalMoments) DecodeState(data []byte) (rest []byte, err error) {
	if rest, err = m.Sum.DecodeState(data); err != nil {
		return nil, err
	}
	return m.square.DecodeState(rest)
}
