package parser

import (
	"strings"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

const (
	// maxText is the longest text in bytes, before and after the rewrite.
	maxText = 16 << 20
	// maxNesting bounds the depth of the tree. libpg_query writes the tree out
	// by recursion without a check of its own: in WebAssembly the stack
	// overflows between 3000 and 4000 levels, and that instance of the library
	// cannot be used again.
	maxNesting = 1500
)

// check refuses what the library cannot take and tells whether the text has a
// word that the rewrite or a trap is about.
func check(sql string) (special bool, err error) {
	if len(sql) > maxText {
		return false, pgerr.New(pgerr.ProgramLimitExceeded, "statement is too long: %d bytes, the limit is %d", len(sql), maxText).
			WithHint("Load data with COPY, or send several statements.")
	}
	if i := strings.IndexByte(sql, 0); i >= 0 {
		return false, pgerr.New(pgerr.CharacterNotInRepertoire, `invalid byte sequence for encoding "UTF8": 0x00`)
	}
	if !utf8.ValidString(sql) {
		i := 0
		for r, n := utf8.DecodeRuneInString(sql); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRuneInString(sql[i:]) {
			i += n
		}
		return false, pgerr.New(pgerr.CharacterNotInRepertoire, `invalid byte sequence for encoding "UTF8": 0x%02x`, sql[i])
	}
	var d depth
	l := lexer{text: sql}
	var prev token
	for t := l.next(); t.kind != tokEOF; t = l.next() {
		if !d.add(&prev, &t) {
			return false, tooComplex(0)
		}
		special = special || isSpecial(&prev, &t)
		prev = t
	}
	return special, nil
}

func tooComplex(pos int) error {
	return pgerr.New(pgerr.StatementTooComplex, "statement too complex").At(pos).
		WithDetail("Expressions may be nested %d levels deep.", maxNesting).
		WithHint("Write a long chain of + or || as sum() or string_agg() over VALUES, and join UNION branches over a table.")
}

// isSpecial tells whether the rewrite or a trap must look at the text.
func isSpecial(prev, t *token) bool {
	switch t.word {
	case "anti", "apply", "asof", "ignore", "model", "qualify", "respect", "sample", "semi", "exclude", "tablesample":
		return true
	case "all":
		return prev.is("by")
	case "except", "replace", "rename":
		return prev.is("*")
	case "(":
		return prev.is("table")
	}
	return false
}

// depth bounds from above the depth of the tree of a statement, from its tokens
// alone. Everything that is no plain operand counts as a level on top of all
// that stands in the same chain; what makes siblings in the tree (a comma, AND,
// OR, clauses) ends a chain. Parentheses, brackets and CASE … END nest.
type depth struct {
	stack []depthLevel
	cur   depthLevel
}

type depthLevel struct {
	kind    byte // what opened it: '(', '[' or 'c'
	chain   int  // levels in the current chain
	inner   int  // the deepest nested level in the current chain
	joins   int  // JOIN and UNION, which nest over clauses
	deepest int  // of the chains that are complete
	between int  // BETWEENs whose AND is to come
}

func (l *depthLevel) endChain() {
	l.deepest = max(l.deepest, l.chain+l.inner)
	l.chain, l.inner = 0, 0
}

func (l *depthLevel) total() int { return max(l.deepest, l.chain+l.inner) + l.joins }

// add takes the next token; false when the statement nests too deep.
func (d *depth) add(prev, t *token) bool {
	c := &d.cur
	if t.kind == tokWord && (prev.is(".") || prev.is("as") && t.is("case") || t.class == notKeyword) {
		return true // a name, whatever the word
	}
	switch t.kind {
	case tokQuoted, tokNumber, tokString, tokParam:
		return true
	}
	switch t.word {
	case ".":
		return true
	case ";":
		if len(d.stack) == 0 {
			*c = depthLevel{}
		}
		return true
	case "(", "[", "case":
		d.stack = append(d.stack, *c)
		d.cur = depthLevel{kind: t.word[0]}
		return len(d.stack) < maxNesting
	case ")", "]", "end":
		if len(d.stack) == 0 || !closes(t, c.kind) {
			return true
		}
		n := c.total() + 1
		d.cur = d.stack[len(d.stack)-1]
		d.stack = d.stack[:len(d.stack)-1]
		d.cur.inner = max(d.cur.inner, n)
	case ",", "or", "where", "select", "on", "when", "then", "else":
		c.endChain()
		c.between = 0
		if t.is("select") { // costs the library twice the stack of an operator
			c.joins++
		}
	case "and":
		if c.between > 0 {
			c.between--
			c.chain++
		} else {
			c.endChain()
		}
	case "join", "union", "intersect", "except":
		c.joins++
	case "between":
		c.between++
		c.chain++
	default:
		c.chain++
	}
	return d.cur.total()+len(d.stack) < maxNesting
}

// closes tells whether the token ends what a token that begins with kind began.
func closes(t *token, kind byte) bool {
	return t.is(")") && kind == '(' || t.is("]") && kind == '[' || t.is("end") && kind == 'c'
}
