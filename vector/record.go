package vector

import (
	"bytes"
	"encoding/binary"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// A record is stored as bytes that describe themselves, so that columns of them
// pass everything that columns of bytes do:
//
//	uvarint  length of the header
//	header   uvarint number of fields; for each its type's ID and element's ID,
//	         and its name with a uvarint length
//	values   for each field 0 for NULL, or 1 and the value: raw bytes of a fixed
//	         width; a uvarint length and bytes; for an array a uvarint number and
//	         its elements like fields

// MakeRecords makes a column of records of n rows, none of them NULL, from fields
// of n rows each.
func MakeRecords(t types.Type, names []string, fields []*Vector, n int) (*Vector, error) {
	flat := make([]*Vector, len(fields))
	ts := make([]types.Type, len(fields))
	for k, f := range fields {
		flat[k], ts[k] = f.Flatten(), f.Type
	}
	hdr := recordHeader(names, ts)
	offs := make([]int32, n+1)
	var data []byte
	for i := range n {
		data = append(data, hdr...)
		for _, f := range flat {
			data = appendField(data, f, i)
		}
		if len(data) > 1<<31-1 {
			return nil, pgerr.New(pgerr.ProgramLimitExceeded, "the records of one batch exceed 2 GB")
		}
		offs[i+1] = int32(len(data))
	}
	return FromBytes(t, offs, data), nil
}

// appendField appends row i of a Flat vector.
func appendField(dst []byte, v *Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch v.Type.Phys() {
	case types.PhysBytes:
		b := v.BytesAt(i)
		return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	case types.PhysList:
		from, to := v.ListAt(i)
		dst = binary.AppendUvarint(dst, uint64(to-from))
		child := v.Child.Flatten()
		for e := from; e < to; e++ {
			dst = appendField(dst, child, e)
		}
		return dst
	}
	w := Width(v.Type.Phys())
	return append(dst, v.buf[i*w:(i+1)*w]...)
}

func errRecord() error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "malformed record")
}

// RecordShape is what the header of a record says.
type RecordShape struct {
	Names []string
	Types []types.Type
	hdr   []byte
}

// parseShape reads the header of a record and returns it with the values behind.
func parseShape(b []byte) (s *RecordShape, vals []byte, err error) {
	hdr, vals, ok := splitRecord(b)
	if !ok {
		return nil, nil, errRecord()
	}
	s = &RecordShape{hdr: hdr}
	n, w := binary.Uvarint(hdr)
	if w <= 0 || n > uint64(len(hdr)) {
		return nil, nil, errRecord()
	}
	p := hdr[w:]
	for range n {
		if len(p) < 3 {
			return nil, nil, errRecord()
		}
		t := types.Type{ID: types.ID(p[0]), Elem: types.ID(p[1]), Typmod: -1}
		if t.Phys() == types.PhysInvalid || t.ID == types.Array && (t.ElemType().Phys() == types.PhysInvalid || t.ElemType().Phys() == types.PhysList) {
			return nil, nil, errRecord()
		}
		l, w := binary.Uvarint(p[2:])
		if w <= 0 || l > uint64(len(p)-2-w) {
			return nil, nil, errRecord()
		}
		s.Names = append(s.Names, string(p[2+w:2+w+int(l)]))
		s.Types = append(s.Types, t)
		p = p[2+w+int(l):]
	}
	return s, vals, nil
}

func splitRecord(b []byte) (hdr, vals []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// readField appends a value to b, or skips it where b is nil, and returns the rest.
func readField(b *Builder, t types.Type, p []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, errRecord()
	}
	null := p[0] == 0
	p = p[1:]
	if null {
		if b != nil {
			b.AppendNull()
		}
		return p, nil
	}
	switch ph := t.Phys(); ph {
	case types.PhysBytes:
		n, w := binary.Uvarint(p)
		if w <= 0 || n > uint64(len(p)-w) {
			return nil, errRecord()
		}
		if b != nil {
			b.AppendBytes(p[w : w+int(n)])
		}
		return p[w+int(n):], nil
	case types.PhysList:
		n, w := binary.Uvarint(p)
		if w <= 0 || n > uint64(len(p)-w) {
			return nil, errRecord()
		}
		p = p[w:]
		var child *Builder
		if b != nil {
			child = b.Elems()
		}
		for range n {
			var err error
			if p, err = readField(child, t.ElemType(), p); err != nil {
				return nil, err
			}
		}
		if b != nil {
			b.EndList()
		}
		return p, nil
	default:
		w := Width(ph)
		if w > len(p) {
			return nil, errRecord()
		}
		if b != nil {
			b.grow()
			copy(b.buf[len(b.buf)-w:], p[:w])
			b.n++
		}
		return p[w:], nil
	}
}

// RecordRun is a range of rows of a column of records that have the same fields.
// Cols hold To-From rows, which are NULL where the record is.
type RecordRun struct {
	From, To int
	RecordShape
	Cols []*Vector
}

// Records takes a column of records apart. Rows that are all NULL give one run
// without fields.
func Records(v *Vector) ([]RecordRun, error) {
	var runs []RecordRun
	var builders []*Builder
	var cur *RecordShape
	from := 0
	flush := func(to int) {
		if to == from {
			return
		}
		r := RecordRun{From: from, To: to}
		if cur != nil {
			r.RecordShape = *cur
			for _, b := range builders {
				r.Cols = append(r.Cols, b.Build())
			}
		}
		runs = append(runs, r)
		from, builders, cur = to, nil, nil
	}
	for i := range v.Len {
		if v.IsNull(i) {
			for _, b := range builders {
				b.AppendNull()
			}
			continue
		}
		raw := v.BytesAt(i)
		hdr, vals, ok := splitRecord(raw)
		if !ok {
			return nil, errRecord()
		}
		if cur == nil || !bytes.Equal(hdr, cur.hdr) {
			if cur != nil {
				flush(i)
			}
			s, _, err := parseShape(raw)
			if err != nil {
				return nil, err
			}
			cur = s
			for _, t := range s.Types {
				b := NewBuilder(t, v.Len-from)
				for range i - from {
					b.AppendNull()
				}
				builders = append(builders, b)
			}
		}
		for k, b := range builders {
			var err error
			if vals, err = readField(b, cur.Types[k], vals); err != nil {
				return nil, err
			}
		}
	}
	flush(v.Len)
	return runs, nil
}

