package types

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// AppendArrayElem appends the text of one array element, quoted if it must be.
// The caller writes the braces, the commas, and NULL for a null element.
func AppendArrayElem[S Chars](dst []byte, elem S) []byte {
	s := str(elem)
	if !needsArrayQuotes(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func needsArrayQuotes(s string) bool {
	if s == "" || len(s) == 4 && strings.EqualFold(s, "null") {
		return true
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '{', c == '}', c == ',', isSpace(c):
			return true
		}
	}
	return false
}

// ParseArray reads a one-dimensional array in text form, {1,NULL,"a b"}, and
// calls yield for each element in order; elem is valid during the call only, and
// is empty for a null. It stops at yield's first error. A malformed literal is
// 22P02, which may be found after elements were yielded; nested arrays and
// explicit bounds are 0A000.
func ParseArray[S Chars](in S, yield func(elem string, null bool) error) error {
	p := arrayParser{whole: str(in), s: trimSpace(str(in))}
	return p.parse(yield)
}

type arrayParser struct {
	whole string
	s     string
	i     int
	buf   []byte
}

const (
	endOfInput = "Unexpected end of input."
	badElement = "Unexpected array element."
	afterArray = "Junk after closing right brace."
)

func (p *arrayParser) malformed(detail string) error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "malformed array literal: \"%s\"", p.whole).WithDetail("%s", detail)
}

func (p *arrayParser) refuse(what string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "%s are not supported: \"%s\"", what, p.whole)
}

func (p *arrayParser) parse(yield func(string, bool) error) error {
	s := p.s
	if s != "" && s[0] == '[' {
		return p.refuse("array literals with explicit bounds")
	}
	if s == "" || s[0] != '{' {
		return p.malformed(`Array value must start with "{" or dimension information.`)
	}
	p.i = 1
	p.skipSpace()
	for first := true; ; first = false {
		if p.i >= len(s) {
			return p.malformed(endOfInput)
		}
		if !first || s[p.i] != '}' {
			null, err := p.elem()
			if err != nil {
				return err
			}
			if err := yield(str(p.buf), null); err != nil {
				return err
			}
			if p.i >= len(s) {
				return p.malformed(endOfInput)
			}
		}
		p.i++
		if s[p.i-1] == '}' {
			if p.i != len(s) {
				return p.malformed(afterArray)
			}
			return nil
		}
	}
}

func (p *arrayParser) skipSpace() {
	for p.i < len(p.s) && isSpace(p.s[p.i]) {
		p.i++
	}
}

// elem reads one element into buf, up to the comma or brace that follows it.
func (p *arrayParser) elem() (null bool, err error) {
	p.buf = p.buf[:0]
	p.skipSpace()
	if p.i >= len(p.s) {
		return false, p.malformed(endOfInput)
	}
	switch c := p.s[p.i]; c {
	case '{':
		return false, p.refuse("multidimensional arrays")
	case ',', '}':
		return false, p.malformed(`Unexpected "` + string(c) + `" character.`)
	case '"':
		return false, p.quoted()
	}
	escaped, kept := false, 0 // kept bytes are followed by unescaped blanks only
	for ; p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != '}'; p.i++ {
		c := p.s[p.i]
		switch c {
		case '"':
			return false, p.malformed(badElement)
		case '{':
			return false, p.malformed(`Unexpected "{" character.`)
		case '\\':
			if p.i++; p.i >= len(p.s) {
				return false, p.malformed(endOfInput)
			}
			c, escaped = p.s[p.i], true
			p.buf = append(p.buf, c)
			kept = len(p.buf)
			continue
		}
		p.buf = append(p.buf, c)
		if !isSpace(c) {
			kept = len(p.buf)
		}
	}
	p.buf = p.buf[:kept]
	if !escaped && strings.EqualFold(str(p.buf), "null") {
		p.buf = p.buf[:0]
		return true, nil
	}
	return false, nil
}

func (p *arrayParser) quoted() error {
	for p.i++; ; p.i++ {
		if p.i < len(p.s) && p.s[p.i] == '\\' {
			p.i++
		} else if p.i < len(p.s) && p.s[p.i] == '"' {
			break
		}
		if p.i >= len(p.s) {
			return p.malformed(endOfInput)
		}
		p.buf = append(p.buf, p.s[p.i])
	}
	p.i++
	p.skipSpace()
	if p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != '}' {
		return p.malformed(badElement)
	}
	return nil
}
