package mysql

import (
	"strconv"
	"strings"

	"vitess.io/vitess/go/vt/sqlparser"

	"github.com/volleydb/volley/parser"
)

func itoa(i int) string { return strconv.Itoa(i) }

// same are functions that mean the same under the name behind.
var same = map[string]string{
	"coalesce": "coalesce", "ifnull": "coalesce", "nullif": "nullif", "abs": "abs", "ceil": "ceil", "ceiling": "ceil", "floor": "floor", "round": "round",
	"sqrt": "sqrt", "exp": "exp", "ln": "ln", "log10": "log", "pow": "power", "power": "power", "sign": "sign", "pi": "pi", "degrees": "degrees", "radians": "radians",
	"sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2",
	"upper": "upper", "ucase": "upper", "lower": "lower", "lcase": "lower", "reverse": "reverse", "replace": "replace", "repeat": "repeat",
	"lpad": "lpad", "rpad": "rpad", "ltrim": "ltrim", "rtrim": "rtrim", "char_length": "char_length", "character_length": "char_length",
	"length": "octet_length", "octet_length": "octet_length", "concat_ws": "concat_ws", "md5": "md5", "ascii": "ascii",
	"database": "current_schema", "schema": "current_schema", "version": "version", "connection_id": "pg_backend_pid",
	"approx_count_distinct": "approx_count_distinct", "approx_percentile": "approx_percentile",
}

// parts are functions of a date or time, as fields of extract.
var parts = map[string]string{"year": "year", "month": "month", "day": "day", "dayofmonth": "day", "hour": "hour", "minute": "minute",
	"quarter": "quarter", "dayofyear": "doy", "weekofyear": "week"}

// call writes a function with arguments.
func (c *converter) call(name string, args ...sqlparser.Expr) {
	c.put(name, "(")
	list(c, args, c.expr)
	c.put(")")
}

// stamp writes a date or time as a timestamp.
func (c *converter) stamp(e sqlparser.Expr) {
	c.paren(e)
	c.put("::timestamp")
}

// function writes what is no operator and no aggregate; false if it is not known.
func (c *converter) function(e sqlparser.Expr) bool {
	switch n := e.(type) {
	case *sqlparser.FuncExpr:
		if !n.Qualifier.IsEmpty() {
			c.name(n.Qualifier.String())
			c.put(".")
			c.name(n.Name.String())
			c.call("", n.Exprs...)
			return true
		}
		return c.named(strings.ToLower(n.Name.String()), n.Name.String(), n.Exprs)
	case *sqlparser.CurTimeFuncExpr:
		return c.named(strings.ToLower(n.Name.String()), n.Name.String(), nil)
	case *sqlparser.SubstrExpr:
		if n.To == nil {
			return c.named("substr", "substr", []sqlparser.Expr{n.Name, n.From})
		}
		return c.named("substr", "substr", []sqlparser.Expr{n.Name, n.From, n.To})
	case *sqlparser.LocateExpr:
		args := []sqlparser.Expr{n.SubStr, n.Str}
		if n.Pos != nil {
			args = append(args, n.Pos)
		}
		return c.named("locate", "locate", args)
	case *sqlparser.ExtractFuncExpr:
		unit := strings.ToLower(n.IntervalType.ToString())
		if strings.Contains(unit, "_") || unit == "microsecond" || unit == "week" {
			return false
		}
		return c.named(unit, "extract", []sqlparser.Expr{n.Expr})
	case *sqlparser.TimestampDiffExpr:
		return c.timestampDiff(n)
	case *sqlparser.TrimFuncExpr:
		c.put(map[sqlparser.TrimFuncType]string{sqlparser.NormalTrimType: "trim(", sqlparser.LTrimType: "ltrim("}[n.TrimFuncType])
		if n.TrimFuncType != sqlparser.NormalTrimType && n.TrimFuncType != sqlparser.LTrimType {
			c.put("rtrim(")
		}
		if n.TrimFuncType == sqlparser.NormalTrimType && n.TrimArg != nil {
			l, ok := n.TrimArg.(*sqlparser.Literal)
			if !ok || len([]rune(l.Val)) != 1 {
				return false // Postgres takes a set of characters
			}
			side := strings.ToUpper(n.Type.ToString())
			if n.Type == sqlparser.NoTrimType {
				side = "BOTH"
			}
			c.put(side, " ")
			c.expr(n.TrimArg)
			c.put(" FROM ")
		}
		c.expr(n.StringArg)
		c.put(")")
		return true
	case *sqlparser.RegexpLikeExpr:
		if n.MatchType != nil {
			return false
		}
		c.paren(n.Expr)
		c.put(" ~ ")
		c.paren(n.Pattern)
		return true
	}
	return false
}

