package udf

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sort"
	"unicode/utf8"
	"unsafe"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// copyOut copies a column of rows rows out of a slot and then validates it: the
// plugin can still write to the slot, but not to the copy.
func copyOut(mem []byte, c *wire.Col, rows int, t types.Type) (*vector.Vector, error) {
	if err := c.Check(rows, len(mem)); err != nil {
		return nil, err
	}
	m := c.In(mem, rows)
	return takeCol(&m, t, nil)
}

// owned is a part of a column: as it is where it stays, else a copy.
func owned(b []byte, stays bool) []byte {
	if stays {
		return b
	}
	return bytes.Clone(b)
}

func ownedOffsets(m *wire.Mem) []int32 {
	offs := int32s(m.Data, 0, m.Rows+1)
	if m.Stays {
		return offs
	}
	return slices.Clone(offs)
}

// takeCol makes a vector of m: of its buffers where they stay, else of copies. mask,
// where it is not nil, has the rows whose values count: a struct's fields do not
// where it is NULL.
func takeCol(m *wire.Mem, t types.Type, mask []byte) (*vector.Vector, error) {
	if want := kindOf(t); m.Kind != want {
		return nil, fmt.Errorf("a column of kind %d, want %d", m.Kind, want)
	}
	rows, valid := m.Rows, mask
	if m.Valid != nil {
		valid = vector.AndValid(owned(m.Valid, m.Stays), mask, rows)
	}
	if valid != nil && vector.CountValid(valid, rows) == rows {
		valid = nil
	}
	var v *vector.Vector
	var err error
	switch m.Kind {
	case wire.Bytes:
		v, err = takeBytes(m, t, valid)
	case wire.List:
		v, err = takeList(m, t)
	case wire.Struct:
		v, err = takeStruct(m, t, valid)
	case wire.Fixed16:
		offs := make([]int32, rows+1)
		for i := range offs {
			offs[i] = int32(16 * i)
		}
		v = vector.FromBytes(t, offs, owned(m.Data, m.Stays))
	default:
		v = vector.NewDirty(t, rows)
		copy(v.Raw(), m.Data)
		err = checkFixed(v, valid)
	}
	if err != nil {
		return nil, err
	}
	v.Valid = valid
	return v, nil
}

func takeBytes(m *wire.Mem, t types.Type, valid []byte) (*vector.Vector, error) {
	rows, offs, data := m.Rows, ownedOffsets(m), owned(m.Bytes, m.Stays)
	if err := checkOffsets(offs, len(data)); err != nil {
		return nil, err
	}
	if t.ID != types.Bytea {
		if err := checkText(offs, data); err != nil {
			return nil, err
		}
	}
	switch t.ID {
	case types.JSON:
		for i := range rows {
			if vector.IsValid(valid, i) && types.CheckJSON(data[offs[i]:offs[i+1]]) != nil {
				return nil, &badRow{row: i, what: "text that is not JSON"}
			}
		}
	case types.JSONB:
		norm := make([]byte, 0, len(data))
		at := make([]int32, rows+1)
		for i := range rows {
			if vector.IsValid(valid, i) {
				var err error
				if norm, err = types.AppendJSONB(norm, data[offs[i]:offs[i+1]]); err != nil {
					return nil, &badRow{row: i, what: "text that is not JSON"}
				}
				if len(norm) > math.MaxInt32 {
					return nil, pgerr.New(pgerr.ProgramLimitExceeded, "results of one batch are larger than 2 GiB")
				}
			}
			at[i+1] = int32(len(norm))
		}
		offs, data = at, norm
	}
	return vector.FromBytes(t, offs, data), nil
}

func takeList(m *wire.Mem, t types.Type) (*vector.Vector, error) {
	rows, offs := m.Rows, ownedOffsets(m)
	if err := checkOffsets(offs, m.Kids[0].Rows); err != nil {
		return nil, err
	}
	child, err := takeCol(&m.Kids[0], t.ElemType(), nil)
	if b, ok := err.(*badRow); ok {
		b.row = sort.Search(rows, func(i int) bool { return int(offs[i+1]) > b.row })
		b.what = "an array with " + b.what
	}
	if err != nil {
		return nil, err
	}
	return vector.FromList(t, offs, child), nil
}

func takeStruct(m *wire.Mem, t types.Type, valid []byte) (*vector.Vector, error) {
	fields, _ := t.RowFields()
	if len(m.Kids) != len(fields) {
		return nil, fmt.Errorf("rows of %d fields, want %d", len(m.Kids), len(fields))
	}
	names, cols := make([]string, len(fields)), make([]*vector.Vector, len(fields))
	for i, f := range fields {
		var err error
		if cols[i], err = takeCol(&m.Kids[i], f.Type, valid); err != nil {
			if b, ok := err.(*badRow); ok {
				b.what = fmt.Sprintf("a row with %s in field %q", b.what, f.Name)
			}
			return nil, err
		}
		names[i] = f.Name
	}
	return vector.MakeRecords(t, names, cols, m.Rows)
}

