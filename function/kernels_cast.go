package function

import (
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// castVector is Cast.
func castVector(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	from := v.Type
	if from == to || from.Same(to) && to.Typmod < 0 {
		return v.Retype(to), nil
	}
	if v.Len == 0 {
		return vector.New(to, 0), nil
	}
	switch v.Form {
	case vector.Const:
		if v.IsNull(0) {
			return vector.NewNull(to, v.Len), nil
		}
		one, err := castVector(c, vector.Slice(v, 0, 1).Flatten(), to, explicit)
		if err != nil {
			return nil, err
		}
		return vector.NewConst(one, v.Len), nil
	case vector.Dict:
		if relabels(from, to) {
			return v.Retype(to), nil
		}
		// A dictionary may hold values that no row has: an error in it says nothing.
		if v.Child.Len <= v.Len {
			if d, err := castVector(c, v.Child, to, explicit); err == nil && d.Valid == nil {
				if to.Phys() == types.PhysBytes {
					return vector.FromDict(to, v.Codes, d).WithValid(v.Valid), nil
				}
				return vector.Gather(d, v.Codes).WithValid(v.Valid), nil
			}
		}
		v = v.Flatten()
	}
	out, err := castFlat(c, v, to, explicit)
	if err != nil {
		return nil, err
	}
	if v.Valid != nil {
		out = out.WithValid(vector.AndValid(out.Valid, v.Valid, v.Len))
	}
	return out, nil
}

// relabels reports casts that leave every value as it is.
func relabels(from, to types.Type) bool {
	if to.Typmod >= 0 {
		return from == to
	}
	if from.Same(to) {
		return true
	}
	switch to.ID {
	case types.Text, types.Varchar:
		switch from.ID {
		case types.Text, types.Varchar, types.Name, types.Unknown, types.JSON, types.JSONB, types.Char:
			return true
		}
	}
	return to.Phys() == types.PhysInt64 && isOID(to) && isOID(from)
}

func isOID(t types.Type) bool {
	switch t.ID {
	case types.OID, types.Regclass, types.Regtype, types.Regproc, types.Regprocedure, types.Regnamespace:
		return true
	}
	return false
}

// castFlat casts a Flat vector; the caller merges the NULLs.
func castFlat(c *Ctx, v *vector.Vector, to types.Type, explicit bool) (*vector.Vector, error) {
	from := v.Type
	switch {
	case relabels(from, to):
		return v.Retype(to), nil
	case isArray(to) && isArray(from):
		child, err := castVector(c, v.Child, to.ElemType(), explicit)
		if err != nil {
			return nil, err
		}
		return vector.FromList(to, v.Offs, child.Flatten()), nil
	case from.ID == types.Record && to.ID == types.Record:
		return castRecords(c, v, to)
	case from.IsString():
		return castString(c, v, to, explicit)
	case to.IsString() && !(to.ID == types.Char && from.ID == types.Int4):
		return castToString(c, v, to, explicit)
	}
	var out *vector.Vector
	var err error
	switch from.Phys() {
	case types.PhysBool:
		out, err = castBool(v, to)
	case types.PhysInt16:
		out, err = castInts[int16](v, to)
	case types.PhysInt32:
		if from.ID == types.Date {
			out, err = castDate(c, v, to)
		} else {
			out, err = castInts[int32](v, to)
		}
	case types.PhysInt64:
		switch from.ID {
		case types.Int8:
			out, err = castInts[int64](v, to)
		case types.Time, types.Timestamp, types.Timestamptz:
			out, err = castTimes(c, v, to)
		default:
			out, err = castOID(v, to)
		}
	case types.PhysFloat32:
		out, err = castFloats[float32](v, to)
	case types.PhysFloat64:
		out, err = castFloats[float64](v, to)
	case types.PhysNumeric:
		out, err = castNumeric(v, to)
	case types.PhysInterval:
		out, err = castInterval(v, to)
	default:
		if from.ID == types.JSONB && (to.ID == types.Bool || to.IsNumeric()) {
			return jsonbTo(c, v, to)
		}
		if from.ID == types.JSON && to.ID == types.JSONB {
			return castString(c, v.Retype(types.T(types.Text)), to, explicit)
		}
		if relabels(from, types.T(types.Text)) && to.ID == types.JSON {
			return v.Retype(to), nil
		}
	}
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errCannotCast(from, to)
	}
	return out, nil
}

