package parser

import (
	"sync"

	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/pgerr"
)

// Statement is one parsed statement. It is immutable and may be shared.
type Statement struct {
	SQL    string         // the user's text of this statement, without the trailing ';'
	Node   *pg_query.Node // the statement's node (RawStmt.Stmt)
	Offset int            // byte offset of SQL in the text given to Parse
	// Translated says that SQL is in another dialect than Node.
	Translated bool

	src *source
}

// Parse parses all statements of sql; empty ones are dropped. Errors are
// *pgerr.Error with Postgres' wording and a position in sql.
func Parse(sql string) ([]*Statement, error) {
	special, err := check(sql)
	if err != nil {
		return nil, err
	}
	src := &source{user: sql, text: sql}
	if special {
		if err := rewrite(src); err != nil {
			return nil, err
		}
	}
	b, err := parseToProtobuf(src.text)
	if err != nil {
		return nil, src.translate(err)
	}
	res := &pg_query.ParseResult{}
	// A level of the tree is up to four nested messages.
	if err := (proto.UnmarshalOptions{RecursionLimit: 20 * maxNesting}).Unmarshal(b, res); err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not read the parse tree")
	}
	out := make([]*Statement, 0, len(res.Stmts))
	for _, raw := range res.Stmts {
		if raw.Stmt == nil {
			continue
		}
		start, end := src.userOffset(int(raw.StmtLocation)), len(sql)
		if raw.StmtLen > 0 {
			end = src.userOffset(int(raw.StmtLocation + raw.StmtLen))
		}
		text := strings.TrimRight(sql[start:end], spaces)
		end = start + len(text)
		text = strings.TrimLeft(text, spaces)
		out = append(out, &Statement{SQL: text, Node: raw.Stmt, Offset: end - len(text), src: src})
	}
	return out, nil
}

// spaces is the white space of the scanner.
const spaces = " \t\n\r\f\v"

// ParseOne parses the one statement of a prepared statement: nil for a text
// without one, 42601 for more than one.
func ParseOne(sql string) (*Statement, error) {
	list, err := Parse(sql)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 {
		return nil, pgerr.New(pgerr.SyntaxError, "cannot insert multiple commands into a prepared statement")
	}
	return list[0], nil
}

// Pos turns the location of a node of this statement into the 1-based character
// position in the text given to Parse; 0 for a node without location (-1).
func (s *Statement) Pos(location int32) int {
	if location < 0 || s.src == nil {
		return 0
	}
	return s.src.charPos(s.src.userOffset(int(location)))
}

// Quoted tells whether the part-th (from 0) of the dotted names at a node's
// location was written in double quotes. The scanner folds names that were not
// to lower case, so the tree alone cannot tell G1 or g1 from "g1". Locations
// without a name there, and parts that do not exist, are reported as not quoted.
//
// It works for nodes whose location is that of their name: ColumnRef, RangeVar,
// FuncCall, TypeName, ColumnDef, and the ResTarget of INSERT's and UPDATE's
// columns. Bare strings of the tree (JOIN … USING, alias columns, COPY's
// columns) have no location.
func (s *Statement) Quoted(location int32, part int) bool {
	if location < 0 || s.src == nil || int(location) >= len(s.src.text) {
		return false
	}
	l := lexer{text: s.src.text, pos: int(location)}
	t := l.next()
	for ; part > 0; part-- {
		if dot := l.next(); !dot.is(".") {
			return false
		}
		t = l.next()
	}
	return t.kind == tokQuoted
}

// Warm pays the start-up of the parser, so that the first query does not. In the
// build without cgo it is about a second for each of the n statements that may
// be parsed at the same time: the library keeps an instance for each.
func Warm(n int) {
	var wg sync.WaitGroup
	for range min(max(n, 1), cap(slots)) {
		wg.Go(func() { _, _ = Parse("SELECT 1") })
	}
	wg.Wait()
}

// maxDeparse is the deepest tree that Deparse prints, in nested messages. The
// library reads a tree by recursion on a stack of 64 kB that in WebAssembly
// lies beside its data: at a depth of 189 it overwrites them without a word.
const maxDeparse = 96

// Deparse returns the SQL text of a statement's node, as libpg_query writes it.
// A tree about twenty subqueries deep is too much for it: 54001. Whoever wants
// the text of a statement as the user wrote it takes Statement.SQL.
func Deparse(node *pg_query.Node) (string, error) {
	if node == nil {
		return "", nil
	}
	if deeper(node.ProtoReflect(), maxDeparse) {
		return "", pgerr.New(pgerr.StatementTooComplex, "statement too complex to print").
			WithDetail("Its tree is more than %d levels deep.", maxDeparse)
	}
	b, err := proto.Marshal(&pg_query.ParseResult{Stmts: []*pg_query.RawStmt{{Stmt: node}}})
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "could not write the parse tree")
	}
	s, err := deparseFromProtobuf(b)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "could not deparse")
	}
	return s, nil
}

// PosAt is the 1-based character position, in the text given to Parse, of a byte
// of SQL.
func (s *Statement) PosAt(off int) int {
	if s.src == nil {
		return 0
	}
	return s.src.charPos(s.Offset + off)
}
