package vector

import (
	"unsafe"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
)

// AppendText appends the text form of row i, which is not NULL.
func AppendText(dst []byte, v *Vector, i int, o *types.TextOptions) []byte {
	return TextAppender(v.Type, o)(dst, v, i)
}

// TextAppender returns AppendText for vectors of type t, so that a loop chooses
// once. It does not allocate per value. The OID aliases (regclass and so on)
// print as numbers: their names are the catalog's to give.
func TextAppender(t types.Type, o *types.TextOptions) func(dst []byte, v *Vector, i int) []byte {
	switch t.ID {
	case types.Bool:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendBool(dst, At[bool](v, i)) }
	case types.Int2:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendInt(dst, int64(At[int16](v, i))) }
	case types.Int4:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendInt(dst, int64(At[int32](v, i))) }
	case types.Float4:
		if o != nil && o.ExtraFloatDigits <= 0 {
			extra := o.ExtraFloatDigits
			return func(dst []byte, v *Vector, i int) []byte {
				return types.AppendFloat4Digits(dst, At[float32](v, i), extra)
			}
		}
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendFloat4(dst, At[float32](v, i)) }
	case types.Float8:
		if o != nil && o.ExtraFloatDigits <= 0 {
			extra := o.ExtraFloatDigits
			return func(dst []byte, v *Vector, i int) []byte {
				return types.AppendFloat8Digits(dst, At[float64](v, i), extra)
			}
		}
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendFloat8(dst, At[float64](v, i)) }
	case types.Numeric:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendNumeric(dst, At[types.Decimal](v, i)) }
	case types.Date:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendDate(dst, At[int32](v, i)) }
	case types.Time:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendTime(dst, At[int64](v, i)) }
	case types.Timestamp:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendTimestamp(dst, At[int64](v, i)) }
	case types.Timestamptz:
		loc := o.Loc()
		return func(dst []byte, v *Vector, i int) []byte {
			return types.AppendTimestamptz(dst, At[int64](v, i), loc)
		}
	case types.Interval:
		return func(dst []byte, v *Vector, i int) []byte {
			return types.AppendInterval(dst, At[types.IntervalValue](v, i))
		}
	case types.Bytea:
		if o != nil && o.ByteaEscape {
			return func(dst []byte, v *Vector, i int) []byte { return types.AppendByteaEscape(dst, v.BytesAt(i)) }
		}
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendBytea(dst, v.BytesAt(i)) }
	case types.UUID:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendUUID(dst, v.BytesAt(i)) }
	case types.Void:
		return func(dst []byte, v *Vector, i int) []byte { return dst }
	case types.Record:
		return recordAppender(o)
	case types.Enum:
		return func(dst []byte, v *Vector, i int) []byte { return append(dst, enumLabel(v.BytesAt(i))...) }
	}
	switch t.Phys() {
	case types.PhysInt64:
		return func(dst []byte, v *Vector, i int) []byte { return types.AppendInt(dst, At[int64](v, i)) }
	case types.PhysList:
		return listAppender(t, o)
	}
	return func(dst []byte, v *Vector, i int) []byte { return append(dst, v.BytesAt(i)...) }
}

func listAppender(t types.Type, o *types.TextOptions) func(dst []byte, v *Vector, i int) []byte {
	elem := TextAppender(t.ElemType(), o)
	if t.ID != types.Array {
		// int2vector and oidvector: numbers with blanks between.
		return func(dst []byte, v *Vector, i int) []byte {
			from, to := v.ListAt(i)
			for e := from; e < to; e++ {
				if e > from {
					dst = append(dst, ' ')
				}
				dst = elem(dst, v.Child, e)
			}
			return dst
		}
	}
	plain := plainElem(t.ElemType())
	return func(dst []byte, v *Vector, i int) []byte {
		dst = append(dst, '{')
		from, to := v.ListAt(i)
		for e := from; e < to; e++ {
			if e > from {
				dst = append(dst, ',')
			}
			switch {
			case v.Child.IsNull(e):
				dst = append(dst, "NULL"...)
			case plain:
				dst = elem(dst, v.Child, e)
			default:
				// The quoted form may be longer: write, then quote a copy behind it.
				n := len(dst)
				dst = elem(dst, v.Child, e)
				m := len(dst)
				dst = types.AppendArrayElem(dst, dst[n:m])
				dst = append(dst[:n], dst[m:]...)
			}
		}
		return append(dst, '}')
	}
}

// plainElem tells types whose text never needs quotes in an array.
func plainElem(t types.Type) bool {
	switch t.Phys() {
	case types.PhysBytes, types.PhysInterval, types.PhysList:
		return t.ID == types.UUID
	}
	return t.ID != types.Timestamp && t.ID != types.Timestamptz && t.ID != types.Date
}

// ParseText reads s as a value of b's type and appends it. On an error nothing
// is appended. Modifiers such as varchar(n) are not applied (see
// types.FitVarchar, PadBpchar, RoundNumeric).
func ParseText(b *Builder, s []byte, o *types.TextOptions) error { return TextParser(b.t, o)(b, s) }

// fixedParser wraps a reader of fixed-width values.
func fixedParser[T Fixed](parse func(s []byte) (T, error)) func(b *Builder, s []byte) error {
	return func(b *Builder, s []byte) error {
		x, err := parse(s)
		if err != nil {
			return err
		}
		Append(b, x)
		return nil
	}
}

