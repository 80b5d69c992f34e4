package physical

import (
	"context"
	"fmt"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// tableWrite writes its input to one file, whose name has the task and the
// attempt in it, and yields one row about it: path, rows, bytes, statistics. A
// task without rows writes no file, unless the plan names the file itself (COPY).
type tableWrite struct {
	n    *node
	op   *proto.TableWrite
	w    storage.Writer
	done bool
}

func newTableWrite(n *node, op *proto.TableWrite) (Operator, error) {
	if len(op.Schema) != len(n.op.Inputs[0].Fields) {
		return nil, pgerr.New(pgerr.InternalError, "writing %d columns as %d", len(n.op.Inputs[0].Fields), len(op.Schema))
	}
	return &tableWrite{n: n, op: op}, nil
}

func (t *tableWrite) open(ctx context.Context) error {
	if t.w != nil {
		return nil
	}
	base := fmt.Sprintf("part-%05d", t.n.env.TaskIndex)
	if id := t.n.env.Task; id != nil {
		base = fmt.Sprintf("part-%d-%05d-%d-%d", id.Stage, id.Task, id.Epoch, id.Attempt)
	}
	var err error
	t.w, err = storage.NewWriter(ctx, t.op, base, storage.WithText(t.n.env.text()))
	return err
}

func (t *tableWrite) Next(ctx context.Context) (*vector.Batch, error) {
	if t.done {
		return nil, nil
	}
	ts := fieldTypes(t.op.Schema)
	for {
		b, err := t.n.ins[0].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		b = b.Dense()
		if err := t.check(b); err != nil {
			return nil, err
		}
		if err := t.open(ctx); err != nil {
			return nil, err
		}
		if err := t.w.Write(ctx, retypeBatch(b, ts)); err != nil {
			return nil, err
		}
	}
	t.done = true
	if t.w == nil {
		if t.op.Path == "" {
			return nil, nil
		}
		if err := t.open(ctx); err != nil {
			return nil, err
		}
	}
	info, err := t.w.Close(ctx)
	t.w = nil
	if err != nil {
		return nil, err
	}
	return vector.NewBatch([]*vector.Vector{
		vector.FromStrings(types.T(types.Text), []string{info.Path}),
		vector.FromSlice(int8Type, []int64{info.Rows}),
		vector.FromSlice(int8Type, []int64{info.Bytes}),
		vector.FromBytes(types.T(types.Bytea), []int32{0, int32(len(info.Stats))}, info.Stats),
	}, 1), nil
}

// check refuses NULLs in columns that forbid them.
func (t *tableWrite) check(b *vector.Batch) error {
	for c, not := range t.op.NotNull {
		if not && c < b.NumCols() && b.Col(c).NullCount() > 0 {
			return pgerr.New(pgerr.NotNullViolation, "null value in column %q of relation %q violates not-null constraint",
				t.op.Schema[c].Name, t.op.Table)
		}
	}
	return nil
}

func (t *tableWrite) Close() error {
	if t.w != nil {
		t.w.Abort()
		t.w = nil
	}
	return t.n.closeInputs()
}
