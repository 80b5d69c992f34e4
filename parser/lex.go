package parser

// The lexer of this file follows scan.l of Postgres with
// standard_conforming_strings on; FuzzLexer holds it to libpg_query's own. It
// exists beside that one because it needs no call into WebAssembly and no
// memory per token: every statement passes through it, also one of megabytes.

// tokKind is the kind of a token.
type tokKind uint8

const (
	tokEOF    tokKind = iota
	tokWord           // a name or keyword without quotes
	tokQuoted         // a name in double quotes, U& included
	tokNumber
	tokString  // any string constant, dollar quotes included
	tokParam   // $1
	tokOp      // an operator
	tokPunct   // , ( ) [ ] . ; : and any other single character
	tokComment // only from rawNext
)

// token is one token of a text; the zero value is the end of the text.
type token struct {
	kind       tokKind
	class      kwClass // of a word
	open       bool    // quotes or a comment that the text ends in
	start, end int
	word       string // a word of keywords in lower case, or punctuation and operators as written
}

// is tells whether the token is that keyword, punctuation or operator.
func (t *token) is(w string) bool { return t.word == w }

type lexer struct {
	text string
	pos  int
}

// next returns the next token that is not a comment.
func (l *lexer) next() token {
	for {
		if t := l.rawNext(); t.kind != tokComment {
			return t
		}
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func isIdentPart(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }
func isOpChar(c byte) bool {
	switch c {
	case '~', '!', '@', '#', '^', '&', '|', '`', '?', '+', '-', '*', '/', '%', '<', '>', '=':
		return true
	}
	return false
}

// at returns the byte n after the current one, 0 past the end.
func (l *lexer) at(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// rawNext returns the next token, comments included.
func (l *lexer) rawNext() token {
	for l.pos < len(l.text) && isSpace(l.text[l.pos]) {
		l.pos++
	}
	t := token{start: l.pos, end: l.pos}
	if l.pos >= len(l.text) {
		return t
	}
	c := l.text[l.pos]
	switch {
	case c == '-' && l.at(1) == '-':
		t.kind = tokComment
		l.lineComment()
	case c == '/' && l.at(1) == '*':
		t.kind = tokComment
		t.open = !l.blockComment()
	case c == '\'':
		t.kind = tokString
		l.pos++
		t.open = !l.quoted(false, true)
	case c == '"':
		t.kind = tokQuoted
		l.pos++
		t.open = !l.name()
	case isIdentStart(c):
		l.wordOrPrefixed(&t, c)
	case isDigit(c) || c == '.' && isDigit(l.at(1)):
		t.kind = tokNumber
		l.number()
	case c == '$':
		l.dollar(&t)
	case isOpChar(c):
		t.kind = tokOp
		l.operator()
		t.word = l.text[t.start:l.pos]
	default:
		t.kind = tokPunct
		l.pos++
		if d := l.at(0); c == ':' && (d == ':' || d == '=') || c == '.' && d == '.' {
			l.pos++
		}
		t.word = l.text[t.start:l.pos]
	}
	t.end = l.pos
	return t
}

func (l *lexer) lineComment() {
	for l.pos < len(l.text) && l.text[l.pos] != '\n' && l.text[l.pos] != '\r' {
		l.pos++
	}
}

// blockComment skips a comment, which may hold others; false if it is not closed.
func (l *lexer) blockComment() bool {
	depth := 0
	for l.pos < len(l.text) {
		switch {
		case l.text[l.pos] == '/' && l.at(1) == '*':
			depth++
			l.pos += 2
		case l.text[l.pos] == '*' && l.at(1) == '/':
			depth--
			l.pos += 2
			if depth == 0 {
				return true
			}
		default:
			l.pos++
		}
	}
	return false
}

// quoted skips the rest of a string constant, its continuations on later lines
// included, after the opening quote; doubled tells whether two quotes mean one.
func (l *lexer) quoted(escapes, doubled bool) bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\\' && escapes:
			l.pos += 2
		case c == '\'' && doubled && l.at(1) == '\'':
			l.pos += 2
		case c == '\'':
			l.pos++
			end := l.pos
			if !l.continued() {
				l.pos = end
				return true
			}
		default:
			l.pos++
		}
	}
	l.pos = len(l.text)
	return false
}

// continued skips to the inside of a quote that stands on a later line with
// nothing but white space between, and tells whether there is one. (Postgres
// takes line comments between, too; libpg_query does not.)
func (l *lexer) continued() bool {
	newline := false
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\n' || c == '\r':
			newline = true
			l.pos++
		case isSpace(c):
			l.pos++
		case c == '\'':
			l.pos++
			return newline
		default:
			return false
		}
	}
	return false
}