// checkFixed brings the values of a fixed-width column into the forms that the
// engine knows, and refuses those that have none.
func checkFixed(v *vector.Vector, valid []byte) error {
	bad := func(i int, what string) error { return &badRow{row: i, what: what} }
	switch v.Type.ID {
	case types.Bool:
		raw := v.Raw()
		for i, b := range raw {
			if b > 1 {
				raw[i] = 1
			}
		}
	case types.Numeric:
		// As words: not every byte is a bool, and padding must be zero.
		raw := v.Raw()
		if len(raw) == 0 {
			return nil
		}
		words := unsafe.Slice((*[3]uint64)(unsafe.Pointer(&raw[0])), v.Len)
		for i, w := range words {
			switch {
			case !vector.IsValid(valid, i):
				words[i] = [3]uint64{}
			case byte(w[2]>>32) != 0:
				words[i] = [3]uint64{0, 0, 1 << 32}
			default:
				words[i][2] = uint64(uint32(w[2]))
				if d := (types.Decimal{Lo: w[0], Hi: int64(w[1]), Scale: int32(w[2])}); !d.Valid() {
					return bad(i, "a numeric out of range")
				}
			}
		}
	case types.Date:
		for i, d := range vector.Values[int32](v) {
			if !types.DateValid(d) && vector.IsValid(valid, i) {
				return bad(i, "a date out of range")
			}
		}
	case types.Timestamp, types.Timestamptz:
		for i, ts := range vector.Values[int64](v) {
			if !types.TimestampValid(ts) && vector.IsValid(valid, i) {
				return bad(i, "a timestamp out of range")
			}
		}
	case types.Time:
		for i, x := range vector.Values[int64](v) {
			if !types.TimeValid(x) && vector.IsValid(valid, i) {
				return bad(i, "a time of day out of range")
			}
		}
	}
	return nil
}

func checkOffsets(offs []int32, n int) error {
	if offs[0] != 0 || int(offs[len(offs)-1]) != n {
		return fmt.Errorf("offsets from %d to %d for %d bytes", offs[0], offs[len(offs)-1], n)
	}
	prev := int32(0)
	for i, o := range offs {
		if o < prev {
			return fmt.Errorf("offsets that descend at row %d", i-1)
		}
		prev = o
	}
	return nil
}

// checkText wants every value to be valid UTF-8 without zero bytes, as Postgres
// does. Valid bytes as a whole whose values begin at rune starts are valid one
// by one.
func checkText(offs []int32, data []byte) error {
	ok := bytes.IndexByte(data, 0) < 0
	if ok && !vector.IsASCII(data) {
		ok = utf8.Valid(data)
		for i := 0; ok && i < len(offs)-1; i++ {
			if o := int(offs[i]); o < len(data) && !utf8.RuneStart(data[o]) {
				ok = false
			}
		}
	}
	if ok {
		return nil
	}
	for i := range len(offs) - 1 {
		b := data[offs[i]:offs[i+1]]
		if !utf8.Valid(b) {
			return &badRow{row: i, what: "text that is not valid UTF-8"}
		}
		if bytes.IndexByte(b, 0) >= 0 {
			return &badRow{row: i, what: "text with a zero byte"}
		}
	}
	return nil
}

// badRow is a value that the function may not return.
type badRow struct {
	row    int
	what   string
	column string // "" where there is only one
}

func (e *badRow) Error() string {
	if e.column != "" {
		return fmt.Sprintf("%s in column %q", e.what, e.column)
	}
	return e.what
}

// inColumn adds the name of a column to an error of copyOut.
func inColumn(err error, name string) error {
	if name == "" {
		return err
	}
	switch e := err.(type) {
	case *badRow:
		e.column = name
		return e
	case *pgerr.Error:
		return e
	}
	return fmt.Errorf("%w in column %q", err, name)
}

// collector puts the results of the pieces of one call together; a single piece
// is the result.
type collector struct {
	t     types.Type
	n     int
	v     *vector.Vector // of all n rows; of arrays only when they are all there
	at    int
	lists []*vector.Vector // pieces of arrays
	elems int
}

func newCollector(t types.Type, n int) *collector { return &collector{t: t, n: n} }

// add appends rows; the total is that of newCollector.
func (c *collector) add(p *vector.Vector) error {
	if c.at == 0 && p.Len == c.n {
		c.v, c.at = p, p.Len
		return nil
	}
	if c.t.Phys() == types.PhysList {
		if c.elems += p.Child.Len; c.elems > math.MaxInt32 {
			return pgerr.New(pgerr.ProgramLimitExceeded, "results of one batch have more than 2147483647 elements")
		}
		c.lists = append(c.lists, p)
		if c.at += p.Len; c.at >= c.n {
			c.v, c.lists = vector.Concat(c.lists), nil
		}
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
