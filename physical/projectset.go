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

	b    *vector.Batch      // current input
	args [][]*vector.Vector // of each call, over b
	row  int                // of b
	sets []openSet          // of row; nil when the next row is to be opened
}

// openSet is one call's rows for the current input row.
type openSet struct {
	gen function.Generator // nil at its end
	cur *vector.Batch
	at  int
}

// fill makes sure that there is a row at hand unless the set has ended.
func (s *openSet) fill(ctx context.Context) error {
	for s.gen != nil && (s.cur == nil || s.at == s.cur.Rows()) {
		b, err := s.gen.Next(ctx)
		if err != nil {
			return err
		}
		s.cur, s.at = b, 0
		if b == nil {
			s.gen = nil
		}
	}
	return nil
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

// Next makes one batch; a set may be longer than memory.
func (p *projectSet) Next(ctx context.Context) (*vector.Batch, error) {
	k := len(p.calls)
	in := len(p.n.types) - k
	for {
		if p.b == nil {
			if err := p.load(ctx); p.b == nil || err != nil {
				return nil, err
			}
		}
		var rows []int32
		sets := make([]*vector.Builder, k)
		for c := range sets {
			sets[c] = vector.NewBuilder(p.n.types[in+c], 0)
		}
		for p.row < p.b.Rows() && len(rows) < p.n.env.batchRows() {
			n, err := p.some(ctx, sets)
			if err != nil {
				return nil, err
			}
			for range n {
				rows = append(rows, int32(p.row))
			}
			if n == 0 {
				p.sets = nil
				p.row++
			}
		}
		b := p.b
		if p.row == b.Rows() {
			p.b = nil
		}
		if len(rows) == 0 {
			continue
		}
		cols := make([]*vector.Vector, 0, in+k)
		for c := range in {
			cols = append(cols, vector.Gather(b.Col(c), rows).Retype(p.n.types[c]))
		}
		for _, s := range sets {
			cols = append(cols, s.Build())
		}
		return vector.NewBatch(cols, len(rows)), nil
	}
}

// load reads the next input batch.
func (p *projectSet) load(ctx context.Context) error {
	b, err := p.n.ins[0].Next(ctx)
	if b == nil || err != nil {
		return err
	}
	args := make([][]*vector.Vector, len(p.calls))
	for c, call := range p.calls {
		if args[c], err = evalAll(ctx, call.args, b); err != nil {
			return err
		}
	}
	p.b, p.args, p.row, p.sets = b, args, 0, nil
	return nil
}

// some appends the next rows of the current input row's sets: as many as the
// shortest piece at hand has, 0 when all have ended.
func (p *projectSet) some(ctx context.Context, out []*vector.Builder) (int, error) {
	if err := cancelled(ctx); err != nil {
		return 0, err
	}
	if p.sets == nil {
		p.sets = make([]openSet, len(p.calls))
		for c, call := range p.calls {
			g, err := call.open(ctx, oneRow(p.args[c], p.row))
			if err != nil {
				return 0, err
			}
			p.sets[c].gen = g
		}
	}
	n := 0
	for c := range p.sets {
		s := &p.sets[c]
		if err := s.fill(ctx); err != nil {
			return 0, positioned(err, p.calls[c].pos)
		}
		if s.cur != nil {
			if left := s.cur.Rows() - s.at; n == 0 || left < n {
				n = left
			}
		}
	}
	n = min(n, p.n.env.batchRows())
	for c := range p.sets {
		s := &p.sets[c]
		for r := range n {
			if s.cur == nil {
				out[c].AppendNull()
			} else {
				out[c].AppendFrom(s.cur.Col(0), s.at+r)
			}
		}
		s.at += n
	}
	return n, nil
}

func (p *projectSet) Close() error {
	p.b, p.sets = nil, nil
	return p.n.closeInputs()
}
