package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// aggregate computes an aggregate over the frames of a chunk:
//   - frames that are whole partitions: one group per partition;
//   - count, sum, avg, min and max of numbers: see slide;
//   - frames that start with the partition: rows are added as the end moves on;
//   - others: a segment tree of partial states (Leis et al., "Efficient Processing
//     of Window Functions in Analytical SQL Queries", 2015), all of whose steps are
//     calls over whole vectors.
func (c *windowCall) aggregate(ctx context.Context, all *vector.Batch, ch *chunk, args []*vector.Vector) (*vector.Vector, error) {
	var keep []int32 // rows that pass the filter, nil = all
	if c.filter != nil {
		v, err := c.filter.Eval(ctx, all)
		if err != nil {
			return nil, err
		}
		keep = trueRows(flat(v))
	}
	fr := c.rows
	if err := fr.compute(ctx, all, ch); err != nil {
		return nil, err
	}
	if !fr.whole {
		if v, ok, err := c.slide(ch, args, keep, fr); ok || err != nil {
			return v, err
		}
	}
	if !fr.whole && fr.prefix && fr.monotone {
		return c.growing(ctx, ch, args, keep, fr.segs[0].hi)
	}
	agg, err := c.make(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = agg.Close() }()
	if fr.whole {
		return c.perPartition(agg, ch, args, keep)
	}
	if c.refolds {
		return c.refold(ctx, agg, ch, args, keep, fr.segs)
	}
	return c.tree(ctx, agg, ch, args, keep, fr.segs)
}

// refoldRows is how many rows of frames refold folds at a time.
const refoldRows = 1 << 16