// named writes a function by its name.
func (c *converter) named(name, written string, a []sqlparser.Expr) bool {
	if to, ok := same[name]; ok {
		c.mark(written)
		c.call(to, a...)
		return true
	}
	c.mark(written)
	switch {
	case len(a) == 0:
		return c.constant(name)
	case parts[name] != "" && len(a) == 1:
		c.put("extract(", parts[name], " from ")
		if name == "hour" || name == "minute" {
			c.paren(a[0]) // a time too
			if _, ok := a[0].(*sqlparser.Literal); ok {
				c.put("::timestamp")
			}
		} else {
			c.stamp(a[0])
		}
		c.put(")::bigint")
		return true
	}
	switch name {
	case "if":
		if len(a) != 3 {
			return false
		}
		c.put("CASE WHEN ")
		c.cond(a[0])
		c.put(" THEN ")
		c.paren(a[1])
		c.put(" ELSE ")
		c.paren(a[2])
		c.put(" END")
	case "concat":
		c.put("(")
		for i, x := range a {
			if i > 0 {
				c.put(" || ")
			}
			c.paren(x)
			c.put("::text")
		}
		c.put(")")
	case "isnull":
		c.paren(a[0])
		c.put(" IS NULL")
	case "mod":
		if len(a) != 2 {
			return false
		}
		c.binary(&sqlparser.BinaryExpr{Operator: sqlparser.ModOp, Left: a[0], Right: a[1]})
	case "greatest", "least": // NULL of any NULL
		c.put("CASE WHEN ")
		for i, x := range a {
			if i > 0 {
				c.put(" AND ")
			}
			c.paren(x)
			c.put(" IS NOT NULL")
		}
		c.put(" THEN ")
		c.call(name, a...)
		c.put(" END")
	case "substr", "substring", "mid":
		if l, ok := a[1].(*sqlparser.Literal); !ok || l.Type != sqlparser.IntVal || strings.Trim(l.Val, "0") == "" {
			// From the end, or of zero characters: only a constant tells.
			c.refuse(written, "%s from a position that is not a positive constant", strings.ToUpper(written))
		}
		c.call("substr", a...)
	case "left", "right":
		c.call(name, a...)
	case "locate", "instr", "position":
		if name == "instr" {
			a = []sqlparser.Expr{a[1], a[0]}
		}
		if len(a) == 3 {
			c.refuse(written, "LOCATE with a position")
		}
		c.call("strpos", a[1], a[0])
	case "substring_index":
		return c.substringIndex(a)
	case "space":
		c.put("repeat(' ', ")
		c.expr(a[0])
		c.put(")")
	case "truncate":
		if len(a) != 2 {
			return false
		}
		c.put("trunc(")
		c.paren(a[0])
		c.put("::numeric, ")
		c.expr(a[1])
		c.put(")")
	case "log":
		if len(a) != 1 {
			return false
		}
		c.call("ln", a...)
	case "log2":
		c.put("(ln(")
		c.expr(a[0])
		c.put("::float8) / ln(2::float8))")
	case "second":
		c.put("floor(extract(second from ")
		c.stamp(a[0])
		c.put("))::bigint")
	case "dayofweek", "weekday":
		field, less := "dow", " + 1)"
		if name == "weekday" {
			field, less = "isodow", " - 1)"
		}
		c.put("(extract(", field, " from ")
		c.stamp(a[0])
		c.put(")::bigint", less)
	case "dayname", "monthname":
		c.put("to_char(")
		c.stamp(a[0])
		c.put(", 'FM", map[string]string{"dayname": "Day", "monthname": "Month"}[name], "')")
	case "date":
		c.paren(a[0])
		c.put("::date")
	case "time":
		c.paren(a[0])
		c.put("::time")
	case "timestamp":
		c.stamp(a[0])
	case "datediff":
		if len(a) != 2 {
			return false
		}
		c.put("(")
		c.paren(a[0])
		c.put("::date - ")
		c.paren(a[1])
		c.put("::date)")
	case "last_day":
		c.put("(date_trunc('month', ")
		c.stamp(a[0])
		c.put(") + interval '1 month' - interval '1 day')::date")
	case "unix_timestamp":
		c.put("extract(epoch from ")
		c.stamp(a[0])
		c.put(")::bigint")
	case "from_unixtime":
		if len(a) != 1 {
			return false
		}
		c.put("to_timestamp(")
		c.expr(a[0])
		c.put(")::timestamp")
	case "date_format", "str_to_date", "time_format":
		return c.dateFormat(name, a)
	default:
		return false
	}
	return true
}

