package vector

import "github.com/volleydb/volley/types"

// DefaultRows is the target number of rows in a batch.
const DefaultRows = 16384

// Batch is columns of equal length with an optional selection. It belongs to
// one goroutine at a time until Dense has been called on it.
type Batch struct {
	cols []*Vector
	n    int     // rows of cols
	sel  []int32 // selected rows, nil = all
	memo []*Vector
}

// NewBatch makes a batch of n rows; every column has n rows.
func NewBatch(cols []*Vector, n int) *Batch { return &Batch{cols: cols, n: n} }

// Rows is the number of (selected) rows.
func (b *Batch) Rows() int {
	if b.sel != nil {
		return len(b.sel)
	}
	return b.n
}

// NumCols is the number of columns.
func (b *Batch) NumCols() int { return len(b.cols) }

// Col returns column i with the selection applied, gathering it the first time.
func (b *Batch) Col(i int) *Vector {
	if b.sel == nil {
		return b.cols[i]
	}
	if b.memo[i] == nil {
		b.memo[i] = Gather(b.cols[i], b.sel)
	}
	return b.memo[i]
}

// Select returns the batch restricted to rows sel (ascending indexes into b's
// rows), without copying values.
func (b *Batch) Select(sel []int32) *Batch {
	if b.sel != nil {
		sel = gatherSlice(b.sel, sel)
	}
	if sel == nil {
		sel = []int32{}
	}
	return &Batch{cols: b.cols, n: b.n, sel: sel, memo: make([]*Vector, len(b.cols))}
}

// Project returns a batch of the columns at idx, sharing the selection.
func (b *Batch) Project(idx []int) *Batch {
	out := &Batch{cols: make([]*Vector, len(idx)), n: b.n, sel: b.sel}
	if b.sel != nil {
		out.memo = make([]*Vector, len(idx))
	}
	for i, c := range idx {
		out.cols[i] = b.cols[c]
		if b.sel != nil {
			out.memo[i] = b.memo[c]
		}
	}
	return out
}

// Dense returns the batch without a selection: what leaves a task, is kept, or
// is read by several goroutines.
func (b *Batch) Dense() *Batch {
	if b.sel == nil {
		return b
	}
	return NewBatch(b.Cols(), b.Rows())
}

// Cols returns all columns with the selection applied.
func (b *Batch) Cols() []*Vector {
	if b.sel == nil {
		return b.cols
	}
	out := make([]*Vector, len(b.cols))
	for i := range b.cols {
		out[i] = b.Col(i)
	}
	return out
}

// Slice returns rows [from, to).
func (b *Batch) Slice(from, to int) *Batch {
	if from == 0 && to == b.Rows() {
		return b
	}
	if b.sel != nil {
		return &Batch{cols: b.cols, n: b.n, sel: b.sel[from:to], memo: make([]*Vector, len(b.cols))}
	}
	cols := make([]*Vector, len(b.cols))
	for i, c := range b.cols {
		cols[i] = Slice(c, from, to)
	}
	return NewBatch(cols, to-from)
}

// Size is the memory the batch holds on to.
func (b *Batch) Size() int64 {
	s := int64(64) + 4*int64(len(b.sel))
	for _, c := range b.cols {
		s += c.Size()
	}
	return s
}

// ConcatBatches returns the rows of all batches as one dense, Flat batch.
func ConcatBatches(ts []types.Type, bs []*Batch) *Batch {
	n := 0
	for _, b := range bs {
		n += b.Rows()
	}
	cols := make([]*Vector, len(ts))
	for c, t := range ts {
		if len(bs) == 0 {
			cols[c] = New(t, 0)
			continue
		}
		vs := make([]*Vector, len(bs))
		for i, b := range bs {
			vs[i] = b.Col(c)
		}
		cols[c] = Concat(vs)
	}
	return NewBatch(cols, n)
}

// Field names and types one column.
type Field struct {
	Name string
	Type types.Type
}
