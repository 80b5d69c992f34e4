package types

import (
	"math"
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// AppendInterval appends v in Postgres' own style: 1 year 2 mons 3 days 04:05:06.
func AppendInterval(dst []byte, v IntervalValue) []byte {
	zero, before := true, false
	part := func(n int32, unit string) {
		if n == 0 {
			return
		}
		if !zero {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, ' ')
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		before, zero = n < 0, false
	}
	part(v.Months/12, "year")
	part(v.Months%12, "mon")
	part(v.Days, "day")
	if !zero && v.Micros == 0 {
		return dst
	}
	if !zero {
		dst = append(dst, ' ')
	}
	us := uint64(v.Micros)
	if v.Micros < 0 {
		dst = append(dst, '-')
		us = -us
	} else if before {
		dst = append(dst, '+')
	}
	sec := us / usecPerSec
	if h := sec / 3600; h < 100 {
		dst = append2(dst, int(h))
	} else {
		dst = strconv.AppendUint(dst, h, 10)
	}
	dst = append2(append(dst, ':'), int(sec/60%60))
	dst = append2(append(dst, ':'), int(sec%60))
	return appendFraction(dst, int(us%usecPerSec))
}

// The masks of ParseIntervalFields, as Postgres' grammar gives them in the
// typmod of interval; several are added up for ranges such as DAY TO HOUR.
const (
	IntervalMonth  int32 = 1 << 1
	IntervalYear   int32 = 1 << 2
	IntervalDay    int32 = 1 << 3
	IntervalHour   int32 = 1 << 10
	IntervalMinute int32 = 1 << 11
	IntervalSecond int32 = 1 << 12
	IntervalFull   int32 = 0x7FFF
)

// ParseInterval reads an interval in Postgres', SQL's or ISO 8601's form.
// Errors are 22007 and 22008 (22015 for a field that is too large).
func ParseInterval[S Chars](s S) (IntervalValue, error) {
	return parseInterval(str(s), IntervalFull)
}

// ParseIntervalFields reads INTERVAL '5' DAY and the like: fields tells the unit
// of a bare number, and what is below the last field is cut off.
func ParseIntervalFields[S Chars](s S, fields int32) (IntervalValue, error) {
	v, err := parseInterval(str(s), fields)
	if err != nil {
		return v, err
	}
	return v.truncateTo(fields), nil
}

func (v IntervalValue) truncateTo(fields int32) IntervalValue {
	switch fields {
	case 0, IntervalFull:
	case IntervalYear:
		v = IntervalValue{Months: v.Months / 12 * 12}
	case IntervalMonth, IntervalYear | IntervalMonth:
		v = IntervalValue{Months: v.Months}
	case IntervalDay:
		v.Micros = 0
	case IntervalHour, IntervalDay | IntervalHour:
		v.Micros = v.Micros / usecPerHour * usecPerHour
	case IntervalMinute, IntervalHour | IntervalMinute, IntervalDay | IntervalHour | IntervalMinute:
		v.Micros = v.Micros / usecPerMin * usecPerMin
	}
	return v
}

type intervalUnit uint8

const (
	uNone intervalUnit = iota
	uMicrosecond
	uMillisecond
	uSecond
	uMinute
	uHour
	uDay
	uWeek
	uMonth
	uYear
	uDecade
	uCentury
	uMillennium
)

// intervalUnits maps names of units to them; plurals are tried by trimming an s.
var intervalUnits = map[string]intervalUnit{
	"us": uMicrosecond, "usec": uMicrosecond, "microsecond": uMicrosecond, "microsecon": uMicrosecond,
	"ms": uMillisecond, "msec": uMillisecond, "millisecond": uMillisecond, "millisecon": uMillisecond,
	"s": uSecond, "sec": uSecond, "second": uSecond,
	"m": uMinute, "min": uMinute, "minute": uMinute,
	"h": uHour, "hr": uHour, "hour": uHour,
	"d": uDay, "day": uDay,
	"w": uWeek, "week": uWeek,
	"mon": uMonth, "month": uMonth,
	"y": uYear, "yr": uYear, "year": uYear,
	"dec": uDecade, "decade": uDecade,
	"c": uCentury, "cent": uCentury, "century": uCentury, "centurie": uCentury,
	"mil": uMillennium, "millennium": uMillennium, "millennia": uMillennium,
}

func unitNamed(w string) intervalUnit {
	w = strings.ToLower(w)
	if u, ok := intervalUnits[w]; ok {
		return u
	}
	if len(w) > 2 && w[len(w)-1] == 's' {
		return intervalUnits[w[:len(w)-1]]
	}
	return uNone
}

// intervalSum adds up fields in wide integers.
type intervalSum struct {
	in                   string
	months, days, micros int64
	seen                 map[intervalUnit]bool
}

func (p *intervalSum) syntax() error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input syntax for type interval: \"%s\"", p.in)
}

