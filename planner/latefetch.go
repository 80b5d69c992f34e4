package planner

import (
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// Where columns are fetched late: for at most lateRows rows, of columns that are
// wide enough together for a second scan, and only if reading them for all rows
// that are sorted takes many times the bytes of the pages that the rows of the
// result are on.
const (
	lateRows      = 1000
	lateMinWidth  = 64
	latePageBytes = 256 << 10
)

// lateFetch rewrites ORDER BY … LIMIT over a scan of Parquet files whose columns
// are mostly not needed to find the rows: those that are, and the rows' numbers, are
// sorted first; a join with a second scan, which the numbers of the rows found
// restrict, fetches the others.
func (b *binder) lateFetch(n Node, est *estimator) (Node, error) {
	switch n := n.(type) {
	case *Dependent, *RecursiveUnion:
		return n, nil // runs again and again over the same small input
	case *Limit:
		if f := b.fetchLate(n, est); f != nil {
			return f, nil
		}
	}
	return b.mapInputs(n, func(in Node) (Node, error) { return b.lateFetch(in, est) })
}

// topOf takes Limit → Project → Sort → Project → Filter → Scan apart; all but the
// Sort and the Scan may be missing.
func topOf(n *Limit) (top *Project, sort *Sort, mid *Project, filter *Filter, scan *Scan) {
	in := n.In
	if top, _ = in.(*Project); top != nil {
		in = top.In
	}
	if sort, _ = in.(*Sort); sort == nil {
		return
	}
	in = sort.In
	if mid, _ = in.(*Project); mid != nil {
		in = mid.In
	}
	if filter, _ = in.(*Filter); filter != nil {
		in = filter.In
	}
	scan, _ = in.(*Scan)
	return
}

func (b *binder) fetchLate(n *Limit, est *estimator) Node {
	top, sort, mid, filter, scan := topOf(n)
	if scan == nil || n.Count < 0 || n.Count > lateRows || n.Offset > lateRows || n.Count+n.Offset > lateRows || scan.Format != "parquet" || scan.Limit > 0 ||
		len(scan.Files.Extra) > 0 || scan.Files.ByName {
		return nil
	}
	early := columnsOf(scan.Filter, condOf(filter))
	keys := columnsOf(keyExprs(sort.Keys)...)
	for _, k := range sort.Keys {
		if isVolatile(k.Expr) {
			return nil
		}
	}
	if mid == nil {
		for id := range keys {
			early[id] = true
		}
	} else {
		for i, e := range mid.Exprs {
			if isVolatile(e) {
				return nil
			}
			if keys[mid.Out[i].ID] {
				addColumns(early, e)
			}
		}
	}
	row := b.newCol("row", types.T(types.Int8))
	first, later := *scan, *scan
	first.Out, first.Source = nil, nil
	later.Out, later.Source, later.Filter = nil, nil, nil
	bytes := 0.0
	for i, c := range scan.Out {
		if scan.Source[i] == rowNumber {
			return nil
		}
		if early[c.ID] {
			first.Out, first.Source = append(first.Out, c), append(first.Source, scan.Source[i])
			continue
		}
		later.Out, later.Source = append(later.Out, c), append(later.Source, scan.Source[i])
		bytes += lateWidth(c.T)
	}
	rows := est.of(sort.In).rows
	if bytes < lateMinWidth || rows*bytes < float64(max(n.Count+n.Offset, 1))*float64(len(later.Out))*latePageBytes {
		return nil
	}
	first.Out, first.Source = append(first.Out, row), append(first.Source, rowNumber)
	at := b.newCol("row", row.T)
	later.Out, later.Source = append(later.Out, at), append(later.Source, rowNumber)

	var in Node = &first
	if filter != nil {
		in = &Filter{In: in, Cond: filter.Cond}
	}
	have := idsOf(first.Out)
	if mid != nil {
		// What is sorted by is computed before, the rest for the rows found.
		p := &Project{In: in, Out: first.Out[:len(first.Out):len(first.Out)]}
		for _, c := range first.Out {
			p.Exprs = append(p.Exprs, c.ref())
		}
		for i, e := range mid.Exprs {
			if c := mid.Out[i]; keys[c.ID] && !have[c.ID] {
				p.Exprs, p.Out = append(p.Exprs, e), append(p.Out, c)
			}
		}
		in = p
	}
	found := &Limit{In: &Sort{In: in, Keys: sort.Keys}, Count: n.Count, Offset: n.Offset}
	j := &Join{Kind: proto.Join_INNER, Left: &later, Right: found, LeftKeys: []Expr{at.ref()}, RightKeys: []Expr{row.ref()}, NullSafe: []bool{false}}
	// Rows with equal keys come in their order in the files, as from one scan.
	again := &Sort{In: j, Keys: append(sort.Keys[:len(sort.Keys):len(sort.Keys)], SortKey{Expr: row.ref()})}
	cols := sort.In.Cols()
	p := &Project{In: again, Out: cols}
	for i, c := range cols {
		e := Expr(c.ref())
		if mid != nil && !keys[c.ID] {
			e = mid.Exprs[i]
		}
		p.Exprs = append(p.Exprs, e)
	}
	if top != nil {
		return &Project{In: p, Exprs: top.Exprs, Out: top.Out}
	}
	return p
}

func condOf(f *Filter) Expr {
	if f == nil {
		return nil
	}
	return f.Cond
}

// lateWidth is about how many bytes a value takes.
func lateWidth(t types.Type) float64 {
	switch t.ID {
	case types.Bool, types.Int2, types.Int4, types.Date, types.Float4:
		return 4
	case types.Int8, types.Float8, types.Timestamp, types.Timestamptz, types.Time:
		return 8
	}
	return 64
}
