package types

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

// fromChar collects what a template read from a text. Zero is absent, as in Postgres.
type fromChar struct {
	in                                  string
	s                                   string
	extra                               int // characters skipped beyond the template's
	year                                int
	month, day, doy, hour, min, sec     int
	us                                  int
	ssss, julian, week, weekOfMonth     int
	isoYear, isoWeek                    int
	isoDay, isoDoy                      int
	pm, clock12, bc                     bool
	tzSign, tzHour, tzMin               int
	hasTZ, isoUsed, gregUsed, hasJulian bool
	hasSSSS                             bool
}

// ParseTimestamptz is to_timestamp(text, text): local time of loc unless TZH
// gives the offset. Errors are 22007, 22008 and 0A000.
func (f *DateFormat) ParseTimestamptz(s string, loc *time.Location) (int64, error) {
	p := fromChar{in: s}
	if err := p.read(f); err != nil {
		return 0, err
	}
	c, err := p.civil()
	if err != nil {
		return 0, err
	}
	ts, ok := c.micros()
	if p.hasTZ {
		ts -= int64(p.tzSign*(p.tzHour*3600+p.tzMin*60)) * usecPerSec
	} else {
		ts = toUTC(ts, loc)
	}
	if !ok || !inTimestamp(ts) {
		return 0, errTimestamp()
	}
	return ts, nil
}

// ParseDate is to_date(text, text).
func (f *DateFormat) ParseDate(s string) (int32, error) {
	p := fromChar{in: s}
	if err := p.read(f); err != nil {
		return 0, err
	}
	c, err := p.civil()
	if err != nil {
		return 0, err
	}
	days := int64(minDate - 1)
	if c.year > -5000 && c.year < 5900000 {
		days = daysOf(c.year, c.mon, c.day)
	}
	if !inDate(days) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range: \"%s\"", s)
	}
	return int32(days), nil
}

func (p *fromChar) skipSpace() (n int) {
	for p.s != "" && isSpace(p.s[0]) {
		p.s = p.s[1:]
		n++
	}
	return n
}

func (p *fromChar) skipChar() {
	_, k := utf8.DecodeRuneInString(p.s)
	p.s = p.s[k:]
}

func (p *fromChar) read(f *DateFormat) error {
	p.s = p.in
	fx, extra := false, 0
	for i := 0; i < len(f.nodes) && p.s != ""; i++ {
		n := &f.nodes[i]
		action := n.key > dSeparator
		if !fx && n.key != dFX && (action || i == 0) {
			extra += p.skipSpace()
		}
		switch n.key {
		case dSeparator:
			switch {
			case fx:
				p.skipChar()
			case p.s != "" && (isSpace(p.s[0]) || isSeparator(p.s[0])):
				p.s = p.s[1:] // in place of what the template has
			default:
				extra--
			}
			continue
		case dLiteral:
			// Text need not match; it only takes its place.
			if !fx && extra > 0 {
				extra--
			} else if p.s != "" {
				p.skipChar()
			}
			continue
		case dFX:
			fx = true
			continue
		}
		if p.s == "" {
			break
		}
		free := n.fm || n.th != "" || i+1 == len(f.nodes)
		if !free {
			next := &f.nodes[i+1]
			free = next.key <= dSeparator && !(len(next.text) == 1 && isDigit(next.text[0])) || next.key > dSeparator && !digitKey[next.key]
		}
		p.extra = extra
		if err := p.field(n, free); err != nil {
			return err
		}
		if !fx {
			extra = p.skipSpace()
		}
	}
	return nil
}

func (p *fromChar) invalid(n *dateNode, v, detail string) *pgerr.Error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid value \"%s\" for \"%s\"", v, n.text).WithDetail("%s", detail)
}

const tryFM = "If your source string is not fixed-width, try using the \"FM\" modifier."

