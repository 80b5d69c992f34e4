package pgwire

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// Postgres' binary dates and timestamps count from 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 24 * 3600 * 1_000_000
)

// nullLength is the length word of a NULL.
var nullLength = [4]byte{0xff, 0xff, 0xff, 0xff}

// cell appends the length word and the value of row i, which is not NULL.
type cell func(dst []byte, i int) []byte

// columnEncoder makes the cell of one column's vector in a batch. It is chosen
// once per result by the column's type and format, so that a cell is one loop
// body over one slice and asks nothing.
type columnEncoder func(v *vector.Vector) cell

// rowEncoder writes DataRow messages straight from the vectors of a batch.
type rowEncoder struct {
	columns []columnEncoder
	cells   []cell
	valid   [][]byte // per column, nil when the batch has no NULL there
}

// newRowEncoder chooses the encoders of a result's columns. text and regName
// may be nil.
func newRowEncoder(fields []vector.Field, f formats, text *types.TextOptions, regName func(types.Type, uint32) string) (*rowEncoder, error) {
	if len(f) > 1 && len(f) != len(fields) {
		return nil, errProtocol("bind message has %d result formats but query has %d columns", len(f), len(fields))
	}
	e := &rowEncoder{
		columns: make([]columnEncoder, len(fields)),
		cells:   make([]cell, len(fields)),
		valid:   make([][]byte, len(fields)),
	}
	for i, field := range fields {
		if f.of(i) == binaryFormat && vector.HasBinary(field.Type) {
			e.columns[i] = binaryColumn(field.Type)
		} else {
			e.columns[i] = textColumn(field.Type, text, regName)
		}
	}
	return e, nil
}

// bind makes b the batch that appendRows reads.
func (e *rowEncoder) bind(b *vector.Batch) {
	for i, column := range e.columns {
		v := b.Col(i)
		e.valid[i] = v.RowValid()
		e.cells[i] = nil
		if v.Len == 0 {
			continue
		}
		if v.Form != vector.Const {
			e.cells[i] = column(v)
			continue
		}
		if v.IsNull(0) {
			continue // RowValid says that all are NULL
		}
		one := column(vector.Slice(v, 0, 1).Flatten())(nil, 0)
		e.cells[i] = func(dst []byte, _ int) []byte { return append(dst, one...) }
	}
}

// appendRows appends rows from i up to n, until dst has size bytes, and
// returns the row it has come to.
func (e *rowEncoder) appendRows(dst []byte, i, n, size int) ([]byte, int, error) {
	count := len(e.cells)
	for i < n {
		start := len(dst)
		dst = append(dst, 'D', 0, 0, 0, 0, byte(count>>8), byte(count))
		for k, cell := range e.cells {
			if valid := e.valid[k]; valid != nil && valid[i>>3]&(1<<(i&7)) == 0 {
				dst = append(dst, nullLength[:]...)
				continue
			}
			dst = cell(dst, i)
		}
		length := len(dst) - start - 1
		if length > math.MaxInt32 {
			return dst[:start], i, pgerr.New(pgerr.ProgramLimitExceeded, "a row of %d bytes exceeds the limit of the protocol", length)
		}
		binary.BigEndian.PutUint32(dst[start+1:], uint32(length))
		i++
		if len(dst) >= size {
			break
		}
	}
	return dst, i, nil
}

// finish sets the length word at dst[at:], which the value follows.
func finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// bytesColumn copies the values as they are stored.
func bytesColumn(v *vector.Vector) cell {
	if v.Form == vector.Dict {
		codes, offs, data := v.Codes, v.Child.Offs, v.Child.Bytes
		return func(dst []byte, i int) []byte {
			code := codes[i]
			val := data[offs[code]:offs[code+1]]
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(val)))
			return append(dst, val...)
		}
	}
	offs, data := v.Offs, v.Bytes
	return func(dst []byte, i int) []byte {
		val := data[offs[i]:offs[i+1]]
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(val)))
		return append(dst, val...)
	}
}

