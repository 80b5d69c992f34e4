package types

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines without a zone database: results must not depend on the node

	"github.com/volleydb/volley/pgerr"
)

var monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"}

var dayNames = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// monthNamed returns 1 to 12 for a month's name or abbreviation, else 0.
func monthNamed(w string) int {
	for i, m := range monthNames {
		if len(w) == 3 && strings.EqualFold(w, m[:3]) || strings.EqualFold(w, m) {
			return i + 1
		}
	}
	if strings.EqualFold(w, "sept") {
		return 9
	}
	return 0
}

// dayNamed returns 0 (Sunday) to 6 for a day's name or abbreviation, else -1.
func dayNamed(w string) int {
	for i, d := range dayNames {
		if len(w) == 3 && strings.EqualFold(w, d[:3]) || strings.EqualFold(w, d) {
			return i
		}
	}
	switch strings.ToLower(w) {
	case "tues":
		return 2
	case "weds":
		return 3
	case "thur", "thurs":
		return 4
	}
	return -1
}

// zoneAbbrevs are minutes east of UTC, as Postgres' default set has them.
var zoneAbbrevs = map[string]int16{
	"utc": 0, "uct": 0, "ut": 0, "gmt": 0, "z": 0, "zulu": 0, "wet": 0,
	"bst": 60, "cet": 60, "met": 60, "mez": 60, "wetdst": 60, "west": 60,
	"cest": 120, "mest": 120, "mesz": 120, "cetdst": 120, "metdst": 120, "eet": 120, "ist": 120, "sast": 120,
	"eest": 180, "eetdst": 180, "idt": 180, "msk": 180, "eat": 180,
	"msd": 240, "ret": 240, "mut": 240, "scst": 240,
	"tmt": 300, "uzt": 300, "pkt": 300, "mvt": 300, "pkst": 360,
	"npt": 345, "bdt": 360, "btt": 360, "mmt": 390, "ict": 420,
	"cct": 480, "hkt": 480, "sgt": 480, "pht": 480, "myt": 480, "awst": 480,
	"jst": 540, "kst": 540, "kdt": 600, "acst": 570, "sact": 570, "acdt": 630, "sadt": 630,
	"aest": 600, "aesst": 660, "aedt": 660, "nzst": 720, "nzt": 720, "fjt": 720, "nzdt": 780,
	"azot": -60, "azost": 0, "fnt": -120, "brst": -120, "brt": -180, "art": -180, "gft": -180, "uyt": -180,
	"ndt": -150, "nft": -150, "nst": -210, "adt": -180, "ast": -240, "bot": -240, "clt": -240, "clst": -180,
	"edt": -240, "est": -300, "cdt": -300, "cot": -300, "pet": -300, "ect": -300,
	"cst": -360, "mdt": -360, "mst": -420, "pdt": -420, "pst": -480, "akdt": -480, "akst": -540,
	"hst": -600, "sst": -660,
}

func errZone(name string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "time zone \"%s\" not recognized", name)
}

// ParseZone finds a time zone as AT TIME ZONE does: by abbreviation, by IANA
// name in any case, or by a POSIX offset, in which UTC+3 and +3 lie west of
// Greenwich. Errors are 22023. It reads the zone's file each time: call it once
// per statement, not per row.
func ParseZone(name string) (*time.Location, error) {
	s := trimSpace(name)
	if s == "" {
		return nil, errZone(name)
	}
	if off, ok := zoneAbbrevs[strings.ToLower(s)]; ok {
		if off == 0 {
			return time.UTC, nil
		}
		return time.FixedZone(strings.ToUpper(s), int(off)*60), nil
	}
	if loc := loadZone(s); loc != nil {
		return loc, nil
	}
	// [abbreviation]offset
	n := alphaRun(s)
	if t := s[n:]; t != "" && (n == 0 || n >= 3) {
		if isDigit(t[0]) {
			t = "+" + t
		}
		if t[0] == '+' || t[0] == '-' {
			if off, k := readOffset(t); k == len(t) && off >= -maxOffset && off <= maxOffset {
				return time.FixedZone(s, int(-off)), nil
			}
		}
	}
	return nil, errZone(name)
}

// loadZone finds an IANA zone, nil if there is none.
func loadZone(s string) *time.Location {
	if s == "Local" || strings.Contains(s, "..") || !isAlpha(s[0]) {
		return nil
	}
	if loc, err := time.LoadLocation(s); err == nil {
		return loc
	}
	// Parts are capitalised in most names; the others are all capitals.
	b := []byte(strings.ToLower(s))
	start := true
	for i, c := range b {
		if start && isAlpha(c) {
			b[i] = c &^ 0x20
		}
		start = c == '/' || c == '_' || c == '-'
	}
	for _, t := range []string{string(b), strings.ToUpper(s)} {
		if loc, err := time.LoadLocation(t); err == nil {
			return loc
		}
	}
	return nil
}

// ParseSessionZone finds a time zone as SET TimeZone does: like ParseZone, but
// a bare number is hours east of Greenwich.
func ParseSessionZone(name string) (*time.Location, error) {
	s := trimSpace(name)
	if h, err := strconv.ParseFloat(s, 64); err == nil && s != "" && !isAlpha(s[0]) {
		if h <= -168 || h >= 168 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"TimeZone\": \"%s\"", name)
		}
		sec := int(h * 3600)
		sign := "+"
		if sec < 0 {
			sign = "-"
		}
		a := max(sec, -sec)
		label := "<" + sign + string(append2(nil, a/3600))
		if a%3600 != 0 {
			label += ":" + string(append2(nil, a/60%60))
		}
		return time.FixedZone(label+">", sec), nil
	}
	if i := strings.IndexByte(s, '/'); i < 0 && len(s) > 1 && (s[0] == '+' || s[0] == '-') {
		if off, k := readOffset(s); k == len(s) {
			return time.FixedZone(s, int(off)), nil
		}
	}
	loc, err := ParseZone(s)
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"TimeZone\": \"%s\"", name)
	}
	return loc, nil
}
