package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// A PARTIAL aggregate whose rows are nearly all groups of their own costs a table
// and saves nothing: it gives out what it has, and from then on every row as a
// group, with the state of that one row. It looks from passAfter rows on, and asks
// for more from a quarter of them on, as few rows of any large domain are nearly
// all new. The decision sees the task's own rows only, so a task that runs again
// decides the same.
const (
	passGroups      = 0.7
	passGroupsEarly = 0.95
)

var passAfter = int64(1 << 16) // a variable for the tests

// passable reports that states of single rows are cheap: fixed-size builtins.
func (a *aggregate) passable() bool {
	for _, c := range a.calls {
		if !c.unordered {
			return false
		}
	}
	return a.mode == proto.Aggregate_PARTIAL && len(a.keys) > 0
}

// useless reports that grouping does not reduce the rows.
func (p *aggPass) useless() bool {
	if !p.a.canPass || p.rows < passAfter/4 {
		return false
	}
	share := passGroups
	if p.rows < passAfter {
		share = passGroupsEarly
	}
	return float64(p.table.n) > share*float64(p.rows)
}

// through returns the rows of a batch as groups with their states.
func (a *aggregate) through(ctx context.Context, b *vector.Batch) (*vector.Batch, error) {
	n := b.Rows()
	keys, err := evalAll(ctx, a.keys, b)
	if err != nil {
		return nil, err
	}
	cols := make([]*vector.Vector, 0, len(a.n.types))
	for _, k := range keys {
		if k.Form == vector.Dict && k.Child.Len > n/2 {
			k = k.Flatten() // each batch in the exchange would have all of the dictionary
		}
		cols = append(cols, k)
	}
	for i := len(a.seq); i < n; i++ {
		a.seq = append(a.seq, int32(i))
	}
	for _, c := range a.calls {
		vs, err := c.statesOfRows(ctx, b, a.seq[:n])
		if err != nil {
			return nil, err
		}
		cols = append(cols, vs...)
	}
	for i, t := range a.n.types {
		cols[i] = cols[i].Retype(t)
	}
	return vector.NewBatch(cols, n), nil
}

// statesOfRows returns the state of each row as a group of its own.
func (c *aggCall) statesOfRows(ctx context.Context, b *vector.Batch, seq []int32) ([]*vector.Vector, error) {
	if c.filter == nil && c.same {
		v, err := c.args[0].Eval(ctx, b)
		return []*vector.Vector{v}, err
	}
	if c.filter == nil && c.rows {
		return []*vector.Vector{vector.NewConst(vector.FromSlice(types.T(types.Int8), []int64{1}), b.Rows())}, nil
	}
	agg, err := c.make(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = agg.Close() }()
	agg.Grow(b.Rows())
	s := &callState{aggCall: c, agg: agg}
	if err := s.update(ctx, b, seq); err != nil {
		return nil, err
	}
	return agg.State(0, b.Rows())
}

// single marks calls whose state of a single row is the argument itself, or one.
func (c *aggCall) single(name string, states []types.Type) {
	switch name {
	case "min", "max", "sum", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor":
		c.same = len(c.argTs) == 1 && len(states) == 1 && states[0].Phys() == c.argTs[0].Phys()
	case "count":
		c.rows = len(c.argTs) == 0
	}
}
