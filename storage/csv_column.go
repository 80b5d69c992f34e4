package storage

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// fieldError is a value that does not fit its column.
type fieldError struct {
	row int // of the block
	err error
	raw []byte
}

// column gathers one column of the batch under way.
type column struct {
	field int // in the file
	name  string
	typ   types.Type
	null  string
	// cookedNull: a quoted value can be the null string too (FORCE_NULL);
	// neverNull: no value is (FORCE_NOT_NULL).
	cookedNull, neverNull bool

	n       int // rows so far
	cap     int
	vec     *vector.Vector // fixed-width values
	valid   []byte         // nil while there is no NULL
	offs    []int32        // text
	bytes   []byte
	builder *vector.Builder // any other type
	parse   func(b *vector.Builder, s []byte) error
	text    *types.TextOptions
	scratch []byte
	// Patterns of dates and timestamps; nil = ISO.
	date, stamp *timeFormat

	// Of arrays in JSON: the elements of one, and their parser.
	elem   func(b *vector.Builder, s []byte) error
	elems  *vector.Builder
	tok    jsonTok
	copied []byte
}

func newColumn(field int, f vector.Field, null string, text *types.TextOptions) *column {
	return &column{field: field, name: f.Name, typ: f.Type, null: null, text: text}
}

// begin starts a batch of up to capacity rows.
func (c *column) begin(capacity int) {
	c.n, c.cap, c.valid = 0, capacity, nil
	switch c.typ.ID {
	case types.Int8, types.Float8, types.Date, types.Timestamp, types.Int4, types.Bool:
		c.vec = vector.New(c.typ, capacity)
		return
	case types.Text:
		c.offs = make([]int32, 1, capacity+1)
		c.bytes = make([]byte, 0, max(len(c.bytes)+len(c.bytes)/8, 1024))
		return
	case types.Varchar:
		if _, limited := c.typ.Length(); !limited {
			c.offs = make([]int32, 1, capacity+1)
			c.bytes = make([]byte, 0, max(len(c.bytes)+len(c.bytes)/8, 1024))
			return
		}
	}
	c.builder = vector.NewBuilder(c.typ, capacity)
	if c.parse == nil {
		c.parse = vector.TextParser(c.typ, c.text)
		if c.typ.ID == types.Timestamptz && c.stamp != nil {
			c.parse = c.patternTimestamptz
		}
	}
}

func (c *column) patternDate(s []byte) (int32, error) {
	us, ok := c.date.parse(s)
	if !ok {
		return 0, c.date.error(c.typ, s)
	}
	return int32(floorDiv(us, 86400e6)), nil
}

func (c *column) patternTimestamp(s []byte) (int64, error) {
	us, ok := c.stamp.parse(s)
	if !ok {
		return 0, c.stamp.error(c.typ, s)
	}
	return us, nil
}

