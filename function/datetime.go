package function

import (
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// memo keeps what the last text was compiled to: formats, fields and zones are
// nearly always the same on every row.
type memo[T any] struct {
	key   string
	set   bool
	value T
}

func (m *memo[T]) get(key string, make func(string) (T, error)) (T, error) {
	if m.set && m.key == key {
		return m.value, nil
	}
	v, err := make(key)
	if err != nil {
		return v, err
	}
	m.key, m.value, m.set = strings.Clone(key), v, true
	return v, nil
}

// withMemo gives each call of a kernel a memo of its own.
func withMemo[T any](kernel func(m *memo[T]) EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		return kernel(&memo[T]{})(c, args, n)
	}
}

// dated is what extract, date_part and date_trunc are over: the representations
// of date, time, timestamp[tz] and interval.
type dated interface {
	int32 | int64 | types.IntervalValue
}

// byField makes a function (text, A) → R of a field and a value.
func byField[A dated, R vector.Fixed](arg, rt types.ID, f func(c *Ctx, field types.Field, x A) (R, bool, error)) EvalFunc {
	return withMemo(func(m *memo[types.Field]) EvalFunc {
		return toFixed(rt, func(r *row) (R, bool, error) {
			field, err := m.get(r.str(0), func(s string) (types.Field, error) { return types.FieldNamed(s, types.T(arg)) })
			if err != nil {
				var z R
				return z, false, err
			}
			return f(r.c, field, vector.At[A](r.args[1], r.i))
		})
	})
}

func noCtx[A, R any](f func(types.Field, A) (R, bool, error)) func(*Ctx, types.Field, A) (R, bool, error) {
	return func(_ *Ctx, field types.Field, x A) (R, bool, error) { return f(field, x) }
}

func zoned[R any](f func(types.Field, int64, *time.Location) (R, bool, error)) func(*Ctx, types.Field, int64) (R, bool, error) {
	return func(c *Ctx, field types.Field, x int64) (R, bool, error) { return f(field, x, c.location()) }
}

// always adapts a function that never gives NULL.
func always[A, R any](f func(types.Field, A) (R, error)) func(types.Field, A) (R, bool, error) {
	return func(field types.Field, x A) (R, bool, error) {
		r, err := f(field, x)
		return r, true, err
	}
}

// truncZone is date_trunc(field, timestamptz, zone).
func truncZone(m *memo[*time.Location]) EvalFunc {
	var fields memo[types.Field]
	return toFixed(types.Timestamptz, func(r *row) (int64, bool, error) {
		field, err := fields.get(r.str(0), func(s string) (types.Field, error) {
			return types.FieldNamed(s, types.T(types.Timestamptz))
		})
		if err != nil {
			return 0, false, err
		}
		loc, err := m.get(r.str(2), types.ParseZone)
		if err != nil {
			return 0, false, err
		}
		ts, err := types.TruncTimestamptz(field, r.i64(1), loc)
		return ts, true, err
	})
}

// atZone makes AT TIME ZONE of a conversion.
func atZone(rt types.ID, convert func(int64, *time.Location) (int64, error)) EvalFunc {
	return withMemo(func(m *memo[*time.Location]) EvalFunc {
		return toFixed(rt, func(r *row) (int64, bool, error) {
			loc, err := m.get(r.str(0), types.ParseZone)
			if err != nil {
				return 0, false, err
			}
			ts, err := convert(r.i64(1), loc)
			return ts, true, err
		})
	})
}

func atInterval(rt types.ID, convert func(int64, *time.Location) (int64, error)) EvalFunc {
	return binaryErr(rt, func(iv types.IntervalValue, ts int64) (int64, error) {
		if iv.Months != 0 || iv.Days != 0 {
			return 0, pgerr.New(pgerr.InvalidParameterValue, "interval time zone \"%s\" must not include months or days", types.AppendInterval(nil, iv))
		}
		return convert(ts, time.FixedZone("", int(iv.Micros/1_000_000)))
	})
}

