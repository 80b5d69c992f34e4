package types

import (
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// DateFormat is a compiled template of to_char, to_date and to_timestamp. It is
// immutable and may be used by several goroutines.
type DateFormat struct {
	nodes []dateNode
}

type dateKey uint8

const (
	dLiteral dateKey = iota // text, one character each
	dSeparator
	dAD
	dADDots
	dAM
	dAMDots
	dCC
	dDay
	dDy
	dDDD
	dDD
	dD
	dFF
	dFX
	dHH24
	dHH12
	dIDDD
	dID
	dIW
	dIYYY
	dIYY
	dIY
	dI
	dJ
	dMI
	dMM
	dMonth
	dMon
	dMS
	dOF
	dQ
	dRM
	dSSSS
	dSS
	dTZH
	dTZM
	dTZ
	dUS
	dWW
	dW
	dYCommaYYY
	dYYYY
	dYYY
	dYY
	dY
)

// letterCase of a word that a pattern prints.
type letterCase uint8

const (
	upper letterCase = iota
	capital
	lower
)

type dateNode struct {
	key  dateKey
	text string // the pattern, or the literal character
	cas  letterCase
	n    int // of FFn
	fm   bool
	tm   bool   // names of the locale, which is C's; they are not padded
	th   string // TH, th or nothing
}

// dateKeys are tried in order; a longer name stands before its prefixes.
var dateKeys = []struct {
	name  string
	key   dateKey
	digit bool
}{
	{"A.D.", dADDots, false}, {"A.M.", dAMDots, false}, {"AD", dAD, false}, {"AM", dAM, false},
	{"B.C.", dADDots, false}, {"BC", dAD, false}, {"CC", dCC, true},
	{"DAY", dDay, false}, {"DDD", dDDD, true}, {"DD", dDD, true}, {"DY", dDy, false}, {"D", dD, true},
	{"FF1", dFF, true}, {"FF2", dFF, true}, {"FF3", dFF, true}, {"FF4", dFF, true}, {"FF5", dFF, true}, {"FF6", dFF, true},
	{"FX", dFX, false}, {"HH24", dHH24, true}, {"HH12", dHH12, true}, {"HH", dHH12, true},
	{"IDDD", dIDDD, true}, {"ID", dID, true}, {"IW", dIW, true}, {"IYYY", dIYYY, true}, {"IYY", dIYY, true},
	{"IY", dIY, true}, {"I", dI, true}, {"J", dJ, true}, {"MI", dMI, true}, {"MM", dMM, true},
	{"MONTH", dMonth, false}, {"MON", dMon, false}, {"MS", dMS, true}, {"OF", dOF, false},
	{"P.M.", dAMDots, false}, {"PM", dAM, false}, {"Q", dQ, true}, {"RM", dRM, false},
	{"SSSSS", dSSSS, true}, {"SSSS", dSSSS, true}, {"SS", dSS, true}, {"TZH", dTZH, false}, {"TZM", dTZM, true}, {"TZ", dTZ, false},
	{"US", dUS, true}, {"WW", dWW, true}, {"W", dW, true}, {"Y,YYY", dYCommaYYY, true},
	{"YYYY", dYYYY, true}, {"YYY", dYYY, true}, {"YY", dYY, true}, {"Y", dY, true},
}

// digitKey tells the patterns that read digits only.
var digitKey = func() (d [64]bool) {
	for _, k := range dateKeys {
		d[k.key] = k.digit
	}
	return d
}()

// CompileDateFormat reads a template. Patterns may have the prefixes FM and TM
// and the suffixes TH and th; "quoted text" and what is no pattern is literal.
func CompileDateFormat(format string) (*DateFormat, error) {
	f := &DateFormat{}
	s := format
	for s != "" {
		n := dateNode{}
		t := s
		for {
			if hasPrefixFold(t, "FM") {
				n.fm, t = true, t[2:]
			} else if strings.HasPrefix(t, "TM") || strings.HasPrefix(t, "tm") {
				n.tm, t = true, t[2:]
			} else {
				break
			}
		}
		if k, ok := matchDateKey(t, &n); ok {
			t = t[k:]
			if len(t) >= 2 && (t[:2] == "TH" || t[:2] == "th") {
				n.th, t = t[:2], t[2:]
			} else if hasPrefixFold(t, "SP") {
				t = t[2:]
			}
			f.nodes = append(f.nodes, n)
			s = t
			continue
		}
		if len(t) < len(s) { // a modifier in front of no pattern is dropped
			s = t
			continue
		}
		if s[0] == '"' {
			s = f.quote(s[1:])
			continue
		}
		if s[0] == '\\' && len(s) > 1 && s[1] == '"' {
			s = s[1:]
		}
		s = f.literal(s, false)
	}
	return f, nil
}

func hasPrefixFold(s, p string) bool { return len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) }

