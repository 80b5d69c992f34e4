package physical

import (
	"context"

	goproto "google.golang.org/protobuf/proto"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// window computes window functions over input that is sorted by partition, then
// order. When every call needs only what lies before a row (row_number, rank,
// running sums over ROWS, lag) batches pass through with a few values of state.
// When some need the rest of the peer group (the default frame with ORDER BY),
// rows are collected until a peer group ends. Otherwise they are collected until
// a partition ends, as many whole partitions at a time as make a batch, so the
// largest partition must fit into memory.
type window struct {
	n       *node
	part    boundary
	order   boundary
	calls   []*windowCall
	inTs    []types.Type
	streams bool
	byPeers bool // streams, but a whole peer group at a time
	bigs    bool // a partition over budget can go to disk, see bigPartition
	big     *bigPartition
	ranks   bool // some call needs peer groups

	buf   []*vector.Batch // rows of partitions that are not yet given out
	news  [][]bool        // per batch: starts of partitions
	peers [][]bool        // per batch: starts of peer groups
	rows  int
	held  int64
	ended bool
	out   []*vector.Batch // computed batches
}

// windowCall is the plan of one call.
type windowCall struct {
	name   string // of a window function or aggregate
	args   []*Expr
	frame  *proto.Frame
	typ    types.Type
	filter *Expr
	// make makes the state of an aggregate; nil for a window function.
	make        func(ctx context.Context) (function.Aggregator, error)
	ignoreNulls bool
	refolds     bool     // each frame is folded from its rows
	builtin     bool     // the name is that of a function of this engine
	stream      streamer // when the call can run without looking ahead
	slides      slideKind
	rows        *frameRows
	// A window function of a plugin.
	plugin *proto.UDF
	n      *node
}

func newWindow(n *node, op *proto.Window) (Operator, error) {
	w := &window{n: n, inTs: n.inTypes(0), streams: true}
	var err error
	if w.part.exprs, err = n.compileAll(op.PartitionBy, 0); err != nil {
		return nil, err
	}
	keys, err := compileSortKeys(n.env, op.OrderBy, w.inTs)
	if err != nil {
		return nil, err
	}
	w.order.exprs = keys.exprs
	var order keyOrder // of the first key: RANGE with an offset has no other
	if len(op.OrderBy) > 0 {
		order = keyOrder{desc: op.OrderBy[0].Desc, nullsFirst: op.OrderBy[0].NullsFirst}
	}
	for _, c := range op.Calls {
		call, err := w.newCall(c, order)
		if err != nil {
			return nil, err
		}
		for _, other := range w.calls {
			if goproto.Equal(other.frame, call.frame) {
				call.rows = other.rows
				break
			}
		}
		call.stream = newStreamer(call, len(op.OrderBy) > 0)
		if _, ok := call.stream.(*peerEnd); ok {
			w.byPeers = true
		}
		w.streams = w.streams && call.stream != nil
		switch call.stream.(type) {
		case nil, *streamRank, *peerEnd:
			w.ranks = true
		}
		w.calls = append(w.calls, call)
	}
	w.byPeers = w.byPeers && w.streams
	w.bigs = !w.streams
	for _, c := range w.calls {
		_, peers := c.stream.(*peerEnd)
		w.bigs = w.bigs && (c.stream != nil && !peers || isWhole(c, len(op.OrderBy) > 0))
	}
	return w, nil
}

func (w *window) newCall(c *proto.WindowCall, order keyOrder) (*windowCall, error) {
	call := &windowCall{frame: c.Frame, typ: TypeOf(c.Returns), ignoreNulls: c.IgnoreNulls}
	var err error
	if call.args, err = w.n.compileAll(c.Args, 0); err != nil {
		return nil, err
	}
	if c.Filter != nil {
		if call.filter, err = w.n.compile(c.Filter, 0); err != nil {
			return nil, err
		}
	}
	if call.frame == nil {
		call.frame = &proto.Frame{Mode: proto.Frame_RANGE,
			Start: &proto.FrameBound{Kind: proto.FrameBound_UNBOUNDED_PRECEDING},
			End:   &proto.FrameBound{Kind: proto.FrameBound_CURRENT_ROW}}
	}
	call.rows = &frameRows{frame: call.frame}
	for i, b := range []*proto.FrameBound{call.frame.Start, call.frame.End} {
		k := b.GetKind()
		if call.frame.Mode != proto.Frame_RANGE || k != proto.FrameBound_PRECEDING && k != proto.FrameBound_FOLLOWING {
			continue
		}
		if b.Key == nil || b.Limit == nil {
			return nil, pgerr.New(pgerr.InternalError, "RANGE frame without the values to compare")
		}
		r := &rangeBound{end: i == 1, order: order}
		if r.key, err = w.n.compile(b.Key, 0); err != nil {
			return nil, err
		}
		if r.limit, err = w.n.compile(b.Limit, 0); err != nil {
			return nil, err
		}
		call.rows.ranges[i] = r
	}
	ts := make([]types.Type, len(call.args))
	for i, x := range call.args {
		ts[i] = x.Type
	}
	if c.Parts != nil {
		parts, err := newAggParts(w.n.env, c.Parts, ts)
		if err != nil {
			return nil, err
		}
		call.name, call.refolds = c.Parts.Name, true
		call.make = func(ctx context.Context) (function.Aggregator, error) { return parts.aggregator(ctx, false) }
		return call, nil
	}
	if c.Function == "" {
		if c.Udf == nil || w.n.env.UDF == nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be called here", c.Udf.GetDisplay())
		}
		env, ref := w.n.env, c.Udf
		call.name = c.Udf.Display
		if function.Kind(c.Udf.Kind) == function.Window {
			call.plugin, call.n = ref, w.n
			return call, nil
		}
		call.make = func(ctx context.Context) (function.Aggregator, error) { return env.aggregator(ctx, ref, ts, w.n.stats) }
		return call, nil
	}
	f, ok := function.ByID(c.Function)
	if !ok {
		return nil, pgerr.New(pgerr.InternalError, "unknown window function %s in a plan", c.Function)
	}
	call.name, call.builtin = f.Name, true
	call.slides = slideOf(call)
	if f.NewAggregate != nil {
		if c.IgnoreNulls {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "IGNORE NULLS is not supported for aggregates")
		}
		call.make = func(context.Context) (function.Aggregator, error) { return f.NewAggregate(ts), nil }
		return call, nil
	}
	if c.IgnoreNulls {
		switch f.Name {
		case "first_value", "last_value", "nth_value", "lag", "lead":
		default:
			return nil, pgerr.New(pgerr.FeatureNotSupported, "IGNORE NULLS is not supported for %s", f.Name)
		}
	}
	if _, ok := windowFuncs[f.Name]; !ok {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "window function %s is not supported", f.Name)
	}
	return call, nil
}

