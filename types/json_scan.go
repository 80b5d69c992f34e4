package types

import "bytes"

// JSONIter walks the members of a JSON object or the elements of an array, over
// valid JSON text, without building anything.
type JSONIter struct {
	s      []byte
	i      int
	object bool
}

// NewJSONIter starts at the text of an object or array; ok is false for a scalar.
func NewJSONIter(s []byte) (it JSONIter, ok bool) {
	i := skipJSONSpace(s, 0)
	if i >= len(s) || s[i] != '{' && s[i] != '[' {
		return it, false
	}
	return JSONIter{s: s, i: i + 1, object: s[i] == '{'}, true
}

// Object reports whether the iteration is over members.
func (it *JSONIter) Object() bool { return it.object }

// Next returns the next value as text, and in an object its key as it is written
// between the quotes. Both alias the text. ok is false at the end.
func (it *JSONIter) Next() (key, val []byte, ok bool) {
	s := it.s
	i := skipJSONSpace(s, it.i)
	if i < len(s) && s[i] == ',' {
		i = skipJSONSpace(s, i+1)
	}
	if i >= len(s) || s[i] == '}' || s[i] == ']' {
		it.i = i
		return nil, nil, false
	}
	if it.object {
		end := skipJSONString(s, i)
		key = s[i+1 : end-1]
		i = skipJSONSpace(s, end)
		i = skipJSONSpace(s, i+1) // the colon
	}
	end := skipJSONValue(s, i)
	it.i = end
	return key, s[i:end:end], true
}

func skipJSONSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipJSONString returns the end of the string that starts at i.
func skipJSONString(s []byte, i int) int {
	for i++; i < len(s); {
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 {
			return len(s)
		}
		if n == 0 || s[i+n-1] != '\\' {
			return i + n + 1
		}
		// Backslashes: the quote is escaped by an odd number of them.
		b := 1
		for b < n && s[i+n-1-b] == '\\' {
			b++
		}
		i += n + 1
		if b%2 == 0 {
			return i
		}
	}
	return len(s)
}

// skipJSONValue returns the end of the value that starts at i.
func skipJSONValue(s []byte, i int) int {
	if i >= len(s) {
		return i
	}
	switch s[i] {
	case '"':
		return skipJSONString(s, i)
	case '{', '[':
		depth := 0
		for i < len(s) {
			switch s[i] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			case '"':
				i = skipJSONString(s, i)
				continue
			}
			i++
		}
		return len(s)
	}
	for i < len(s) {
		switch s[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

// JSONKind is the kind of a JSON value, in the order of jsonb's comparison.
type JSONKind uint8

// The kinds.
const (
	JSONNull JSONKind = iota
	JSONString
	JSONNumber
	JSONBool
	JSONArray
	JSONObject
)

var jsonKindNames = [...]string{"null", "string", "number", "boolean", "array", "object"}

func (k JSONKind) String() string { return jsonKindNames[k] }

// JSONKindOf tells the kind of a value by its first character.
func JSONKindOf(s []byte) JSONKind {
	i := skipJSONSpace(s, 0)
	if i >= len(s) {
		return JSONNull
	}
	switch s[i] {
	case '{':
		return JSONObject
	case '[':
		return JSONArray
	case '"':
		return JSONString
	case 't', 'f':
		return JSONBool
	case 'n':
		return JSONNull
	}
	return JSONNumber
}

// TrimJSON drops the blanks around a value.
func TrimJSON(s []byte) []byte {
	i := skipJSONSpace(s, 0)
	for n := len(s); n > i; n-- {
		switch s[n-1] {
		case ' ', '\n', '\t', '\r':
			continue
		}
		return s[i:n:n]
	}
	return s[i:i]
}

// JSONUnescape gives the text of a string from what stands between its quotes: s
// itself where nothing is escaped. Errors are those of Postgres for escapes that
// text cannot hold.
func JSONUnescape(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	q := make([]byte, 0, len(s)+1)
	q = append(q, s...)
	q = append(q, '"')
	w := jsonWriter{s: q, i: -1}
	return w.str()
}

// AppendJSONText appends a value as ->> gives it: strings without quotes and
// escapes, all others as they are. null is true for the JSON null.
func AppendJSONText(dst, s []byte) (out []byte, null bool, err error) {
	switch JSONKindOf(s) {
	case JSONNull:
		return dst, true, nil
	case JSONString:
		s = TrimJSON(s)
		t, err := JSONUnescape(s[1 : len(s)-1])
		return append(dst, t...), false, err
	}
	return append(dst, TrimJSON(s)...), false, nil
}

// jsonKeyEquals compares a key as written with a name.
func jsonKeyEquals(raw, name []byte) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return bytes.Equal(raw, name)
	}
	k, err := JSONUnescape(raw)
	return err == nil && bytes.Equal(k, name)
}