// quote reads up to the closing quote and returns what follows.
func (f *DateFormat) quote(s string) string {
	for s != "" && s[0] != '"' {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		s = f.literal(s, true)
	}
	return strings.TrimPrefix(s, `"`)
}

// literal takes one character.
func (f *DateFormat) literal(s string, quoted bool) string {
	n := 1
	for n < len(s) && s[n]&0xC0 == 0x80 {
		n++
	}
	node := dateNode{key: dLiteral, text: s[:n]}
	if !quoted && n == 1 && (isSpace(s[0]) || isSeparator(s[0])) {
		node.key = dSeparator
	}
	f.nodes = append(f.nodes, node)
	return s[n:]
}

func isSeparator(c byte) bool { return c > 0x20 && c < 0x7f && !isDigit(c) && !isAlpha(c) }

// matchDateKey finds the pattern at the start of s: all capitals, all small
// letters, or for names of days and months with a capital.
func matchDateKey(s string, n *dateNode) (int, bool) {
	for _, k := range dateKeys {
		if !hasPrefixFold(s, k.name) {
			continue
		}
		t := s[:len(k.name)]
		switch {
		case t == k.name:
			n.cas = upper
		case t == strings.ToLower(k.name):
			n.cas = lower
		case (k.key == dDay || k.key == dDy || k.key == dMonth || k.key == dMon) && t[1:] == strings.ToLower(k.name[1:]):
			n.cas = capital
		case (k.key == dDay || k.key == dDy || k.key == dMonth || k.key == dMon) && t[:2] == k.name[:2]:
			n.cas = upper // as Postgres tells them apart by two letters
		default:
			continue
		}
		n.key, n.text = k.key, t
		if k.key == dFF {
			n.n = int(t[2] - '0')
		}
		return len(t), true
	}
	return 0, false
}

// Empty reports a template without any character, for which to_char of dates and
// times is NULL in Postgres.
func (f *DateFormat) Empty() bool { return len(f.nodes) == 0 }

// AppendTimestamp is to_char of a timestamp.
func (f *DateFormat) AppendTimestamp(dst []byte, ts int64) ([]byte, error) {
	if !TimestampFinite(ts) {
		return dst, errTimestamp()
	}
	c := civilOf(ts)
	days, _ := splitDay(ts)
	return f.append(dst, &charSource{c: c, days: days})
}

// AppendTimestamptz is to_char of a timestamptz in loc. A nil loc is UTC.
func (f *DateFormat) AppendTimestamptz(dst []byte, ts int64, loc *time.Location) ([]byte, error) {
	if !TimestampFinite(ts) {
		return dst, errTimestamp()
	}
	local := toLocal(ts, loc)
	days, _ := splitDay(local)
	s := charSource{c: civilOf(local), days: days, zone: "UTC"}
	if loc != nil && loc != time.UTC {
		name, off := time.Unix(floorDiv(ts, usecPerSec), 0).In(loc).Zone()
		s.zone, s.off = name, int64(off)
	}
	return f.append(dst, &s)
}