// mapFixed converts row by row; f cannot fail.
func mapFixed[A, B vector.Fixed](v *vector.Vector, to types.Type, f func(A) B) *vector.Vector {
	out := vector.NewDirty(to, v.Len)
	src, dst := vector.Values[A](v), vector.Values[B](out)
	for i := range dst {
		dst[i] = f(src[i])
	}
	return out
}

// mapFixedErr converts the valid rows.
func mapFixedErr[A, B vector.Fixed](v *vector.Vector, to types.Type, f func(A) (B, error)) (*vector.Vector, error) {
	out := vector.New(to, v.Len)
	src, dst := vector.Values[A](v), vector.Values[B](out)
	for i := range dst {
		x, err := f(src[i])
		if err != nil {
			if v.IsNull(i) {
				continue
			}
			return nil, err
		}
		dst[i] = x
	}
	return out, nil
}

func castBool(v *vector.Vector, to types.Type) (*vector.Vector, error) {
	if to.ID != types.Int4 {
		return nil, nil
	}
	return mapFixed(v, to, func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	}), nil
}

type signed interface{ int16 | int32 | int64 }

func errRange(t types.Type) error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "%s out of range", t.Bare())
}

func castInts[A signed](v *vector.Vector, to types.Type) (*vector.Vector, error) {
	switch to.ID {
	case types.Int2:
		return convertInts[A, int16](v, to)
	case types.Int4:
		return convertInts[A, int32](v, to)
	case types.Int8:
		return convertInts[A, int64](v, to)
	case types.Float4:
		return mapFixed(v, to, func(x A) float32 { return float32(x) }), nil
	case types.Float8:
		return convertFloats[A](v, to), nil
	case types.Numeric:
		vals, is8 := any(vector.Values[A](v)).([]int64)
		if !is8 {
			vals = make([]int64, v.Len)
			for i, x := range vector.Values[A](v) {
				vals[i] = int64(x)
			}
		}
		return castNumeric(vector.FromScaled(to.Bare(), vals, 0).WithValid(v.Valid), to)
	case types.Bool:
		return mapFixed(v, to, func(x A) bool { return x != 0 }), nil
	case types.Char:
		out := vector.NewBuilder(to, v.Len)
		for i, x := range vector.Values[A](v) {
			if (x < -128 || x > 127) && !v.IsNull(i) {
				return nil, pgerr.New(pgerr.NumericValueOutOfRange, `"char" out of range`)
			}
			if x == 0 {
				out.AppendString("")
			} else {
				out.AppendBytes([]byte{byte(x)})
			}
		}
		return out.Build(), nil
	}
	if isOID(to) {
		return mapFixedErr(v, to, func(x A) (int64, error) {
			y := int64(x)
			if _, is8 := any(x).(int64); !is8 {
				return int64(uint32(y)), nil
			}
			if y < 0 || y > math.MaxUint32 {
				return 0, pgerr.New(pgerr.NumericValueOutOfRange, "OID out of range")
			}
			return y, nil
		})
	}
	return nil, nil
}

func convertFloats[A signed](v *vector.Vector, to types.Type) *vector.Vector {
	out := vector.NewDirty(to, v.Len)
	src, dst := vector.Values[A](v), vector.Values[float64](out)
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = float64(src[i])
	}
	return out
}

// convertInts notes in bad whether some value did not survive the conversion
// and looks for a valid row only then.
func convertInts[A, B signed](v *vector.Vector, to types.Type) (*vector.Vector, error) {
	out := vector.NewDirty(to, v.Len)
	src, dst := vector.Values[A](v), vector.Values[B](out)
	src = src[:len(dst)]
	var bad int64
	for i := range dst {
		y := B(src[i])
		dst[i] = y
		bad |= int64(y) ^ int64(src[i])
	}
	if bad != 0 {
		for i := range dst {
			if int64(dst[i]) != int64(src[i]) && !v.IsNull(i) {
				return nil, errRange(to)
			}
		}
	}
	return out, nil
}

