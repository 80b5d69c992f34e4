package function

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// encode is encode(bytea, format).
func encode(dst []byte, r *row) ([]byte, error) {
	data := r.bytes(0)
	switch strings.ToLower(r.str(1)) {
	case "hex":
		return hex.AppendEncode(dst, data), nil
	case "base64":
		return encodeBase64(dst, data), nil
	case "escape":
		for _, c := range data {
			switch {
			case c == 0 || c >= utf8.RuneSelf:
				dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			case c == '\\':
				dst = append(dst, '\\', '\\')
			default:
				dst = append(dst, c)
			}
		}
		return dst, nil
	}
	return nil, errEncoding(r.str(1))
}

func errEncoding(name string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "unrecognized encoding: \"%s\"", name)
}

// encodeBase64 breaks lines after 76 characters, as Postgres does.
func encodeBase64(dst, data []byte) []byte {
	const line = 57 // bytes that make 76 characters
	for len(data) > line {
		dst = append(base64.StdEncoding.AppendEncode(dst, data[:line]), '\n')
		data = data[line:]
	}
	return base64.StdEncoding.AppendEncode(dst, data)
}

// decode is decode(text, format).
func decode(dst []byte, r *row) ([]byte, error) {
	s := r.str(0)
	switch strings.ToLower(r.str(1)) {
	case "hex":
		return types.ParseBytea(dst, `\x`+s)
	case "base64":
		clean := strings.Map(func(x rune) rune {
			if x == ' ' || x == '\n' || x == '\r' || x == '\t' {
				return -1
			}
			return x
		}, s)
		enc := base64.StdEncoding
		if !strings.HasSuffix(clean, "=") {
			enc = base64.RawStdEncoding
			if len(clean)%4 == 0 {
				enc = base64.StdEncoding
			}
		}
		out, err := enc.AppendDecode(dst, []byte(clean))
		if err != nil {
			if pos, ok := err.(base64.CorruptInputError); ok && int(pos) < len(clean) {
				x, _ := utf8.DecodeRuneInString(clean[pos:])
				return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid symbol \"%c\" found while decoding base64 sequence", x)
			}
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid base64 end sequence").
				WithHint("Input data is missing padding, is truncated, or is otherwise corrupted.")
		}
		return out, nil
	case "escape":
		if strings.HasPrefix(s, `\x`) {
			return nil, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type bytea")
		}
		return types.ParseBytea(dst, s)
	}
	return nil, errEncoding(r.str(1))
}

// unistr evaluates \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\.
func unistr(dst []byte, r *row) ([]byte, error) {
	s := r.str(0)
	bad := func() error {
		return pgerr.New(pgerr.SyntaxError, "invalid Unicode escape").
			WithHint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
	}
	var high rune
	for s != "" {
		if s[0] != '\\' {
			if high != 0 {
				return nil, pgerr.New(pgerr.SyntaxError, "invalid Unicode surrogate pair")
			}
			dst = append(dst, s[0])
			s = s[1:]
			continue
		}
		if strings.HasPrefix(s, `\\`) {
			dst = append(dst, '\\')
			s = s[2:]
			continue
		}
		skip, digits := 1, 4
		if len(s) > 1 {
			switch s[1] {
			case '+':
				skip, digits = 2, 6
			case 'u':
				skip = 2
			case 'U':
				skip, digits = 2, 8
			}
		}
		if len(s) < skip+digits {
			return nil, bad()
		}
		n, err := strconv.ParseUint(s[skip:skip+digits], 16, 32)
		if err != nil {
			return nil, bad()
		}
		s = s[skip+digits:]
		x := rune(n)
		switch {
		case n > utf8.MaxRune || n == 0:
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid Unicode code point: %04X", n)
		case high != 0:
			if x = utf16.DecodeRune(high, x); x == utf8.RuneError {
				return nil, pgerr.New(pgerr.SyntaxError, "invalid Unicode surrogate pair")
			}
			high = 0
		case utf16.IsSurrogate(x):
			high = x
			continue
		}
		dst = utf8.AppendRune(dst, x)
	}
	if high != 0 {
		return nil, pgerr.New(pgerr.SyntaxError, "invalid Unicode surrogate pair")
	}
	return dst, nil
}

func hashed(f func([]byte) []byte) func(dst []byte, r *row) ([]byte, error) {
	return func(dst []byte, r *row) ([]byte, error) { return append(dst, f(r.bytes(0))...), nil }
}

func registerEncodings(r *registry) {
	sum := text(func(dst []byte, r *row) ([]byte, error) {
		h := md5.Sum(r.bytes(0))
		return hex.AppendEncode(dst, h[:]), nil
	})
	r.scalar("md5(text) text", sum, doc("MD5 hash"))
	r.scalar("md5(bytea) text", sum, doc("MD5 hash"))
	r.scalar("sha224(bytea) bytea", toBytes(types.Bytea, hashed(func(b []byte) []byte { h := sha256.Sum224(b); return h[:] })))
	r.scalar("sha256(bytea) bytea", toBytes(types.Bytea, hashed(func(b []byte) []byte { h := sha256.Sum256(b); return h[:] })))
	r.scalar("sha384(bytea) bytea", toBytes(types.Bytea, hashed(func(b []byte) []byte { h := sha512.Sum384(b); return h[:] })))
	r.scalar("sha512(bytea) bytea", toBytes(types.Bytea, hashed(func(b []byte) []byte { h := sha512.Sum512(b); return h[:] })))
	r.scalar("encode(bytea,text) text", text(encode))
	r.scalar("decode(text,text) bytea", toBytes(types.Bytea, decode))
	r.scalar("unistr(text) text", text(unistr))
	r.scalar("to_hex(int4) text", text(func(dst []byte, r *row) ([]byte, error) {
		return strconv.AppendUint(dst, uint64(uint32(r.int(0))), 16), nil
	}))
	r.scalar("to_hex(int8) text", text(func(dst []byte, r *row) ([]byte, error) {
		return strconv.AppendUint(dst, uint64(r.i64(0)), 16), nil
	}))
	r.scalar("get_byte(bytea,int4) int4", toFixed(types.Int4, func(r *row) (int32, bool, error) {
		b, i := r.bytes(0), r.int(1)
		if i < 0 || i >= len(b) {
			return 0, false, pgerr.New(pgerr.ArraySubscriptError, "index %d out of valid range, 0..%d", i, len(b)-1)
		}
		return int32(b[i]), true, nil
	}))
	utf8Only := func(name string) error {
		switch strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(name)) {
		case "UTF8", "UNICODE":
			return nil
		}
		return pgerr.New(pgerr.FeatureNotSupported, "encoding \"%s\" is not supported, only UTF8 is", name)
	}
	r.scalar("convert_to(text,text) bytea", toBytes(types.Bytea, func(dst []byte, r *row) ([]byte, error) {
		return append(dst, r.bytes(0)...), utf8Only(r.str(1))
	}))
	r.scalar("convert_from(bytea,text) text", text(func(dst []byte, r *row) ([]byte, error) {
		if !utf8.Valid(r.bytes(0)) {
			return nil, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
		}
		return append(dst, r.bytes(0)...), utf8Only(r.str(1))
	}))
}
