package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// exchangeRead reads this task's partition of a stage's output, one producer
// after the other in task order.
type exchangeRead struct {
	n       *node
	op      *proto.ExchangeRead
	sources []Source
	opened  bool
	at      int
	merge   *merger // with merge keys
}

func newExchangeRead(n *node, op *proto.ExchangeRead) (Operator, error) {
	if n.env.Exchange == nil {
		return nil, pgerr.New(pgerr.InternalError, "exchange read outside of a task")
	}
	return &exchangeRead{n: n, op: op}, nil
}

func (r *exchangeRead) open(ctx context.Context) error {
	r.opened = true
	var err error
	if r.sources, err = r.n.env.Exchange(ctx, r.op); err != nil {
		return err
	}
	if len(r.op.Merge) == 0 || len(r.sources) < 2 {
		return nil
	}
	keys, err := compileSortKeys(r.n.env, r.op.Merge, r.n.types)
	if err != nil {
		return err
	}
	ins := make([]batchSource, len(r.sources))
	for i, s := range r.sources {
		ins[i] = s
	}
	r.merge = newMerger(keys, r.n.types, ins, r.n.env.batchRows())
	return nil
}

func (r *exchangeRead) Next(ctx context.Context) (*vector.Batch, error) {
	if !r.opened {
		if err := r.open(ctx); err != nil {
			return nil, err
		}
	}
	if r.merge != nil {
		return r.merge.Next(ctx)
	}
	for r.at < len(r.sources) {
		b, err := r.sources[r.at].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			if b.Rows() == 0 {
				continue
			}
			return retypeBatch(b, r.n.types), nil
		}
		r.at++
	}
	return nil, nil
}

func (r *exchangeRead) Close() error {
	var first error
	for _, s := range r.sources {
		if err := s.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// batchSource is what the merger reads: exchange sources, spilled runs.
type batchSource interface {
	Next(ctx context.Context) (*vector.Batch, error)
}

// merger merges inputs that are each sorted by the keys. Ties come in the order
// of the inputs, so the merge is stable. A tree of losers would save comparisons
// for hundreds of inputs; with the tens there are a binary heap is as good.
type merger struct {
	keys  *sortKeys
	ts    []types.Type
	ins   []batchSource
	cur   []mergeInput
	heap  []int32 // inputs that are not at their end, smallest first
	start bool
	rows  int
}

type mergeInput struct {
	b    *vector.Batch
	keys encodedKeys
	at   int
}

func newMerger(keys *sortKeys, ts []types.Type, ins []batchSource, rows int) *merger {
	return &merger{keys: keys, ts: ts, ins: ins, cur: make([]mergeInput, len(ins)), rows: rows}
}

// advance loads the next batch of input i; false at its end.
func (m *merger) advance(ctx context.Context, i int32) (bool, error) {
	for {
		b, err := m.ins[i].Next(ctx)
		if err != nil {
			return false, err
		}
		if b == nil {
			m.cur[i] = mergeInput{}
			return false, nil
		}
		if b.Rows() == 0 {
			continue
		}
		b = b.Dense()
		k, err := m.keys.encode(ctx, b)
		if err != nil {
			return false, err
		}
		m.cur[i] = mergeInput{b: b, keys: k}
		return true, nil
	}
}

func (m *merger) less(i, j int32) bool {
	a, b := &m.cur[i], &m.cur[j]
	if c := bytes.Compare(a.keys.at(a.at), b.keys.at(b.at)); c != 0 {
		return c < 0
	}
	return i < j
}

func (m *merger) down(at int) {
	h := m.heap
	for {
		k := 2*at + 1
		if k >= len(h) {
			return
		}
		if k+1 < len(h) && m.less(h[k+1], h[k]) {
			k++
		}
		if !m.less(h[k], h[at]) {
			return
		}
		h[at], h[k] = h[k], h[at]
		at = k
	}
}

// Next merges up to a batch of rows.
func (m *merger) Next(ctx context.Context) (*vector.Batch, error) {
	if !m.start {
		m.start = true
		for i := range m.ins {
			ok, err := m.advance(ctx, int32(i))
			if err != nil {
				return nil, err
			}
			if ok {
				m.heap = append(m.heap, int32(i))
			}
		}
		for i := len(m.heap)/2 - 1; i >= 0; i-- {
			m.down(i)
		}
	}
	if len(m.heap) == 0 {
		return nil, nil
	}
	// Output rows are gathered from the input batches of this round, which are
	// concatenated; base is where each input's current batch starts in them.
	var parts []*vector.Batch
	base := make([]int32, len(m.ins))
	for i := range base {
		base[i] = -1
	}
	total := int32(0)
	idx := make([]int32, 0, m.rows)
	for len(idx) < m.rows && len(m.heap) > 0 {
		i := m.heap[0]
		c := &m.cur[i]
		if base[i] < 0 {
			// Only what this round can use: rows from here on, at most a batch.
			to := min(c.b.Rows(), c.at+m.rows-len(idx))
			parts = append(parts, c.b.Slice(c.at, to))
			base[i] = total - int32(c.at)
			total += int32(to - c.at)
		}
		idx = append(idx, base[i]+int32(c.at))
		c.at++
		if c.at == c.b.Rows() {
			base[i] = -1
			ok, err := m.advance(ctx, i)
			if err != nil {
				return nil, err
			}
			if !ok {
				m.heap[0] = m.heap[len(m.heap)-1]
				m.heap = m.heap[:len(m.heap)-1]
			}
		}
		m.down(0)
	}
	all := vector.ConcatBatches(m.ts, parts)
	if len(parts) == 1 && len(idx) == all.Rows() {
		return all, nil
	}
	cols := make([]*vector.Vector, all.NumCols())
	for c := range cols {
		cols[c] = vector.Gather(all.Col(c), idx)
	}
	return vector.NewBatch(cols, len(idx)), nil
}
