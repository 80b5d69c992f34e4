package vector

import (
	"math"

	"github.com/volleydb/volley/types"
)

// Appender collects rows of vectors into one: each value is copied once and the
// sources are not held. Dict columns stay Dict while all pieces share one
// dictionary, Scaled ones Scaled while all have one scale; Const becomes Flat but
// for columns of nothing but constant NULLs.
type Appender struct {
	t     types.Type
	width int
	n     int
	buf   []byte
	offs  []int32
	bytes []byte
	valid []byte // nil while there is no NULL
	child *Appender
	dict  *Vector
	codes []int32
	nulls int // rows, all of constant NULLs, for which nothing is stored yet
	// scaled says that buf holds coefficients at scale.
	scaled bool
	scale  int32

	// Sizes of the vector built before: the next is likely to be as big.
	lastRows, lastBytes int
}

// NewAppender makes an empty Appender.
func NewAppender(t types.Type) *Appender {
	a := &Appender{t: t, width: Width(t.Phys())}
	if t.Phys() == types.PhysList {
		a.child = NewAppender(t.ElemType())
	}
	return a
}

// Expect says that the vector being built will have about n rows.
func (a *Appender) Expect(n int) { a.lastRows = n }

// Len is the number of rows so far.
func (a *Appender) Len() int { return a.n }

// Size is the bytes held so far.
func (a *Appender) Size() int64 {
	s := int64(cap(a.buf)) + 4*int64(cap(a.offs)) + int64(cap(a.bytes)) + int64(cap(a.valid)) + 4*int64(cap(a.codes))
	if a.child != nil {
		s += a.child.Size()
	}
	return s
}

// Room reports whether rows of v at idx (nil = all) fit 32-bit offsets.
func (a *Appender) Room(v *Vector, idx []int32) bool {
	switch {
	case a.child != nil:
		return int64(a.child.n)+int64(len(idx)) < math.MaxInt32/2
	case v.Form == Const && v.IsNull(0):
		return true
	case a.width == 0 && v.Form != Dict:
		total := int64(len(a.bytes))
		if v.Form == Flat && total+int64(len(v.Bytes)) < math.MaxInt32 {
			return true
		}
		for _, i := range idx {
			total += int64(len(v.BytesAt(int(i))))
		}
		return total < math.MaxInt32
	}
	return true
}

// Append adds rows idx of v, in that order.
func (a *Appender) Append(v *Vector, idx []int32) {
	if len(idx) == 0 {
		return
	}
	if v.Form == Const && v.IsNull(0) && a.n == a.nulls {
		a.n += len(idx)
		a.nulls = a.n
		return
	}
	if n := a.nulls; n > 0 {
		a.n, a.nulls = 0, 0
		a.append(NewNull(a.t, n), make([]int32, n))
	}
	a.append(v, idx)
}

func (a *Appender) append(v *Vector, idx []int32) {
	a.appendValid(v, idx)
	switch {
	case v.Form == Dict && (a.dict == v.Child || a.dict == nil && a.n == 0):
		a.dict = v.Child
		a.codes = grow(a.codes, len(idx))
		out := a.codes[len(a.codes)-len(idx):]
		for i, r := range idx {
			out[i] = v.Codes[r]
		}
	default:
		a.undict()
		a.rescale(v)
		a.appendValues(v, idx)
	}
	a.n += len(idx)
}

// undict turns the codes so far into values.
func (a *Appender) undict() {
	if a.dict == nil {
		return
	}
	dict, codes := a.dict, a.codes
	a.dict, a.codes = nil, nil
	a.appendValues(dict, codes)
}

// slack is the room for a batch like one of size n: batches differ a little, and
// one that is a row larger must not double its buffers.
func slack(n int) int { return n + n/8 }

func grow[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s[:len(s)+n]
	}
	c := make([]T, len(s)+n, max(2*cap(s), len(s)+n, 64))
	copy(c, s)
	return c
}

