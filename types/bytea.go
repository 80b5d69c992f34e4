package types

import (
	"encoding/hex"

	"github.com/volleydb/volley/pgerr"
)

// AppendBytea appends the hex form: \x and two digits per byte.
func AppendBytea(dst, v []byte) []byte {
	dst = append(dst, '\\', 'x')
	return hex.AppendEncode(dst, v)
}

// ParseBytea appends the bytes that s denotes, in hex form (\x00ff) or in
// escape form (a\\b\000). Errors are 22P02 and 22023.
func ParseBytea[S Chars](dst []byte, in S) ([]byte, error) {
	s := str(in)
	if len(s) >= 2 && s[0] == '\\' && s[1] == 'x' {
		return parseHexBytes(dst, s[2:])
	}
	for i := 0; i < len(s); {
		switch {
		case s[i] != '\\':
			dst = append(dst, s[i])
			i++
		case i+3 < len(s) && s[i+1]-'0' < 4 && s[i+2]-'0' < 8 && s[i+3]-'0' < 8:
			dst = append(dst, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 4
		case i+1 < len(s) && s[i+1] == '\\':
			dst = append(dst, '\\')
			i += 2
		default:
			return dst, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type bytea")
		}
	}
	return dst, nil
}

func parseHexBytes(dst []byte, s string) ([]byte, error) {
	for i := 0; i < len(s); {
		if isSpace(s[i]) {
			i++
			continue
		}
		if unhex(s[i]) > 15 {
			return dst, errHexDigit(s[i:])
		}
		if i+1 == len(s) {
			return dst, pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal data: odd number of digits")
		}
		if unhex(s[i+1]) > 15 {
			return dst, errHexDigit(s[i+1:])
		}
		dst = append(dst, unhex(s[i])<<4|unhex(s[i+1]))
		i += 2
	}
	return dst, nil
}

func errHexDigit(s string) error {
	for _, r := range s {
		s = string(r)
		break
	}
	return pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal digit: \"%s\"", s)
}

// AppendByteaEscape appends the escape form: printable bytes as they are, a
// doubled backslash, and other bytes as \ooo.
func AppendByteaEscape(dst, v []byte) []byte {
	for _, c := range v {
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
