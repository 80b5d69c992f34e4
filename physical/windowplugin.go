package physical

import (
	"context"
	"errors"
	"io"

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
	s, err := c.env.UDF.GroupedMap(ctx, c.plugin, udf.GroupOptions{Whole: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	where := func(err error) error {
		return udf.WithGroupKey(err, func(int64) string { return "of one partition" })
	}
	var parts []*vector.Vector
	got := 0
	sent, closed := false, false
	for {
		canSend, canRecv, err := s.Wait(ctx)
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
			for i, g := range o.Groups { // a value per row of its partition
				if got+i >= ch.n || o.Base+int64(g) != int64(ch.partOf[got+i]) {
					return nil, c.wrongRows()
				}
			}
			got += o.N
			parts = append(parts, o.Cols[0])
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
	if got != ch.n {
		return nil, c.wrongRows()
	}
	return vector.Concat(parts), nil
}

func (c *windowCall) wrongRows() error {
	return pgerr.New(pgerr.ExternalRoutineInvocationError, "window function %s did not return a value for each row", c.name)
}
