package storage

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// dialect is the syntax of delimited text, resolved from options.
type dialect struct {
	delim  byte
	quote  byte // 0 = none
	escape byte // inside quotes; equal to quote when doubled
	text   bool // Postgres' text format: backslash escapes, no quotes
	// copy selects Postgres' rules of COPY csv: a quote toggles quoting anywhere
	// in a field, empty lines are records, a line of \. ends the data. Files are
	// read by RFC 4180: a quote is special only where a field starts, and after
	// the closing quote the field ends.
	copy bool
}

// Field ends carry a flag in their top bit: the field is quoted or escaped and
// its value is not the bytes as they stand.
const (
	fieldCooked = 1 << 31
	fieldMask   = fieldCooked - 1
)

// block is a run of tokenised records over a buffer. Field c of row r is
// data[start:end] where end is ends[r*ncols+c] and start follows the end of the
// field before it, or is starts[r] for the first.
type block struct {
	data   []byte
	ncols  int
	rows   int
	max    int
	starts []uint32
	ends   []uint32
}

func newBlock(ncols, maxRows int) *block {
	return &block{
		ncols: ncols, max: maxRows,
		starts: make([]uint32, maxRows+1),
		ends:   make([]uint32, (maxRows+1)*ncols+1),
	}
}

// field returns the raw bytes of a field.
func (b *block) field(r, c int) (raw []byte, cooked bool) {
	k := r*b.ncols + c
	from := b.starts[r]
	if c > 0 {
		from = b.ends[k-1]&fieldMask + 1
	}
	e := b.ends[k]
	to := e & fieldMask
	return b.data[from:to:to], e&fieldCooked != 0
}

// badRecord says what is wrong with a record's syntax.
type badRecord uint8

const (
	recordFine       badRecord = iota
	recordMissing              // fewer fields than columns
	recordExtra                // more fields than columns
	recordAfterQuote           // something between a closing quote and the delimiter
	recordUnterminated
)

// stop is why tokenize returned.
type stop struct {
	next int       // where to go on: the start of a record
	eod  bool      // an end-of-data mark was read
	bad  badRecord // of the record that starts at next
	col  int       // its field at fault
	// after is the start of the record behind a bad one.
	after int
	more  bool // the record at next is incomplete: more data is needed
}

const (
	ones = 0x0101010101010101
	low7 = 0x7f7f7f7f7f7f7f7f
)

// eqMask sets bit 7 of exactly the bytes of w that equal the byte in pattern.
func eqMask(w, pattern uint64) uint64 {
	x := w ^ pattern
	return ^((x&low7 + low7) | x | low7)
}

// tokenize fills b with records from data[pos:n], n = len(data). The slice must
// have at least 8 bytes of capacity behind n. final tells that data ends at the
// end of the input (and with a newline, which the caller adds where it lacks).
func (d *dialect) tokenize(b *block, data []byte, pos int, final bool) stop {
	b.data, b.rows = data, 0
	n := len(data)
	padded := data[: n+8 : n+8]
	ncols, ends, starts := b.ncols, b.ends, b.starts
	special := d.quote
	if d.text {
		special = '\\'
	}
	pDelim, pSpecial := ones*uint64(d.delim), ones*uint64(special)
	if special == 0 {
		pSpecial = pDelim
	}
	const pNL = ones * '\n'
	k, rowBase := 0, 0 // next field and first field of the row, in ends
	starts[0] = uint32(pos)
	fs := pos // start of the field
	flag := uint32(0)
	i := pos
words:
	for i < n {
		w := binary.LittleEndian.Uint64(padded[i:])
		m := eqMask(w, pDelim) | eqMask(w, pNL) | eqMask(w, pSpecial)
		if n-i < 8 {
			m &= 1<<(8*uint(n-i)) - 1
		}
		for m != 0 {
			p := i + bits.TrailingZeros64(m)>>3
			m &= m - 1
			switch data[p] {
			case d.delim:
				if k-rowBase >= ncols-1 {
					return d.badAt(b, final, recordExtra, ncols)
				}
				ends[k] = uint32(p) | flag
				k++
				flag = 0
				fs = p + 1
			case '\n':
				e := p
				if e > fs && data[e-1] == '\r' {
					e-- // outside quotes: a closing quote would stand behind it
				}
				if k == rowBase && e == fs && ncols > 1 && !d.copy && !d.text {
					// An empty line between records.
					fs = p + 1
					starts[b.rows] = uint32(fs)
					continue
				}
				if k == rowBase && (d.copy || d.text) && isEndMark(data[fs:p]) {
					return stop{next: p + 1, eod: true}
				}
				if k-rowBase != ncols-1 {
					return d.badAt(b, final, recordMissing, k-rowBase+1)
				}
				ends[k] = uint32(e) | flag
				k++
				flag = 0
				rowBase = k
				b.rows++
				fs = p + 1
				starts[b.rows] = uint32(fs)
				if b.rows == b.max {
					return stop{next: fs}
				}
			default: // special
				switch {
				case d.text:
					flag = fieldCooked
					i = p + 2
					continue words
				case d.copy:
					flag = fieldCooked
					i = d.endQuote(data, p+1)
					if i < 0 {
						break words
					}
					i++
					continue words
				case p == fs:
					q := d.endQuote(data, p+1)
					if q < 0 || q+1 >= n {
						break words
					}
					flag = fieldCooked
					q++
					if data[q] == '\r' && q+1 < n && data[q+1] == '\n' {
						// The value ends at the quote; step over the carriage return.
						if k-rowBase != ncols-1 {
							return d.badAt(b, final, recordMissing, k-rowBase+1)
						}
						ends[k] = uint32(q) | flag
						k++
						flag = 0
						rowBase = k
						b.rows++
						fs = q + 2
						starts[b.rows] = uint32(fs)
						if b.rows == b.max {
							return stop{next: fs}
						}
						i = fs
						continue words
					}
					if data[q] == '\r' && q+1 >= n && !final {
						break words
					}
					if data[q] != d.delim && data[q] != '\n' {
						return d.badAt(b, final, recordAfterQuote, k-rowBase)
					}
					i = q
					continue words
				}
				// A quote inside an unquoted field stands for itself.
			}
		}
		i += 8
	}
	at := int(starts[b.rows])
	if at >= n {
		return stop{next: n}
	}
	if final {
		return stop{next: at, bad: recordUnterminated, col: min(k-rowBase, ncols-1), after: n}
	}
	return stop{next: at, more: true}
}