func (c *converter) constant(name string) bool {
	switch name {
	case "now", "current_timestamp", "localtime", "localtimestamp", "sysdate":
		c.put("date_trunc('second', now()::timestamp)")
	case "utc_timestamp":
		c.put("date_trunc('second', now() AT TIME ZONE 'UTC')")
	case "curdate", "current_date":
		c.put("current_date")
	case "curtime", "current_time":
		c.put("date_trunc('second', now()::timestamp)::time")
	case "unix_timestamp":
		c.put("floor(extract(epoch from now()))::bigint")
	case "rand":
		c.put("random()")
	case "user", "current_user", "session_user", "system_user":
		c.put("current_user::text")
	default:
		return false
	}
	return true
}

// substringIndex is SUBSTRING_INDEX(s, delimiter, n): what stands before the n-th
// delimiter, from the end if n is negative.
func (c *converter) substringIndex(a []sqlparser.Expr) bool {
	if len(a) != 3 {
		return false
	}
	n, sign := a[2], 1
	if u, ok := n.(*sqlparser.UnaryExpr); ok && u.Operator == sqlparser.UMinusOp {
		n, sign = u.Expr, -1
	}
	l, ok := n.(*sqlparser.Literal)
	if !ok || l.Type != sqlparser.IntVal {
		return false
	}
	count, err := strconv.Atoi(l.Val)
	if err != nil {
		return false
	}
	if count *= sign; count < 0 {
		// From the end: the same of the text turned around.
		c.put("reverse(")
		defer c.put(")")
	}
	c.put("array_to_string((string_to_array(")
	for i := range 2 {
		if i > 0 {
			c.put(", ")
		}
		if count < 0 {
			c.call("reverse", a[i])
		} else {
			c.expr(a[i])
		}
	}
	c.put("))[1:", itoa(max(count, -count)), "], ")
	if count < 0 {
		c.call("reverse", a[1])
	} else {
		c.expr(a[1])
	}
	c.put(")")
	return true
}

// patterns are the directives of DATE_FORMAT in to_char's language.
var patterns = map[byte]string{'Y': "YYYY", 'y': "YY", 'm': "MM", 'c': "FMMM", 'd': "DD", 'e': "FMDD", 'H': "HH24", 'k': "FMHH24", 'h': "HH12", 'I': "HH12",
	'l': "FMHH12", 'i': "MI", 's': "SS", 'S': "SS", 'f': "US", 'p': "AM", 'M': "FMMonth", 'b': "Mon", 'W': "FMDay", 'a': "Dy", 'j': "DDD",
	'T': "HH24:MI:SS", 'r': "HH12:MI:SS AM", 'v': "IW", 'x': "IYYY"}

