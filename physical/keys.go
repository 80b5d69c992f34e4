package physical

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// keyOrder is the order of one key column.
type keyOrder struct{ desc, nullsFirst bool }

// encodedKeys are rows of key columns as byte strings. Two strings are equal
// exactly when the rows are equal in SQL with NULL equal to NULL: -0 and 0, 1.0
// and 1.00, '1 mon' and '30 days', 'a' and 'a ' as char(n) are each one key. With
// an order, bytes.Compare gives the rows' order. Keys of different batches may be
// compared with each other.
type encodedKeys struct {
	buf    []byte
	stride int     // bytes per row when all columns have a fixed width
	offs   []int32 // otherwise
}

func (k *encodedKeys) at(i int) []byte {
	if k.offs == nil {
		return k.buf[i*k.stride : (i+1)*k.stride]
	}
	return k.buf[k.offs[i]:k.offs[i+1]]
}

// keyWidth returns the encoded bytes of a value of a fixed-width representation
// without its NULL mark, -1 for others.
func keyWidth(p types.Phys) int {
	switch p {
	case types.PhysBytes, types.PhysList:
		return -1
	case types.PhysNumeric:
		return 19
	case types.PhysInterval:
		return 16
	}
	return vector.Width(p)
}

const (
	markNullFirst = 0
	markValue     = 1
	markNullLast  = 2
)

// encodeKeys encodes n rows of Flat or Const columns (dictionaries are
// flattened). Without orders only equality holds, which is cheaper for strings.
func encodeKeys(vs []*vector.Vector, orders []keyOrder, n int) encodedKeys {
	var k encodedKeys
	fixed := true
	for _, v := range vs {
		w := keyWidth(v.Type.Phys())
		if w < 0 {
			fixed = false
		}
		k.stride += 1 + max(w, 0)
	}
	if fixed {
		k.buf = make([]byte, n*k.stride)
		at := 0
		for c, v := range vs {
			var o *keyOrder
			if orders != nil {
				o = &orders[c]
			}
			encodeFixed(k.buf, at, k.stride, nil, v, o, n)
			at += 1 + keyWidth(v.Type.Phys())
		}
		return k
	}
	// Sizes first, then every column writes at its rows' cursors.
	size := make([]int32, n+1)
	flats := make([]*vector.Vector, len(vs))
	for c, v := range vs {
		v = flatOrScaled(v)
		flats[c] = v
		w := keyWidth(v.Type.Phys())
		switch {
		case w >= 0:
			for i := range n {
				size[i+1] += int32(1 + w)
			}
		case v.Type.Phys() == types.PhysBytes:
			for i := range n {
				size[i+1]++
				if !v.IsNull(i) {
					size[i+1] += int32(bytesKeySize(v, i, orders != nil))
				}
			}
		default:
			for i := range n {
				size[i+1] += int32(len(appendListKey(nil, v, i, orders != nil)))
			}
		}
	}
	for i := range n {
		size[i+1] += size[i]
	}
	k.offs = size
	k.buf = make([]byte, size[n])
	cur := make([]int32, n)
	copy(cur, size)
	for c, v := range flats {
		var o *keyOrder
		if orders != nil {
			o = &orders[c]
		}
		switch {
		case keyWidth(v.Type.Phys()) >= 0:
			encodeFixed(k.buf, 0, 0, cur, v, o, n)
		case v.Type.Phys() == types.PhysBytes:
			encodeBytes(k.buf, cur, v, o, n)
		default:
			for i := range n {
				row := appendListKey(nil, v, i, o != nil)
				if o != nil {
					orderVar(row, v.IsNull(i), o)
				}
				cur[i] += int32(copy(k.buf[cur[i]:], row))
			}
		}
	}
	return k
}

// orderVar applies descending order and the place of NULL to an encoded value
// with its mark.
func orderVar(row []byte, null bool, o *keyOrder) {
	if null {
		row[0] = nullMark(o)
		return
	}
	if o.desc {
		for i := 1; i < len(row); i++ {
			row[i] = ^row[i]
		}
	}
}

func nullMark(o *keyOrder) byte {
	if o != nil && !o.nullsFirst {
		return markNullLast
	}
	return markNullFirst
}

// flatOrScaled returns v as a vector whose stored values are its rows.
func flatOrScaled(v *vector.Vector) *vector.Vector {
	if v.Form == vector.Scaled {
		return v
	}
	return v.Flatten()
}

