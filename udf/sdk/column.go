package udf

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// column is one column of a batch. Fixed-width values are read in place; strings
// and bytes are copied once per batch, so that what user code keeps of them stays
// what it was when the slot is used again.
type column struct {
	name  string
	typ   Type // as declared by the SQL function: Date where the Go side has Time
	n     int
	valid []byte    // nil = no NULL
	data  []byte    // values, or offsets
	bytes []byte    // what the offsets of strings are in
	stays bool      // data and bytes are never written again
	kids  []column  // of a list its elements, of a struct its fields
	inner bool      // a column of kids
	cache any       // decoded values of types that need decoding
	strs  *[]string // what strings may return, nil for fresh memory
}

// newColumn makes a column of what lies in m.
func newColumn(m *wire.Mem, t Type, name string) column {
	c := column{name: name, typ: t, n: m.Rows, valid: m.Valid, data: m.Data, bytes: m.Bytes, stays: m.Stays}
	if len(m.Kids) > 0 {
		parts := t.parts()
		c.kids = make([]column, len(m.Kids))
		for i := range m.Kids {
			typ, name := parts.elem, ""
			if m.Kind == wire.Struct {
				typ, name = parts.fields[i].Type, parts.fields[i].Name
			}
			c.kids[i] = newColumn(&m.Kids[i], typ, name)
			c.kids[i].inner = true
		}
	}
	return c
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
	return unsafe.Slice((*T)(unsafe.Pointer(&c.data[0])), c.n)
}

func (c *column) offsets() []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(&c.data[0])), c.n+1)
}

func (c *column) strings() []string {
	offs := c.offsets()
	all := c.text(offs[0], offs[c.n])
	var out []string
	if c.strs != nil {
		out = room(c.strs, c.n)
	} else {
		out = make([]string, c.n)
	}
	first, lo := offs[0], int32(0)
	for i, hi := range offs[1:] {
		hi -= first
		out[i] = all[lo:hi]
		lo = hi
	}
	return out
}

// text is a part of bytes that user code may keep.
func (c *column) text(from, to int32) string {
	if c.stays && from < to {
		return unsafe.String(&c.bytes[from], int(to-from))
	}
	return string(c.bytes[from:to])
}

