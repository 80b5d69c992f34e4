package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// recursiveUnion is WITH RECURSIVE: the rows of its first input, then of its second
// one round after the other, each over the rows that the round before gave. The
// operators of a round are built anew. Rounds run only as far as somebody asks for
// rows.
type recursiveUnion struct {
	n     *node
	table uint32
	plan  *proto.Operator
	seen  *groupTable // of UNION: all rows given so far
	held  int64       // bytes of seen
	work  *workRows   // what the round in progress reads
	next  *workRows   // what it has given
	round Operator    // nil while the first input is read
	ended bool
}

func newRecursiveUnion(n *node, op *proto.RecursiveUnion) (Operator, error) {
	if len(n.op.Inputs) != 2 || len(n.inTypes(0)) != len(n.types) || len(n.inTypes(1)) != len(n.types) {
		return nil, pgerr.New(pgerr.InternalError, "recursive union of inputs that differ")
	}
	r := &recursiveUnion{n: n, table: op.Table, plan: n.op.Inputs[1]}
	if op.Distinct {
		r.seen = newGroupTable(n.types)
	}
	r.next = r.newRows()
	return r, nil
}

func (r *recursiveUnion) newRows() *workRows {
	return &workRows{n: r.n, file: newSpillFile(r.n.env, r.n.stats, r.n.types)}
}

func (r *recursiveUnion) Next(ctx context.Context) (*vector.Batch, error) {
	for !r.ended {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		in := r.round
		if in == nil {
			in = r.n.ins[0]
		}
		b, err := in.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			if err := r.advance(ctx); err != nil {
				return nil, err
			}
			continue
		}
		b = retypeBatch(b.Dense(), r.n.types)
		if r.seen != nil {
			if b, err = r.fresh(ctx, b); err != nil {
				return nil, err
			}
			if b == nil {
				continue
			}
		}
		if err := r.next.add(ctx, b); err != nil {
			return nil, err
		}
		return b, nil
	}
	return nil, nil
}

// advance ends a round and begins the next one, if there are rows for it.
func (r *recursiveUnion) advance(ctx context.Context) error {
	if r.round != nil {
		err := r.round.Close()
		r.round = nil
		if err != nil {
			return err
		}
		r.work.close()
	}
	r.work, r.next = r.next, r.newRows()
	if r.work.rows == 0 {
		r.ended = true
		return nil
	}
	if err := r.work.file.done(); err != nil {
		return err
	}
	env := *r.n.env
	env.closers = nil
	env.work = map[uint32]*workRows{}
	for t, w := range r.n.env.work {
		env.work[t] = w
	}
	env.work[r.table] = r.work
	var err error
	r.round, err = Build(ctx, &env, r.plan)
	return err
}

// fresh returns the rows that have not been given before, nil for none.
func (r *recursiveUnion) fresh(ctx context.Context, b *vector.Batch) (*vector.Batch, error) {
	n := b.Rows()
	vs := make([]*vector.Vector, b.NumCols())
	for i := range vs {
		vs[i] = flat(b.Col(i))
	}
	var rows []int32
	if len(vs) == 0 {
		if r.seen.n == 0 {
			r.seen.n, rows = 1, []int32{0}
		}
	} else {
		found, err := r.seen.find(ctx, vs, n, make([]int32, n), true)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	if size := r.seen.size(); size > r.held {
		if size > maxColumnBytes {
			return nil, r.n.mem.tooLarge()
		}
		if err := r.n.mem.Grow(size - r.held); err != nil {
			return nil, err
		}
		r.held = size
	}
	switch len(rows) {
	case 0:
		return nil, nil
	case n:
		return b, nil
	}
	return b.Select(rows).Dense(), nil
}

func (r *recursiveUnion) Close() error {
	var err error
	if r.round != nil {
		err = r.round.Close()
		r.round = nil
	}
	if r.work != nil {
		r.work.close()
	}
	r.next.close()
	r.n.mem.Shrink(r.held)
	r.held = 0
	if e := r.n.closeInputs(); err == nil {
		err = e
	}
	return err
}

// workRows are the rows of one round: in memory, or all of them in a file when
// memory is short.
type workRows struct {
	n    *node
	mem  []*vector.Batch
	held int64
	file *spillFile
	rows int
}

func (w *workRows) add(ctx context.Context, b *vector.Batch) error {
	w.rows += b.Rows()
	if w.file.rows == 0 {
		size := batchBytes(b)
		err := w.n.mem.Grow(size)
		if err == nil {
			w.mem, w.held = append(w.mem, b), w.held+size
			return nil
		}
		if w.n.env.SpillDir == "" {
			return err
		}
		for _, m := range w.mem {
			if err := w.file.write(ctx, m); err != nil {
				return err
			}
		}
		w.n.mem.Shrink(w.held)
		w.mem, w.held = nil, 0
	}
	return w.file.write(ctx, b)
}

func (w *workRows) close() {
	w.n.mem.Shrink(w.held)
	w.mem, w.held = nil, 0
	w.file.close()
}

// workTable reads the rows of the round that runs.
type workTable struct {
	rows  *workRows
	types []types.Type
	at    int
	file  *spillReader
}

func newWorkTable(n *node, op *proto.WorkTable) (Operator, error) {
	w := n.env.work[op.Table]
	if w == nil || len(w.n.types) != len(n.types) {
		return nil, pgerr.New(pgerr.InternalError, "working table %d outside of its recursive union", op.Table)
	}
	return &workTable{rows: w, types: n.types}, nil
}

func (t *workTable) Next(ctx context.Context) (*vector.Batch, error) {
	if t.at < len(t.rows.mem) {
		t.at++
		return retypeBatch(t.rows.mem[t.at-1], t.types), nil
	}
	if t.rows.file.rows == 0 {
		return nil, nil
	}
	if t.file == nil {
		var err error
		if t.file, err = t.rows.file.reader(); err != nil {
			return nil, err
		}
	}
	b, err := t.file.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	return retypeBatch(b, t.types), nil
}

func (t *workTable) Close() error { return nil }
