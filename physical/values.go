package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// values yields literal rows. Expressions that are not constants are evaluated
// once each, when their batch is made.
type values struct {
	rows  []*proto.Row
	types []types.Type
	env   *Env
	at    int
}

func newValues(n *node, op *proto.Values) (Operator, error) {
	for _, r := range op.Rows {
		if len(r.Exprs) != len(n.types) {
			return nil, pgerr.New(pgerr.InternalError, "VALUES row of %d columns instead of %d", len(r.Exprs), len(n.types))
		}
	}
	return &values{rows: op.Rows, types: n.types, env: n.env}, nil
}

func (v *values) Next(ctx context.Context) (*vector.Batch, error) {
	n := min(len(v.rows)-v.at, v.env.batchRows())
	if n <= 0 {
		return nil, nil
	}
	one := vector.NewBatch(nil, 1)
	cols := make([]*vector.Vector, len(v.types))
	builders := make([]*vector.Builder, len(v.types))
	for c, t := range v.types {
		builders[c] = vector.NewBuilder(t, n)
	}
	for _, row := range v.rows[v.at : v.at+n] {
		for c, e := range row.Exprs {
			if k := e.GetConst(); k != nil {
				if k.Null {
					builders[c].AppendNull()
				} else if err := vector.ParseBinary(builders[c], k.Value); err != nil {
					return nil, err
				}
				continue
			}
			x, err := Compile(v.env, e, nil)
			if err != nil {
				return nil, err
			}
			val, err := x.Eval(ctx, one)
			if err != nil {
				return nil, err
			}
			builders[c].AppendFrom(val.Flatten(), 0)
		}
	}
	for c := range cols {
		cols[c] = builders[c].Build()
	}
	v.at += n
	return vector.NewBatch(cols, n), nil
}

func (v *values) Close() error { return nil }