// encodeFixed writes a fixed-width column at base+i*stride, or at the cursors,
// which it advances.
func encodeFixed(buf []byte, base, stride int, cur []int32, v *vector.Vector, o *keyOrder, n int) {
	w := keyWidth(v.Type.Phys())
	if v.Form == vector.Dict {
		v = v.Flatten()
	}
	step := 1 // 0 for Const: every row reads the one value
	if v.Form == vector.Const {
		step = 0
	}
	desc := o != nil && o.desc
	put := func(i int) []byte {
		at := base + i*stride
		if cur != nil {
			at = int(cur[i])
			cur[i] += int32(1 + w)
		}
		return buf[at : at+1+w : at+1+w]
	}
	switch v.Type.Phys() {
	case types.PhysBool:
		vals := vector.Values[bool](v)
		for i := range n {
			d := put(i)
			if vals[i*step] {
				d[1] = 1
			}
			d[0] = markValue
		}
	case types.PhysInt16:
		vals := vector.Values[int16](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			binary.BigEndian.PutUint16(d[1:], uint16(vals[i*step])^1<<15)
		}
	case types.PhysInt32:
		vals := vector.Values[int32](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			binary.BigEndian.PutUint32(d[1:], uint32(vals[i*step])^1<<31)
		}
	case types.PhysInt64:
		vals := vector.Values[int64](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			binary.BigEndian.PutUint64(d[1:], types.IntKey(vals[i*step]))
		}
	case types.PhysFloat32:
		vals := vector.Values[float32](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			binary.BigEndian.PutUint32(d[1:], float32Key(vals[i*step]))
		}
	case types.PhysFloat64:
		vals := vector.Values[float64](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			binary.BigEndian.PutUint64(d[1:], types.FloatKey(vals[i*step]))
		}
	case types.PhysNumeric:
		if v.Form == vector.Scaled {
			for i, c := range vector.Values[int64](v)[:n] {
				d := put(i)
				d[0] = markValue
				x := types.NewDecimal(c, v.Scale)
				putDecimalKey(d[1:], &x)
			}
			break
		}
		vals := vector.Values[types.Decimal](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			putDecimalKey(d[1:], &vals[i*step])
		}
	case types.PhysInterval:
		vals := vector.Values[types.IntervalValue](v)
		for i := range n {
			d := put(i)
			d[0] = markValue
			hi, lo := intervalKey(vals[i*step])
			binary.BigEndian.PutUint64(d[1:], hi)
			binary.BigEndian.PutUint64(d[9:], lo)
		}
	}
	if !desc && v.Valid == nil {
		return
	}
	for i := range n {
		at := base + i*stride
		if cur != nil {
			at = int(cur[i]) - 1 - w
		}
		d := buf[at : at+1+w]
		switch {
		case v.IsNull(i):
			clear(d)
			d[0] = nullMark(o)
		case desc:
			for j := 1; j < len(d); j++ {
				d[j] = ^d[j]
			}
		}
	}
}

func float32Key(f float32) uint32 {
	if f != f {
		return math.MaxUint32
	}
	b := math.Float32bits(f + 0)
	if b>>31 != 0 {
		return ^b
	}
	return b | 1<<31
}

// keyBytes is what of a string counts in comparisons: char(n) is blank padded.
func keyBytes(v *vector.Vector, i int) []byte {
	switch v.Type.ID {
	case types.Bpchar, types.JSONB, types.Record:
		return vector.KeyBytes(v, i)
	}
	return v.BytesAt(i)
}

func bytesKeySize(v *vector.Vector, i int, ordered bool) int {
	b := keyBytes(v, i)
	if !ordered {
		return 4 + len(b)
	}
	return len(b) + bytes.Count(b, zeroByte) + 2
}

var zeroByte = []byte{0}

// putBytesKey writes a string: its length and bytes, or in an order-preserving
// form: 0x00 becomes 0x00 0xff, and 0x00 0x00 ends it.
func putBytesKey(d []byte, b []byte, ordered bool) int {
	if !ordered {
		binary.LittleEndian.PutUint32(d, uint32(len(b)))
		return 4 + copy(d[4:], b)
	}
	if bytes.IndexByte(b, 0) < 0 {
		n := copy(d, b)
		d[n], d[n+1] = 0, 0
		return n + 2
	}
	n := 0
	for _, c := range b {
		d[n] = c
		n++
		if c == 0 {
			d[n] = 0xff
			n++
		}
	}
	d[n], d[n+1] = 0, 0
	return n + 2
}