// JSONField finds the member of an object by name, the last one of equal names.
func JSONField(s, name []byte) ([]byte, bool) {
	it, ok := NewJSONIter(s)
	if !ok || !it.object {
		return nil, false
	}
	var found []byte
	for {
		key, val, ok := it.Next()
		if !ok {
			return found, found != nil
		}
		if jsonKeyEquals(key, name) {
			found = val
		}
	}
}

// JSONElem finds an element of an array, from 0, or from the end with -1.
func JSONElem(s []byte, n int64) ([]byte, bool) {
	it, ok := NewJSONIter(s)
	if !ok || it.object {
		return nil, false
	}
	if n < 0 {
		if n += int64(JSONLen(s)); n < 0 {
			return nil, false
		}
	}
	for {
		_, val, ok := it.Next()
		if !ok {
			return nil, false
		}
		if n == 0 {
			return val, true
		}
		n--
	}
}

// JSONLen counts the members or elements of a value, 0 for a scalar.
func JSONLen(s []byte) int {
	it, ok := NewJSONIter(s)
	n := 0
	for ok {
		if _, _, ok = it.Next(); ok {
			n++
		}
	}
	return n
}

// AppendJSONBKey appends bytes of jsonb text, in normal form, whose order and
// equality are those of jsonb: 1.0 and 1.00 give the same, and no key is a prefix
// of another.
func AppendJSONBKey(dst, s []byte) []byte {
	switch JSONKindOf(s) {
	case JSONObject, JSONArray:
		return appendJSONBKey(dst, s, 1)
	}
	// A scalar counts as an array of one element below all others of one.
	dst = append(dst, byte(JSONArray), 0, 0, 0, 1, 0)
	return appendJSONBKey(dst, s, 0)
}

// appendJSONBKey writes one value; an array at the top says that it is no scalar.
func appendJSONBKey(dst, s []byte, top int) []byte {
	k := JSONKindOf(s)
	dst = append(dst, byte(k))
	switch k {
	case JSONNull:
	case JSONBool:
		if TrimJSON(s)[0] == 't' {
			return append(dst, 1)
		}
		return append(dst, 0)
	case JSONNumber:
		d, err := ParseNumeric(TrimJSON(s))
		if err != nil {
			return append(dst, s...)
		}
		return AppendDecimalKey(dst, d)
	case JSONString:
		s = TrimJSON(s)
		return appendJSONStringKey(dst, s[1:len(s)-1])
	default:
		n := JSONLen(s)
		dst = append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		if k == JSONArray {
			dst = append(dst, byte(top))
		}
		it, _ := NewJSONIter(s)
		for {
			key, val, ok := it.Next()
			if !ok {
				break
			}
			if k == JSONObject {
				dst = appendJSONStringKey(dst, key)
			}
			dst = appendJSONBKey(dst, val, 0)
		}
	}
	return dst
}

// appendJSONStringKey ends the text with a zero, which jsonb strings cannot hold.
func appendJSONStringKey(dst, raw []byte) []byte {
	if t, err := JSONUnescape(raw); err == nil {
		raw = t
	}
	return append(append(dst, raw...), 0)
}

// CompareJSONB orders jsonb texts in normal form as Postgres does.
func CompareJSONB(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	return bytes.Compare(AppendJSONBKey(nil, a), AppendJSONBKey(nil, b))
}
