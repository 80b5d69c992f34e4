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
	}
	q, cols := g.query(nil)
	g.tables = save
	if g.chance(50) {
		var keys []string
		for i := range cols {
			keys = append(keys, fmt.Sprint(i+1)+pick(g, "", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
		}
		g.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
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
		if len(texts) > 0 {
			tail = " GROUP BY " + strings.Join(texts, ", ")
		}
		s = &scope{cols: keys, aggOver: cols, noSub: g.chance(70)}
		if g.chance(20) {
			tail += " HAVING " + g.condition(s, 2)
		} else if len(texts) == 0 {
			tail = " HAVING true"
		}
	case 2:
		s.windows = true
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
