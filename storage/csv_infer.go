package storage

import (
	"strings"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// guess narrows the type of one column down by the values seen.
type guess struct {
	values  int // not NULL
	digits  int // values that are numbers with digits
	not     [numShapes]bool
	bigInts bool // some integer exceeds bigint but fits numeric
	zoned   int  // timestamps with a time zone
	// Patterns of dates and timestamps; nil = ISO.
	date, stamp *timeFormat
}

type shape uint8

const (
	shapeBool shape = iota
	shapeInt
	shapeFloat
	shapeDate
	shapeTime // timestamp, or a date
	numShapes
)

// add looks at a value that is not NULL.
func (g *guess) add(s []byte) {
	g.values++
	if !g.not[shapeBool] && !isWord(s, "true") && !isWord(s, "false") {
		g.not[shapeBool] = true
	}
	if !g.not[shapeFloat] {
		isInt, isNum := numberShape(s)
		switch {
		case isInt:
			g.digits++
			if _, err := types.ParseInt8(s); err != nil {
				g.bigInts = true
				if len(s) > 38 {
					g.not[shapeInt] = true
				}
			}
		case isNum:
			g.digits++
			g.not[shapeInt] = true
		default:
			g.not[shapeInt] = true
			g.not[shapeFloat] = !isFloatWord(s)
		}
	}
	if !g.not[shapeTime] {
		if !g.isDate(s) {
			g.not[shapeDate] = true
			ok, zone := g.isTimestamp(s)
			if !ok {
				g.not[shapeTime] = true
			} else if zone {
				g.zoned++
			}
		}
	}
}

func (g *guess) isDate(s []byte) (ok bool) {
	if g.date != nil {
		_, ok = g.date.parse(s)
	} else {
		_, ok = fastDate(s)
	}
	return ok
}

func (g *guess) isTimestamp(s []byte) (ok, zone bool) {
	if g.stamp != nil {
		_, ok = g.stamp.parse(s)
		return ok, g.stamp.zoned()
	}
	body, zone := cutZone(s)
	_, ok = fastTimestamp(body)
	return ok, zone
}

// merge adds what another guess has seen of the same column.
func (g *guess) merge(o *guess) {
	g.values += o.values
	g.digits += o.digits
	g.zoned += o.zoned
	g.bigInts = g.bigInts || o.bigInts
	for i := range g.not {
		g.not[i] = g.not[i] || o.not[i]
	}
}

// typ is the narrowest type that holds all values; text when there were none.
func (g *guess) typ() types.Type {
	switch {
	case g.values == 0:
		return types.T(types.Text)
	case !g.not[shapeBool]:
		return types.T(types.Bool)
	case !g.not[shapeInt] && g.bigInts:
		return types.T(types.Numeric)
	case !g.not[shapeInt]:
		return types.T(types.Int8)
	case !g.not[shapeFloat] && g.digits > 0:
		return types.T(types.Float8)
	case !g.not[shapeDate]:
		return types.T(types.Date)
	case !g.not[shapeTime] && g.zoned == 0:
		return types.T(types.Timestamp)
	case !g.not[shapeTime] && g.zoned == g.values:
		return types.T(types.Timestamptz)
	}
	return types.T(types.Text)
}

func isWord(s []byte, w string) bool { return len(s) == len(w) && strings.EqualFold(string(s), w) }

func isFloatWord(s []byte) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	return isWord(s, "nan") || isWord(s, "inf") || isWord(s, "infinity")
}

// numberShape recognises decimal numbers. A number with leading zeros, such as
// a postal code, is no number: reading it as one would lose them.
func numberShape(s []byte) (isInt, isNum bool) {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	i := 0
	for i < len(s) && s[i]-'0' < 10 {
		i++
	}
	whole := i
	if whole > 1 && s[0] == '0' {
		return false, false
	}
	if i == len(s) {
		return whole > 0, whole > 0
	}
	frac := 0
	if s[i] == '.' {
		for i++; i < len(s) && s[i]-'0' < 10; i++ {
			frac++
		}
	}
	if whole+frac == 0 {
		return false, false
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		from := i
		for i < len(s) && s[i]-'0' < 10 {
			i++
		}
		if i == from {
			return false, false
		}
	}
	if i != len(s) {
		return false, false
	}
	_, err := types.ParseFloat8(s)
	return false, err == nil
}

// cutZone splits Z, +HH, +HHMM or +HH:MM off a timestamp.
func cutZone(s []byte) (body []byte, zone bool) {
	n := len(s)
	if n > 16 && s[n-1] == 'Z' {
		return s[:n-1], true
	}
	for _, w := range []int{3, 5, 6} {
		if n-w < 16 || s[n-w] != '+' && s[n-w] != '-' {
			continue
		}
		z := string(s[n-w+1:])
		if w == 6 {
			if z[2] != ':' {
				continue
			}
			z = z[:2] + z[3:]
		}
		if strings.Trim(z, "0123456789") == "" {
			return s[:n-w], true
		}
	}
	return s, false
}

