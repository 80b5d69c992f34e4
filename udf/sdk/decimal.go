package udf

import (
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// Decimal is a numeric: an exact decimal number of up to 38 digits, or NaN. Its
// scale, the number of digits behind the point, is part of the value, as in SQL:
// 1.5 and 1.50 are equal and print differently. The zero value is 0. Results that
// need more than 38 digits lose digits behind the point, rounded; results that do
// not fit at all panic with an *Error of code 22003, which ends the statement with it.
//
// The layout is that of the protocol.
type Decimal struct {
	lo    uint64 // of the coefficient in two's complement
	hi    int64
	scale int32
	nan   bool
}

const (
	maxDigits = 38
	maxScale  = 1000
)

var (
	tenTo38 = new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil)
	two64   = new(big.Int).Lsh(big.NewInt(1), 64)
)

func pow10(n int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// NewDecimal returns coef × 10^-scale.
func NewDecimal(coef int64, scale int) Decimal {
	if scale < 0 || scale > maxScale {
		return decimalOf(big.NewInt(coef), scale)
	}
	return Decimal{lo: uint64(coef), hi: coef >> 63, scale: int32(scale)}
}

// DecimalFromBig returns coef × 10^-scale.
func DecimalFromBig(coef *big.Int, scale int) Decimal {
	return decimalOf(new(big.Int).Set(coef), scale)
}

// NaN is the numeric that is not a number.
func NaN() Decimal { return Decimal{nan: true} }

// decimalOf rounds what does not fit; it may change c.
func decimalOf(c *big.Int, scale int) Decimal {
	if scale < 0 {
		if c.Sign() != 0 && scale < -maxDigits {
			overflow()
		}
		c.Mul(c, pow10(int32(min(-scale, maxDigits))))
		scale = 0
	}
	drop := int32(max(scale-maxScale, 0))
	for ; ; drop++ {
		q := c
		if drop > 0 {
			q = roundDiv(c, pow10(drop))
		}
		if q.CmpAbs(tenTo38) < 0 {
			if int(drop) > scale {
				overflow()
			}
			d := Decimal{scale: int32(scale) - drop}
			m := new(big.Int).Mod(q, new(big.Int).Mul(two64, two64)) // two's complement
			d.lo = new(big.Int).Mod(m, two64).Uint64()
			d.hi = int64(new(big.Int).Rsh(m, 64).Uint64())
			return d
		}
	}
}

func overflow() { panic(Errorf("22003", "value overflows numeric format")) }

// roundDiv is a/b, rounded half away from zero.
func roundDiv(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Lsh(r, 1).CmpAbs(b) >= 0 {
		q.Add(q, big.NewInt(int64(a.Sign())))
	}
	return q
}

// ParseDecimal reads a number such as -1.50, 1e6 or NaN.
func ParseDecimal(s string) (d Decimal, err error) {
	bad := func() (Decimal, error) {
		return Decimal{}, Errorf("22P02", "invalid input syntax for type numeric: %q", s)
	}
	t := strings.TrimSpace(s)
	if strings.EqualFold(t, "nan") {
		return NaN(), nil
	}
	exp := 0
	if i := strings.IndexAny(t, "eE"); i >= 0 {
		if exp, err = strconv.Atoi(t[i+1:]); err != nil || exp > 2000 || exp < -2000 {
			return bad()
		}
		t = t[:i]
	}
	digits, frac, _ := strings.Cut(t, ".")
	sign := ""
	if strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+") {
		sign, digits = digits[:1], digits[1:]
	}
	digits += frac
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return bad()
	}
	c, ok := new(big.Int).SetString(sign+digits, 10)
	if !ok {
		return bad()
	}
	defer func() {
		if v := recover(); v != nil {
			e, is := v.(*Error)
			if !is {
				panic(v)
			}
			err = e
		}
	}()
	return decimalOf(c, len(frac)-exp), nil
}

// IsNaN reports NaN.
func (d Decimal) IsNaN() bool { return d.nan }

// Scale is the number of digits behind the point.
func (d Decimal) Scale() int { return int(d.scale) }

// Big returns the number as coefficient × 10^-scale. It is 0 for NaN.
func (d Decimal) Big() (coef *big.Int, scale int) {
	if d.nan {
		return new(big.Int), 0
	}
	c := new(big.Int).Lsh(big.NewInt(d.hi), 64)
	return c.Add(c, new(big.Int).SetUint64(d.lo)), int(d.scale)
}