// constant makes a function without arguments of the context.
func constant[T vector.Fixed](rt types.ID, f func(c *Ctx) (T, error)) EvalFunc {
	return func(c *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		x, err := f(c)
		if err != nil {
			return nil, err
		}
		return vector.NewConst(vector.FromSlice(types.T(rt), []T{x}), n), nil
	}
}

func (c *Ctx) nowMicros() int64 {
	if c == nil {
		return 0
	}
	return c.Now
}

func localNow(c *Ctx) (int64, error) {
	return types.TimestamptzToTimestamp(c.nowMicros(), c.location())
}

func today(c *Ctx) (int32, error) { return types.TimestamptzToDate(c.nowMicros(), c.location()) }

func dateTime(d int32, t int64) (int64, error) {
	ts, err := types.DateToTimestamp(d)
	if err != nil || !types.TimestampFinite(ts) {
		return ts, err
	}
	return types.TimestampAdd(ts, types.IntervalValue{Micros: t})
}

func dateInterval(d int32, iv types.IntervalValue) (int64, error) {
	ts, err := types.DateToTimestamp(d)
	if err != nil {
		return 0, err
	}
	return types.TimestampAdd(ts, iv)
}

// flip exchanges the arguments of a binary operation.
func flip[A, B, R any](f func(A, B) (R, error)) func(B, A) (R, error) {
	return func(b B, a A) (R, error) { return f(a, b) }
}

// less subtracts an interval by adding its opposite.
func less[A, R any](f func(A, types.IntervalValue) (R, error)) func(A, types.IntervalValue) (R, error) {
	return func(a A, iv types.IntervalValue) (R, error) {
		neg, err := iv.Neg()
		if err != nil {
			var z R
			return z, err
		}
		return f(a, neg)
	}
}

func registerDateOperators(r *registry) {
	ts, tz, iv := types.Timestamp, types.Timestamptz, types.Interval
	r.op("+(date,int4) date", binaryErr(types.Date, func(d, n int32) (int32, error) { return types.DateAdd(d, int64(n)) }))
	r.op("+(int4,date) date", binaryErr(types.Date, func(n, d int32) (int32, error) { return types.DateAdd(d, int64(n)) }))
	r.op("-(date,int4) date", binaryErr(types.Date, func(d, n int32) (int32, error) { return types.DateAdd(d, -int64(n)) }))
	r.op("-(date,date) int4", binaryErr(types.Int4, types.DateSub))
	r.op("+(date,time) timestamp", binaryErr(ts, dateTime))
	r.op("+(time,date) timestamp", binaryErr(ts, flip(dateTime)))
	r.op("+(date,interval) timestamp", binaryErr(ts, dateInterval))
	r.op("+(interval,date) timestamp", binaryErr(ts, flip(dateInterval)))
	r.op("-(date,interval) timestamp", binaryErr(ts, less(dateInterval)))
	r.op("+(timestamp,interval) timestamp", binaryErr(ts, types.TimestampAdd))
	r.op("+(interval,timestamp) timestamp", binaryErr(ts, flip(types.TimestampAdd)))
	r.op("-(timestamp,interval) timestamp", binaryErr(ts, less(types.TimestampAdd)))
	add := func(c *Ctx, t int64, iv types.IntervalValue) (int64, error) {
		return types.TimestamptzAdd(t, iv, c.location())
	}
	r.op("+(timestamptz,interval) timestamptz", binaryCtx(tz, add), stable)
	r.op("+(interval,timestamptz) timestamptz", binaryCtx(tz, func(c *Ctx, iv types.IntervalValue, t int64) (int64, error) { return add(c, t, iv) }), stable)
	r.op("-(timestamptz,interval) timestamptz", binaryCtx(tz, func(c *Ctx, t int64, iv types.IntervalValue) (int64, error) {
		neg, err := iv.Neg()
		if err != nil {
			return 0, err
		}
		return add(c, t, neg)
	}), stable)
	r.op("-(timestamp,timestamp) interval", binaryErr(iv, types.TimestampSub))
	r.op("-(timestamptz,timestamptz) interval", binaryErr(iv, types.TimestampSub))
	r.op("+(time,interval) time", binary(types.Time, types.TimeAdd))
	r.op("+(interval,time) time", binary(types.Time, func(iv types.IntervalValue, t int64) int64 { return types.TimeAdd(t, iv) }))
	r.op("-(time,interval) time", binary(types.Time, func(t int64, iv types.IntervalValue) int64 {
		return types.TimeAdd(t, types.IntervalValue{Micros: -iv.Micros})
	}))
	r.op("-(time,time) interval", binary(iv, types.TimeSub))
	r.op("+(interval,interval) interval", binaryErr(iv, types.IntervalValue.Add))
	r.op("-(interval,interval) interval", binaryErr(iv, types.IntervalValue.Sub))
	r.op("*(interval,float8) interval", binaryErr(iv, types.IntervalValue.Mul))
	r.op("*(float8,interval) interval", binaryErr(iv, flip(types.IntervalValue.Mul)))
	r.op("/(interval,float8) interval", binaryErr(iv, types.IntervalValue.Div))
	r.op("-(interval) interval", unaryErr(iv, types.IntervalValue.Neg))
}