func castFloats[A float](v *vector.Vector, to types.Type) (*vector.Vector, error) {
	switch to.ID {
	case types.Int2:
		return floatsToInts[A, int16](v, to, -1<<15, 1<<15)
	case types.Int4:
		return floatsToInts[A, int32](v, to, -1<<31, 1<<31)
	case types.Int8:
		return floatsToInts[A, int64](v, to, -1<<63, 1<<63)
	case types.Float8:
		return mapFixed(v, to, func(x A) float64 { return float64(x) }), nil
	case types.Float4:
		return mapFixedErr(v, to, func(x A) (float32, error) {
			y := float32(x)
			switch {
			case math.IsInf(float64(y), 0) && !math.IsInf(float64(x), 0):
				return 0, errOverflow()
			case y == 0 && x != 0:
				return 0, errUnderflow()
			}
			return y, nil
		})
	case types.Numeric:
		out, err := mapFixedErr(v, to.Bare(), func(x A) (types.Decimal, error) {
			if f, ok := any(x).(float32); ok {
				return types.DecimalFromFloat32(f)
			}
			return types.DecimalFromFloat64(float64(x))
		})
		if err != nil {
			return nil, err
		}
		return numericTypmod(out.WithValid(v.Valid), to)
	}
	return nil, nil
}

func errOverflow() error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value out of range: overflow")
}

func errUnderflow() error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value out of range: underflow")
}

// floatsToInts rounds half to even; the limits are [lo, hi).
func floatsToInts[A float, B signed](v *vector.Vector, to types.Type, lo, hi float64) (*vector.Vector, error) {
	out := vector.New(to, v.Len)
	src, dst := vector.Values[A](v), vector.Values[B](out)
	for i := range dst {
		x := math.RoundToEven(float64(src[i]))
		if !(x >= lo && x < hi) {
			if v.IsNull(i) {
				continue
			}
			return nil, errRange(to)
		}
		dst[i] = B(x)
	}
	return out, nil
}

func castOID(v *vector.Vector, to types.Type) (*vector.Vector, error) {
	switch {
	case isOID(to), to.ID == types.Int8:
		return v.Retype(to), nil
	case to.ID == types.Int4:
		return mapFixed(v, to, func(x int64) int32 { return int32(uint32(x)) }), nil
	}
	return nil, nil
}

func castNumeric(v *vector.Vector, to types.Type) (*vector.Vector, error) {
	if v.Form == vector.Scaled {
		if out := castScaled(v, to); out != nil {
			return out, nil
		}
	}
	switch to.ID {
	case types.Int2:
		return mapFixedErr(v, to, types.Decimal.Int16)
	case types.Int4:
		return mapFixedErr(v, to, types.Decimal.Int32)
	case types.Int8:
		return mapFixedErr(v, to, types.Decimal.Int64)
	case types.Float4:
		return mapFixedErr(v, to, func(d types.Decimal) (float32, error) {
			f := float32(d.Float64())
			if math.IsInf(float64(f), 0) {
				return 0, errOverflow()
			}
			return f, nil
		})
	case types.Float8:
		return mapFixed(v, to, types.Decimal.Float64), nil
	case types.Numeric:
		return numericTypmod(v, to)
	}
	return nil, nil
}

// numericTypmod applies numeric(p,s).
func numericTypmod(v *vector.Vector, to types.Type) (*vector.Vector, error) {
	p, s, ok := to.PrecisionScale()
	if !ok {
		return v.Retype(to), nil
	}
	return mapFixedErr(v, to, func(d types.Decimal) (types.Decimal, error) { return types.RoundNumeric(d, p, s) })
}

func castDate(c *Ctx, v *vector.Vector, to types.Type) (*vector.Vector, error) {
	switch to.ID {
	case types.Timestamp:
		return mapFixedErr(v, to, types.DateToTimestamp)
	case types.Timestamptz:
		return mapFixedErr(v, to, func(d int32) (int64, error) { return types.DateToTimestamptz(d, c.location()) })
	}
	return nil, nil
}

