package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// tableFunction yields the rows of a table function. Without an input its
// arguments are constants; with one (an OuterRef, in a lateral join) it runs once
// per input row. When the fields have room for them the input's columns come first.
type tableFunction struct {
	n     *node
	call  *setCall
	inTs  []types.Type
	keep  int // input columns in the output
	ord   bool
	cols  int // of the function
	in    *vector.Batch
	args  []*vector.Vector
	row   int
	gen   function.Generator
	count int64
	done  bool
}

func newTableFunction(n *node, op *proto.TableFunction) (Operator, error) {
	t := &tableFunction{n: n, ord: op.Ordinality}
	if len(n.ins) > 1 {
		return nil, pgerr.New(pgerr.InternalError, "table function with %d inputs", len(n.ins))
	}
	if len(n.ins) == 1 {
		t.inTs = n.inTypes(0)
	}
	var err error
	if t.call, err = newSetCall(n.env, op.Function, op.Udf, op.Args, t.inTs, 0); err != nil {
		return nil, err
	}
	t.cols = len(t.call.fn.Columns)
	t.keep = len(n.types) - t.cols
	if t.ord {
		t.keep--
	}
	if t.keep != 0 && t.keep != len(t.inTs) {
		// The function's columns may be known only by the plan.
		t.keep = 0
		t.cols = len(n.types)
		if t.ord {
			t.cols--
		}
	}
	return t, nil
}

func (t *tableFunction) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		if t.gen == nil {
			ok, err := t.nextRow(ctx)
			if err != nil || !ok {
				return nil, err
			}
		}
		b, err := t.gen.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			t.gen = nil
			continue
		}
		if b.Rows() == 0 {
			continue
		}
		return t.output(b)
	}
}

// nextRow opens the function for the next input row; false at the end.
func (t *tableFunction) nextRow(ctx context.Context) (bool, error) {
	if t.done {
		return false, nil
	}
	if len(t.n.ins) == 0 {
		t.in, t.row, t.done = vector.NewBatch(nil, 1), 0, true
	} else if t.in == nil || t.row+1 >= t.in.Rows() {
		var err error
		t.row, t.args = 0, nil
		if t.in, err = t.n.ins[0].Next(ctx); err != nil {
			return false, err
		}
		if t.in == nil {
			t.done = true
			return false, nil
		}
	} else {
		t.row++
	}
	var err error
	if t.args == nil {
		if t.args, err = evalAll(ctx, t.call.args, t.in); err != nil {
			return false, err
		}
	}
	t.count = 0
	t.gen, err = t.call.open(ctx, oneRow(t.args, t.row))
	return err == nil, err
}

func (t *tableFunction) output(b *vector.Batch) (*vector.Batch, error) {
	if b.NumCols() != t.cols {
		return nil, pgerr.New(pgerr.InternalError, "table function gave %d columns instead of %d", b.NumCols(), t.cols)
	}
	n := b.Rows()
	cols := make([]*vector.Vector, 0, len(t.n.types))
	for c := range t.keep {
		cols = append(cols, vector.NewConst(vector.Slice(t.in.Col(c), t.row, t.row+1), n))
	}
	cols = append(cols, b.Cols()...)
	if t.ord {
		ord := make([]int64, n)
		for i := range ord {
			t.count++
			ord[i] = t.count
		}
		cols = append(cols, vector.FromSlice(int8Type, ord))
	}
	return retypeBatch(vector.NewBatch(cols, n), t.n.types), nil
}

func (t *tableFunction) Close() error { return t.n.closeInputs() }
