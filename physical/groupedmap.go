package physical

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// groupedMap feeds its input, which is sorted by the keys, group by group to a
// grouped-map function and puts the keys before what it emits. Groups stream: a
// batch goes on as soon as it is there, so a group may be larger than memory and
// many small ones travel together. NULL keys are one group. Without input there is
// no call, unless the plan asks for the empty group.
//
// With batch_rows a group is that many rows, whatever the keys: rows for functions
// that take batches, and the single rows of arguments of table functions, whose keys
// are the columns passed on.
//
// It holds the keys of the groups that the function has not finished.
type groupedMap struct {
	n      *node
	op     *proto.GroupedMap
	keys   []*Expr
	keyTs  []types.Type
	args   []*Expr
	keep   int // keys in the output
	bound  boundary
	stream GroupedMapStream
	meter  *meter
	closed bool // no more input
	ended  bool
	groups int64      // started so far
	open   int        // rows of the group that has not ended, with batch_rows
	row    ordinals   // with ordinality
	retain []keyChunk // ascending
}

// keyChunk is the keys of groups first … first+n-1.
type keyChunk struct {
	first int64
	n     int
	cols  []*vector.Vector
	size  int64
}

func newGroupedMap(n *node, op *proto.GroupedMap) (Operator, error) {
	if op.Udf == nil || n.env.UDF == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be called here", op.Udf.GetDisplay())
	}
	g := &groupedMap{n: n, op: op, meter: n.stats.meter(op.Udf)}
	var err error
	if g.keys, err = n.compileAll(op.Keys, 0); err != nil {
		return nil, err
	}
	for _, k := range g.keys {
		g.keyTs = append(g.keyTs, k.Type)
	}
	if g.args, err = n.compileAll(op.Args, 0); err != nil {
		return nil, err
	}
	g.bound.exprs = g.keys
	g.keep = len(n.types) - len(op.Udf.Columns)
	if op.Ordinality {
		g.keep--
	}
	if g.keep < 0 || g.keep > len(g.keys) {
		return nil, pgerr.New(pgerr.InternalError, "GroupedMap with %d output columns for %d keys and %d function columns",
			len(n.types), len(g.keys), len(op.Udf.Columns))
	}
	return g, nil
}

