package types

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

// PathOp is the kind of a node of a jsonpath expression.
type PathOp uint8

// The nodes. What follows an item (accessors, filters, methods) is its Next.
const (
	PathRoot     PathOp = iota // $
	PathCurrent                // @
	PathVariable               // $name
	PathLast                   // last
	PathNull
	PathBool
	PathNumber
	PathString
	PathKey     // .name
	PathAnyKey  // .*
	PathAnyElem // [*]
	PathElems   // [a, b to c]: Args are from and to, nil for none
	PathDeep    // .**
	PathFilter  // ?(…)
	PathMethod  // .name()
	PathOr      // from here on with priorities
	PathAnd
	PathNot
	PathEqual
	PathNotEqual
	PathLess
	PathLessEqual
	PathGreater
	PathGreaterEqual
	PathStartsWith
	PathLikeRegex
	PathExists
	PathAdd
	PathSub
	PathMul
	PathDiv
	PathMod
	PathPlus
	PathMinus
)

var pathOps = map[PathOp]string{PathOr: "||", PathAnd: "&&", PathEqual: "==", PathNotEqual: "!=", PathLess: "<", PathLessEqual: "<=",
	PathGreater: ">", PathGreaterEqual: ">=", PathStartsWith: "starts with", PathAdd: "+", PathSub: "-", PathMul: "*", PathDiv: "/", PathMod: "%",
	PathPlus: "+", PathMinus: "-"}

func (op PathOp) String() string { return pathOps[op] }

// PathNode is a node of a jsonpath expression.
type PathNode struct {
	Op    PathOp
	Text  string // names, strings, numbers; the flags of like_regex
	Value bool   // of PathBool
	Args  []*PathNode
	Next  *PathNode
}

// JSONPath is a parsed jsonpath.
type JSONPath struct {
	Strict bool
	Expr   *PathNode
}

type pathParser struct {
	s      string
	i      int
	inElem int // depth of subscripts, where last may stand
	inFilt int // depth of filters, where @ may stand
}

// ParseJSONPath reads a jsonpath. What is not jsonpath is 42601; datetime(),
// keyvalue() and levels of .** are refused with 0A000.
func ParseJSONPath(s string) (*JSONPath, error) {
	p := &pathParser{s: s}
	out := &JSONPath{}
	switch {
	case p.word("strict"):
		out.Strict = true
	case p.word("lax"):
	}
	e, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	if p.skip(); p.i < len(p.s) {
		return nil, p.bad()
	}
	out.Expr = e
	return out, nil
}

func (p *pathParser) skip() {
	for p.i < len(p.s) && isSpace(p.s[p.i]) {
		p.i++
	}
}

func (p *pathParser) bad() error {
	if p.skip(); p.i >= len(p.s) {
		if strings.TrimSpace(p.s) == "" {
			return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type jsonpath: \"%s\"", p.s)
		}
		return pgerr.New(pgerr.SyntaxError, "syntax error at end of jsonpath input")
	}
	n := p.i
	for n < len(p.s) && pathNameByte(p.s[n]) {
		n++
	}
	return pgerr.New(pgerr.SyntaxError, "syntax error at or near \"%s\" of jsonpath input", p.s[p.i:max(n, p.i+1)])
}

func pathNameByte(c byte) bool {
	return isAlpha(c) || isDigit(c) || c == '_' || c >= utf8.RuneSelf
}

// word takes a keyword.
func (p *pathParser) word(w string) bool {
	p.skip()
	if !strings.HasPrefix(p.s[p.i:], w) || p.i+len(w) < len(p.s) && pathNameByte(p.s[p.i+len(w)]) {
		return false
	}
	p.i += len(w)
	return true
}

func (p *pathParser) take(t string) bool {
	if p.skip(); strings.HasPrefix(p.s[p.i:], t) {
		p.i += len(t)
		return true
	}
	return false
}

func (p *pathParser) want(t string) error {
	if !p.take(t) {
		return p.bad()
	}
	return nil
}

// predicate tells the nodes that are true or false.
func (n *PathNode) predicate() bool {
	return n.Next == nil && n.Op >= PathOr && n.Op <= PathExists
}

