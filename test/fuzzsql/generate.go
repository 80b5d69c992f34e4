package fuzzsql

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// kind is a type as the generator tells them apart.
type kind int

const (
	kInt kind = iota
	kBig
	kNum
	kFloat
	kText
	kDate
	kBool
	kinds
)

var typeNames = [kinds]string{"int", "bigint", "numeric", "double precision", "text", "date", "boolean"}

// numeric reports whether the kind takes part in arithmetic.
func (k kind) numeric() bool { return k <= kFloat }

// column is what an expression may refer to.
type column struct {
	name string // as it is written, qualified
	k    kind
}

// table is a relation that FROM may name.
type table struct {
	name string
	cols []column // unqualified
}

// columnNames of every table: the same, so that USING and NATURAL have work.
var columnNames = [...]struct {
	name string
	k    kind
}{{"i", kInt}, {"j", kInt}, {"b", kBig}, {"n", kNum}, {"f", kFloat}, {"s", kText}, {"d", kDate}, {"o", kBool}}

// schema returns the tables and the statements that make them.
func schema(r *rand.Rand) ([]table, []string) {
	var tables []table
	var stmts []string
	for t, rows := range []int{137, 60, 300, 1, 0} {
		tab := table{name: fmt.Sprintf("t%d", t)}
		var defs []string
		for _, c := range columnNames {
			typ := typeNames[c.k]
			if c.k == kNum {
				typ = "numeric(8,2)"
			}
			defs = append(defs, c.name+" "+typ)
			tab.cols = append(tab.cols, column{c.name, c.k})
		}
		stmts = append(stmts, "CREATE TABLE "+tab.name+" ("+strings.Join(defs, ", ")+")")
		if rows > 0 {
			var values []string
			for range rows {
				var vs []string
				for _, c := range columnNames {
					v := "NULL"
					if r.IntN(6) > 0 {
						v = literal(r, c.k)
					}
					vs = append(vs, v)
				}
				values = append(values, "("+strings.Join(vs, ", ")+")")
			}
			stmts = append(stmts, "INSERT INTO "+tab.name+" VALUES "+strings.Join(values, ", "))
		}
		tables = append(tables, tab)
	}
	return tables, stmts
}

var words = []string{"'a'", "'b'", "'ab'", "'B'", "''", "'é'", "'x y'", "'%'", "'10'"}

// literal is a value of a small domain, so that joins and groups meet.
func literal(r *rand.Rand, k kind) string {
	switch k {
	case kInt:
		return fmt.Sprint(r.IntN(14) - 2)
	case kBig:
		return fmt.Sprint(r.IntN(20) - 4)
	case kNum:
		return fmt.Sprintf("%d.%s", r.IntN(9), []string{"0", "5", "25", "10"}[r.IntN(4)])
	case kFloat:
		return fmt.Sprintf("%g", float64(r.IntN(40)-8)/4)
	case kText:
		return words[r.IntN(len(words))]
	case kDate:
		return fmt.Sprintf("'2024-02-%02d'", 20+r.IntN(9))
	}
	return []string{"true", "false"}[r.IntN(2)]
}

// typed is a literal that has its type without a context.
func typed(r *rand.Rand, k kind) string {
	l := literal(r, k)
	switch k {
	case kInt:
		return l
	case kBool:
		return l
	case kDate:
		return "date " + l
	}
	return l + "::" + typeNames[k]
}

// gen makes one statement.
type gen struct {
	*rand.Rand
	tables []table
	alias  int
	depth  int // of queries
	// outer are the columns of enclosing queries.
	outer []column
}

func (g *gen) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *gen, xs ...T) T { return xs[g.IntN(len(xs))] }

func (g *gen) name(prefix string) string {
	g.alias++
	return fmt.Sprintf("%s%d", prefix, g.alias)
}

// scope is what the expressions of one clause see.
type scope struct {
	cols    []column // above GROUP BY: the keys
	aggOver []column // non-nil: aggregates over these are allowed
	windows bool     // window calls are
	noSub   bool     // subqueries are not
	// twins says that rows may be equal in all columns; the windows that order
	// by all columns are then one, kept in total.
	twins bool
	total string
}

