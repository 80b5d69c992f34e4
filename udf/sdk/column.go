package udf

import (
	"math"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// column is one column of a batch in an input slot. Fixed-width values are read
// in place; strings and bytes are copied once per batch, so that what user code
// keeps of them stays what it was when the slot is used again.
type column struct {
	name  string
	typ   Type // as declared by the SQL function: Date where the Go side has Time
	n     int
	valid []byte // nil = no NULL
	mem   []byte
	at    wire.Col
	cache any // decoded values of types that need decoding
}

func (c *column) isNull(i int) bool {
	return c.valid != nil && c.valid[i>>3]&(1<<(i&7)) == 0
}

// firstNull returns the first NULL of rows [from, to), -1 if there is none.
func (c *column) firstNull(from, to int) int {
	if c.valid != nil {
		for i := from; i < to; i++ {
			if c.isNull(i) {
				return i
			}
		}
	}
	return -1
}

func fixed[T any](c *column) []T {
	if c.n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&c.mem[c.at.Data])), c.n)
}

func (c *column) offsets() []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(&c.mem[c.at.Data])), c.n+1)
}

func (c *column) strings() []string {
	offs := c.offsets()
	all := string(c.mem[c.at.Bytes : c.at.Bytes+c.at.BytesLen])
	out := make([]string, c.n)
	for i := range out {
		out[i] = all[offs[i]:offs[i+1]]
	}
	return out
}

func (c *column) byteSlices() [][]byte {
	offs := c.offsets()
	all := make([]byte, c.at.BytesLen) // not nil: an empty value is not NULL
	copy(all, c.mem[c.at.Bytes:])
	out := make([][]byte, c.n)
	for i := range out {
		if c.isNull(i) {
			continue
		}
		out[i] = all[offs[i]:offs[i+1]:offs[i+1]]
	}
	return out
}

func (c *column) times() []time.Time {
	out := make([]time.Time, c.n)
	if c.typ.base() == Date {
		for i, d := range fixed[int32](c) {
			out[i] = epochDate(d)
		}
		return out
	}
	for i, m := range fixed[int64](c) {
		out[i] = epochTime(m)
	}
	return out
}

// decode returns the values of c as Ts; the zero value, or anything, for NULL.
func decode[T any](c *column) []T {
	var r any
	switch any((*T)(nil)).(type) {
	case *bool, *int16, *int32, *int64, *float32, *float64:
		return fixed[T](c)
	case *string:
		if c.cache == nil {
			c.cache = c.strings()
		}
		r = c.cache
	case *[]byte:
		if c.cache == nil {
			c.cache = c.byteSlices()
		}
		r = c.cache
	case *time.Time:
		if c.cache == nil {
			c.cache = c.times()
		}
		r = c.cache
	default:
		var z T
		r = any(z).(nullable).decode(c)
	}
	return r.([]T)
}

// outCol collects a column of results on the heap until it is copied to a slot.
type outCol struct {
	name  string
	typ   Type // as declared by the SQL function
	width int
	n     int
	fixed []byte
	offs  []int32 // ends of the values in bytes, without the leading 0
	bytes []byte
	nulls []int32 // rows that are NULL, ascending
}

func newOutCol(name string, t Type) *outCol {
	return &outCol{name: name, typ: t, width: t.kind().Width()}
}

func (o *outCol) reset() {
	o.n, o.fixed, o.offs, o.bytes, o.nulls = 0, o.fixed[:0], o.offs[:0], o.bytes[:0], o.nulls[:0]
}

// size is the bytes of the values so far.
func (o *outCol) size() int { return len(o.fixed) + 4*len(o.offs) + len(o.bytes) }

func (o *outCol) setNull(i int) { o.nulls = append(o.nulls, int32(i)) }

var zero16 [16]byte

func (o *outCol) appendNull() {
	o.nulls = append(o.nulls, int32(o.n))
	if o.width > 0 {
		o.fixed = append(o.fixed, zero16[:o.width]...)
	} else {
		o.offs = append(o.offs, int32(len(o.bytes)))
	}
	o.n++
}

func appendFixed[T any](o *outCol, v T) {
	o.fixed = append(o.fixed, unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...)
	o.n++
}

func appendFixedAll[T any](o *outCol, vs []T) {
	if len(vs) > 0 {
		o.fixed = append(o.fixed, unsafe.Slice((*byte)(unsafe.Pointer(&vs[0])), uintptr(len(vs))*unsafe.Sizeof(vs[0]))...)
		o.n += len(vs)
	}
}

