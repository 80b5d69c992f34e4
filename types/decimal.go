package types

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/volleydb/volley/pgerr"
)

// Volley's numeric holds 38 significant digits, where Postgres holds any
// number. An operation computes the exact value at the scale that Postgres
// would give it; if that takes more than 38 digits, fractional digits are
// rounded off (half away from zero) until it fits, and if the integer part
// alone does not fit the error is 22003. There are no infinities.

// maxDigits bounds the digits of a coefficient; maxScale is the largest scale,
// as numeric(p,s) admits it.
const (
	maxDigits = 38
	maxScale  = 1000
)

// limit is the first magnitude that is too large.
var limit = pow10[maxDigits]

func errNumericOverflow() error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value overflows numeric format")
}

func errDivisionByZero() error { return pgerr.New(pgerr.DivisionByZero, "division by zero") }

// nan is the NaN.
var nan = Decimal{NaN: true}

// NewDecimal returns coef × 10^-scale, scale between 0 and 1000.
func NewDecimal(coef int64, scale int32) Decimal {
	return Decimal{Lo: uint64(coef), Hi: coef >> 63, Scale: scale}
}

// DecimalFromInt64 returns v with scale 0.
func DecimalFromInt64(v int64) Decimal { return NewDecimal(v, 0) }

// small reports that the coefficient fits in an int64.
func (d Decimal) small() bool { return d.Hi == int64(d.Lo)>>63 }

// isInt64 reports a small coefficient that is a number.
func (d Decimal) isInt64() bool { return d.small() && !d.NaN }

// Valid reports whether d keeps to the bounds of Decimal; one that came from
// outside may not.
func (d Decimal) Valid() bool {
	if d.NaN {
		return d == nan
	}
	m, _ := d.mag()
	return m.less(limit) && d.Scale >= 0 && d.Scale <= maxScale
}

func (d Decimal) isZero() bool { return d.Lo|uint64(d.Hi) == 0 && !d.NaN }

// mag returns the magnitude of the coefficient and whether it is negative.
func (d Decimal) mag() (u128, bool) {
	if d.Hi >= 0 {
		return u128{uint64(d.Hi), d.Lo}, false
	}
	lo, b := bits.Sub64(0, d.Lo, 0)
	hi, _ := bits.Sub64(0, uint64(d.Hi), b)
	return u128{hi, lo}, true
}

// fromMag makes a Decimal of a magnitude below limit.
func fromMag(m u128, neg bool, scale int32) Decimal {
	if neg {
		lo, b := bits.Sub64(0, m.lo, 0)
		hi, _ := bits.Sub64(0, m.hi, b)
		m = u128{hi, lo}
	}
	return Decimal{Lo: m.lo, Hi: int64(m.hi), Scale: scale}
}

// fit makes a Decimal of any magnitude, rounding fractional digits off if it must.
func fit(m u128, neg bool, scale int32) (Decimal, error) {
	if !m.less(limit) {
		if scale == 0 {
			return nan, errNumericOverflow()
		}
		m, scale = m.roundDiv(pow10[1]), scale-1
	}
	return fromMag(m, neg, scale), nil
}

// fitBig is fit for the value z × 10^-scale, where scale may be anything.
func fitBig(z *big.Int, scale int) (Decimal, error) {
	neg := z.Sign() < 0
	abs := new(big.Int).Abs(z)
	if scale < 0 {
		if abs.Sign() != 0 && scale < -maxDigits {
			return nan, errNumericOverflow()
		}
		if abs.Sign() != 0 {
			abs.Mul(abs, bigPow10(-scale))
		}
		scale = 0
	}
	drop := max(scale-maxScale, 0)
	if bits := abs.BitLen(); bits > 126 {
		// The estimate may be one too low, which the loop mends.
		drop = max(drop, int(float64(bits-1)*math.Log10(2))-maxDigits)
	}
	for ; ; drop++ {
		q := roundDivBig(abs, bigPow10(drop))
		if u, ok := u128FromBig(q); ok && u.less(limit) {
			if scale < drop {
				return nan, errNumericOverflow()
			}
			return fromMag(u, neg, int32(scale-drop)), nil
		}
	}
}

