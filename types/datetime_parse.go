package types

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// The general reader of dates and times. It takes the input apart into words,
// numbers, dates (numbers and month names joined by - / .), times (with colons)
// and offsets, and gives each to the part of the value that is still open,
// in the order month, day, year.

type special uint8

const (
	spNone special = iota
	spInfinity
	spNegInfinity
	spEpoch
	spNow
)

// What has been read so far.
const (
	haveYear = 1 << iota
	haveMonth
	haveDay
	haveTime
	haveZone
	haveMeridian
	haveEra
	haveWeekday
	haveDate = haveYear | haveMonth | haveDay
)

type datetimeParser struct {
	in, typ   string
	o         *TextOptions
	c         civil
	have      int
	special   special
	textMonth bool
	shortYear bool // written with at most two digits
	bc        bool
	meridian  byte // 'a' or 'p'
	doy       int
	offset    int64 // seconds east
	hasOffset bool
	zone      *time.Location
}

func (p *datetimeParser) syntax() error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input syntax for type %s: \"%s\"", p.typ, p.in)
}

func (p *datetimeParser) field() error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", p.in)
}

func (p *datetimeParser) monthOrDay() error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", p.in).
		WithHint("Perhaps you need a different \"datestyle\" setting.")
}

func (p *datetimeParser) outOfRange(what string) error { return errDatetimeRange(what, p.in) }

func errDatetimeRange(what, s string) error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "%s out of range: \"%s\"", what, s)
}

func parseDatetime(in, typ string, o *TextOptions) (*datetimeParser, error) {
	p := &datetimeParser{in: in, typ: typ, o: o}
	s := trimSpace(in)
	if s == "" || len(s) > 128 {
		return nil, p.syntax()
	}
	for s != "" {
		var err error
		if s, err = p.token(s); err != nil {
			return nil, err
		}
		s = strings.TrimLeft(s, " \t\n\r\v\f,")
	}
	return p, p.finish()
}

// token reads one field at the start of s and returns what follows.
func (p *datetimeParser) token(s string) (string, error) {
	switch c := s[0]; {
	case isDigit(c):
		n := 1
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		if n < len(s) && s[n] == ':' {
			return p.time(s)
		}
		if n+1 < len(s) && (s[n] == '-' || s[n] == '/' || s[n] == '.') && p.have&haveDate != haveDate {
			if s[n] != '.' || !p.fractionOnly(s, n) {
				return p.date(s)
			}
		}
		if n < len(s) && s[n] == '.' {
			m := n + 1
			for m < len(s) && isDigit(s[m]) {
				m++
			}
			return s[m:], p.packed(s[:n], s[n:m])
		}
		if p.typ == "time" && (n == 6 || n == 4) {
			return s[n:], p.packed(s[:n], "")
		}
		return s[n:], p.number(s[:n])
	case c == '+' || c == '-':
		rest := strings.TrimLeft(s[1:], " ")
		if rest != "" && isAlpha(rest[0]) {
			n := alphaRun(rest)
			switch w := strings.ToLower(rest[:n]); {
			case (w == "infinity" || w == "inf") && c == '-':
				return rest[n:], p.setSpecial(spNegInfinity)
			}
			return "", p.syntax()
		}
		return p.offsetToken(s)
	case isAlpha(c):
		return p.word(s)
	case strings.IndexByte("@/.", c) >= 0:
		return s[1:], nil // punctuation is skipped
	}
	return "", p.syntax()
}

// fractionOnly tells 20240131.5 from 31.1.2024.
func (p *datetimeParser) fractionOnly(s string, n int) bool {
	year := n == 4 && len(s) == 8
	for n++; n < len(s); n++ {
		if !isDigit(s[n]) {
			return s[n] != '.' && s[n] != '-' && s[n] != '/'
		}
	}
	return !year // 2024.031 is a day of a year
}

func alphaRun(s string) int {
	n := 0
	for n < len(s) && isAlpha(s[n]) {
		n++
	}
	return n
}

func (p *datetimeParser) set(bit int) error {
	if p.have&bit != 0 {
		return p.syntax()
	}
	p.have |= bit
	return nil
}

func (p *datetimeParser) setSpecial(s special) error {
	if p.have != 0 || p.special != 0 {
		return p.syntax()
	}
	p.special = s
	return nil
}

