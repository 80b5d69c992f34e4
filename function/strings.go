package function

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

var textType = types.T(types.Text)

// ascii reports whether b has no byte above 127.
func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// charOffset returns the byte offset of the character n of s (from 0), len(s)
// when s is shorter.
func charOffset(s []byte, n int) int {
	if n <= 0 {
		return 0
	}
	if n >= len(s) {
		if n > len(s) || ascii(s) {
			return len(s)
		}
	}
	at := 0
	for at < len(s) && n > 0 {
		if s[at] < utf8.RuneSelf {
			at++
		} else {
			_, w := utf8.DecodeRune(s[at:])
			at += w
		}
		n--
	}
	return at
}

// caseMapper maps whole buffers where all bytes are ASCII, since offsets do not
// change then, and runes otherwise.
func caseMapper(lo, hi byte, mapRune func(rune) rune) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		v := args[0]
		if v.Form == vector.Flat && ascii(v.Bytes) {
			out := make([]byte, len(v.Bytes))
			for i, b := range v.Bytes {
				if b-lo <= hi-lo {
					b ^= 0x20
				}
				out[i] = b
			}
			return vector.FromBytes(textType, v.Offs, out), nil
		}
		return toBytes(types.Text, func(dst []byte, r *row) ([]byte, error) {
			for _, x := range r.str(0) {
				dst = utf8.AppendRune(dst, mapRune(x))
			}
			return dst, nil
		})(c, args, n)
	}
}

func initcap(dst []byte, r *row) ([]byte, error) {
	inWord := false
	for _, x := range r.str(0) {
		if inWord {
			x = unicode.ToLower(x)
		} else {
			x = unicode.ToUpper(x)
		}
		inWord = unicode.IsLetter(x) || unicode.IsDigit(x)
		dst = utf8.AppendRune(dst, x)
	}
	return dst, nil
}

// trimmer makes ltrim, rtrim and btrim; the characters default to a blank.
func trimmer(left, right bool) EvalFunc {
	return toBytes(types.Text, func(dst []byte, r *row) ([]byte, error) {
		s, set := r.bytes(0), " "
		if len(r.args) > 1 {
			set = r.str(1)
		}
		if len(set) == 1 && set[0] < utf8.RuneSelf {
			for left && len(s) > 0 && s[0] == set[0] {
				s = s[1:]
			}
			for right && len(s) > 0 && s[len(s)-1] == set[0] {
				s = s[:len(s)-1]
			}
			return append(dst, s...), nil
		}
		if left {
			s = bytes.TrimLeft(s, set)
		}
		if right {
			s = bytes.TrimRight(s, set)
		}
		return append(dst, s...), nil
	})
}

// maxText is the most characters that lpad, rpad and repeat make, as Postgres'
// limit of 1 GB on a value.
const maxText = 1 << 30

func padder(left bool) EvalFunc {
	return toBytes(types.Text, func(dst []byte, r *row) ([]byte, error) {
		s, n, fill := r.bytes(0), max(r.int(1), 0), " "
		if len(r.args) > 2 {
			fill = r.str(2)
		}
		have := utf8.RuneCount(s)
		if have >= n {
			return append(dst, s[:charOffset(s, n)]...), nil
		}
		if fill == "" {
			return append(dst, s...), nil
		}
		if n > maxText/4 {
			return nil, errLength()
		}
		if !left {
			dst = append(dst, s...)
		}
		runes := []rune(fill)
		for i := range n - have {
			dst = utf8.AppendRune(dst, runes[i%len(runes)])
		}
		if left {
			dst = append(dst, s...)
		}
		return dst, nil
	})
}

func errLength() error {
	return pgerr.New(pgerr.ProgramLimitExceeded, "requested length too large")
}

// substring takes characters [start, start+count) with start from 1, of text or
// bytes; positions before the first count but are empty.
func substring(dst []byte, r *row, offset func(s []byte, n int) int) ([]byte, error) {
	s := r.bytes(0)
	start, count := int64(r.int(1)), int64(-1)
	end := int64(1) << 40
	if len(r.args) > 2 {
		if count = int64(r.int(2)); count < 0 {
			return nil, pgerr.New(pgerr.SubstringError, "negative substring length not allowed")
		}
		end = start + count
	}
	start = max(start, 1)
	if end <= start {
		return dst, nil
	}
	from := offset(s, int(min(start-1, int64(len(s)))))
	s = s[from:]
	return append(dst, s[:offset(s, int(min(end-start, int64(len(s)))))]...), nil
}

