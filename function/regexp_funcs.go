package function

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// regexCache keeps the last expression compiled within one call of a kernel.
type regexCache struct {
	pattern, flags string
	re             *regexp.Regexp
	chain          *regexChain // nil if there is none
	f              regexFlags
	m              []int
}

// find returns the bounds of the first match in s and of its groups, valid until
// the next call; nil if there is none.
func (k *regexCache) find(s string) []int {
	if k.chain != nil {
		if found, known := k.chain.find(s, k.m); known {
			if !found {
				return nil
			}
			return k.m
		}
	}
	return k.re.FindStringSubmatchIndex(s)
}

// get compiles; fold is that of ~* and !~*.
func (k *regexCache) get(pattern, flags string, fold bool) (*regexp.Regexp, error) {
	if k.re != nil && k.pattern == pattern && k.flags == flags {
		return k.re, nil
	}
	f, err := parseRegexFlags(flags)
	if err != nil {
		return nil, err
	}
	f.fold = f.fold || fold
	re, chain, err := compileChain(pattern, f)
	if err != nil {
		return nil, err
	}
	k.pattern, k.flags, k.re, k.chain, k.f = strings.Clone(pattern), strings.Clone(flags), re, chain, f
	k.m = make([]int, 2*(re.NumSubexp()+1))
	return re, nil
}

func regexOp(fold, negate bool) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.New(types.T(types.Bool), n)
		res := vector.Values[bool](out)
		var k regexCache
		for i := range res {
			if !allValid(args, i) {
				continue
			}
			flags := ""
			if len(args) > 2 {
				flags = args[2].StringAt(i)
			}
			re, err := k.get(args[1].StringAt(i), flags, fold)
			if err != nil {
				return nil, err
			}
			if k.chain != nil {
				res[i] = (k.find(args[0].StringAt(i)) != nil) != negate
				continue
			}
			res[i] = re.Match(args[0].BytesAt(i)) != negate
		}
		return out, nil
	}
}

// expandReplacement appends a replacement, where \1 … \9 are groups and \& the match.
func expandReplacement(dst []byte, by, s string, m []int) []byte {
	for i := 0; i < len(by); i++ {
		if by[i] != '\\' || i+1 >= len(by) {
			dst = append(dst, by[i])
			continue
		}
		i++
		switch c := by[i]; {
		case c == '&':
			dst = append(dst, s[m[0]:m[1]]...)
		case c >= '1' && c <= '9':
			if g := int(c - '0'); 2*g+1 < len(m) && m[2*g] >= 0 {
				dst = append(dst, s[m[2*g]:m[2*g+1]]...)
			}
		case c == '\\':
			dst = append(dst, '\\')
		default:
			dst = append(dst, '\\', c)
		}
	}
	return dst
}

// perCall gives f a regexCache that lives for one call of the kernel.
func perCall(make func(k *regexCache) EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		return make(&regexCache{})(c, args, n)
	}
}

func regexReplace(k *regexCache) EvalFunc {
	return text(func(dst []byte, r *row) ([]byte, error) {
		flags := ""
		if len(r.args) > 3 {
			flags = r.str(3)
		}
		re, err := k.get(r.str(1), flags, false)
		if err != nil {
			return nil, err
		}
		s, by := r.str(0), r.str(2)
		if !k.f.global {
			m := k.find(s)
			if m == nil {
				return append(dst, s...), nil
			}
			dst = append(dst, s[:m[0]]...)
			dst = expandReplacement(dst, by, s, m)
			return append(dst, s[m[1]:]...), nil
		}
		at := 0
		for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
			dst = append(dst, s[at:m[0]]...)
			dst = expandReplacement(dst, by, s, m)
			at = m[1]
		}
		return append(dst, s[at:]...), nil
	})
}

// regexSubstring is substring(s from p): the first group, or the whole match.
func regexSubstring(k *regexCache) EvalFunc {
	return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
		if _, err := k.get(r.str(1), "", false); err != nil {
			return nil, false, err
		}
		s := r.str(0)
		m := k.find(s)
		if m == nil {
			return dst, false, nil
		}
		if len(m) > 2 {
			m = m[2:]
			if m[0] < 0 {
				return dst, false, nil
			}
		}
		return append(dst, s[m[0]:m[1]]...), true, nil
	})
}

// appendGroups appends the groups of a match, or the match if there are none, as one array.
func appendGroups(b *vector.Builder, s string, m []int) {
	if len(m) > 2 {
		m = m[2:]
	}
	for g := 0; g < len(m); g += 2 {
		if m[g] < 0 {
			b.Elems().AppendNull()
		} else {
			b.Elems().AppendString(s[m[g]:m[g+1]])
		}
	}
	b.EndList()
}

// toTextArray makes a function of rows that ends one row of b per call, or
// appends a NULL.
func toTextArray(f func(b *vector.Builder, r *row, k *regexCache) error) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		b := vector.NewBuilder(types.ArrayOf(types.Text), n)
		var k regexCache
		r := row{c: c, args: args}
		for i := range n {
			if !allValid(args, i) {
				b.AppendNull()
				continue
			}
			r.i = i
			if err := f(b, &r, &k); err != nil {
				return nil, err
			}
		}
		return b.Build(), nil
	}
}

func regexFlagsArg(r *row, k int) string {
	if len(r.args) > k {
		return r.str(k)
	}
	return ""
}

func regexMatch(b *vector.Builder, r *row, k *regexCache) error {
	if _, err := k.get(r.str(1), regexFlagsArg(r, 2), false); err != nil {
		return err
	}
	if k.f.global {
		return pgerr.New(pgerr.InvalidParameterValue, "regexp_match() does not support the \"global\" option").
			WithHint("Use the regexp_matches function instead.")
	}
	s := r.str(0)
	m := k.find(s)
	if m == nil {
		b.AppendNull()
		return nil
	}
	appendGroups(b, s, m)
	return nil
}

