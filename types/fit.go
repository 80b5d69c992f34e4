package types

import (
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

// cutAt returns the bytes of the first n characters of s.
func cutAt(s []byte, n int) int {
	if len(s) <= n {
		return len(s)
	}
	i := 0
	for ; n > 0 && i < len(s); n-- {
		_, k := utf8.DecodeRune(s[i:])
		i += k
	}
	return i
}

// fitTo cuts s to n characters. Unless the cast is explicit only blanks may be
// lost; else it is 22001.
func fitTo(s []byte, n int, explicit bool, typ string) ([]byte, error) {
	i := cutAt(s, n)
	if i == len(s) {
		return s, nil
	}
	if !explicit {
		for _, c := range s[i:] {
			if c != ' ' {
				return nil, pgerr.New(pgerr.StringDataRightTruncation, "value too long for type %s(%d)", typ, n)
			}
		}
	}
	return s[:i], nil
}

// FitVarchar returns s cut to n characters, aliasing it. Unless the cast is
// explicit only blanks may be lost; else it is 22001.
func FitVarchar(s []byte, n int, explicit bool) ([]byte, error) {
	return fitTo(s, n, explicit, "character varying")
}

// PadBpchar appends s to dst, cut as by FitVarchar or padded with blanks to n characters.
func PadBpchar(dst, s []byte, n int, explicit bool) ([]byte, error) {
	s, err := fitTo(s, n, explicit, "character")
	if err != nil {
		return dst, err
	}
	dst = append(dst, s...)
	for k := utf8.RuneCount(s); k < n; k++ {
		dst = append(dst, ' ')
	}
	return dst, nil
}

// TrimBpchar returns s without trailing blanks: what counts when char(n) values
// are compared, hashed or converted to text.
func TrimBpchar(s []byte) []byte {
	n := len(s)
	for n > 0 && s[n-1] == ' ' {
		n--
	}
	return s[:n]
}

// CheckUTF8 reports text that is not valid UTF-8 or holds a zero byte as 22021.
func CheckUTF8(s []byte) error {
	ascii := true
	for _, c := range s {
		if c-1 >= 0x7f {
			ascii = false
			break
		}
	}
	if ascii {
		return nil
	}
	return checkUTF8Slow(s)
}

func checkUTF8Slow(s []byte) error {
	for i := 0; i < len(s); {
		if s[i] == 0 {
			return errUTF8(s[i : i+1])
		}
		r, k := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && k == 1 {
			// Postgres shows as many bytes as the first one announces.
			n := 1
			switch c := s[i]; {
			case c >= 0xf0 && c < 0xf8:
				n = 4
			case c >= 0xe0 && c < 0xf0:
				n = 3
			case c >= 0xc0 && c < 0xe0:
				n = 2
			}
			return errUTF8(s[i:min(i+n, len(s))])
		}
		i += k
	}
	return nil
}

func errUTF8(b []byte) error {
	var hex []byte
	for i, c := range b {
		if i > 0 {
			hex = append(hex, ' ')
		}
		hex = append(hex, '0', 'x', hexDigits[c>>4], hexDigits[c&15])
	}
	return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", hex)
}

// TruncateName cuts an identifier to the 63 bytes that type name holds, at a
// character boundary.
func TruncateName(s []byte) []byte {
	if len(s) < 64 {
		return s
	}
	n := 63
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