// expr reads binary operators that bind at least as tight as level: 0 ||, 1 &&,
// 2 comparisons, 3 + and -, 4 *, / and %.
func (p *pathParser) expr(level int) (*PathNode, error) {
	if level == 5 {
		return p.unary()
	}
	left, err := p.expr(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		op, ok := p.binary(level)
		if !ok {
			return left, nil
		}
		if (level < 2) != left.predicate() {
			return nil, p.bad()
		}
		n := &PathNode{Op: op, Args: []*PathNode{left}}
		switch op {
		case PathLikeRegex:
			s, err := p.str()
			if err != nil {
				return nil, err
			}
			n.Args = append(n.Args, &PathNode{Op: PathString, Text: s})
			if p.word("flag") {
				if n.Text, err = p.str(); err != nil {
					return nil, err
				}
			}
		default:
			right, err := p.expr(level + 1)
			if err != nil {
				return nil, err
			}
			if (level < 2) != right.predicate() {
				return nil, p.bad()
			}
			n.Args = append(n.Args, right)
		}
		left = n
		if level == 2 {
			return left, nil
		}
	}
}

func (p *pathParser) binary(level int) (PathOp, bool) {
	switch level {
	case 0:
		return PathOr, p.take("||")
	case 1:
		return PathAnd, p.take("&&")
	case 2:
		for _, c := range []struct {
			t  string
			op PathOp
		}{{"==", PathEqual}, {"!=", PathNotEqual}, {"<>", PathNotEqual}, {"<=", PathLessEqual}, {">=", PathGreaterEqual}, {"<", PathLess}, {">", PathGreater}} {
			if p.take(c.t) {
				return c.op, true
			}
		}
		if p.word("starts") {
			return PathStartsWith, p.word("with")
		}
		return PathLikeRegex, p.word("like_regex")
	case 3:
		if p.take("+") {
			return PathAdd, true
		}
		return PathSub, p.take("-")
	}
	if p.take("*") {
		return PathMul, true
	}
	if p.take("/") {
		return PathDiv, true
	}
	return PathMod, p.take("%")
}

func (p *pathParser) unary() (*PathNode, error) {
	switch {
	case p.take("+"), p.take("-"):
		op := PathPlus
		if p.s[p.i-1] == '-' {
			op = PathMinus
		}
		e, err := p.unary()
		if err != nil || e.predicate() {
			return nil, errOr(err, p.bad)
		}
		if op == PathMinus && e.Op == PathNumber && e.Next == nil {
			return &PathNode{Op: PathNumber, Text: "-" + e.Text}, nil
		}
		return &PathNode{Op: op, Args: []*PathNode{e}}, nil
	case p.skipped() == '!' && !strings.HasPrefix(p.s[p.i:], "!="):
		p.i++
		if !p.peek("(") && !p.peek("exists") {
			return nil, p.bad()
		}
		e, err := p.primary()
		if err != nil || !e.predicate() {
			return nil, errOr(err, p.bad)
		}
		return &PathNode{Op: PathNot, Args: []*PathNode{e}}, nil
	}
	return p.primary()
}

func errOr(err error, otherwise func() error) error {
	if err != nil {
		return err
	}
	return otherwise()
}

func (p *pathParser) skipped() byte {
	if p.skip(); p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *pathParser) peek(t string) bool {
	p.skip()
	return strings.HasPrefix(p.s[p.i:], t)
}