// textColumn returns the encoder of a type's text format.
func textColumn(t types.Type, o *types.TextOptions, regName func(types.Type, uint32) string) columnEncoder {
	switch t.ID {
	case types.Bool:
		return textBool
	case types.Int2:
		return textInt[int16]
	case types.Int4:
		return textInt[int32]
	case types.Int8, types.OID:
		return textInt[int64]
	case types.Float8:
		if o == nil || o.ExtraFloatDigits > 0 {
			return textFloat8
		}
	case types.Float4:
		if o == nil || o.ExtraFloatDigits > 0 {
			return textFloat4
		}
	case types.Text, types.Varchar, types.Bpchar, types.Name, types.Char, types.Unknown, types.JSON, types.JSONB, types.Void:
		return bytesColumn
	case types.Date:
		return textDate
	case types.Timestamp:
		return textTimestamp
	case types.Timestamptz:
		return textTimestamptz(o.Loc())
	case types.Numeric:
		return textNumeric
	case types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		if regName != nil {
			return textReg(t, regName)
		}
	}
	appender := vector.TextAppender(t, o)
	return func(v *vector.Vector) cell {
		return func(dst []byte, i int) []byte {
			at := len(dst)
			return finish(appender(append(dst, 0, 0, 0, 0), v, i), at)
		}
	}
}

func textBool(v *vector.Vector) cell {
	vals := vector.Values[bool](v)
	return func(dst []byte, i int) []byte {
		c := byte('f')
		if vals[i] {
			c = 't'
		}
		return append(dst, 0, 0, 0, 1, c)
	}
}

func textInt[T int16 | int32 | int64](v *vector.Vector) cell {
	vals := vector.Values[T](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		dst = strconv.AppendInt(append(dst, 0, 0, 0, 0), int64(vals[i]), 10)
		dst[at+3] = byte(len(dst) - at - 4) // at most 20
		return dst
	}
}

func textFloat8(v *vector.Vector) cell {
	vals := vector.Values[float64](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		dst = types.AppendFloat8(append(dst, 0, 0, 0, 0), vals[i])
		dst[at+3] = byte(len(dst) - at - 4) // at most 24
		return dst
	}
}

func textFloat4(v *vector.Vector) cell {
	vals := vector.Values[float32](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		dst = types.AppendFloat4(append(dst, 0, 0, 0, 0), vals[i])
		dst[at+3] = byte(len(dst) - at - 4)
		return dst
	}
}

func textDate(v *vector.Vector) cell {
	vals := vector.Values[int32](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		return finish(types.AppendDate(append(dst, 0, 0, 0, 0), vals[i]), at)
	}
}

func textTimestamp(v *vector.Vector) cell {
	vals := vector.Values[int64](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		return finish(types.AppendTimestamp(append(dst, 0, 0, 0, 0), vals[i]), at)
	}
}

func textTimestamptz(loc *time.Location) columnEncoder {
	return func(v *vector.Vector) cell {
		vals := vector.Values[int64](v)
		return func(dst []byte, i int) []byte {
			at := len(dst)
			return finish(types.AppendTimestamptz(append(dst, 0, 0, 0, 0), vals[i], loc), at)
		}
	}
}

func textNumeric(v *vector.Vector) cell {
	if v.Form == vector.Scaled {
		vals, scale := vector.Values[int64](v), v.Scale
		return func(dst []byte, i int) []byte {
			at := len(dst)
			dst = types.AppendScaled(append(dst, 0, 0, 0, 0), vals[i], int(scale))
			dst[at+3] = byte(len(dst) - at - 4) // a sign, 20 digits, a point and the zeros of a small scale
			return dst
		}
	}
	vals := vector.Values[types.Decimal](v)
	return func(dst []byte, i int) []byte {
		at := len(dst)
		return finish(types.AppendNumeric(append(dst, 0, 0, 0, 0), vals[i]), at)
	}
}

