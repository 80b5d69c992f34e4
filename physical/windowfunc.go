package physical

import (
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// windowFuncs are the pure window functions over a chunk of whole partitions.
var windowFuncs = map[string]func(c *windowCall, ch *chunk, args []*vector.Vector) (*vector.Vector, error){
	"row_number":   rowNumber,
	"rank":         rank,
	"dense_rank":   denseRank,
	"percent_rank": percentRank,
	"cume_dist":    cumeDist,
	"ntile":        ntile,
	"lag":          func(c *windowCall, ch *chunk, a []*vector.Vector) (*vector.Vector, error) { return shift(c, ch, a, -1) },
	"lead":         func(c *windowCall, ch *chunk, a []*vector.Vector) (*vector.Vector, error) { return shift(c, ch, a, 1) },
	"first_value":  nil, // frameValue
	"last_value":   nil,
	"nth_value":    nil,
}

func (c *windowCall) compute(ctx context.Context, all *vector.Batch, ch *chunk) (*vector.Vector, error) {
	args, err := evalAll(ctx, c.args, all)
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = flat(args[i])
	}
	if c.plugin != nil {
		return c.fromPlugin(ctx, all, ch, args)
	}
	if c.make != nil {
		return c.aggregate(ctx, all, ch, args)
	}
	if f := windowFuncs[c.name]; f != nil {
		return f(c, ch, args)
	}
	return c.frameValue(ctx, all, ch, args)
}

var (
	int8Type   = types.T(types.Int8)
	float8Type = types.T(types.Float8)
)

// byPartition gives f the bounds of each partition.
func (c *chunk) byPartition(f func(from, to int32)) {
	for p := range len(c.parts) - 1 {
		f(c.parts[p], c.parts[p+1])
	}
}

// byGroup gives f the bounds of each peer group with those of its partition.
func (c *chunk) byGroup(f func(from, to, start, end int32)) {
	p := 0
	for g := range len(c.groups) - 1 {
		if c.groups[g] == c.parts[p+1] {
			p++
		}
		f(c.parts[p], c.parts[p+1], c.groups[g], c.groups[g+1])
	}
}

func fill[T any](out []T, v T) {
	for i := range out {
		out[i] = v
	}
}

func rowNumber(_ *windowCall, ch *chunk, _ []*vector.Vector) (*vector.Vector, error) {
	out := make([]int64, ch.n)
	ch.byPartition(func(from, to int32) {
		for i := from; i < to; i++ {
			out[i] = int64(i-from) + 1
		}
	})
	return vector.FromSlice(int8Type, out), nil
}

func rank(_ *windowCall, ch *chunk, _ []*vector.Vector) (*vector.Vector, error) {
	out := make([]int64, ch.n)
	ch.byGroup(func(from, _, start, end int32) { fill(out[start:end], int64(start-from)+1) })
	return vector.FromSlice(int8Type, out), nil
}

func denseRank(_ *windowCall, ch *chunk, _ []*vector.Vector) (*vector.Vector, error) {
	out := make([]int64, ch.n)
	rank := int64(0)
	ch.byGroup(func(from, _, start, end int32) {
		if rank++; start == from {
			rank = 1
		}
		fill(out[start:end], rank)
	})
	return vector.FromSlice(int8Type, out), nil
}

func percentRank(_ *windowCall, ch *chunk, _ []*vector.Vector) (*vector.Vector, error) {
	out := make([]float64, ch.n)
	ch.byGroup(func(from, to, start, end int32) {
		if to-from > 1 {
			fill(out[start:end], float64(start-from)/float64(to-from-1))
		}
	})
	return vector.FromSlice(float8Type, out), nil
}

func cumeDist(_ *windowCall, ch *chunk, _ []*vector.Vector) (*vector.Vector, error) {
	out := make([]float64, ch.n)
	ch.byGroup(func(from, to, start, end int32) { fill(out[start:end], float64(end-from)/float64(to-from)) })
	return vector.FromSlice(float8Type, out), nil
}

// ntile takes the number of buckets from the first row of each partition.
func ntile(_ *windowCall, ch *chunk, args []*vector.Vector) (*vector.Vector, error) {
	out := make([]int32, ch.n)
	var valid []byte
	counts := args[0].Flatten()
	buckets := widen(counts)
	for p := range len(ch.parts) - 1 {
		from, to := ch.parts[p], ch.parts[p+1]
		if counts.IsNull(int(from)) {
			if valid == nil {
				valid = vector.NewValid(ch.n)
			}
			for i := from; i < to; i++ {
				vector.SetNull(valid, int(i))
			}
			continue
		}
		k := buckets[from]
		if k <= 0 {
			return nil, pgerr.New(pgerr.InvalidArgumentForNtile, "argument of ntile must be greater than zero")
		}
		size, extra := int64(to-from)/k, int64(to-from)%k
		for at, bucket := int64(from), int32(1); at < int64(to); bucket++ {
			end := at + size
			if int64(bucket) <= extra {
				end++ // the first extra buckets have one row more
			}
			fill(out[at:end], bucket)
			at = end
		}
	}
	return vector.FromSlice(types.T(types.Int4), out).WithValid(valid), nil
}

// nonNull returns for every row the nearest row at or before it, and at or after
// it, that is not NULL, in the whole chunk: -1 and n for none.
func nonNull(v *vector.Vector, n int) (before, after []int32) {
	before, after = make([]int32, n), make([]int32, n)
	last := int32(-1)
	for i := range n {
		if !v.IsNull(i) {
			last = int32(i)
		}
		before[i] = last
	}
	next := int32(n)
	for i := n - 1; i >= 0; i-- {
		if !v.IsNull(i) {
			next = int32(i)
		}
		after[i] = next
	}
	return before, after
}

