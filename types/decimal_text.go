package types

import (
	"strconv"
	"strings"
)

// AppendNumeric appends d with all digits of its scale.
func AppendNumeric(dst []byte, d Decimal) []byte {
	if d.NaN {
		return append(dst, "NaN"...)
	}
	m, neg := d.mag()
	if neg {
		dst = append(dst, '-')
	}
	var buf [40]byte
	digits := buf[:0]
	if m.hi == 0 {
		digits = strconv.AppendUint(digits, m.lo, 10)
	} else {
		q, low := m.divMod64(1e19)
		digits = appendDigits(strconv.AppendUint(digits, q.lo, 10), low, 19)
	}
	point := len(digits) - int(d.Scale)
	if point > 0 {
		dst = append(dst, digits[:point]...)
		if d.Scale == 0 {
			return dst
		}
		dst = append(dst, '.')
		return append(dst, digits[point:]...)
	}
	dst = append(dst, '0', '.')
	for ; point < 0; point++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// AppendScaled appends coef × 10^-scale with all digits of the scale, which is
// not above 100.
func AppendScaled(dst []byte, coef int64, scale int) []byte {
	u := uint64(coef)
	if coef < 0 {
		dst = append(dst, '-')
		u = -u
	}
	if scale == 0 {
		return strconv.AppendUint(dst, u, 10)
	}
	if scale < len(pow10) && pow10[scale].hi == 0 {
		p := pow10[scale].lo
		dst = append(strconv.AppendUint(dst, u/p, 10), '.')
		return appendDigits(dst, u%p, scale)
	}
	dst = append(dst, '0', '.')
	for n := 20; n < scale; n++ {
		dst = append(dst, '0')
	}
	return appendDigits(dst, u, min(scale, 20))
}

// appendDigits appends v in exactly n digits.
func appendDigits(dst []byte, v uint64, n int) []byte {
	var b [20]byte
	for i := n - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, b[:n]...)
}

// ParseNumeric reads a numeric. Errors are 22P02, 22003, and 0A000 for the infinities.
func ParseNumeric[S Chars](s S) (Decimal, error) { return parseNumeric(str(s)) }

func parseNumeric(in string) (Decimal, error) {
	s, neg := in, false
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		neg = s[i] == '-'
		i++
	}
	// Up to 19 digits go into one word; the point may be anywhere.
	start, point := i, -1
	var v uint64
	for ; i < len(s); i++ {
		if c := s[i] - '0'; c < 10 {
			v = v*10 + uint64(c)
		} else if s[i] == '.' && point < 0 {
			point = i
		} else {
			break
		}
	}
	n := i - start
	scale := int32(0)
	if point >= 0 {
		n--
		scale = int32(i - point - 1)
	}
	if i == len(s) && n > 0 && n <= 19 {
		return fromMag(u128{0, v}, neg, scale), nil
	}
	return parseNumericSlow(in, start, neg)
}

// parseNumericSlow reads from i, behind the sign.
func parseNumericSlow(in string, i int, neg bool) (Decimal, error) {
	s := in
	var m u128
	digits, kept, dropped, scale, round := 0, 0, 0, 0, false
	point := false
	for ; i < len(s); i++ {
		if s[i] == '.' && !point {
			point = true
			continue
		}
		if !isDigit(s[i]) {
			break
		}
		c := uint64(s[i] - '0')
		digits++
		if point {
			scale++
		}
		switch {
		case kept == maxDigits:
			if dropped == 0 {
				round = c >= 5
			}
			dropped++
		case kept > 0 || c > 0:
			m, _ = m.mul64(10)
			m, _ = m.add(u128{0, c})
			kept++
		}
	}
	if digits == 0 {
		return parseNumericWord(in, s[i:], neg)
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		eneg := false
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			eneg = s[j] == '-'
			j++
		}
		exp, from := 0, j
		for ; j < len(s) && isDigit(s[j]); j++ {
			exp = min(exp*10+int(s[j]-'0'), 1<<30)
		}
		if j == from {
			return nan, errSyntax("numeric", in)
		}
		if eneg {
			exp = -exp
		}
		scale, i = scale-exp, j
	}
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i != len(s) {
		return nan, errSyntax("numeric", in)
	}
	if round {
		m, _ = m.add(u128{0, 1})
	}
	scale -= dropped
	switch {
	case m.isZero():
		return Decimal{Scale: int32(min(max(scale, 0), maxScale))}, nil
	case scale < 0:
		var ok bool
		if m, ok = scaleUp(m, int32(min(-scale, maxDigits+1))); !ok || !m.less(limit) {
			return nan, errNumericOverflow()
		}
		scale = 0
	case scale > maxScale:
		if n := scale - maxScale; n <= maxDigits {
			m = m.roundDiv(pow10[n])
		} else {
			m = u128{}
		}
		scale = maxScale
	}
	return fit(m, neg, int32(scale))
}

func parseNumericWord(in, s string, neg bool) (Decimal, error) {
	w := trimSpace(s)
	signed := strings.ContainsAny(in, "+-")
	switch {
	case strings.EqualFold(w, "nan") && !signed && w == strings.TrimLeft(w, " "):
		return nan, nil
	case strings.EqualFold(w, "infinity"), strings.EqualFold(w, "inf"):
		return nan, errInfinity("numeric infinity is not supported")
	}
	return nan, errSyntax("numeric", in)
}
