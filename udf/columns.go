package udf

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// sdkType returns the SDK's name of a SQL type, ok false for types that Go
// functions cannot have. Results are narrower than arguments: a string is not
// valid json just because it is a string.
func sdkType(t types.Type, result bool) (name string, ok bool) {
	switch t.ID {
	case types.Bool:
		return "bool", true
	case types.Int2:
		return "int16", true
	case types.Int4:
		return "int32", true
	case types.Int8:
		return "int64", true
	case types.Float4:
		return "float32", true
	case types.Float8:
		return "float64", true
	case types.Text, types.Varchar, types.Bpchar:
		return "string", true
	case types.Name, types.JSON, types.JSONB, types.Unknown:
		return "string", !result
	case types.Bytea:
		return "bytes", true
	case types.Date:
		return "date", true
	case types.Timestamp, types.Timestamptz:
		return "time", true
	}
	return "", false
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
	}
	return wire.Bytes
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

// layoutIn computes where rows [from, to) of cols and groups int32s lie in an
// input slot, and the size that takes.
func layoutIn(m *wire.BatchMsg, cols []*vector.Vector, from, to, groups int) (size int) {
	rows := to - from
	m.Rows, m.Groups, m.GroupsAt = uint32(rows), uint32(groups), 0
	m.Cols = m.Cols[:0]
	at := wire.Align(4 * groups)
	for _, v := range cols {
		c := wire.Col{Kind: kindOf(v.Type)}
		if v.HasNulls() {
			c.HasValid, c.Valid = true, uint32(at)
			at += wire.Align((rows + 7) / 8)
		}
		c.Data = uint32(at)
		if w := c.Kind.Width(); w > 0 {
			at += wire.Align(rows * w)
		} else {
			at += wire.Align(4 * (rows + 1))
			n := varBytes(v, from, to)
			c.Bytes, c.BytesLen = uint32(at), uint32(n)
			at += wire.Align(n)
		}
		m.Cols = append(m.Cols, c)
		if at > wire.MaxSlot {
			return at // too large: the caller takes fewer rows
		}
	}
	return at
}

// copyIn writes rows [from, to) of cols where m says.
func copyIn(mem []byte, m *wire.BatchMsg, cols []*vector.Vector, from, to int, groups []int32) {
	rows := to - from
	copy(int32s(mem, m.GroupsAt, len(groups)), groups)
	for i, v := range cols {
		c := &m.Cols[i]
		if c.HasValid {
			copyValid(mem[c.Valid:int(c.Valid)+(rows+7)/8], v, from, to)
		}
		switch w := c.Kind.Width(); {
		case w == 0:
			copyBytesIn(mem, c, v, from, to)
		case v.Form == vector.Const:
			spread(mem[c.Data:int(c.Data)+rows*w], v.Raw()[:w])
		default:
			copy(mem[c.Data:], v.Raw()[from*w:to*w])
		}
	}
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
		for i, o := range v.Offs[from+1 : to+1] {
			offs[i+1] = o - base
		}
		copy(dst, v.Bytes[base:v.Offs[to]])
	}
}

// copyOut copies a column of rows rows out of a slot and then validates it: the
// plugin can still write to the slot, but not to the copy.
func copyOut(mem []byte, c *wire.Col, rows int, t types.Type) (*vector.Vector, error) {
	if want := kindOf(t); c.Kind != want {
		return nil, fmt.Errorf("a column of kind %d, want %d", c.Kind, want)
	}
	if err := c.Check(rows, len(mem)); err != nil {
		return nil, err
	}
	var v *vector.Vector
	var valid []byte
	if c.HasValid {
		valid = bytes.Clone(mem[c.Valid : int(c.Valid)+(rows+7)/8])
	}
	if w := c.Kind.Width(); w > 0 {
		v = vector.New(t, rows)
		raw := v.Raw()
		copy(raw, mem[c.Data:int(c.Data)+rows*w])
		if c.Kind == wire.Bool {
			for i, b := range raw {
				if b > 1 {
					raw[i] = 1
				}
			}
		}
	} else {
		offs := make([]int32, rows+1)
		copy(offs, int32s(mem, c.Data, rows+1))
		data := bytes.Clone(mem[c.Bytes : c.Bytes+c.BytesLen])
		if err := checkOffsets(offs, len(data)); err != nil {
			return nil, err
		}
		if t.ID != types.Bytea {
			if err := checkText(offs, data); err != nil {
				return nil, err
			}
		}
		v = vector.FromBytes(t, offs, data)
	}
	if valid != nil && vector.CountValid(valid, rows) < rows {
		v.Valid = valid
	}
	return v, nil
}

func checkOffsets(offs []int32, n int) error {
	if offs[0] != 0 || int(offs[len(offs)-1]) != n {
		return fmt.Errorf("offsets from %d to %d for %d bytes", offs[0], offs[len(offs)-1], n)
	}
	for i := 1; i < len(offs); i++ {
		if offs[i] < offs[i-1] {
			return fmt.Errorf("offsets that descend at row %d", i-1)
		}
	}
	return nil
}

// checkText wants every value to be valid UTF-8 without zero bytes, as Postgres
// does. Valid bytes as a whole whose values begin at rune starts are valid one
// by one.
func checkText(offs []int32, data []byte) error {
	ok := utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
	for i := 0; ok && i < len(offs)-1; i++ {
		if o := int(offs[i]); o < len(data) && !utf8.RuneStart(data[o]) {
			ok = false
		}
	}
	if ok {
		return nil
	}
	for i := range len(offs) - 1 {
		b := data[offs[i]:offs[i+1]]
		if !utf8.Valid(b) {
			return &badRow{i, "text that is not valid UTF-8"}
		}
		if bytes.IndexByte(b, 0) >= 0 {
			return &badRow{i, "text with a zero byte"}
		}
	}
	return nil
}

// badRow is a value that the function may not return.
type badRow struct {
	row  int
	what string
}

func (e *badRow) Error() string { return e.what }

// collector puts the results of the pieces of one call together; a single piece
// is the result.
type collector struct {
	t  types.Type
	n  int
	v  *vector.Vector
	at int
}

func newCollector(t types.Type, n int) *collector { return &collector{t: t, n: n} }

// add appends rows; the total is that of newCollector.
func (c *collector) add(p *vector.Vector) error {
	if c.at == 0 && p.Len == c.n {
		c.v, c.at = p, p.Len
		return nil
	}
	if c.v == nil {
		c.v = vector.New(c.t, c.n)
	}
	if w := vector.Width(p.Type.Phys()); w > 0 {
		copy(c.v.Raw()[c.at*w:], p.Raw())
	} else {
		if len(c.v.Bytes)+len(p.Bytes) > math.MaxInt32 {
			return pgerr.New(pgerr.ProgramLimitExceeded, "results of one batch are larger than 2 GiB")
		}
		base := int32(len(c.v.Bytes))
		c.v.Bytes = append(c.v.Bytes, p.Bytes...)
		for i, o := range p.Offs[1:] {
			c.v.Offs[c.at+i+1] = base + o
		}
	}
	if p.Valid != nil {
		if c.v.Valid == nil {
			c.v.Valid = vector.NewValid(c.v.Len)
		}
		for i := range p.Len {
			if p.IsNull(i) {
				vector.SetNull(c.v.Valid, c.at+i)
			}
		}
	}
	c.at += p.Len
	return nil
}
