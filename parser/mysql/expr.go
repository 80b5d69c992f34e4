package mysql

import (
	"strings"

	"vitess.io/vitess/go/vt/sqlparser"

	"github.com/volleydb/volley/parser"
)

// paren writes an expression in parentheses unless it is a single item.
func (c *converter) paren(e sqlparser.Expr) {
	switch e.(type) {
	case *sqlparser.ColName, *sqlparser.Literal, *sqlparser.NullVal, sqlparser.BoolVal, *sqlparser.Subquery, sqlparser.ValTuple:
		c.expr(e)
		return
	}
	c.put("(")
	c.expr(e)
	c.put(")")
}

// truth reports an expression that is a boolean in Postgres and a number in MySQL.
func truth(e sqlparser.Expr) bool {
	switch n := e.(type) {
	case *sqlparser.ComparisonExpr, *sqlparser.AndExpr, *sqlparser.OrExpr, *sqlparser.XorExpr, *sqlparser.NotExpr, *sqlparser.IsExpr,
		*sqlparser.BetweenExpr, *sqlparser.ExistsExpr, sqlparser.BoolVal, *sqlparser.RegexpLikeExpr:
		return true
	case *sqlparser.UnaryExpr:
		return n.Operator == sqlparser.BangOp
	case *sqlparser.FuncExpr:
		return n.Name.EqualString("isnull")
	}
	return false
}

// number writes an operand of arithmetic: true is 1.
func (c *converter) number(e sqlparser.Expr) {
	c.paren(e)
	if truth(e) {
		c.put("::int")
	}
}

// cond writes a condition: of a constant, whether it is not zero.
func (c *converter) cond(e sqlparser.Expr) {
	if l, ok := e.(*sqlparser.Literal); ok && l.Type == sqlparser.IntVal {
		if strings.Trim(l.Val, "0") == "" {
			c.put("false")
		} else {
			c.put("true")
		}
		return
	}
	c.paren(e)
}

func (c *converter) literal(l *sqlparser.Literal) {
	switch l.Type {
	case sqlparser.StrVal:
		if strings.IndexByte(l.Val, 0) >= 0 {
			c.refuse("select", "a zero character in a string")
			return
		}
		c.put(parser.QuoteLiteral(l.Val))
	case sqlparser.IntVal, sqlparser.DecimalVal:
		c.put(l.Val)
	case sqlparser.FloatVal:
		c.put(l.Val, "::float8")
	case sqlparser.DateVal:
		c.put("date ", parser.QuoteLiteral(l.Val))
	case sqlparser.TimeVal:
		c.put("time ", parser.QuoteLiteral(l.Val))
	case sqlparser.TimestampVal:
		c.put("timestamp ", parser.QuoteLiteral(l.Val))
	default:
		c.refuse("x", "a hexadecimal or bit literal")
	}
}

func (c *converter) expr(e sqlparser.Expr) {
	switch n := e.(type) {
	case *sqlparser.Literal:
		c.literal(n)
	case *sqlparser.NullVal:
		c.put("NULL")
	case sqlparser.BoolVal:
		c.put(map[bool]string{true: "true", false: "false"}[bool(n)])
	case *sqlparser.ColName:
		if !n.Qualifier.IsEmpty() {
			c.table(n.Qualifier)
			c.put(".")
		}
		c.name(n.Name.String())
	case *sqlparser.Argument:
		c.put("$", strings.TrimPrefix(n.Name, "v"))
	case sqlparser.ValTuple:
		c.put("(")
		list(c, n, c.expr)
		c.put(")")
	case *sqlparser.Subquery:
		c.put("(")
		c.query(n.Select)
		c.put(")")
	case *sqlparser.ExistsExpr:
		c.put("EXISTS ")
		c.expr(n.Subquery)
	case *sqlparser.AndExpr:
		c.cond(n.Left)
		c.put(" AND ")
		c.cond(n.Right)
	case *sqlparser.OrExpr:
		c.cond(n.Left)
		c.put(" OR ")
		c.cond(n.Right)
	case *sqlparser.XorExpr:
		c.cond(n.Left)
		c.put(" <> ")
		c.cond(n.Right)
	case *sqlparser.NotExpr:
		c.put("NOT ")
		c.cond(n.Expr)
	case *sqlparser.UnaryExpr:
		c.unary(n)
	case *sqlparser.BinaryExpr:
		c.binary(n)
	case *sqlparser.ComparisonExpr:
		c.comparison(n)
	case *sqlparser.BetweenExpr:
		c.paren(n.Left)
		if !n.IsBetween {
			c.put(" NOT")
		}
		c.put(" BETWEEN ")
		c.paren(n.From)
		c.put(" AND ")
		c.paren(n.To)
	case *sqlparser.IsExpr:
		c.paren(n.Left)
		c.put([]string{" IS NULL", " IS NOT NULL", " IS TRUE", " IS NOT TRUE", " IS FALSE", " IS NOT FALSE"}[n.Right])
	case *sqlparser.CaseExpr:
		c.put("CASE")
		if n.Expr != nil {
			c.put(" ")
			c.paren(n.Expr)
		}
		for _, w := range n.Whens {
			c.put(" WHEN ")
			if n.Expr != nil {
				c.paren(w.Cond)
			} else {
				c.cond(w.Cond)
			}
			c.put(" THEN ")
			c.paren(w.Val)
		}
		if n.Else != nil {
			c.put(" ELSE ")
			c.paren(n.Else)
		}
		c.put(" END")
	case *sqlparser.CastExpr:
		c.cast(n.Expr, n.Type)
	case *sqlparser.ConvertExpr:
		c.cast(n.Expr, n.Type)
	case *sqlparser.Default:
		if n.ColName != "" {
			c.refuse("default", "DEFAULT(column)")
		}
		c.put("DEFAULT")
	case *sqlparser.IntervalDateExpr:
		c.dateAdd(n)
	default:
		if !c.aggregate(e) && !c.function(e) {
			word := strings.ToLower(sqlparser.String(e))
			if i := strings.IndexFunc(word, func(r rune) bool { return !(r == '_' || r >= 'a' && r <= 'z') }); i > 0 {
				word = word[:i]
			}
			c.refuse(word, "%s", strings.ToUpper(word))
		}
	}
}