// int reads an integer of at most width characters; all of them unless free.
func (p *fromChar) int(n *dateNode, width int, free bool) (v, used int, err error) {
	p.skipSpace()
	t := p.s
	if !free {
		if len(t) < width {
			return 0, 0, pgerr.New(pgerr.InvalidDatetimeFormat, "source string too short for \"%s\" formatting field", n.text).
				WithDetail("Field requires %d characters, but only %d remain.", width, len(t)).WithHint(tryFM)
		}
		t = t[:width]
	}
	k := 0
	if k < len(t) && (t[k] == '-' || t[k] == '+') {
		k++
	}
	digits := k
	for k < len(t) && isDigit(t[k]) {
		k++
	}
	if k == digits {
		return 0, 0, p.invalid(n, p.s[:min(len(p.s), width)], "Value must be an integer.")
	}
	if !free && k < width {
		return 0, 0, p.invalid(n, t, "Field requires "+strconv.Itoa(width)+" characters, but only "+strconv.Itoa(k)+" could be parsed.").WithHint(tryFM)
	}
	v, err = strconv.Atoi(t[:k])
	if err != nil || v > 1<<31-1 || v < -1<<31 {
		return 0, 0, pgerr.New(pgerr.DatetimeFieldOverflow, "value for \"%s\" in source string is out of range", n.text).
			WithDetail("Value must be in the range -2147483648 to 2147483647.")
	}
	p.s = p.s[k:]
	if n.th != "" && len(p.s) >= 2 {
		p.s = p.s[2:]
	}
	return v, k - digits, nil
}

func (p *fromChar) store(to *int, n *dateNode, width int, free bool) error {
	v, _, err := p.int(n, width, free)
	if err != nil {
		return err
	}
	if *to != 0 && *to != v {
		return pgerr.New(pgerr.InvalidDatetimeFormat, "conflicting values for \"%s\" field in formatting string", n.text).
			WithDetail("This value contradicts a previous setting for the same field type.")
	}
	*to = v
	return nil
}

// oneOf finds the longest of names at the start of the text.
func (p *fromChar) oneOf(n *dateNode, names []string, letters int) (int, error) {
	best, length := -1, 0
	for i, w := range names {
		if letters > 0 {
			w = w[:letters]
		}
		if len(w) > length && hasPrefixFold(p.s, w) {
			best, length = i, len(w)
		}
	}
	if best < 0 {
		w := p.s
		if i := strings.IndexAny(w, " \t\n,-/.:"); i > 0 {
			w = w[:i]
		}
		return 0, p.invalid(n, w, "The given value did not match any of the allowed values for this field.")
	}
	p.s = p.s[length:]
	return best, nil
}

func (p *fromChar) field(n *dateNode, free bool) error {
	var err error
	switch n.key {
	case dAM, dAMDots:
		i := 0
		if i, err = p.oneOf(n, halfNames[n.key == dAMDots], 0); err == nil {
			p.pm, p.clock12 = i == 1, true
		}
	case dAD, dADDots:
		i := 0
		if i, err = p.oneOf(n, eraNames[n.key == dADDots], 0); err == nil {
			p.bc = i == 1
		}
	case dHH12:
		p.clock12 = true
		err = p.store(&p.hour, n, 2, free)
	case dHH24:
		err = p.store(&p.hour, n, 2, free)
	case dMI:
		err = p.store(&p.min, n, 2, free)
	case dSS:
		err = p.store(&p.sec, n, 2, free)
	case dMS, dUS, dFF:
		err = p.fraction(n, free)
	case dSSSS:
		p.hasSSSS = true
		err = p.store(&p.ssss, n, 5, free)
	case dTZH:
		p.hasTZ, p.tzSign = true, 1
		if p.s[0] == '+' || p.s[0] == '-' || p.s[0] == ' ' {
			if p.s[0] == '-' {
				p.tzSign = -1
			}
			p.s = p.s[1:]
		} else if at := len(p.in) - len(p.s); p.extra > 0 && at > 0 && p.in[at-1] == '-' {
			p.tzSign = -1 // taken for a separator
		}
		err = p.store(&p.tzHour, n, 2, free)
	case dTZM:
		if p.tzSign == 0 {
			p.tzSign = 1
		}
		p.hasTZ = true
		err = p.store(&p.tzMin, n, 2, free)
	case dTZ, dOF:
		return pgerr.New(pgerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.text)
	default:
		err = p.dayField(n, free)
	}
	return err
}

