package types

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/volleydb/volley/pgerr"
)

// Chars is what the text codecs read: a string, or bytes that the codec neither
// keeps nor changes.
type Chars interface{ ~string | ~[]byte }

// str views s as a string without a copy. The view must not outlive the call
// that was given s. A slice header starts with the two words of a string header.
func str[S Chars](s S) string { return *(*string)(unsafe.Pointer(&s)) }

func errSyntax(typ, s string) error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", typ, s)
}

func errRange(typ, s string) error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value \"%s\" is out of range for type %s", s, typ)
}

func errOutOfRange(typ string) error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "%s out of range", typ)
}

func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }
func isDigit(c byte) bool { return c-'0' < 10 }
func isAlpha(c byte) bool { return c|0x20-'a' < 26 }

func trimSpace(s string) string {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// AppendBool appends t or f.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 't')
	}
	return append(dst, 'f')
}

// ParseBool reads a boolean as Postgres does: any unambiguous prefix of true,
// false, yes, no, on, off, or 1 and 0, in any case. Errors are 22P02.
func ParseBool[S Chars](in S) (bool, error) {
	s := trimSpace(str(in))
	if s != "" {
		switch s[0] | 0x20 {
		case 't':
			if prefixFold(s, "true") {
				return true, nil
			}
		case 'f':
			if prefixFold(s, "false") {
				return false, nil
			}
		case 'y':
			if prefixFold(s, "yes") {
				return true, nil
			}
		case 'n':
			if prefixFold(s, "no") {
				return false, nil
			}
		case 'o':
			if len(s) == 2 && strings.EqualFold(s, "on") {
				return true, nil
			}
			if len(s) > 1 && prefixFold(s, "off") {
				return false, nil
			}
		case '1':
			if len(s) == 1 {
				return true, nil
			}
		case '0' | 0x20:
			if len(s) == 1 && s[0] == '0' {
				return false, nil
			}
		}
	}
	return false, errSyntax("boolean", str(in))
}

func prefixFold(s, word string) bool {
	return len(s) <= len(word) && strings.EqualFold(s, word[:len(s)])
}

// AppendInt appends any of the integer types, and oid.
func AppendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// ParseInt2 reads a smallint. Errors are 22P02 and 22003.
func ParseInt2[S Chars](s S) (int16, error) {
	v, err := parseInt(str(s), -1<<15, 1<<15-1, "smallint")
	return int16(v), err
}

// ParseInt4 reads an integer. Errors are 22P02 and 22003.
func ParseInt4[S Chars](s S) (int32, error) {
	v, err := parseInt(str(s), -1<<31, 1<<31-1, "integer")
	return int32(v), err
}

// ParseInt8 reads a bigint. Errors are 22P02 and 22003.
func ParseInt8[S Chars](s S) (int64, error) {
	return parseInt(str(s), -1<<63, 1<<63-1, "bigint")
}

func parseInt(in string, lo, hi int64, typ string) (int64, error) {
	s, neg := in, false
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	// The value is built negative, as the range below zero is the wider one. Up
	// to 18 digits cannot leave it.
	var v int64
	i, over := 0, false
	for ; i < len(s) && i < 18 && isDigit(s[i]); i++ {
		v = v*10 - int64(s[i]-'0')
	}
	for ; i < len(s) && isDigit(s[i]); i++ {
		d := int64(s[i] - '0')
		if v < (-1<<63+d)/10 {
			over = true
			continue
		}
		v = v*10 - d
	}
	digits := i
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if digits == 0 || i != len(s) {
		return 0, errSyntax(typ, in)
	}
	if !neg {
		if v == -1<<63 {
			over = true
		}
		v = -v
	}
	if over || v < lo || v > hi {
		return 0, errRange(typ, in)
	}
	return v, nil
}

// ParseOID reads an oid: an unsigned 32-bit number, where a negative 32-bit
// number is taken modulo 2^32, as Postgres does. Errors are 22P02 and 22003.
func ParseOID[S Chars](s S) (uint32, error) {
	v, err := parseInt(str(s), -1<<31, 1<<32-1, "oid")
	return uint32(v), err
}

// AppendUUID appends the 16 bytes v as 8-4-4-4-12 hex digits.
func AppendUUID(dst, v []byte) []byte {
	for i, c := range v {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// ParseUUID reads 32 hex digits, optionally in braces and with a hyphen after
// any group of four, as Postgres does. Errors are 22P02.
func ParseUUID[S Chars](in S) (v [16]byte, err error) {
	s := str(in)
	braces := len(s) > 0 && s[0] == '{'
	if braces {
		s = s[1:]
	}
	for i := range v {
		if len(s) < 2 || unhex(s[0]) > 15 || unhex(s[1]) > 15 {
			return v, errSyntax("uuid", str(in))
		}
		v[i] = unhex(s[0])<<4 | unhex(s[1])
		s = s[2:]
		if len(s) > 0 && s[0] == '-' && i%2 == 1 && i < 15 {
			s = s[1:]
		}
	}
	if braces {
		if len(s) == 0 || s[0] != '}' {
			return v, errSyntax("uuid", str(in))
		}
		s = s[1:]
	}
	if s != "" {
		return v, errSyntax("uuid", str(in))
	}
	return v, nil
}

const hexDigits = "0123456789abcdef"

// unhex returns the value of a hex digit, 255 if c is none.
func unhex(c byte) byte {
	switch {
	case isDigit(c):
		return c - '0'
	case c|0x20-'a' < 6:
		return c | 0x20 - 'a' + 10
	}
	return 255
}
