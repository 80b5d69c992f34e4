package vector

import (
	"encoding/binary"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// HasBinary reports whether values of t have a binary form here. Record and
// void do not: they go as text.
func HasBinary(t types.Type) bool {
	switch t.ID {
	case types.Record, types.Enum, types.Void:
		return false
	case types.Array:
		return HasBinary(t.ElemType())
	}
	return t.Phys() != types.PhysInvalid
}

// AppendBinary appends row i, which is not NULL, as Postgres' send functions
// do. The type must satisfy HasBinary.
func AppendBinary(dst []byte, v *Vector, i int) []byte {
	be := binary.BigEndian
	switch v.Type.ID {
	case types.Date:
		return be.AppendUint32(dst, uint32(types.DateToWire(At[int32](v, i))))
	case types.Timestamp, types.Timestamptz:
		return be.AppendUint64(dst, uint64(types.TimestampToWire(At[int64](v, i))))
	case types.Int8, types.Time:
		return be.AppendUint64(dst, uint64(At[int64](v, i)))
	case types.JSONB:
		return append(append(dst, 1), v.BytesAt(i)...)
	case types.Char:
		if s := v.BytesAt(i); len(s) > 0 {
			return append(dst, s[0])
		}
		return append(dst, 0)
	}
	switch v.Type.Phys() {
	case types.PhysBool:
		if At[bool](v, i) {
			return append(dst, 1)
		}
		return append(dst, 0)
	case types.PhysInt16:
		return be.AppendUint16(dst, uint16(At[int16](v, i)))
	case types.PhysInt32:
		return be.AppendUint32(dst, uint32(At[int32](v, i)))
	case types.PhysInt64: // oid and its aliases
		return be.AppendUint32(dst, uint32(At[int64](v, i)))
	case types.PhysFloat32:
		return be.AppendUint32(dst, math.Float32bits(At[float32](v, i)))
	case types.PhysFloat64:
		return be.AppendUint64(dst, math.Float64bits(At[float64](v, i)))
	case types.PhysNumeric:
		return types.AppendNumericBinary(dst, At[types.Decimal](v, i))
	case types.PhysInterval:
		x := At[types.IntervalValue](v, i)
		dst = be.AppendUint64(dst, uint64(x.Micros))
		dst = be.AppendUint32(dst, uint32(x.Days))
		return be.AppendUint32(dst, uint32(x.Months))
	case types.PhysList:
		return appendListBinary(dst, v, i)
	}
	return append(dst, v.BytesAt(i)...)
}

// appendListBinary writes dimensions, a flag for NULLs, the element type, then
// length and lower bound of the dimension, then the elements with lengths.
func appendListBinary(dst []byte, v *Vector, i int) []byte {
	be := binary.BigEndian
	from, to := v.ListAt(i)
	ndim, hasNull, lower := uint32(1), uint32(0), uint32(1)
	if v.Type.ID != types.Array {
		lower = 0
	}
	if from == to {
		// An empty array has no dimension, but the two vector types keep theirs.
		ndim -= lower
	}
	for e := from; e < to; e++ {
		if v.Child.IsNull(e) {
			hasNull = 1
			break
		}
	}
	dst = be.AppendUint32(dst, ndim)
	dst = be.AppendUint32(dst, hasNull)
	dst = be.AppendUint32(dst, v.Type.ElemType().OID())
	if ndim == 0 {
		return dst
	}
	dst = be.AppendUint32(dst, uint32(to-from))
	dst = be.AppendUint32(dst, lower)
	for e := from; e < to; e++ {
		if v.Child.IsNull(e) {
			dst = be.AppendUint32(dst, math.MaxUint32)
			continue
		}
		at := len(dst)
		dst = AppendBinary(append(dst, 0, 0, 0, 0), v.Child, e)
		be.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}

func errBinary(t types.Type) error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "incorrect binary data format for type %s", t)
}

// ParseBinary reads data, in the form of Postgres' receive functions, as a
// value of b's type and appends it. On an error nothing is appended. Errors are
// 22P03, and those of the type's text form for values out of range.
func ParseBinary(b *Builder, data []byte) error {
	t := b.t
	p := t.Phys()
	be := binary.BigEndian
	if w := wireWidth(t); w > 0 && len(data) != w {
		return errBinary(t)
	}
	switch p {
	case types.PhysBool:
		Append(b, data[0] != 0)
	case types.PhysInt16:
		Append(b, int16(be.Uint16(data)))
	case types.PhysInt32:
		x := int32(be.Uint32(data))
		if t.ID == types.Date {
			d, err := types.DateFromWire(x)
			if err != nil {
				return err
			}
			x = d
		}
		Append(b, x)
	case types.PhysInt64:
		return parseBinary64(b, data)
	case types.PhysFloat32:
		Append(b, math.Float32frombits(be.Uint32(data)))
	case types.PhysFloat64:
		Append(b, math.Float64frombits(be.Uint64(data)))
	case types.PhysNumeric:
		d, err := types.ParseNumericBinary(data)
		if err != nil {
			return err
		}
		Append(b, d)
	case types.PhysInterval:
		Append(b, types.IntervalValue{
			Micros: int64(be.Uint64(data)), Days: int32(be.Uint32(data[8:])), Months: int32(be.Uint32(data[12:]))})
	case types.PhysBytes:
		return parseBinaryBytes(b, data)
	case types.PhysList:
		return parseBinaryList(b, data)
	default:
		return errBinary(t)
	}
	return nil
}