// AppendInterval is to_char of an interval. Errors are 22007 for patterns that
// need a calendar.
func (f *DateFormat) AppendInterval(dst []byte, v IntervalValue) ([]byte, error) {
	c := civil{year: int64(v.Months / 12), mon: int(v.Months % 12), day: int(v.Days)}
	us := v.Micros
	sec := us / usecPerSec
	c.usec = int(us % usecPerSec)
	c.hour, c.min, c.sec = int(sec/3600), int(sec/60%60), int(sec%60)
	return f.append(dst, &charSource{c: c, interval: true})
}

// charSource is the value that to_char prints.
type charSource struct {
	c        civil
	days     int64
	interval bool
	zone     string
	off      int64
}

func (s *charSource) doy() int {
	if s.interval {
		return (int(s.c.year)*12+s.c.mon)*30 + s.c.day
	}
	return int(s.days-daysOf(s.c.year, 1, 1)) + 1
}

// year is what patterns of the year print: 1 BC is 1.
func (s *charSource) year() int {
	if s.c.year <= 0 && !s.interval {
		return int(1 - s.c.year)
	}
	return int(s.c.year)
}

func (f *DateFormat) append(dst []byte, s *charSource) ([]byte, error) {
	start := len(dst)
	for i := range f.nodes {
		n := &f.nodes[i]
		if s.interval {
			switch n.key {
			case dAD, dADDots, dDay, dDy, dD, dID, dMonth, dMon, dTZ, dTZH, dTZM, dOF:
				return dst[:start], pgerr.New(pgerr.InvalidDatetimeFormat, "invalid format specification for an interval value").
					WithHint("Intervals are not tied to specific calendar dates.")
			}
		}
		dst = n.append(dst, s)
	}
	return dst, nil
}

// num appends v in at least width digits (none required under FM) with its ordinal.
func (n *dateNode) num(dst []byte, v, width int) []byte {
	if n.fm {
		width = 0
	}
	at := len(dst)
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	t := strconv.Itoa(v)
	for k := len(t); k < width; k++ {
		dst = append(dst, '0')
	}
	dst = append(dst, t...)
	return n.ordinal(dst, dst[at:])
}

func (n *dateNode) ordinal(dst, digits []byte) []byte {
	if n.th == "" {
		return dst
	}
	return append(dst, ordinalSuffix(digits, n.th == "TH")...)
}

func ordinalSuffix(digits []byte, up bool) string {
	k := len(digits)
	t := "th"
	if k < 2 || digits[k-2] != '1' {
		switch digits[k-1] {
		case '1':
			t = "st"
		case '2':
			t = "nd"
		case '3':
			t = "rd"
		}
	}
	if up {
		return strings.ToUpper(t)
	}
	return t
}

// word appends a name in the case of the pattern, padded to width.
func (n *dateNode) word(dst []byte, w string, width int) []byte {
	switch n.cas {
	case upper:
		w = strings.ToUpper(w)
	case lower:
		w = strings.ToLower(w)
	}
	dst = append(dst, w...)
	for k := len(w); k < width && !n.fm && !n.tm; k++ {
		dst = append(dst, ' ')
	}
	return dst
}

var romanMonths = [...]string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}

func (n *dateNode) append(dst []byte, s *charSource) []byte {
	c := &s.c
	switch n.key {
	case dLiteral, dSeparator:
		return append(dst, n.text...)
	case dAD, dADDots:
		return n.word(dst, eraOrHalf(n.key == dADDots, c.year <= 0, "AD", "BC"), 0)
	case dAM, dAMDots:
		h := c.hour % 24
		return n.word(dst, eraOrHalf(n.key == dAMDots, h >= 12, "AM", "PM"), 0)
	case dHH12:
		h := c.hour % 12
		if h == 0 {
			h = 12
		}
		return n.num(dst, h, 2)
	case dHH24:
		return n.num(dst, c.hour, 2)
	case dMI:
		return n.num(dst, c.min, 2)
	case dSS:
		return n.num(dst, c.sec, 2)
	case dMS:
		return n.fixed(dst, c.usec/1000, 3)
	case dUS:
		return n.fixed(dst, c.usec, 6)
	case dFF:
		return n.fixed(dst, c.usec/int(pow10[6-n.n].lo), n.n)
	case dSSSS:
		return n.num(dst, c.hour*3600+c.min*60+c.sec, 0)
	case dTZ:
		return n.word(dst, s.zone, 0)
	case dTZH:
		sign := byte('+')
		if s.off < 0 {
			sign = '-'
		}
		return append2(append(dst, sign), int(max(s.off, -s.off)/3600))
	case dTZM:
		return append2(dst, int(max(s.off, -s.off)/60%60))
	case dOF:
		return appendOffset(dst, s.off)
	case dFX:
		return dst
	}
	return n.appendDay(dst, s)
}

