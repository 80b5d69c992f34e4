package answers

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/parser"
)

// Order is what the end of a query says of its rows.
type Order struct {
	// Keys are the columns of the answer that the rows are sorted by, up to the
	// first ORDER BY expression that is no column of the answer.
	Keys []int
	// Limited says that there is a LIMIT; Whole is the query without it and
	// without OFFSET, which is Offset.
	Limited bool
	Offset  int
	Whole   string
}

// ReadOrder reads the ORDER BY, LIMIT and OFFSET of a query that has columns of
// these names.
func ReadOrder(sql string, columns []string) (Order, error) {
	o := Order{Whole: sql}
	st, err := parser.ParseOne(sql)
	if err != nil {
		return o, err
	}
	sel := st.Node.GetSelectStmt()
	if sel == nil {
		return o, nil
	}
	if sel.LimitCount != nil || sel.LimitOffset != nil {
		o.Limited = sel.LimitCount != nil
		if c := sel.LimitOffset.GetAConst(); c != nil {
			o.Offset = int(c.GetIval().GetIval())
		}
		// The clause is the last one of all suites' queries.
		i := strings.LastIndex(strings.ToLower(sql), "limit")
		o.Whole = strings.TrimSpace(sql[:i])
	}
	for _, item := range sel.SortClause {
		k := key(item.GetSortBy().Node, sel, columns)
		if k < 0 {
			break
		}
		o.Keys = append(o.Keys, k)
	}
	return o, nil
}

// key is the column of the answer that an ORDER BY expression is, or -1.
func key(n *pg_query.Node, sel *pg_query.SelectStmt, columns []string) int {
	if c := n.GetAConst(); c != nil && c.GetIval() != nil {
		return int(c.GetIval().Ival) - 1
	}
	if f := n.GetColumnRef().GetFields(); len(f) == 1 && f[0].GetString_() != nil {
		name := f[0].GetString_().Sval
		same := func(c string) bool { return strings.EqualFold(c, name) }
		if i := slices.IndexFunc(columns, same); i >= 0 && !slices.ContainsFunc(columns[i+1:], same) {
			return i
		}
	}
	if len(sel.TargetList) != len(columns) {
		return -1 // a set operation, or with *
	}
	text, err := expression(n)
	if err != nil {
		return -1
	}
	for i, t := range sel.TargetList {
		if v, err := expression(t.GetResTarget().GetVal()); err == nil && v == text {
			return i
		}
	}
	return -1
}

// expression is the text of an expression.
func expression(n *pg_query.Node) (string, error) {
	return parser.Deparse(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Val: n}}}},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg_query.SetOperation_SETOP_NONE}}})
}
