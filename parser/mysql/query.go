package mysql

import (
	"vitess.io/vitess/go/vt/sqlparser"
)

func (c *converter) query(st sqlparser.TableStatement) {
	switch n := st.(type) {
	case *sqlparser.Select:
		c.selects(n)
	case *sqlparser.Union:
		if n.Lock != sqlparser.NoLock || n.Into != nil {
			c.refuse("for", "FOR UPDATE or INTO")
		}
		c.with(n.With)
		c.side(n.Left)
		c.put(" UNION ")
		if !n.Distinct {
			c.put("ALL ")
		}
		c.side(n.Right)
		c.tail(n.OrderBy, n.Limit)
	default:
		c.refuse("values", "VALUES")
	}
}

// side is one side of a UNION: in parentheses where it has clauses of its own.
func (c *converter) side(st sqlparser.TableStatement) {
	s, plain := st.(*sqlparser.Select)
	plain = plain && len(s.OrderBy) == 0 && s.Limit == nil && s.With == nil
	if !plain {
		c.put("(")
	}
	c.query(st)
	if !plain {
		c.put(")")
	}
}

func (c *converter) with(w *sqlparser.With) {
	if w == nil {
		return
	}
	c.put("WITH ")
	if w.Recursive {
		c.put("RECURSIVE ")
	}
	list(c, w.CTEs, func(e *sqlparser.CommonTableExpr) {
		c.name(e.ID.String())
		if len(e.Columns) > 0 {
			c.put(" (")
			c.columns(e.Columns)
			c.put(")")
		}
		c.put(" AS (")
		c.query(e.Subquery)
		c.put(")")
	})
	c.put(" ")
}

func (c *converter) selects(n *sqlparser.Select) {
	switch {
	case n.SQLCalcFoundRows:
		c.refuse("sql_calc_found_rows", "SQL_CALC_FOUND_ROWS")
	case n.Lock != sqlparser.NoLock:
		c.refuse("for", "FOR UPDATE and FOR SHARE")
	case n.Into != nil:
		c.refuse("into", "SELECT … INTO")
	}
	c.with(n.With)
	c.put("SELECT ")
	if n.Distinct {
		c.put("DISTINCT ")
	}
	list(c, n.SelectExprs.Exprs, func(e sqlparser.SelectExpr) {
		switch x := e.(type) {
		case *sqlparser.StarExpr:
			if !x.TableName.IsEmpty() {
				c.table(x.TableName)
				c.put(".")
			}
			c.put("*")
		case *sqlparser.AliasedExpr:
			c.expr(x.Expr)
			if !x.As.IsEmpty() {
				c.put(" AS ")
				c.name(x.As.String())
			}
		default:
			c.refuse("next", "NEXT VALUE")
		}
	})
	if len(n.From) > 0 && !isDual(n.From) {
		c.put(" FROM ")
		list(c, n.From, c.from)
	}
	if n.Where != nil {
		c.put(" WHERE ")
		c.cond(n.Where.Expr)
	}
	if g := n.GroupBy; g != nil && len(g.Exprs) > 0 {
		c.put(" GROUP BY ")
		if g.WithRollup {
			c.put("ROLLUP (")
		}
		list(c, g.Exprs, c.expr)
		if g.WithRollup {
			c.put(")")
		}
	}
	if n.Having != nil {
		c.put(" HAVING ")
		c.cond(n.Having.Expr)
	}
	if len(n.Windows) > 0 {
		c.refuse("window", "WINDOW")
	}
	c.tail(n.OrderBy, n.Limit)
}

func isDual(from []sqlparser.TableExpr) bool {
	t, ok := from[0].(*sqlparser.AliasedTableExpr)
	if !ok || len(from) > 1 {
		return false
	}
	name, ok := t.Expr.(sqlparser.TableName)
	return ok && name.Qualifier.IsEmpty() && name.Name.String() == "dual"
}

func (c *converter) tail(order sqlparser.OrderBy, limit *sqlparser.Limit) {
	if len(order) > 0 {
		c.put(" ORDER BY ")
		c.order(order)
	}
	if limit != nil {
		c.put(" LIMIT ")
		c.expr(limit.Rowcount)
		if limit.Offset != nil {
			c.put(" OFFSET ")
			c.expr(limit.Offset)
		}
	}
}

// order writes the keys of an ORDER BY: NULL is the least value.
func (c *converter) order(o sqlparser.OrderBy) {
	list(c, o, func(k *sqlparser.Order) {
		c.expr(k.Expr)
		if k.Direction == sqlparser.DescOrder {
			c.put(" DESC NULLS LAST")
		} else {
			c.put(" NULLS FIRST")
		}
	})
}

func (c *converter) table(t sqlparser.TableName) {
	if q := t.Qualifier.String(); q != "" {
		c.name(q)
		c.put(".")
	}
	c.name(t.Name.String())
}

func (c *converter) from(t sqlparser.TableExpr) {
	switch n := t.(type) {
	case *sqlparser.AliasedTableExpr:
		if len(n.Partitions) > 0 {
			c.refuse("partition", "PARTITION of a table")
		}
		// Index hints say nothing about the result.
		switch e := n.Expr.(type) {
		case sqlparser.TableName:
			c.table(e)
		case *sqlparser.DerivedTable:
			if e.Lateral {
				c.put("LATERAL ")
			}
			c.put("(")
			c.query(e.Select)
			c.put(")")
		default:
			c.refuse("from", "this item in FROM")
		}
		if !n.As.IsEmpty() {
			c.put(" AS ")
			c.name(n.As.String())
		}
		if len(n.Columns) > 0 {
			c.put(" (")
			c.columns(n.Columns)
			c.put(")")
		}
	case *sqlparser.ParenTableExpr:
		if len(n.Exprs) > 1 {
			c.refuse("from", "a list of tables in parentheses")
		}
		c.put("(")
		list(c, n.Exprs, c.from)
		c.put(")")
	case *sqlparser.JoinTableExpr:
		c.join(n)
	default:
		c.refuse("json_table", "this item in FROM")
	}
}

func (c *converter) join(n *sqlparser.JoinTableExpr) {
	c.from(n.LeftExpr)
	on := n.Condition != nil && (n.Condition.On != nil || len(n.Condition.Using) > 0)
	switch n.Join {
	case sqlparser.NormalJoinType, sqlparser.StraightJoinType:
		if on {
			c.put(" JOIN ")
		} else {
			c.put(" CROSS JOIN ")
		}
	case sqlparser.LeftJoinType:
		c.put(" LEFT JOIN ")
	case sqlparser.RightJoinType:
		c.put(" RIGHT JOIN ")
	case sqlparser.NaturalJoinType:
		c.put(" NATURAL JOIN ")
	case sqlparser.NaturalLeftJoinType:
		c.put(" NATURAL LEFT JOIN ")
	default:
		c.put(" NATURAL RIGHT JOIN ")
	}
	if _, nested := n.RightExpr.(*sqlparser.JoinTableExpr); nested {
		c.put("(")
		c.from(n.RightExpr)
		c.put(")")
	} else {
		c.from(n.RightExpr)
	}
	if !on {
		return
	}
	if n.Condition.On != nil {
		c.put(" ON ")
		c.cond(n.Condition.On)
		return
	}
	c.put(" USING (")
	c.columns(n.Condition.Using)
	c.put(")")
}
