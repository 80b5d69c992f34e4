package physical

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/vector"
)

// fromPlugin computes a window function of a plugin: every partition is a group of
// the stream, with two columns more, the frames as rows of their partition.
func (c *windowCall) fromPlugin(ctx context.Context, all *vector.Batch, ch *chunk, args []*vector.Vector) (*vector.Vector, error) {
	if c.frame.Exclude != proto.Frame_NO_OTHERS {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EXCLUDE in the frame of %s is not supported", c.name)
	}
	if err := c.rows.compute(ctx, all, ch); err != nil {
		return nil, err
	}
	from, to := make([]int64, ch.n), make([]int64, ch.n)
	for i, seg := 0, c.rows.segs[0]; i < ch.n; i++ {
		start, _ := ch.part(i)
		from[i], to[i] = int64(seg.lo[i]-start), int64(max(seg.lo[i], seg.hi[i])-start)
	}
	for i := range args {
		args[i] = args[i].Flatten()
	}
	args = append(args[:len(args):len(args)], vector.FromSlice(int8Type, from), vector.FromSlice(int8Type, to))
	m := c.n.stats.meter(c.plugin)
	o := c.n.env.groupOptions(c.plugin, c.n.mem)
	o.Whole = true
	start := time.Now()
	s, err := c.n.env.openGroups(ctx, c.plugin, o)
	m.waited(start)
	if err != nil {
		return nil, err
	}
	defer func() { m.read(); _ = s.Close() }()
	m.of(s)
	m.called()
	where := func(err error) error {
		return udf.WithGroupKey(err, func(int64) string { return "of one partition" })
	}
	var parts []*vector.Vector
	got := 0
	var failed map[int32]bool // partitions, whose values are NULL
	pad := func() {
		for got < ch.n && failed[ch.partOf[got]] {
			p := ch.partOf[got]
			n := int(ch.parts[p+1] - ch.parts[p])
			parts = append(parts, vector.NewNull(c.typ, n).Flatten())
			got += n
		}
	}
	sent, closed := false, false
	for {
		start := time.Now()
		canSend, canRecv, err := s.Wait(ctx)
		m.waited(start)
		if t, ok := s.(udfTolerantGroups); ok {
			for _, f := range t.TakeFailures() {
				if failed == nil {
					failed = map[int32]bool{}
				}
				failed[int32(f.Group)] = true
				c.n.stats.failedRow(f.Proto(c.plugin, "", c.n.env.attempt()))
			}
		}
		if err != nil {
			return nil, where(err)
		}
		if canRecv {
			o, err := s.Recv(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, where(err)
			}
			for from := 0; from < o.N; { // a value per row of its partition
				pad()
				to := from
				for to < o.N && got+to-from < ch.n && o.Base+int64(o.Groups[to]) == int64(ch.partOf[got+to-from]) {
					to++
				}
				if to == from {
					return nil, c.wrongRows()
				}
				parts = append(parts, vector.Slice(o.Cols[0], from, to).Retype(c.typ))
				got, from = got+to-from, to
			}
			continue
		}
		switch {
		case !canSend:
		case !sent:
			sent = true
			err = s.Send(ctx, args, ch.n, ch.parts[1:])
		case !closed:
			closed = true
			err = s.CloseSend()
		}
		if err != nil {
			return nil, where(err)
		}
	}
	pad()
	if got != ch.n {
		return nil, c.wrongRows()
	}
	return vector.Concat(parts), nil
}

func (c *windowCall) wrongRows() error {
	return pgerr.New(pgerr.ExternalRoutineInvocationError, "window function %s did not return a value for each row", c.name)
}
