package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// bigPartition is a partition that does not fit the budget. It is for windows
// whose calls are aggregates over the whole partition or stream: the rows go to a
// file while the aggregates fold them, and are read back with the results.
type bigPartition struct {
	w     *window
	file  *spillFile
	aggs  []function.Aggregator // per call, nil for those that stream
	out   *spillReader
	vals  []*vector.Vector // results of the aggregates, one row each
	order boundary
	first bool // nothing has been given out yet
}

// isWhole says whether a call's frame is the whole partition for every row.
func isWhole(c *windowCall, ordered bool) bool {
	if c.make == nil || c.frame.Exclude != proto.Frame_NO_OTHERS || c.frame.Start.GetKind() != proto.FrameBound_UNBOUNDED_PRECEDING {
		return false
	}
	switch c.frame.End.GetKind() {
	case proto.FrameBound_UNBOUNDED_FOLLOWING:
		return true
	case proto.FrameBound_CURRENT_ROW:
		return c.frame.Mode != proto.Frame_ROWS && !ordered
	}
	return false
}

// overflow makes room when a batch was refused by the account: it computes the
// whole partitions in memory, or, if there is but one and it is still open, moves
// that to disk and reads on to its end.
func (w *window) overflow(ctx context.Context, b *vector.Batch, news, peers []bool) error {
	w.push(b, news, peers)
	bufs, allNews, allPeers := w.buf, w.news, w.peers
	at, row := 0, 0
	for k, ns := range allNews {
		for r, isNew := range ns {
			if isNew {
				at, row = k, r
			}
		}
	}
	if at > 0 || row > 0 {
		tail := func() {
			for k := at; k < len(bufs); k++ {
				from := 0
				if k == at {
					from = row
				}
				w.push(bufs[k].Slice(from, bufs[k].Rows()), allNews[k][from:], allPeers[k][from:])
			}
		}
		// compute drops the batches it has concatenated, so the head gets its own list.
		w.buf, w.news, w.peers, w.rows = nil, nil, nil, 0
		for k := range at {
			w.push(bufs[k], allNews[k], allPeers[k])
		}
		if row > 0 {
			w.push(bufs[at].Slice(0, row), allNews[at][:row], allPeers[at][:row])
		}
		if err := w.compute(ctx); err != nil {
			return err
		}
		tail()
		return w.chargeBuffer()
	}
	big, err := newBigPartition(ctx, w)
	if err != nil {
		return err
	}
	w.big = big
	w.buf, w.news, w.peers, w.rows = nil, nil, nil, 0
	w.n.mem.Shrink(w.held)
	w.held = 0
	for _, b := range bufs {
		if err := big.add(ctx, b); err != nil {
			return err
		}
	}
	for {
		b, err := w.n.ins[0].Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			w.ended = true
			break
		}
		b = b.Dense()
		news, peers, err := w.bounds(ctx, b)
		if err != nil {
			return err
		}
		end := b.Rows()
		for i, isNew := range news {
			if isNew {
				end = i
				break
			}
		}
		if end > 0 {
			if err := big.add(ctx, b.Slice(0, end)); err != nil {
				return err
			}
		}
		if end < b.Rows() {
			w.push(b.Slice(end, b.Rows()), news[end:], peers[end:])
			if err := w.chargeBuffer(); err != nil {
				return err
			}
			break
		}
	}
	return big.finish()
}

// chargeBuffer charges what is buffered, which nothing is charged for yet.
func (w *window) chargeBuffer() error {
	for _, b := range w.buf {
		need := w.bytes(b)
		if err := w.n.mem.Must(need); err != nil {
			return err
		}
		w.held += need
	}
	return nil
}

func newBigPartition(ctx context.Context, w *window) (*bigPartition, error) {
	p := &bigPartition{w: w, file: newSpillFile(w.n.env, w.n.stats, w.inTs), first: true}
	p.order.exprs = w.order.exprs
	p.aggs = make([]function.Aggregator, len(w.calls))
	for i, c := range w.calls {
		if c.stream != nil {
			continue
		}
		a, err := c.make(ctx)
		if err != nil {
			p.close()
			return nil, err
		}
		a.Grow(1)
		p.aggs[i] = a
	}
	return p, nil
}

func (p *bigPartition) add(ctx context.Context, b *vector.Batch) error {
	for i, c := range p.w.calls {
		if p.aggs[i] == nil {
			continue
		}
		in := b
		if c.filter != nil {
			v, err := c.filter.Eval(ctx, b)
			if err != nil {
				return err
			}
			in = selectRows(b, trueRows(flat(v)))
		}
		if in.Rows() == 0 {
			continue
		}
		args, err := evalAll(ctx, c.args, in)
		if err != nil {
			return err
		}
		for k := range args {
			args[k] = flat(args[k])
		}
		if err := p.aggs[i].Update(nil, args, in.Rows()); err != nil {
			return err
		}
	}
	return p.file.write(ctx, b)
}

// finish ends the partition; its rows can be read then.
func (p *bigPartition) finish() error {
	p.vals = make([]*vector.Vector, len(p.aggs))
	for i, a := range p.aggs {
		if a == nil {
			continue
		}
		var err error
		if p.vals[i], err = a.Final(0, 1); err != nil {
			return err
		}
	}
	var err error
	p.out, err = p.file.reader()
	return err
}

// Next gives the rows with the results, nil at the end.
func (p *bigPartition) Next(ctx context.Context) (*vector.Batch, error) {
	b, err := p.out.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	n := b.Rows()
	news := make([]bool, n)
	news[0] = p.first
	p.first = false
	peers, err := p.order.starts(ctx, b)
	if err != nil {
		return nil, err
	}
	cols := append([]*vector.Vector(nil), b.Cols()...)
	for i, c := range p.w.calls {
		v := p.vals[i]
		if v != nil {
			v = vector.NewConst(v, n)
		} else if v, err = c.stream.next(ctx, c, b, news, peers); err != nil {
			return nil, err
		}
		cols = append(cols, v.Retype(c.typ))
	}
	return vector.NewBatch(cols, n), nil
}

func (p *bigPartition) close() {
	if p == nil {
		return
	}
	p.file.close()
	for _, a := range p.aggs {
		if a != nil {
			_ = a.Close()
		}
	}
	p.aggs = nil
}
