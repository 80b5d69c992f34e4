package vector

import "github.com/volleydb/volley/types"

// DefaultRows is the target number of rows in a batch.
const DefaultRows = 16384

// Batch is columns of equal length. Those of a batch that was selected from others
// are gathered when they are first read: what nobody reads is never copied. It
// belongs to one goroutine at a time until Dense has been called on it.
type Batch struct {
	cols []*Vector // nil where not gathered yet
	n    int       // rows
	late []late    // per column; nil when all are in cols
}

// late is a column that is yet to be gathered: the rows idx of v. With null an
// index of -1 is NULL.
type late struct {
	v    *Vector
	idx  []int32
	null bool
}

// codedRows is up to how many rows of strings a late column may refer to as to a
// dictionary, instead of copying them.
const codedRows = 4096

func (l *late) gather() *Vector {
	v := l.v
	if v.Form == Flat && v.Offs != nil && v.Child == nil && v.Len > 0 && v.Len <= min(codedRows, len(l.idx)/2) {
		v = &Vector{Type: v.Type, Form: Dict, Len: v.Len, Valid: v.Valid, Child: v.WithValid(nil)}
		if !l.null || !anyNegative(l.idx) {
			return &Vector{Type: v.Type, Form: Dict, Len: len(l.idx), Valid: gatherValid(v.Valid, l.idx), Child: v.Child, Codes: l.idx}
		}
		v.Codes = make([]int32, v.Len)
		for i := range v.Codes {
			v.Codes[i] = int32(i)
		}
	}
	if l.null {
		return GatherNull(v, l.idx)
	}
	return Gather(v, l.idx)
}

// NewBatch makes a batch of n rows; every column has n rows.
func NewBatch(cols []*Vector, n int) *Batch { return &Batch{cols: cols, n: n} }

// Rows is the number of rows.
func (b *Batch) Rows() int { return b.n }

// NumCols is the number of columns.
func (b *Batch) NumCols() int { return len(b.cols) }

// Col returns column i, gathering it the first time.
func (b *Batch) Col(i int) *Vector {
	if b.cols[i] == nil && b.late != nil {
		b.cols[i] = b.late[i].gather()
	}
	return b.cols[i]
}

// Select returns the rows of b at sel, in that order, without copying values. sel
// must not be changed any more.
func (b *Batch) Select(sel []int32) *Batch {
	out := &Batch{cols: make([]*Vector, len(b.cols)), n: len(sel), late: make([]late, len(b.cols))}
	var from, to []int32 // the last indexes selected from: columns share them
	for i, c := range b.cols {
		if c != nil || b.late == nil {
			out.late[i] = late{v: c, idx: sel}
			continue
		}
		l := b.late[i]
		if to == nil || len(from) != len(l.idx) || len(from) > 0 && &from[0] != &l.idx[0] {
			from, to = l.idx, gatherInts(l.idx, sel)
		}
		out.late[i] = late{v: l.v, idx: to, null: l.null}
	}
	return out
}

// Beside returns b with further columns: the rows idx of cols, where with null an
// index of -1 is NULL. They are not copied before they are read. idx, of as many
// rows as b has, must not be changed any more.
func (b *Batch) Beside(cols []*Vector, idx []int32, null bool) *Batch {
	k := len(b.cols)
	out := &Batch{cols: make([]*Vector, k+len(cols)), n: b.n, late: make([]late, k+len(cols))}
	copy(out.cols, b.cols)
	copy(out.late, b.late)
	for i, c := range cols {
		out.late[k+i] = late{v: c, idx: idx, null: null}
	}
	return out
}

// Append returns b with the columns of o, which has as many rows, after its own.
func (b *Batch) Append(o *Batch) *Batch {
	out := &Batch{cols: append(append([]*Vector(nil), b.cols...), o.cols...), n: b.n}
	if b.late != nil || o.late != nil {
		out.late = make([]late, len(out.cols))
		copy(out.late, b.late)
		copy(out.late[len(b.cols):], o.late)
	}
	return out
}

// Project returns a batch of the columns at idx.
func (b *Batch) Project(idx []int) *Batch {
	out := &Batch{cols: make([]*Vector, len(idx)), n: b.n}
	if b.late != nil {
		out.late = make([]late, len(idx))
	}
	for i, c := range idx {
		out.cols[i] = b.cols[c]
		if b.late != nil {
			out.late[i] = b.late[c]
		}
	}
	return out
}

// Dense returns the batch with all columns gathered: what leaves a task, is kept,
// or is read by several goroutines.
func (b *Batch) Dense() *Batch {
	if b.late == nil {
		return b
	}
	return NewBatch(b.Cols(), b.n)
}

// Cols returns all columns.
func (b *Batch) Cols() []*Vector {
	if b.late != nil {
		for i := range b.cols {
			b.Col(i)
		}
	}
	return b.cols
}

// Slice returns rows [from, to).
func (b *Batch) Slice(from, to int) *Batch {
	if from == 0 && to == b.n {
		return b
	}
	out := &Batch{cols: make([]*Vector, len(b.cols)), n: to - from}
	if b.late != nil {
		out.late = make([]late, len(b.cols))
	}
	for i, c := range b.cols {
		if c != nil || b.late == nil {
			out.cols[i] = Slice(c, from, to)
			continue
		}
		l := b.late[i]
		out.late[i] = late{v: l.v, idx: l.idx[from:to], null: l.null}
	}
	return out
}

// Size is the memory the batch holds on to.
func (b *Batch) Size() int64 {
	s := int64(64)
	for i, c := range b.cols {
		if c == nil && b.late != nil {
			c = b.late[i].v
			s += 4 * int64(b.n)
		}
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