// TextParser returns ParseText for builders of type t, so that a loop chooses
// once. It does not allocate per value but for arrays, json, intervals and
// dates and times that are not in ISO form. The OID aliases
// take numbers only (0A000): names are the catalog's to resolve.
func TextParser(t types.Type, o *types.TextOptions) func(b *Builder, s []byte) error {
	switch t.ID {
	case types.Bool:
		return fixedParser(types.ParseBool[[]byte])
	case types.Int2:
		return fixedParser(types.ParseInt2[[]byte])
	case types.Int4:
		return fixedParser(types.ParseInt4[[]byte])
	case types.Int8:
		return fixedParser(types.ParseInt8[[]byte])
	case types.Float4:
		return fixedParser(types.ParseFloat4[[]byte])
	case types.Float8:
		return fixedParser(types.ParseFloat8[[]byte])
	case types.Numeric:
		return fixedParser(types.ParseNumeric[[]byte])
	case types.Interval:
		return fixedParser(types.ParseInterval[[]byte])
	case types.Date:
		return fixedParser(func(s []byte) (int32, error) { return types.ParseDate(s, o) })
	case types.Time:
		return fixedParser(func(s []byte) (int64, error) { return types.ParseTime(s, o) })
	case types.Timestamp:
		return fixedParser(func(s []byte) (int64, error) { return types.ParseTimestamp(s, o) })
	case types.Timestamptz:
		return fixedParser(func(s []byte) (int64, error) { return types.ParseTimestamptz(s, o) })
	case types.OID:
		return fixedParser(func(s []byte) (int64, error) {
			v, err := types.ParseOID(s)
			return int64(v), err
		})
	case types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		return fixedParser(func(s []byte) (int64, error) {
			if len(s) == 1 && s[0] == '-' {
				return 0, nil
			}
			v, err := types.ParseOID(s)
			if err != nil {
				return 0, pgerr.New(pgerr.FeatureNotSupported, "cannot read the name \"%s\" as %s here", s, t)
			}
			return int64(v), nil
		})
	case types.Bytea:
		return func(b *Builder, s []byte) error {
			n := len(b.bytes)
			out, err := types.ParseBytea(b.bytes, s)
			return b.endBytes(out, n, err)
		}
	case types.UUID:
		return func(b *Builder, s []byte) error {
			u, err := types.ParseUUID(s)
			if err == nil {
				b.AppendBytes(u[:])
			}
			return err
		}
	case types.JSON:
		return func(b *Builder, s []byte) error {
			err := types.CheckJSON(s)
			if err == nil {
				b.AppendBytes(s)
			}
			return err
		}
	case types.JSONB:
		return func(b *Builder, s []byte) error {
			n := len(b.bytes)
			out, err := types.AppendJSONB(b.bytes, s)
			return b.endBytes(out, n, err)
		}
	case types.JSONPathType:
		return func(b *Builder, s []byte) error {
			p, err := types.ParseJSONPath(string(s))
			if err == nil {
				b.AppendBytes([]byte(p.String()))
			}
			return err
		}
	case types.Name:
		return func(b *Builder, s []byte) error { return appendString(b, types.TruncateName(s)) }
	case types.Char:
		return func(b *Builder, s []byte) error { return appendString(b, s[:min(len(s), 1)]) }
	case types.Record:
		return recordParser(t, o)
	case types.Enum:
		return enumParser(t)
	case types.Void:
		return func(*Builder, []byte) error {
			return pgerr.New(pgerr.FeatureNotSupported, "input of type %s is not supported", t)
		}
	}
	if t.Phys() == types.PhysList {
		return listParser(t, o)
	}
	return appendString
}

func appendString(b *Builder, s []byte) error {
	if err := types.CheckUTF8(s); err != nil {
		return err
	}
	b.AppendBytes(s)
	return nil
}

// endBytes ends a value that was appended to b.bytes[:n], giving out.
func (b *Builder) endBytes(out []byte, n int, err error) error {
	if err != nil {
		b.bytes = out[:n]
		return err
	}
	b.bytes = out
	b.offs = append(b.offs, int32(len(b.bytes)))
	b.n++
	return nil
}

// truncate drops the rows from n on.
func (b *Builder) truncate(n int) {
	b.n = n
	for k := len(b.nulls); k > 0 && int(b.nulls[k-1]) >= n; k-- {
		b.nulls = b.nulls[:k-1]
	}
	switch {
	case b.child != nil:
		b.offs = b.offs[:n+1]
		b.child.truncate(int(b.offs[n]))
	case b.offs != nil:
		b.offs = b.offs[:n+1]
		b.bytes = b.bytes[:b.offs[n]]
	default:
		b.buf = b.buf[:n*b.width]
	}
}

func listParser(t types.Type, o *types.TextOptions) func(b *Builder, s []byte) error {
	elem := TextParser(t.ElemType(), o)
	if t.ID != types.Array {
		return func(b *Builder, s []byte) error {
			from := b.child.n
			for len(s) > 0 {
				n := 0
				for n < len(s) && s[n] != ' ' {
					n++
				}
				if n > 0 {
					if err := elem(b.child, s[:n]); err != nil {
						b.child.truncate(from)
						return err
					}
				}
				s = s[min(n+1, len(s)):]
			}
			b.EndList()
			return nil
		}
	}
	return func(b *Builder, s []byte) error {
		from := b.child.n
		err := types.ParseArray(s, func(e string, null bool) error {
			if null {
				b.child.AppendNull()
				return nil
			}
			return elem(b.child, unsafe.Slice(unsafe.StringData(e), len(e)))
		})
		if err != nil {
			b.child.truncate(from)
			return err
		}
		b.EndList()
		return nil
	}
}
