package planner

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// starItem is a column that * stands for, on its way through EXCLUDE, REPLACE and
// RENAME.
type starItem struct {
	c       *scopeCol
	t       *target
	clause  string // that named it
	dropped bool
}

// starWith binds a * with clauses: volley_star(t.* or NULL, volley_exclude(a, …),
// volley_replace(e, a, …), volley_rename(a, b, …)).
func (sc *selectCtx) starWith(rt *pg.ResTarget, fc *pg.FuncCall) ([]*target, error) {
	b := sc.b
	if rt.Name != "" {
		return nil, pgerr.New(pgerr.SyntaxError, "* cannot have an alias").At(b.pos(fc.Location))
	}
	var parts []string
	loc := fc.Location
	if ref := fc.Args[0].GetColumnRef(); ref != nil {
		parts, _ = nameParts(ref.Fields)
		loc = ref.Location
	}
	cols, err := sc.starCols(parts, loc)
	if err != nil {
		return nil, err
	}
	items := make([]*starItem, len(cols))
	for i, t := range sc.starTargets(cols, loc) {
		items[i] = &starItem{c: cols[i], t: t}
	}
	for _, a := range fc.Args[1:] {
		clause := a.GetFuncCall()
		if clause == nil || clause.AggDistinct || len(clause.AggOrder) > 0 || clause.AggStar || clause.FuncVariadic {
			return nil, pgerr.New(pgerr.SyntaxError, "%s", strayClause(starCall)).At(b.pos(fc.Location))
		}
		if err := sc.starClause(items, clause); err != nil {
			return nil, err
		}
	}
	var out []*target
	for _, it := range items {
		if !it.dropped {
			out = append(out, it.t)
		}
	}
	return out, nil
}

// starClause applies one clause.
func (sc *selectCtx) starClause(items []*starItem, clause *pg.FuncCall) error {
	b := sc.b
	_, name := lastName(clause.Funcname)
	args := clause.Args
	for i := 0; i < len(args); i++ {
		what := "EXCLUDE"
		n := args[i]
		var value, to *pg.Node
		switch {
		case name == "volley_replace" && i+1 < len(args):
			what, value, n = "REPLACE", args[i], args[i+1]
			i++
		case name == "volley_rename" && i+1 < len(args):
			what, to = "RENAME", args[i+1]
			i++
		case name != "volley_exclude":
			return pgerr.New(pgerr.SyntaxError, "%s", strayClause(starCall)).At(b.pos(clause.Location))
		}
		found, err := sc.starNames(items, n, what)
		if err != nil {
			return err
		}
		for _, it := range found {
			if it.clause != "" && (it.clause == what || it.clause == "EXCLUDE" || what == "EXCLUDE") {
				return pgerr.New(pgerr.DuplicateColumn, "column %q cannot occur in both the %s and the %s list of *", it.c.Name, it.clause, what).At(b.pos(nodeLocation(n)))
			}
			it.clause = what
			switch what {
			case "EXCLUDE":
				it.dropped = true
			case "REPLACE":
				if it.t.e, err = sc.expr(value); err != nil {
					return err
				}
			case "RENAME":
				ref := to.GetColumnRef()
				if ref == nil || len(ref.Fields) != 1 || ref.Fields[0].GetString_() == nil {
					return pgerr.New(pgerr.SyntaxError, "a name is expected in the RENAME list of *").At(b.pos(nodeLocation(to)))
				}
				it.t.name = ref.Fields[0].GetString_().Sval
			}
		}
	}
	return nil
}

// starNames finds the columns of the * that a name means: an unqualified one all
// of that name. REPLACE computes one column only.
func (sc *selectCtx) starNames(items []*starItem, n *pg.Node, what string) ([]*starItem, error) {
	b := sc.b
	ref := n.GetColumnRef()
	if ref == nil {
		return nil, pgerr.New(pgerr.SyntaxError, "a column name is expected in the %s list of *", what).At(b.pos(nodeLocation(n)))
	}
	parts, star := nameParts(ref.Fields)
	if star || len(parts) > 2 {
		return nil, pgerr.New(pgerr.SyntaxError, "a column name is expected in the %s list of *", what).At(b.pos(ref.Location))
	}
	last := len(parts) - 1
	id := ident{parts[last], b.st.Quoted(ref.Location, last)}
	var table ident
	if last > 0 {
		table = ident{parts[0], b.st.Quoted(ref.Location, 0)}
	}
	var names []string
	for _, match := range []func(string) bool{id.exact, id.fold} {
		var found []*starItem
		for _, it := range items {
			names = append(names, it.c.Name)
			if match(it.c.Name) && (last == 0 || table.exact(it.c.Table) || table.fold(it.c.Table)) {
				found = append(found, it)
			}
		}
		if len(found) > 1 && what != "EXCLUDE" {
			return nil, pgerr.New(pgerr.AmbiguousColumn, "column reference %q is ambiguous", id.name).At(b.pos(ref.Location))
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	shown := strconv.Quote(id.name)
	if last > 0 {
		shown = parts[0] + "." + parts[1]
	}
	e := pgerr.New(pgerr.UndefinedColumn, "column %s does not exist", shown).At(b.pos(ref.Location))
	if s := suggest(id.name, names); s != "" {
		e = e.WithHint("Perhaps you meant %q.", s)
	}
	return nil, e
}
