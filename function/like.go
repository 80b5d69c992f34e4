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

// likePattern is a LIKE pattern cut at its % signs. Without one, the only
// segment must match the whole string; otherwise the first is anchored at the
// start, the last at the end, and those between are found one after the other,
// each as far left as possible.
type likePattern struct {
	segs []likeSegment
}

// likeSegment is literal characters and _ wildcards.
type likeSegment struct {
	lit []byte // the bytes; at a wildcard, one byte that is not looked at
	any []bool // nil if there is no wildcard
}

func compileLike(p string) (*likePattern, error) {
	lp := &likePattern{}
	var seg likeSegment
	wild := false
	put := func(c byte, isAny bool) {
		seg.lit = append(seg.lit, c)
		seg.any = append(seg.any, isAny)
		wild = wild || isAny
	}
	end := func() {
		if !wild {
			seg.any = nil
		}
		lp.segs = append(lp.segs, seg)
		seg, wild = likeSegment{}, false
	}
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '%':
			end()
		case '_':
			put(0, true)
		case '\\':
			if i++; i >= len(p) {
				return nil, pgerr.New("22025", "LIKE pattern must not end with escape character")
			}
			put(p[i], false)
		default:
			put(p[i], false)
		}
	}
	end()
	return lp, nil
}

// prefix returns how many bytes of s the segment matches at its start, -1 if it
// does not match there.
func (g *likeSegment) prefix(s []byte) int {
	if g.any == nil {
		if bytes.HasPrefix(s, g.lit) {
			return len(g.lit)
		}
		return -1
	}
	at := 0
	for i, c := range g.lit {
		if at >= len(s) {
			return -1
		}
		if g.any[i] {
			_, w := utf8.DecodeRune(s[at:])
			at += w
			continue
		}
		if s[at] != c {
			return -1
		}
		at++
	}
	return at
}

// find returns where the segment matches first and the bytes it takes there.
func (g *likeSegment) find(s []byte) (at, n int) {
	if g.any == nil {
		return bytes.Index(s, g.lit), len(g.lit)
	}
	for at = 0; at <= len(s); {
		if n := g.prefix(s[at:]); n >= 0 {
			return at, n
		}
		if at == len(s) {
			break
		}
		_, w := utf8.DecodeRune(s[at:])
		at += w
	}
	return -1, 0
}

// suffix reports whether the segment matches the end of s.
func (g *likeSegment) suffix(s []byte) bool {
	if g.any == nil {
		return bytes.HasSuffix(s, g.lit)
	}
	at := len(s)
	for i := len(g.lit) - 1; i >= 0; i-- {
		if at == 0 {
			return false
		}
		if g.any[i] {
			_, w := utf8.DecodeLastRune(s[:at])
			at -= w
			continue
		}
		if at--; s[at] != g.lit[i] {
			return false
		}
	}
	return true
}

func (p *likePattern) match(s []byte) bool {
	last := len(p.segs) - 1
	n := p.segs[0].prefix(s)
	if last == 0 {
		return n == len(s)
	}
	if n < 0 {
		return false
	}
	s = s[n:]
	for i := 1; i < last; i++ {
		at, n := p.segs[i].find(s)
		if at < 0 {
			return false
		}
		s = s[at+n:]
	}
	return p.segs[last].suffix(s)
}

// like makes the four LIKE operators. A constant pattern is compiled once, a
// varying one whenever it changes.
func like(fold, negate bool) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.New(types.T(types.Bool), n)
		res := vector.Values[bool](out)
		s, pat := args[0], args[1]
		var p *likePattern
		var source string
		var buf []byte
		for i := range res {
			if s.IsNull(i) || pat.IsNull(i) {
				continue
			}
			if p == nil || pat.Form != vector.Const && pat.StringAt(i) != source {
				source = pat.StringAt(i)
				text := source
				if fold {
					text = strings.Map(unicode.ToLower, text)
				}
				var err error
				if p, err = compileLike(text); err != nil {
					return nil, err
				}
				if pat.Form == vector.Const && s.Form == vector.Flat && !fold {
					likeAll(p, s, res, negate)
					return out, nil
				}
			}
			b := s.BytesAt(i)
			if fold {
				buf = lowered(buf[:0], b)
				b = buf
			}
			res[i] = p.match(b) != negate
		}
		return out, nil
	}
}

func lowered(dst, s []byte) []byte {
	if ascii(s) {
		for _, c := range s {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
		}
		return dst
	}
	for _, x := range string(s) {
		dst = utf8.AppendRune(dst, unicode.ToLower(x))
	}
	return dst
}

// likeAll matches a whole column against one pattern. %needle% over many short
// strings is searched over the whole buffer at once: a hit that lies within one
// row decides that row, and rows that no hit touches cost nothing.
func likeAll(p *likePattern, s *vector.Vector, res []bool, negate bool) {
	offs, data := s.Offs[:len(res)+1], s.Bytes
	if len(p.segs) == 3 && len(p.segs[0].lit) == 0 && len(p.segs[2].lit) == 0 && p.segs[1].any == nil && len(p.segs[1].lit) > 0 {
		if negate {
			for i := range res {
				res[i] = true
			}
		}
		needle, row, at := p.segs[1].lit, 0, int(offs[0])
		end := int(offs[len(res)])
		for at < end {
			i := bytes.Index(data[at:end], needle)
			if i < 0 {
				return
			}
			at += i
			for int(offs[row+1]) <= at {
				row++
			}
			if at+len(needle) <= int(offs[row+1]) {
				res[row] = !negate
				at = int(offs[row+1])
			} else {
				at++
			}
		}
		return
	}
	for i := range res {
		res[i] = p.match(data[offs[i]:offs[i+1]]) != negate
	}
}

// likeEscape rewrites a pattern with another escape character for LIKE … ESCAPE.
func likeEscape(dst []byte, r *row) ([]byte, error) {
	p, esc := r.str(0), r.str(1)
	if utf8.RuneCountInString(esc) > 1 {
		return nil, pgerr.New("22025", "invalid escape string").WithHint("Escape string must be empty or one character.")
	}
	if esc == `\` {
		return append(dst, p...), nil
	}
	after := false
	for _, x := range p {
		switch {
		case !after && esc != "" && string(x) == esc:
			dst = append(dst, '\\')
			after = true
			continue
		case x == '\\' && !after:
			dst = append(dst, '\\')
		}
		dst = utf8.AppendRune(dst, x)
		after = false
	}
	return dst, nil
}

func registerLike(r *registry) {
	for op, f := range map[string]EvalFunc{"~~": like(false, false), "!~~": like(false, true), "~~*": like(true, false), "!~~*": like(true, true)} {
		r.op(op+"(text,text) bool", f)
		r.op(op+"(name,text) bool", f)
	}
	r.scalar("like(text,text) bool", like(false, false))
	r.scalar("notlike(text,text) bool", like(false, true))
	r.scalar("like_escape(text,text) text", text(likeEscape))
}
