package types

import (
	"math"
	"math/big"

	"github.com/volleydb/volley/pgerr"
)

// workBits is the precision of the series below: 38 digits at any magnitude a
// Decimal can have, twice over.
const workBits = 384

// Sqrt returns the square root, correctly rounded, with Postgres' scale.
// Errors are 2201F.
func (d Decimal) Sqrt() (Decimal, error) {
	if d.NaN {
		return nan, nil
	}
	m, neg := d.mag()
	if neg {
		return nan, pgerr.New(pgerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	}
	scale := 0
	if w := infoOf(m, int(d.Scale)).weight; !m.isZero() {
		scale = 16 - ((w+1)*4/2 - 1)
	} else {
		scale = 16 - 1
	}
	return sqrtBig(m.big(), int(d.Scale), min(max(scale, int(d.Scale), 0), maxScale))
}

// sqrtBig returns the root of z × 10^-zs at a scale of which twice is not below zs.
func sqrtBig(z *big.Int, zs, scale int) (Decimal, error) {
	n := new(big.Int).Mul(z, bigPow10(2*scale-zs))
	r := new(big.Int).Sqrt(n)
	// n - r² > r means that the root is above r + 1/2.
	rest := new(big.Int).Sub(n, new(big.Int).Mul(r, r))
	if rest.Cmp(r) > 0 {
		r.Add(r, big.NewInt(1))
	}
	return fitBig(r, scale)
}

// clampScale brings a result scale into Postgres' range.
func clampScale(scale int, atLeast ...int32) int {
	for _, s := range atLeast {
		scale = max(scale, int(s))
	}
	return min(max(scale, 0), maxScale)
}

// Exp returns e^d with Postgres' scale. What does not fit is 22003.
func (d Decimal) Exp() (Decimal, error) {
	if d.NaN {
		return nan, nil
	}
	w := d.Float64() * 0.434294481903252
	if w > maxDigits+1 {
		return nan, errNumericOverflow()
	}
	scale := clampScale(16-int(max(w, -2000)), d.Scale)
	if w < -maxScale-1 {
		return Decimal{Scale: int32(scale)}, nil
	}
	return fitFloat(bigExp(d.bigFloat()), scale)
}

func errLogOf(d Decimal) error {
	what := "a negative number"
	if d.isZero() {
		what = "zero"
	}
	return pgerr.New(pgerr.InvalidArgumentForLog, "cannot take logarithm of %s", what)
}

// Ln returns the natural logarithm with Postgres' scale. Errors are 2201E.
func (d Decimal) Ln() (Decimal, error) {
	if d.NaN {
		return nan, nil
	}
	if d.Sign() <= 0 {
		return nan, errLogOf(d)
	}
	return fitFloat(bigLn(d.bigFloat()), clampScale(16-d.lnWeight(), d.Scale))
}

// Log10 returns the logarithm to base 10.
func (d Decimal) Log10() (Decimal, error) { return DecimalFromInt64(10).LogBase(d) }

// LogBase returns the logarithm of e to base d, which is SQL's log(d, e).
// Errors are 2201E, and 22012 for base 1.
func (d Decimal) LogBase(e Decimal) (Decimal, error) {
	if d.NaN || e.NaN {
		return nan, nil
	}
	for _, x := range []Decimal{d, e} {
		if x.Sign() <= 0 {
			return nan, errLogOf(x)
		}
	}
	base := bigLn(d.bigFloat())
	if base.Sign() == 0 {
		return nan, errDivisionByZero()
	}
	q := newFloat().Quo(bigLn(e.bigFloat()), base)
	return fitFloat(q, clampScale(16-(e.lnWeight()-d.lnWeight()), d.Scale, e.Scale))
}

// lnWeight estimates the decimal exponent of ln(d) as Postgres does, which
// decides about the scale of results.
func (d Decimal) lnWeight() int {
	one := NewDecimal(1, 0)
	if d.Cmp(NewDecimal(9, 1)) >= 0 && d.Cmp(NewDecimal(11, 1)) <= 0 {
		x, _ := d.Sub(one)
		m, _ := x.mag()
		if m.isZero() {
			return 0
		}
		i := infoOf(m, int(x.Scale))
		return i.weight*4 + int(math.Log10(float64(i.first)))
	}
	// By parts, since d itself may be below the range of float8.
	m, _ := d.mag()
	ln := math.Log(float64(m.hi)*(1<<64)+float64(m.lo)) - float64(d.Scale)*math.Ln10
	return int(math.Log10(math.Abs(ln)))
}

// Pow returns d^e: for an integral e at Postgres' scale of at least 16, else
// with at least 16 significant digits. Errors are 2201F and 22003.
func (d Decimal) Pow(e Decimal) (Decimal, error) {
	one := NewDecimal(1, 0)
	switch {
	case d.NaN && !e.NaN && e.isZero(), e.NaN && !d.NaN && d.Equal(one):
		return one, nil
	case d.NaN || e.NaN:
		return nan, nil
	}
	integral := e.Trunc(0).Equal(e)
	switch {
	case d.isZero() && e.Hi < 0:
		return nan, pgerr.New(pgerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	case d.Hi < 0 && !integral:
		return nan, pgerr.New(pgerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	if integral {
		if n, err := e.Int32(); err == nil {
			return d.powInt(int(n))
		}
	}
	if d.isZero() {
		return Decimal{Scale: 16}, nil
	}
	mag := d.Abs()
	ln := newFloat().Mul(bigLn(mag.bigFloat()), e.bigFloat())
	w, _ := ln.Float64()
	w *= 0.434294481903252
	if w > maxDigits+1 {
		return nan, errNumericOverflow()
	}
	if w < -2*maxScale {
		return Decimal{Scale: maxScale}, nil
	}
	r, err := fitFloat(bigExp(ln), clampScale(16-int(w), d.Scale, e.Scale))
	if odd, _ := e.Trunc(0).Mod(NewDecimal(2, 0)); d.Hi < 0 && !odd.isZero() {
		r = r.Neg()
	}
	return r, err
}

// powInt multiplies exactly while the numbers are short, and in workBits beyond.
func (d Decimal) powInt(n int) (Decimal, error) {
	scale := clampScale(16, d.Scale)
	m, neg := d.mag()
	neg = neg && n&1 != 0
	switch {
	case n == 0:
		return NewDecimal(1, 0).extendTo(scale), nil
	case m.isZero():
		return Decimal{Scale: int32(scale)}, nil
	}
	w := float64(n) * (float64(m.digits()) - 1 - float64(d.Scale))
	if w > 1e6 || n > 0 && w > maxDigits+1 {
		return nan, errNumericOverflow()
	}
	abs := n
	if n < 0 {
		abs = -n
	}
	if bits := m.big().BitLen(); bits*abs < 1<<14 {
		z := new(big.Int).Exp(m.big(), big.NewInt(int64(abs)), nil)
		zs := int(d.Scale) * abs
		if neg {
			z.Neg(z)
		}
		if n < 0 {
			num := bigPow10(max(scale+zs, 0))
			if neg {
				num = new(big.Int).Neg(num)
			}
			return fitBig(roundDivBig(num, z.Abs(z)), scale)
		}
		if zs > scale {
			return fitBig(roundDivBig(z, bigPow10(zs-scale)), scale)
		}
		return fitBig(z.Mul(z, bigPow10(scale-zs)), scale)
	}
	mag := fromMag(m, false, d.Scale)
	ln := newFloat().Mul(bigLn(mag.bigFloat()), newFloat().SetInt64(int64(n)))
	if l, _ := ln.Float64(); l > (maxDigits+1)*math.Ln10 {
		return nan, errNumericOverflow()
	} else if l < -2*maxScale*math.Ln10 {
		return Decimal{Scale: int32(scale)}, nil
	}
	r, err := fitFloat(bigExp(ln), scale)
	if neg {
		r = r.Neg()
	}
	return r, err
}

func newFloat() *big.Float { return new(big.Float).SetPrec(workBits) }

func (d Decimal) bigFloat() *big.Float {
	f := newFloat().SetInt(d.big())
	return f.Quo(f, newFloat().SetInt(bigPow10(int(d.Scale))))
}

// fitFloat rounds f to scale.
func fitFloat(f *big.Float, scale int) (Decimal, error) {
	f = newFloat().Mul(f, newFloat().SetInt(bigPow10(scale)))
	half := big.NewFloat(0.5)
	if f.Sign() < 0 {
		half.Neg(half)
	}
	z, _ := f.Add(f, half).Int(nil)
	return fitBig(z, scale)
}

// bigExp sums the series of exp(x / 2^k) and squares k times.
func bigExp(x *big.Float) *big.Float {
	if x.Sign() == 0 {
		return newFloat().SetInt64(1)
	}
	k := max(x.MantExp(nil)+8, 0)
	y := newFloat().SetMantExp(x, -k)
	sum, term := newFloat().SetInt64(1), newFloat().SetInt64(1)
	for i := int64(1); ; i++ {
		term.Mul(term, y)
		term.Quo(term, newFloat().SetInt64(i))
		if term.Sign() == 0 || term.MantExp(nil) < -workBits {
			break
		}
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLn takes the exponent of x off, and square roots until the rest is near 1.
func bigLn(x *big.Float) *big.Float {
	m := newFloat()
	exp := x.MantExp(m)
	// m in [0.5, 1); bring it to [0.7, 1.4] so that ln(1) is exactly 0.
	if m.Cmp(big.NewFloat(0.7)) < 0 {
		m.SetMantExp(m, 1)
		exp--
	}
	roots := 0
	if m.Cmp(big.NewFloat(1)) != 0 {
		for range 6 {
			m.Sqrt(m)
			roots++
		}
	}
	r := atanh2(newFloat().Quo(newFloat().Sub(m, big.NewFloat(1)), newFloat().Add(m, big.NewFloat(1))))
	r.SetMantExp(r, roots)
	if exp != 0 {
		r.Add(r, newFloat().Mul(ln2, newFloat().SetInt64(int64(exp))))
	}
	return r
}

// ln2 is 2 atanh(1/3).
var ln2 = atanh2(newFloat().Quo(big.NewFloat(1), big.NewFloat(3).SetPrec(workBits)))

// atanh2 returns 2 atanh(y) by its series.
func atanh2(y *big.Float) *big.Float {
	sum := newFloat().Set(y)
	if y.Sign() == 0 {
		return sum
	}
	sq, pow := newFloat().Mul(y, y), newFloat().Set(y)
	for i := int64(3); ; i += 2 {
		pow.Mul(pow, sq)
		t := newFloat().Quo(pow, newFloat().SetInt64(i))
		if t.Sign() == 0 || t.MantExp(nil) < y.MantExp(nil)-workBits {
			break
		}
		sum.Add(sum, t)
	}
	return sum.SetMantExp(sum, 1)
}