// badAt reports the record under way as bad, once its end is known.
func (d *dialect) badAt(b *block, final bool, what badRecord, col int) stop {
	at := int(b.starts[b.rows])
	after, ok := d.recordEnd(b.data, at)
	if !ok {
		if !final {
			return stop{next: at, more: true}
		}
		what, after = recordUnterminated, len(b.data)
	}
	return stop{next: at, bad: what, col: col, after: after}
}

// recordEnd returns the position behind the record that starts at pos, without
// regard to its fields; false if it does not end in data.
func (d *dialect) recordEnd(data []byte, pos int) (int, bool) {
	fs := pos
	for i := pos; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\n':
			return i + 1, true
		case c == d.delim:
			fs = i + 1
		case d.text && c == '\\':
			i++
		case c == d.quote && c != 0 && !d.text && (d.copy || i == fs):
			q := d.endQuote(data, i+1)
			if q < 0 {
				return 0, false
			}
			i = q
		}
	}
	return 0, false
}

// endQuote returns the position of the quote that closes the quoted text which
// starts at pos, -1 if there is none in data or what follows it must be seen to
// tell.
func (d *dialect) endQuote(data []byte, pos int) int {
	if d.escape == d.quote {
		for {
			j := bytes.IndexByte(data[pos:], d.quote)
			if j < 0 {
				return -1
			}
			pos += j
			if pos+1 >= len(data) {
				return -1
			}
			if data[pos+1] != d.quote {
				return pos
			}
			pos += 2
		}
	}
	for ; pos < len(data); pos++ {
		switch c := data[pos]; {
		case c == d.escape:
			if pos+1 >= len(data) {
				return -1
			}
			if data[pos+1] == d.quote || data[pos+1] == d.escape {
				pos++
			}
		case c == d.quote:
			return pos
		}
	}
	return -1
}

func isEndMark(line []byte) bool {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return len(line) == 2 && line[0] == '\\' && line[1] == '.'
}

// cook appends the value of a quoted or escaped field.
func (d *dialect) cook(dst, raw []byte) []byte {
	if d.text {
		return cookText(dst, raw)
	}
	if d.copy {
		return d.cookCopy(dst, raw)
	}
	raw = raw[1 : len(raw)-1]
	for {
		j := bytes.IndexByte(raw, d.escape)
		if j < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:j]...)
		if j+1 < len(raw) && (raw[j+1] == d.quote || raw[j+1] == d.escape) {
			j++
		}
		dst = append(dst, raw[j])
		raw = raw[j+1:]
	}
}

// cookCopy follows Postgres: quotes may stand anywhere in the field.
func (d *dialect) cookCopy(dst, raw []byte) []byte {
	in := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case in && c == d.escape && i+1 < len(raw) && (raw[i+1] == d.quote || raw[i+1] == d.escape):
			i++
			dst = append(dst, raw[i])
		case c == d.quote:
			in = !in
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// cookText resolves the backslash escapes of the text format.
func cookText(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = raw[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		case 'x':
			if v, w := digits(raw[i+1:], 2, 16); w > 0 {
				c = byte(v)
				i += w
			}
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v, w := digits(raw[i:], 3, 8)
			c = byte(v)
			i += w - 1
		}
		dst = append(dst, c)
	}
	return dst
}

// digits reads up to limit digits of a base and returns their value and number.
func digits(s []byte, limit int, base uint) (v uint, n int) {
	for n < limit && n < len(s) {
		c := uint(s[n])
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return v, n
		}
		if c >= base {
			return v, n
		}
		v = v*base + c
		n++
	}
	return v, n
}