func registerFields(r *registry) {
	r.scalar("extract(text,date) numeric", byField(types.Date, types.Numeric, noCtx(types.ExtractDate)))
	r.scalar("extract(text,time) numeric", byField(types.Time, types.Numeric, noCtx(types.ExtractTime)))
	r.scalar("extract(text,timestamp) numeric", byField(types.Timestamp, types.Numeric, noCtx(types.ExtractTimestamp)))
	r.scalar("extract(text,timestamptz) numeric", byField(types.Timestamptz, types.Numeric, zoned(types.ExtractTimestamptz)), stable)
	r.scalar("extract(text,interval) numeric", byField(types.Interval, types.Numeric, noCtx(types.ExtractInterval)))
	r.scalar("date_part(text,date) float8", byField(types.Date, types.Float8, noCtx(types.DatePartDate)))
	r.scalar("date_part(text,time) float8", byField(types.Time, types.Float8, noCtx(types.DatePartTime)))
	r.scalar("date_part(text,timestamp) float8", byField(types.Timestamp, types.Float8, noCtx(types.DatePartTimestamp)))
	r.scalar("date_part(text,timestamptz) float8", byField(types.Timestamptz, types.Float8, zoned(types.DatePartTimestamptz)), stable)
	r.scalar("date_part(text,interval) float8", byField(types.Interval, types.Float8, noCtx(types.DatePartInterval)))
	r.scalar("date_trunc(text,timestamp) timestamp", byField(types.Timestamp, types.Timestamp, noCtx(always(types.TruncTimestamp))))
	r.scalar("date_trunc(text,interval) interval", byField(types.Interval, types.Interval, noCtx(always(types.TruncInterval))))
	r.scalar("date_trunc(text,timestamptz) timestamptz", byField(types.Timestamptz, types.Timestamptz,
		func(c *Ctx, f types.Field, t int64) (int64, bool, error) {
			x, err := types.TruncTimestamptz(f, t, c.location())
			return x, true, err
		}), stable)
	r.scalar("date_trunc(text,timestamptz,text) timestamptz", withMemo(truncZone), stable)
	bin := toFixed(types.Timestamp, func(r *row) (int64, bool, error) {
		x, err := types.DateBin(vector.At[types.IntervalValue](r.args[0], r.i), r.i64(1), r.i64(2))
		return x, true, err
	})
	r.scalar("date_bin(interval,timestamp,timestamp) timestamp", bin)
	r.scalar("date_bin(interval,timestamptz,timestamptz) timestamptz", retyped(types.Timestamptz, bin))
}

