package mysql

import (
	"vitess.io/vitess/go/vt/sqlparser"

	"github.com/volleydb/volley/parser"
)

// aggregate writes aggregates and window functions; false if it is none.
func (c *converter) aggregate(e sqlparser.Expr) bool {
	one := func(name, written string, distinct, number bool, arg sqlparser.Expr, over *sqlparser.OverClause) bool {
		c.mark(written)
		c.put(name, "(")
		if distinct {
			c.put("DISTINCT ")
		}
		if number {
			c.number(arg)
		} else {
			c.expr(arg)
		}
		c.put(")")
		c.over(over)
		return true
	}
	switch n := e.(type) {
	case *sqlparser.CountStar:
		c.mark("count")
		c.put("count(*)")
		c.over(n.OverClause)
	case *sqlparser.Count:
		if len(n.Args) == 1 {
			return one("count", "count", n.Distinct, false, n.Args[0], n.OverClause)
		}
		// COUNT(DISTINCT a, b): rows in which one is NULL do not count.
		c.mark("count")
		c.put("count(DISTINCT CASE WHEN ")
		for i, a := range n.Args {
			if i > 0 {
				c.put(" AND ")
			}
			c.paren(a)
			c.put(" IS NOT NULL")
		}
		c.put(" THEN ARRAY[")
		list(c, n.Args, func(a sqlparser.Expr) { c.paren(a); c.put("::text") })
		c.put("] END)")
		c.over(n.OverClause)
	case *sqlparser.Sum:
		return one("sum", "sum", n.Distinct, true, n.Arg, n.OverClause)
	case *sqlparser.Avg:
		return one("avg", "avg", n.Distinct, true, n.Arg, n.OverClause)
	case *sqlparser.Max:
		return one("max", "max", false, false, n.Arg, n.OverClause)
	case *sqlparser.Min:
		return one("min", "min", false, false, n.Arg, n.OverClause)
	case *sqlparser.Std:
		return one("stddev_pop", "std", false, true, n.Arg, n.OverClause)
	case *sqlparser.StdDev:
		return one("stddev_pop", "stddev", false, true, n.Arg, n.OverClause)
	case *sqlparser.StdPop:
		return one("stddev_pop", "stddev_pop", false, true, n.Arg, n.OverClause)
	case *sqlparser.StdSamp:
		return one("stddev_samp", "stddev_samp", false, true, n.Arg, n.OverClause)
	case *sqlparser.Variance:
		return one("var_pop", "variance", false, true, n.Arg, n.OverClause)
	case *sqlparser.VarPop:
		return one("var_pop", "var_pop", false, true, n.Arg, n.OverClause)
	case *sqlparser.VarSamp:
		return one("var_samp", "var_samp", false, true, n.Arg, n.OverClause)
	case *sqlparser.GroupConcatExpr:
		if n.Limit != nil {
			c.refuse("group_concat", "LIMIT in GROUP_CONCAT")
		}
		c.mark("group_concat")
		c.put("string_agg(")
		if n.Distinct {
			c.put("DISTINCT ")
		}
		for i, a := range n.Exprs {
			if i > 0 {
				c.put(" || ")
			}
			c.paren(a)
			c.put("::text")
		}
		sep := ","
		if n.Separator != "" { // as it was written
			p, err := newParser()
			if err == nil {
				var x sqlparser.Expr
				if x, err = p.ParseExpr(n.Separator); err == nil {
					if l, ok := x.(*sqlparser.Literal); ok {
						sep = l.Val
					}
				}
			}
			if err != nil {
				c.refuse("separator", "this SEPARATOR")
			}
		}
		c.put(", ", parser.QuoteLiteral(sep))
		if len(n.OrderBy) > 0 {
			c.put(" ORDER BY ")
			c.order(n.OrderBy)
		}
		c.put(")")
	case *sqlparser.ArgumentLessWindowExpr:
		name := []string{"cume_dist", "dense_rank", "percent_rank", "rank", "row_number"}[n.Type]
		c.mark(name)
		c.put(name, "()")
		c.over(n.OverClause)
	case *sqlparser.NtileExpr:
		c.mark("ntile")
		c.call("ntile", n.N)
		c.over(n.OverClause)
	case *sqlparser.LagLeadExpr:
		if n.NullTreatmentClause != nil {
			return false
		}
		name := []string{"lag", "lead"}[n.Type]
		args := []sqlparser.Expr{n.Expr}
		if n.N != nil {
			args = append(args, n.N)
		}
		if n.Default != nil {
			args = append(args, n.Default)
		}
		c.mark(name)
		c.call(name, args...)
		c.over(n.OverClause)
	case *sqlparser.FirstOrLastValueExpr:
		if n.NullTreatmentClause != nil {
			return false
		}
		name := []string{"first_value", "last_value"}[n.Type]
		c.mark(name)
		c.call(name, n.Expr)
		c.over(n.OverClause)
	default:
		return false
	}
	return true
}

func (c *converter) over(o *sqlparser.OverClause) {
	if o == nil {
		return
	}
	w := o.WindowSpec
	if w == nil || !o.WindowName.IsEmpty() || !w.Name.IsEmpty() {
		c.refuse("over", "a named window")
		return
	}
	c.put(" OVER (")
	sep := ""
	if len(w.PartitionClause) > 0 {
		c.put("PARTITION BY ")
		list(c, w.PartitionClause, c.expr)
		sep = " "
	}
	if len(w.OrderClause) > 0 {
		c.put(sep, "ORDER BY ")
		c.order(w.OrderClause)
		sep = " "
	}
	if f := w.FrameClause; f != nil {
		c.put(sep, []string{"ROWS", "RANGE"}[f.Unit], " ")
		if f.End != nil {
			c.put("BETWEEN ")
		}
		c.framePoint(f.Start)
		if f.End != nil {
			c.put(" AND ")
			c.framePoint(f.End)
		}
	}
	c.put(")")
}

func (c *converter) framePoint(p *sqlparser.FramePoint) {
	switch p.Type {
	case sqlparser.CurrentRowType:
		c.put("CURRENT ROW")
	case sqlparser.UnboundedPrecedingType:
		c.put("UNBOUNDED PRECEDING")
	case sqlparser.UnboundedFollowingType:
		c.put("UNBOUNDED FOLLOWING")
	default:
		if p.Unit != sqlparser.IntervalNone {
			c.refuse("interval", "INTERVAL in a frame")
		}
		c.expr(p.Expr)
		if p.Type == sqlparser.ExprPrecedingType {
			c.put(" PRECEDING")
		} else {
			c.put(" FOLLOWING")
		}
	}
}
