package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// streamer computes a call batch by batch, knowing only what came before.
type streamer interface {
	next(ctx context.Context, c *windowCall, b *vector.Batch, news, peers []bool) (*vector.Vector, error)
	close()
}

// maxStreamLag bounds the rows that a lag keeps.
const maxStreamLag = 1 << 14

// newStreamer returns nil for a call that must see more than the rest of the
// current row's peer group. ordered says that the window has an ORDER BY: without
// it all rows of a partition are peers.
func newStreamer(c *windowCall, ordered bool) streamer {
	f := c.frame
	fromStart := f.Start.GetKind() == proto.FrameBound_UNBOUNDED_PRECEDING && f.Exclude == proto.Frame_NO_OTHERS
	if c.plugin != nil {
		return nil
	}
	if c.make != nil {
		if !fromStart || f.End.GetKind() != proto.FrameBound_CURRENT_ROW || f.Mode != proto.Frame_ROWS && !ordered {
			return nil
		}
		var s streamer = &runningAny{}
		if k := newRunning(c); k != nil {
			s = k
		}
		if f.Mode != proto.Frame_ROWS {
			s = &peerEnd{s}
		}
		return s
	}
	switch c.name {
	case "row_number":
		return &streamRowNumber{}
	case "rank":
		return &streamRank{}
	case "dense_rank":
		return &streamRank{dense: true}
	case "first_value":
		k := f.End.GetKind()
		if c.ignoreNulls || !fromStart || k == proto.FrameBound_PRECEDING || k == proto.FrameBound_UNBOUNDED_PRECEDING {
			return nil
		}
		return &streamFirst{}
	case "lag":
		if c.ignoreNulls {
			return nil
		}
		s := &streamLag{k: 1}
		if len(c.args) > 1 {
			v, ok := c.args[1].isConst()
			if !ok || v.IsNull(0) {
				return nil
			}
			if s.k = widen(v.Flatten())[0]; s.k < 0 || s.k > maxStreamLag {
				return nil
			}
		}
		return s
	}
	return nil
}

// peerEnd gives every row the value that a running call has at the end of the
// row's peer group; its batches end with peer groups.
type peerEnd struct{ streamer }

func (s *peerEnd) next(ctx context.Context, c *windowCall, b *vector.Batch, news, peers []bool) (*vector.Vector, error) {
	v, err := s.streamer.next(ctx, c, b, news, peers)
	if err != nil {
		return nil, err
	}
	end := make([]int32, len(peers))
	at := int32(len(peers) - 1)
	for i := len(peers) - 1; i >= 0; i-- {
		end[i] = at
		if peers[i] {
			at = int32(i - 1)
		}
	}
	return vector.Gather(v, end), nil
}

// streamFirst keeps the first value of the partition.
type streamFirst struct{ first *vector.Vector }

func (s *streamFirst) next(ctx context.Context, c *windowCall, b *vector.Batch, news, _ []bool) (*vector.Vector, error) {
	v, err := c.args[0].Eval(ctx, b)
	if err != nil {
		return nil, err
	}
	v = v.Flatten()
	all, base := v, int32(0)
	if s.first != nil {
		all, base = vector.Concat([]*vector.Vector{s.first, v}), 1
	}
	idx := make([]int32, len(news))
	at := int32(0) // the carried value, until a partition starts
	for i, n := range news {
		if n {
			at = base + int32(i)
		}
		idx[i] = at
	}
	s.first = vector.Slice(all, int(at), int(at)+1)
	return vector.Gather(all, idx), nil
}

func (s *streamFirst) close() {}

type streamRowNumber struct{ n int64 }

func (s *streamRowNumber) next(_ context.Context, _ *windowCall, b *vector.Batch, news, _ []bool) (*vector.Vector, error) {
	out := make([]int64, b.Rows())
	n := s.n
	for i := range out {
		if news[i] {
			n = 0
		}
		n++
		out[i] = n
	}
	s.n = n
	return vector.FromSlice(int8Type, out), nil
}

func (s *streamRowNumber) close() {}

type streamRank struct {
	n, rank int64
	dense   bool
}

func (s *streamRank) next(_ context.Context, _ *windowCall, b *vector.Batch, news, peers []bool) (*vector.Vector, error) {
	out := make([]int64, b.Rows())
	for i := range out {
		if news[i] {
			s.n, s.rank = 0, 0
		}
		s.n++
		if peers[i] {
			if s.dense {
				s.rank++
			} else {
				s.rank = s.n
			}
		}
		out[i] = s.rank
	}
	return vector.FromSlice(int8Type, out), nil
}

func (s *streamRank) close() {}

// streamLag keeps the last k values.
type streamLag struct {
	k    int64
	tail *vector.Vector
	rows int64 // of the current partition before this batch
}