// wireWidth is the length of a value on the wire, 0 if it varies.
func wireWidth(t types.Type) int {
	switch p := t.Phys(); p {
	case types.PhysNumeric, types.PhysBytes, types.PhysList:
		if t.ID == types.UUID {
			return 16
		}
		return 0
	case types.PhysInt64:
		switch t.ID {
		case types.Int8, types.Time, types.Timestamp, types.Timestamptz:
			return 8
		}
		return 4
	default:
		return Width(p)
	}
}

func parseBinary64(b *Builder, data []byte) error {
	be := binary.BigEndian
	if len(data) == 4 {
		Append(b, int64(be.Uint32(data)))
		return nil
	}
	x := int64(be.Uint64(data))
	var err error
	switch b.t.ID {
	case types.Time:
		x, err = types.TimeFromWire(x)
	case types.Timestamp, types.Timestamptz:
		x, err = types.TimestampFromWire(x)
	}
	if err == nil {
		Append(b, x)
	}
	return err
}

func parseBinaryBytes(b *Builder, data []byte) error {
	switch b.t.ID {
	case types.Bytea, types.UUID:
		b.AppendBytes(data)
		return nil
	case types.Void:
		return pgerr.New(pgerr.FeatureNotSupported, "binary input of type %s is not supported", b.t)
	case types.Record: // a constant of a plan
		if err := checkRecord(data); err != nil {
			return err
		}
		b.AppendBytes(data)
		return nil
	case types.Enum: // likewise
		if len(data) < types.EnumPrefix {
			return errBinary(b.t)
		}
		b.AppendBytes(data)
		return nil
	case types.Char:
		if len(data) != 1 {
			return errBinary(b.t)
		}
		if data[0] == 0 {
			data = nil
		}
	case types.JSONB:
		if len(data) == 0 || data[0] != 1 {
			version := 0
			if len(data) > 0 {
				version = int(data[0])
			}
			return pgerr.New(pgerr.InternalError, "unsupported jsonb version number %d", version).WithClass(pgerr.User)
		}
		data = data[1:]
	}
	return TextParser(b.t, nil)(b, data)
}

func parseBinaryList(b *Builder, data []byte) error {
	be := binary.BigEndian
	from := b.child.n
	if len(data) < 12 {
		return errBinary(b.t)
	}
	ndim, elem := be.Uint32(data), be.Uint32(data[8:])
	switch {
	case ndim > 1 && ndim <= 6:
		return pgerr.New(pgerr.FeatureNotSupported, "multidimensional arrays are not supported")
	case ndim > 1:
		return pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (6)", int32(ndim))
	case elem != b.t.ElemType().OID():
		return pgerr.New(pgerr.DatatypeMismatch, "binary data has array element type %d (%s) instead of expected %d (%s)",
			elem, oidName(elem), b.t.ElemType().OID(), b.t.ElemType())
	case ndim == 0:
		if len(data) != 12 {
			return errBinary(b.t)
		}
		b.EndList()
		return nil
	}
	if len(data) < 20 {
		return errBinary(b.t)
	}
	n, lower := be.Uint32(data[12:]), be.Uint32(data[16:])
	want := uint32(1)
	if b.t.ID != types.Array {
		want = 0
	}
	if lower != want {
		return pgerr.New(pgerr.FeatureNotSupported, "arrays with a lower bound of %d are not supported", int32(lower))
	}
	data = data[20:]
	if uint64(n)*4 > uint64(len(data)) {
		return errBinary(b.t)
	}
	for ; n > 0; n-- {
		err := error(nil)
		switch size := uint32(0); {
		case len(data) < 4:
			err = errBinary(b.t)
		default:
			size, data = be.Uint32(data), data[4:]
			if size == math.MaxUint32 {
				b.child.AppendNull()
			} else if uint64(size) > uint64(len(data)) {
				err = errBinary(b.t)
			} else {
				err = ParseBinary(b.child, data[:size])
				data = data[size:]
			}
		}
		if err != nil {
			b.child.truncate(from)
			return err
		}
	}
	if len(data) > 0 {
		b.child.truncate(from)
		return errBinary(b.t)
	}
	b.EndList()
	return nil
}

func oidName(oid uint32) string {
	if t, ok := types.ByOID(oid); ok {
		return t.String()
	}
	return "unknown"
}
