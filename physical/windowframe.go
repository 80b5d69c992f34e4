package physical

import (
	"bytes"
	"context"
	"math"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
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

// at returns the bound of every row of a chunk. The bounds of a partition are found
// by moving on with its rows; a limit that is before the last one, which no plain
// offset makes, starts again.
func (r *rangeBound) at(ctx context.Context, all *vector.Batch, ch *chunk) ([]int32, error) {
	vs, err := evalAll(ctx, []*Expr{r.key, r.limit}, all)
	if err != nil {
		return nil, err
	}
	out := make([]int32, ch.n)
	if ks, ls, ok := r.integers(vs[0], vs[1]); ok {
		for p := range len(ch.parts) - 1 {
			from, to := ch.parts[p], ch.parts[p+1]
			if r.end {
				moveBehind(ks[from:to], ls[from:to], out[from:to], from)
			} else {
				moveTo(ks[from:to], ls[from:to], out[from:to], from)
			}
		}
		return out, cancelled(ctx)
	}
	orders := []keyOrder{r.order}
	keys := encodeKeys([]*vector.Vector{flat(vs[0])}, orders, ch.n)
	limits := encodeKeys([]*vector.Vector{flat(vs[1])}, orders, ch.n)
	least := 1 // of the comparison of a key with the limit, for rows behind the bound
	if !r.end {
		least = 0
	}
	for p := range len(ch.parts) - 1 {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		from, to := ch.parts[p], ch.parts[p+1]
		at := from
		for i := from; i < to; i++ {
			limit := limits.at(int(i))
			if i > from && bytes.Compare(limit, limits.at(int(i)-1)) < 0 {
				at = from
			}
			for at < to && bytes.Compare(keys.at(int(at)), limit) < least {
				at++
			}
			out[i] = at
		}
	}
	return out, nil
}

// integers returns keys and limits as integers that ascend in the window's order;
// false where there are NULLs or other types than numbers and times.
func (r *rangeBound) integers(key, limit *vector.Vector) (keys, limits []int64, ok bool) {
	key, limit = flatOrScaled(key), flatOrScaled(limit)
	if key.Valid != nil || limit.Valid != nil || key.Type.Phys() != limit.Type.Phys() || key.Form != limit.Form || key.Scale != limit.Scale {
		return nil, nil, false
	}
	one := func(v *vector.Vector) []int64 {
		var out []int64
		switch p := v.Type.Phys(); {
		case v.Form == vector.Scaled:
			out = vector.Values[int64](v)
		case isIntPhys(p):
			out = widen(v)
		case p == types.PhysFloat64:
			x := vector.Values[float64](v)
			out = make([]int64, len(x))
			for i, y := range x {
				out[i] = int64(types.FloatKey(y) ^ 1<<63)
			}
		default:
			return nil
		}
		if r.order.desc {
			back := make([]int64, len(out))
			for i, x := range out {
				back[i] = ^x
			}
			return back
		}
		return out
	}
	keys, limits = one(key), one(limit)
	return keys, limits, keys != nil && limits != nil
}

// moveTo finds for every limit the first key that is not before it.
func moveTo(keys, limits []int64, out []int32, base int32) {
	at, last := 0, int64(math.MinInt64)
	for i, l := range limits {
		if l < last {
			at = 0
		}
		last = l
		for at < len(keys) && keys[at] < l {
			at++
		}
		out[i] = base + int32(at)
	}
}

// moveBehind finds for every limit the first key that is behind it.
func moveBehind(keys, limits []int64, out []int32, base int32) {
	at, last := 0, int64(math.MinInt64)
	for i, l := range limits {
		if l < last {
			at = 0
		}
		last = l
		for at < len(keys) && keys[at] <= l {
			at++
		}
		out[i] = base + int32(at)
	}
}

// frameRows is the frames of a chunk's rows, which calls with the same frame share.
type frameRows struct {
	frame  *proto.Frame
	ranges [2]*rangeBound // the bounds that are given by a value: start, end
	of     *chunk         // what the rest was computed for
	segs   []segment
	// Of frames without EXCLUDE:
	whole    bool  // all are whole partitions
	prefix   bool  // all start with the partition
	monotone bool  // neither end ever moves back within a partition
	empty    bool  // some are empty
	simple   bool  // all are of the longest length, or start or end with the partition
	longest  int32 // length
}

// compute fills the frames in, once for a chunk.
func (f *frameRows) compute(ctx context.Context, all *vector.Batch, ch *chunk) error {
	if f.of == ch {
		return nil
	}
	var at [2][]int32
	for i, r := range f.ranges {
		if r != nil {
			var err error
			if at[i], err = r.at(ctx, all, ch); err != nil {
				return err
			}
		}
	}
	lo, hi := ch.frames(f.frame, at[0], at[1])
	f.of, f.segs = ch, ch.exclude(f.frame.Exclude, lo, hi)
	f.whole, f.prefix, f.monotone, f.simple, f.empty, f.longest = false, false, false, false, false, 0
	if len(f.segs) != 1 {
		return nil
	}
	f.whole, f.prefix, f.monotone, f.simple = true, true, true, true
	for i, l := range lo {
		f.longest = max(f.longest, hi[i]-l)
	}
	for p := range len(ch.parts) - 1 {
		from, to := ch.parts[p], ch.parts[p+1]
		wasLo, wasHi := from, from
		for i := from; i < to; i++ {
			l, h := lo[i], hi[i]
			if l != from || h != to {
				f.whole = false
			}
			if l != from {
				f.prefix = false
				if h != to && h-l != f.longest {
					f.simple = false
				}
			}
			if l < wasLo || h < wasHi {
				f.monotone = false
			}
			if l == h {
				f.empty = true
			}
			wasLo, wasHi = l, h
		}
	}
	return nil
}

// ends returns the first or the last row of every frame, -1 for none.
func (f *frameRows) ends(last bool) []int32 {
	lo, hi := f.segs[0].lo, f.segs[0].hi
	if !f.empty && !last {
		return lo
	}
	out := make([]int32, len(lo))
	for i, l := range lo {
		switch h := hi[i]; {
		case l == h:
			out[i] = -1
		case last:
			out[i] = h - 1
		default:
			out[i] = l
		}
	}
	return out
}

// exclude returns the rows of every row's frame as ranges in order, of which
// some may be empty: one without EXCLUDE, else what is left before and behind the
// excluded rows, with the row itself in between for EXCLUDE TIES.
func (ch *chunk) exclude(x proto.Frame_Exclude, lo, hi []int32) []segment {
	if x == proto.Frame_NO_OTHERS {
		return []segment{{lo, hi}}
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
		return []segment{before, self, behind}
	}
	return []segment{before, behind}
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
	if rows && f.Start.Kind == proto.FrameBound_PRECEDING && f.End.Kind == proto.FrameBound_CURRENT_ROW {
		for p := range len(c.parts) - 1 {
			from, to := c.parts[p], c.parts[p+1]
			for i := from; i < to; i++ {
				lo[i], hi[i] = max(from, i-so), i+1
			}
		}
		return lo, hi
	}
	if f.Start.Kind == proto.FrameBound_UNBOUNDED_PRECEDING && f.End.Kind == proto.FrameBound_UNBOUNDED_FOLLOWING {
		c.byPartition(func(from, to int32) {
			fill(lo[from:to], from)
			fill(hi[from:to], to)
		})
		return lo, hi
	}
	if startAt != nil && f.End.Kind == proto.FrameBound_CURRENT_ROW {
		c.byGroup(func(_, _, start, end int32) {
			for i := start; i < end; i++ {
				lo[i], hi[i] = min(startAt[i], end), end
			}
		})
		return lo, hi
	}
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
