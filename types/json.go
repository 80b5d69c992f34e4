package types

import (
	"bytes"
	"encoding/json"
	"sort"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

// CheckJSON reports what is not JSON as 22P02.
func CheckJSON(s []byte) error {
	if json.Valid(s) {
		return nil
	}
	detail := "The input string ended unexpectedly."
	var v json.RawMessage
	if err, ok := json.Unmarshal(s, &v).(*json.SyntaxError); ok && err.Offset > 0 && int(err.Offset) <= len(s) {
		at := int(err.Offset) - 1
		n := at
		for n < len(s) && (isAlpha(s[n]) || isDigit(s[n])) {
			n++
		}
		for at > 0 && n > at && (isAlpha(s[at-1]) || isDigit(s[at-1])) {
			at--
		}
		if len(bytes.TrimSpace(s[at:])) > 0 {
			detail = "Token \"" + string(s[at:max(n, at+1)]) + "\" is invalid."
		}
	}
	return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type json").WithDetail("%s", detail)
}

// AppendJSONB appends the normal form of the JSON text s as jsonb prints it:
// one blank behind : and , and keys in jsonb's order, the last of equal ones.
// Errors are 22P02, 22P05 and 22003.
func AppendJSONB(dst, s []byte) ([]byte, error) {
	if err := CheckJSON(s); err != nil {
		return dst, err
	}
	n := len(dst)
	w := jsonWriter{s: s, dst: dst}
	if err := w.value(); err != nil {
		return dst[:n], err
	}
	return w.dst, nil
}

// jsonWriter copies valid JSON.
type jsonWriter struct {
	s   []byte
	i   int
	dst []byte
}

func (w *jsonWriter) skip() {
	for w.i < len(w.s) && isSpace(w.s[w.i]) {
		w.i++
	}
}

func (w *jsonWriter) value() error {
	w.skip()
	switch c := w.s[w.i]; c {
	case '{':
		return w.object()
	case '[':
		w.i++
		w.dst = append(w.dst, '[')
		for first := true; ; first = false {
			if w.skip(); w.s[w.i] == ']' {
				w.i++
				w.dst = append(w.dst, ']')
				return nil
			}
			if !first {
				w.i++ // the comma
				w.dst = append(w.dst, ',', ' ')
			}
			if err := w.value(); err != nil {
				return err
			}
		}
	case '"':
		t, err := w.str()
		w.dst = appendJSONString(w.dst, t)
		return err
	case 't', 'f', 'n':
		n := 4
		if c == 'f' {
			n = 5
		}
		w.dst = append(w.dst, w.s[w.i:w.i+n]...)
		w.i += n
		return nil
	}
	from := w.i
	for w.i < len(w.s) && (isDigit(w.s[w.i]) || isAlpha(w.s[w.i]) || bytes.IndexByte([]byte("+-."), w.s[w.i]) >= 0) {
		w.i++
	}
	d, err := ParseNumeric(w.s[from:w.i])
	w.dst = AppendNumeric(w.dst, d)
	return err
}

func (w *jsonWriter) object() error {
	type member struct {
		key  string
		text []byte
	}
	var ms []member
	out := w.dst
	w.i++
	for {
		if w.skip(); w.s[w.i] == '}' {
			w.i++
			break
		}
		if w.s[w.i] == ',' {
			w.i++
			w.skip()
		}
		key, err := w.str()
		if err != nil {
			return err
		}
		w.skip()
		w.i++ // the colon
		w.dst = nil
		if err := w.value(); err != nil {
			return err
		}
		ms = append(ms, member{string(key), w.dst})
	}
	sort.SliceStable(ms, func(i, j int) bool {
		a, b := ms[i].key, ms[j].key
		if len(a) != len(b) {
			return len(a) < len(b)
		}
		return a < b
	})
	out = append(out, '{')
	first := true
	for i, m := range ms {
		if i+1 < len(ms) && ms[i+1].key == m.key {
			continue
		}
		if !first {
			out = append(out, ',', ' ')
		}
		first = false
		out = append(appendJSONString(out, []byte(m.key)), ':', ' ')
		out = append(out, m.text...)
	}
	w.dst = append(out, '}')
	return nil
}

// str reads a string and undoes its escapes.
func (w *jsonWriter) str() ([]byte, error) {
	var out []byte
	for w.i++; ; w.i++ {
		c := w.s[w.i]
		if c == '"' {
			w.i++
			return out, nil
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		w.i++
		switch c = w.s[w.i]; c {
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
			r := w.hex4()
			if utf16.IsSurrogate(r) {
				r2 := rune(0)
				if w.i+2 < len(w.s) && w.s[w.i+1] == '\\' && w.s[w.i+2] == 'u' {
					w.i += 2
					r2 = w.hex4()
				}
				if r = utf16.DecodeRune(r, r2); r == utf8.RuneError {
					return nil, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type json").
						WithDetail("Unicode low surrogate must follow a high surrogate.")
				}
			}
			if r == 0 {
				return nil, pgerr.New(pgerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
					WithDetail("\\u0000 cannot be converted to text.")
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
}

// hex4 reads four digits behind \u and stays on the last.
func (w *jsonWriter) hex4() rune {
	v, _ := strconv.ParseUint(string(w.s[w.i+1:w.i+5]), 16, 32)
	w.i += 4
	return rune(v)
}

// AppendJSONString appends s as a JSON string, as Postgres escapes it.
func AppendJSONString[S Chars](dst []byte, s S) []byte { return appendJSONString(dst, []byte(s)) }

func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch c {
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '"', '\\':
			dst = append(dst, '\\', c)
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
				continue
			}
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
