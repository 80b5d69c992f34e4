package planner

import (
	"sort"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
)

// scopeCol is a column that names can refer to.
type scopeCol struct {
	Col
	Schema, Table string
	Hidden        bool   // not part of *: group keys of APPLY, the right side of USING
	Merged        bool   // of USING: the unqualified name means another column
	Origin        string // the table's name that an alias hides
	Scalar        bool   // the only column of a function in FROM, which the table's name means too
}

// ident is an identifier with what the scanner dropped: whether it was quoted.
type ident struct {
	name   string
	quoted bool
}

// matches compares names as design.md §5 says: quoted names exactly; unquoted
// ones exactly or, second, without regard to case.
func (id ident) exact(name string) bool { return id.name == name }
func (id ident) fold(name string) bool {
	return !id.quoted && strings.EqualFold(id.name, name)
}

// findColumn looks a name up in cols. It returns nil when there is none, and
// 42702 when there are several.
func findColumn(cols []scopeCol, table, name ident, schema string) (*scopeCol, *pgerr.Error) {
	inTable := func(c *scopeCol) bool {
		return table.name == "" && !c.Merged ||
			table.name != "" && (table.exact(c.Table) || table.fold(c.Table)) && (schema == "" || schema == c.Schema)
	}
	for _, match := range []func(string) bool{name.exact, name.fold} {
		var found *scopeCol
		for i := range cols {
			c := &cols[i]
			if !match(c.Name) || !inTable(c) {
				continue
			}
			if found != nil && found.ID != c.ID {
				e := pgerr.New(pgerr.AmbiguousColumn, "column reference %q is ambiguous", name.name)
				if found.Hidden != c.Hidden {
					e = e.WithHint("A group key and an output column of the function have the same name. Name the key: GROUP BY … AS other_name APPLY ….")
				} else if found.Name != c.Name {
					e = e.WithHint("The columns %s and %s differ only in case: quote the name.", quoteIdent(found.Name), quoteIdent(c.Name))
				}
				return nil, e
			}
			found = c
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// suggest returns the names nearest to name, for a hint.
func suggest(name string, names []string) string {
	type cand struct {
		name string
		d    int
	}
	var cs []cand
	seen := map[string]bool{}
	limit := min(len(name)/3+1, len(name)-1)
	for _, n := range names {
		if seen[n] {
			continue
		}
		seen[n] = true
		if d := editDistance(strings.ToLower(name), strings.ToLower(n)); d <= limit {
			cs = append(cs, cand{n, d})
		}
	}
	sort.SliceStable(cs, func(i, j int) bool {
		if cs[i].d != cs[j].d {
			return cs[i].d < cs[j].d
		}
		return cs[i].name < cs[j].name
	})
	if len(cs) == 0 {
		return ""
	}
	return cs[0].name
}

// editDistance is the optimal string alignment distance.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// nameParts returns the strings of a list of String nodes; star says that the
// last one is *.
func nameParts(list []*pg.Node) (parts []string, star bool) {
	for _, n := range list {
		if s := n.GetString_(); s != nil {
			parts = append(parts, s.Sval)
		} else if n.GetAStar() != nil {
			star = true
		}
	}
	return parts, star
}

// lastName splits a possibly qualified name.
func lastName(list []*pg.Node) (schema, name string) {
	parts, _ := nameParts(list)
	switch len(parts) {
	case 0:
		return "", ""
	case 1:
		return "", parts[0]
	}
	return parts[len(parts)-2], parts[len(parts)-1]
}

// unsupported makes a 0A000 error.
func (b *binder) unsupported(loc int32, format string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.FeatureNotSupported, format+" is not supported", args...).At(b.pos(loc))
}