func substringText(dst []byte, r *row) ([]byte, error) { return substring(dst, r, charOffset) }

func substringBytes(dst []byte, r *row) ([]byte, error) {
	return substring(dst, r, func(s []byte, n int) int { return min(n, len(s)) })
}

// position is the 1-based character position of argument 1 in argument 0, 0 if
// it is not there.
func position(r *row) (int32, bool, error) {
	s := r.bytes(0)
	i := bytes.Index(s, r.bytes(1))
	if i < 0 {
		return 0, true, nil
	}
	return int32(utf8.RuneCount(s[:i])) + 1, true, nil
}

func replaceAll(dst []byte, r *row) ([]byte, error) {
	s, from, to := r.bytes(0), r.bytes(1), r.bytes(2)
	if len(from) == 0 {
		return append(dst, s...), nil
	}
	for {
		i := bytes.Index(s, from)
		if i < 0 {
			return append(dst, s...), nil
		}
		dst = append(append(dst, s[:i]...), to...)
		s = s[i+len(from):]
		if len(dst) > maxBytes {
			return nil, errTooLong()
		}
	}
}

func translate(dst []byte, r *row) ([]byte, error) {
	from, to := []rune(r.str(1)), []rune(r.str(2))
next:
	for _, x := range r.str(0) {
		for i, f := range from {
			if f != x {
				continue
			}
			if i < len(to) {
				dst = utf8.AppendRune(dst, to[i])
			}
			continue next
		}
		dst = utf8.AppendRune(dst, x)
	}
	return dst, nil
}

// left is the first n characters, or all but the last -n.
func left(dst []byte, r *row) ([]byte, error) {
	s, n := r.bytes(0), r.int(1)
	if n < 0 {
		n += utf8.RuneCount(s)
	}
	return append(dst, s[:charOffset(s, n)]...), nil
}

// right is the last n characters, or all but the first -n.
func right(dst []byte, r *row) ([]byte, error) {
	s, n := r.bytes(0), r.int(1)
	if n < 0 {
		n = -n
	} else {
		n = utf8.RuneCount(s) - n
	}
	return append(dst, s[charOffset(s, n):]...), nil
}

func repeatText(dst []byte, r *row) ([]byte, error) {
	s, n := r.bytes(0), max(r.int(1), 0)
	if len(s)*n > maxText {
		return nil, errLength()
	}
	for range n {
		dst = append(dst, s...)
	}
	return dst, nil
}

func reverse(dst []byte, r *row) ([]byte, error) {
	s := r.bytes(0)
	for len(s) > 0 {
		_, w := utf8.DecodeLastRune(s)
		dst = append(dst, s[len(s)-w:]...)
		s = s[:len(s)-w]
	}
	return dst, nil
}

func splitPart(dst []byte, r *row) ([]byte, error) {
	s, sep, n := r.str(0), r.str(1), r.int(2)
	switch {
	case n == 0:
		return nil, pgerr.New(pgerr.InvalidParameterValue, "field position must not be zero")
	case sep == "":
		if n == 1 || n == -1 {
			dst = append(dst, s...)
		}
		return dst, nil
	case n < 0:
		if n += strings.Count(s, sep) + 2; n <= 0 {
			return dst, nil
		}
	}
	for ; n > 1; n-- {
		i := strings.Index(s, sep)
		if i < 0 {
			return dst, nil
		}
		s = s[i+len(sep):]
	}
	if i := strings.Index(s, sep); i >= 0 {
		s = s[:i]
	}
	return append(dst, s...), nil
}

// concatText is ||.
func concatText(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	return concatVectors(args, n, args[0].Type)
}

// concatVectors joins the bytes of all args row by row; NULL rows are empty.
func concatVectors(args []*vector.Vector, n int, t types.Type) (*vector.Vector, error) {
	total := 0
	for _, a := range args {
		if a.Form == vector.Const {
			total += n * len(a.BytesAt(0))
		} else {
			total += len(a.Bytes)
		}
	}
	if total > maxBytes {
		return nil, errTooLong()
	}
	offs, data := make([]int32, n+1), make([]byte, 0, total)
	for i := range n {
		for _, a := range args {
			if !a.IsNull(i) {
				data = append(data, a.BytesAt(i)...)
			}
		}
		offs[i+1] = int32(len(data))
	}
	return vector.FromBytes(t.Bare(), offs, data), nil
}