// retyped gives the result of another function of the same representation.
func retyped(t types.ID, eval EvalFunc) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		v, err := eval(c, args, n)
		if err != nil {
			return nil, err
		}
		return v.Retype(types.T(t)), nil
	}
}

func registerClock(r *registry) {
	now := constant(types.Timestamptz, func(c *Ctx) (int64, error) { return c.nowMicros(), nil })
	for _, name := range []string{"now", "current_timestamp", "transaction_timestamp", "statement_timestamp"} {
		r.scalar(name+"() timestamptz", now, stable, doc("current date and time, at the start of the statement"))
	}
	r.scalar("clock_timestamp() timestamptz", func(_ *Ctx, _ []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.New(types.T(types.Timestamptz), n)
		for i, dst := 0, vector.Values[int64](out); i < n; i++ {
			dst[i] = time.Now().UnixMicro()
		}
		return out, nil
	}, volatile, doc("current clock time"))
	r.scalar("current_date() date", constant(types.Date, today), stable)
	r.scalar("localtimestamp() timestamp", constant(types.Timestamp, localNow), stable)
	localTime := func(c *Ctx) (int64, error) {
		ts, err := localNow(c)
		return types.TimestampToTime(ts), err
	}
	r.scalar("localtime() time", constant(types.Time, localTime), stable)
	rounded := func(rt types.ID, at func(c *Ctx) (int64, error), round func(int64, int) int64) EvalFunc {
		return unaryCtx(rt, func(c *Ctx, p int32) (int64, error) {
			t, err := at(c)
			if p < 0 {
				return 0, pgerr.New(pgerr.InvalidParameterValue, "precision must not be negative")
			}
			return round(t, int(p)), err
		})
	}
	r.scalar("current_timestamp(int4) timestamptz", rounded(types.Timestamptz, func(c *Ctx) (int64, error) { return c.nowMicros(), nil }, types.RoundTimestamp), stable)
	r.scalar("localtimestamp(int4) timestamp", rounded(types.Timestamp, localNow, types.RoundTimestamp), stable)
	r.scalar("localtime(int4) time", rounded(types.Time, localTime, types.RoundTime), stable)

	r.scalar("age(timestamp,timestamp) interval", binaryErr(types.Interval, types.Age))
	r.scalar("age(timestamptz,timestamptz) interval", binaryCtx(types.Interval, func(c *Ctx, a, b int64) (types.IntervalValue, error) {
		return types.AgeTz(a, b, c.location())
	}), stable)
	r.scalar("age(timestamp) interval", unaryCtx(types.Interval, func(c *Ctx, t int64) (types.IntervalValue, error) {
		d, err := today(c)
		if err != nil {
			return types.IntervalValue{}, err
		}
		midnight, err := types.DateToTimestamp(d)
		if err != nil {
			return types.IntervalValue{}, err
		}
		return types.Age(midnight, t)
	}), stable)
	r.scalar("age(timestamptz) interval", unaryCtx(types.Interval, func(c *Ctx, t int64) (types.IntervalValue, error) {
		d, err := today(c)
		if err != nil {
			return types.IntervalValue{}, err
		}
		midnight, err := types.DateToTimestamptz(d, c.location())
		if err != nil {
			return types.IntervalValue{}, err
		}
		return types.AgeTz(midnight, t, c.location())
	}), stable)
}