func (p *intervalSum) overflow() error {
	return pgerr.New(pgerr.IntervalFieldOverflow, "interval field value out of range: \"%s\"", p.in)
}

// addMul adds n × unit to *to and reports whether that fits.
func addMul(to *int64, n, unit int64) bool {
	hi := n * unit
	if n != 0 && (hi/n != unit || n == -1 && unit == math.MinInt64) {
		return false
	}
	s := *to + hi
	if (s > *to) != (hi > 0) && hi != 0 {
		return false
	}
	*to = s
	return true
}

// addFraction adds f × unit microseconds, rounded.
func (p *intervalSum) addFraction(f, unit float64) bool {
	us := f * unit
	if math.Abs(us) >= 1<<62 {
		return false
	}
	return addMul(&p.micros, int64(math.RoundToEven(us)), 1)
}

// addDays adds f × unit days, the rest as time.
func (p *intervalSum) addDays(f, unit float64) bool {
	d := f * unit
	whole := math.Trunc(d)
	return addMul(&p.days, int64(whole), 1) && p.addFraction(d-whole, usecPerDay)
}

// add adds n units and the fraction f, which has n's sign.
func (p *intervalSum) add(n int64, f float64, u intervalUnit) error {
	ok := true
	years := int64(0)
	switch u {
	case uMicrosecond:
		ok = addMul(&p.micros, n, 1) && p.addFraction(f, 1)
	case uMillisecond:
		ok = addMul(&p.micros, n, 1000) && p.addFraction(f, 1000)
	case uSecond:
		ok = addMul(&p.micros, n, usecPerSec) && p.addFraction(f, usecPerSec)
	case uMinute:
		ok = addMul(&p.micros, n, usecPerMin) && p.addFraction(f, usecPerMin)
	case uHour:
		ok = addMul(&p.micros, n, usecPerHour) && p.addFraction(f, usecPerHour)
	case uDay:
		ok = addMul(&p.days, n, 1) && p.addFraction(f, usecPerDay)
	case uWeek:
		ok = addMul(&p.days, n, 7) && p.addDays(f, 7)
	case uMonth:
		ok = addMul(&p.months, n, 1) && p.addDays(f, 30)
	case uYear:
		years = 1
	case uDecade:
		years = 10
	case uCentury:
		years = 100
	case uMillennium:
		years = 1000
	}
	if years > 0 {
		ok = addMul(&p.months, n, 12*years) && addMul(&p.months, int64(math.RoundToEven(f*float64(12*years))), 1)
	}
	if !ok {
		return p.overflow()
	}
	return nil
}

func (p *intervalSum) value() (IntervalValue, error) {
	if p.days != int64(int32(p.days)) {
		return IntervalValue{}, p.overflow()
	}
	return makeIntervalValue(p.months, p.days, p.micros)
}

func (p *intervalSum) once(u intervalUnit) bool {
	if p.seen[u] {
		return false
	}
	if p.seen == nil {
		p.seen = map[intervalUnit]bool{}
	}
	p.seen[u] = true
	return true
}

func parseInterval(in string, fields int32) (IntervalValue, error) {
	p := &intervalSum{in: in}
	s := trimSpace(in)
	if s == "" || len(s) > 256 {
		return IntervalValue{}, p.syntax()
	}
	if s[0] == 'P' {
		return p.iso(s[1:])
	}
	toks, ok := intervalTokens(s)
	if !ok || len(toks) == 0 {
		return IntervalValue{}, p.syntax()
	}
	if err := p.fields(toks, fields); err != nil {
		return IntervalValue{}, err
	}
	return p.value()
}