var (
	halfNames = map[bool][]string{false: {"AM", "PM"}, true: {"A.M.", "P.M."}}
	eraNames  = map[bool][]string{false: {"AD", "BC"}, true: {"A.D.", "B.C."}}
)

// fraction reads digits behind the point: MS of 5 is half a second.
func (p *fromChar) fraction(n *dateNode, free bool) error {
	width := 6
	switch n.key {
	case dMS:
		width = 3
	case dFF:
		width = n.n
	}
	v, used, err := p.int(n, width, free)
	if err != nil {
		return err
	}
	for ; used < 6; used++ {
		v *= 10
	}
	for ; used > 6; used-- {
		v /= 10
	}
	p.us = v
	return nil
}

func (p *fromChar) dayField(n *dateNode, free bool) (err error) {
	switch n.key {
	case dIYYY, dIYY, dIY, dI, dIW, dID, dIDDD:
		p.isoUsed = true
	case dDay, dDy, dJ, dQ:
	default:
		p.gregUsed = true
	}
	if p.isoUsed && p.gregUsed {
		return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid combination of date conventions").
			WithHint("Do not mix Gregorian and ISO week date conventions in a formatting template.")
	}
	i := 0
	switch n.key {
	case dMonth:
		i, err = p.oneOf(n, monthNames[:], 0)
		p.month = i + 1
	case dMon:
		i, err = p.oneOf(n, monthNames[:], 3)
		p.month = i + 1
	case dRM:
		i, err = p.oneOf(n, romanMonths[:], 0)
		p.month = i + 1
	case dMM:
		err = p.store(&p.month, n, 2, free)
	case dDay:
		_, err = p.oneOf(n, dayNames[:], 0)
	case dDy:
		_, err = p.oneOf(n, dayNames[:], 3)
	case dDDD:
		err = p.store(&p.doy, n, 3, free)
	case dDD:
		err = p.store(&p.day, n, 2, free)
	case dD:
		i = 0
		err = p.store(&i, n, 1, free)
	case dQ:
		// A quarter says nothing that Postgres uses.
		i = 0
		err = p.store(&i, n, 1, free)
	case dWW:
		err = p.store(&p.week, n, 2, free)
	case dW:
		err = p.store(&p.weekOfMonth, n, 1, free)
	case dCC:
		return pgerr.New(pgerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.text)
	case dJ:
		p.hasJulian = true
		err = p.store(&p.julian, n, len(p.s), true)
	case dYCommaYYY:
		t := strings.Replace(p.s, ",", "", 1)
		if c := strings.IndexByte(p.s, ','); c < 0 || c > 6 {
			return p.invalid(n, p.s, "Value must be an integer.")
		}
		p.s = t
		err = p.store(&p.year, n, 4, true)
	case dYYYY, dYYY, dYY, dY:
		err = p.yearField(n, int(dY-n.key)+1, free, &p.year)
	case dIYYY, dIYY, dIY, dI:
		err = p.yearField(n, int(dI-n.key)+1, free, &p.isoYear)
	case dIW:
		err = p.store(&p.isoWeek, n, 2, free)
	case dID:
		err = p.store(&p.isoDay, n, 1, free)
	case dIDDD:
		err = p.store(&p.isoDoy, n, 3, free)
	}
	return err
}

// yearField completes a year of less than four digits to the one nearest 2020.
func (p *fromChar) yearField(n *dateNode, width int, free bool, to *int) error {
	v, used, err := p.int(n, width, free)
	if err != nil {
		return err
	}
	if width < 4 && used < 4 && v >= 0 {
		switch {
		case v < 70:
			v += 2000
		case v < 100:
			v += 1900
		case v < 520:
			v += 2000
		case v < 1000:
			v += 1000
		}
	}
	if *to != 0 && *to != v {
		return pgerr.New(pgerr.InvalidDatetimeFormat, "conflicting values for \"%s\" field in formatting string", n.text).
			WithDetail("This value contradicts a previous setting for the same field type.")
	}
	*to = v
	return nil
}