// cell is one field of a sampled record.
type cell struct {
	val    []byte
	quoted bool
}

// split returns the fields of the record that starts at pos in data, and where
// the next one starts; ok is false when it is not complete.
func (d *dialect) split(data []byte, pos int, into []cell) (cells []cell, next int, ok bool) {
	next, ok = d.recordEnd(data, pos)
	if !ok {
		return into[:0], pos, false
	}
	end := next - 1
	if end > pos && data[end-1] == '\r' {
		end--
	}
	cells = into[:0]
	for fs := pos; ; {
		i, quoted := fs, false
		if d.quote != 0 && i < end && data[i] == d.quote {
			quoted = true
			i = d.endQuote(data, i+1) + 1
		}
		for i < end && data[i] != d.delim {
			i++
		}
		raw := data[fs:i]
		if quoted && raw[len(raw)-1] == d.quote {
			raw = d.cook(nil, raw)
		}
		cells = append(cells, cell{raw, quoted})
		if i >= end {
			return cells, next, true
		}
		fs = i + 1
	}
}

// sample is some records of a file.
type sample struct {
	records [][]cell
}

// take adds up to limit records of data from pos on, without empty lines.
func (s *sample) take(d *dialect, data []byte, pos, limit int) {
	for len(s.records) < limit && pos < len(data) {
		cells, next, ok := d.split(data, pos, nil)
		if !ok {
			return
		}
		pos = next
		if len(cells) == 1 && len(cells[0].val) == 0 && !cells[0].quoted {
			continue
		}
		s.records = append(s.records, cells)
	}
}

// sniffDelimiter picks the delimiter by which most of the first records have the
// same number of fields, more than one; the larger number if two are as good.
func sniffDelimiter(d dialect, data []byte, pos int) byte {
	best, bestShare, bestCount := byte(','), 0.0, 1
	for _, c := range []byte{',', '\t', ';', '|'} {
		d.delim = c
		var s sample
		s.take(&d, data, pos, 200)
		counts := map[int]int{}
		for _, r := range s.records {
			counts[len(r)]++
		}
		mode := 1
		for n, k := range counts {
			if k > counts[mode] || k == counts[mode] && n > mode {
				mode = n
			}
		}
		if mode < 2 {
			continue
		}
		share := float64(counts[mode]) / float64(len(s.records))
		if share > bestShare || share == bestShare && mode > bestCount {
			best, bestShare, bestCount = c, share, mode
		}
	}
	return best
}

// sniffHeader tells whether the first record names the columns: no name is
// empty, NULL or a number, and either some column's values have another type
// than its name, or all are text and no name occurs among its column's values.
func sniffHeader(first []cell, guesses []guess, rest [][]cell) bool {
	seen := map[string]bool{}
	for _, c := range first {
		name := strings.TrimSpace(string(c.val))
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
		if _, num := numberShape(c.val); num {
			return false
		}
	}
	for i, c := range first {
		if i < len(guesses) && guesses[i].values > 0 && guesses[i].typ().ID != types.Text {
			g := guesses[i]
			g.add(c.val)
			if g.typ().ID == types.Text {
				return true
			}
			return false // the name would be a value like the others
		}
	}
	for _, r := range rest {
		for i, c := range r {
			if i < len(first) && string(c.val) == string(first[i].val) {
				return false
			}
		}
	}
	return true
}

// columnNames makes names out of a header: trimmed, empty ones numbered, and
// repeated ones with a suffix.
func columnNames(first []cell, header bool) []string {
	names := make([]string, len(first))
	taken := map[string]bool{}
	for i, c := range first {
		name := ""
		if header {
			name = strings.TrimSpace(strings.ToValidUTF8(string(c.val), "?"))
		}
		if name == "" {
			name = "column" + itoa(i+1)
		}
		base := name
		for k := 1; taken[name]; k++ {
			name = base + "_" + itoa(k)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

// guessColumns narrows types by records; null is the unquoted NULL.
func guessColumns(guesses []guess, records [][]cell, null string) {
	for _, r := range records {
		for i, c := range r {
			// An empty value is no evidence, quoted or not: in a column of numbers
			// it can only mean NULL, and text takes it as it is.
			if i < len(guesses) && len(c.val) > 0 && (c.quoted || string(c.val) != null) {
				guesses[i].add(c.val)
			}
		}
	}
}

func fieldIndex(fs []vector.Field, name string) int {
	for i, f := range fs {
		if f.Name == name {
			return i
		}
	}
	return -1
}