// date reads fields joined by one separator.
func (p *datetimeParser) date(s string) (string, error) {
	if p.have&haveTime != 0 {
		return "", p.syntax()
	}
	n := 0
	for n < len(s) && (isDigit(s[n]) || isAlpha(s[n]) || s[n] == '-' || s[n] == '/' || s[n] == '.') {
		// A T behind a digit starts the time.
		if s[n]|0x20 == 't' && n > 0 && isDigit(s[n-1]) && (n+1 == len(s) || isDigit(s[n+1])) {
			break
		}
		// So does a zone: 2024-01-31Z, 2024-01-31 has three parts at most.
		if isAlpha(s[n]) && n > 0 && isDigit(s[n-1]) {
			break
		}
		if !isDigit(s[n]) && !isAlpha(s[n]) && p.parts(s[:n]) == 3 {
			break
		}
		n++
	}
	parts := strings.FieldsFunc(s[:n], func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(parts) > 3 {
		return "", p.syntax()
	}
	// Month names first, since they decide what the numbers are.
	for i, f := range parts {
		if isAlpha(f[0]) {
			m := monthNamed(f)
			if m == 0 {
				return "", p.syntax()
			}
			if err := p.month(m); err != nil {
				return "", err
			}
			parts[i] = ""
		}
	}
	for i, f := range parts {
		if f == "" {
			continue
		}
		if i == 0 && len(f) > 4 && len(f) < 8 {
			// A year beyond 9999; a run of digits on its own would be read as packed.
			v, _ := strconv.Atoi(f)
			if err := p.year(v, f); err != nil {
				return "", err
			}
			continue
		}
		if i == 1 && len(parts) == 2 && len(f) == 3 && p.have&haveDate == haveYear {
			p.doy, _ = strconv.Atoi(f)
			p.have |= haveMonth | haveDay
			continue
		}
		if err := p.number(f); err != nil {
			return "", err
		}
	}
	if p.have&haveDate != haveDate {
		return "", p.syntax()
	}
	return s[n:], nil
}

func (p *datetimeParser) parts(s string) int {
	return len(strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '/' || r == '.' }))
}

func (p *datetimeParser) month(m int) error {
	// A number read as the month before the name came is the day.
	if p.have&haveMonth != 0 && !p.textMonth && p.have&haveDay == 0 && p.c.mon >= 1 && p.c.mon <= 31 {
		p.c.day = p.c.mon
		p.have = p.have&^haveMonth | haveDay
	}
	p.textMonth = true
	p.c.mon = m
	return p.set(haveMonth)
}

// number assigns a run of digits to year, month or day, or to the time.
func (p *datetimeParser) number(f string) error {
	if p.have&haveDate == haveDate || len(f) > 4 && p.have&haveDate == 0 {
		return p.packed(f, "")
	}
	v, err := strconv.Atoi(f)
	if err != nil || len(f) > 7 {
		return p.field()
	}
	long := len(f) >= 3
	switch p.have & haveDate {
	case 0:
		if long {
			return p.year(v, f)
		}
		p.c.mon = v
		return p.set(haveMonth)
	case haveYear:
		if len(f) == 3 {
			p.doy = v
			return p.set(haveMonth | haveDay)
		}
		p.c.mon = v
		return p.set(haveMonth)
	case haveMonth:
		if p.textMonth && long {
			return p.year(v, f)
		}
		p.c.day = v
		return p.set(haveDay)
	case haveYear | haveMonth:
		if p.textMonth && long && p.shortYear {
			// 03-Jan-2024 read as year 3: the day came first.
			p.c.day = int(p.c.year)
			p.have = p.have&^haveYear | haveDay
			return p.year(v, f)
		}
		p.c.day = v
		return p.set(haveDay)
	case haveDay, haveYear | haveDay:
		p.c.mon = v
		return p.set(haveMonth)
	}
	return p.year(v, f)
}

func (p *datetimeParser) year(v int, f string) error {
	p.c.year = int64(v)
	p.shortYear = len(f) <= 2
	return p.set(haveYear)
}

// packed reads YYYYMMDD or YYMMDD, and behind a date HHMMSS or HHMM with fraction.
func (p *datetimeParser) packed(f, frac string) error {
	n := len(f)
	if p.have&haveDate != haveDate && (p.typ != "time" || n != 6 && n != 4) {
		if p.have&haveDate != 0 || frac != "" || n < 6 || n == 7 {
			return p.syntax()
		}
		p.c.day, _ = strconv.Atoi(f[n-2:])
		p.c.mon, _ = strconv.Atoi(f[n-4 : n-2])
		y, err := strconv.Atoi(f[:n-4])
		if err != nil {
			return p.field()
		}
		p.have |= haveMonth | haveDay
		return p.year(y, f[:n-4])
	}
	if n != 6 && (n != 4 || frac != "") {
		return p.syntax()
	}
	if err := p.set(haveTime); err != nil {
		return err
	}
	p.c.hour, p.c.min = int(pair(f, 0)), int(pair(f, 2))
	if n == 6 {
		p.c.sec = int(pair(f, 4))
	}
	return p.fraction(frac)
}

// fraction takes .ffff as microseconds.
func (p *datetimeParser) fraction(f string) error {
	if len(f) < 2 {
		return nil
	}
	v, err := strconv.ParseFloat("0"+f, 64)
	if err != nil {
		return p.syntax()
	}
	p.c.usec = int(math.RoundToEven(v * usecPerSec))
	return nil
}