func (p *pathParser) primary() (*PathNode, error) {
	var n *PathNode
	switch c := p.skipped(); {
	case c == '(':
		p.i++
		e, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		if err := p.want(")"); err != nil {
			return nil, err
		}
		if c := p.skipped(); c != '.' && c != '[' && c != '?' {
			return e, nil
		}
		// The parentheses matter for what follows: keep them as a unary plus does.
		last := e
		for last.Next != nil {
			last = last.Next
		}
		rest, err := p.accessors()
		last.Next = rest
		return e, err
	case c == '$':
		p.i++
		switch {
		case p.i < len(p.s) && p.s[p.i] == '"':
			s, err := p.str()
			if err != nil {
				return nil, err
			}
			n = &PathNode{Op: PathVariable, Text: s}
		case p.i < len(p.s) && pathNameByte(p.s[p.i]):
			n = &PathNode{Op: PathVariable, Text: p.name()}
		default:
			n = &PathNode{Op: PathRoot}
		}
	case c == '@':
		if p.inFilt == 0 {
			return nil, pgerr.New(pgerr.SyntaxError, "@ is not allowed in root expressions")
		}
		p.i++
		n = &PathNode{Op: PathCurrent}
	case c == '"':
		s, err := p.str()
		if err != nil {
			return nil, err
		}
		n = &PathNode{Op: PathString, Text: s}
	case isDigit(c) || c == '.' && p.i+1 < len(p.s) && isDigit(p.s[p.i+1]):
		from := p.i
		for p.i < len(p.s) && (isDigit(p.s[p.i]) || p.s[p.i] == '.' || p.s[p.i]|0x20 == 'e' ||
			(p.s[p.i] == '+' || p.s[p.i] == '-') && p.s[p.i-1]|0x20 == 'e') {
			p.i++
		}
		if p.i < len(p.s) && pathNameByte(p.s[p.i]) {
			return nil, pgerr.New(pgerr.SyntaxError, "trailing junk after numeric literal at or near \"%s\" of jsonpath input", p.s[from:p.i+1])
		}
		d, err := ParseNumeric(p.s[from:p.i])
		if err != nil {
			return nil, err
		}
		n = &PathNode{Op: PathNumber, Text: string(AppendNumeric(nil, d))}
	case p.word("true"):
		n = &PathNode{Op: PathBool, Value: true}
	case p.word("false"):
		n = &PathNode{Op: PathBool}
	case p.word("null"):
		n = &PathNode{Op: PathNull}
	case p.word("last"):
		if p.inElem == 0 {
			return nil, pgerr.New(pgerr.SyntaxError, "LAST is allowed only in array subscripts")
		}
		n = &PathNode{Op: PathLast}
	case p.word("exists"):
		if err := p.want("("); err != nil {
			return nil, err
		}
		e, err := p.expr(0)
		if err != nil || e.predicate() {
			return nil, errOr(err, p.bad)
		}
		return &PathNode{Op: PathExists, Args: []*PathNode{e}}, p.want(")")
	default:
		return nil, p.bad()
	}
	var err error
	n.Next, err = p.accessors()
	return n, err
}

func (p *pathParser) name() string {
	from := p.i
	for p.i < len(p.s) && pathNameByte(p.s[p.i]) {
		p.i++
	}
	return p.s[from:p.i]
}

// accessors reads what follows an item.
func (p *pathParser) accessors() (*PathNode, error) {
	var n *PathNode
	switch {
	case p.take(".**"):
		if p.peek("{") {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "levels of .** in jsonpath are not supported")
		}
		n = &PathNode{Op: PathDeep}
	case p.take(".*"):
		n = &PathNode{Op: PathAnyKey}
	case p.take("."):
		switch c := p.skipped(); {
		case c == '"':
			s, err := p.str()
			if err != nil {
				return nil, err
			}
			n = &PathNode{Op: PathKey, Text: s}
		case pathNameByte(c) && !isDigit(c):
			n = &PathNode{Op: PathKey, Text: p.name()}
			if p.take("(") {
				n.Op = PathMethod
				switch n.Text {
				case "size", "type", "double", "abs", "floor", "ceiling":
				case "datetime", "keyvalue":
					return nil, pgerr.New(pgerr.FeatureNotSupported, "the jsonpath method .%s() is not supported", n.Text)
				default:
					return nil, p.bad()
				}
				if err := p.want(")"); err != nil {
					return nil, err
				}
			}
		default:
			return nil, p.bad()
		}
	case p.take("["):
		if p.take("*") {
			n = &PathNode{Op: PathAnyElem}
			if err := p.want("]"); err != nil {
				return nil, err
			}
			break
		}
		n = &PathNode{Op: PathElems}
		p.inElem++
		for {
			from, err := p.expr(0)
			if err != nil || from.predicate() {
				return nil, errOr(err, p.bad)
			}
			var to *PathNode
			if p.word("to") {
				if to, err = p.expr(0); err != nil || to.predicate() {
					return nil, errOr(err, p.bad)
				}
			}
			n.Args = append(n.Args, from, to)
			if !p.take(",") {
				break
			}
		}
		p.inElem--
		if err := p.want("]"); err != nil {
			return nil, err
		}
	case p.take("?"):
		if err := p.want("("); err != nil {
			return nil, err
		}
		p.inFilt++
		e, err := p.expr(0)
		p.inFilt--
		if err != nil || !e.predicate() {
			return nil, errOr(err, p.bad)
		}
		n = &PathNode{Op: PathFilter, Args: []*PathNode{e}}
		if err := p.want(")"); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	var err error
	n.Next, err = p.accessors()
	return n, err
}