func castTimes(c *Ctx, v *vector.Vector, to types.Type) (*vector.Vector, error) {
	var out *vector.Vector
	var err error
	loc := c.location()
	switch from := v.Type; {
	case from.Same(to):
		out = v
	case from.ID == types.Time && to.ID == types.Interval:
		return mapFixed(v, to, func(t int64) types.IntervalValue { return types.IntervalValue{Micros: t} }), nil
	case from.ID == types.Timestamp && to.ID == types.Date:
		return mapFixedErr(v, to, types.TimestampToDate)
	case from.ID == types.Timestamptz && to.ID == types.Date:
		return mapFixedErr(v, to, func(t int64) (int32, error) { return types.TimestamptzToDate(t, loc) })
	case from.ID == types.Timestamp && to.ID == types.Time:
		out = timesToTime(v, to, func(t int64) (int64, error) { return t, nil })
	case from.ID == types.Timestamptz && to.ID == types.Time:
		out = timesToTime(v, to, func(t int64) (int64, error) { return types.TimestamptzToTimestamp(t, loc) })
	case from.ID == types.Timestamp && to.ID == types.Timestamptz:
		out, err = mapFixedErr(v, to, func(t int64) (int64, error) { return types.TimestampToTimestamptz(t, loc) })
	case from.ID == types.Timestamptz && to.ID == types.Timestamp:
		out, err = mapFixedErr(v, to, func(t int64) (int64, error) { return types.TimestamptzToTimestamp(t, loc) })
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return timePrecision(out, to), nil
}

// timesToTime gives NULL for the infinities, as Postgres does.
func timesToTime(v *vector.Vector, to types.Type, local func(int64) (int64, error)) *vector.Vector {
	out := vector.New(to, v.Len)
	dst := vector.Values[int64](out)
	for i, t := range vector.Values[int64](v) {
		l, err := local(t)
		if err != nil || !types.TimestampFinite(t) {
			if out.Valid == nil {
				out.Valid = vector.NewValid(v.Len)
			}
			vector.SetNull(out.Valid, i)
			continue
		}
		dst[i] = types.TimestampToTime(l)
	}
	return out
}

// timePrecision applies time(p) and timestamp(p).
func timePrecision(v *vector.Vector, to types.Type) *vector.Vector {
	if to.Typmod < 0 || to.Typmod >= 6 {
		return v.Retype(to)
	}
	p, round := int(to.Typmod), types.RoundTimestamp
	if to.ID == types.Time {
		round = types.RoundTime
	}
	out := mapFixed(v, to, func(t int64) int64 { return round(t, p) })
	return out.WithValid(v.Valid)
}

func castInterval(v *vector.Vector, to types.Type) (*vector.Vector, error) {
	switch to.ID {
	case types.Time:
		return timePrecision(mapFixed(v, types.T(types.Time), types.IntervalToTime), to), nil
	case types.Interval:
		return intervalTypmod(v, to), nil
	}
	return nil, nil
}

// Bits of the field mask in an interval's modifier; the low half is the precision.
const (
	intervalMonth  = 1 << 1
	intervalYear   = 1 << 2
	intervalDay    = 1 << 3
	intervalHour   = 1 << 10
	intervalMinute = 1 << 11
	intervalSecond = 1 << 12
	intervalFull   = 0x7fff
)

func intervalFields(t types.Type) (fields int32, limited bool) {
	if t.ID != types.Interval || t.Typmod < 0 {
		return intervalFull, false
	}
	fields = t.Typmod >> 16 & 0x7fff
	return fields, fields != intervalFull
}

// intervalTypmod cuts off what is below the least field and rounds to the precision.
func intervalTypmod(v *vector.Vector, to types.Type) *vector.Vector {
	fields, limited := intervalFields(to)
	p := int(to.Typmod & 0xffff)
	const hour, minute = 3_600_000_000, 60_000_000
	return mapFixed(v, to, func(x types.IntervalValue) types.IntervalValue {
		if limited {
			switch {
			case fields&intervalSecond != 0:
			case fields&intervalMinute != 0:
				x.Micros -= x.Micros % minute
			case fields&intervalHour != 0:
				x.Micros -= x.Micros % hour
			case fields&intervalDay != 0:
				x.Micros = 0
			case fields&intervalMonth != 0:
				x.Micros, x.Days = 0, 0
			case fields&intervalYear != 0:
				x.Micros, x.Days = 0, 0
				x.Months -= x.Months % 12
			}
		}
		if p < 6 {
			x.Micros = types.RoundTime(x.Micros, p)
		}
		return x
	})
}