func (p *fromChar) outOfRange() error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", p.in)
}

// civil puts the fields together; what is absent is the first month, the first
// day, midnight, and the year 1 BC.
func (p *fromChar) civil() (c civil, err error) {
	if err = p.clock(&c); err != nil {
		return c, err
	}
	y := int64(p.year)
	if p.bc && y > 0 {
		y = 1 - y
	} else if y < 0 {
		y++ // negative years are BC
		if p.bc {
			y = -y + 1
		}
	}
	c.year, c.mon, c.day = y, p.month, p.day
	switch {
	case p.hasJulian:
		c.year, c.mon, c.day = dateOf(int64(p.julian) + minDate)
		return c, nil
	case p.isoWeek > 0:
		if p.isoWeek > 53 {
			return c, p.outOfRange()
		}
		d := isoWeekStart(int64(p.isoYear), p.isoWeek)
		if p.isoDay > 0 {
			d += int64(p.isoDay - 1)
		}
		c.year, c.mon, c.day = dateOf(d)
		return c, nil
	case p.isoDoy > 0:
		c.year, c.mon, c.day = dateOf(isoWeekStart(int64(p.isoYear), 1) + int64(p.isoDoy-1))
		return c, nil
	case p.isoUsed:
		c.year, c.mon, c.day = int64(p.isoYear), 1, 1
		return c, nil
	}
	doy := p.doy
	if p.week > 0 {
		doy = (p.week-1)*7 + 1
	}
	if p.weekOfMonth > 0 {
		c.day = (p.weekOfMonth-1)*7 + 1
	}
	if doy > 0 && p.month == 0 && p.day == 0 {
		if p.year == 0 && !p.bc {
			return c, pgerr.New(pgerr.InvalidDatetimeFormat, "cannot calculate day of year without year information")
		}
		if doy > 366 || doy == 366 && !isLeap(c.year) {
			return c, p.outOfRange()
		}
		c.year, c.mon, c.day = dateOf(daysOf(c.year, 1, 1) + int64(doy-1))
		return c, nil
	}
	c.mon, c.day = max(c.mon, 0), max(c.day, 0)
	if c.mon == 0 {
		c.mon = 1
	}
	if c.day == 0 {
		c.day = 1
	}
	if c.mon > 12 || p.month < 0 || p.day < 0 || c.day > daysIn(c.year, c.mon) {
		return c, p.outOfRange()
	}
	return c, nil
}

// isoWeekStart returns the Monday of an ISO week.
func isoWeekStart(year int64, week int) int64 {
	jan4 := daysOf(year, 1, 4)
	return jan4 - int64((weekday(jan4)+6)%7) + int64(week-1)*7
}

func (p *fromChar) clock(c *civil) error {
	c.hour, c.min, c.sec, c.usec = p.hour, p.min, p.sec, p.us
	if p.hasSSSS {
		x := p.ssss
		c.hour, c.min, c.sec = x/3600, x/60%60, x%60
	}
	if p.clock12 {
		if c.hour < 1 || c.hour > 12 {
			return pgerr.New(pgerr.InvalidDatetimeFormat, "hour \"%d\" is invalid for the 12-hour clock", c.hour).
				WithHint("Use the 24-hour clock, or give an hour between 1 and 12.")
		}
		if p.pm && c.hour < 12 {
			c.hour += 12
		} else if !p.pm && c.hour == 12 {
			c.hour = 0
		}
	}
	if c.hour < 0 || c.hour > 23 || c.min < 0 || c.min > 59 || c.sec < 0 || c.sec > 59 || p.tzHour > 15 || p.tzMin > 59 {
		return p.outOfRange()
	}
	return nil
}