func eraOrHalf(dots, second bool, a, b string) string {
	if second {
		a = b
	}
	if dots {
		return a[:1] + "." + a[1:] + "."
	}
	return a
}

// fixed appends a fraction, which FM does not shorten.
func (n *dateNode) fixed(dst []byte, v, width int) []byte {
	m := *n
	m.fm = false
	return m.num(dst, v, width)
}

// appendDay handles the patterns of the date.
func (n *dateNode) appendDay(dst []byte, s *charSource) []byte {
	c := &s.c
	wday := weekday(s.days)
	switch n.key {
	case dMonth:
		return n.word(dst, monthNames[c.mon-1], 9)
	case dMon:
		return n.word(dst, monthNames[c.mon-1][:3], 0)
	case dMM:
		return n.num(dst, c.mon, 2)
	case dDay:
		return n.word(dst, dayNames[wday], 9)
	case dDy:
		return n.word(dst, dayNames[wday][:3], 0)
	case dDDD:
		return n.num(dst, s.doy(), 3)
	case dDD:
		return n.num(dst, c.day, 2)
	case dD:
		return n.num(dst, wday+1, 0)
	case dID:
		return n.num(dst, (wday+6)%7+1, 0)
	case dWW:
		return n.num(dst, (s.doy()-1)/7+1, 2)
	case dW:
		return n.num(dst, (c.day-1)/7+1, 0)
	case dQ:
		if c.mon == 0 {
			return dst
		}
		return n.num(dst, (c.mon-1)/3+1, 0)
	case dRM:
		if c.mon == 0 {
			return dst
		}
		return n.word(dst, romanMonths[(c.mon+11)%12], 4)
	case dCC:
		if s.interval {
			return n.num(dst, int(c.year/100), 2)
		}
		return n.num(dst, int(spanOf(c.year, 100)), 2)
	case dJ:
		if s.interval {
			return n.num(dst, int(daysOf(c.year, c.mon, c.day)-minDate), 0)
		}
		return n.num(dst, int(s.days-minDate), 0)
	case dYCommaYYY:
		y := s.year()
		dst = strconv.AppendInt(dst, int64(y/1000), 10)
		m := *n
		m.fm = false
		return m.num(append(dst, ','), y%1000, 3)
	case dYYYY, dYYY, dYY, dY:
		return n.yearDigits(dst, s.year(), int(dY-n.key)+1)
	}
	days := s.days
	if s.interval {
		days = daysOf(c.year, c.mon, c.day)
	}
	iy, week := isoWeek(days)
	switch n.key {
	case dIW:
		return n.num(dst, week, 2)
	case dIDDD:
		return n.num(dst, (week-1)*7+(weekday(days)+6)%7+1, 3)
	}
	y := int(iy)
	if iy <= 0 && !s.interval {
		y = int(1 - iy)
	}
	return n.yearDigits(dst, y, int(dI-n.key)+1)
}

// yearDigits appends the last n digits of the year, all of it for four.
func (n *dateNode) yearDigits(dst []byte, y, digits int) []byte {
	if digits == 4 {
		return n.num(dst, y, 4)
	}
	return n.num(dst, y%int(pow10[digits].lo), digits)
}