// expr writes an expression of kind k.
func (g *gen) expr(s *scope, k kind, depth int) string {
	if depth <= 0 || g.chance(25) {
		return g.leaf(s, k)
	}
	sub := func(k kind) string { return g.expr(s, k, depth-1) }
	if s.aggOver != nil && g.chance(40) {
		return g.aggregate(s, k)
	}
	if s.windows && g.chance(25) {
		return g.window(s, k)
	}
	if !s.noSub && g.depth < 3 && g.chance(6) {
		return g.scalarSubquery(s, k)
	}
	switch g.IntN(9) {
	case 0:
		return "CASE WHEN " + sub(kBool) + " THEN " + sub(k) + " ELSE " + sub(k) + " END"
	case 1:
		return "coalesce(" + sub(k) + ", " + sub(k) + ")"
	case 2:
		return "nullif(" + sub(k) + ", " + sub(k) + ")"
	case 3:
		return pick(g, "greatest", "least") + "(" + sub(k) + ", " + sub(k) + ")"
	case 4:
		if e := g.castTo(s, k, depth); e != "" {
			return e
		}
	}
	switch k {
	case kInt, kBig, kNum, kFloat:
		switch g.IntN(6) {
		case 0:
			return "(- " + sub(k) + ")"
		case 1:
			return "abs(" + sub(k) + ")"
		case 2:
			if k == kInt {
				return "length(" + sub(kText) + ")"
			}
			if k == kBig {
				return "(" + sub(k) + " % " + pick(g, "3", "7", "-4") + ")"
			}
			return "floor(" + sub(k) + ")"
		case 3:
			if k == kInt {
				return pick(g, "("+sub(kDate)+" - "+sub(kDate)+")", "("+sub(k)+" / 3)", "extract(day from "+sub(kDate)+")::int")
			}
		}
		return "(" + sub(k) + pick(g, " + ", " - ", " + ", " * ") + g.leaf(s, k) + ")"
	case kText:
		switch g.IntN(6) {
		case 0:
			return "upper(" + sub(k) + ")"
		case 1:
			return "substr(" + sub(k) + ", " + pick(g, "1", "2", "-1", "0") + ", " + pick(g, "1", "2", "3") + ")"
		case 2:
			return "replace(" + sub(k) + ", 'a', 'ba')"
		case 3:
			return "concat(" + sub(k) + ", '-', " + g.leaf(s, pick(g, kInt, kText, kDate)) + ")"
		}
		return "(" + sub(k) + " || " + sub(k) + ")"
	case kDate:
		return "(" + sub(k) + pick(g, " + ", " - ") + "(" + g.leaf(s, kInt) + "))"
	}
	return g.condition(s, depth)
}

// castTo writes a cast that cannot fail, or nothing.
func (g *gen) castTo(s *scope, k kind, depth int) string {
	from := kInt
	switch k {
	case kInt:
		from = pick(g, kBig, kNum, kFloat, kBool)
	case kBig:
		from = pick(g, kInt, kNum, kFloat)
	case kNum, kFloat:
		from = pick(g, kInt, kBig)
	case kText:
		from = pick(g, kInt, kBig, kNum, kFloat, kDate, kBool)
	case kBool:
		from = kInt
	default:
		return ""
	}
	typ := typeNames[k]
	if k == kText && g.chance(30) {
		typ = "varchar(3)"
	}
	if k == kNum && g.chance(30) {
		typ = "numeric(12,1)"
	}
	if e := g.expr(s, from, depth-1); g.chance(50) {
		return "(" + e + ")::" + typ
	} else {
		return "cast(" + e + " as " + typ + ")"
	}
}

func (g *gen) leaf(s *scope, k kind) string {
	cols := s.cols
	if len(g.outer) > 0 && g.chance(25) {
		cols = g.outer
	}
	var fit []string
	for _, c := range cols {
		if c.k == k {
			fit = append(fit, c.name)
		}
	}
	if len(fit) > 0 && g.chance(85) {
		return fit[g.IntN(len(fit))]
	}
	if g.chance(10) {
		return "NULL::" + typeNames[k]
	}
	return typed(g.Rand, k)
}