func registerDatetime(r *registry) {
	registerDateOperators(r)
	registerFields(r)
	registerClock(r)
	toLocal, toUTC := types.TimestamptzToTimestamp, types.TimestampToTimestamptz
	r.scalar("timezone(text,timestamptz) timestamp", atZone(types.Timestamp, toLocal), doc("adjust timestamp to new time zone"))
	r.scalar("timezone(text,timestamp) timestamptz", atZone(types.Timestamptz, toUTC), doc("adjust timestamp to new time zone"))
	r.scalar("timezone(interval,timestamptz) timestamp", atInterval(types.Timestamp, toLocal))
	r.scalar("timezone(interval,timestamp) timestamptz", atInterval(types.Timestamptz, toUTC))

	r.scalar("make_date(int4,int4,int4) date", toFixed(types.Date, func(r *row) (int32, bool, error) {
		d, err := types.MakeDate(r.int(0), r.int(1), r.int(2))
		return d, true, err
	}), argNames("year", "month", "day"))
	r.scalar("make_time(int4,int4,float8) time", toFixed(types.Time, func(r *row) (int64, bool, error) {
		t, err := types.MakeTime(r.int(0), r.int(1), r.f64(2))
		return t, true, err
	}), argNames("hour", "min", "sec"))
	r.scalar("make_timestamp(int4,int4,int4,int4,int4,float8) timestamp", toFixed(types.Timestamp, func(r *row) (int64, bool, error) {
		t, err := types.MakeTimestamp(r.int(0), r.int(1), r.int(2), r.int(3), r.int(4), r.f64(5))
		return t, true, err
	}), argNames("year", "month", "mday", "hour", "min", "sec"))
	makeTz := withMemo(func(m *memo[*time.Location]) EvalFunc {
		return toFixed(types.Timestamptz, func(r *row) (int64, bool, error) {
			loc := r.c.location()
			if len(r.args) > 6 {
				var err error
				if loc, err = m.get(r.str(6), types.ParseZone); err != nil {
					return 0, false, err
				}
			}
			t, err := types.MakeTimestamptz(r.int(0), r.int(1), r.int(2), r.int(3), r.int(4), r.f64(5), loc)
			return t, true, err
		})
	})
	r.scalar("make_timestamptz(int4,int4,int4,int4,int4,float8) timestamptz", makeTz, stable, argNames("year", "month", "mday", "hour", "min", "sec"))
	r.scalar("make_timestamptz(int4,int4,int4,int4,int4,float8,text) timestamptz", makeTz, stable, argNames("year", "month", "mday", "hour", "min", "sec", "timezone"))
	// Parts that are left out are 0: there is an overload per number of arguments.
	names := []string{"years", "months", "weeks", "days", "hours", "mins", "secs"}
	sig := []string{"int4", "int4", "int4", "int4", "int4", "int4", "float8"}
	makeInterval := toFixed(types.Interval, func(r *row) (types.IntervalValue, bool, error) {
		var p [6]int
		secs := 0.0
		for k := range r.args {
			if k < 6 {
				p[k] = r.int(k)
			} else {
				secs = r.f64(k)
			}
		}
		iv, err := types.MakeInterval(p[0], p[1], p[2], p[3], p[4], p[5], secs)
		return iv, true, err
	})
	for n := 0; n <= len(sig); n++ {
		r.scalar("make_interval("+strings.Join(sig[:n], ",")+") interval", makeInterval, argNames(names[:n]...))
	}

	r.scalar("justify_hours(interval) interval", unaryErr(types.Interval, types.IntervalValue.JustifyHours))
	r.scalar("justify_days(interval) interval", unaryErr(types.Interval, types.IntervalValue.JustifyDays))
	r.scalar("justify_interval(interval) interval", unaryErr(types.Interval, types.IntervalValue.JustifyInterval))
	r.scalar("isfinite(date) bool", unary(types.Bool, types.DateFinite))
	r.scalar("isfinite(timestamp) bool", unary(types.Bool, types.TimestampFinite))
	r.scalar("isfinite(timestamptz) bool", unary(types.Bool, types.TimestampFinite))
	r.scalar("isfinite(interval) bool", unary(types.Bool, func(types.IntervalValue) bool { return true }))
	registerFormats(r)
}
