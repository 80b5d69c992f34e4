package types

import (
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// offsetToken reads +H[H][[:]MM[[:]SS]].
func (p *datetimeParser) offsetToken(s string) (string, error) {
	off, n := readOffset(s)
	switch {
	case n == 0:
		return "", p.syntax()
	case off < -maxOffset || off > maxOffset:
		return "", pgerr.New(pgerr.InvalidTimeZoneDisplacement, "time zone displacement out of range: \"%s\"", p.in)
	}
	if p.hasOffset && p.zone == nil && p.offset == 0 && p.have&haveZone != 0 {
		p.have &^= haveZone // UTC+3 and the like: refused below unless UTC
		off = -off
	}
	p.offset, p.hasOffset = off, true
	return s[n:], p.set(haveZone)
}

// maxOffset is the largest displacement in seconds.
const maxOffset = 16*3600 - 1

// readOffset returns seconds east and the length read, 0 if s holds no offset.
func readOffset(s string) (off int64, n int) {
	n = 1
	var v [3]int64
	k := 0
	for k < 3 {
		from := n
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		d := s[from:n]
		switch {
		case d == "" || len(d) > 6:
			return 0, 0
		case k == 0 && len(d) > 2:
			x, _ := strconv.ParseInt(d, 10, 64)
			if len(d) > 4 {
				v = [3]int64{x / 10000, x / 100 % 100, x % 100}
			} else {
				v = [3]int64{x / 100, x % 100, 0}
			}
			k = 3
		default:
			v[k], _ = strconv.ParseInt(d, 10, 64)
			k++
		}
		if k == 3 || n >= len(s) || s[n] != ':' {
			break
		}
		n++
	}
	if v[1] > 59 || v[2] > 59 {
		return maxOffset + 1, n
	}
	off = v[0]*3600 + v[1]*60 + v[2]
	if s[0] == '-' {
		off = -off
	}
	return off, n
}

func (p *datetimeParser) zoneWord(s string) (string, error) {
	n := 0
	for n < len(s) && (isAlpha(s[n]) || isDigit(s[n]) || strings.IndexByte("/_-+", s[n]) >= 0) {
		n++
	}
	name := s[:n]
	a := alphaRun(s)
	if off, ok := zoneAbbrevs[strings.ToLower(s[:a])]; ok && (a == n || s[a] != '/') {
		p.offset, p.hasOffset = int64(off)*60, true
		// UTC+3 is POSIX: three hours west.
		if a < n && (s[a] == '+' || s[a] == '-') {
			more, k := readOffset(s[a:])
			if k == 0 {
				return "", p.syntax()
			}
			p.offset -= more
			a += k
		}
		return s[a:], p.set(haveZone)
	}
	if strings.IndexByte(name, '/') < 0 && a == n && len(name) > 10 {
		return "", p.syntax()
	}
	loc, err := ParseZone(name)
	if err != nil {
		if strings.IndexByte(name, '/') >= 0 {
			return "", errZone(strings.ToLower(name))
		}
		return "", p.syntax()
	}
	if p.typ == "time" && p.have&haveDate != haveDate {
		return "", p.syntax() // the offset depends on the date
	}
	p.zone = loc
	return s[n:], p.set(haveZone)
}
