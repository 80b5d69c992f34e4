package planner

import (
	"math"

	"github.com/volleydb/volley/proto"
)

func (p *phys) scan(n *Scan) (*stream, error) {
	n = n.numberLast()
	scan := &proto.Scan{Format: n.Format, Name: n.Name, Columns: n.Source, Limit: n.Limit}
	if k := len(n.Source); k > 0 && n.Source[k-1] == rowNumber {
		scan.Columns, scan.RowId = n.Source[:k-1], true
	}
	f := n.Files
	rows := float64(f.Rows)
	if n.Format == "csv" {
		scan.Csv = f.CSV.Options
		scan.FileSchema = protoFields(f.Schema)
	}
	if n.Format == "json" {
		scan.Json = f.JSON.Options
		scan.FileSchema = protoFields(f.Schema)
	}
	if len(f.Extra) > 0 || f.ByName {
		scan.Extra, scan.ByName, scan.FileSchema = protoFields(f.Extra), f.ByName, protoFields(f.Schema)
	}
	if n.Filter != nil {
		var err error
		if scan.Filter, err = lowerExpr(n.Filter, layoutOf(n.Out)); err != nil {
			// The filter reads an enclosing query's columns.
			s := p.scanOp(n.Out, rows, scan, f.Splits, p.tasksFor(rows, float64(f.Bytes)))
			return p.filter(s, n.Filter)
		}
		rows *= selectivity(n.Filter)
	}
	return p.scanOp(n.Out, rows, scan, f.Splits, p.tasksFor(float64(f.Rows), float64(f.Bytes))), nil
}

// series plans generate_series as a scan of ranges: a split is (first value in
// offset, number of values in length, step in size).
func (p *phys) series(n *Series) (*stream, error) {
	count := int64(0)
	if n.Step > 0 && n.To >= n.From {
		count = (n.To-n.From)/n.Step + 1
	} else if n.Step < 0 && n.To <= n.From {
		count = (n.From-n.To)/-n.Step + 1
	}
	// Pieces of exactly the rows per task but for the last keep every value's place
	// independent of the rest; more pieces than tasks are spread.
	per := int64(p.b.o.sizes().rowsPerTask)
	if p.serial > 0 || count/maxTasks > per {
		per = count/maxTasks + 1
	}
	var splits []*proto.Split
	for at := int64(0); at < count; at += per {
		splits = append(splits, &proto.Split{Offset: n.From + at*n.Step, Length: min(per, count-at), Size: n.Step, Rows: min(per, count-at), RowBase: at})
	}
	scan := &proto.Scan{Format: "series", Name: "generate_series", Columns: []string{n.Out.Name}}
	return p.scanOp(n.Cols(), float64(count), scan, splits, p.tasksFor(float64(count), 0)), nil
}

func (p *phys) values(n *Values) (*stream, error) {
	one := &stream{frag: &fragment{tasks: 1}}
	v := &proto.Values{}
	correlated := false
	for _, r := range n.Rows {
		for _, e := range r {
			correlated = correlated || len(columnsOf(e)) > 0
		}
	}
	if correlated {
		if len(n.Rows) != 1 {
			// Rows over an enclosing query's columns: a union of projections.
			u := &Union{Out: n.Out}
			for _, r := range n.Rows {
				pr := &Project{In: &Values{Rows: [][]Expr{{}}}, Exprs: r}
				for _, c := range n.Out {
					pr.Out = append(pr.Out, p.b.newCol(c.Name, c.T))
				}
				u.In = append(u.In, pr)
			}
			return p.lower(u)
		}
		s, err := p.lower(&Values{Rows: [][]Expr{{}}})
		if err != nil {
			return nil, err
		}
		return p.project(s, n.Rows[0], n.Out)
	}
	for _, r := range n.Rows {
		es, err := lowerExprs(r, nil)
		if err != nil {
			return nil, err
		}
		v.Rows = append(v.Rows, &proto.Row{Exprs: es})
		if volatileUDF(r...) {
			one.frag.volatile = true
		}
	}
	one.op = p.node(n.Out, float64(len(n.Rows)))
	one.op.Node = &proto.Operator_Values{Values: v}
	one.cols, one.rows = n.Out, float64(len(n.Rows))
	return one, nil
}

func selectivity(cond Expr) float64 {
	s := 1.0
	for range conjuncts(nil, cond) {
		s *= 0.3
	}
	return max(s, 0.01)
}

func (p *phys) filter(s *stream, cond Expr) (*stream, error) {
	s, err := p.ensure(s, cond)
	if err != nil {
		return nil, err
	}
	e, err := lowerExpr(cond, s.layout())
	if err != nil {
		return nil, err
	}
	rows := s.rows * selectivity(cond)
	op := p.node(s.cols, rows, s)
	op.Node = &proto.Operator_Filter{Filter: &proto.Filter{Cond: e}}
	f := s.frag
	if volatileUDF(cond) {
		c := *f
		c.volatile = true
		f = &c
	}
	return &stream{op: op, cols: s.cols, frag: f, hash: s.hash, rows: rows}, nil
}

func (p *phys) projectSet(n *ProjectSet) (*stream, error) {
	if g, err := pluginSet(n); g != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return p.batchMap(g)
	}
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	for _, c := range n.Calls {
		if s, err = p.ensure(s, c.Args...); err != nil {
			return nil, err
		}
	}
	ps := &proto.ProjectSet{}
	for _, c := range n.Calls {
		e, err := lowerExpr(c, s.layout())
		if err != nil {
			return nil, err
		}
		ps.Calls = append(ps.Calls, e.GetCall())
	}
	cols := concatCols(s.cols, n.Out)
	op := p.node(cols, s.rows*10, s)
	op.Node = &proto.Operator_ProjectSet{ProjectSet: ps}
	return &stream{op: op, cols: cols, frag: impure(s.frag), hash: s.hash, rows: s.rows * 10}, nil
}

func (p *phys) limitOp(s *stream, count, offset int64) *stream {
	rows := s.rows
	if count >= 0 {
		rows = min(rows, float64(count))
	}
	op := p.node(s.cols, rows, s)
	op.Node = &proto.Operator_Limit{Limit: &proto.Limit{Limit: count, Offset: offset}}
	return &stream{op: op, cols: s.cols, frag: impure(s.frag), rows: rows}
}

func (p *phys) limit(n *Limit) (*stream, error) {
	top := int64(0)
	if n.Count > 0 && n.Count < 1<<40 && n.Offset < 1<<40 {
		top = n.Count + n.Offset
	}
	var s *stream
	var err error
	p.stopsEarly(n.In)
	switch in := n.In.(type) {
	case *Sort:
		s, err = p.sortNode(in, top)
	case *Project:
		sort, ok := in.In.(*Sort)
		if !ok {
			s, err = p.lower(in)
			break
		}
		if s, err = p.sortNode(sort, top); err == nil {
			s, err = p.project(s, in.Exprs, in.Out)
		}
	default:
		s, err = p.lower(n.In)
	}
	if err != nil {
		return nil, err
	}
	if !s.single() {
		if n.Count >= 0 && n.Count <= math.MaxInt64-n.Offset {
			s = p.limitOp(s, n.Count+n.Offset, 0)
		}
		if s, err = p.gather(s, nil); err != nil {
			return nil, err
		}
	}
	return p.limitOp(s, n.Count, n.Offset), nil
}
