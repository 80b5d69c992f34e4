package fuzzsql

import (
	"fmt"
	"strings"
)

// statement writes a statement; ordered says that its rows have one order.
func (g *gen) statement() (sql string, ordered bool) {
	with := ""
	save := g.tables
	if g.chance(12) {
		var ctes []string
		for range 1 + g.IntN(2) {
			q, cols := g.query(nil)
			name := g.name("w")
			ctes = append(ctes, name+" AS ("+q+")")
			g.tables = append(g.tables[:len(g.tables):len(g.tables)], table{name, cols}, table{name, cols}, table{name, cols})
		}
		with = "WITH " + strings.Join(ctes, ", ") + " "
	} else if g.chance(6) {
		cte, t := g.recursive()
		g.tables = append(g.tables[:len(g.tables):len(g.tables)], t, t, t)
		with = "WITH RECURSIVE " + cte + " "
	}
	q, cols := g.query(nil)
	g.tables = save
	if g.chance(50) {
		var keys []string
		for i := range cols {
			keys = append(keys, fmt.Sprint(i+1)+pick(g, "", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
		}
		g.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		if g.chance(15) {
			var on []string
			for _, k := range keys[:1+g.IntN(len(keys))] {
				number, _, _ := strings.Cut(k, " ")
				on = append(on, number)
			}
			q = "SELECT DISTINCT ON (" + strings.Join(on, ", ") + ") * FROM (" + q + ") AS dq"
		}
		q += " ORDER BY " + strings.Join(keys, ", ")
		if g.chance(50) {
			q += fmt.Sprintf(" LIMIT %d", g.IntN(30))
			if g.chance(30) {
				q += fmt.Sprintf(" OFFSET %d", g.IntN(30))
			}
		}
		ordered = true
	}
	return with + q, ordered
}

// recursive writes a recursive CTE that ends: UNION leaves few values of its
// columns, UNION ALL takes one step.
func (g *gen) recursive() (string, table) {
	t := table{g.name("r"), []column{{"c0", kInt}, {"c1", kInt}, {"c2", kText}}}
	first := g.tables[g.IntN(3)]
	next := g.tables[g.IntN(3)]
	union, steps := "UNION", 1+g.IntN(4)
	if g.chance(30) {
		union, steps = "UNION ALL", 1
	}
	start := &scope{cols: []column{{"x.i", kInt}, {"x.j", kInt}, {"x.s", kText}, {"x.o", kBool}}, noSub: true}
	where := ""
	if g.chance(40) {
		where = " AND " + g.condition(&scope{cols: append(start.cols, column{"r.c0", kInt}, column{"r.c2", kText}), noSub: true}, 1)
	}
	return fmt.Sprintf("%s AS (SELECT %s AS c0, 0 AS c1, %s AS c2 FROM %s AS x WHERE %s %s SELECT x.%s, r.c1 + 1, %s FROM %s AS r %s %s AS x ON x.%s = r.c0 WHERE r.c1 < %d%s)",
		t.name, g.leaf(start, kInt), g.leaf(start, kText), first.name, g.condition(start, 1), union,
		pick(g, "i", "j"), pick(g, "x.s", "r.c2"), t.name, pick(g, "JOIN", "LEFT JOIN"), next.name, pick(g, "i", "j"), steps, where), t
}

// query writes a query without ORDER BY, of the given kinds or of some.
func (g *gen) query(ks []kind) (string, []column) {
	g.depth++
	defer func() { g.depth-- }()
	if ks == nil {
		for range 1 + g.IntN(4) {
			ks = append(ks, kind(g.IntN(int(kinds))))
		}
	}
	if g.chance(12) {
		a, cols := g.selectQuery(ks)
		b, _ := g.selectQuery(ks)
		op := pick(g, "UNION", "UNION ALL", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
		q := a + " " + op + " " + b
		if g.chance(20) {
			c, _ := g.selectQuery(ks)
			q = "(" + q + ") " + pick(g, "UNION ALL ", "UNION ", "EXCEPT ") + c
		}
		return q, cols
	}
	return g.selectQuery(ks)
}

func (g *gen) selectQuery(ks []kind) (string, []column) {
	from, cols := g.from(1 + g.IntN(3))
	where := ""
	if g.chance(55) {
		where = " WHERE " + g.condition(&scope{cols: cols}, 3)
	}
	s := &scope{cols: cols}
	tail := ""
	switch g.IntN(5) {
	case 0, 1: // grouped
		var keys []column
		var texts []string
		for range g.IntN(3) {
			k := kind(g.IntN(int(kinds)))
			e := g.expr(&scope{cols: cols, noSub: true}, k, 1)
			if !strings.Contains(e, ".") {
				continue // a constant
			}
			keys = append(keys, column{e, k})
			texts = append(texts, e)
		}
		s = &scope{aggOver: cols, noSub: g.chance(70)}
		switch {
		case len(texts) > 0 && !foldable(texts) && g.chance(20):
			sets := "GROUPING SETS ((" + texts[0] + "), ())"
			if len(texts) > 1 {
				sets = pick(g, "GROUPING SETS (("+texts[0]+"), ("+texts[1]+"), ())", "GROUPING SETS (("+texts[0]+", "+texts[1]+"), ("+texts[1]+"))",
					texts[0]+", ROLLUP ("+texts[1]+")", "ROLLUP ("+texts[1]+", "+texts[0]+")", "CUBE ("+strings.Join(texts, ", ")+")")
			}
			tail = " GROUP BY " + sets
			s.noSub = true
			if g.chance(50) {
				keys = append(keys, column{"grouping(" + strings.Join(texts, ", ") + ")", kInt})
			}
		case len(texts) > 0:
			tail = " GROUP BY " + strings.Join(texts, ", ")
		}
		s.cols = keys
		if g.chance(20) {
			tail += " HAVING " + g.condition(s, 2)
		} else if len(texts) == 0 {
			tail = " HAVING true"
		}
	case 2:
		s.windows = true
		// Rows of a base table differ, those of a subquery may not: which of two
		// equal ones comes first is open, and may be so in every window's order.
		s.twins = strings.Contains(from, "SELECT") || len(g.tables) > 5
	}
	distinct := ""
	if g.chance(12) {
		distinct = "DISTINCT "
	}
	var list []string
	var out []column
	for i, k := range ks {
		name := fmt.Sprintf("c%d", i)
		list = append(list, g.expr(s, k, 2)+" AS "+name)
		out = append(out, column{name, k})
	}
	return "SELECT " + distinct + strings.Join(list, ", ") + " FROM " + from + where + tail, out
}

// foldable reports keys that an evaluation of constants may make others.
// coalesce(true, x.o) is true in Postgres before 18 wherever it stands in a larger
// expression, even where a grouping set leaves the key NULL.
func foldable(keys []string) bool {
	for _, k := range keys {
		for _, word := range []string{"coalesce(", "CASE ", " AND ", " OR ", "NULL", "nullif("} {
			if strings.Contains(k, word) {
				return true
			}
		}
	}
	return false
}

// item writes an item of FROM and gives its columns qualified by its alias.
func (g *gen) item() (string, table) {
	if g.depth < 3 && g.chance(20) {
		save := g.outer
		g.outer = nil
		q, cols := g.query(nil)
		g.outer = save
		a := g.name("q")
		if g.chance(20) {
			var keys []string
			for i := range cols {
				keys = append(keys, fmt.Sprint(i+1))
			}
			q += " ORDER BY " + strings.Join(keys, ", ") + fmt.Sprintf(" LIMIT %d", 1+g.IntN(80))
		}
		return "(" + q + ") AS " + a, table{a, cols}
	}
	t := g.tables[g.IntN(len(g.tables))]
	if len(t.name) == 2 && t.name >= "t3" && g.chance(60) {
		t = g.tables[g.IntN(3)]
	}
	a := g.name("x")
	return t.name + " AS " + a, table{a, t.cols}
}

func qualified(t table) []column {
	var out []column
	for _, c := range t.cols {
		out = append(out, column{t.name + "." + c.name, c.k})
	}
	return out
}

// from writes up to n joined items.
func (g *gen) from(n int) (string, []column) {
	text, t := g.item()
	cols := qualified(t)
	base := t.name[0] == 'x'
	for i := 1; i < n; i++ {
		right, rt := g.item()
		rc := qualified(rt)
		switch {
		case g.chance(8):
			text += " CROSS JOIN (SELECT * FROM " + right + " LIMIT 0) AS " + rt.name
			if g.chance(50) {
				// An empty side of every kind of join.
				text = strings.Replace(text, " CROSS JOIN (SELECT * FROM "+right, pick(g, " LEFT JOIN (SELECT * FROM ", " RIGHT JOIN (SELECT * FROM ", " FULL JOIN (SELECT * FROM ")+right, 1) + " ON " + g.joinKey(cols, rc)
			}
		case g.depth < 2 && g.chance(8):
			// LATERAL
			a := g.name("l")
			save := g.outer
			g.outer = append(append([]column(nil), save...), cols...)
			q, lc := g.query(nil)
			g.outer = save
			text += pick(g, " CROSS JOIN LATERAL (", " LEFT JOIN LATERAL (") + q + ") AS " + a
			if strings.Contains(text, "LEFT JOIN LATERAL ("+q+")") {
				text += " ON true"
			}
			rc = qualified(table{a, lc})
		case base && i == 1 && rt.name[0] == 'x' && len(t.cols) == len(columnNames) && len(rt.cols) == len(columnNames) && g.chance(25):
			c := columnNames[g.IntN(len(columnNames))]
			text += pick(g, " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ") + right + " USING (" + c.name + ")"
			cols = append(cols, column{c.name + "::" + typeNames[c.k], c.k})
		default:
			kind := pick(g, " JOIN ", " JOIN ", " LEFT JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ")
			on := g.joinKey(cols, rc)
			if kind != " FULL JOIN " && g.chance(35) {
				both := &scope{cols: append(append([]column(nil), cols...), rc...), noSub: true}
				save := g.outer
				on += " AND " + g.condition(both, 2)
				g.outer = save
			}
			text += kind + right + " ON " + on
		}
		cols = append(cols, rc...)
	}
	return text, cols
}

// joinKey writes an equality of both sides.
func (g *gen) joinKey(l, r []column) string {
	var on []string
	for range 1 + g.IntN(2) {
		a := l[g.IntN(len(l))]
		var fit []column
		for _, c := range r {
			if c.k == a.k || c.k.numeric() && a.k.numeric() && g.chance(40) {
				fit = append(fit, c)
			}
		}
		if len(fit) == 0 {
			continue
		}
		on = append(on, a.name+" = "+fit[g.IntN(len(fit))].name)
	}
	if len(on) == 0 {
		return "true"
	}
	return strings.Join(on, " AND ")
}
