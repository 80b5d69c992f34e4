package storage

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// timeFormat is a compiled strftime pattern for reading dates and timestamps.
type timeFormat struct {
	pattern string
	parts   []byte // a directive, or 0 and a byte that stands for itself
	lits    []byte
}

// compileTimeFormat reads a pattern of %Y %y %m %d %H %I %M %S %f %p %b %B %j %z
// and %%; nil for the empty one. A minus behind the percent sign, for numbers
// without leading zeros, is accepted: they may always be left out.
func compileTimeFormat(option, pattern string) (*timeFormat, error) {
	if pattern == "" {
		return nil, nil
	}
	f := &timeFormat{pattern: pattern}
	for i := 0; i < len(pattern); i++ {
		c, part := pattern[i], byte(0)
		if c == '%' {
			if i++; i < len(pattern) && pattern[i] == '-' {
				i++
			}
			if i == len(pattern) || !strings.ContainsRune("YymdHIMSfpbBhjz%T", rune(pattern[i])) {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "option \"%s\": the pattern \"%s\" is not supported", option, pattern).
					WithHint("There are %%Y %%y %%m %%d %%H %%I %%M %%S %%f %%p %%b %%B %%j %%z %%T and %%%%.")
			}
			if c = pattern[i]; c != '%' {
				part = c
			}
			if c == 'T' {
				f.parts = append(f.parts, 'H', 0, 'M', 0, 'S')
				f.lits = append(f.lits, 0, ':', 0, ':', 0)
				continue
			}
		}
		f.parts, f.lits = append(f.parts, part), append(f.lits, c)
	}
	return f, nil
}

// parse reads a value as microseconds since 1970-01-01. zoned tells that the
// pattern has an offset, which is taken into account.
func (f *timeFormat) parse(s []byte) (us int64, ok bool) {
	y, m, d, h, mi, sec, frac, yday, pm, zone := 1900, 1, 1, 0, 0, 0, 0, 0, -1, 0
	i := 0
	num := func(limit int) (v int, ok bool) {
		from := i
		for i < len(s) && i-from < limit && s[i]-'0' < 10 {
			v = v*10 + int(s[i]-'0')
			i++
		}
		return v, i > from
	}
	for k, part := range f.parts {
		ok := true
		switch part {
		case 0:
			ok = i < len(s) && s[i] == f.lits[k]
			i++
		case 'Y':
			y, ok = num(4)
		case 'y':
			if y, ok = num(2); y < 69 {
				y += 100
			}
			y += 1900
		case 'm':
			m, ok = num(2)
		case 'd':
			d, ok = num(2)
		case 'H', 'I':
			h, ok = num(2)
			ok = ok && (part == 'H' || h >= 1 && h <= 12)
		case 'M':
			mi, ok = num(2)
		case 'S':
			sec, ok = num(2)
		case 'j':
			yday, ok = num(3)
			ok = ok && yday >= 1
		case 'f':
			from := i
			frac, ok = num(6)
			for n := i - from; n < 6; n++ {
				frac *= 10
			}
		case 'p':
			if ok = i+2 <= len(s) && s[i+1]|0x20 == 'm' && (s[i]|0x20 == 'a' || s[i]|0x20 == 'p'); ok {
				pm = int(s[i]|0x20-'a') / ('p' - 'a')
				i += 2
			}
		case 'b', 'h', 'B':
			m, i = monthName(s, i, part == 'B')
			ok = m > 0
		case 'z':
			zone, i = offsetAt(s, i)
			ok = i >= 0
		}
		if !ok {
			return 0, false
		}
	}
	if pm >= 0 {
		if h < 1 || h > 12 {
			return 0, false
		}
		h = h%12 + 12*pm
	}
	if i != len(s) || y == 0 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) || h > 23 || mi > 59 || sec > 59 {
		return 0, false
	}
	day := int64(civilDays(y, m, d))
	if yday > 0 {
		if yday > 365+daysIn(y, 2)-28 {
			return 0, false
		}
		day = int64(civilDays(y, 1, 1)) + int64(yday) - 1
	}
	return (day*86400+int64(h*3600+mi*60+sec-zone))*1e6 + int64(frac), true
}

var monthNames = [...]string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

func monthName(s []byte, i int, long bool) (month, after int) {
	for m, name := range monthNames {
		if !long {
			name = name[:3]
		}
		if i+len(name) <= len(s) && strings.EqualFold(string(s[i:i+len(name)]), name) {
			return m + 1, i + len(name)
		}
	}
	return 0, i
}

// offsetAt reads Z, +HH, +HHMM or +HH:MM as seconds; after is -1 if there is none.
func offsetAt(s []byte, i int) (seconds, after int) {
	if i < len(s) && s[i] == 'Z' {
		return 0, i + 1
	}
	if i+3 > len(s) || s[i] != '+' && s[i] != '-' {
		return 0, -1
	}
	sign := 1
	if s[i] == '-' {
		sign = -1
	}
	h, ok := two(s, i+1)
	if !ok {
		return 0, -1
	}
	i += 3
	m := 0
	if j := i; j < len(s) && (s[j] == ':' || s[j]-'0' < 10) {
		if s[j] == ':' {
			j++
		}
		if j+2 > len(s) {
			return 0, -1
		}
		if m, ok = two(s, j); !ok || m > 59 {
			return 0, -1
		}
		i = j + 2
	}
	return sign * (h*3600 + m*60), i
}

func (f *timeFormat) zoned() bool { return strings.Contains(string(f.parts), "z") }

// error is that of a value that the pattern does not fit.
func (f *timeFormat) error(t types.Type, s []byte) error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input syntax for type %s: \"%s\"", t, excerpt(s)).
		WithDetail("The format is %s.", f.pattern)
}