func (c *column) byteSlices() [][]byte {
	offs := c.offsets()
	first := offs[0]
	all := append([]byte{}, c.bytes[first:offs[c.n]]...) // not nil: an empty value is not NULL
	out := make([][]byte, c.n)
	for i := range out {
		if c.isNull(i) {
			continue
		}
		end := offs[i+1] - first
		out[i] = all[offs[i]-first : end : end]
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
	switch any((*T)(nil)).(type) {
	case *bool, *int16, *int32, *int64, *float32, *float64, *Decimal, *Interval, *UUID, *Clock:
		return fixed[T](c)
	}
	if vals, ok := c.cache.([]T); ok {
		return vals
	}
	var r any
	switch any((*T)(nil)).(type) {
	case *string:
		r = c.strings()
	case *[]byte:
		r = c.byteSlices()
	case *time.Time:
		r = c.times()
	default:
		var z T
		if n, ok := any(z).(nullable); ok {
			r = n.decode(c)
			break
		}
		out := make([]T, c.n)
		if c.n > 0 {
			codecFor(reflect.TypeFor[T]()).decode(c, 0, c.n, unsafe.Pointer(&out[0]), unsafe.Sizeof(z))
		}
		r = out
	}
	c.cache = r
	return r.([]T)
}

// outCol collects a column of results on the heap until it is copied to a slot.
type outCol struct {
	name  string
	typ   Type // as declared by the SQL function
	kind  wire.Kind
	width int
	n     int
	base  int // where the rows begin that errors are counted from
	rows  int // how many there will be, 0 = not known
	fixed []byte
	offs  []int32 // ends of the values in bytes or in elements, without the leading 0
	bytes []byte
	lent  []string  // instead of bytes: all values, which are copied by fill
	nulls []int32   // rows that are NULL, ascending
	kids  []*outCol // of a list its elements, of a struct its fields
	inner bool      // a column of kids
}

func newOutCol(name string, t Type) *outCol {
	o := &outCol{name: name, typ: t, kind: t.kind()}
	o.width = o.kind.Width()
	if p := t.parts(); p != nil {
		if o.kind == wire.List {
			o.kids = []*outCol{newOutCol("", p.elem)}
		}
		for _, f := range p.fields {
			o.kids = append(o.kids, newOutCol(f.Name, f.Type))
		}
		for _, k := range o.kids {
			k.inner = true
		}
	}
	return o
}

func (o *outCol) reset() {
	o.n, o.fixed, o.offs, o.bytes, o.nulls = 0, o.fixed[:0], o.offs[:0], o.bytes[:0], o.nulls[:0]
	o.base, o.rows, o.lent = 0, 0, nil
	for _, k := range o.kids {
		k.reset()
	}
}

// size is the bytes of the values so far.
func (o *outCol) size() int {
	n := len(o.fixed) + 4*len(o.offs) + len(o.bytes)
	if k := len(o.lent); k > 0 {
		n += int(o.offs[k-1])
	}
	for _, k := range o.kids {
		n += k.size()
	}
	return n
}

func (o *outCol) setNull(i int) { o.nulls = append(o.nulls, int32(i)) }

var zeros24 [24]byte

func (o *outCol) appendNull() {
	o.nulls = append(o.nulls, int32(o.n))
	switch {
	case o.width > 0:
		o.fixed = append(o.fixed, zeros24[:o.width]...)
	case o.kind == wire.List:
		o.offs = append(o.offs, int32(o.kids[0].n))
	case o.kind == wire.Struct:
		for _, k := range o.kids {
			k.appendNull()
		}
	default:
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
	if len(o.bytes)+n > math.MaxInt32 || o.n+n > math.MaxInt32 {
		panic(Errorf("54000", "results of one batch are larger than 2 GiB"))
	}
}

func (o *outCol) appendString(s string) {
	o.room(len(s))
	o.bytes = append(o.bytes, s...)
	o.offs = append(o.offs, int32(len(o.bytes)))
	o.n++
}

// appendStrings is appendString for many: it looks at each once.
func (o *outCol) appendStrings(vs []string) {
	o.room(len(vs))
	at, n := len(o.bytes), len(o.offs)
	o.offs = slices.Grow(o.offs, len(vs))[:n+len(vs)]
	b, offs := o.all(), o.offs[n:]
	for i, s := range vs {
		if len(s) > len(b)-at {
			o.bytes = b[:at]
			b = o.grow(vs[i:], n+len(vs))
		}
		at += copyString(b[at:], s)
		offs[i] = int32(at)
	}
	o.bytes = b[:at]
	o.n += len(vs)
}

// all is the room that there is in bytes for what offsets can tell.
func (o *outCol) all() []byte { return o.bytes[:min(cap(o.bytes), math.MaxInt32)] }

// grow makes room in bytes for all of vs, with which there are n rows, and for as much
// in each of the rows that follow, but no more than one result may have: the first
// rows may be the longest. It moves what there is and returns all the room.
func (o *outCol) grow(vs []string, n int) []byte {
	total := 0
	for _, s := range vs {
		total += len(s)
	}
	o.room(total)
	if all := len(o.bytes) + total; n < o.rows {
		rest := float64(all) / float64(n) * float64(o.rows-n)
		total += int(min(rest, chunkBytes, float64(math.MaxInt32-all)))
	}
	total = max(total, len(o.bytes)/4) // spans that follow need not move it all again
	o.bytes = append(dirty(len(o.bytes) + total)[:0], o.bytes...)
	return o.all()
}

// lend makes vs the values of an empty column until its reset. They are copied once,
// to where they are sent from; nothing may be appended.
func (o *outCol) lend(vs []string) {
	o.offs = slices.Grow(o.offs, len(vs))[:len(vs)]
	at := 0
	for i, s := range vs {
		at += len(s)
		o.offs[i] = int32(at)
	}
	o.room(max(at, len(vs)))
	o.lent, o.n = vs, len(vs)
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
		d, ok := toDate(t)
		if !ok {
			err := Errorf("39000", "the result %s is of type date and has a time of day", t.Format(time.RFC3339Nano))
			if o.name != "" {
				err.Message += fmt.Sprintf(", column %q", o.name)
			}
			if o.inner {
				panic(err)
			}
			panic(raised{&rowError{o.n - o.base, err}})
		}
		appendFixed(o, d)
	} else {
		appendFixed(o, t.UnixMicro())
	}
}

// encode appends vals to o.
func encode[T any](o *outCol, vals []T) {
	switch vs := any(vals).(type) {
	case []bool, []int16, []int32, []int64, []float32, []float64, []Decimal, []Interval, []UUID, []Clock:
		appendFixedAll(o, vals)
	case []string:
		o.appendStrings(vs)
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
		if n, ok := any(z).(nullable); ok {
			n.encode(o, 0, vals)
		} else if len(vals) > 0 {
			codecFor(reflect.TypeFor[T]()).encode(o, len(vals), unsafe.Pointer(&vals[0]), unsafe.Sizeof(z))
		}
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
			sum += o.rowsSize(from+k, from+k+1)
		}
		if sum > limit && k > 0 {
			break
		}
	}
	return k
}