// name skips the rest of a name in double quotes.
func (l *lexer) name() bool {
	for l.pos < len(l.text) {
		if l.text[l.pos] == '"' {
			if l.at(1) != '"' {
				l.pos++
				return true
			}
			l.pos++
		}
		l.pos++
	}
	return false
}

func (l *lexer) wordOrPrefixed(t *token, c byte) {
	switch lower := c | 0x20; {
	case (lower == 'e' || lower == 'b' || lower == 'x') && l.at(1) == '\'':
		t.kind = tokString
		l.pos += 2
		t.open = !l.quoted(lower == 'e', lower == 'e')
		return
	case lower == 'u' && l.at(1) == '&' && l.at(2) == '\'':
		t.kind = tokString
		l.pos += 3
		t.open = !l.quoted(false, true)
		return
	case lower == 'u' && l.at(1) == '&' && l.at(2) == '"':
		t.kind = tokQuoted
		l.pos += 3
		t.open = !l.name()
		return
	}
	for l.pos < len(l.text) && isIdentPart(l.text[l.pos]) {
		l.pos++
	}
	t.kind = tokWord
	t.word, t.class = lookup(l.text[t.start:l.pos])
}

// lookup finds a word of keywords whatever its case.
func lookup(s string) (string, kwClass) {
	var buf [24]byte // longer than any keyword
	if len(s) > len(buf) {
		return "", notKeyword
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	class, ok := keywords[string(buf[:len(s)])]
	if !ok {
		return "", notKeyword
	}
	return canonical[string(buf[:len(s)])], class
}

// canonical maps a keyword to itself, so that lookup allocates nothing.
var canonical = func() map[string]string {
	m := make(map[string]string, len(keywords))
	for k := range keywords {
		m[k] = k
	}
	return m
}()

func (l *lexer) number() {
	if c := l.at(1) | 0x20; l.at(0) == '0' && (c == 'x' || c == 'o' || c == 'b') && isHex(l.at(2)) {
		l.pos += 2
		for isHex(l.at(0)) || l.at(0) == '_' {
			l.pos++
		}
		return
	}
	l.digits()
	if l.at(0) == '.' && l.at(1) != '.' {
		l.pos++
		l.digits()
	}
	if l.at(0)|0x20 == 'e' {
		if isDigit(l.at(1)) {
			l.pos++
			l.digits()
		} else if (l.at(1) == '+' || l.at(1) == '-') && isDigit(l.at(2)) {
			l.pos += 2
			l.digits()
		}
	}
}

func isHex(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func (l *lexer) digits() {
	for isDigit(l.at(0)) || l.at(0) == '_' && isDigit(l.at(1)) {
		l.pos++
	}
}

// dollar reads a parameter, a string in dollar quotes or a lone '$'.
func (l *lexer) dollar(t *token) {
	if isDigit(l.at(1)) {
		t.kind = tokParam
		l.pos++
		for isDigit(l.at(0)) {
			l.pos++
		}
		return
	}
	end := l.pos + 1
	for end < len(l.text) && l.text[end] != '$' && isIdentPart(l.text[end]) {
		end++
	}
	if end >= len(l.text) || l.text[end] != '$' {
		t.kind, t.word = tokPunct, "$"
		l.pos++
		return
	}
	tag := l.text[l.pos : end+1]
	t.kind = tokString
	for i := end + 1; i+len(tag) <= len(l.text); i++ {
		if l.text[i] == '$' && l.text[i:i+len(tag)] == tag {
			l.pos = i + len(tag)
			return
		}
	}
	t.open = true
	l.pos = len(l.text)
}

// operator reads the longest operator: it ends before a comment, and one of
// several characters may end in + or - only if it has a character that no
// operator of standard SQL has.
func (l *lexer) operator() {
	start, special := l.pos, false
	for l.pos < len(l.text) && isOpChar(l.text[l.pos]) {
		c := l.text[l.pos]
		if c == '-' && l.at(1) == '-' || c == '/' && l.at(1) == '*' {
			break
		}
		switch c {
		case '~', '!', '@', '#', '^', '&', '|', '`', '?', '%':
			special = true
		}
		l.pos++
	}
	for !special && l.pos-start > 1 && (l.text[l.pos-1] == '+' || l.text[l.pos-1] == '-') {
		l.pos--
	}
}