// time reads H:M[:S[.f]].
func (p *datetimeParser) time(s string) (string, error) {
	if err := p.set(haveTime); err != nil {
		return "", err
	}
	var v [3]int
	k := 0
	for {
		n := 0
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		if n == 0 && (k == 0 || s != "") && k < 2 {
			return "", p.syntax()
		}
		if n > 9 {
			return "", p.field()
		}
		v[k], _ = strconv.Atoi(s[:n])
		s = s[n:]
		k++
		if k == 3 || s == "" || s[0] != ':' {
			break
		}
		s = s[1:]
	}
	p.c.hour, p.c.min, p.c.sec = v[0], v[1], v[2]
	if s != "" && s[0] == '.' {
		n := 1
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		if k == 2 { // M:S.f, as Postgres reads it
			p.c.hour, p.c.min, p.c.sec = 0, v[0], v[1]
		}
		if err := p.fraction(s[:n]); err != nil {
			return "", err
		}
		s = s[n:]
	}
	if s != "" && s[0] == ':' {
		return "", p.syntax()
	}
	return s, nil
}

func (p *datetimeParser) word(s string) (string, error) {
	n := alphaRun(s)
	w := strings.ToLower(s[:n])
	rest := s[n:]
	if m := monthNamed(w); m != 0 {
		if rest != "" && (rest[0] == '-' || rest[0] == '/') && len(rest) > 1 && isDigit(rest[1]) && p.have&haveDate == 0 {
			return p.date(s)
		}
		return strings.TrimPrefix(rest, "."), p.month(m)
	}
	if dayNamed(w) >= 0 {
		return strings.TrimPrefix(rest, "."), p.set(haveWeekday)
	}
	switch w {
	case "am", "pm":
		p.meridian = w[0]
		return rest, p.set(haveMeridian)
	case "bc", "ad":
		p.bc = w == "bc"
		return rest, p.set(haveEra)
	case "at", "on":
		return rest, nil
	case "t":
		if (p.have&haveDate == haveDate || p.typ == "time") && p.have&haveTime == 0 && rest != "" {
			return rest, nil
		}
		return "", p.syntax()
	case "infinity", "inf":
		return rest, p.setSpecial(spInfinity)
	case "epoch":
		return rest, p.setSpecial(spEpoch)
	case "now":
		if p.typ != "date" {
			return rest, p.setSpecial(spNow)
		}
		fallthrough
	case "today":
		return rest, p.relativeDay(0)
	case "tomorrow":
		return rest, p.relativeDay(1)
	case "yesterday":
		return rest, p.relativeDay(-1)
	case "allballs":
		p.hasOffset, p.offset = true, 0
		return rest, p.set(haveTime | haveZone)
	case "j", "julian":
		if rest != "" && isDigit(rest[0]) {
			return p.julian(rest)
		}
	}
	return p.zoneWord(s)
}

func (p *datetimeParser) relativeDay(n int64) error {
	days, _ := splitDay(toLocal(p.o.now().UnixMicro(), p.o.Loc()))
	p.c.year, p.c.mon, p.c.day = dateOf(days + n)
	return p.set(haveDate)
}

// julian reads the day number of J2460341.
func (p *datetimeParser) julian(s string) (string, error) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	v, err := strconv.ParseInt(s[:n], 10, 32)
	if err != nil {
		return "", p.field()
	}
	p.c.year, p.c.mon, p.c.day = dateOf(v + minDate)
	return s[n:], p.set(haveDate)
}

// finish checks ranges and settles what depends on several fields.
func (p *datetimeParser) finish() error {
	c := &p.c
	if p.special != 0 {
		if p.have != 0 {
			return p.syntax()
		}
		return nil
	}
	if p.have&haveMeridian != 0 && p.have&haveTime == 0 {
		return p.syntax()
	}
	if p.have&haveDate != 0 {
		if p.have&haveDate != haveDate {
			return p.syntax()
		}
		if err := p.finishDate(); err != nil {
			return err
		}
	}
	if p.meridian != 0 {
		if c.hour > 12 {
			return p.field()
		}
		if c.hour == 12 {
			c.hour = 0
		}
		if p.meridian == 'p' {
			c.hour += 12
		}
	}
	// 24:00:00 and second 60 are accepted and carry over in the sum.
	if p.typ == "time" && c.timeOfDay() > usecPerDay {
		return p.field()
	}
	if c.hour > 24 || c.min > 59 || c.sec > 60 || c.hour == 24 && c.min+c.sec+c.usec > 0 {
		return p.field()
	}
	return nil
}

func (p *datetimeParser) finishDate() error {
	c := &p.c
	switch {
	case p.bc:
		if c.year <= 0 {
			return p.field()
		}
		c.year = 1 - c.year
	case p.shortYear && c.year < 70:
		c.year += 2000
	case p.shortYear && c.year < 100:
		c.year += 1900
	case c.year == 0:
		return p.field()
	}
	if p.doy > 0 {
		if p.doy > 366 {
			return p.field()
		}
		c.year, c.mon, c.day = dateOf(daysOf(c.year, 1, 1) + int64(p.doy) - 1)
	}
	if c.mon < 1 || c.mon > 12 || c.day < 1 || c.day > 31 {
		return p.monthOrDay()
	}
	if c.day > daysIn(c.year, c.mon) {
		return p.field()
	}
	return nil
}