// checkRecord reports whether b is a record.
func checkRecord(b []byte) error {
	s, p, err := parseShape(b)
	for k := 0; err == nil && k < len(s.Types); k++ {
		one := NewBuilder(s.Types[k], 1)
		if p, err = readField(one, s.Types[k], p); err == nil && s.Types[k].ID == types.Record {
			if v := one.Build(); !v.IsNull(0) {
				err = checkRecord(v.BytesAt(0))
			}
		}
	}
	if err == nil && len(p) > 0 {
		err = errRecord()
	}
	return err
}

// RecordShapeOf reads the fields of the record in b.
func RecordShapeOf(b []byte) (*RecordShape, error) {
	s, _, err := parseShape(b)
	return s, err
}

// KeyBytes returns what of row i of a PhysBytes vector counts in comparisons: all
// of it, but for types whose equal values may have different bytes. bytes.Compare
// of two results is the order of their values.
func KeyBytes(v *Vector, i int) []byte {
	b := v.BytesAt(i)
	switch v.Type.ID {
	case types.Bpchar:
		return bytes.TrimRight(b, " ")
	case types.JSONB:
		return types.AppendJSONBKey(nil, b)
	case types.Record:
		return appendRecordKey(nil, b)
	}
	return b
}

// appendRecordKey appends the fields' keys, each behind a mark: 1, or 2 for NULL,
// which is above all values; 0 ends it.
func appendRecordKey(dst, b []byte) []byte {
	s, p, err := parseShape(b)
	if err != nil {
		return append(dst, b...)
	}
	for _, t := range s.Types {
		one := NewBuilder(t, 1)
		if p, err = readField(one, t, p); err != nil {
			return append(dst, b...)
		}
		dst = appendValueKey(dst, one.Build(), 0)
	}
	return append(dst, 0)
}

func appendValueKey(dst []byte, v *Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, 2)
	}
	dst = append(dst, 1)
	be := binary.BigEndian
	switch v.Type.Phys() {
	case types.PhysBool:
		if At[bool](v, i) {
			return append(dst, 1)
		}
		return append(dst, 0)
	case types.PhysInt16:
		return be.AppendUint64(dst, types.IntKey(int64(At[int16](v, i))))
	case types.PhysInt32:
		return be.AppendUint64(dst, types.IntKey(int64(At[int32](v, i))))
	case types.PhysInt64:
		return be.AppendUint64(dst, types.IntKey(At[int64](v, i)))
	case types.PhysFloat32:
		return be.AppendUint64(dst, types.FloatKey(float64(At[float32](v, i))))
	case types.PhysFloat64:
		return be.AppendUint64(dst, types.FloatKey(At[float64](v, i)))
	case types.PhysNumeric:
		return types.AppendDecimalKey(dst, At[types.Decimal](v, i))
	case types.PhysInterval:
		return types.AppendIntervalKey(dst, At[types.IntervalValue](v, i))
	case types.PhysList:
		from, to := v.ListAt(i)
		for e := from; e < to; e++ {
			dst = appendValueKey(dst, v.Child, e)
		}
		return append(dst, 0)
	}
	for _, c := range KeyBytes(v, i) {
		if dst = append(dst, c); c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 0)
}

// recordAppender writes records as (1,x): it takes a column apart once and then
// writes its rows.
func recordAppender(o *types.TextOptions) func(dst []byte, v *Vector, i int) []byte {
	var of *Vector
	var runs []RecordRun
	var write [][]func(dst []byte, v *Vector, i int) []byte
	at := 0
	return func(dst []byte, v *Vector, i int) []byte {
		if v.Form == Const {
			i = 0
		}
		if of != v {
			flat := v
			if v.Form == Const {
				one := *v
				one.Form, one.Len = Flat, 1
				flat = &one
			}
			var err error
			if runs, err = Records(flat); err != nil {
				runs = nil
			}
			of, at, write = v, 0, make([][]func([]byte, *Vector, int) []byte, len(runs))
			for k, r := range runs {
				for _, t := range r.Types {
					write[k] = append(write[k], TextAppender(t, o))
				}
			}
		}
		for at < len(runs) && i >= runs[at].To {
			at++
		}
		for at > 0 && (at == len(runs) || i < runs[at].From) {
			at--
		}
		dst = append(dst, '(')
		if at < len(runs) {
			r := &runs[at]
			for k, c := range r.Cols {
				if k > 0 {
					dst = append(dst, ',')
				}
				if c.IsNull(i - r.From) {
					continue
				}
				n := len(dst)
				dst = write[at][k](dst, c, i-r.From)
				dst = quoteRecordField(dst, n)
			}
		}
		return append(dst, ')')
	}
}

// quoteRecordField quotes dst[n:] if it must be.
func quoteRecordField(dst []byte, n int) []byte {
	s := dst[n:]
	need := len(s) == 0
	for _, c := range s {
		switch c {
		case '"', '\\', '(', ')', ',', ' ', '\t', '\n', '\r', '\v', '\f':
			need = true
		}
	}
	if !need {
		return dst
	}
	text := append([]byte(nil), s...)
	dst = append(dst[:n], '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