func (c *converter) unary(n *sqlparser.UnaryExpr) {
	switch n.Operator {
	case sqlparser.UMinusOp:
		c.put("- ")
		c.number(n.Expr)
	case sqlparser.UPlusOp:
		c.number(n.Expr)
	case sqlparser.BangOp:
		c.put("NOT ")
		c.cond(n.Expr)
	case sqlparser.NStringOp:
		c.expr(n.Expr)
	default:
		c.refuse("~", "the operator ~")
	}
}

// binary writes arithmetic. Division is that of decimals, of integers too, and by
// zero it is NULL.
func (c *converter) binary(n *sqlparser.BinaryExpr) {
	zero := func() {
		c.put("nullif(")
		c.number(n.Right)
		c.put(", 0)")
	}
	switch n.Operator {
	case sqlparser.DivOp:
		c.number(n.Left)
		c.put(" * 1.0 / ")
		zero()
	case sqlparser.IntDivOp:
		c.put("trunc(")
		c.number(n.Left)
		c.put(" * 1.0 / ")
		zero()
		c.put(")::bigint")
	case sqlparser.ModOp:
		c.put("mod(")
		c.number(n.Left)
		c.put(", ")
		zero()
		c.put(")")
	case sqlparser.PlusOp, sqlparser.MinusOp, sqlparser.MultOp, sqlparser.BitAndOp, sqlparser.BitOrOp, sqlparser.ShiftLeftOp, sqlparser.ShiftRightOp:
		c.number(n.Left)
		c.put(" ", n.Operator.ToString(), " ")
		c.number(n.Right)
	case sqlparser.BitXorOp:
		c.number(n.Left)
		c.put(" # ")
		c.number(n.Right)
	default:
		c.refuse("select", "the operator %s", n.Operator.ToString())
	}
}

func (c *converter) comparison(n *sqlparser.ComparisonExpr) {
	if n.Modifier != sqlparser.Missing {
		c.paren(n.Left)
		c.put(" ", n.Operator.ToString(), map[sqlparser.ComparisonModifier]string{sqlparser.Any: " ANY ", sqlparser.All: " ALL "}[n.Modifier])
		c.expr(n.Right)
		return
	}
	op := ""
	switch n.Operator {
	case sqlparser.EqualOp:
		op = "="
	case sqlparser.NotEqualOp:
		op = "<>"
	case sqlparser.LessThanOp:
		op = "<"
	case sqlparser.GreaterThanOp:
		op = ">"
	case sqlparser.LessEqualOp:
		op = "<="
	case sqlparser.GreaterEqualOp:
		op = ">="
	case sqlparser.NullSafeEqualOp:
		op = "IS NOT DISTINCT FROM"
	case sqlparser.InOp:
		op = "IN"
	case sqlparser.NotInOp:
		op = "NOT IN"
	case sqlparser.LikeOp:
		op = "LIKE"
	case sqlparser.NotLikeOp:
		op = "NOT LIKE"
	case sqlparser.RegexpOp:
		op = "~"
	case sqlparser.NotRegexpOp:
		op = "!~"
	}
	c.operand(n.Left, n.Right)
	c.put(" ", op, " ")
	c.operand(n.Right, n.Left)
	if n.Escape != nil {
		c.put(" ESCAPE ")
		c.expr(n.Escape)
	}
}

// operand writes one side of a comparison: compared with a number, true is 1.
func (c *converter) operand(e, other sqlparser.Expr) {
	if l, ok := other.(*sqlparser.Literal); ok && l.Type == sqlparser.IntVal {
		c.number(e)
		return
	}
	c.paren(e)
}

// cast writes CAST(e AS type).
func (c *converter) cast(e sqlparser.Expr, t *sqlparser.ConvertType) {
	name := strings.ToLower(t.Type)
	simple := map[string]string{"signed": "bigint", "signed integer": "bigint", "unsigned": "bigint", "unsigned integer": "bigint",
		"date": "date", "datetime": "timestamp", "time": "time", "double": "float8", "float": "float8", "real": "float8", "json": "jsonb", "year": "integer"}
	switch to, ok := simple[name]; {
	case ok:
		c.paren(e)
		c.put("::", to)
	case name == "char" || name == "nchar":
		if t.Length != nil {
			c.put("left(")
		}
		c.paren(e)
		c.put("::text")
		if t.Length != nil {
			c.put(", ", itoa(*t.Length), ")")
		}
	case name == "decimal":
		precision, scale := 10, 0
		if t.Length != nil {
			precision = *t.Length
		}
		if t.Scale != nil {
			scale = *t.Scale
		}
		c.paren(e)
		c.put("::numeric(", itoa(precision), ",", itoa(scale), ")")
	default:
		c.refuse(name, "CAST AS %s", strings.ToUpper(name))
	}
}
