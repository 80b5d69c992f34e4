package function

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// regexFlags are the options of a regular expression.
type regexFlags struct {
	fold, newline, partial, expanded, quote, global bool
}

func parseRegexFlags(s string) (f regexFlags, err error) {
	for _, c := range s {
		switch c {
		case 'g':
			f.global = true
		case 'i':
			f.fold = true
		case 'c':
			f.fold = false
		case 'n', 'm':
			f.newline = true
		case 'p':
			f.partial = true
		case 's':
			f.newline, f.partial = false, false
		case 'x':
			f.expanded = true
		case 't':
			f.expanded = false
		case 'q':
			f.quote = true
		case 'e', 'b', 'w':
			return f, pgerr.New(pgerr.FeatureNotSupported, "regular expression option \"%c\" is not supported", c)
		default:
			return f, pgerr.New(pgerr.InvalidParameterValue, "invalid regular expression option: \"%c\"", c)
		}
	}
	return f, nil
}

func errRegex(detail string) error {
	return pgerr.New(pgerr.InvalidRegularExpression, "invalid regular expression: %s", detail)
}

// compileRegex translates a Postgres advanced regular expression to Go's
// syntax. As Go's engine has no backtracking, back references and lookaround
// are refused. A match is the longest at the leftmost place, unless some
// quantifier is non-greedy: then Go's order of preference decides, which is
// what Postgres finds in the usual cases.
func compileRegex(pattern string, f regexFlags) (*regexp.Regexp, error) {
	if rest, ok := strings.CutPrefix(pattern, "***="); ok {
		pattern, f.quote = rest, true
	} else if rest, ok := strings.CutPrefix(pattern, "***:"); ok {
		pattern = rest
	}
	lazy := false
	body := pattern
	if f.quote {
		body = regexp.QuoteMeta(pattern)
	} else {
		t := regexTranslator{s: pattern, f: f}
		if err := t.run(); err != nil {
			return nil, err
		}
		body, lazy, f = t.out.String(), t.lazy, t.f
	}
	flags := "s"
	if f.newline {
		flags = "m"
	} else if f.partial {
		flags = ""
	}
	if f.fold {
		flags += "i"
	}
	if flags != "" {
		body = "(?" + flags + ")" + body
	}
	re, err := regexp.Compile(body)
	if err != nil {
		return nil, errRegex(regexDetail(err))
	}
	if !lazy {
		re.Longest()
	}
	return re, nil
}

// regexDetail words an error of Go's parser as Postgres does, where both know it.
func regexDetail(err error) string {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	switch e.Code {
	case syntax.ErrInvalidRepeatOp, syntax.ErrMissingRepeatArgument:
		return "quantifier operand invalid"
	case syntax.ErrInvalidRepeatSize:
		return "invalid repetition count(s)"
	case syntax.ErrInvalidCharRange:
		return "invalid character range"
	case syntax.ErrMissingBracket:
		return "brackets [] not balanced"
	}
	return string(e.Code)
}

type regexTranslator struct {
	s    string
	f    regexFlags
	i    int
	out  strings.Builder
	lazy bool
}

func (t *regexTranslator) run() error {
	t.embeddedOptions()
	depth := 0
	for t.i < len(t.s) {
		c := t.s[t.i]
		switch {
		case c == '\\':
			if err := t.escape(false); err != nil {
				return err
			}
			continue
		case c == '[':
			if err := t.bracket(); err != nil {
				return err
			}
			continue
		case c == '(':
			depth++
			if strings.HasPrefix(t.s[t.i:], "(?") {
				rest := t.s[t.i+2:]
				switch {
				case strings.HasPrefix(rest, ":"):
					t.out.WriteString("(?:")
					t.i += 3
					continue
				case strings.HasPrefix(rest, "="), strings.HasPrefix(rest, "!"), strings.HasPrefix(rest, "<"):
					return pgerr.New(pgerr.FeatureNotSupported, "lookaround in regular expressions is not supported")
				case strings.HasPrefix(rest, "#"):
					end := strings.IndexByte(rest, ')')
					if end < 0 {
						return errRegex("parentheses () not balanced")
					}
					depth--
					t.i += 2 + end + 1
					continue
				}
				return errRegex("quantifier operand invalid")
			}
		case c == ')':
			if depth--; depth < 0 {
				return errRegex("parentheses () not balanced")
			}
		case (c == '*' || c == '+' || c == '?') && t.i+1 < len(t.s) && t.s[t.i+1] == '?', c == '}' && t.i+1 < len(t.s) && t.s[t.i+1] == '?':
			t.lazy = true
			t.out.WriteByte(c)
			t.out.WriteByte('?')
			t.i += 2
			continue
		case c == '{' && !(t.i+1 < len(t.s) && t.s[t.i+1] >= '0' && t.s[t.i+1] <= '9'):
			t.out.WriteString(`\{`)
			t.i++
			continue
		case t.f.expanded && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			t.i++
			continue
		case t.f.expanded && c == '#':
			for t.i < len(t.s) && t.s[t.i] != '\n' {
				t.i++
			}
			continue
		}
		t.out.WriteByte(c)
		t.i++
	}
	if depth != 0 {
		return errRegex("parentheses () not balanced")
	}
	return nil
}

// embeddedOptions reads (?xyz) at the start.
func (t *regexTranslator) embeddedOptions() {
	if !strings.HasPrefix(t.s, "(?") {
		return
	}
	end := strings.IndexByte(t.s, ')')
	if end < 3 {
		return
	}
	opts := t.s[2:end]
	for _, c := range opts {
		if c < 'a' || c > 'z' {
			return
		}
	}
	f, err := parseRegexFlags(opts)
	if err != nil {
		return
	}
	f.fold = f.fold || t.f.fold && !strings.Contains(opts, "c")
	f.newline = f.newline || t.f.newline && !strings.Contains(opts, "s")
	f.expanded = f.expanded || t.f.expanded
	f.global = t.f.global
	t.f, t.i = f, end+1
}