// condition writes a boolean expression.
func (g *gen) condition(s *scope, depth int) string {
	sub := func(k kind) string { return g.expr(s, k, depth-1) }
	k := kind(g.IntN(int(kinds)))
	k2 := k
	if k.numeric() && g.chance(30) {
		k2 = kind(g.IntN(int(kFloat) + 1))
	}
	switch g.IntN(15) {
	case 0, 1, 2, 3:
		return "(" + sub(k) + pick(g, " = ", " <> ", " < ", " <= ", " > ", " >= ") + sub(k2) + ")"
	case 4:
		return "(" + sub(kBool) + " AND " + sub(kBool) + ")"
	case 5:
		return "(" + sub(kBool) + " OR " + sub(kBool) + ")"
	case 6:
		return "(NOT " + sub(kBool) + ")"
	case 7:
		return "(" + sub(k) + pick(g, " IS NULL", " IS NOT NULL") + ")"
	case 8:
		return "(" + sub(k) + pick(g, " IS DISTINCT FROM ", " IS NOT DISTINCT FROM ") + sub(k2) + ")"
	case 9:
		return "(" + sub(kBool) + pick(g, " IS TRUE", " IS NOT TRUE", " IS FALSE", " IS NOT FALSE", " IS UNKNOWN", " IS NOT UNKNOWN") + ")"
	case 10:
		list := []string{literal(g.Rand, k), literal(g.Rand, k), pick(g, "NULL", literal(g.Rand, k), literal(g.Rand, k))}
		return "(" + sub(k) + pick(g, " IN (", " NOT IN (") + strings.Join(list, ", ") + "))"
	case 11:
		return "(" + sub(k) + pick(g, " BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC ") + g.leaf(s, k) + " AND " + g.leaf(s, k) + ")"
	case 12:
		return "(" + sub(kText) + pick(g, " LIKE ", " NOT LIKE ", " ILIKE ") + pick(g, "'%a%'", "'_'", "'b%'", "''", `'\%'`) + ")"
	}
	if s.noSub || g.depth >= 3 {
		return "(" + sub(k) + " = " + g.leaf(s, k) + ")"
	}
	switch g.IntN(5) {
	case 0:
		return pick(g, "", "NOT ") + "EXISTS (" + g.inner(s, nil) + ")"
	case 3:
		return "(" + sub(k) + pick(g, " = ", " <> ", " < ", " >= ") + pick(g, "ANY (", "ALL (") + g.inner(s, []kind{k2}) + "))"
	case 1: // uncorrelated, anywhere
		outer := g.outer
		g.outer = nil
		q := g.inner(&scope{}, []kind{k2})
		g.outer = outer
		return "(" + sub(k) + pick(g, " IN (", " NOT IN (") + q + "))"
	case 2:
		outer := g.outer
		g.outer = nil
		q := g.inner(&scope{}, []kind{kInt, k})
		g.outer = outer
		return "((" + sub(kInt) + ", " + sub(k) + ")" + pick(g, " IN (", " NOT IN (") + q + "))"
	}
	return "(" + sub(k) + pick(g, " = ", " < ", " >= ") + g.scalarSubquery(s, k) + ")"
}

// inner writes a subquery that may read the columns of s.
func (g *gen) inner(s *scope, ks []kind) string {
	save := g.outer
	cols := s.cols
	if s.aggOver != nil {
		cols = nil // only the keys; kept simple
	}
	g.outer = append(append([]column(nil), save...), cols...)
	defer func() { g.outer = save }()
	q, _ := g.query(ks)
	return q
}

func (g *gen) scalarSubquery(s *scope, k kind) string {
	save := g.outer
	if s.aggOver == nil {
		g.outer = append(append([]column(nil), save...), s.cols...)
	}
	defer func() { g.outer = save }()
	g.depth++
	defer func() { g.depth-- }()
	from, cols := g.from(1)
	in := &scope{cols: cols, noSub: g.depth > 1}
	agg := g.aggregate(&scope{cols: cols, aggOver: cols, noSub: true}, k)
	q := "(SELECT " + agg + " FROM " + from
	if g.chance(70) {
		q += " WHERE " + g.condition(in, 2)
	}
	return q + ")"
}

// aggregate writes an aggregate call of kind k over the columns of s.aggOver.
func (g *gen) aggregate(s *scope, k kind) string {
	in := &scope{cols: s.aggOver, noSub: true}
	save := g.outer
	g.outer = nil // an aggregate of outer columns alone would be the outer query's
	defer func() { g.outer = save }()
	distinct := pick(g, "", "", "", "DISTINCT ")
	e := func(k kind) string { return g.expr(in, k, 1) }
	var call string
	switch k {
	case kInt:
		call = pick(g, "min", "max") + "(" + distinct + e(kInt) + ")"
	case kBig:
		call = pick(g, "count(*)", "count("+distinct+e(kind(g.IntN(int(kinds))))+")", "sum("+distinct+e(kInt)+")", "max("+e(kBig)+")")
	case kNum:
		call = pick(g, "sum("+distinct+e(kNum)+")", "avg("+distinct+e(kInt)+")", "sum("+distinct+e(kBig)+")", "min("+e(kNum)+")")
	case kFloat:
		call = pick(g, "sum("+distinct+e(kFloat)+")", "min("+e(kFloat)+")", "max("+e(kFloat)+")")
	case kText:
		x := g.leaf(in, kText)
		call = pick(g, "min("+e(kText)+")", "max("+e(kText)+")", "string_agg("+x+", ',' ORDER BY "+x+pick(g, "", " DESC")+")")
	case kDate:
		call = pick(g, "min", "max") + "(" + e(kDate) + ")"
	default:
		call = pick(g, "bool_and", "bool_or", "every") + "(" + e(kBool) + ")"
	}
	if k != kBool && g.chance(12) {
		call = "percentile_disc(" + pick(g, "0", "0.25", "0.5", "1") + ") WITHIN GROUP (ORDER BY " + e(k) + pick(g, "", " DESC") + ")"
		if k == kFloat && g.chance(50) {
			call = "percentile_cont(" + pick(g, "0.25", "0.5") + ") WITHIN GROUP (ORDER BY " + e(k) + ")"
		}
	}
	if g.chance(20) {
		call += " FILTER (WHERE " + g.condition(in, 1) + ")"
	}
	return call
}

