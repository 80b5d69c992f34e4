package mysql

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"vitess.io/vitess/go/vt/sqlparser"

	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/pgerr"
)

var newParser = sync.OnceValues(func() (*sqlparser.Parser, error) { return sqlparser.New(sqlparser.Options{}) })

// native are the first words of statements that are Postgres' in this dialect too.
var native = map[string]bool{"set": true, "reset": true, "begin": true, "start": true, "commit": true, "rollback": true, "savepoint": true,
	"release": true, "discard": true, "deallocate": true, "copy": true, "declare": true, "fetch": true, "close": true, "end": true, "abort": true}

// Parse parses all statements of sql, which are in MySQL's dialect.
func Parse(sql string) ([]*parser.Statement, error) {
	var out []*parser.Statement
	for _, p := range split(sql) {
		if len(p.words) == 0 {
			if strings.Trim(sql[p.from:p.to], " \t\r\n") == "" {
				continue
			}
		}
		c := &converter{sql: sql, p: p, seen: map[string]int{}}
		list, err := c.parse()
		if err != nil {
			return nil, err
		}
		for _, st := range list {
			if st.SQL == "" || !native[c.first(0)] {
				st.SQL = strings.Trim(sql[p.from:p.to], " \t\r\n")
			}
			st.Offset = p.from
		}
		out = append(out, list...)
	}
	return out, nil
}

// converter writes one statement.
type converter struct {
	sql   string
	p     piece
	out   strings.Builder
	marks []parser.Mark
	seen  map[string]int // how often a word was written
	err   error
}

func (c *converter) first(i int) string {
	if i < len(c.p.words) {
		return c.p.words[i].word
	}
	return ""
}

// isNative recognises statements that are taken as they are.
func (c *converter) isNative() bool {
	switch w := c.first(0); w {
	case "show":
		switch c.first(1) {
		case "tables", "databases", "schemas", "full", "columns", "fields", "create", "index", "indexes", "keys", "table", "status", "variables", "warnings", "engines":
			return false
		}
		return true
	case "":
		return false
	default:
		return native[w]
	}
}

func (c *converter) parse() ([]*parser.Statement, error) {
	text := c.sql[c.p.from:c.p.to]
	if c.isNative() {
		return parser.ParseTranslated(c.sql, text, marksOf(c.p.from, len(text)))
	}
	p, err := newParser()
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not start the parser")
	}
	st, err := p.Parse(text)
	if err != nil {
		return nil, c.syntax(err)
	}
	c.statement(st)
	if c.err != nil {
		return nil, c.err
	}
	return parser.ParseTranslated(c.sql, c.out.String(), c.marks)
}

// marksOf maps a copy, byte by byte.
func marksOf(from, n int) []parser.Mark {
	out := make([]parser.Mark, n+1)
	for i := range out {
		out[i] = parser.Mark{At: i, User: from + i}
	}
	return out
}

var where = regexp.MustCompile(`(?s)^(.*?) at position (\d+)(?: near '(.*)')?$`)

// syntax turns the parser's error, whose position is behind the token it did not
// expect, into ours.
func (c *converter) syntax(err error) error {
	m := where.FindStringSubmatch(err.Error())
	if m == nil {
		return pgerr.New(pgerr.SyntaxError, "%s", err.Error()).At(c.char(c.p.from))
	}
	at, _ := strconv.Atoi(m[2])
	at = min(max(at-1, 0), c.p.to-c.p.from)
	text := c.sql[c.p.from:c.p.to]
	if m[3] == "" {
		return pgerr.New(pgerr.SyntaxError, "%s at end of input", m[1]).At(c.char(c.p.to))
	}
	if j := strings.LastIndex(strings.ToLower(text[:min(at+1, len(text))]), strings.ToLower(m[3])); j >= 0 {
		at = j
	}
	return pgerr.New(pgerr.SyntaxError, "%s at or near \"%s\"", m[1], m[3]).At(c.char(c.p.from + at))
}

// char is the 1-based character position of a byte offset.
func (c *converter) char(at int) int { return utf8.RuneCountInString(c.sql[:at]) + 1 }

// find is the offset of the next occurrence of a word that has not been written.
func (c *converter) find(word string, count bool) int {
	word = strings.ToLower(word)
	n, last := c.seen[word], -1
	for _, t := range c.p.words {
		if strings.ToLower(t.word) != word {
			continue
		}
		if last = t.at; n == 0 {
			break
		}
		n--
	}
	if count && last >= 0 {
		c.seen[word]++
	}
	return last
}

// refuse notes the first construct that has no translation; its place is that of
// the word by which it is known.
func (c *converter) refuse(word, format string, args ...any) {
	if c.err != nil {
		return
	}
	e := pgerr.New(pgerr.FeatureNotSupported, format+" is not supported in the dialect mysql", args...).
		WithHint("SET volley.dialect = 'postgres' leads back to Postgres' dialect.")
	at := c.find(word, false)
	if at < 0 {
		at = c.p.from
	}
	c.err = e.At(c.char(at))
}

func (c *converter) mark(word string) {
	if at := c.find(word, true); at >= 0 {
		c.marks = append(c.marks, parser.Mark{At: c.out.Len(), User: at})
	}
}

// put writes text that the user did not.
func (c *converter) put(s ...string) {
	for _, x := range s {
		c.out.WriteString(x)
	}
}

// name writes an identifier: quoted only where it must be, so that others are
// found in any case.
func (c *converter) name(s string) {
	c.mark(s)
	if q := parser.QuoteIdent(strings.ToLower(s)); q[0] != '"' {
		c.put(s)
	} else if strings.ContainsFunc(s, func(r rune) bool { return !(r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9') }) {
		c.put(parser.QuoteIdent(s))
	} else {
		c.put(`"`, s, `"`) // a keyword
	}
}

// list writes items with commas between.
func list[T any](c *converter, items []T, f func(T)) {
	for i, x := range items {
		if i > 0 {
			c.put(", ")
		}
		f(x)
	}
}
