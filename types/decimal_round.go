package types

import (
	"math"
	"strconv"

	"github.com/volleydb/volley/pgerr"
)

type rounding uint8

const (
	halfUp   rounding = iota // half away from zero
	truncate                 // towards zero
	away                     // away from zero
)

// dropTo returns d at a scale below its own, which may be negative; the result's
// scale is not.
func (d Decimal) dropTo(scale int, how rounding) (Decimal, error) {
	m, neg := d.mag()
	n := int(d.Scale) - scale
	if n > maxDigits {
		if how == away && !m.isZero() && scale == 0 {
			return fromMag(u128{0, 1}, neg, 0), nil
		}
		return Decimal{Scale: int32(max(scale, 0))}, nil
	}
	q, r := m.divMod(pow10[n])
	if how == halfUp && !r.less(pow10[n].sub(r)) || how == away && !r.isZero() {
		q, _ = q.add(u128{0, 1})
	}
	if scale < 0 {
		var ok bool
		if q, ok = scaleUp(q, int32(-scale)); !ok {
			return nan, errNumericOverflow()
		}
		scale = 0
	}
	return fit(q, neg, int32(scale))
}

// extendTo returns d at a larger scale, or the largest at which it fits.
func (d Decimal) extendTo(scale int) Decimal {
	m, neg := d.mag()
	n := min(scale, maxScale) - int(d.Scale)
	if !m.isZero() {
		n = min(n, maxDigits-m.digits())
	}
	if n > 0 {
		m, _ = scaleUp(m, int32(n))
		d = fromMag(m, neg, d.Scale+int32(n))
	}
	return d
}

func (d Decimal) toScale(scale int, how rounding) (Decimal, error) {
	switch {
	case d.NaN:
		return nan, nil
	case scale >= int(d.Scale):
		return d.extendTo(scale), nil
	}
	return d.dropTo(max(scale, -maxDigits-1), how)
}

// Round returns d at scale, rounded half away from zero; a negative scale
// rounds left of the point.
func (d Decimal) Round(scale int) (Decimal, error) { return d.toScale(scale, halfUp) }

// Trunc returns d at scale, truncated towards zero.
func (d Decimal) Trunc(scale int) Decimal {
	d, _ = d.toScale(scale, truncate) // cannot grow
	return d
}

// Ceil returns the least integer not below d.
func (d Decimal) Ceil() (Decimal, error) {
	if d.Hi < 0 {
		return d.Trunc(0), nil
	}
	return d.toScale(0, away)
}

// Floor returns the greatest integer not above d.
func (d Decimal) Floor() (Decimal, error) {
	if d.Hi < 0 {
		return d.toScale(0, away)
	}
	return d.Trunc(0), nil
}

// RoundNumeric applies numeric(precision, scale) to d. What does not fit is 22003.
func RoundNumeric(d Decimal, precision, scale int) (Decimal, error) {
	if d.NaN || precision >= maxDigits && int(d.Scale) == scale {
		return d, nil
	}
	if int(d.Scale) != scale || scale < 0 {
		var err error
		if d, err = d.toScale(scale, halfUp); err != nil {
			return nan, errFieldOverflow(precision, scale)
		}
	}
	m, _ := d.mag()
	// Digits above the scale: with a negative scale the precision counts those left of it.
	room := precision
	if scale < 0 {
		room = precision - scale
	}
	if room < maxDigits && !m.less(pow10[max(room, 0)]) {
		return nan, errFieldOverflow(precision, scale)
	}
	if int(d.Scale) < scale && !m.isZero() {
		// Fewer than scale digits fit in 38; the integer part decides.
		if m.digits()-int(d.Scale) > precision-scale {
			return nan, errFieldOverflow(precision, scale)
		}
	}
	return d, nil
}

func errFieldOverflow(precision, scale int) error {
	bound := "1"
	if n := precision - scale; n != 0 {
		bound = "10^" + strconv.Itoa(n)
	}
	return pgerr.New(pgerr.NumericValueOutOfRange, "numeric field overflow").
		WithDetail("A field with precision %d, scale %d must round to an absolute value less than %s.", precision, scale, bound)
}

// Int64 rounds d to an integer. Errors are 22003, and 0A000 for NaN.
func (d Decimal) Int64() (int64, error) { return d.toInt(math.MinInt64, math.MaxInt64, "bigint") }

// Int32 is Int64 for integer.
func (d Decimal) Int32() (int32, error) {
	v, err := d.toInt(math.MinInt32, math.MaxInt32, "integer")
	return int32(v), err
}

// Int16 is Int64 for smallint.
func (d Decimal) Int16() (int16, error) {
	v, err := d.toInt(math.MinInt16, math.MaxInt16, "smallint")
	return int16(v), err
}

func (d Decimal) toInt(lo, hi int64, typ string) (int64, error) {
	if d.NaN {
		return 0, pgerr.New(pgerr.FeatureNotSupported, "cannot convert NaN to %s", typ)
	}
	if d.Scale > 0 {
		var err error
		if d, err = d.dropTo(0, halfUp); err != nil {
			return 0, errOutOfRange(typ)
		}
	}
	if v := int64(d.Lo); d.small() && v >= lo && v <= hi {
		return v, nil
	}
	return 0, errOutOfRange(typ)
}

var floatPow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Float64 returns the nearest float8.
func (d Decimal) Float64() float64 {
	if d.NaN {
		return math.NaN()
	}
	if c := int64(d.Lo); d.small() && c > -1<<53 && c < 1<<53 && int(d.Scale) < len(floatPow10) {
		return float64(c) / floatPow10[d.Scale] // both exact, so rounded once
	}
	var buf [64]byte
	t := d
	t.Scale = 0
	b := AppendNumeric(buf[:0], t)
	b = append(b, 'e')
	b = strconv.AppendInt(b, -int64(d.Scale), 10)
	v, _ := strconv.ParseFloat(str(b), 64)
	return v
}

// Float32 returns the nearest float4.
func (d Decimal) Float32() float32 {
	if d.NaN {
		return float32(math.NaN())
	}
	v, _ := strconv.ParseFloat(d.String(), 32)
	return float32(v)
}

// DecimalFromFloat64 converts 15 significant digits, as Postgres does. What
// exceeds the range is 22003, an infinity 0A000.
func DecimalFromFloat64(v float64) (Decimal, error) { return decimalFromFloat(v, 15) }

// DecimalFromFloat32 converts 6 significant digits, as Postgres does.
func DecimalFromFloat32(v float32) (Decimal, error) { return decimalFromFloat(float64(v), 6) }

func decimalFromFloat(v float64, digits int) (Decimal, error) {
	switch {
	case math.IsNaN(v):
		return nan, nil
	case math.IsInf(v, 0):
		return nan, errInfinity("cannot convert infinity to numeric")
	}
	if v == math.Trunc(v) && math.Abs(v) < floatPow10[digits] {
		return NewDecimal(int64(v), 0), nil
	}
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], v, 'e', digits-1, 64)
	// Trailing zeros of the mantissa do not count.
	e := len(b) - 1
	for b[e] != 'e' {
		e--
	}
	m := e
	for b[m-1] == '0' {
		m--
	}
	if b[m-1] == '.' {
		m--
	}
	return ParseNumeric(append(b[:m], b[e:]...))
}

func errInfinity(msg string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "%s", msg).
		WithHint("Volley's numeric has no infinities; double precision has.")
}