// escape translates an escape, in a bracket expression if inside.
func (t *regexTranslator) escape(inside bool) error {
	if t.i+1 >= len(t.s) {
		return errRegex("invalid escape \\ sequence")
	}
	c := t.s[t.i+1]
	t.i += 2
	switch c {
	case 'd', 'D', 's', 'S', 'w', 'W', 'n', 't', 'r', 'f', 'v', 'a':
		t.out.WriteByte('\\')
		t.out.WriteByte(c)
	case 'A', 'Z', 'm', 'M', 'y', 'Y':
		if inside {
			return errRegex("invalid escape \\ sequence")
		}
		// \m and \M, the start and the end of a word, become a word boundary:
		// what stands beside them in a pattern makes the difference.
		t.out.WriteString(map[byte]string{'A': `\A`, 'Z': `\z`, 'm': `\b`, 'M': `\b`, 'y': `\b`, 'Y': `\B`}[c])
	case 'e':
		t.out.WriteString(`\x1b`)
	case 'b':
		t.out.WriteString(`\x08`)
	case 'B':
		t.out.WriteString(`\\`)
	case '0':
		return errRegex("invalid escape \\ sequence")
	case 'u', 'U', 'x':
		n := map[byte]int{'u': 4, 'U': 8, 'x': 8}[c]
		j := t.i
		for j < len(t.s) && j-t.i < n && isHex(t.s[j]) {
			j++
		}
		if j == t.i || c != 'x' && j-t.i != n {
			return errRegex("invalid escape \\ sequence")
		}
		t.out.WriteString(`\x{` + t.s[t.i:j] + `}`)
		t.i = j
	default:
		switch {
		case c >= '1' && c <= '9':
			return pgerr.New(pgerr.FeatureNotSupported, "back references in regular expressions are not supported")
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			return errRegex("invalid escape \\ sequence")
		case c >= utf8.RuneSelf:
			t.out.WriteByte(c) // the rest of the character follows as is
		default:
			t.out.WriteString(regexp.QuoteMeta(string(rune(c))))
			if inside && (c == '-' || c == '^' || c == ']' || c == '[') && regexp.QuoteMeta(string(rune(c))) == string(rune(c)) {
				s := t.out.String()
				t.out.Reset()
				t.out.WriteString(s[:len(s)-1] + `\` + string(rune(c)))
			}
		}
	}
	return nil
}

func isHex(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 6 }

// bracket translates a bracket expression.
func (t *regexTranslator) bracket() error {
	switch rest := t.s[t.i:]; {
	case strings.HasPrefix(rest, "[[:<:]]"), strings.HasPrefix(rest, "[[:>:]]"):
		t.out.WriteString(`\b`)
		t.i += 7
		return nil
	}
	t.out.WriteByte('[')
	t.i++
	if t.i < len(t.s) && t.s[t.i] == '^' {
		t.out.WriteByte('^')
		t.i++
	}
	for first := true; t.i < len(t.s); first = false {
		c := t.s[t.i]
		switch {
		case c == ']' && !first:
			t.out.WriteByte(']')
			t.i++
			return nil
		case c == ']':
			t.out.WriteString(`\]`)
			t.i++
		case c == '\\':
			if err := t.escape(true); err != nil {
				return err
			}
		case strings.HasPrefix(t.s[t.i:], "[:"):
			end := strings.Index(t.s[t.i:], ":]")
			if end < 0 {
				return errRegex("brackets [] not balanced")
			}
			t.out.WriteString(t.s[t.i : t.i+end+2])
			t.i += end + 2
		case strings.HasPrefix(t.s[t.i:], "[."), strings.HasPrefix(t.s[t.i:], "[="):
			return pgerr.New(pgerr.FeatureNotSupported, "collating elements in regular expressions are not supported")
		case c == '[':
			t.out.WriteString(`\[`)
			t.i++
		default:
			t.out.WriteByte(c)
			t.i++
		}
	}
	return errRegex("brackets [] not balanced")
}

// regexCache keeps the last expression compiled within one call of a kernel.
type regexCache struct {
	pattern, flags string
	extra          bool
	re             *regexp.Regexp
	f              regexFlags
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
	re, err := compileRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	k.pattern, k.flags, k.re, k.f = strings.Clone(pattern), strings.Clone(flags), re, f
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
		limit := 1
		if k.f.global {
			limit = -1
		}
		at := 0
		for _, m := range re.FindAllStringSubmatchIndex(s, limit) {
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
		re, err := k.get(r.str(1), "", false)
		if err != nil {
			return nil, false, err
		}
		s := r.str(0)
		m := re.FindStringSubmatchIndex(s)
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
	re, err := k.get(r.str(1), regexFlagsArg(r, 2), false)
	if err != nil {
		return err
	}
	if k.f.global {
		return pgerr.New(pgerr.InvalidParameterValue, "regexp_match() does not support the \"global\" option").
			WithHint("Use the regexp_matches function instead.")
	}
	s := r.str(0)
	m := re.FindStringSubmatchIndex(s)
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
	p, esc := r.str(0), `\`
	if len(r.args) > 1 {
		esc = r.str(1)
	}
	dst = append(dst, "^(?:"...)
	after, inBracket := false, false
	for _, x := range p {
		switch {
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
	r.scalar("similar_to_escape(text) text", text(similarEscape))
	r.scalar("similar_to_escape(text,text) text", text(similarEscape))
}