// shift is lag (dir -1) and lead (dir 1): value, offset (default 1), default.
func shift(c *windowCall, ch *chunk, args []*vector.Vector, dir int64) (*vector.Vector, error) {
	n := ch.n
	v := args[0].Flatten()
	idx := make([]int32, n)
	var offs *vector.Vector
	var offsets []int64
	if len(args) > 1 {
		offs = args[1].Flatten()
		offsets = widen(offs)
	}
	vals := v
	if len(args) > 2 {
		vals = vector.Concat([]*vector.Vector{v, args[2].Flatten().Retype(v.Type)})
	}
	if offs == nil && !c.ignoreNulls {
		ch.byPartition(func(from, to int32) {
			for i := from; i < to; i++ {
				idx[i] = i + int32(dir)
			}
			edge := from
			if dir > 0 {
				edge = to - 1
			}
			idx[edge] = -1
		})
		return vector.GatherNull(v, idx), nil
	}
	var before, after []int32
	if c.ignoreNulls {
		before, after = nonNull(v, n)
	}
	for i := range n {
		idx[i] = -1
		k := int64(1)
		if offs != nil {
			if offs.IsNull(i) {
				continue
			}
			k = offsets[i]
		}
		from, to := ch.part(i)
		at := int64(-1)
		if before == nil {
			if k > int64(n) || k < -int64(n) {
				k = int64(n) + 1
			}
			if at = int64(i) + dir*k; at < int64(from) || at >= int64(to) {
				at = -1
			}
		} else {
			at = stepNonNull(int64(i), dir*k, int64(from), int64(to), before, after)
		}
		switch {
		case at >= 0:
			idx[i] = int32(at)
		case len(args) > 2:
			idx[i] = int32(n + i)
		}
	}
	return vector.GatherNull(vals, idx), nil
}

// stepNonNull goes k rows that are not NULL from row i, not leaving the partition.
func stepNonNull(i, k, from, to int64, before, after []int32) int64 {
	for ; k < 0; k++ {
		if i <= from {
			return -1
		}
		if i = int64(before[i-1]); i < from {
			return -1
		}
	}
	for ; k > 0; k-- {
		if i+1 >= to {
			return -1
		}
		if i = int64(after[i+1]); i >= to {
			return -1
		}
	}
	return i
}

// valueRows is, for every row, the row of its frame that first_value, last_value and
// nth_value take: the k-th from the start, or from the end for k < 0; -1 for none.
// k may return 0 for a row without a value.
func (c *windowCall) valueRows(ctx context.Context, all *vector.Batch, ch *chunk, v *vector.Vector, k func(i int) int64) ([]int32, error) {
	if err := c.rows.compute(ctx, all, ch); err != nil {
		return nil, err
	}
	segs := c.rows.segs
	// Among rows that are not NULL, positions are ranks among those.
	var rows, rank []int32
	if c.ignoreNulls {
		rank = make([]int32, ch.n+1)
		for i := range ch.n {
			rank[i] = int32(len(rows))
			if !v.IsNull(i) {
				rows = append(rows, int32(i))
			}
		}
		rank[ch.n] = int32(len(rows))
	}
	out := make([]int32, ch.n)
	for i := range out {
		out[i] = -1
		left := k(i)
		if left == 0 {
			continue
		}
		for j := range segs {
			s := &segs[j]
			if left < 0 {
				s = &segs[len(segs)-1-j]
			}
			lo, hi := s.lo[i], s.hi[i]
			if rank != nil {
				lo, hi = rank[lo], rank[hi]
			}
			n := int64(max(hi-lo, 0))
			if left > n {
				left -= n
				continue
			}
			if -left > n {
				left += n
				continue
			}
			at := lo + int32(left) - 1
			if left < 0 {
				at = hi + int32(left)
			}
			if rank != nil {
				at = rows[at]
			}
			out[i] = at
			break
		}
	}
	return out, nil
}

// frameValue computes first_value, last_value and nth_value.
func (c *windowCall) frameValue(ctx context.Context, all *vector.Batch, ch *chunk, args []*vector.Vector) (*vector.Vector, error) {
	v := flatOrScaled(args[0])
	if c.name != "nth_value" && !c.ignoreNulls && c.frame.Exclude == proto.Frame_NO_OTHERS {
		if err := c.rows.compute(ctx, all, ch); err != nil {
			return nil, err
		}
		return vector.GatherNull(v, c.rows.ends(c.name == "last_value")), nil
	}
	k := func(int) int64 { return 1 }
	switch c.name {
	case "last_value":
		k = func(int) int64 { return -1 }
	case "nth_value":
		nth := args[1].Flatten()
		ks := widen(nth)
		for i := range ch.n {
			if !nth.IsNull(i) && ks[i] <= 0 {
				return nil, pgerr.New(pgerr.InvalidArgumentForNthValue, "argument of nth_value must be greater than zero")
			}
		}
		k = func(i int) int64 {
			if nth.IsNull(i) {
				return 0
			}
			return ks[i]
		}
	}
	rows, err := c.valueRows(ctx, all, ch, v, k)
	if err != nil {
		return nil, err
	}
	return vector.GatherNull(v, rows), nil
}