func (w *window) Next(ctx context.Context) (*vector.Batch, error) {
	if w.streams && !w.byPeers {
		return w.stream(ctx)
	}
	for {
		if len(w.out) > 0 {
			b := w.out[0]
			w.out = w.out[1:]
			return b, nil
		}
		if w.big != nil {
			b, err := w.big.Next(ctx)
			if b != nil || err != nil {
				return b, err
			}
			w.big.close()
			w.big = nil
			continue
		}
		if w.ended && w.rows == 0 {
			return nil, nil
		}
		if err := w.fill(ctx); err != nil {
			return nil, err
		}
	}
}

// stream passes one batch through.
func (w *window) stream(ctx context.Context) (*vector.Batch, error) {
	b, err := w.n.ins[0].Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	news, peers, err := w.bounds(ctx, b)
	if err != nil {
		return nil, err
	}
	cols := append([]*vector.Vector(nil), b.Cols()...)
	for _, c := range w.calls {
		v, err := c.stream.next(ctx, c, b, news, peers)
		if err != nil {
			return nil, err
		}
		cols = append(cols, v.Retype(c.typ))
	}
	return vector.NewBatch(cols, b.Rows()), nil
}

// bounds marks the starts of partitions and of peer groups, which start with
// partitions, too.
func (w *window) bounds(ctx context.Context, b *vector.Batch) (news, peers []bool, err error) {
	if news, err = w.part.starts(ctx, b); err != nil {
		return nil, nil, err
	}
	if !w.ranks && w.streams {
		return news, nil, nil
	}
	if peers, err = w.order.starts(ctx, b); err != nil {
		return nil, nil, err
	}
	for i, x := range news {
		peers[i] = peers[i] || x
	}
	return news, peers, nil
}

