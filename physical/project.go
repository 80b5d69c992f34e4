package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// project computes expressions. When all are columns the selection of the input
// is kept; otherwise the batch is made dense, which volatile calls rely on:
// each row is evaluated exactly once.
type project struct {
	in    Operator
	exprs []*Expr
	cols  []int // set when every expression is a column of the same type
	skip  *skipSet
}

func newProject(n *node, op *proto.Project) (Operator, error) {
	p := &project{in: n.ins[0]}
	var err error
	p.skip, err = n.skipping(func() (err error) { p.exprs, err = n.compileAll(op.Exprs, 0); return err })
	if err != nil {
		return nil, err
	}
	if p.skip != nil {
		p.in = &numbered{p.in}
	}
	ts := n.inTypes(0)
	p.cols = make([]int, len(p.exprs))
	for i, x := range p.exprs {
		c, ok := x.root.(*column)
		if !ok || ts[c.i] != c.typ {
			p.cols = nil
			break
		}
		p.cols[i] = c.i
	}
	p.in = pipelined(p.in, p.exprs)
	return p, nil
}

func (p *project) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		b, err := p.next(ctx)
		if b == nil || err != nil || p.skip == nil || len(p.skip.rows) == 0 {
			return b, err
		}
		if b = b.Select(p.skip.keep(b.Rows(), nil)); b.Rows() > 0 {
			return b, nil
		}
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
	}
}

func (p *project) next(ctx context.Context) (*vector.Batch, error) {
	b, err := p.in.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	if p.cols != nil {
		return b.Project(p.cols), nil
	}
	vs, err := evalAll(ctx, p.exprs, b)
	if err != nil {
		return nil, err
	}
	return vector.NewBatch(vs, b.Rows()), nil
}

func (p *project) Close() error { return p.in.Close() }