func textReg(t types.Type, name func(types.Type, uint32) string) columnEncoder {
	return func(v *vector.Vector) cell {
		vals := vector.Values[int64](v)
		return func(dst []byte, i int) []byte {
			at := len(dst)
			return finish(append(append(dst, 0, 0, 0, 0), name(t, uint32(vals[i]))...), at)
		}
	}
}

// binaryColumn returns the encoder of a type's binary format.
func binaryColumn(t types.Type) columnEncoder {
	switch t.ID {
	case types.Bool:
		return binaryBool
	case types.Int2:
		return binaryInt2
	case types.Int4:
		return binaryInt4
	case types.Int8, types.Time:
		return binaryInt8
	case types.Float4:
		return binaryFloat4
	case types.Float8:
		return binaryFloat8
	case types.Date:
		return binaryDate
	case types.Timestamp, types.Timestamptz:
		return binaryTimestamp
	case types.OID, types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		return binaryOID
	case types.Text, types.Varchar, types.Bpchar, types.Name, types.Unknown, types.JSON, types.Bytea, types.UUID, types.Void:
		return bytesColumn
	}
	return func(v *vector.Vector) cell {
		return func(dst []byte, i int) []byte {
			at := len(dst)
			return finish(vector.AppendBinary(append(dst, 0, 0, 0, 0), v, i), at)
		}
	}
}

func binaryBool(v *vector.Vector) cell {
	vals := vector.Values[bool](v)
	return func(dst []byte, i int) []byte {
		c := byte(0)
		if vals[i] {
			c = 1
		}
		return append(dst, 0, 0, 0, 1, c)
	}
}

func binaryInt2(v *vector.Vector) cell {
	vals := vector.Values[int16](v)
	return func(dst []byte, i int) []byte { return append2(dst, uint16(vals[i])) }
}

func binaryInt4(v *vector.Vector) cell {
	vals := vector.Values[int32](v)
	return func(dst []byte, i int) []byte { return append4(dst, uint32(vals[i])) }
}

func binaryInt8(v *vector.Vector) cell {
	vals := vector.Values[int64](v)
	return func(dst []byte, i int) []byte { return append8(dst, uint64(vals[i])) }
}

func binaryOID(v *vector.Vector) cell {
	vals := vector.Values[int64](v)
	return func(dst []byte, i int) []byte { return append4(dst, uint32(vals[i])) }
}

func binaryFloat4(v *vector.Vector) cell {
	vals := vector.Values[float32](v)
	return func(dst []byte, i int) []byte { return append4(dst, math.Float32bits(vals[i])) }
}

func binaryFloat8(v *vector.Vector) cell {
	vals := vector.Values[float64](v)
	return func(dst []byte, i int) []byte { return append8(dst, math.Float64bits(vals[i])) }
}

// The infinities keep their values, being the same in both forms.

func binaryDate(v *vector.Vector) cell {
	vals := vector.Values[int32](v)
	return func(dst []byte, i int) []byte {
		d := vals[i]
		if types.DateFinite(d) {
			d -= epochDays
		}
		return append4(dst, uint32(d))
	}
}

func binaryTimestamp(v *vector.Vector) cell {
	vals := vector.Values[int64](v)
	return func(dst []byte, i int) []byte {
		ts := vals[i]
		if types.TimestampFinite(ts) {
			ts -= epochMicros
		}
		return append8(dst, uint64(ts))
	}
}

// append2, append4 and append8 append a length word and the value after it.

func append2(dst []byte, x uint16) []byte {
	return append(dst, 0, 0, 0, 2, byte(x>>8), byte(x))
}

func append4(dst []byte, x uint32) []byte {
	return append(dst, 0, 0, 0, 4, byte(x>>24), byte(x>>16), byte(x>>8), byte(x))
}

func append8(dst []byte, x uint64) []byte {
	return append(dst, 0, 0, 0, 8, byte(x>>56), byte(x>>48), byte(x>>40), byte(x>>32), byte(x>>24), byte(x>>16), byte(x>>8), byte(x))
}