// patternTimestamptz takes values without an offset in the session's time zone.
func (c *column) patternTimestamptz(b *vector.Builder, s []byte) error {
	us, err := c.patternTimestamp(s)
	if err == nil && !c.stamp.zoned() && c.text != nil && c.text.Location != nil {
		us, err = types.TimestampToTimestamptz(us, c.text.Location)
	}
	if err == nil {
		vector.Append(b, us)
	}
	return err
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// finish returns the batch's vector.
func (c *column) finish() *vector.Vector {
	switch {
	case c.builder != nil:
		return c.builder.Build()
	case c.offs != nil:
		v := vector.FromBytes(c.typ, c.offs, c.bytes)
		if c.valid != nil {
			v = v.WithValid(c.valid[:(c.n+7)/8])
		}
		return v
	}
	c.vec.Valid = c.valid
	return vector.Slice(c.vec, 0, c.n)
}

// held is the bytes of variable-length data so far.
func (c *column) held() int {
	if c.builder != nil {
		return int(c.builder.Size())
	}
	return len(c.bytes)
}

func (c *column) setNull(i int) {
	if c.valid == nil {
		c.valid = vector.NewValid(c.cap)
	}
	vector.SetNull(c.valid, i)
}

func (c *column) isNull(raw []byte, cooked bool) bool {
	return !c.neverNull && string(raw) == c.null && (!cooked || c.cookedNull)
}

// add converts the column's fields of a block. bad gets the rows that do not
// fit, as NULL, when it is not nil; otherwise add stops at the first.
func (c *column) add(b *block, d *dialect, bad []bool) *fieldError {
	switch c.typ.ID {
	case types.Int8:
		return addFixed(c, b, d, bad, parseInt8)
	case types.Float8:
		return addFixed(c, b, d, bad, parseFloat8)
	case types.Int4:
		return addFixed(c, b, d, bad, func(s []byte) (int32, error) {
			if v, ok := fastInt(s); ok && v == int64(int32(v)) {
				return int32(v), nil
			}
			return types.ParseInt4(s)
		})
	case types.Bool:
		return addFixed(c, b, d, bad, types.ParseBool[[]byte])
	case types.Date:
		if c.date != nil {
			return addFixed(c, b, d, bad, c.patternDate)
		}
		return addFixed(c, b, d, bad, func(s []byte) (int32, error) {
			if v, ok := fastDate(s); ok {
				return v, nil
			}
			return types.ParseDate(s, c.text)
		})
	case types.Timestamp:
		if c.stamp != nil {
			return addFixed(c, b, d, bad, c.patternTimestamp)
		}
		return addFixed(c, b, d, bad, func(s []byte) (int64, error) {
			if v, ok := fastTimestamp(s); ok {
				return v, nil
			}
			return types.ParseTimestamp(s, c.text)
		})
	}
	if c.offs != nil {
		return c.addText(b, d, bad)
	}
	return c.addAny(b, d, bad)
}

// addFixed is the loop of the fixed-width types. The call of parse is direct
// work per value of tens of nanoseconds, next to which the indirection is small.
func addFixed[T vector.Fixed](c *column, b *block, d *dialect, bad []bool, parse func([]byte) (T, error)) *fieldError {
	vals := vector.Values[T](c.vec)[c.n:]
	for r := range b.rows {
		raw, cooked := b.field(r, c.field)
		val := raw
		if cooked {
			c.scratch = d.cook(c.scratch[:0], raw)
			val = c.scratch
		}
		// Before parsing: N, which \N stands for without its backslash, is a boolean.
		if (cooked || len(raw) == len(c.null)) && c.isNullOf(raw, val, cooked, d) {
			c.setNull(c.n + r)
			continue
		}
		v, err := parse(val)
		if err == nil {
			vals[r] = v
			continue
		}
		if bad == nil {
			return &fieldError{row: r, err: err, raw: bytes.Clone(val)}
		}
		bad[r] = true
		c.setNull(c.n + r)
	}
	c.n += b.rows
	return nil
}

// isNullOf is isNull on a cooked field; the text format compares the raw bytes.
func (c *column) isNullOf(raw, val []byte, cooked bool, d *dialect) bool {
	if d.text {
		return string(raw) == c.null
	}
	return c.isNull(val, cooked)
}

func (c *column) addText(b *block, d *dialect, bad []bool) *fieldError {
	from := len(c.bytes)
	data, offs := c.bytes, c.offs
	for r := range b.rows {
		raw, cooked := b.field(r, c.field)
		switch {
		case !cooked:
			if c.isNull(raw, false) {
				c.setNull(c.n + r)
			} else {
				data = append(data, raw...)
			}
		default:
			at := len(data)
			data = d.cook(data, raw)
			if c.isNullOf(raw, data[at:], true, d) {
				data = data[:at]
				c.setNull(c.n + r)
			}
		}
		offs = append(offs, int32(len(data)))
	}
	c.bytes, c.offs = data, offs
	if !plainASCII(data[from:]) {
		// Whole fields, since two broken halves can join to a valid character.
		for r := range b.rows {
			s := data[offs[c.n+r]:offs[c.n+r+1]]
			if err := checkUTF8(s); err != nil {
				if bad == nil {
					return &fieldError{row: r, err: err, raw: nil}
				}
				bad[r] = true
			}
		}
	}
	c.n += b.rows
	return nil
}

func (c *column) addAny(b *block, d *dialect, bad []bool) *fieldError {
	for r := range b.rows {
		raw, cooked := b.field(r, c.field)
		val := raw
		if cooked {
			c.scratch = d.cook(c.scratch[:0], raw)
			val = c.scratch
		}
		if c.isNullOf(raw, val, cooked, d) {
			c.builder.AppendNull()
			continue
		}
		err := checkUTF8(val)
		if err == nil {
			err = c.parse(c.builder, val)
		}
		if err != nil {
			if bad == nil {
				return &fieldError{row: r, err: err, raw: bytes.Clone(val)}
			}
			bad[r] = true
			c.builder.AppendNull()
		}
	}
	c.n += b.rows
	return nil
}

// plainASCII reports that s has bytes 1 to 127 only.
func plainASCII(s []byte) bool {
	var or byte
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := leUint64(s[i:])
		if w&0x8080808080808080 != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		or |= s[i]
	}
	return or < 0x80 && bytes.IndexByte(s, 0) < 0
}

// checkUTF8 refuses what Postgres refuses in text: broken UTF-8 and NUL.
func checkUTF8(s []byte) error {
	i := 0
	for i < len(s) {
		if c := s[i]; c < 0x80 {
			if c == 0 {
				break
			}
			i++
			continue
		}
		r, w := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && w == 1 {
			break
		}
		i += w
	}
	if i == len(s) {
		return nil
	}
	n := 1
	switch c := s[i]; {
	case c >= 0xf0 && c < 0xf8:
		n = 4
	case c >= 0xe0:
		n = 3
	case c >= 0xc0:
		n = 2
	}
	var hex strings.Builder
	for j, c := range s[i:min(i+n, len(s))] {
		if j > 0 {
			hex.WriteByte(' ')
		}
		const digits = "0123456789abcdef"
		hex.WriteString("0x" + string(digits[c>>4]) + string(digits[c&15]))
	}
	return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", hex.String())
}
