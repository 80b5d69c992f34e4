package storage

import (
	"strconv"
	"unsafe"

	"github.com/volleydb/volley/types"
)

// The fast parsers take the common spelling of a value and report ok false for
// everything else, which then goes to package types. They never accept what it
// would refuse, nor give another value.

// fastInt takes an optional minus and up to 18 digits.
func fastInt(s []byte) (v int64, ok bool) {
	neg := false
	if len(s) > 0 && s[0] == '-' {
		neg = true
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if neg {
		v = -v
	}
	return v, true
}

var exactPow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// fastFloat takes plain decimals with an optional exponent. A mantissa below
// 2^53 times or over an exact power of ten is correctly rounded by one
// operation; longer ones go to strconv.
func fastFloat(s []byte) (v float64, ok bool) {
	whole := s
	neg := false
	if len(s) > 0 && s[0] == '-' {
		neg = true
		s = s[1:]
	}
	var mant uint64
	nd, exp, i := 0, 0, 0
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			break
		}
		mant = mant*10 + uint64(c)
	}
	nd = i
	if i < len(s) && s[i] == '.' {
		i++
		from := i
		for ; i < len(s); i++ {
			c := s[i] - '0'
			if c > 9 {
				break
			}
			mant = mant*10 + uint64(c)
		}
		exp = from - i
		nd += i - from
	}
	if nd == 0 {
		return 0, false
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		eneg := false
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			eneg = s[i] == '-'
			i++
		}
		from, e := i, 0
		for ; i < len(s) && i-from < 5; i++ {
			c := s[i] - '0'
			if c > 9 {
				break
			}
			e = e*10 + int(c)
		}
		if i == from {
			return 0, false
		}
		if eneg {
			e = -e
		}
		exp += e
	}
	if i != len(s) {
		return 0, false
	}
	if nd <= 19 && mant < 1<<53 && exp >= -22 && exp <= 22 {
		v = float64(mant)
		if exp < 0 {
			v /= exactPow10[-exp]
		} else {
			v *= exactPow10[exp]
		}
		if neg {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(whole), len(whole)), 64)
	return v, err == nil && v != 0
}

func two(s []byte, i int) (int, bool) {
	a, b := s[i]-'0', s[i+1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// fastDate takes YYYY-MM-DD of years 1 to 9999.
func fastDate(s []byte) (int32, bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	c, ok1 := two(s, 0)
	y, ok2 := two(s, 2)
	m, ok3 := two(s, 5)
	d, ok4 := two(s, 8)
	y += c * 100
	if !(ok1 && ok2 && ok3 && ok4) || y == 0 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, false
	}
	return civilDays(y, m, d), true
}

func daysIn(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// civilDays counts days since 1970-01-01 in the proleptic Gregorian calendar,
// with years that begin in March so that the leap day comes last.
func civilDays(y, m, d int) int32 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int32(era*146097 + doe - 719468)
}

// fastTimestamp takes YYYY-MM-DD, a blank or T, HH:MM[:SS[.f…]] with up to six
// fraction digits.
func fastTimestamp(s []byte) (int64, bool) {
	if len(s) < 16 || s[10] != ' ' && s[10] != 'T' || s[13] != ':' {
		return 0, false
	}
	day, ok := fastDate(s[:10])
	h, ok1 := two(s, 11)
	mi, ok2 := two(s, 14)
	if !(ok && ok1 && ok2) || h > 23 || mi > 59 {
		return 0, false
	}
	t := (int64(day)*1440 + int64(h)*60 + int64(mi)) * 60e6
	if len(s) == 16 {
		return t, true
	}
	if len(s) < 19 || s[16] != ':' {
		return 0, false
	}
	sec, ok := two(s, 17)
	if !ok || sec > 59 {
		return 0, false
	}
	t += int64(sec) * 1e6
	if len(s) == 19 {
		return t, true
	}
	frac := s[20:]
	if s[19] != '.' || len(frac) == 0 || len(frac) > 6 {
		return 0, false
	}
	f := int64(0)
	for _, c := range frac {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		f = f*10 + int64(c)
	}
	for i := len(frac); i < 6; i++ {
		f *= 10
	}
	return t + f, true
}

func parseInt8(s []byte) (int64, error) {
	if v, ok := fastInt(s); ok {
		return v, nil
	}
	return types.ParseInt8(s)
}

func parseFloat8(s []byte) (float64, error) {
	if v, ok := fastFloat(s); ok {
		return v, nil
	}
	return types.ParseFloat8(s)
}
