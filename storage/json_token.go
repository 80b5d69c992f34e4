package storage

import (
	"bytes"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

// What a slot holds.
const (
	jsonNull    = iota // null, or the key is absent
	jsonString         // without escapes; the quotes are not part of the slot
	jsonEscaped        // with escapes
	jsonInt            // a number of digits, with or without a minus
	jsonNumber         // any other number
	jsonTrue
	jsonFalse
	jsonNested // an object or array, with its brackets
)

const (
	jsonKindShift = 29
	jsonEndMask   = 1<<jsonKindShift - 1
	maxJSONDepth  = 1000
)

// jsonSlot is the value of one column of one object: p[from:end], with the kind in
// the top bits of end.
type jsonSlot struct{ from, end uint32 }

func (s jsonSlot) kind() int             { return int(s.end >> jsonKindShift) }
func (s jsonSlot) bytes(p []byte) []byte { return p[s.from : s.end&jsonEndMask] }

// jsonKey is a key that the file is known to have.
type jsonKey struct {
	pat         string // the key and its closing quote
	first, mask uint64 // its first eight bytes, to compare at once
	slot        int    // -1: no column of the scan
}

// jsonTok scans objects without building anything: it checks the syntax of all
// and notes where the values of some keys are. Keys are expected in the order in
// which they came in the object before, which makes finding one a comparison of
// eight bytes.
type jsonTok struct {
	// p is the text up to n, where a zero byte stands, and eight more bytes: every
	// scan stops at n by itself.
	p  []byte
	n  int
	nl byte // '\n' where it is white space, ' ' where it ends the object

	keys   []jsonKey
	index  map[string]int
	strict bool // keys that are not in index are errors

	// Of the failure: where, and what was expected there.
	at   int
	want string
	name []byte // scratch of a decoded key
}

func newJSONTok(names []string, slots []int, lines, strict bool) *jsonTok {
	t := &jsonTok{nl: '\n', index: make(map[string]int, len(names)), strict: strict}
	if lines {
		t.nl = ' '
	}
	for i, name := range names {
		k := jsonKey{pat: name + `"`, slot: slots[i]}
		var w [8]byte
		n := copy(w[:], k.pat)
		k.first = leUint64(w[:])
		k.mask = ^uint64(0) >> (64 - 8*n)
		t.keys = append(t.keys, k)
		t.index[name] = i
	}
	return t
}

// reset gives the text buf[:n]; buf must have room for nine bytes more.
func (t *jsonTok) reset(buf []byte, n int) {
	t.p, t.n = buf[:n+9:n+9], n
	clear(t.p[n:])
}

func (t *jsonTok) fail(at int, want string) int {
	t.at, t.want = at, want
	return -1
}

// space returns the position of the first byte from i on that is no white space.
func (t *jsonTok) space(i int) int {
	for {
		switch c := t.p[i]; {
		case c == ' ', c == '\t', c == '\r', c == t.nl:
			i++
		default:
			return i
		}
	}
}

// object scans the object at i and returns the position behind it, -1 if it is
// not one or not complete. Of a key that comes twice the last value counts.
func (t *jsonTok) object(i int, slots []jsonSlot) int {
	p, keys := t.p, t.keys
	if p[i] != '{' {
		return t.fail(i, "an object")
	}
	if i = t.space(i + 1); p[i] == '}' {
		return i + 1
	}
	next := 0
	for {
		if p[i] != '"' {
			return t.fail(i, "a key in double quotes")
		}
		i++
		k := next
		if w := leUint64(p[i:]); k < len(keys) && (w^keys[k].first)&keys[k].mask == 0 && t.rest(&keys[k], i) {
			i += len(keys[k].pat)
		} else if k, i = t.key(i, next); i < 0 {
			return -1
		}
		slot := -1
		if k >= 0 {
			next, slot = k+1, keys[k].slot
		}
		if p[i] <= ' ' {
			i = t.space(i)
		}
		if p[i] != ':' {
			return t.fail(i, "a colon")
		}
		if i++; p[i] <= ' ' {
			i = t.space(i)
		}
		from, end, kind := i, 0, 0
		switch c := p[i]; {
		case c == '"':
			from++
			end, kind = t.str(from)
			i = end + 1
		case c-'0' < 10 || c == '-':
			end, kind = t.number(i)
			i = end
		default:
			end, kind = t.other(i, 1)
			i = end
		}
		if end < 0 {
			return -1
		}
		if slot >= 0 {
			slots[slot] = jsonSlot{uint32(from), uint32(end) | uint32(kind)<<jsonKindShift}
		}
		c := p[i]
		if c <= ' ' {
			i = t.space(i)
			c = p[i]
		}
		if c == '}' {
			return i + 1
		}
		if c != ',' {
			return t.fail(i, "a comma or a closing brace")
		}
		if i++; p[i] <= ' ' {
			i = t.space(i)
		}
	}
}

// rest compares a key behind its first eight bytes.
func (t *jsonTok) rest(k *jsonKey, i int) bool {
	if len(k.pat) <= 8 {
		return true
	}
	end := i + len(k.pat)
	return end <= len(t.p) && string(t.p[i+8:end]) == k.pat[8:]
}

// key finds the key whose text begins at i, -1 if it is none of the known, and
// the position behind its quote.
func (t *jsonTok) key(i, next int) (k, after int) {
	// One or two keys may be left out.
	w := leUint64(t.p[i:])
	for k := next + 1; k < min(next+3, len(t.keys)); k++ {
		if (w^t.keys[k].first)&t.keys[k].mask == 0 && t.rest(&t.keys[k], i) {
			return k, i + len(t.keys[k].pat)
		}
	}
	end, kind := t.str(i)
	if end < 0 {
		return -1, -1
	}
	name := t.p[i:end]
	if kind == jsonEscaped {
		var err error
		if t.name, err = jsonUnescape(t.name[:0], name); err != nil {
			return -1, t.fail(i, "a key that is text")
		}
		name = t.name
	}
	k, ok := t.index[string(name)]
	if !ok {
		if t.strict {
			t.name = append(t.name[:0], name...)
			return -1, t.fail(i, "")
		}
		return -1, end + 1
	}
	return k, end + 1
}

const highs = ones * 0x80

// str scans a string from behind its quote and returns the position of the one
// that closes it.
func (t *jsonTok) str(i int) (end, kind int) {
	p := t.p
	kind = jsonString
	for {
		w := leUint64(p[i:])
		q, b := w^(ones*'"'), w^(ones*'\\')
		// The lowest bit of each of the three is exact, so that of their union is.
		m := ((w-ones*0x20)&^w | (q-ones)&^q | (b-ones)&^b) & highs
		if m == 0 {
			if i += 8; i > t.n {
				return t.fail(t.n, "a closing quote"), 0
			}
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		switch p[i] {
		case '"':
			return i, kind
		case '\\':
			kind = jsonEscaped
			switch p[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				for j := i + 2; j < i+6; j++ {
					if j >= t.n || hexDigit(p[j]) < 0 {
						return t.fail(min(j, t.n), "four hexadecimal digits after \\u"), 0
					}
				}
				i += 6
			default:
				return t.fail(i+1, "an escape"), 0
			}
		default:
			return t.fail(i, "a closing quote"), 0
		}
	}
}

// number scans a number.
func (t *jsonTok) number(i int) (end, kind int) {
	p := t.p
	if p[i] == '-' {
		i++
	}
	switch c := p[i]; {
	case c == '0':
		i++
	case c-'1' < 9:
		for i++; p[i]-'0' < 10; i++ {
		}
	default:
		return t.fail(i, "a digit"), 0
	}
	kind = jsonInt
	if p[i] == '.' {
		kind = jsonNumber
		if i++; p[i]-'0' > 9 {
			return t.fail(i, "a digit"), 0
		}
		for i++; p[i]-'0' < 10; i++ {
		}
	}
	if p[i]|0x20 == 'e' {
		kind = jsonNumber
		i++
		if p[i] == '+' || p[i] == '-' {
			i++
		}
		if p[i]-'0' > 9 {
			return t.fail(i, "a digit"), 0
		}
		for i++; p[i]-'0' < 10; i++ {
		}
	}
	if i >= t.n {
		return t.fail(t.n, "the end of the number"), 0 // it may go on behind what was read
	}
	return i, kind
}

// other scans a word, an array or an object.
func (t *jsonTok) other(i, depth int) (end, kind int) {
	p := t.p
	word := func(w string, kind int) (int, int) {
		for j := range len(w) {
			if p[min(i+j, t.n)] != w[j] {
				return t.fail(min(i+j, t.n), "a value"), 0
			}
		}
		return i + len(w), kind
	}
	switch p[i] {
	case 'n':
		return word("null", jsonNull)
	case 't':
		return word("true", jsonTrue)
	case 'f':
		return word("false", jsonFalse)
	case '{', '[':
		return t.nested(i, depth), jsonNested
	}
	return t.fail(i, "a value"), 0
}

// value scans any value and returns the position behind it.
func (t *jsonTok) value(i, depth int) (end, kind int) {
	switch c := t.p[i]; {
	case c == '"':
		if end, kind = t.str(i + 1); end >= 0 {
			end++
		}
		return end, kind
	case c-'0' < 10 || c == '-':
		return t.number(i)
	}
	return t.other(i, depth)
}

// nested scans an array or object whose values are of no interest.
func (t *jsonTok) nested(i, depth int) int {
	p := t.p
	if depth > maxJSONDepth {
		return t.fail(i, "fewer levels")
	}
	object := p[i] == '{'
	closing := byte(']')
	if object {
		closing = '}'
	}
	if i = t.space(i + 1); p[i] == closing {
		return i + 1
	}
	for {
		if object {
			if p[i] != '"' {
				return t.fail(i, "a key in double quotes")
			}
			if i, _ = t.str(i + 1); i < 0 {
				return -1
			}
			if i = t.space(i + 1); p[i] != ':' {
				return t.fail(i, "a colon")
			}
			i = t.space(i + 1)
		}
		if i, _ = t.value(i, depth+1); i < 0 {
			return -1
		}
		if i = t.space(i); p[i] == closing {
			return i + 1
		}
		if p[i] != ',' {
			return t.fail(i, "a comma or a closing bracket")
		}
		i = t.space(i + 1)
	}
}

func hexDigit(c byte) int {
	switch {
	case c-'0' < 10:
		return int(c - '0')
	case c|0x20-'a' < 6:
		return int(c|0x20-'a') + 10
	}
	return -1
}

// jsonUnescape appends the value of a string that str has checked. Half a
// surrogate pair and the zero character are no text.
func jsonUnescape(dst, s []byte) ([]byte, error) {
	for {
		j := bytes.IndexByte(s, '\\')
		if j < 0 {
			return append(dst, s...), nil
		}
		dst = append(dst, s[:j]...)
		c := s[j+1]
		s = s[j+2:]
		switch c {
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
		case 'u':
			r := hex4(s)
			s = s[4:]
			if utf16.IsSurrogate(r) {
				if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
					r = utf8.RuneError
				} else if r = utf16.DecodeRune(r, hex4(s[2:])); r != utf8.RuneError {
					s = s[6:]
				}
				if r == utf8.RuneError {
					return dst, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type json").
						WithDetail("Unicode low surrogate must follow a high surrogate.")
				}
			}
			if r == 0 {
				return dst, pgerr.New(pgerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
					WithDetail("\\u0000 cannot be converted to text.")
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

func hex4(s []byte) rune {
	r := 0
	for _, c := range s[:4] {
		r = r<<4 | hexDigit(c)
	}
	return rune(r)
}