// intervalTokens splits into numbers (with sign, colons, hyphen, point) and words.
func intervalTokens(s string) (toks []string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t\n\r\v\f,")
		if s == "" {
			return toks, true
		}
		n := 0
		switch c := s[0]; {
		case c == '@':
			s = s[1:]
			continue
		case isAlpha(c):
			n = alphaRun(s)
		case isDigit(c), c == '.', c == '+', c == '-':
			if c == '+' || c == '-' {
				rest := strings.TrimLeft(s[1:], " ")
				if rest == "" || !isDigit(rest[0]) && rest[0] != '.' {
					return nil, false
				}
				s = s[:1] + rest
				n = 1
			}
			for n < len(s) && (isDigit(s[n]) || s[n] == '.' || s[n] == ':' || s[n] == '-' && isDigit(s[n-1]) && n+1 < len(s) && isDigit(s[n+1])) {
				n++
			}
			if n < len(s) && s[n]|0x20 == 'e' && n+1 < len(s) && (isDigit(s[n+1]) || s[n+1] == '-' || s[n+1] == '+') {
				return nil, false
			}
		default:
			return nil, false
		}
		toks, s = append(toks, s[:n]), s[n:]
	}
}

// fields reads from right to left, as a unit stands behind its number.
func (p *intervalSum) fields(toks []string, mask int32) error {
	unit, ago := uNone, false
	pending := false // a unit waits for its number
	for i := len(toks) - 1; i >= 0; i-- {
		t := toks[i]
		if isAlpha(t[0]) {
			if strings.EqualFold(t, "ago") {
				if pending || i == 0 {
					return p.syntax()
				}
				ago = true
				continue
			}
			unit = unitNamed(t)
			if unit == uNone || pending {
				return p.syntax()
			}
			pending = true
			continue
		}
		if strings.IndexByte(t, ':') >= 0 {
			if pending || !p.once(uHour) || !p.once(uMinute) || !p.once(uSecond) {
				return p.syntax()
			}
			if err := p.clock(t, mask); err != nil {
				return err
			}
			unit = uDay // a number in front of the time is days
			continue
		}
		if j := strings.IndexByte(t[1:], '-'); j >= 0 {
			if pending {
				return p.syntax()
			}
			if err := p.yearMonth(t, j+1); err != nil {
				return err
			}
			continue
		}
		u := unit
		if u == uNone {
			u = unitOfMask(mask)
		}
		if !pending && unit != uNone && unit != uDay {
			return p.syntax()
		}
		if !p.once(u) {
			return p.syntax()
		}
		n, f, err := p.number(t)
		if err != nil {
			return err
		}
		if err := p.add(n, f, u); err != nil {
			return err
		}
		pending, unit = false, u
	}
	if pending {
		return p.syntax()
	}
	if ago {
		if p.months == math.MinInt64 || p.days == math.MinInt64 || p.micros == math.MinInt64 {
			return p.overflow()
		}
		p.months, p.days, p.micros = -p.months, -p.days, -p.micros
	}
	return nil
}

// unitOfMask is the unit of a number without one: the last field of the mask.
func unitOfMask(mask int32) intervalUnit {
	switch {
	case mask == IntervalFull || mask&IntervalSecond != 0:
		return uSecond
	case mask&IntervalMinute != 0:
		return uMinute
	case mask&IntervalHour != 0:
		return uHour
	case mask&IntervalDay != 0:
		return uDay
	case mask&IntervalMonth != 0:
		return uMonth
	case mask&IntervalYear != 0:
		return uYear
	}
	return uSecond
}

// number reads [sign]digits[.digits].
func (p *intervalSum) number(t string) (n int64, f float64, err error) {
	neg := t[0] == '-'
	d := strings.TrimLeft(t, "+-")
	whole, frac, point := strings.Cut(d, ".")
	if whole == "" && frac == "" || strings.Contains(frac, ".") {
		return 0, 0, p.syntax()
	}
	if whole != "" {
		if n, err = strconv.ParseInt(whole, 10, 64); err != nil {
			return 0, 0, p.overflow()
		}
	}
	if point && frac != "" {
		if f, err = strconv.ParseFloat("0."+frac, 64); err != nil {
			return 0, 0, p.syntax()
		}
	}
	if neg {
		n, f = -n, -f
	}
	return n, f, nil
}

