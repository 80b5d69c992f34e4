package storage

import (
	"slices"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// columns collects the records of a text format into batches.
type columns struct {
	cols      []*column
	rowID     bool  // the ordinals of the records are a last column
	batchRows int   // most rows of a batch
	limit     int64 // rows still to give, -1 = all
	ignore    bool  // bad records are left out

	rowIDs   []int64
	bad      []bool // by record of the block under way, when they are left out
	dropped  bool   // some row of the batch under way is bad
	batchBad []bool
}

// begin starts a batch of up to capacity rows.
func (r *columns) begin(capacity int) {
	for _, c := range r.cols {
		c.begin(capacity)
	}
	if r.rowID {
		r.rowIDs = make([]int64, 0, capacity)
	}
	r.dropped, r.batchBad = false, r.batchBad[:0]
}

// added notes a block of rows, the first of which has the given ordinal, whose
// values are in the columns.
func (r *columns) added(rows int, ordinal int64) {
	if r.ignore {
		r.batchBad = append(r.batchBad, r.bad[:rows]...)
		r.dropped = r.dropped || slices.Contains(r.bad[:rows], true)
	}
	if r.rowID {
		for i := range rows {
			r.rowIDs = append(r.rowIDs, ordinal+int64(i))
		}
	}
}

// flush makes the batch of rows records, without the bad ones.
func (r *columns) flush(rows int) *vector.Batch {
	vs := make([]*vector.Vector, 0, len(r.cols)+1)
	for _, c := range r.cols {
		vs = append(vs, c.finish())
	}
	if r.rowID {
		vs = append(vs, vector.FromSlice(types.T(types.Int8), r.rowIDs))
	}
	b := vector.NewBatch(vs, rows)
	if !r.ignore {
		return b
	}
	if r.dropped {
		good := make([]int32, 0, rows)
		for i, bad := range r.batchBad {
			if !bad {
				good = append(good, int32(i))
			}
		}
		b = b.Select(good).Dense()
	}
	if r.limit > 0 {
		if int64(b.Rows()) > r.limit {
			b = b.Slice(0, int(r.limit))
		}
		r.limit -= int64(b.Rows())
	}
	return b
}
