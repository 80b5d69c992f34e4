package function

import (
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// numberFormat makes to_char of a number type; its result is NULL-free.
func numberFormat(write func(f *types.NumFormat, dst []byte, r *row) ([]byte, error)) EvalFunc {
	return withMemo(func(m *memo[*types.NumFormat]) EvalFunc {
		return text(func(dst []byte, r *row) ([]byte, error) {
			f, err := m.get(r.str(1), types.CompileNumFormat)
			if err != nil {
				return nil, err
			}
			return write(f, dst, r)
		})
	})
}

// dateFormat makes to_char of a date type; an empty template and an infinite
// value give NULL, as in Postgres.
func dateFormat(write func(f *types.DateFormat, dst []byte, r *row) ([]byte, error)) EvalFunc {
	return withMemo(func(m *memo[*types.DateFormat]) EvalFunc {
		return toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
			if r.str(1) == "" || r.args[0].Type.ID != types.Interval && !types.TimestampFinite(r.i64(0)) {
				return dst, false, nil
			}
			f, err := m.get(r.str(1), types.CompileDateFormat)
			if err != nil {
				return nil, true, err
			}
			out, err := write(f, dst, r)
			return out, true, err
		})
	})
}

func registerFormats(r *registry) {
	r.scalar("to_char(int4,text) text", numberFormat(func(f *types.NumFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendInt8(dst, int64(r.int(0)))
	}), stable)
	r.scalar("to_char(int8,text) text", numberFormat(func(f *types.NumFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendInt8(dst, r.i64(0))
	}), stable)
	r.scalar("to_char(numeric,text) text", numberFormat(func(f *types.NumFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendNumeric(dst, r.dec(0))
	}), stable)
	r.scalar("to_char(float8,text) text", numberFormat(func(f *types.NumFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendFloat8(dst, r.f64(0))
	}), stable)
	r.scalar("to_char(float4,text) text", numberFormat(func(f *types.NumFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendFloat4(dst, vector.At[float32](r.args[0], r.i))
	}), stable)
	r.scalar("to_char(timestamp,text) text", dateFormat(func(f *types.DateFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendTimestamp(dst, r.i64(0))
	}), stable)
	r.scalar("to_char(timestamptz,text) text", dateFormat(func(f *types.DateFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendTimestamptz(dst, r.i64(0), r.c.location())
	}), stable)
	r.scalar("to_char(interval,text) text", dateFormat(func(f *types.DateFormat, dst []byte, r *row) ([]byte, error) {
		return f.AppendInterval(dst, vector.At[types.IntervalValue](r.args[0], r.i))
	}), stable)

	r.scalar("to_number(text,text) numeric", withMemo(func(m *memo[*types.NumFormat]) EvalFunc {
		return toFixed(types.Numeric, func(r *row) (types.Decimal, bool, error) {
			f, err := m.get(r.str(1), types.CompileNumFormat)
			if err != nil || r.str(1) == "" {
				return types.Decimal{}, false, err
			}
			d, err := f.Parse(r.str(0))
			return d, true, err
		})
	}), stable)
	r.scalar("to_date(text,text) date", withMemo(func(m *memo[*types.DateFormat]) EvalFunc {
		return toFixed(types.Date, func(r *row) (int32, bool, error) {
			f, err := m.get(r.str(1), types.CompileDateFormat)
			if err != nil {
				return 0, false, err
			}
			d, err := f.ParseDate(r.str(0))
			return d, true, err
		})
	}), stable)
	r.scalar("to_timestamp(text,text) timestamptz", withMemo(func(m *memo[*types.DateFormat]) EvalFunc {
		return toFixed(types.Timestamptz, func(r *row) (int64, bool, error) {
			f, err := m.get(r.str(1), types.CompileDateFormat)
			if err != nil {
				return 0, false, err
			}
			t, err := f.ParseTimestamptz(r.str(0), r.c.location())
			return t, true, err
		})
	}), stable)
	r.scalar("to_timestamp(float8) timestamptz", unaryErr(types.Timestamptz, types.TimestampFromEpoch))
}
