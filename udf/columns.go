package udf

import (
	"unsafe"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// typeSpec returns a SQL type as the protocol writes it, ok false for types that
// functions cannot have. Results are narrower than arguments: not every string is
// a name.
func typeSpec(t types.Type, result bool) (w *wire.Type, ok bool) {
	name := ""
	switch t.ID {
	case types.Bool:
		name = "bool"
	case types.Int2:
		name = "int16"
	case types.Int4:
		name = "int32"
	case types.Int8:
		name = "int64"
	case types.Float4:
		name = "float32"
	case types.Float8:
		name = "float64"
	case types.Numeric:
		name = "numeric"
	case types.Text, types.Varchar, types.Bpchar:
		name = "string"
	case types.Name, types.Unknown:
		if result {
			return nil, false
		}
		name = "string"
	case types.JSON:
		name = "json"
	case types.JSONB:
		name = "jsonb"
	case types.Bytea:
		name = "bytes"
	case types.UUID:
		name = "uuid"
	case types.Date:
		name = "date"
	case types.Time:
		name = "clock"
	case types.Timestamp:
		name = "timestamp"
	case types.Timestamptz:
		name = "timestamptz"
	case types.Interval:
		name = "interval"
	case types.Array:
		elem, ok := typeSpec(t.ElemType(), result)
		return &wire.Type{Name: "[]", Elem: elem}, ok && elem.Name != "[]"
	case types.Record:
		fields, ok := t.RowFields()
		if !ok || len(fields) == 0 {
			return nil, false
		}
		w := &wire.Type{Name: "struct"}
		for _, f := range fields {
			x, ok := typeSpec(f.Type, result)
			if !ok {
				return nil, false
			}
			w.Fields = append(w.Fields, wire.TypeField{Name: f.Name, Type: x})
		}
		return w, true
	default:
		return nil, false
	}
	return &wire.Type{Name: name}, true
}

// sdkType is the text of typeSpec.
func sdkType(t types.Type, result bool) (name string, ok bool) {
	w, ok := typeSpec(t, result)
	if !ok {
		return "", false
	}
	return w.String(), true
}

func kindOf(t types.Type) wire.Kind {
	switch t.Phys() {
	case types.PhysBool:
		return wire.Bool
	case types.PhysInt16:
		return wire.Int16
	case types.PhysInt32:
		return wire.Int32
	case types.PhysInt64:
		return wire.Int64
	case types.PhysFloat32:
		return wire.Float32
	case types.PhysFloat64:
		return wire.Float64
	case types.PhysNumeric:
		return wire.Decimal
	case types.PhysInterval:
		return wire.Interval
	case types.PhysList:
		return wire.List
	}
	switch t.ID {
	case types.UUID:
		return wire.Fixed16
	case types.Record:
		return wire.Struct
	}
	return wire.Bytes
}

// inCol is rows [from, to) of a column on their way into a slot, in the form that
// the slot has: numerics are wide, records are taken apart.
type inCol struct {
	v        *vector.Vector
	kind     wire.Kind
	from, to int
	kids     []inCol
	more     []inCol // columns without kids whose rows follow
}

// rows is the number of rows, with those of more.
func (x *inCol) rows() int {
	n := x.to - x.from
	for i := range x.more {
		n += x.more[i].to - x.more[i].from
	}
	return n
}

// inCols appends rows [from, to) of cols. ts are the declared types; columns
// without one, such as states, have their own.
func inCols(dst []inCol, cols []*vector.Vector, ts []types.Type, from, to int) ([]inCol, error) {
	for i, v := range cols {
		t := v.Type
		if i < len(ts) {
			t = ts[i]
		}
		c, err := makeIn(v, t, from, to)
		if err != nil {
			return nil, err
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func makeIn(v *vector.Vector, t types.Type, from, to int) (inCol, error) {
	c := inCol{v: v, kind: kindOf(t), from: from, to: to}
	switch c.kind {
	case wire.Decimal:
		if v.Form == vector.Scaled {
			c.v, c.from, c.to = vector.Slice(v, from, to).Flatten(), 0, to-from
		}
	case wire.List:
		if v.Form != vector.Flat {
			c.v, c.from, c.to = vector.Slice(v, from, to).Flatten(), 0, to-from
		}
		kid, err := makeIn(c.v.Child, t.ElemType(), int(c.v.Offs[c.from]), int(c.v.Offs[c.to]))
		if err != nil {
			return c, err
		}
		c.kids = []inCol{kid}
	case wire.Struct:
		c.v, c.from, c.to = vector.Slice(v, from, to).Flatten(), 0, to-from
		fields, _ := t.RowFields()
		cols, err := recordFields(c.v, fields)
		if err != nil {
			return c, err
		}
		c.kids = make([]inCol, len(cols))
		for i, f := range cols {
			if c.kids[i], err = makeIn(f, fields[i].Type, 0, f.Len); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// recordFields takes a column of records apart into columns of the given fields.
func recordFields(v *vector.Vector, fields []types.RowField) ([]*vector.Vector, error) {
	runs, err := vector.Records(v)
	if err != nil {
		return nil, err
	}
	parts := make([][]*vector.Vector, len(fields))
	for _, r := range runs {
		if r.Types != nil && len(r.Types) != len(fields) {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "a row of %d fields is no value of a type of %d", len(r.Types), len(fields))
		}
		for k, f := range fields {
			if r.Types == nil { // all NULL
				parts[k] = append(parts[k], vector.NewNull(f.Type, r.To-r.From).Flatten())
				continue
			}
			if x := r.Types[k]; x.ID != f.Type.ID || x.Elem != f.Type.Elem {
				return nil, pgerr.New(pgerr.DatatypeMismatch, "field %d of a row is of type %s, not %s", k+1, x, f.Type)
			}
			parts[k] = append(parts[k], r.Cols[k])
		}
	}
	out := make([]*vector.Vector, len(fields))
	for k, f := range fields {
		switch len(parts[k]) {
		case 0:
			out[k] = vector.New(f.Type, 0)
		case 1:
			out[k] = parts[k][0]
		default:
			out[k] = vector.Concat(parts[k])
		}
	}
	return out, nil
}

// aboutBytes is what rows [from, to) of v take in a slot, roughly.
func aboutBytes(v *vector.Vector, from, to int) int {
	switch p := v.Type.Phys(); p {
	case types.PhysBytes:
		n := 4*(to-from) + varBytes(v, from, to)
		if v.Type.ID == types.UUID {
			n = 16 * (to - from)
		}
		return n
	case types.PhysList:
		if v.Form == vector.Const {
			return (to - from) * (4 + aboutBytes(v.Child, int(v.Offs[0]), int(v.Offs[1])))
		}
		return 4*(to-from) + aboutBytes(v.Child, int(v.Offs[from]), int(v.Offs[to]))
	default:
		return vector.Width(p) * (to - from)
	}
}

// varBytes is the bytes of rows [from, to) of a PhysBytes vector.
func varBytes(v *vector.Vector, from, to int) int {
	switch v.Form {
	case vector.Const:
		return int(v.Offs[1]-v.Offs[0]) * (to - from)
	case vector.Dict:
		n := 0
		offs := v.Child.Offs
		for i, c := range v.Codes[from:to] {
			if v.Valid == nil || vector.IsValid(v.Valid, from+i) {
				n += int(offs[c+1] - offs[c])
			}
		}
		return n
	}
	return int(v.Offs[to] - v.Offs[from])
}

// layoutIn computes where cols, of as many rows each, and groups int32s lie in an
// input slot, and the size that takes.
func layoutIn(m *wire.BatchMsg, cols []inCol, rows, groups int) (size int) {
	m.Rows, m.Groups, m.GroupsAt = uint32(rows), uint32(groups), 0
	m.Cols = m.Cols[:0]
	at := wire.Align(4 * groups)
	for i := range cols {
		var c wire.Col
		at = cols[i].place(&c, skew(at, i))
		m.Cols = append(m.Cols, c)
		if at > wire.MaxSlot {
			return at // too large: the caller fails
		}
	}
	return at
}

// skew moves the begin of column i by a few cache lines: columns of 65,536 rows would
// all begin at multiples of a large power of two, so that the same row of nine of them
// would fall into one set of an eight-way cache.
func skew(at, i int) int {
	return at + 64*(5*i&63)
}

// place says in c where the rows lie from at on and returns the end.
func (x *inCol) place(c *wire.Col, at int) int {
	rows := x.rows()
	c.Kind = x.kind
	c.HasValid = x.v.HasNulls()
	for i := range x.more {
		c.HasValid = c.HasValid || x.more[i].v.HasNulls()
	}
	if c.HasValid {
		c.Valid = uint32(at)
		at += wire.Align((rows + 7) / 8)
	}
	if w := c.Kind.Width(); w > 0 {
		c.Data = uint32(at)
		return at + wire.Align(rows*w)
	}
	if len(x.kids) > 0 {
		c.Kids = make([]wire.Col, len(x.kids))
	}
	if c.Kind == wire.Struct {
		for i := range x.kids {
			at = x.kids[i].place(&c.Kids[i], at)
		}
		return at
	}
	c.Data = uint32(at)
	at += wire.Align(4 * (rows + 1))
	if c.Kind == wire.List {
		c.BytesLen = uint32(x.kids[0].to - x.kids[0].from)
		return x.kids[0].place(&c.Kids[0], at)
	}
	n := varBytes(x.v, x.from, x.to)
	for i := range x.more {
		n += varBytes(x.more[i].v, x.more[i].from, x.more[i].to)
	}
	c.Bytes, c.BytesLen = uint32(at), uint32(n)
	return at + wire.Align(n)
}

// copyIn writes cols where m says.
func copyIn(mem []byte, m *wire.BatchMsg, cols []inCol, groups []int32) {
	copy(int32s(mem, m.GroupsAt, len(groups)), groups)
	for i := range cols {
		cols[i].copyIn(mem, &m.Cols[i])
	}
}

func (x *inCol) copyIn(mem []byte, c *wire.Col) {
	if len(x.more) > 0 {
		x.copyParts(mem, c)
		return
	}
	v, from, to := x.v, x.from, x.to
	rows := to - from
	if c.HasValid {
		copyValid(mem[c.Valid:int(c.Valid)+(rows+7)/8], v, from, to)
	}
	switch w := c.Kind.Width(); {
	case c.Kind == wire.Fixed16:
		dst := mem[c.Data : int(c.Data)+16*rows]
		for i := range rows {
			if !v.IsNull(from + i) {
				copy(dst[16*i:16*i+16], v.BytesAt(from+i))
			}
		}
	case c.Kind == wire.List:
		offs := int32s(mem, c.Data, rows+1)
		for i, o := range v.Offs[from : to+1] {
			offs[i] = o - v.Offs[from]
		}
		x.kids[0].copyIn(mem, &c.Kids[0])
	case c.Kind == wire.Struct:
		for i := range x.kids {
			x.kids[i].copyIn(mem, &c.Kids[i])
		}
	case w == 0:
		copyBytesIn(mem, c, v, from, to)
	case v.Form == vector.Const:
		spread(mem[c.Data:int(c.Data)+rows*w], v.Raw()[:w])
	default:
		copy(mem[c.Data:], v.Raw()[from*w:to*w])
	}
}

// copyParts is copyIn for a column with more.
func (x *inCol) copyParts(mem []byte, c *wire.Col) {
	all := x.rows()
	if c.HasValid {
		valid := mem[c.Valid : int(c.Valid)+(all+7)/8]
		at := copyValidAt(valid, 0, x.v, x.from, x.to)
		for i := range x.more {
			at = copyValidAt(valid, at, x.more[i].v, x.more[i].from, x.more[i].to)
		}
	}
	// Each part is laid out as a column of its own and put after the ones before.
	at, bytes := 0, uint32(0)
	part := func(p *inCol) {
		n := p.to - p.from
		one := wire.Col{Kind: c.Kind}
		w := c.Kind.Width()
		if w == 0 {
			one.Data, one.Bytes, one.BytesLen = c.Data+4*uint32(at), c.Bytes+bytes, uint32(varBytes(p.v, p.from, p.to))
		} else {
			one.Data = c.Data + uint32(at*w)
		}
		p.copyIn(mem, &one)
		if w == 0 && bytes > 0 {
			for i, o := range int32s(mem, one.Data, n+1) {
				int32s(mem, one.Data, n+1)[i] = o + int32(bytes)
			}
		}
		at, bytes = at+n, bytes+one.BytesLen
	}
	first := *x
	first.more = nil
	part(&first)
	for i := range x.more {
		part(&x.more[i])
	}
}

// copyValidAt writes which of rows [from, to) are valid to the bits of dst from at on
// and returns where they end; the bits after it in the last byte are zero.
func copyValidAt(dst []byte, at int, v *vector.Vector, from, to int) int {
	n := to - from
	switch {
	case at&7 == 0 && v.HasNulls():
		copyValid(dst[at>>3:(at+n+7)>>3], v, from, to)
	case at&7 == 0:
		for i := at >> 3; i < (at+n+7)>>3; i++ {
			dst[i] = 0xff
		}
	default:
		clear(dst[(at+7)>>3 : (at+n+7)>>3])
		for i := range n {
			if !v.IsNull(from + i) {
				dst[(at+i)>>3] |= 1 << ((at + i) & 7)
			}
		}
		return at + n
	}
	if end := at + n; end&7 != 0 {
		dst[end>>3] &= 1<<(end&7) - 1
	}
	return at + n
}

func int32s(mem []byte, at uint32, n int) []int32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&mem[at])), n)
}

// spread fills dst with copies of one value.
func spread(dst, one []byte) {
	for n := copy(dst, one); n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}

func copyValid(dst []byte, v *vector.Vector, from, to int) {
	switch {
	case v.Form == vector.Const:
		b := byte(0)
		if v.Valid[0]&1 != 0 {
			b = 0xff
		}
		for i := range dst {
			dst[i] = b
		}
	case from&7 == 0:
		copy(dst, v.Valid[from>>3:])
	default:
		clear(dst)
		for i := from; i < to; i++ {
			if vector.IsValid(v.Valid, i) {
				k := i - from
				dst[k>>3] |= 1 << (k & 7)
			}
		}
	}
}

func copyBytesIn(mem []byte, c *wire.Col, v *vector.Vector, from, to int) {
	rows := to - from
	offs := int32s(mem, c.Data, rows+1)
	dst := mem[c.Bytes : c.Bytes+c.BytesLen]
	offs[0] = 0
	switch v.Form {
	case vector.Const:
		one := v.BytesAt(0)
		for i := range rows {
			offs[i+1] = int32(len(one) * (i + 1))
		}
		if len(one) > 0 && rows > 0 {
			spread(dst, one)
		}
	case vector.Dict:
		at := int32(0)
		d := v.Child
		for i, code := range v.Codes[from:to] {
			if v.Valid == nil || vector.IsValid(v.Valid, from+i) {
				at += int32(copy(dst[at:], d.Bytes[d.Offs[code]:d.Offs[code+1]]))
			}
			offs[i+1] = at
		}
	default:
		base := v.Offs[from]
		if base == 0 {
			copy(offs, v.Offs[from:to+1])
		} else {
			for i, o := range v.Offs[from+1 : to+1] {
				offs[i+1] = o - base
			}
		}
		copy(dst, v.Bytes[base:v.Offs[to]])
	}
}
