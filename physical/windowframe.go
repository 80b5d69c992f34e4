package physical

import (
	"bytes"
	"context"
	"sort"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// rangeBound is a bound of RANGE with an offset: every row has a limit, and its
// frame starts (ends) with the first (last) row whose key is not before (behind)
// it. Both are encoded so that comparing bytes is comparing in the window's order,
// NULLs among them: the frame of a NULL is its peers.
type rangeBound struct {
	key, limit *Expr
	order      keyOrder
	end        bool
}

// at returns the bound of every row of a chunk.
func (r *rangeBound) at(ctx context.Context, all *vector.Batch, ch *chunk) ([]int32, error) {
	vs, err := evalAll(ctx, []*Expr{r.key, r.limit}, all)
	if err != nil {
		return nil, err
	}
	orders := []keyOrder{r.order}
	keys := encodeKeys([]*vector.Vector{flat(vs[0])}, orders, ch.n)
	limits := encodeKeys([]*vector.Vector{flat(vs[1])}, orders, ch.n)
	out := make([]int32, ch.n)
	least := 1 // of the comparison of a key with the limit, for rows behind the bound
	if !r.end {
		least = 0
	}
	for i := range out {
		if i&0xfff == 0 {
			if err := cancelled(ctx); err != nil {
				return nil, err
			}
		}
		from, to := ch.part(i)
		limit := limits.at(i)
		out[i] = from + int32(sort.Search(int(to-from), func(k int) bool {
			return bytes.Compare(keys.at(int(from)+k), limit) >= least
		}))
	}
	return out, nil
}

// frames returns the frame [lo, hi) of every row, before EXCLUDE.
func (c *windowCall) frames(ctx context.Context, all *vector.Batch, ch *chunk) (lo, hi []int32, err error) {
	var at [2][]int32
	for i, r := range c.ranges {
		if r != nil {
			if at[i], err = r.at(ctx, all, ch); err != nil {
				return nil, nil, err
			}
		}
	}
	lo, hi = ch.frames(c.frame, at[0], at[1])
	return lo, hi, nil
}

// segments returns the rows of every row's frame as ranges in order, of which
// some may be empty: one without EXCLUDE, else what is left before and behind the
// excluded rows, with the row itself in between for EXCLUDE TIES.
func (c *windowCall) segments(ctx context.Context, all *vector.Batch, ch *chunk) ([]segment, error) {
	lo, hi, err := c.frames(ctx, all, ch)
	if err != nil {
		return nil, err
	}
	x := c.frame.Exclude
	if x == proto.Frame_NO_OTHERS {
		return []segment{{lo, hi}}, nil
	}
	n := ch.n
	before := segment{lo, make([]int32, n)}
	self := segment{make([]int32, n), make([]int32, n)}
	behind := segment{make([]int32, n), hi}
	for i := range n {
		l, h := lo[i], hi[i]
		from, to := int32(i), int32(i)+1
		if x != proto.Frame_EXCLUDE_CURRENT_ROW {
			g := ch.groupOf[i]
			from, to = ch.groups[g], ch.groups[g+1]
		}
		before.hi[i] = max(l, min(from, h))
		behind.lo[i] = min(h, max(to, l))
		if int32(i) >= l && int32(i) < h {
			self.lo[i], self.hi[i] = int32(i), int32(i)+1
		}
	}
	if x == proto.Frame_EXCLUDE_TIES {
		return []segment{before, self, behind}, nil
	}
	return []segment{before, behind}, nil
}

// segment is a range of rows [lo[i], hi[i]) for every row i.
type segment struct{ lo, hi []int32 }

// frames returns the frame [lo, hi) of every row. startAt and endAt are the bounds that
// are given by a value.
func (c *chunk) frames(f *proto.Frame, startAt, endAt []int32) (lo, hi []int32) {
	lo, hi = make([]int32, c.n), make([]int32, c.n)
	offset := func(b *proto.FrameBound) int32 { return int32(min(b.Offset, int64(c.n))) }
	so, eo := offset(f.Start), offset(f.End)
	rows := f.Mode == proto.Frame_ROWS
	for i := range c.n {
		ps, pe := c.part(i)
		g := c.groupOf[i]
		firstGroup, lastGroup := c.groupOf[ps], c.groupOf[pe-1]
		l, h := ps, pe
		switch f.Start.Kind {
		case proto.FrameBound_PRECEDING:
			if rows {
				l = max(ps, int32(i)-so)
			} else {
				l = c.groups[max(firstGroup, g-so)]
			}
		case proto.FrameBound_CURRENT_ROW:
			if rows {
				l = int32(i)
			} else {
				l = c.groups[g]
			}
		case proto.FrameBound_FOLLOWING:
			switch {
			case rows:
				l = min(pe, int32(i)+so)
			case g+so > lastGroup:
				l = pe
			default:
				l = c.groups[g+so]
			}
		case proto.FrameBound_UNBOUNDED_FOLLOWING:
			l = pe
		}
		switch f.End.Kind {
		case proto.FrameBound_PRECEDING:
			switch {
			case rows:
				h = max(ps, int32(i)-eo+1)
			case g-eo < firstGroup:
				h = ps
			default:
				h = c.groups[g-eo+1]
			}
		case proto.FrameBound_CURRENT_ROW:
			if rows {
				h = int32(i) + 1
			} else {
				h = c.groups[g+1]
			}
		case proto.FrameBound_FOLLOWING:
			if rows {
				h = min(pe, int32(i)+eo+1)
			} else {
				h = c.groups[min(lastGroup, g+eo)+1]
			}
		case proto.FrameBound_UNBOUNDED_PRECEDING:
			h = ps
		}
		if startAt != nil {
			l = startAt[i]
		}
		if endAt != nil {
			h = endAt[i]
		}
		lo[i], hi[i] = l, max(l, h)
	}
	return lo, hi
}