// rowsSize is about the bytes that rows [from, to) take.
func (o *outCol) rowsSize(from, to int) int {
	if o.width > 0 {
		return (to - from) * o.width
	}
	if o.kind == wire.Struct {
		n := 0
		for _, k := range o.kids {
			n += k.rowsSize(from, to)
		}
		return n
	}
	lo, hi := o.span(from, to)
	n := 4 * (to - from)
	if o.kind == wire.List {
		return n + o.kids[0].rowsSize(lo, hi)
	}
	return n + hi - lo
}

// span returns the bytes or elements of rows [from, to).
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
	m.Rows, m.Groups = uint32(to-from), uint32(groups)
	m.GroupsAt = 0
	at := wire.Align(4 * groups)
	m.Cols = m.Cols[:0]
	for _, o := range cols {
		c := wire.Col{}
		at = o.place(&c, from, to, at)
		m.Cols = append(m.Cols, c)
	}
	return at
}

// place says in c where rows [from, to) lie from at on and returns the end.
func (o *outCol) place(c *wire.Col, from, to, at int) int {
	rows := to - from
	c.Kind = o.kind
	if len(o.nulls) > 0 {
		c.HasValid, c.Valid = true, uint32(at)
		at += wire.Align((rows + 7) / 8)
	}
	if o.kind == wire.Struct {
		c.Kids = make([]wire.Col, len(o.kids))
		for i, k := range o.kids {
			at = k.place(&c.Kids[i], from, to, at)
		}
		return at
	}
	c.Data = uint32(at)
	if o.width > 0 {
		return at + wire.Align(rows*o.width)
	}
	at += wire.Align(4 * (rows + 1))
	lo, hi := o.span(from, to)
	c.BytesLen = uint32(hi - lo)
	if o.kind == wire.List {
		c.Kids = make([]wire.Col, 1)
		return o.kids[0].place(&c.Kids[0], lo, hi, at)
	}
	c.Bytes = uint32(at)
	return at + wire.Align(hi-lo)
}

// fill writes rows [from, to) of cols where m says.
func fill(m *wire.BatchMsg, mem []byte, cols []*outCol, from, to int) {
	for i, o := range cols {
		o.fill(&m.Cols[i], mem, from, to)
	}
}

func (o *outCol) fill(c *wire.Col, mem []byte, from, to int) {
	rows := to - from
	if c.HasValid {
		o.fillValid(mem[c.Valid:], from, to)
	}
	switch {
	case o.kind == wire.Struct:
		for i, k := range o.kids {
			k.fill(&c.Kids[i], mem, from, to)
		}
		return
	case o.width > 0:
		copy(mem[c.Data:], o.fixed[from*o.width:to*o.width])
		return
	}
	lo, hi := o.span(from, to)
	offs := unsafe.Slice((*int32)(unsafe.Pointer(&mem[c.Data])), rows+1)
	offs[0] = 0
	if lo == 0 {
		copy(offs[1:], o.offs[from:to])
	} else {
		for r, end := range o.offs[from:to] {
			offs[r+1] = end - int32(lo)
		}
	}
	if o.kind == wire.List {
		o.kids[0].fill(&c.Kids[0], mem, lo, hi)
		return
	}
	if o.lent == nil {
		copy(mem[c.Bytes:], o.bytes[lo:hi])
		return
	}
	dst := mem[c.Bytes : int(c.Bytes)+hi-lo]
	for _, s := range o.lent[from : from+rows] {
		dst = dst[copyString(dst, s):]
	}
}

// fillValid writes the validity of rows [from, to) to v.
func (o *outCol) fillValid(v []byte, from, to int) {
	v = v[:(to-from+7)/8]
	for b := range v {
		v[b] = 0xff
	}
	for _, r := range o.nulls {
		if k := int(r) - from; k >= 0 && int(r) < to {
			v[k>>3] &^= 1 << (k & 7)
		}
	}
}
