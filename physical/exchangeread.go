package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
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
	turns   *interleaver
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
	if r.op.ChunkRows > 0 {
		r.turns = &interleaver{sources: r.sources, cur: make([]turn, len(r.sources)), chunk: int(r.op.ChunkRows), ts: r.n.types, rows: r.n.env.batchRows()}
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
	if r.turns != nil {
		return r.turns.Next(ctx)
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
