package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// interleaver takes rows of its sources in turns, chunk of each, from the first on: the
// order in which one task has dealt them, if what is between has kept every row.
type interleaver struct {
	sources []Source
	cur     []turn
	chunk   int
	ts      []types.Type
	rows    int // of a batch
	next    int // source whose turn it is
	left    int // rows that it still has in this turn, 0 = the turn begins
	ended   bool
	idx     []int32
}

// turn is where a source stands.
type turn struct {
	b  *vector.Batch
	at int
}

// fill makes source i have a row; false at its end.
func (x *interleaver) fill(ctx context.Context, i int) (bool, error) {
	for c := &x.cur[i]; c.b == nil || c.at == c.b.Rows(); {
		b, err := x.sources[i].Next(ctx)
		if b == nil || err != nil {
			return false, err
		}
		*c = turn{b: retypeBatch(b.Dense(), x.ts)}
	}
	return true, nil
}

func (x *interleaver) Next(ctx context.Context) (*vector.Batch, error) {
	if x.ended {
		return nil, nil
	}
	out := make([]*vector.Appender, len(x.ts))
	for i, t := range x.ts {
		out[i] = vector.NewAppender(t)
	}
	n := 0
	for n < x.rows {
		if x.left == 0 {
			x.left = x.chunk
		}
		ok, err := x.fill(ctx, x.next)
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := x.end(ctx); err != nil {
				return nil, err
			}
			break
		}
		c := &x.cur[x.next]
		k := min(x.left, c.b.Rows()-c.at, x.rows-n)
		x.idx = x.idx[:0]
		for i := range k {
			x.idx = append(x.idx, int32(c.at+i))
		}
		room := true
		for i, a := range out {
			room = room && a.Room(c.b.Col(i), x.idx)
		}
		if !room && n > 0 {
			break
		}
		for i, a := range out {
			a.Append(c.b.Col(i), x.idx)
		}
		c.at, x.left, n = c.at+k, x.left-k, n+k
		if x.left == 0 {
			x.next = (x.next + 1) % len(x.sources)
		}
	}
	if n == 0 {
		return nil, nil
	}
	cols := make([]*vector.Vector, len(out))
	for i, a := range out {
		cols[i] = a.Build()
	}
	return vector.NewBatch(cols, n), nil
}

// end sees that the others are at their ends too.
func (x *interleaver) end(ctx context.Context) error {
	x.ended = true
	for i := range x.sources {
		if ok, err := x.fill(ctx, i); err != nil {
			return err
		} else if ok {
			return pgerr.New(pgerr.InternalError, "task %d of a dealt stage has rows after the end of task %d", i, x.next)
		}
	}
	return nil
}