// small returns a coefficient that fits an int64.
func (d Decimal) small() (int64, bool) { return int64(d.lo), d.hi == int64(d.lo)>>63 && !d.nan }

// Float64 returns the nearest float64.
func (d Decimal) Float64() float64 {
	f, _ := strconv.ParseFloat(d.String(), 64)
	return f
}

// Int64 returns an integral value that fits.
func (d Decimal) Int64() (v int64, ok bool) {
	c, scale := d.Big()
	q, r := new(big.Int).QuoRem(c, pow10(int32(scale)), new(big.Int))
	return q.Int64(), r.Sign() == 0 && q.IsInt64() && !d.nan
}

func (d Decimal) String() string {
	if d.nan {
		return "NaN"
	}
	var s string
	if c, ok := d.small(); ok {
		s = strconv.FormatInt(c, 10)
	} else {
		c, _ := d.Big()
		s = c.String()
	}
	if d.scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if n := int(d.scale) + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	at := len(s) - int(d.scale)
	return sign + s[:at] + "." + s[at:]
}

// MarshalText implements encoding.TextMarshaler.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Decimal) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDecimal(string(b))
	return err
}

// MarshalBinary implements encoding.BinaryMarshaler, for states of aggregates.
func (d Decimal) MarshalBinary() ([]byte, error) { return d.MarshalText() }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (d *Decimal) UnmarshalBinary(b []byte) error { return d.UnmarshalText(b) }

// GoString is for %#v.
func (d Decimal) GoString() string { return fmt.Sprintf("udf.Decimal(%s)", d) }

// aligned returns both coefficients at the larger scale.
func (d Decimal) aligned(e Decimal) (a, b *big.Int, scale int32) {
	a, _ = d.Big()
	b, _ = e.Big()
	scale = max(d.scale, e.scale)
	if d.scale < scale {
		a.Mul(a, pow10(scale-d.scale))
	}
	if e.scale < scale {
		b.Mul(b, pow10(scale-e.scale))
	}
	return a, b, scale
}

// Add returns d + e at the larger of the scales.
func (d Decimal) Add(e Decimal) Decimal {
	if d.nan || e.nan {
		return NaN()
	}
	if d.scale == e.scale {
		lo, carry := bits.Add64(d.lo, e.lo, 0)
		hi, _ := bits.Add64(uint64(d.hi), uint64(e.hi), carry)
		// Two magnitudes below 10^38 cannot overflow 128 bits.
		if s := int64(hi); s < 1<<62 && s > -1<<62 {
			return Decimal{lo: lo, hi: s, scale: d.scale}
		}
	}
	a, b, scale := d.aligned(e)
	return decimalOf(a.Add(a, b), int(scale))
}

// Sub returns d - e at the larger of the scales.
func (d Decimal) Sub(e Decimal) Decimal { return d.Add(e.Neg()) }

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	if !d.nan {
		var borrow uint64
		d.lo, borrow = bits.Sub64(0, d.lo, 0)
		d.hi = -d.hi - int64(borrow)
	}
	return d
}

// Mul returns d × e at the sum of the scales.
func (d Decimal) Mul(e Decimal) Decimal {
	if d.nan || e.nan {
		return NaN()
	}
	a, _ := d.Big()
	b, _ := e.Big()
	return decimalOf(a.Mul(a, b), int(d.scale)+int(e.scale))
}

// Round returns d at scale, rounded half away from zero.
func (d Decimal) Round(scale int) Decimal {
	if d.nan || scale < 0 {
		return d
	}
	c, s := d.Big()
	if scale < s {
		return decimalOf(roundDiv(c, pow10(int32(s-scale))), scale)
	}
	return decimalOf(c.Mul(c, pow10(int32(min(scale, maxScale)-s))), min(scale, maxScale))
}

// Sign returns -1, 0 or 1; 1 for NaN, which is above all numbers.
func (d Decimal) Sign() int {
	switch {
	case d.nan:
		return 1
	case d.hi < 0:
		return -1
	case d.hi == 0 && d.lo == 0:
		return 0
	}
	return 1
}

// Cmp compares by value; NaN equals NaN and is above all numbers.
func (d Decimal) Cmp(e Decimal) int {
	switch {
	case d.nan && e.nan:
		return 0
	case d.nan:
		return 1
	case e.nan:
		return -1
	}
	if x, ok := d.small(); ok && d.scale == e.scale {
		if y, ok := e.small(); ok {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	a, b, _ := d.aligned(e)
	return a.Cmp(b)
}
