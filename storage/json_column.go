package storage

import (
	"bytes"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// jsonBlock is a run of scanned objects over a buffer.
type jsonBlock struct {
	data  []byte
	ncols int
	rows  int
	slots []jsonSlot // of row r and column c at r*ncols+c
	// starts are the positions of the objects, and that behind the last.
	starts []uint32
}

// valueText is the text of a scalar, or of an array or object where nested ones
// are allowed; scratch holds what had to be decoded.
func valueText(data []byte, s jsonSlot, t types.Type, nested bool, scratch *[]byte) ([]byte, error) {
	raw := s.bytes(data)
	switch s.kind() {
	case jsonEscaped:
		var err error
		*scratch, err = jsonUnescape((*scratch)[:0], raw)
		return *scratch, err
	case jsonNested:
		if !nested {
			what := "an array"
			if raw[0] == '{' {
				what = "an object"
			}
			return nil, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", t, excerpt(raw)).
				WithDetail("The value is %s.", what)
		}
	}
	return raw, nil
}

// addJSON converts column k of a block; see column.add.
func (c *column) addJSON(b *jsonBlock, k int, bad []bool) *fieldError {
	switch c.typ.ID {
	case types.Int8:
		return addJSONFixed(c, b, k, bad, parseInt8)
	case types.Float8:
		return addJSONFixed(c, b, k, bad, parseFloat8)
	case types.Int4:
		return addJSONFixed(c, b, k, bad, func(s []byte) (int32, error) {
			if v, ok := fastInt(s); ok && v == int64(int32(v)) {
				return int32(v), nil
			}
			return types.ParseInt4(s)
		})
	case types.Bool:
		return addJSONFixed(c, b, k, bad, types.ParseBool[[]byte])
	case types.Date:
		return addJSONFixed(c, b, k, bad, func(s []byte) (int32, error) {
			if v, ok := fastDate(s); ok {
				return v, nil
			}
			return types.ParseDate(s, c.text)
		})
	case types.Timestamp:
		return addJSONFixed(c, b, k, bad, func(s []byte) (int64, error) {
			if v, ok := fastTimestamp(s); ok {
				return v, nil
			}
			return types.ParseTimestamp(s, c.text)
		})
	}
	if c.offs != nil {
		return c.addJSONText(b, k, bad)
	}
	return c.addJSONAny(b, k, bad)
}

func addJSONFixed[T vector.Fixed](c *column, b *jsonBlock, k int, bad []bool, parse func([]byte) (T, error)) *fieldError {
	vals := vector.Values[T](c.vec)[c.n:]
	for r := range b.rows {
		s := b.slots[r*b.ncols+k]
		kind := s.kind()
		if kind == jsonNull {
			c.setNull(c.n + r)
			continue
		}
		val := s.bytes(b.data)
		var err error
		if kind == jsonEscaped || kind == jsonNested {
			val, err = valueText(b.data, s, c.typ, false, &c.scratch)
		}
		if err == nil {
			var v T
			if v, err = parse(val); err == nil {
				vals[r] = v
				continue
			}
		}
		if bad == nil {
			return &fieldError{row: r, err: err, raw: bytes.Clone(val)}
		}
		bad[r] = true
		c.setNull(c.n + r)
	}
	c.n += b.rows
	return nil
}

func (c *column) addJSONText(b *jsonBlock, k int, bad []bool) *fieldError {
	from := len(c.bytes)
	data, offs := c.bytes, c.offs
	for r := range b.rows {
		s := b.slots[r*b.ncols+k]
		switch s.kind() {
		case jsonNull:
			c.setNull(c.n + r)
		case jsonEscaped:
			var err error
			at := len(data)
			if data, err = jsonUnescape(data, s.bytes(b.data)); err != nil {
				if bad == nil {
					return &fieldError{row: r, err: err}
				}
				bad[r] = true
				data = data[:at]
			}
		default:
			data = append(data, s.bytes(b.data)...)
		}
		offs = append(offs, int32(len(data)))
	}
	c.bytes, c.offs = data, offs
	if !plainASCII(data[from:]) {
		for r := range b.rows {
			if err := checkUTF8(data[offs[c.n+r]:offs[c.n+r+1]]); err != nil {
				if bad == nil {
					return &fieldError{row: r, err: err}
				}
				bad[r] = true
			}
		}
	}
	c.n += b.rows
	return nil
}

func (c *column) addJSONAny(b *jsonBlock, k int, bad []bool) *fieldError {
	for r := range b.rows {
		s := b.slots[r*b.ncols+k]
		if s.kind() == jsonNull {
			c.builder.AppendNull()
			continue
		}
		if err := c.addJSONValue(b, s); err != nil {
			if bad == nil {
				return &fieldError{row: r, err: err}
			}
			bad[r] = true
			c.builder.AppendNull()
		}
	}
	c.n += b.rows
	return nil
}

// addJSONValue adds a value of a type that is kept in a builder.
func (c *column) addJSONValue(b *jsonBlock, s jsonSlot) error {
	switch {
	case c.typ.ID == types.JSON || c.typ.ID == types.JSONB:
		raw := s.bytes(b.data)
		if k := s.kind(); k == jsonString || k == jsonEscaped {
			raw = b.data[s.from-1 : s.end&jsonEndMask+1]
		}
		if err := checkUTF8(raw); err != nil {
			return err
		}
		return c.parse(c.builder, raw)
	case c.typ.Phys() == types.PhysList && s.kind() == jsonNested && b.data[s.from] == '[':
		return c.addJSONArray(b, s)
	}
	val, err := valueText(b.data, s, c.typ, c.typ.IsString(), &c.scratch)
	if err == nil {
		err = checkUTF8(val)
	}
	if err != nil {
		return err
	}
	return c.parse(c.builder, val)
}

// addJSONArray adds an array. Elements are checked before the first is added, so
// that a bad one leaves nothing behind: they go through the type's text form only
// when one by one is not possible.
func (c *column) addJSONArray(b *jsonBlock, s jsonSlot) error {
	elem := c.typ.ElemType()
	if c.elem == nil {
		c.elem = vector.TextParser(elem, c.text)
		c.elems = vector.NewBuilder(elem, 16)
	}
	raw := s.bytes(b.data)
	t := &c.tok
	// The text goes on behind the array, so the zero at its end is made of a copy.
	c.copied = append(append(c.copied[:0], raw...), make([]byte, 9)...)
	t.reset(c.copied, len(raw))
	t.nl = '\n'
	if c.elems.Len() > 0 {
		c.elems = vector.NewBuilder(elem, 16)
	}
	for i := t.space(1); t.p[i] != ']'; {
		end, kind := t.value(i, 2)
		from, to := i, end
		if kind == jsonString || kind == jsonEscaped {
			from, to = i+1, end-1
		}
		if kind == jsonNull {
			c.elems.AppendNull()
		} else {
			es := jsonSlot{uint32(from), uint32(to) | uint32(kind)<<jsonKindShift}
			if elem.ID == types.JSON || elem.ID == types.JSONB {
				es = jsonSlot{uint32(i), uint32(end) | jsonNested<<jsonKindShift}
			}
			val, err := valueText(t.p, es, elem, elem.IsString() || elem.ID == types.JSON || elem.ID == types.JSONB, &c.scratch)
			if err == nil {
				err = checkUTF8(val)
			}
			if err == nil {
				err = c.elem(c.elems, val)
			}
			if err != nil {
				return err
			}
		}
		if i = t.space(end); t.p[i] == ',' {
			i = t.space(i + 1)
		}
	}
	v := c.elems.Build()
	for i := range v.Len {
		c.builder.Elems().AppendFrom(v, i)
	}
	c.builder.EndList()
	return nil
}