// refold folds every frame from its rows, many frames at once: for aggregates whose
// states cannot be merged. It is quadratic in the length of the frames, as in
// Postgres without inverse functions.
func (c *windowCall) refold(ctx context.Context, agg function.Aggregator, ch *chunk, args []*vector.Vector, keep []int32, segs []segment) (*vector.Vector, error) {
	agg.Grow(ch.n)
	var pass []bool
	if keep != nil {
		pass = make([]bool, ch.n)
		for _, r := range keep {
			pass[r] = true
		}
	}
	var groups, rows []int32
	flush := func() error {
		if err := cancelled(ctx); err != nil || len(rows) == 0 {
			return err
		}
		err := agg.Update(groups, gatherArgs(args, rows), len(rows))
		groups, rows = groups[:0], rows[:0]
		return err
	}
	for i := range ch.n {
		for _, s := range segs {
			for r := s.lo[i]; r < s.hi[i]; r++ {
				if pass != nil && !pass[r] {
					continue
				}
				groups, rows = append(groups, int32(i)), append(rows, r)
				if len(rows) == refoldRows {
					if err := flush(); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return agg.Final(0, ch.n)
}

func gatherArgs(args []*vector.Vector, rows []int32) []*vector.Vector {
	if rows == nil {
		return args
	}
	out := make([]*vector.Vector, len(args))
	for i, a := range args {
		out[i] = vector.Gather(a, rows)
	}
	return out
}

func (c *windowCall) perPartition(agg function.Aggregator, ch *chunk, args []*vector.Vector, keep []int32) (*vector.Vector, error) {
	parts := len(ch.parts) - 1
	agg.Grow(parts)
	groups := ch.partOf
	n := ch.n
	if keep != nil {
		groups, args, n = pick(ch.partOf, keep), gatherArgs(args, keep), len(keep)
	}
	if n > 0 {
		if err := agg.Update(groups, args, n); err != nil {
			return nil, err
		}
	}
	v, err := agg.Final(0, parts)
	if err != nil {
		return nil, err
	}
	return vector.Gather(v.Flatten(), ch.partOf), nil
}

// growing adds rows partition by partition as the frames' ends move on. Each
// partition has a new state.
func (c *windowCall) growing(ctx context.Context, ch *chunk, args []*vector.Vector, keep, hi []int32) (*vector.Vector, error) {
	out := make([]int32, ch.n) // per row: its result
	count := int32(0)
	var pass func(from, to int32) []int32 // the rows that pass the filter
	if keep != nil {
		in := make([]bool, ch.n)
		for _, r := range keep {
			in[r] = true
		}
		pass = func(from, to int32) []int32 {
			rows := make([]int32, 0, to-from)
			for r := from; r < to; r++ {
				if in[r] {
					rows = append(rows, r)
				}
			}
			return rows
		}
	}
	b := vector.NewBuilder(c.typ, ch.n)
	for p := range len(ch.parts) - 1 {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		agg, err := c.make(ctx)
		if err != nil {
			return nil, err
		}
		agg.Grow(1)
		from, to := ch.parts[p], ch.parts[p+1]
		err = func() error {
			at := from
			last := int32(-1)
			for i := from; i < to; i++ {
				if h := hi[i]; h != last {
					if h > at {
						sub, n := make([]*vector.Vector, len(args)), int(h-at)
						if keep == nil {
							for k, a := range args {
								sub[k] = vector.Slice(a, int(at), int(h))
							}
						} else {
							rows := pass(at, h)
							sub, n = gatherArgs(args, rows), len(rows)
						}
						if n > 0 {
							if err := agg.Update(nil, sub, n); err != nil {
								return err
							}
						}
						at = h
					}
					v, err := agg.Final(0, 1)
					if err != nil {
						return err
					}
					b.AppendFrom(v.Flatten(), 0)
					count++
					last = h
				}
				out[i] = count - 1
			}
			return nil
		}()
		_ = agg.Close()
		if err != nil {
			return nil, err
		}
	}
	return vector.Gather(b.Build(), out), nil
}

// tree answers every frame from states of aligned ranges of rows: a node of level
// k covers 2^k rows.
func (c *windowCall) tree(ctx context.Context, agg function.Aggregator, ch *chunk, args []*vector.Vector, keep []int32, segs []segment) (*vector.Vector, error) {
	n := ch.n
	// Level 0: every row is a group of its own.
	leaf, err := c.make(ctx)
	if err != nil {
		return nil, err
	}
	leaf.Grow(n)
	rows := allRows(n)
	if keep != nil {
		rows, args = keep, gatherArgs(args, keep)
	}
	if len(rows) > 0 {
		err = leaf.Update(rows, args, len(rows))
	}
	var level []*vector.Vector
	if err == nil {
		level, err = leaf.State(0, n)
	}
	_ = leaf.Close()
	if err != nil {
		return nil, err
	}
	if len(level) == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "%s is not supported over a sliding frame", c.name)
	}
	longest := int32(0)
	for _, s := range segs {
		for i := range n {
			longest = max(longest, s.hi[i]-s.lo[i])
		}
	}
	// The levels that the frames can use; each merges pairs of the one below.
	levels := [][]*vector.Vector{level}
	for size := n; size > 1 && 1<<len(levels) <= int(longest); {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		up, err := c.make(ctx)
		if err != nil {
			return nil, err
		}
		next := (size + 1) / 2
		up.Grow(next)
		parent := make([]int32, size)
		for i := range parent {
			parent[i] = int32(i / 2)
		}
		if err = up.Merge(parent, level, size); err == nil {
			level, err = up.State(0, next)
		}
		_ = up.Close()
		if err != nil {
			return nil, err
		}
		levels, size = append(levels, level), next
	}
	agg.Grow(n)
	for _, s := range segs {
		if err := mergeNodes(ctx, agg, levels, s); err != nil {
			return nil, err
		}
	}
	return agg.Final(0, n)
}

// mergeNodes folds the nodes of every row's range, from left to right: first the
// right children on the way up from its start, then, on the way down, the left ones
// before its end.
func mergeNodes(ctx context.Context, agg function.Aggregator, levels [][]*vector.Vector, s segment) error {
	left, right := slices.Clone(s.lo), slices.Clone(s.hi)
	type pending struct{ groups, nodes []int32 }
	down := make([]pending, len(levels))
	merge := func(level int, groups, nodes []int32) error {
		if len(groups) == 0 {
			return nil
		}
		return agg.Merge(groups, gatherArgs(levels[level], nodes), len(groups))
	}
	for k := range levels {
		if err := cancelled(ctx); err != nil {
			return err
		}
		var groups, nodes []int32
		more := false
		for i := range left {
			if left[i] >= right[i] {
				continue
			}
			if left[i]&1 == 1 {
				groups, nodes = append(groups, int32(i)), append(nodes, left[i])
				left[i]++
			}
			if right[i]&1 == 1 && left[i] < right[i] {
				right[i]--
				down[k].groups, down[k].nodes = append(down[k].groups, int32(i)), append(down[k].nodes, right[i])
			}
			left[i] >>= 1
			right[i] >>= 1
			more = more || left[i] < right[i]
		}
		if err := merge(k, groups, nodes); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	for k := len(levels) - 1; k >= 0; k-- {
		if err := merge(k, down[k].groups, down[k].nodes); err != nil {
			return err
		}
	}
	return nil
}