// bigPow10 returns 10^n, which the caller must not change.
func bigPow10(n int) *big.Int {
	if n < len(bigPow10s) {
		return bigPow10s[n]
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

var bigPow10s = func() (p [80]*big.Int) {
	p[0] = big.NewInt(1)
	for i := 1; i < len(p); i++ {
		p[i] = new(big.Int).Mul(p[i-1], big.NewInt(10))
	}
	return p
}()

// roundDivBig returns a/b rounded half away from zero; b is positive.
func roundDivBig(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Lsh(r, 1).CmpAbs(b) >= 0 {
		q.Add(q, big.NewInt(int64(a.Sign())))
	}
	return q
}

// big returns the coefficient.
func (d Decimal) big() *big.Int {
	m, neg := d.mag()
	z := m.big()
	if neg {
		z.Neg(z)
	}
	return z
}

// bigAt returns the coefficient at a scale that is not below d's.
func (d Decimal) bigAt(scale int32) *big.Int {
	z := d.big()
	return z.Mul(z, bigPow10(int(scale-d.Scale)))
}

// scaleUp returns m × 10^n and false if that exceeds 128 bits.
func scaleUp(m u128, n int32) (u128, bool) {
	switch {
	case n == 0 || m.isZero():
		return m, true
	case n > maxDigits:
		return m, false
	}
	return m.mul(pow10[n])
}

// Add returns d + e at the larger of the scales.
func (d Decimal) Add(e Decimal) (Decimal, error) {
	if d.Scale == e.Scale && d.isInt64() && e.isInt64() {
		lo, c := bits.Add64(d.Lo, e.Lo, 0)
		return Decimal{Lo: lo, Hi: d.Hi + e.Hi + int64(c), Scale: d.Scale}, nil
	}
	return d.addSlow(e)
}

// Sub returns d - e at the larger of the scales.
func (d Decimal) Sub(e Decimal) (Decimal, error) {
	if d.Scale == e.Scale && d.isInt64() && e.isInt64() {
		lo, b := bits.Sub64(d.Lo, e.Lo, 0)
		return Decimal{Lo: lo, Hi: d.Hi - e.Hi - int64(b), Scale: d.Scale}, nil
	}
	return d.addSlow(e.Neg())
}

func (d Decimal) addSlow(e Decimal) (Decimal, error) {
	if d.NaN || e.NaN {
		return nan, nil
	}
	scale := max(d.Scale, e.Scale)
	dm, dneg := d.mag()
	em, eneg := e.mag()
	dm, ok1 := scaleUp(dm, scale-d.Scale)
	em, ok2 := scaleUp(em, scale-e.Scale)
	if ok1 && ok2 {
		if dneg == eneg {
			if sum, ok := dm.add(em); ok {
				return fit(sum, dneg, scale)
			}
		} else if dm.less(em) {
			return fit(em.sub(dm), eneg, scale)
		} else {
			return fit(dm.sub(em), dneg, scale)
		}
	}
	z := d.bigAt(scale)
	return fitBig(z.Add(z, e.bigAt(scale)), int(scale))
}

// Mul returns d × e at the sum of the scales.
func (d Decimal) Mul(e Decimal) (Decimal, error) {
	if d.NaN || e.NaN {
		return nan, nil
	}
	scale := d.Scale + e.Scale
	dm, dneg := d.mag()
	em, eneg := e.mag()
	neg := dneg != eneg
	if dm.hi|em.hi == 0 && scale <= maxScale {
		hi, lo := bits.Mul64(dm.lo, em.lo)
		return fit(u128{hi, lo}, neg, scale)
	}
	if p, ok := dm.mul(em); ok && scale <= maxScale {
		return fit(p, neg, scale)
	}
	z := d.big()
	return fitBig(z.Mul(z, e.big()), int(scale))
}

// divScale is the scale that Postgres gives a quotient: at least 16 significant
// digits, counted in its groups of four, and no less than either operand's.
func divScale(a, b *digitInfo, as, bs int) int {
	w := a.weight - b.weight
	if a.first <= b.first {
		w--
	}
	return min(max(16-4*w, as, bs, 0), maxScale)
}

// digitInfo tells what Postgres sees first of a number: the exponent of its
// first base-10000 digit, and that digit. Both are 0 for zero.
type digitInfo struct{ weight, first int }

func infoOf(m u128, scale int) digitInfo {
	nd := m.digits()
	if nd == 0 {
		return digitInfo{}
	}
	p := nd - 1 - scale
	w := p >> 2
	if e := nd - 1 - p&3; e >= 0 {
		m, _ = m.divMod(pow10[e])
		return digitInfo{w, int(m.lo)}
	} else {
		return digitInfo{w, int(m.lo * pow10[-e].lo)}
	}
}

func infoOfBig(z *big.Int, scale int) digitInfo {
	if z.Sign() == 0 {
		return digitInfo{}
	}
	s := new(big.Int).Abs(z).Text(10)
	p := len(s) - 1 - scale
	n := p&3 + 1
	for len(s) < n {
		s += "0"
	}
	first, _ := strconv.Atoi(s[:n])
	return digitInfo{p >> 2, first}
}

// Div returns d / e with Postgres' result scale, rounded. Division by zero is 22012.
func (d Decimal) Div(e Decimal) (Decimal, error) {
	if d.NaN || e.NaN {
		return nan, nil
	}
	if e.isZero() {
		return nan, errDivisionByZero()
	}
	dm, dneg := d.mag()
	em, eneg := e.mag()
	di, ei := infoOf(dm, int(d.Scale)), infoOf(em, int(e.Scale))
	scale := int32(divScale(&di, &ei, int(d.Scale), int(e.Scale)))
	if n, ok := scaleUp(dm, scale+e.Scale-d.Scale); ok {
		return fit(n.roundDiv(em), dneg != eneg, scale)
	}
	return divBig(d.big(), int(d.Scale), e.big(), int(e.Scale), int(scale))
}

// divBig returns the quotient of two scaled numbers at a scale not below as.
func divBig(a *big.Int, as int, b *big.Int, bs, scale int) (Decimal, error) {
	n := new(big.Int).Mul(a, bigPow10(scale+bs-as))
	if b.Sign() < 0 {
		n.Neg(n)
	}
	return fitBig(roundDivBig(n, new(big.Int).Abs(b)), scale)
}

// DivTrunc is SQL's div(): the quotient truncated to an integer.
func (d Decimal) DivTrunc(e Decimal) (Decimal, error) {
	q, _, err := d.quoRem(e)
	return q, err
}

// Mod returns the remainder of DivTrunc, which has d's sign, at the larger scale.
func (d Decimal) Mod(e Decimal) (Decimal, error) {
	_, r, err := d.quoRem(e)
	return r, err
}

func (d Decimal) quoRem(e Decimal) (q, r Decimal, err error) {
	if d.NaN || e.NaN {
		return nan, nan, nil
	}
	if e.isZero() {
		return nan, nan, errDivisionByZero()
	}
	scale := max(d.Scale, e.Scale)
	dm, dneg := d.mag()
	em, eneg := e.mag()
	dm, ok1 := scaleUp(dm, scale-d.Scale)
	em, ok2 := scaleUp(em, scale-e.Scale)
	if ok1 && ok2 {
		qm, rm := dm.divMod(em)
		if q, err = fit(qm, dneg != eneg, 0); err == nil {
			r, err = fit(rm, dneg, scale)
		}
		return q, r, err
	}
	qz, rz := new(big.Int).QuoRem(d.bigAt(scale), e.bigAt(scale), new(big.Int))
	if q, err = fitBig(qz, 0); err == nil {
		r, err = fitBig(rz, int(scale))
	}
	return q, r, err
}

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	m, neg := d.mag()
	r := fromMag(m, !neg, d.Scale)
	r.NaN = d.NaN
	return r
}

// Abs returns the magnitude of d.
func (d Decimal) Abs() Decimal {
	if d.Hi < 0 {
		return d.Neg()
	}
	return d
}

// Sign returns -1, 0 or 1; 1 for NaN, which is greater than every number.
func (d Decimal) Sign() int {
	switch {
	case d.NaN:
		return 1
	case d.Hi < 0:
		return -1
	case d.isZero():
		return 0
	}
	return 1
}

// Cmp compares by value; NaN equals NaN and is greater than every number.
func (d Decimal) Cmp(e Decimal) int {
	if d.Scale == e.Scale && !d.NaN && !e.NaN {
		switch {
		case d.Hi < e.Hi || d.Hi == e.Hi && d.Lo < e.Lo:
			return -1
		case d.Hi == e.Hi && d.Lo == e.Lo:
			return 0
		}
		return 1
	}
	return d.cmpSlow(e)
}

func (d Decimal) cmpSlow(e Decimal) int {
	if d.NaN || e.NaN {
		return CompareBool(d.NaN, e.NaN)
	}
	ds, es := d.Sign(), e.Sign()
	if ds != es {
		return CompareInt(int16(ds), int16(es))
	}
	scale := max(d.Scale, e.Scale)
	dm, _ := d.mag()
	em, _ := e.mag()
	dm, ok1 := scaleUp(dm, scale-d.Scale)
	em, ok2 := scaleUp(em, scale-e.Scale)
	switch {
	case ok1 && ok2:
		return ds * dm.cmp(em)
	case ok1: // e did not fit in 128 bits, d did
		return -ds
	}
	return ds
}

// FloorAt returns the greatest integer c with c × 10^-scale not above d, and
// whether they are equal. ok is false for NaN and if c does not fit.
func (d Decimal) FloorAt(scale int32) (c int64, exact, ok bool) {
	if d.NaN {
		return 0, false, false
	}
	m, neg := d.mag()
	exact = true
	if n := scale - d.Scale; n >= 0 {
		if m, ok = scaleUp(m, n); !ok {
			return 0, false, false
		}
	} else {
		q, r := u128{}, m
		if -n <= maxDigits {
			q, r = m.divMod(pow10[-n])
		}
		m, exact = q, r.isZero()
		if neg && !exact {
			m, _ = m.add(u128{0, 1})
		}
	}
	e := fromMag(m, neg, 0)
	return int64(e.Lo), exact, m.hi == 0 && (e.Hi == int64(e.Lo)>>63)
}

// Equal reports d = e in SQL.
func (d Decimal) Equal(e Decimal) bool { return d.Cmp(e) == 0 }

// Normalize removes trailing zeros behind the point, so that equal values
// become identical: the form to hash and to compare bitwise.
func (d Decimal) Normalize() Decimal {
	if d.NaN {
		return nan
	}
	if d.small() {
		c, s := int64(d.Lo), d.Scale
		for s > 0 && c%10 == 0 {
			c /= 10
			s--
			if c == 0 {
				s = 0
			}
		}
		return NewDecimal(c, s)
	}
	m, neg := d.mag()
	s := d.Scale
	for s > 0 {
		q, r := m.divMod64(10)
		if r != 0 {
			break
		}
		m, s = q, s-1
	}
	return fromMag(m, neg, s)
}

// String returns the text of d.
func (d Decimal) String() string { return string(AppendNumeric(nil, d)) }