func (s *streamLag) next(ctx context.Context, c *windowCall, b *vector.Batch, news, _ []bool) (*vector.Vector, error) {
	args, err := evalAll(ctx, c.args, b)
	if err != nil {
		return nil, err
	}
	n := b.Rows()
	v := args[0].Flatten()
	parts := []*vector.Vector{v}
	tail := 0
	if s.tail != nil {
		parts, tail = []*vector.Vector{s.tail, v}, s.tail.Len
	}
	vals := vector.Concat(parts)
	all := vals
	if len(args) > 2 {
		all = vector.Concat([]*vector.Vector{vals, args[2].Flatten().Retype(v.Type)})
	}
	idx := make([]int32, n)
	for i := range idx {
		if news[i] {
			s.rows = 0
		}
		switch {
		case s.rows >= s.k:
			idx[i] = int32(tail + i - int(s.k))
		case len(args) > 2:
			idx[i] = int32(tail + n + i)
		default:
			idx[i] = -1
		}
		s.rows++
	}
	s.tail = vector.Slice(vals, max(0, vals.Len-int(s.k)), vals.Len)
	return vector.GatherNull(all, idx), nil
}

func (s *streamLag) close() {}

// running is count and the plain sums from the start of the partition to each row.
type running struct {
	kind  runKind
	count int64
	isum  int64
	fsum  float64
}

type runKind uint8

const (
	runCount runKind = iota // count(*), count(x)
	runInt                  // sum of int2, int4: no overflow check needed below 2^31 rows
	runFloat                // sum of float8
)

func newRunning(c *windowCall) *running {
	switch {
	case c.name == "count":
		return &running{kind: runCount}
	case c.name == "sum" && len(c.args) == 1 && c.typ.ID == types.Int8:
		return &running{kind: runInt}
	case c.name == "sum" && len(c.args) == 1 && c.typ.ID == types.Float8 && c.args[0].Type.ID == types.Float8:
		return &running{kind: runFloat}
	}
	return nil
}

func (s *running) next(ctx context.Context, c *windowCall, b *vector.Batch, news, _ []bool) (*vector.Vector, error) {
	var in *vector.Vector
	if len(c.args) > 0 {
		v, err := c.args[0].Eval(ctx, b)
		if err != nil {
			return nil, err
		}
		in = v.Flatten()
	}
	var keep []bool
	if c.filter != nil {
		v, err := c.filter.Eval(ctx, b)
		if err != nil {
			return nil, err
		}
		keep = make([]bool, b.Rows())
		for _, r := range trueRows(flat(v)) {
			keep[r] = true
		}
	}
	return s.run(in, keep, news, b.Rows()), nil
}

func (s *running) run(in *vector.Vector, keep, news []bool, n int) *vector.Vector {
	counts := func(i int) bool {
		return (keep == nil || keep[i]) && (in == nil || in.Valid == nil || !in.IsNull(i))
	}
	switch s.kind {
	case runCount:
		out := make([]int64, n)
		for i := range out {
			if news[i] {
				s.count = 0
			}
			if counts(i) {
				s.count++
			}
			out[i] = s.count
		}
		return vector.FromSlice(int8Type, out)
	case runInt:
		return runSum(&s.isum, &s.count, widen(in), counts, news, int8Type)
	}
	return runSum(&s.fsum, &s.count, vector.Values[float64](in), counts, news, float8Type)
}

func runSum[T int64 | float64](sum *T, count *int64, vals []T, counts func(int) bool, news []bool, t types.Type) *vector.Vector {
	out := make([]T, len(vals))
	var valid []byte
	for i := range out {
		if news[i] {
			*sum, *count = 0, 0
		}
		if counts(i) {
			*sum += vals[i]
			*count++
		}
		if *count == 0 {
			if valid == nil {
				valid = vector.NewValid(len(out))
			}
			vector.SetNull(valid, i)
		}
		out[i] = *sum
	}
	return vector.FromSlice(t, out).WithValid(valid)
}

func (s *running) close() {}

// runningAny runs any aggregate: a state, folded and asked row by row.
type runningAny struct{ agg function.Aggregator }

func (s *runningAny) next(ctx context.Context, c *windowCall, b *vector.Batch, news, _ []bool) (*vector.Vector, error) {
	args, err := evalAll(ctx, c.args, b)
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = args[i].Flatten()
	}
	n := b.Rows()
	keep := make([]bool, n)
	if c.filter != nil {
		v, err := c.filter.Eval(ctx, b)
		if err != nil {
			return nil, err
		}
		for _, r := range trueRows(flat(v)) {
			keep[r] = true
		}
	} else {
		for i := range keep {
			keep[i] = true
		}
	}
	out := vector.NewBuilder(c.typ, n)
	one := make([]*vector.Vector, len(args))
	for i := range n {
		if i&0xfff == 0 {
			if err := cancelled(ctx); err != nil {
				return nil, err
			}
		}
		if news[i] || s.agg == nil {
			s.close()
			if s.agg, err = c.make(ctx); err != nil {
				return nil, err
			}
			s.agg.Grow(1)
		}
		if keep[i] {
			for k, a := range args {
				one[k] = vector.Slice(a, i, i+1)
			}
			if err := s.agg.Update(nil, one, 1); err != nil {
				return nil, err
			}
		}
		v, err := s.agg.Final(0, 1)
		if err != nil {
			return nil, err
		}
		out.AppendFrom(v.Flatten(), 0)
	}
	return out.Build(), nil
}

func (s *runningAny) close() {
	if s.agg != nil {
		_ = s.agg.Close()
		s.agg = nil
	}
}