func (g *groupedMap) Next(ctx context.Context) (*vector.Batch, error) {
	for !g.ended {
		if g.stream == nil {
			// The function starts with the first row.
			if err := g.feed(ctx); err != nil {
				return nil, err
			}
			continue
		}
		start := time.Now()
		canSend, canRecv, err := g.stream.Wait(ctx)
		g.tolerate()
		if err != nil {
			g.meter.read()
			return nil, g.failed(err)
		}
		if canRecv {
			out, err := g.stream.Recv(ctx)
			g.meter.waited(start)
			g.meter.read()
			if errors.Is(err, io.EOF) {
				g.ended = true
				break
			}
			if err != nil {
				return nil, g.failed(err)
			}
			b, err := g.output(out)
			if b != nil || err != nil {
				return b, err
			}
			continue
		}
		g.meter.waited(start)
		if canSend && !g.closed {
			if err := g.feed(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// feed sends the next input batch, or the end of the input.
func (g *groupedMap) feed(ctx context.Context) error {
	b, err := g.n.ins[0].Next(ctx)
	if err != nil {
		return err
	}
	if b == nil {
		g.closed = true
		if g.stream == nil {
			if !g.op.EmptyGroup {
				g.ended = true
				return nil
			}
			if err := g.start(ctx); err != nil {
				return err
			}
			cols := make([]*vector.Vector, len(g.args))
			for i, x := range g.args {
				cols[i] = vector.New(x.Type, 0)
			}
			g.groups = 1
			if err := g.stream.Send(ctx, cols, 0, []int32{0}); err != nil {
				return g.failed(err)
			}
		}
		if err := g.stream.CloseSend(); err != nil {
			return g.failed(err)
		}
		return nil
	}
	if g.stream == nil {
		if err := g.start(ctx); err != nil {
			return err
		}
	}
	var ends, firsts []int32
	if g.op.BatchRows > 0 {
		firsts, ends = g.batches(b.Rows())
	} else {
		starts, err := g.bound.starts(ctx, b)
		if err != nil {
			return err
		}
		for i, s := range starts {
			if !s {
				continue
			}
			firsts = append(firsts, int32(i))
			if i > 0 || g.groups > 0 {
				ends = append(ends, int32(i))
			}
		}
	}
	if err := g.remember(ctx, b, firsts); err != nil {
		return err
	}
	args, err := evalAll(ctx, g.args, b)
	if err != nil {
		return err
	}
	for i := range args {
		args[i] = args[i].Flatten()
	}
	g.meter.called()
	start := time.Now()
	err = g.stream.Send(ctx, args, b.Rows(), ends)
	g.meter.waited(start)
	if err != nil {
		return g.failed(err)
	}
	return nil
}

func (g *groupedMap) start(ctx context.Context) error {
	o := g.n.env.groupOptions(g.op.Udf, g.n.mem)
	o.MaxOutputRows = g.n.env.batchRows()
	start := time.Now()
	s, err := g.n.env.openGroups(ctx, g.op.Udf, o)
	g.meter.waited(start)
	if err != nil {
		return err
	}
	g.stream = s
	g.meter.of(s)
	return nil
}

// tolerate writes down the groups that have failed.
func (g *groupedMap) tolerate() {
	t, ok := g.stream.(udfTolerantGroups)
	if !ok {
		return
	}
	for _, f := range t.TakeFailures() {
		g.n.stats.failedRow(f.Proto(g.op.Udf, g.keyText(f.Group), g.n.env.attempt()))
	}
}

// remember keeps the keys of the groups that start at rows firsts.
func (g *groupedMap) remember(ctx context.Context, b *vector.Batch, firsts []int32) error {
	if len(firsts) == 0 {
		return nil
	}
	keys, err := evalAll(ctx, g.keys, b)
	if err != nil {
		return err
	}
	c := keyChunk{first: g.groups, n: len(firsts), cols: make([]*vector.Vector, len(keys)), size: 64}
	for i, k := range keys {
		c.cols[i] = vector.Gather(k, firsts).Flatten()
		c.size += c.cols[i].Size()
	}
	if err := g.n.mem.Must(c.size); err != nil {
		return err
	}
	g.retain = append(g.retain, c)
	g.groups += int64(len(firsts))
	return nil
}

// chunkOf returns the chunk with a group.
func (g *groupedMap) chunkOf(group int64) *keyChunk {
	for i := range g.retain {
		if c := &g.retain[i]; group >= c.first && group < c.first+int64(c.n) {
			return c
		}
	}
	return nil
}

// output puts the keys before emitted rows and forgets those of finished groups.
func (g *groupedMap) output(o *udf.GroupOutput) (*vector.Batch, error) {
	var b *vector.Batch
	if o.N > 0 {
		if len(o.Cols) != len(g.op.Udf.Columns) || len(o.Groups) != o.N {
			return nil, pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s returned %d columns instead of %d",
				g.op.Udf.Display, len(o.Cols), len(g.op.Udf.Columns))
		}
		cols := make([]*vector.Vector, 0, len(g.n.types))
		if g.keep > 0 {
			keys, err := g.keysOf(o)
			if err != nil {
				return nil, err
			}
			cols = append(cols, keys...)
		}
		cols = append(cols, o.Cols...)
		if g.op.Ordinality {
			cols = append(cols, g.row.of(o))
		}
		b = retypeBatch(vector.NewBatch(cols, o.N), g.n.types)
	}
	for len(g.retain) > 0 && g.retain[0].first+int64(g.retain[0].n) <= o.Done {
		g.n.mem.Shrink(g.retain[0].size)
		g.retain[0] = keyChunk{}
		g.retain = g.retain[1:]
	}
	return b, nil
}

// keysOf repeats each row's group keys.
func (g *groupedMap) keysOf(o *udf.GroupOutput) ([]*vector.Vector, error) {
	if o.Groups[0] == o.Groups[o.N-1] { // they ascend: rows of one group
		group := o.Base + int64(o.Groups[0])
		c := g.chunkOf(group)
		if c == nil {
			return nil, g.notOpen()
		}
		out := make([]*vector.Vector, g.keep)
		for k := range out {
			at := int(group - c.first)
			out[k] = vector.NewConst(vector.Slice(c.cols[k], at, at+1), o.N)
		}
		return out, nil
	}
	parts := make([][]*vector.Vector, g.keep)
	var c *keyChunk
	var idx []int32
	flush := func() {
		if len(idx) > 0 {
			for k := range parts {
				parts[k] = append(parts[k], vector.Gather(c.cols[k], idx))
			}
			idx = nil
		}
	}
	for _, gr := range o.Groups {
		group := o.Base + int64(gr)
		if c == nil || group < c.first || group >= c.first+int64(c.n) {
			flush()
			if c = g.chunkOf(group); c == nil {
				return nil, g.notOpen()
			}
		}
		idx = append(idx, int32(group-c.first))
	}
	flush()
	out := make([]*vector.Vector, g.keep)
	for k := range out {
		out[k] = vector.Concat(parts[k])
	}
	return out, nil
}

func (g *groupedMap) notOpen() error {
	return pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s returned rows for a group that is not open", g.op.Udf.Display)
}

// failed adds the group's key to an error of user code.
func (g *groupedMap) failed(err error) error {
	if g.op.BatchRows > 0 && len(g.keys) == 0 {
		return err
	}
	if s, ok := g.stream.(interface{ Blame(error) error }); ok {
		err = s.Blame(err)
	}
	return udf.WithGroupKey(err, func(group int64) string {
		if text := g.keyText(group); text != "" {
			return text
		}
		return "of all rows"
	})
}

// keyText is the key of a group, "" where there is none or it is not known.
func (g *groupedMap) keyText(group int64) string {
	c := g.chunkOf(group)
	if c == nil {
		return ""
	}
	var text []byte
	for i, col := range c.cols {
		if i > 0 {
			text = append(text, ", "...)
		}
		if i < len(g.op.KeyNames) {
			text = append(append(text, g.op.KeyNames[i]...), " = "...)
		}
		at := int(group - c.first)
		if col.IsNull(at) {
			text = append(text, "NULL"...)
			continue
		}
		text = vector.AppendText(text, col, at, g.n.env.text())
	}
	return string(text)
}

func (g *groupedMap) Close() error {
	var err error
	if g.stream != nil {
		g.meter.read()
		err = g.stream.Close()
		g.stream = nil
	}
	g.retain = nil
	if e := g.n.closeInputs(); err == nil {
		err = e
	}
	return err
}

// batches cuts n more rows into groups of batch_rows.
func (g *groupedMap) batches(n int) (firsts, ends []int32) {
	size := int(g.op.BatchRows)
	if size == 1 {
		firsts, ends = make([]int32, n), make([]int32, n)
		for i := range firsts {
			firsts[i], ends[i] = int32(i), int32(i+1)
		}
		return firsts, ends
	}
	for i := 0; i < n; {
		if g.open == 0 {
			firsts = append(firsts, int32(i))
		}
		k := min(size-g.open, n-i)
		i, g.open = i+k, g.open+k
		if g.open == size {
			ends = append(ends, int32(i))
			g.open = 0
		}
	}
	return firsts, ends
}

// ordinals counts the rows of each group from 1.
type ordinals struct {
	group int64
	last  int64
}

func (r *ordinals) of(o *udf.GroupOutput) *vector.Vector {
	out := make([]int64, o.N)
	for i, x := range o.Groups {
		if group := o.Base + int64(x); group != r.group {
			r.group, r.last = group, 0
		}
		r.last++
		out[i] = r.last
	}
	return vector.FromSlice(int8Type, out)
}
