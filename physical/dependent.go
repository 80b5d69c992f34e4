package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// dependentJoin runs its inner plan once for every outer row, with the row bound
// for the OuterRefs in it. The inner operators are built anew each time: such
// plans run over small inputs, what can be decorrelated is.
type dependentJoin struct {
	n       *node
	kind    proto.DependentJoin_Kind
	outer   []int
	level   uint32
	plan    *proto.Operator
	innerTs []types.Type

	b     *vector.Batch
	row   int
	inner Operator // of the current row, when its output is passed on piece by piece
	any   bool     // the current row has had output
}

func newDependentJoin(n *node, op *proto.DependentJoin) (Operator, error) {
	d := &dependentJoin{n: n, kind: op.Kind, level: op.Level, plan: n.op.Inputs[1], innerTs: n.inTypes(1)}
	for _, c := range op.OuterColumns {
		if int(c) >= len(n.inTypes(0)) {
			return nil, pgerr.New(pgerr.InternalError, "outer column %d of %d", c, len(n.inTypes(0)))
		}
		d.outer = append(d.outer, int(c))
	}
	if d.kind == proto.DependentJoin_ARRAY && len(d.innerTs) != 1 {
		return nil, pgerr.New(pgerr.InternalError, "ARRAY of %d columns", len(d.innerTs))
	}
	return d, nil
}

// open builds the inner plan for the current row.
func (d *dependentJoin) open(ctx context.Context) (Operator, error) {
	env := *d.n.env
	env.closers = nil
	env.outer = map[uint32]*vector.Batch{}
	for l, b := range d.n.env.outer {
		env.outer[l] = b
	}
	env.outer[d.level] = d.b.Slice(d.row, d.row+1).Project(d.outer).Dense()
	return Build(ctx, &env, d.plan)
}

func (d *dependentJoin) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		if d.b == nil {
			var err error
			if d.b, err = d.n.ins[0].Next(ctx); d.b == nil || err != nil {
				return nil, err
			}
			d.row = 0
		}
		switch d.kind {
		case proto.DependentJoin_INNER, proto.DependentJoin_LEFT:
			out, err := d.rows(ctx)
			if out != nil || err != nil {
				return out, err
			}
		default:
			return d.values(ctx)
		}
	}
}

// rows passes on what the inner plan yields for the current row, nil when that
// has ended and the next row is due.
func (d *dependentJoin) rows(ctx context.Context) (*vector.Batch, error) {
	if d.inner == nil {
		var err error
		if d.inner, err = d.open(ctx); err != nil {
			return nil, err
		}
		d.any = false
	}
	in, err := d.inner.Next(ctx)
	if err != nil {
		return nil, err
	}
	if in != nil {
		d.any = true
		return d.beside(in), nil
	}
	err = d.inner.Close()
	d.inner = nil
	if err != nil {
		return nil, err
	}
	var out *vector.Batch
	if !d.any && d.kind == proto.DependentJoin_LEFT {
		out = d.beside(nullRow(d.innerTs))
	}
	if d.row++; d.row == d.b.Rows() {
		d.b = nil
	}
	return out, nil
}

// beside puts the current outer row before every row of in.
func (d *dependentJoin) beside(in *vector.Batch) *vector.Batch {
	n := in.Rows()
	cols := make([]*vector.Vector, 0, d.b.NumCols()+in.NumCols())
	for c := range d.b.NumCols() {
		cols = append(cols, vector.NewConst(vector.Slice(d.b.Col(c), d.row, d.row+1), n))
	}
	return vector.NewBatch(append(cols, in.Cols()...), n)
}

// values adds one value per row of the batch: SCALAR (all inner columns), EXISTS
// and ARRAY.
func (d *dependentJoin) values(ctx context.Context) (*vector.Batch, error) {
	b := d.b
	d.b = nil
	var built []*vector.Builder
	for _, t := range d.n.types[b.NumCols():] {
		built = append(built, vector.NewBuilder(t, b.Rows()))
	}
	for d.row = 0; d.row < b.Rows(); d.row++ {
		d.b = b
		inner, err := d.open(ctx)
		d.b = nil
		if err != nil {
			return nil, err
		}
		err = d.value(ctx, inner, built)
		if e := inner.Close(); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
	}
	cols := append([]*vector.Vector(nil), b.Cols()...)
	for _, x := range built {
		cols = append(cols, x.Build())
	}
	return vector.NewBatch(cols, b.Rows()), nil
}

func (d *dependentJoin) value(ctx context.Context, inner Operator, out []*vector.Builder) error {
	rows := 0
	for {
		in, err := inner.Next(ctx)
		if err != nil {
			return err
		}
		if in == nil {
			break
		}
		switch d.kind {
		case proto.DependentJoin_EXISTS:
			vector.Append(out[0], true)
			return nil
		case proto.DependentJoin_ARRAY:
			v := in.Col(0).Flatten()
			for i := range v.Len {
				out[0].Elems().AppendFrom(v, i)
			}
		default:
			if rows += in.Rows(); rows > 1 {
				return moreThanOneRow()
			}
			for c := range out {
				out[c].AppendFrom(in.Col(c).Flatten(), 0)
			}
		}
	}
	switch d.kind {
	case proto.DependentJoin_EXISTS:
		vector.Append(out[0], false)
	case proto.DependentJoin_ARRAY:
		out[0].EndList()
	default:
		if rows == 0 {
			for _, x := range out {
				x.AppendNull()
			}
		}
	}
	return nil
}

func (d *dependentJoin) Close() error {
	var err error
	if d.inner != nil {
		err = d.inner.Close()
		d.inner = nil
	}
	if e := d.n.closeInputs(); err == nil {
		err = e
	}
	return err
}

// outerRef yields the row that the enclosing DependentJoin of its level has bound.
type outerRef struct {
	row *vector.Batch
}

func newOuterRef(n *node, op *proto.OuterRef) (Operator, error) {
	row := n.env.outer[op.Level]
	if row == nil || row.NumCols() != len(n.types) {
		return nil, pgerr.New(pgerr.InternalError, "reference to an outer row of level %d that is not there", op.Level)
	}
	return &outerRef{row: retypeBatch(row, n.types)}, nil
}

func (o *outerRef) Next(context.Context) (*vector.Batch, error) {
	b := o.row
	o.row = nil
	return b, nil
}

func (o *outerRef) Close() error { return nil }
