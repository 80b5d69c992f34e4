package planner

import (
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
)

// prune drops columns that nobody reads. need are the columns that the node
// above reads; volatile expressions are kept only if they are read: SQL promises
// one evaluation per row of the result, not of a column nobody asked for.
func prune(n Node, need colSet) Node {
	keep := func(cols []Col) []int {
		var idx []int
		for i, c := range cols {
			if need[c.ID] {
				idx = append(idx, i)
			}
		}
		return idx
	}
	with := func(es ...Expr) colSet {
		s := colSet{}
		for id := range need {
			s[id] = true
		}
		for _, e := range es {
			addColumns(s, e)
		}
		return s
	}
	switch n := n.(type) {
	case *Scan:
		s := *n
		s.Out, s.Source = nil, nil
		// The filter reads its columns from the scan's output.
		want := with(n.Filter)
		for i, c := range n.Out {
			if want[c.ID] {
				s.Out = append(s.Out, c)
				s.Source = append(s.Source, n.Source[i])
			}
		}
		return &s
	case *VirtualScan:
		s := *n
		s.Out, s.Source = nil, nil
		for _, i := range keep(n.Out) {
			s.Out = append(s.Out, n.Out[i])
			s.Source = append(s.Source, n.Source[i])
		}
		return &s
	case *Values:
		idx := keep(n.Out)
		v := &Values{}
		for _, i := range idx {
			v.Out = append(v.Out, n.Out[i])
		}
		for _, r := range n.Rows {
			row := make([]Expr, 0, len(idx))
			for _, i := range idx {
				row = append(row, r[i])
			}
			v.Rows = append(v.Rows, row)
		}
		return v
	case *Filter:
		if in, cond := semiJoinOf(n, need); in != nil {
			if cond == nil {
				return prune(in, need)
			}
			return &Filter{In: prune(in, with(cond)), Cond: cond}
		}
		return &Filter{In: prune(n.In, with(n.Cond)), Cond: n.Cond}
	case *Project:
		p := &Project{}
		for _, i := range keep(n.Out) {
			p.Out = append(p.Out, n.Out[i])
			p.Exprs = append(p.Exprs, n.Exprs[i])
		}
		p.In = prune(n.In, columnsOf(p.Exprs...))
		// A projection that only passes its input on is no operator.
		in := p.In.Cols()
		if len(in) == len(p.Out) {
			same := true
			for i, e := range p.Exprs {
				c, ok := e.(*Column)
				same = same && ok && c.ID == in[i].ID && p.Out[i].ID == c.ID
			}
			if same {
				return p.In
			}
		}
		return p
	case *ProjectSet:
		var es []Expr
		for _, c := range n.Calls {
			es = append(es, c)
		}
		return &ProjectSet{In: prune(n.In, with(es...)), Calls: n.Calls, Out: n.Out}
	case *Limit:
		return &Limit{In: prune(n.In, need), Count: n.Count, Offset: n.Offset}
	case *Sort:
		var es []Expr
		for _, k := range n.Keys {
			es = append(es, k.Expr)
		}
		return &Sort{In: prune(n.In, with(es...)), Keys: n.Keys}
	case *Aggregate:
		a := &Aggregate{Keys: n.Keys, Out: n.Out[:len(n.Keys):len(n.Keys)], Always: n.Always, Spread: n.Spread}
		for i, c := range n.Calls {
			if col := n.Out[len(n.Keys)+i]; need[col.ID] {
				a.Calls = append(a.Calls, c)
				a.Out = append(a.Out, col)
			}
		}
		s := colSet{}
		nodeExprs(a, func(e Expr) { addColumns(s, e) })
		a.In = prune(n.In, s)
		return a
	case *Join:
		j := *n
		var es []Expr
		es = append(append(append(es, n.LeftKeys...), n.RightKeys...), n.Cond)
		s := with(es...)
		j.Left, j.Right = prune(n.Left, s), prune(n.Right, s)
		return &j
	case *AsofJoin:
		j := *n
		s := with(n.exprs()...)
		j.Left, j.Right = prune(n.Left, s), prune(n.Right, s)
		return &j
	case *Window:
		w := &Window{Partition: n.Partition, Order: n.Order}
		for i, c := range n.Out {
			if need[c.ID] {
				w.Out = append(w.Out, c)
				w.Calls = append(w.Calls, n.Calls[i])
			}
		}
		if len(w.Calls) == 0 {
			return prune(n.In, need)
		}
		var es []Expr
		nodeExprs(w, func(e Expr) { es = append(es, e) })
		w.In = prune(n.In, with(es...))
		return w
	case *Union:
		u := &Union{}
		idx := keep(n.Out)
		for _, i := range idx {
			u.Out = append(u.Out, n.Out[i])
		}
		for _, in := range n.In {
			cols := in.Cols()
			s := colSet{}
			var out []Col
			for _, i := range idx {
				s[cols[i].ID] = true
				out = append(out, cols[i])
			}
			// Inputs must have exactly the union's columns, in order.
			x := prune(in, s)
			if !sameCols(x.Cols(), out) {
				p := &Project{In: x, Out: out}
				for _, c := range out {
					p.Exprs = append(p.Exprs, c.ref())
				}
				x = p
			}
			u.In = append(u.In, x)
		}
		return u
	case *GroupedMap:
		g := *n
		if n.BatchRows == 1 { // keys are columns passed on
			g.Keys, g.Out = nil, nil
			for i, k := range n.Keys {
				if need[n.Out[i].ID] {
					g.Keys, g.Out = append(g.Keys, k), append(g.Out, n.Out[i])
				}
			}
			g.Out = append(g.Out, n.Out[len(n.Keys):]...)
		}
		s := colSet{}
		nodeExprs(&g, func(e Expr) { addColumns(s, e) })
		g.In = prune(n.In, s)
		return &g
	case *SingleRow:
		return &SingleRow{In: prune(n.In, need)}
	case *RecursiveUnion:
		// Every column decides which rows the next round sees.
		r := *n
		b, c := n.Base.Cols(), n.Rec.Cols()
		r.Base, r.Rec = exactly(prune(n.Base, idsOf(b)), b), exactly(prune(n.Rec, idsOf(c)), c)
		return &r
	case *Dependent:
		d := *n
		// The inner plan keeps its shape: its columns are few, and EXISTS and
		// ARRAY depend on all of them.
		s := with()
		for id := range freeColumns(n.Right) {
			s[id] = true
		}
		d.Left = prune(n.Left, s)
		d.Right = prune(n.Right, idsOf(n.Right.Cols()))
		return &d
	}
	return n
}