// clock reads [sign]H:M[:S[.f]]; H:M is M:S where the mask ends in seconds.
func (p *intervalSum) clock(t string, mask int32) error {
	sign := int64(1)
	if t[0] == '-' {
		sign = -1
	}
	parts := strings.Split(strings.TrimLeft(t, "+-"), ":")
	if len(parts) > 3 {
		return p.syntax()
	}
	frac := 0.0
	var v [3]int64
	last := parts[len(parts)-1]
	if w, fr, ok := strings.Cut(last, "."); ok {
		f, err := strconv.ParseFloat("0."+fr+"0", 64)
		if err != nil {
			return p.syntax()
		}
		frac, parts[len(parts)-1] = f, w
		if len(parts) == 2 {
			parts = []string{"0", parts[0], w}
		}
	} else if len(parts) == 2 && mask == IntervalMinute|IntervalSecond {
		parts = []string{"0", parts[0], last}
	}
	for i, s := range parts {
		if s == "" && i > 0 && i == len(parts)-1 {
			s = "0"
		}
		x, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			if s != "" && strings.Trim(s, "0123456789") == "" {
				return p.overflow()
			}
			return p.syntax()
		}
		v[i] = x
	}
	if v[1] > 59 || v[2] > 60 {
		return p.overflow()
	}
	if !addMul(&p.micros, v[0], sign*usecPerHour) || !addMul(&p.micros, v[1], sign*usecPerMin) ||
		!addMul(&p.micros, v[2], sign*usecPerSec) || !p.addFraction(frac*float64(sign), usecPerSec) {
		return p.overflow()
	}
	return nil
}

// yearMonth reads [sign]Y-M; at is where the hyphen is.
func (p *intervalSum) yearMonth(t string, at int) error {
	sign := int64(1)
	if t[0] == '-' {
		sign = -1
	}
	y, err1 := strconv.ParseInt(strings.TrimLeft(t[:at], "+-"), 10, 64)
	m, err2 := strconv.ParseInt(t[at+1:], 10, 64)
	if err1 != nil || err2 != nil || !p.once(uYear) || !p.once(uMonth) {
		return p.syntax()
	}
	if m > 11 || !addMul(&p.months, y, 12*sign) || !addMul(&p.months, m, sign) {
		return p.overflow()
	}
	return nil
}

// isoDate reads years-months-days without designators and returns what follows.
func (p *intervalSum) isoDate(s string) (string, error) {
	for _, u := range []intervalUnit{uYear, uMonth, uDay} {
		n := 0
		if n < len(s) && (s[n] == '-' || s[n] == '+') {
			n++
		}
		for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
			n++
		}
		if n == 0 {
			return "", p.syntax()
		}
		v, f, err := p.number(s[:n])
		if err == nil {
			err = p.add(v, f, u)
		}
		if err != nil {
			return "", err
		}
		if s = s[n:]; s == "" || s[0] != '-' {
			break
		}
		s = s[1:]
	}
	return s, nil
}

// iso reads what follows P in ISO 8601's form with designators.
func (p *intervalSum) iso(s string) (IntervalValue, error) {
	inTime, any := false, false
	if s == "" {
		return IntervalValue{}, p.syntax()
	}
	for s != "" {
		if s[0] == 'T' && !inTime {
			inTime, any, s = true, true, s[1:]
			if strings.IndexByte(s, ':') >= 0 {
				if err := p.clock(s, IntervalFull); err != nil {
					return IntervalValue{}, err
				}
				break
			}
			continue
		}
		n := 0
		if s[0] == '-' || s[0] == '+' {
			n++
		}
		for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
			n++
		}
		if n == 0 {
			return IntervalValue{}, p.syntax()
		}
		if !inTime && !any && (n == len(s) || s[n] == '-' || s[n] == 'T') {
			rest, err := p.isoDate(s)
			if err != nil {
				return IntervalValue{}, err
			}
			s, any = rest, true
			continue
		}
		if n == len(s) {
			return IntervalValue{}, p.syntax()
		}
		u := uNone
		switch s[n] {
		case 'Y':
			u = uYear
		case 'M':
			u = uMonth
		case 'W':
			u = uWeek
		case 'D':
			u = uDay
		}
		if inTime {
			switch s[n] {
			case 'H':
				u = uHour
			case 'M':
				u = uMinute
			case 'S':
				u = uSecond
			default:
				u = uNone
			}
		}
		if u == uNone {
			return IntervalValue{}, p.syntax()
		}
		v, f, err := p.number(s[:n])
		if err != nil {
			return IntervalValue{}, err
		}
		if err := p.add(v, f, u); err != nil {
			return IntervalValue{}, err
		}
		s, any = s[n+1:], true
	}
	if !any {
		return IntervalValue{}, p.syntax()
	}
	return p.value()
}
