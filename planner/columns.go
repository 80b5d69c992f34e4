package planner

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// column resolves a column reference, in this query and then outwards.
func (sc *selectCtx) column(ref *pg.ColumnRef) (Expr, error) {
	b := sc.b
	parts, star := nameParts(ref.Fields)
	if star {
		return nil, pgerr.New(pgerr.SyntaxError, "* is not allowed here").At(b.pos(ref.Location))
	}
	if len(parts) > 3 {
		return nil, b.unsupported(ref.Location, "the name %s", strings.Join(parts, "."))
	}
	last := len(parts) - 1
	name := ident{parts[last], b.st.Quoted(ref.Location, last)}
	var table ident
	schema := ""
	if last > 0 {
		table = ident{parts[last-1], b.st.Quoted(ref.Location, last-1)}
	}
	if last > 1 {
		schema = parts[0]
	}
	for c := sc; c != nil; c = c.outer {
		col, perr := findColumn(c.scope, table, name, schema)
		if perr != nil {
			return nil, perr.At(b.pos(ref.Location))
		}
		if col != nil {
			return &Column{ID: col.ID, T: col.T, Name: col.Name, Pos: b.pos(ref.Location)}, nil
		}
		if last > 0 {
			continue
		}
		if c == sc {
			if e, err := c.alias(ref); e != nil || err != nil {
				return e, err
			}
		}
		for _, col := range c.scope {
			if col.Scalar && (name.exact(col.Table) || name.fold(col.Table)) {
				return &Column{ID: col.ID, T: col.T, Name: col.Name, Pos: b.pos(ref.Location)}, nil
			}
		}
	}
	if e := b.frame.named(table, name, last); e != nil {
		return e, nil
	}
	if last == 0 {
		if e, err := sc.wholeRow(name, ref.Location); e != nil || err != nil {
			return e, err
		}
	}
	return nil, sc.missingColumn(table, name, ref.Location)
}

func (sc *selectCtx) missingColumn(table, name ident, loc int32) error {
	b := sc.b
	var names []string
	known := table.name == ""
	qualified := map[string]string{}
	for c := sc; c != nil; c = c.outer {
		for _, col := range c.scope {
			if table.name != "" && !table.exact(col.Table) && !table.fold(col.Table) {
				continue
			}
			known = true
			names = append(names, col.Name)
			if col.Table != "" {
				qualified[col.Name] = col.Table + "." + col.Name
			} else {
				qualified[col.Name] = col.Name
			}
		}
	}
	if !known {
		return sc.missingTable(table.name, loc)
	}
	shown := name.name
	msg := "column %q does not exist"
	if table.name != "" {
		shown = table.name + "." + name.name
		msg = "column %s does not exist"
	}
	e := pgerr.New(pgerr.UndefinedColumn, msg, shown).At(b.pos(loc))
	switch name.name {
	case "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax":
		return b.unsupported(loc, "the system column %q", name.name)
	}
	for _, n := range names {
		if strings.EqualFold(n, name.name) {
			return e.WithHint("There is a column %s: quoted names match exactly.", quoteIdent(n))
		}
	}
	if s := suggest(name.name, names); s != "" {
		return e.WithHint("Perhaps you meant to reference the column %q.", qualified[s])
	}
	return e
}

func (sc *selectCtx) missingTable(table string, loc int32) error {
	for c := sc; c != nil; c = c.outer {
		for _, col := range c.scope {
			if col.Origin == table && col.Table != table {
				return pgerr.New(pgerr.UndefinedTable, "invalid reference to FROM-clause entry for table %q", table).
					WithHint("Perhaps you meant to reference the table alias %q.", col.Table).At(sc.b.pos(loc))
			}
		}
	}
	e := pgerr.New(pgerr.UndefinedTable, "missing FROM-clause entry for table %q", table).At(sc.b.pos(loc))
	var names []string
	for c := sc; c != nil; c = c.outer {
		for _, col := range c.scope {
			names = append(names, col.Table)
		}
	}
	if s := suggest(table, names); s != "" {
		e = e.WithHint("Perhaps you meant to reference the table alias %q.", s)
	}
	return e
}