// semiJoinOf turns a condition on the mark of a mark join, which nobody reads
// otherwise, into a semi or anti join; it returns the join and what is left of
// the condition, or nil.
func semiJoinOf(f *Filter, need colSet) (Node, Expr) {
	j, ok := f.In.(*Join)
	if !ok || j.Kind != proto.Join_MARK || need[j.Mark.ID] {
		return nil, nil
	}
	isMark := func(e Expr) bool {
		c, ok := e.(*Column)
		return ok && c.ID == j.Mark.ID
	}
	kind, found := proto.Join_SEMI, false
	var rest []Expr
	for _, c := range conjuncts(nil, f.Cond) {
		if !columnsOf(c)[j.Mark.ID] {
			rest = append(rest, c)
			continue
		}
		if found {
			return nil, nil
		}
		found = true
		positive := true
		if not, ok := c.(*Bool); ok && not.Op == proto.Bool_NOT {
			c, positive = not.Args[0], false
		}
		is, ok := c.(*Is)
		switch {
		case positive && isMark(c):
		case ok && is.Op == proto.IsTest_TRUE && isMark(is.Arg):
		case ok && is.Op == proto.IsTest_NOT_TRUE && isMark(is.Arg):
			positive = !positive
		default:
			return nil, nil // NOT IN: a NULL decides
		}
		if !positive {
			kind = proto.Join_ANTI
		}
	}
	if !found {
		return nil, nil
	}
	s := *j
	s.Kind, s.Mark = kind, Col{}
	return &s, and(rest...)
}

func sameCols(a, b []Col) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}

// usesCatalog reports whether a plan calls functions that ask the catalog:
// such a plan stays on the coordinator.
func usesCatalog(n Node) bool {
	found := false
	nodeExprs(n, func(e Expr) {
		walk(e, func(e Expr) bool {
			if c, ok := e.(*Call); ok && c.F.Volatility == function.Stable && c.F.UDF == nil && needsCatalog(c.F.Name) {
				found = true
			}
			if c, ok := e.(*Cast); ok && (isReg(c.T) || isReg(c.Arg.Type())) {
				found = true
			}
			return !found
		})
	})
	if s, ok := n.(*Shared); ok {
		found = found || usesCatalog(s.Plan.In)
	}
	for _, in := range n.Inputs() {
		found = found || usesCatalog(in)
	}
	return found
}

// needsCatalog tells by name which stable built-ins ask the catalog, or the
// session: Postgres names them so.
func needsCatalog(name string) bool {
	for _, p := range []string{"pg_", "to_reg", "has_", "current_schema", "current_setting", "obj_description", "col_description", "shobj_description"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// inlineShared puts plans with one reader in its place, where conditions and
// pruning reach them.
func (b *binder) inlineShared(n Node) (Node, error) {
	if s, ok := n.(*Shared); ok {
		in, err := b.inlineShared(s.Plan.In)
		if err != nil {
			return nil, err
		}
		if s.Plan.refs > 1 {
			s.Plan.In = in
			return s, nil
		}
		p := &Project{In: in, Out: s.Out}
		for _, c := range s.Plan.In.Cols() {
			p.Exprs = append(p.Exprs, c.ref())
		}
		return p, nil
	}
	return b.mapInputs(n, b.inlineShared)
}

// sharedPlans calls f once for every plan with several readers.
func sharedPlans(n Node, seen map[*SharedPlan]bool, f func(*SharedPlan) error) error {
	if s, ok := n.(*Shared); ok && !seen[s.Plan] {
		seen[s.Plan] = true
		if err := sharedPlans(s.Plan.In, seen, f); err != nil {
			return err
		}
		return f(s.Plan)
	}
	for _, in := range n.Inputs() {
		if err := sharedPlans(in, seen, f); err != nil {
			return err
		}
	}
	return nil
}