// str reads a string in double quotes.
func (p *pathParser) str() (string, error) {
	if p.skipped() != '"' {
		return "", p.bad()
	}
	end := skipJSONString([]byte(p.s), p.i)
	raw := p.s[p.i:end]
	if len(raw) < 2 || raw[len(raw)-1] != '"' {
		return "", pgerr.New(pgerr.SyntaxError, "unterminated quoted string at end of jsonpath input")
	}
	if err := CheckJSON([]byte(raw)); err != nil {
		return "", pgerr.New(pgerr.SyntaxError, "invalid string in jsonpath input: %s", raw)
	}
	p.i = end
	t, err := JSONUnescape([]byte(raw[1 : len(raw)-1]))
	return string(t), err
}

// String writes the path as Postgres does.
func (j *JSONPath) String() string {
	var b []byte
	if j.Strict {
		b = append(b, "strict "...)
	}
	return string(j.Expr.append(b, true))
}

func (n *PathNode) priority() int {
	switch n.Op {
	case PathOr:
		return 0
	case PathAnd:
		return 1
	case PathEqual, PathNotEqual, PathLess, PathLessEqual, PathGreater, PathGreaterEqual, PathStartsWith:
		return 2
	case PathAdd, PathSub:
		return 3
	case PathMul, PathDiv, PathMod:
		return 4
	case PathPlus, PathMinus:
		return 5
	}
	return 6
}

func (n *PathNode) append(b []byte, brackets bool) []byte {
	operand := func(a *PathNode) { b = a.append(b, a.priority() <= n.priority()) }
	switch n.Op {
	case PathRoot:
		b = append(b, '$')
	case PathCurrent:
		b = append(b, '@')
	case PathVariable:
		b = AppendJSONString(append(b, '$'), n.Text)
	case PathLast:
		b = append(b, "last"...)
	case PathNull:
		b = append(b, "null"...)
	case PathBool:
		b = strconv.AppendBool(b, n.Value)
	case PathNumber:
		if n.Next != nil {
			b = append(append(append(b, '('), n.Text...), ')')
		} else {
			b = append(b, n.Text...)
		}
	case PathString:
		b = AppendJSONString(b, n.Text)
	case PathKey:
		b = AppendJSONString(append(b, '.'), n.Text)
	case PathAnyKey:
		b = append(b, ".*"...)
	case PathAnyElem:
		b = append(b, "[*]"...)
	case PathDeep:
		b = append(b, ".**"...)
	case PathElems:
		b = append(b, '[')
		for i := 0; i < len(n.Args); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = n.Args[i].append(b, false)
			if to := n.Args[i+1]; to != nil {
				b = to.append(append(b, " to "...), false)
			}
		}
		b = append(b, ']')
	case PathFilter:
		b = append(n.Args[0].append(append(b, "?("...), false), ')')
	case PathMethod:
		b = append(append(append(b, '.'), n.Text...), "()"...)
	case PathNot:
		b = append(n.Args[0].append(append(b, "!("...), false), ')')
	case PathExists:
		b = append(n.Args[0].append(append(b, "exists ("...), false), ')')
	case PathPlus, PathMinus:
		if brackets {
			b = append(b, '(')
		}
		b = append(b, n.Op.String()...)
		operand(n.Args[0])
		if brackets {
			b = append(b, ')')
		}
	case PathLikeRegex:
		if brackets {
			b = append(b, '(')
		}
		operand(n.Args[0])
		b = AppendJSONString(append(b, " like_regex "...), n.Args[1].Text)
		if n.Text != "" {
			b = AppendJSONString(append(b, " flag "...), n.Text)
		}
		if brackets {
			b = append(b, ')')
		}
	default:
		if brackets {
			b = append(b, '(')
		}
		operand(n.Args[0])
		b = append(append(append(b, ' '), n.Op.String()...), ' ')
		operand(n.Args[1])
		if brackets {
			b = append(b, ')')
		}
	}
	if n.Next != nil {
		b = n.Next.append(b, true)
	}
	return b
}