func encodeBytes(buf []byte, cur []int32, v *vector.Vector, o *keyOrder, n int) {
	for i := range n {
		at := cur[i]
		if v.IsNull(i) {
			buf[at] = nullMark(o)
			cur[i]++
			continue
		}
		buf[at] = markValue
		w := putBytesKey(buf[at+1:], keyBytes(v, i), o != nil)
		if o != nil && o.desc {
			d := buf[at+1 : int(at)+1+w]
			for j := range d {
				d[j] = ^d[j]
			}
		}
		cur[i] += int32(1 + w)
	}
}

// appendListKey appends an array: each element after a mark of 2, NULL elements
// (which sort last) as 3, and 0 at the end, so that a prefix sorts first.
func appendListKey(dst []byte, v *vector.Vector, i int, ordered bool) []byte {
	if v.IsNull(i) {
		return append(dst, markNullFirst)
	}
	dst = append(dst, markValue)
	from, to := v.ListAt(i)
	child := v.Child.Flatten()
	p := child.Type.Phys()
	for e := from; e < to; e++ {
		if child.IsNull(e) {
			dst = append(dst, 3)
			continue
		}
		dst = append(dst, 2)
		switch p {
		case types.PhysBytes:
			at := len(dst)
			dst = append(dst, make([]byte, bytesKeySize(child, e, ordered))...)
			putBytesKey(dst[at:], keyBytes(child, e), ordered)
		case types.PhysList:
			dst = appendListKey(dst, child, e, ordered)
		default:
			at := len(dst)
			dst = append(dst, make([]byte, 1+keyWidth(p))...)
			encodeFixed(dst[at:], 0, 0, nil, vector.Slice(child, e, e+1), nil, 1)
		}
	}
	return append(dst, 0)
}

// intervalKey is the length in microseconds, of 30-day months, as a 128-bit
// number in unsigned order.
func intervalKey(v types.IntervalValue) (hi, lo uint64) {
	const day = 86_400_000_000
	days := int64(v.Months)*30 + int64(v.Days)
	neg := days < 0
	u := uint64(days)
	if neg {
		u = -u
	}
	hi, lo = bits.Mul64(u, day)
	if neg {
		var c uint64
		lo, c = bits.Add64(^lo, 1, 0)
		hi = ^hi + c
	}
	var c uint64
	lo, c = bits.Add64(lo, uint64(v.Micros), 0)
	hi += uint64(v.Micros>>63) + c
	return hi ^ 1<<63, lo
}

// pow10 holds 10^0 … 10^38 as hi, lo.
var pow10 = func() (p [39][2]uint64) {
	p[0] = [2]uint64{0, 1}
	for i := 1; i < len(p); i++ {
		hi, lo := bits.Mul64(p[i-1][1], 10)
		p[i] = [2]uint64{hi + p[i-1][0]*10, lo}
	}
	return p
}()

// putDecimalKey writes 19 bytes: a class (negative, zero, positive, NaN), the
// exponent of the leading digit and the coefficient scaled to 38 digits; so the
// display scale does not matter.
func putDecimalKey(d []byte, v *types.Decimal) {
	if v.NaN {
		d[0] = 3
		return
	}
	if v.Hi == 0 && v.Lo == 0 {
		d[0] = 1
		return
	}
	hi, lo := uint64(v.Hi), v.Lo
	neg := v.Hi < 0
	if neg {
		var c uint64
		lo, c = bits.Add64(^lo, 1, 0)
		hi = ^hi + c
	}
	// 1233/4096 is just above log10(2).
	n := bits.Len64(lo)
	if hi != 0 {
		n = 64 + bits.Len64(hi)
	}
	digits := n * 1233 >> 12
	if digits >= len(pow10) || hi > pow10[digits][0] || hi == pow10[digits][0] && lo >= pow10[digits][1] {
		digits++
	}
	exp := uint16(digits - int(v.Scale) + 1<<15)
	if digits < 38 {
		m := pow10[38-digits]
		h, l := bits.Mul64(lo, m[1])
		hi, lo = h+hi*m[1]+lo*m[0], l
	}
	d[0] = 2
	binary.BigEndian.PutUint16(d[1:], exp)
	binary.BigEndian.PutUint64(d[3:], hi)
	binary.BigEndian.PutUint64(d[11:], lo)
	if neg {
		d[0] = 0
		for i := 1; i < 19; i++ {
			d[i] = ^d[i]
		}
	}
}
