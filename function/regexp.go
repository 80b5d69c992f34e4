package function

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
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

// compileChain translates a Postgres advanced regular expression to Go's
// syntax. As Go's engine has no backtracking, back references and lookaround
// are refused. A match is the longest at the leftmost place, unless some
// quantifier is non-greedy: then Go's order of preference decides, which is
// what Postgres finds in the usual cases.
// The chain, not nil for expressions that have one, is a faster form of the same.
func compileChain(pattern string, f regexFlags) (*regexp.Regexp, *regexChain, error) {
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
			return nil, nil, err
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
		return nil, nil, errRegex(regexDetail(err))
	}
	if lazy {
		return re, nil, nil
	}
	re.Longest()
	return re, newRegexChain(body, re), nil
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