// fill reads until a partition ends and a batch's worth of rows is there, then
// computes the calls over the whole partitions among them.
func (w *window) fill(ctx context.Context) error {
	for !w.ended {
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
		need := w.bytes(b)
		const most = 2 * maxColumnBytes // bytes counts rows twice
		if err := w.n.mem.growWithin(w.held, need, most); err != nil {
			if w.bigs && w.n.env.SpillDir != "" {
				return w.overflow(ctx, b, news, peers)
			}
			if w.held+need > most {
				return err
			}
			if err := w.n.mem.Must(need); err != nil {
				return err
			}
		}
		w.held += need
		last := -1 // the last start of a partition, or of a peer group, in b
		starts := news
		if w.byPeers {
			starts = peers
		}
		for i := len(starts) - 1; i >= 0; i-- {
			if starts[i] {
				last = i
				break
			}
		}
		if last < 0 || w.rows+last < w.n.env.batchRows() {
			w.push(b, news, peers)
			continue
		}
		if last > 0 {
			w.push(b.Slice(0, last), news[:last], peers[:last])
		}
		if err := w.compute(ctx); err != nil {
			return err
		}
		w.push(b.Slice(last, b.Rows()), news[last:], peers[last:])
		return nil
	}
	return w.compute(ctx)
}

// bytes is what a buffered batch costs: itself, its part of the columns that
// compute makes of all, the bounds and results, and what one call needs for
// itself.
func (w *window) bytes(b *vector.Batch) int64 {
	own := 0
	if !w.streams {
		own = 40
	}
	return 2*batchBytes(b) + int64(b.Rows())*int64(16+own+16*len(w.calls))
}

func (w *window) push(b *vector.Batch, news, peers []bool) {
	w.buf, w.news, w.peers = append(w.buf, b), append(w.news, news), append(w.peers, peers)
	w.rows += b.Rows()
}

// compute evaluates the calls over what is buffered: whole partitions.
func (w *window) compute(ctx context.Context) error {
	if w.rows == 0 {
		return nil
	}
	if w.byPeers {
		return w.computePeers(ctx)
	}
	ch := &chunk{n: w.rows}
	i := int32(0)
	ch.partOf = make([]int32, w.rows)
	ch.groupOf = make([]int32, w.rows)
	for k, news := range w.news {
		for r, isNew := range news {
			if isNew || i == 0 {
				ch.parts = append(ch.parts, i)
			}
			if w.peers[k][r] || i == 0 {
				ch.groups = append(ch.groups, i)
			}
			ch.partOf[i] = int32(len(ch.parts) - 1)
			ch.groupOf[i] = int32(len(ch.groups) - 1)
			i++
		}
	}
	ch.parts, ch.groups = append(ch.parts, i), append(ch.groups, i)
	all := dropInto(w.inTs, w.buf, vector.Join)
	w.buf, w.news, w.peers, w.rows = nil, nil, nil, 0
	cols := append([]*vector.Vector(nil), all.Cols()...)
	for _, c := range w.calls {
		v, err := c.compute(ctx, all, ch)
		if err != nil {
			return err
		}
		cols = append(cols, v.Retype(c.typ))
	}
	for _, c := range w.calls {
		c.rows.of, c.rows.segs = nil, nil
	}
	w.give(vector.NewBatch(cols, ch.n))
	return nil
}

// computePeers runs the streaming calls over what is buffered: whole peer groups.
func (w *window) computePeers(ctx context.Context) error {
	var news, peers []bool
	for k := range w.news {
		news, peers = append(news, w.news[k]...), append(peers, w.peers[k]...)
	}
	all := dropInto(w.inTs, w.buf, vector.Join)
	w.buf, w.news, w.peers, w.rows = nil, nil, nil, 0
	cols := append([]*vector.Vector(nil), all.Cols()...)
	for _, c := range w.calls {
		v, err := c.stream.next(ctx, c, all, news, peers)
		if err != nil {
			return err
		}
		cols = append(cols, v.Retype(c.typ))
	}
	w.give(vector.NewBatch(cols, all.Rows()))
	return nil
}

// give hands results on, in batches. What is left no longer grows; the next rows
// are charged afresh.
func (w *window) give(out *vector.Batch) {
	step := w.n.env.batchRows()
	for from := 0; from < out.Rows(); from += step {
		w.out = append(w.out, out.Slice(from, min(from+step, out.Rows())))
	}
	w.n.mem.Shrink(w.held)
	w.held = 0
}

func (w *window) Close() error {
	w.buf, w.out = nil, nil
	w.big.close()
	for _, c := range w.calls {
		if c.stream != nil {
			c.stream.close()
		}
	}
	return w.n.closeInputs()
}

// chunk is whole partitions in memory.
type chunk struct {
	n       int
	parts   []int32 // starts of the partitions, then n
	partOf  []int32 // per row
	groups  []int32 // starts of the peer groups, then n
	groupOf []int32 // per row
}

// part returns the bounds of row i's partition.
func (c *chunk) part(i int) (from, to int32) {
	p := c.partOf[i]
	return c.parts[p], c.parts[p+1]
}