// concatCast is || of text with anything, which is cast to text.
func concatCast(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	a, err := castVector(c, args[0], textType, true)
	if err != nil {
		return nil, err
	}
	b, err := castVector(c, args[1], textType, true)
	if err != nil {
		return nil, err
	}
	return concatVectors([]*vector.Vector{a, b}, n, textType)
}

// outputs writes every argument as its type's output function does, which for
// booleans is not what a cast to text does.
func outputs(c *Ctx, args []*vector.Vector) ([]*vector.Vector, error) {
	out := make([]*vector.Vector, len(args))
	for k, a := range args {
		if a.Type.ID == types.Bool {
			out[k] = boolOutput(a)
			continue
		}
		if a.Type.ID == types.Bpchar {
			out[k] = a.Retype(textType) // with its padding
			continue
		}
		t, err := castVector(c, a, textType, true)
		if err != nil {
			return nil, err
		}
		if t.Form == vector.Dict {
			t = t.Flatten()
		}
		out[k] = t
	}
	return out, nil
}

func boolOutput(v *vector.Vector) *vector.Vector {
	flat := v.Flatten()
	b := vector.NewBuilder(textType, v.Len)
	for _, x := range vector.Values[bool](flat) {
		if x {
			b.AppendString("t")
		} else {
			b.AppendString("f")
		}
	}
	return b.Build().WithValid(flat.Valid)
}

func concat(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	texts, err := outputs(c, args)
	if err != nil {
		return nil, err
	}
	return concatVectors(texts, n, textType)
}

func concatWS(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	texts, err := outputs(c, args)
	if err != nil {
		return nil, err
	}
	b := vector.NewBuilder(textType, n)
	var buf []byte
	for i := range n {
		if texts[0].IsNull(i) {
			b.AppendNull()
			continue
		}
		buf = buf[:0]
		first := true
		for _, t := range texts[1:] {
			if t.IsNull(i) {
				continue
			}
			if !first {
				buf = append(buf, texts[0].BytesAt(i)...)
			}
			buf, first = append(buf, t.BytesAt(i)...), false
		}
		b.AppendBytes(buf)
	}
	return b.Build(), nil
}

// overlay replaces count characters from start on; count defaults to the length
// of the replacement.
func overlay(dst []byte, r *row) ([]byte, error) {
	s, by, start := r.bytes(0), r.bytes(1), r.int(2)
	count := utf8.RuneCount(by)
	if len(r.args) > 3 {
		count = r.int(3)
	}
	if start <= 0 {
		return nil, pgerr.New(pgerr.SubstringError, "negative substring length not allowed")
	}
	dst = append(dst, s[:charOffset(s, start-1)]...)
	dst = append(dst, by...)
	return append(dst, s[charOffset(s, max(start-1+count, 0)):]...), nil
}

func chr(dst []byte, r *row) ([]byte, error) {
	n := r.int(0)
	switch {
	case n == 0:
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "null character not permitted")
	case n < 0:
		return nil, pgerr.New(pgerr.InvalidParameterValue, "character number must be positive")
	case n > unicode.MaxRune:
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "requested character too large for encoding: %d", n)
	case !utf8.ValidRune(rune(n)):
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "requested character not valid for encoding: %d", n)
	}
	return utf8.AppendRune(dst, rune(n)), nil
}

func toInt4(f func(r *row) int) EvalFunc {
	return toFixed(types.Int4, func(r *row) (int32, bool, error) { return int32(f(r)), true, nil })
}

func text(f func(dst []byte, r *row) ([]byte, error)) EvalFunc { return toBytes(types.Text, f) }

// quoteCast quotes the text form of a value of any type.
func quoteCast(quoteNull bool) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		v, err := castVector(c, args[0], textType, true)
		if err != nil {
			return nil, err
		}
		b := vector.NewBuilder(textType, n)
		for i := range n {
			switch {
			case !v.IsNull(i):
				b.AppendString(quoteLiteral(v.StringAt(i)))
			case quoteNull:
				b.AppendString("NULL")
			default:
				b.AppendNull()
			}
		}
		return b.Build(), nil
	}
}