// splitRegex yields the pieces of s between matches; an empty match at the
// start, at the end, or right after a match does not split.
func splitRegex(re *regexp.Regexp, s string, yield func(string)) {
	at := 0
	for _, m := range re.FindAllStringIndex(s, -1) {
		if m[0] == m[1] && (m[0] == at && m[0] == 0 || m[0] >= len(s)) {
			continue
		}
		yield(s[at:m[0]])
		at = m[1]
	}
	yield(s[at:])
}

func regexSplit(b *vector.Builder, r *row, k *regexCache) error {
	re, err := k.get(r.str(1), regexFlagsArg(r, 2), false)
	if err != nil {
		return err
	}
	splitRegex(re, r.str(0), b.Elems().AppendString)
	b.EndList()
	return nil
}

// similarEscape rewrites a SIMILAR TO pattern as a regular expression.
func similarEscape(dst []byte, r *row) ([]byte, error) {
	esc := `\`
	if len(r.args) > 1 {
		esc = r.str(1)
	}
	return appendSimilar(dst, r.str(0), esc)
}

// appendSimilar appends the regular expression of a pattern. The escape character
// before a double quote separates the parts of the pattern of substring: what
// stands before the text that is wanted, as short as possible, the text, and the rest.
func appendSimilar(dst []byte, p, esc string) ([]byte, error) {
	if len(esc) > 1 && utf8.RuneCountInString(esc) > 1 {
		return nil, pgerr.New("22025", "invalid escape string").WithHint("Escape string must be empty or one character.")
	}
	dst = append(dst, "^(?:"...)
	after, inBracket, quotes := false, false, 0
	short := esc != "" && strings.Contains(p, esc+`"`) // quantifiers take as little as they can
	for _, x := range p {
		switch {
		case after && x == '"' && !inBracket:
			after = false
			switch quotes++; quotes {
			case 1:
				dst = append(dst, ")("...)
				short = false
			case 2:
				dst = append(dst, ")(?:"...)
			default:
				return nil, pgerr.New("2200C", "SQL regular expression may not contain more than two escape-double-quote separators")
			}
		case after:
			dst = append(dst, '\\')
			dst = utf8.AppendRune(dst, x)
			after = false
		case esc != "" && string(x) == esc:
			after = true
		case inBracket:
			if x == '\\' {
				dst = append(dst, '\\')
			}
			inBracket = x != ']'
			dst = utf8.AppendRune(dst, x)
		case x == '[':
			inBracket = true
			dst = append(dst, '[')
		case x == '%':
			dst = append(dst, ".*"...)
			if short {
				dst = append(dst, '?')
			}
		case short && (x == '*' || x == '+' || x == '?' || x == '}'):
			dst = append(dst, byte(x), '?')
		case x == '_':
			dst = append(dst, '.')
		case x == '(':
			dst = append(dst, "(?:"...)
		case x == '\\', x == '.', x == '^', x == '$':
			dst = append(dst, '\\', byte(x))
		default:
			dst = utf8.AppendRune(dst, x)
		}
	}
	return append(dst, ")$"...), nil
}

func registerRegexps(r *registry) {
	for op, f := range map[string]EvalFunc{"~": regexOp(false, false), "!~": regexOp(false, true), "~*": regexOp(true, false), "!~*": regexOp(true, true)} {
		r.op(op+"(text,text) bool", f)
		r.op(op+"(name,text) bool", f)
	}
	r.scalar("regexp_like(text,text) bool", regexOp(false, false))
	r.scalar("regexp_like(text,text,text) bool", regexOp(false, false))
	r.scalar("regexp_replace(text,text,text) text", perCall(regexReplace))
	r.scalar("regexp_replace(text,text,text,text) text", perCall(regexReplace))
	r.scalar("substring(text,text) text", perCall(regexSubstring))
	r.scalar("regexp_match(text,text) text[]", toTextArray(regexMatch))
	r.scalar("regexp_match(text,text,text) text[]", toTextArray(regexMatch))
	r.scalar("regexp_split_to_array(text,text) text[]", toTextArray(regexSplit))
	r.scalar("regexp_split_to_array(text,text,text) text[]", toTextArray(regexSplit))
	r.scalar("regexp_count(text,text) int4", perCall(func(k *regexCache) EvalFunc {
		return toFixed(types.Int4, func(r *row) (int32, bool, error) {
			re, err := k.get(r.str(1), "", false)
			if err != nil {
				return 0, false, err
			}
			return int32(len(re.FindAllStringIndex(r.str(0), -1))), true, nil
		})
	}))
	r.scalar("regexp_substr(text,text) text", perCall(func(k *regexCache) EvalFunc {
		return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
			re, err := k.get(r.str(1), "", false)
			if err != nil {
				return nil, false, err
			}
			m := re.FindStringIndex(r.str(0))
			if m == nil {
				return dst, false, nil
			}
			return append(dst, r.str(0)[m[0]:m[1]]...), true, nil
		})
	}))
	r.scalar("substring(text,text,text) text", perCall(func(k *regexCache) EvalFunc {
		find := regexSubstring(k)
		// Of all three, so that a bad escape beside a NULL text is no error.
		escape := text(func(dst []byte, r *row) ([]byte, error) { return appendSimilar(dst, r.str(1), r.str(2)) })
		return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
			p, err := escape(c, args, n)
			if err != nil {
				return nil, err
			}
			return find(c, []*vector.Vector{args[0], p}, n)
		}
	}))
	r.scalar("similar_to_escape(text) text", text(similarEscape))
	r.scalar("similar_to_escape(text,text) text", text(similarEscape))
}