func (c *converter) dateFormat(name string, a []sqlparser.Expr) bool {
	if len(a) != 2 {
		return false
	}
	l, ok := a[1].(*sqlparser.Literal)
	if !ok || l.Type != sqlparser.StrVal {
		return false
	}
	var out strings.Builder
	for i := 0; i < len(l.Val); i++ {
		b := l.Val[i]
		if b == '%' && i+1 < len(l.Val) {
			i++
			if p := patterns[l.Val[i]]; p != "" {
				out.WriteString(p)
				continue
			}
			if b = l.Val[i]; b|0x20 >= 'a' && b|0x20 <= 'z' {
				c.refuse(name, "the pattern %%%c", b)
				return true
			}
		}
		if b|0x20 >= 'a' && b|0x20 <= 'z' || b == '"' || b == '\\' {
			if b == '"' || b == '\\' {
				out.WriteString(`"\` + string(b) + `"`)
			} else {
				out.WriteString(`"` + string(b) + `"`)
			}
			continue
		}
		out.WriteByte(b)
	}
	// Letters one after the other stand in one pair of quotes.
	pattern := strings.ReplaceAll(out.String(), `""`, "")
	if name != "str_to_date" {
		c.put("to_char(")
		c.stamp(a[0])
		c.put(", ", parser.QuoteLiteral(pattern), ")")
		return true
	}
	c.put("to_timestamp(")
	c.expr(a[0])
	c.put(", ", parser.QuoteLiteral(pattern), ")")
	if strings.ContainsAny(pattern, "HSU") || strings.Contains(pattern, "MI") {
		c.put("::timestamp")
	} else {
		c.put("::date")
	}
	return true
}

var units = map[string]string{"microsecond": "1 microsecond", "second": "1 second", "minute": "1 minute", "hour": "1 hour", "day": "1 day", "week": "7 day",
	"month": "1 month", "quarter": "3 month", "year": "1 year"}

// dateAdd writes DATE_ADD and its like. Of a date and whole days it is a date.
func (c *converter) dateAdd(n *sqlparser.IntervalDateExpr) {
	unit := strings.ToLower(n.Unit.ToString())
	step, ok := units[unit]
	if unit == "" || strings.EqualFold(unit, "none") {
		step, unit, ok = "1 day", "day", true // ADDDATE(d, n)
	}
	if !ok {
		c.refuse(unit, "INTERVAL … %s", strings.ToUpper(unit))
		return
	}
	op := " + "
	switch n.Syntax {
	case sqlparser.IntervalDateExprDateSub, sqlparser.IntervalDateExprSubdate, sqlparser.IntervalDateExprBinarySub:
		op = " - "
	}
	date := isDate(n.Date) && (unit == "day" || unit == "week" || unit == "month" || unit == "quarter" || unit == "year")
	if date {
		c.put("(")
	}
	c.paren(n.Date)
	if _, ok := n.Date.(*sqlparser.Literal); ok {
		c.put("::timestamp")
	}
	c.put(op)
	c.number(n.Interval)
	if l, ok := n.Interval.(*sqlparser.Literal); ok && l.Type == sqlparser.StrVal {
		c.put("::numeric")
	}
	c.put(" * interval '", step, "'")
	if date {
		c.put(")::date")
	}
}

// isDate reports an expression that is a date without a time of day for certain.
func isDate(e sqlparser.Expr) bool {
	switch n := e.(type) {
	case *sqlparser.Literal:
		return n.Type == sqlparser.DateVal || n.Type == sqlparser.StrVal && len(n.Val) == 10
	case *sqlparser.FuncExpr:
		return n.Name.EqualString("date") || n.Name.EqualString("last_day") || n.Name.EqualString("curdate")
	case *sqlparser.CurTimeFuncExpr:
		return n.Name.EqualString("curdate") || n.Name.EqualString("current_date")
	case *sqlparser.CastExpr:
		return strings.EqualFold(n.Type.Type, "date")
	}
	return false
}

// timestampDiff is TIMESTAMPDIFF(unit, a, b): whole units from a to b.
func (c *converter) timestampDiff(n *sqlparser.TimestampDiffExpr) bool {
	unit := strings.ToLower(n.Unit.ToString())
	if s, ok := map[string]string{"second": "1", "minute": "60", "hour": "3600", "day": "86400", "week": "604800"}[unit]; ok {
		c.put("trunc(extract(epoch from ")
		c.stamp(n.Expr2)
		c.put(" - ")
		c.stamp(n.Expr1)
		c.put(") / ", s, ")::bigint")
		return true
	}
	months, ok := map[string]string{"month": "1", "quarter": "3", "year": "12"}[unit]
	if !ok {
		return false
	}
	age := func() {
		c.put("age(")
		c.stamp(n.Expr2)
		c.put(", ")
		c.stamp(n.Expr1)
		c.put(")")
	}
	c.put("trunc((extract(year from ")
	age()
	c.put(") * 12 + extract(month from ")
	age()
	c.put(")) / ", months, ")::bigint")
	return true
}