func (a *Appender) appendValid(v *Vector, idx []int32) {
	if v.Valid == nil && a.valid == nil {
		return
	}
	if a.valid == nil {
		a.valid = NewValid(a.n)
	}
	for len(a.valid) < (a.n+len(idx)+7)/8 {
		a.valid = append(a.valid, 0xff)
	}
	if v.Valid == nil {
		// Bits past the old end may have been left clear by a bitmap of fewer rows.
		for i := range idx {
			a.valid[(a.n+i)>>3] |= 1 << ((a.n + i) & 7)
		}
		return
	}
	for i, r := range idx {
		if v.IsNull(int(r)) {
			a.valid[(a.n+i)>>3] &^= 1 << ((a.n + i) & 7)
		} else {
			a.valid[(a.n+i)>>3] |= 1 << ((a.n + i) & 7)
		}
	}
}

func (a *Appender) appendValues(v *Vector, idx []int32) {
	switch a.t.Phys() {
	case types.PhysBytes:
		if len(a.offs) == 0 {
			a.offs = make([]int32, 1, max(slack(a.lastRows), len(idx))+1)
			a.bytes = make([]byte, 0, slack(a.lastBytes))
		}
		if v.Form == Flat {
			a.appendFlatBytes(v, idx)
			return
		}
		for _, r := range idx {
			a.bytes = append(a.bytes, v.BytesAt(int(r))...)
			a.offs = append(a.offs, int32(len(a.bytes)))
		}
	case types.PhysList:
		if len(a.offs) == 0 {
			a.offs = append(a.offs, 0)
		}
		var sub []int32
		end := a.offs[len(a.offs)-1]
		for _, r := range idx {
			from, to := v.ListAt(int(r))
			for e := from; e < to; e++ {
				sub = append(sub, int32(e))
			}
			end += int32(to - from)
			a.offs = append(a.offs, end)
		}
		a.child.Append(v.Child, sub)
	default:
		at := len(a.buf)
		need := at + len(idx)*a.width
		if need > cap(a.buf) {
			size := max(2*cap(a.buf), need, 256, slack(a.lastRows)*a.width)
			nb := dirtyBytes(size)
			copy(nb, a.buf)
			a.buf = nb[:at]
		}
		a.buf = a.buf[:need]
		if v.Form == Const {
			for i := at; i < need; i += a.width {
				copy(a.buf[i:i+a.width], v.buf)
			}
			return
		}
		if v.Form == Scaled && !a.scaled {
			v = Gather(v, idx).widened()
			copy(a.buf[at:], v.buf)
			return
		}
		gatherWidth(a.width, a.buf[at:], v.buf, idx)
	}
}

func (a *Appender) appendFlatBytes(v *Vector, idx []int32) {
	at, total := len(a.bytes), 0
	for _, r := range idx {
		total += int(v.Offs[r+1] - v.Offs[r])
	}
	a.bytes = grow(a.bytes, total)
	o := len(a.offs)
	a.offs = grow(a.offs, len(idx))
	offs, dst, src := a.offs[o:], a.bytes, v.Bytes
	for i, r := range idx {
		at += copy(dst[at:], src[v.Offs[r]:v.Offs[r+1]])
		offs[i] = int32(at)
	}
}

// Build returns the vector and empties the Appender.
func (a *Appender) Build() *Vector {
	if a.nulls > 0 {
		v := NewNull(a.t, a.n)
		a.n, a.nulls = 0, 0
		return v
	}
	v := &Vector{Type: a.t, Len: a.n, Valid: a.valid}
	switch {
	case a.dict != nil:
		v.Form, v.Codes, v.Child = Dict, a.codes, a.dict
	case a.width > 0:
		v.buf = a.buf
		if a.scaled {
			v.Form, v.Scale = Scaled, a.scale
		}
	default:
		v.Offs, v.Bytes = a.offs, a.bytes
		if len(v.Offs) == 0 {
			v.Offs = []int32{0}
		}
	}
	if a.child != nil && a.dict == nil {
		v.Child = a.child.Build()
	}
	rows, bytes := a.n, len(a.bytes)
	*a = *NewAppender(a.t)
	a.lastRows, a.lastBytes = rows, bytes
	return v
}
