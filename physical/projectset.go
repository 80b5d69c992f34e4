package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// projectSet evaluates set-returning functions of the select list: for each
// input row as many rows as the longest of its sets, the others padded with NULL.
type projectSet struct {
	n     *node
	calls []*setCall
	ready []*vector.Batch
}

// setCall is a call of a table function with arguments over input columns.
type setCall struct {
	fn   *function.Function
	args []*Expr
	env  *Env
	pos  int
}

func newSetCall(env *Env, id string, udf *proto.UDF, args []*proto.Expr, ts []types.Type, pos int) (*setCall, error) {
	if id == "" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "table function %s is not supported here", udf.GetDisplay())
	}
	f, ok := function.ByID(id)
	if !ok || f.NewTable == nil {
		return nil, pgerr.New(pgerr.InternalError, "unknown table function %s in a plan", id)
	}
	c := &setCall{fn: f, env: env, pos: pos}
	for _, a := range args {
		x, err := Compile(env, a, ts)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, x)
	}
	return c, nil
}

// open starts the function for one row, of one-row vectors. A NULL argument of a
// strict function gives no rows.
func (c *setCall) open(ctx context.Context, args []*vector.Vector) (function.Generator, error) {
	if c.fn.Strict {
		for _, a := range args {
			if a.IsNull(0) {
				return emptySet{}, nil
			}
		}
	}
	fc := c.env.ctx()
	fc.Context = ctx
	g, err := c.fn.NewTable(fc, args)
	if err != nil {
		return nil, positioned(err, c.pos)
	}
	return g, nil
}

type emptySet struct{}

func (emptySet) Next(context.Context) (*vector.Batch, error) { return nil, nil }

// oneRow returns row i of each vector as a constant.
func oneRow(vs []*vector.Vector, i int) []*vector.Vector {
	out := make([]*vector.Vector, len(vs))
	for k, v := range vs {
		out[k] = vector.NewConst(vector.Slice(v, i, i+1), 1)
	}
	return out
}

func newProjectSet(n *node, op *proto.ProjectSet) (Operator, error) {
	p := &projectSet{n: n}
	ts := n.inTypes(0)
	if len(n.types) != len(ts)+len(op.Calls) {
		return nil, pgerr.New(pgerr.InternalError, "ProjectSet of %d columns, expected %d", len(n.types), len(ts)+len(op.Calls))
	}
	for _, c := range op.Calls {
		s, err := newSetCall(n.env, c.Function, c.Udf, c.Args, ts, int(c.Position))
		if err != nil {
			return nil, err
		}
		p.calls = append(p.calls, s)
	}
	return p, nil
}

func (p *projectSet) Next(ctx context.Context) (*vector.Batch, error) {
	for len(p.ready) == 0 {
		b, err := p.n.ins[0].Next(ctx)
		if b == nil || err != nil {
			return nil, err
		}
		if err := p.expand(ctx, b); err != nil {
			return nil, err
		}
	}
	b := p.ready[0]
	p.ready = p.ready[1:]
	return b, nil
}

// expand computes the output of a batch; batches of results are cut where they
// grow beyond the usual size.
func (p *projectSet) expand(ctx context.Context, b *vector.Batch) error {
	k := len(p.calls)
	in := len(p.n.types) - k
	args := make([][]*vector.Vector, k)
	for c, call := range p.calls {
		var err error
		if args[c], err = evalAll(ctx, call.args, b); err != nil {
			return err
		}
	}
	var rows []int32
	sets := make([]*vector.Builder, k)
	reset := func() {
		rows = nil
		for c := range sets {
			sets[c] = vector.NewBuilder(p.n.types[in+c], 0)
		}
	}
	reset()
	flush := func() {
		if len(rows) == 0 {
			return
		}
		cols := make([]*vector.Vector, 0, in+k)
		for c := range in {
			cols = append(cols, vector.Gather(b.Col(c), rows).Retype(p.n.types[c]))
		}
		for _, s := range sets {
			cols = append(cols, s.Build())
		}
		p.ready = append(p.ready, vector.NewBatch(cols, len(rows)))
		reset()
	}
	for i := range b.Rows() {
		gens := make([]function.Generator, k)
		for c, call := range p.calls {
			g, err := call.open(ctx, oneRow(args[c], i))
			if err != nil {
				return err
			}
			gens[c] = g
		}
		cur := make([]*vector.Batch, k)
		at := make([]int, k)
		for {
			open := false
			for c, g := range gens {
				for g != nil && (cur[c] == nil || at[c] == cur[c].Rows()) {
					nb, err := g.Next(ctx)
					if err != nil {
						return positioned(err, p.calls[c].pos)
					}
					if nb == nil {
						gens[c], g, cur[c] = nil, nil, nil
						break
					}
					cur[c], at[c] = nb, 0
				}
				open = open || cur[c] != nil
			}
			if !open {
				break
			}
			// As many rows as the shortest piece at hand has.
			n := -1
			for c := range cur {
				if cur[c] != nil {
					if l := cur[c].Rows() - at[c]; n < 0 || l < n {
						n = l
					}
				}
			}
			for c := range cur {
				for r := range n {
					if cur[c] == nil {
						sets[c].AppendNull()
					} else {
						sets[c].AppendFrom(cur[c].Col(0), at[c]+r)
					}
				}
				at[c] += n
			}
			for range n {
				rows = append(rows, int32(i))
			}
			if len(rows) >= p.n.env.batchRows() {
				if err := cancelled(ctx); err != nil {
					return err
				}
				flush()
			}
		}
	}
	flush()
	return nil
}

func (p *projectSet) Close() error {
	p.ready = nil
	return p.n.closeInputs()
}
