package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
)

func (p *phys) groupedMap(n *GroupedMap) (*stream, error) {
	if n.BatchRows > 0 {
		return p.batchMap(n)
	}
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	es := append(append([]Expr(nil), n.Keys...), keyExprs(n.Order)...)
	s, es, err = p.columnsFor(s, es)
	if err != nil {
		return nil, err
	}
	keys, order := es[:len(n.Keys)], withExprs(n.Order, es[len(n.Keys):])
	if s, err = p.ensure(s, n.Args...); err != nil {
		return nil, err
	}
	all := make([]SortKey, 0, len(es))
	for _, e := range keys {
		all = append(all, SortKey{Expr: e})
	}
	all = append(all, order...)
	if len(keys) > 0 {
		if s, err = p.spread(s, keys); err != nil {
			return nil, err
		}
		s, err = p.sort(s, all, 0)
	} else {
		s, err = p.sorted(s, all, 0)
		if err == nil {
			s, err = p.gather(s, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	g := &proto.GroupedMap{Udf: udf.RefToProto(n.F), EmptyGroup: n.Empty}
	if g.Keys, err = lowerExprs(keys, s.layout()); err != nil {
		return nil, err
	}
	if g.Args, err = lowerExprs(n.Args, s.layout()); err != nil {
		return nil, err
	}
	for i := range keys {
		name := n.Out[i].Name
		if name == "" {
			name = "key"
		}
		g.KeyNames = append(g.KeyNames, name)
	}
	op := p.node(n.Out, s.rows, s)
	op.Node = &proto.Operator_GroupedMap{GroupedMap: g}
	f := *impure(s.frag)
	f.volatile = f.volatile || n.F.Volatility == function.Volatile
	return &stream{op: op, cols: n.Out, frag: &f, rows: s.rows}, nil
}

func (p *phys) tableFunc(n *TableFunc) (*stream, error) {
	tf := &proto.TableFunction{Ordinality: n.Ordinality, Function: n.F.ID}
	var in *stream
	var ins []*stream
	need := columnsOf(n.Args...)
	if len(need) > 0 {
		for level := len(p.outer) - 1; level >= 0; level-- {
			if idsOf(p.outer[level]).meets(need) {
				in = p.outerRef(level)
				break
			}
		}
		if in == nil || !idsOf(in.cols).has(need) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "arguments of %s from several enclosing queries are not supported", n.F.Name)
		}
		ins = append(ins, in)
	}
	var lay layout
	if in != nil {
		lay = in.layout()
	}
	if n.F.UDF != nil {
		if in == nil {
			in = p.oneRow()
		}
		return p.mapOver(in, &GroupedMap{F: n.F, Args: n.Args, BatchRows: 1, Ordinality: n.Ordinality, Out: n.Out}, 1000)
	}
	var err error
	if tf.Args, err = lowerExprs(n.Args, lay); err != nil {
		return nil, err
	}
	op := p.node(n.Out, 1000, ins...)
	op.Node = &proto.Operator_TableFunction{TableFunction: tf}
	return &stream{op: op, cols: n.Out, rows: 1000, frag: &fragment{tasks: 1}}, nil
}

func (p *phys) dependent(n *Dependent) (*stream, error) {
	l, err := p.lower(n.Left)
	if err != nil {
		return nil, err
	}
	if l, err = p.gather(l, nil); err != nil {
		return nil, err
	}
	need := freeColumns(n.Right)
	d := &proto.DependentJoin{Kind: n.Kind, Level: uint32(len(p.outer))}
	var bound []Col
	for i, c := range l.cols {
		if need[c.ID] {
			d.OuterColumns = append(d.OuterColumns, uint32(i))
			bound = append(bound, c)
		}
	}
	p.outer = append(p.outer, bound)
	p.serial++
	r, err := p.lower(n.Right)
	p.serial--
	p.outer = p.outer[:len(p.outer)-1]
	if err != nil {
		return nil, err
	}
	want := n.Out
	if n.Kind != proto.DependentJoin_EXISTS {
		// Exactly the columns that are seen above.
		inner := n.Right.Cols()
		if !sameCols(r.cols, inner) {
			p.outer = append(p.outer, bound)
			var es []Expr
			for _, c := range inner {
				es = append(es, c.ref())
			}
			r, err = p.project(r, es, inner)
			p.outer = p.outer[:len(p.outer)-1]
			if err != nil {
				return nil, err
			}
		}
	}
	cols := concatCols(l.cols, want)
	op := p.node(cols, l.rows, l, r)
	op.Node = &proto.Operator_DependentJoin{DependentJoin: d}
	return &stream{op: op, cols: cols, frag: impure(merge(l.frag, r.frag)), rows: l.rows}, nil
}
