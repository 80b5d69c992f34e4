package types

import (
	"strconv"
	"time"
)

// AppendDate appends a date in ISO style.
func AppendDate(dst []byte, d int32) []byte {
	if !DateFinite(d) {
		return appendInfinity(dst, d > 0)
	}
	y, m, day := dateOf(int64(d))
	dst = appendYMD(dst, y, m, day)
	if y <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendInfinity(dst []byte, positive bool) []byte {
	if !positive {
		dst = append(dst, '-')
	}
	return append(dst, "infinity"...)
}

func appendYMD(dst []byte, y int64, m, d int) []byte {
	if y <= 0 {
		y = 1 - y
	}
	if y < 10000 {
		dst = append2(append2(dst, int(y/100)), int(y%100))
	} else {
		dst = strconv.AppendInt(dst, y, 10)
	}
	dst = append2(append(dst, '-'), m)
	return append2(append(dst, '-'), d)
}

// append2 appends v in two digits; v is below 100.
func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

// AppendTime appends a time of day with up to six decimals.
func AppendTime(dst []byte, t int64) []byte {
	sec := t / usecPerSec
	dst = append2(dst, int(sec/3600))
	dst = append2(append(dst, ':'), int(sec/60%60))
	dst = append2(append(dst, ':'), int(sec%60))
	return appendFraction(dst, int(t%usecPerSec))
}

// appendFraction appends the point and the microseconds without trailing zeros.
func appendFraction(dst []byte, usec int) []byte {
	if usec == 0 {
		return dst
	}
	dst = append(dst, '.')
	dst = append2(dst, usec/10000)
	dst = append2(dst, usec/100%100)
	dst = append2(dst, usec%100)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AppendTimestamp appends a timestamp in ISO style.
func AppendTimestamp(dst []byte, ts int64) []byte {
	if !TimestampFinite(ts) {
		return appendInfinity(dst, ts > 0)
	}
	days, us := splitDay(ts)
	y, m, d := dateOf(days)
	dst = AppendTime(append(appendYMD(dst, y, m, d), ' '), us)
	if y <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

// AppendTimestamptz appends a timestamptz in ISO style as local time of loc
// with its offset. A nil loc is UTC.
func AppendTimestamptz(dst []byte, ts int64, loc *time.Location) []byte {
	if !TimestampFinite(ts) {
		return appendInfinity(dst, ts > 0)
	}
	off := offsetAt(floorDiv(ts, usecPerSec), loc)
	days, us := splitDay(ts)
	// In two steps, since the local time may be outside of 64 bits.
	us += off * usecPerSec
	more, us := splitDay(us)
	y, m, d := dateOf(days + more)
	dst = AppendTime(append(appendYMD(dst, y, m, d), ' '), us)
	dst = appendOffset(dst, off)
	if y <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendOffset appends +hh[:mm[:ss]].
func appendOffset(dst []byte, off int64) []byte {
	sign := byte('+')
	if off < 0 {
		sign, off = '-', -off
	}
	dst = append2(append(dst, sign), int(off/3600))
	if off%3600 != 0 {
		dst = append2(append(dst, ':'), int(off/60%60))
		if off%60 != 0 {
			dst = append2(append(dst, ':'), int(off%60))
		}
	}
	return dst
}

// ParseDate reads a date in any form that Postgres takes under DateStyle ISO,
// MDY. Errors are 22007 and 22008.
func ParseDate[S Chars](s S, o *TextOptions) (int32, error) { return parseDate(str(s), o) }

func parseDate(s string, o *TextOptions) (int32, error) {
	var c civil
	if n := isoDate(s, &c); n == len(s) && n > 0 {
		return int32(daysOf(c.year, c.mon, c.day)), nil
	}
	p, err := parseDatetime(s, "date", o)
	if err != nil {
		return 0, err
	}
	switch p.special {
	case spInfinity:
		return DateInfinity, nil
	case spNegInfinity:
		return DateNegInfinity, nil
	case spEpoch:
		return 0, nil
	}
	if p.have&haveDate != haveDate {
		return 0, p.syntax()
	}
	days := daysOf(p.c.year, p.c.mon, p.c.day)
	if !inDate(days) {
		return 0, p.outOfRange("date")
	}
	return int32(days), nil
}

// ParseTimestamp reads a timestamp; a time zone in it is ignored, as in
// Postgres. Errors are 22007 and 22008.
func ParseTimestamp[S Chars](s S, o *TextOptions) (int64, error) {
	return parseTimestamp(str(s), "timestamp", false, o)
}

// ParseTimestamptz reads a timestamptz; without a zone it is local time of o's
// location. Errors are 22007, 22008, 22009 and 22023.
func ParseTimestamptz[S Chars](s S, o *TextOptions) (int64, error) {
	return parseTimestamp(str(s), "timestamp with time zone", true, o)
}

func parseTimestamp(s, typ string, tz bool, o *TextOptions) (int64, error) {
	var c civil
	if n := isoDate(s, &c); n > 0 {
		if n == len(s) {
			return c.resolve(s, tz, o)
		}
		if (s[n] == ' ' || s[n] == 'T') && len(s) > n+1 {
			k := isoTime(s[n+1:], &c)
			switch rest := s[n+1+k:]; {
			case k == 0:
			case rest == "":
				return c.resolve(s, tz, o)
			case rest == "Z" || rest == "+00":
				ts, ok := c.micros()
				if ok {
					return ts, nil
				}
			}
		}
	}
	p, err := parseDatetime(s, typ, o)
	if err != nil {
		return 0, err
	}
	switch p.special {
	case spInfinity:
		return TimestampInfinity, nil
	case spNegInfinity:
		return TimestampNegInfinity, nil
	case spEpoch:
		return 0, nil
	case spNow:
		ts := o.now().UnixMicro()
		if !tz {
			ts = toLocal(ts, o.Loc())
		}
		return ts, nil
	}
	if p.have&haveDate != haveDate {
		return 0, p.syntax()
	}
	ts, ok := p.c.local()
	if ok && tz {
		switch {
		case p.zone != nil:
			ts = toUTC(ts, p.zone)
		case p.hasOffset:
			ts -= p.offset * usecPerSec
		default:
			ts = toUTC(ts, o.Loc())
		}
	}
	if !ok || !inTimestamp(ts) {
		return 0, p.outOfRange("timestamp")
	}
	return ts, nil
}

// resolve turns a plain ISO value into a timestamp.
func (c *civil) resolve(s string, tz bool, o *TextOptions) (int64, error) {
	ts, ok := c.micros()
	if ok && tz {
		ts = toUTC(ts, o.Loc())
		ok = inTimestamp(ts)
	}
	if !ok {
		return 0, errDatetimeRange("timestamp", s)
	}
	return ts, nil
}

// ParseTime reads a time of day. Errors are 22007 and 22008.
func ParseTime[S Chars](s S, o *TextOptions) (int64, error) { return parseTime(str(s), o) }

func parseTime(s string, o *TextOptions) (int64, error) {
	var c civil
	if n := isoTime(s, &c); n == len(s) && n > 0 {
		return c.timeOfDay(), nil
	}
	p, err := parseDatetime(s, "time", o)
	if err != nil {
		return 0, err
	}
	switch {
	case p.special == spNow:
		_, us := splitDay(toLocal(o.now().UnixMicro(), o.Loc()))
		return us, nil
	case p.special != 0, p.have&haveTime == 0:
		return 0, p.syntax()
	}
	return p.c.timeOfDay(), nil
}

// isoDate reads a valid YYYY-MM-DD at the start of s and returns its length, or 0.
func isoDate(s string, c *civil) int {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return 0
	}
	y1, y2 := pair(s, 0), pair(s, 2)
	m, d := pair(s, 5), pair(s, 8)
	if y1 > 99 || y2 > 99 || m > 99 || d > 99 {
		return 0
	}
	y := y1*100 + y2
	if y == 0 || m < 1 || m > 12 || d < 1 || int(d) > daysIn(int64(y), int(m)) {
		return 0
	}
	c.year, c.mon, c.day = int64(y), int(m), int(d)
	return 10
}

// pair returns the number of two digits at s[i:], something above 99 if they are not.
func pair(s string, i int) uint {
	a, b := uint(s[i]-'0'), uint(s[i+1]-'0')
	if a > 9 || b > 9 {
		return 100
	}
	return a*10 + b
}

// isoTime reads HH:MM:SS[.ffffff] at the start of s and returns its length, or 0
// for what it leaves to the general parser (also 24:00:00 and leap seconds).
func isoTime(s string, c *civil) int {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return 0
	}
	h, m, sec := pair(s, 0), pair(s, 3), pair(s, 6)
	if h > 23 || m > 59 || sec > 59 {
		return 0
	}
	n, us := 8, 0
	if len(s) > 8 && s[8] == '.' {
		scale := 100_000
		for n = 9; n < len(s) && isDigit(s[n]); n++ {
			us += int(s[n]-'0') * scale
			scale /= 10
		}
		if n == 9 || n > 15 {
			return 0
		}
	}
	if n < len(s) && (isDigit(s[n]) || s[n] == ':' || s[n] == '.') {
		return 0
	}
	c.hour, c.min, c.sec, c.usec = int(h), int(m), int(sec), us
	return n
}