func registerStrings(r *registry) {
	octets := byteLengths(1)
	for _, name := range []string{"length", "char_length", "character_length"} {
		r.scalar(name+"(text) int4", textLengths, doc("length in characters"))
	}
	r.scalar("length(bytea) int4", octets, doc("length in bytes"))
	r.scalar("octet_length(text) int4", octets)
	r.scalar("octet_length(bytea) int4", octets)
	bits := byteLengths(8)
	r.scalar("bit_length(text) int4", bits)
	r.scalar("bit_length(bytea) int4", bits)
	r.scalar("lower(text) text", caseMapper('A', 'Z', unicode.ToLower), doc("lowercase"))
	r.scalar("upper(text) text", caseMapper('a', 'z', unicode.ToUpper), doc("uppercase"))
	r.scalar("initcap(text) text", text(initcap), doc("capitalize each word"))
	for name, ends := range map[string][2]bool{"ltrim": {true, false}, "rtrim": {false, true}, "btrim": {true, true}} {
		r.scalar(name+"(text) text", trimmer(ends[0], ends[1]))
		r.scalar(name+"(text,text) text", trimmer(ends[0], ends[1]))
	}
	for name, isLeft := range map[string]bool{"lpad": true, "rpad": false} {
		r.scalar(name+"(text,int4) text", padder(isLeft))
		r.scalar(name+"(text,int4,text) text", padder(isLeft))
	}
	for _, name := range []string{"substr", "substring"} {
		r.scalar(name+"(text,int4) text", text(substringText))
		r.scalar(name+"(text,int4,int4) text", text(substringText))
		r.scalar(name+"(bytea,int4) bytea", toBytes(types.Bytea, substringBytes))
		r.scalar(name+"(bytea,int4,int4) bytea", toBytes(types.Bytea, substringBytes))
	}
	r.scalar("position(text,text) int4", toFixed(types.Int4, position), doc("position of substring"))
	r.scalar("strpos(text,text) int4", toFixed(types.Int4, position), doc("position of substring"))
	r.scalar("replace(text,text,text) text", text(replaceAll))
	r.scalar("translate(text,text,text) text", text(translate))
	r.scalar("left(text,int4) text", text(left))
	r.scalar("right(text,int4) text", text(right))
	r.scalar("repeat(text,int4) text", text(repeatText))
	r.scalar("reverse(text) text", text(reverse))
	r.scalar("split_part(text,text,int4) text", text(splitPart))
	r.scalar("starts_with(text,text) bool", toFixed(types.Bool, func(r *row) (bool, bool, error) {
		return bytes.HasPrefix(r.bytes(0), r.bytes(1)), true, nil
	}))
	r.opAlias("^@(text,text) bool", toFixed(types.Bool, func(r *row) (bool, bool, error) {
		return bytes.HasPrefix(r.bytes(0), r.bytes(1)), true, nil
	}))
	r.scalar("overlay(text,text,int4) text", text(overlay))
	r.scalar("overlay(text,text,int4,int4) text", text(overlay))
	r.scalar("chr(int4) text", text(chr))
	r.scalar("ascii(text) int4", toInt4(func(r *row) int {
		if s := r.bytes(0); len(s) > 0 {
			x, _ := utf8.DecodeRune(s)
			return int(x)
		}
		return 0
	}))
	r.op("||(text,text) text", concatText)
	r.op("||(bytea,bytea) bytea", concatText)
	r.op("||(text,anyelement) text", concatCast, stable)
	r.op("||(anyelement,text) text", concatCast, stable)
	r.scalar("concat(variadic any) text", concat, called, stable, doc("concatenate values"))
	r.scalar("concat_ws(text,variadic any) text", concatWS, called, stable, doc("concatenate values with separators"))
	r.scalar("format(text,variadic any) text", formatText, called, stable, doc("format text message"))
	r.scalar("quote_ident(text) text", text(func(dst []byte, r *row) ([]byte, error) { return append(dst, quoteIdent(r.str(0))...), nil }))
	r.scalar("quote_literal(text) text", quoteCast(false))
	r.scalar("quote_literal(anyelement) text", quoteCast(false), stable)
	r.scalar("quote_nullable(text) text", quoteCast(true), called)
	r.scalar("quote_nullable(anyelement) text", quoteCast(true), called, stable)
	registerEncodings(r)
	registerLike(r)
	registerRegexps(r)
}
