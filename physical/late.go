package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Operators that hash go to files when the budget is used up, and when that is depends
// on what else runs: on other tasks of the query, which share its memory, and on which
// of them is faster. The order of what they give must not depend on it, since a task that
// runs again, and a query that is replayed, give the same rows in the same order. So rows
// that go to files have the number of the row, and what comes of them is merged by it.

// ordinalType is the type of the column, behind all others, that has these numbers.
var ordinalType = types.T(types.Int8)

// afterLeft is the number of the first right row of a join: those without a match come
// after all left rows.
const afterLeft = int64(1) << 62

// withNumbers returns b, dense, with the numbers of its rows, which begin at from.
func withNumbers(b *vector.Batch, from int64) *vector.Batch {
	v := make([]int64, b.Rows())
	for i := range v {
		v[i] = from + int64(i)
	}
	return vector.NewBatch(append(slices.Clone(b.Dense().Cols()), vector.FromSlice(ordinalType, v)), b.Rows())
}

// newLate returns a sorter of the rows of n with numbers, by these. They come in runs.
func newLate(n *node) *sorter {
	ts := append(slices.Clone(n.types), ordinalType)
	return newSorter(n, ts, columnKeys(n.env, []int{len(ts) - 1}, ts, []keyOrder{{}}), 0)
}

// nextLate returns the next rows without their numbers, nil at the end. A nil sorter has
// none.
func (s *sorter) nextLate(ctx context.Context) (*vector.Batch, error) {
	if s == nil {
		return nil, nil
	}
	b, err := s.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	return vector.NewBatch(b.Dense().Cols()[:len(s.ts)-1], b.Rows()), nil
}