// room fails when a column would outgrow its 32-bit offsets.
func (o *outCol) room(n int) {
	if len(o.bytes)+n > math.MaxInt32 {
		panic(Errorf("54000", "results of one batch are larger than 2 GiB"))
	}
}

func (o *outCol) appendString(s string) {
	o.room(len(s))
	o.bytes = append(o.bytes, s...)
	o.offs = append(o.offs, int32(len(o.bytes)))
	o.n++
}

func (o *outCol) appendBytes(b []byte) {
	if b == nil {
		o.appendNull()
		return
	}
	o.room(len(b))
	o.bytes = append(o.bytes, b...)
	o.offs = append(o.offs, int32(len(o.bytes)))
	o.n++
}

func (o *outCol) appendTime(t time.Time) {
	if o.typ.base() == Date {
		appendFixed(o, toDate(t))
	} else {
		appendFixed(o, t.UnixMicro())
	}
}

// encode appends vals to o.
func encode[T any](o *outCol, vals []T) {
	switch vs := any(vals).(type) {
	case []bool, []int16, []int32, []int64, []float32, []float64:
		appendFixedAll(o, vals)
	case []string:
		for _, s := range vs {
			o.appendString(s)
		}
	case [][]byte:
		for _, b := range vs {
			o.appendBytes(b)
		}
	case []time.Time:
		for _, t := range vs {
			o.appendTime(t)
		}
	default:
		var z T
		any(z).(nullable).encode(o, 0, vals)
	}
}

// isFixed reports whether results of T can be written straight into a slot.
func isFixed[T any]() bool {
	switch any((*T)(nil)).(type) {
	case *bool, *int16, *int32, *int64, *float32, *float64:
		return true
	}
	return false
}

// rowsThatFit returns how many of the rows from on have at most limit bytes,
// at least one.
func rowsThatFit(cols []*outCol, from, n, limit int) int {
	total := 0
	for _, o := range cols {
		total += o.size()
	}
	if total <= limit && from == 0 {
		return n
	}
	k := 0
	for sum := 0; from+k < n; k++ {
		for _, o := range cols {
			sum += o.width
			if o.width == 0 {
				lo, hi := o.span(from+k, from+k+1)
				sum += 4 + hi - lo
			}
		}
		if sum > limit && k > 0 {
			break
		}
	}
	return k
}

// span returns the bytes of rows [from, to).
func (o *outCol) span(from, to int) (lo, hi int) {
	if from > 0 {
		lo = int(o.offs[from-1])
	}
	if to > 0 {
		hi = int(o.offs[to-1])
	}
	return lo, hi
}

// layout computes where rows [from, to) of cols and extra bytes of groups lie in
// a slot and the size that takes.
func layout(m *wire.BatchMsg, cols []*outCol, from, to, groups int) (size int) {
	rows := to - from
	m.Rows, m.Groups = uint32(rows), uint32(groups)
	m.GroupsAt = 0
	at := wire.Align(4 * groups)
	m.Cols = m.Cols[:0]
	for _, o := range cols {
		c := wire.Col{Kind: o.typ.kind()}
		if len(o.nulls) > 0 {
			c.HasValid, c.Valid = true, uint32(at)
			at += wire.Align((rows + 7) / 8)
		}
		c.Data = uint32(at)
		if o.width > 0 {
			at += wire.Align(rows * o.width)
		} else {
			lo, hi := o.span(from, to)
			at += wire.Align(4 * (rows + 1))
			c.Bytes, c.BytesLen = uint32(at), uint32(hi-lo)
			at += wire.Align(hi - lo)
		}
		m.Cols = append(m.Cols, c)
	}
	return at
}

// fill writes rows [from, to) of cols where m says.
func fill(m *wire.BatchMsg, mem []byte, cols []*outCol, from, to int) {
	rows := to - from
	for i, o := range cols {
		c := m.Cols[i]
		if c.HasValid {
			v := mem[c.Valid : int(c.Valid)+(rows+7)/8]
			for b := range v {
				v[b] = 0xff
			}
			for _, r := range o.nulls {
				if k := int(r) - from; k >= 0 && k < rows {
					v[k>>3] &^= 1 << (k & 7)
				}
			}
		}
		if o.width > 0 {
			copy(mem[c.Data:], o.fixed[from*o.width:to*o.width])
			continue
		}
		lo, hi := o.span(from, to)
		offs := unsafe.Slice((*int32)(unsafe.Pointer(&mem[c.Data])), rows+1)
		offs[0] = 0
		for r := range rows {
			offs[r+1] = o.offs[from+r] - int32(lo)
		}
		copy(mem[c.Bytes:], o.bytes[lo:hi])
	}
}