// window writes a window call of kind k. Where the order of rows counts, it is
// by all columns: rows that tie are then the same.
func (g *gen) window(s *scope, k kind) string {
	in := &scope{cols: s.cols, noSub: true}
	e := func(k kind) string { return g.expr(in, k, 1) }
	var part []string
	for range g.IntN(3) {
		part = append(part, e(kind(g.IntN(int(kinds)))))
	}
	over := ""
	if len(part) > 0 {
		over = "PARTITION BY " + strings.Join(part, ", ")
	}
	total := func() string { // PARTITION BY and ORDER BY of all columns
		if s.total != "" {
			return s.total
		}
		var o []string
		for _, c := range s.cols {
			o = append(o, c.name+pick(g, "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
		}
		g.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
		if len(o) == 0 {
			o = []string{"1::int"}
		}
		out := over + " ORDER BY " + strings.Join(o, ", ")
		if s.twins {
			s.total = out
		}
		return out
	}
	frame := ""
	if g.chance(50) {
		bounds := []string{"UNBOUNDED PRECEDING", "3 PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING", "4 FOLLOWING", "UNBOUNDED FOLLOWING"}
		a := g.IntN(6)
		b := max(1, a) + g.IntN(7-max(1, a))
		mode := pick(g, " ROWS", " GROUPS", " RANGE")
		if mode == " RANGE" {
			a, b = pick(g, 0, 3), pick(g, 3, 6)
		}
		frame = mode + " BETWEEN " + bounds[a] + " AND " + bounds[b] + pick(g, "", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES")
	}
	agg := func(call string) string {
		filter := ""
		if g.chance(15) {
			filter = " FILTER (WHERE " + g.condition(in, 1) + ")"
		}
		if g.chance(30) && !strings.Contains(frame, "ROWS") && !strings.Contains(frame, "GROUPS") {
			// ties are peers: their order does not count
			return call + filter + " OVER (" + over + " ORDER BY " + e(kind(g.IntN(int(kinds)))) + frame + ")"
		}
		return call + filter + " OVER (" + total() + frame + ")"
	}
	rank := func(f string) string {
		return f + " OVER (" + over + " ORDER BY " + e(kind(g.IntN(int(kinds)))) + ")"
	}
	switch k {
	case kBig:
		switch g.IntN(5) {
		case 0:
			return "row_number() OVER (" + total() + ")"
		case 1:
			return rank("rank()")
		case 2:
			return rank("dense_rank()")
		case 3:
			return agg("count(*)")
		}
		return agg("sum(" + e(kInt) + ")")
	case kFloat:
		if g.chance(30) {
			return rank(pick(g, "percent_rank()", "cume_dist()"))
		}
		return agg("sum(" + e(kFloat) + ")")
	case kNum:
		return agg(pick(g, "sum", "avg", "max") + "(" + e(kNum) + ")")
	case kInt:
		if g.chance(20) {
			return "ntile(3) OVER (" + total() + ")"
		}
	case kBool:
		return agg(pick(g, "bool_and", "bool_or") + "(" + e(kBool) + ")")
	}
	switch g.IntN(3) {
	case 0:
		return pick(g, "lag", "lead") + "(" + e(k) + pick(g, "", ", 2", ", 0", ", -1", ", 3, "+g.leaf(in, k)) + ") OVER (" + total() + ")"
	case 1:
		return pick(g, "first_value(", "last_value(") + e(k) + ") OVER (" + total() + frame + ")"
	}
	return agg(pick(g, "min", "max") + "(" + e(k) + ")")
}
