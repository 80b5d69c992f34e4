package types

import "time"

// This file holds the signatures whose bodies are being written; it goes away.

func pending() { panic("types: being written") }

// Timestamps. A nil loc is UTC.
func TimestampAdd(ts int64, iv IntervalValue) (int64, error) { pending(); return 0, nil }
func TimestamptzAdd(ts int64, iv IntervalValue, loc *time.Location) (int64, error) {
	pending()
	return 0, nil
}
func TimestampSub(a, b int64) (IntervalValue, error) { pending(); return IntervalValue{}, nil }
func Age(a, b int64) (IntervalValue, error)          { pending(); return IntervalValue{}, nil }
func AgeTz(a, b int64, loc *time.Location) (IntervalValue, error) {
	pending()
	return IntervalValue{}, nil
}
func DateAdd(d int32, days int64) (int32, error)                         { pending(); return 0, nil }
func DateSub(a, b int32) (int32, error)                                  { pending(); return 0, nil }
func DateToTimestamp(d int32) (int64, error)                             { pending(); return 0, nil }
func DateToTimestamptz(d int32, loc *time.Location) (int64, error)       { pending(); return 0, nil }
func TimestampToDate(ts int64) (int32, error)                            { pending(); return 0, nil }
func TimestamptzToDate(ts int64, loc *time.Location) (int32, error)      { pending(); return 0, nil }
func TimestampToTimestamptz(ts int64, loc *time.Location) (int64, error) { pending(); return 0, nil }
func TimestamptzToTimestamp(ts int64, loc *time.Location) (int64, error) { pending(); return 0, nil }
func TimestampToTime(ts int64) int64                                     { pending(); return 0 }
func TimeAdd(t int64, iv IntervalValue) int64                            { pending(); return 0 }
func IntervalToTime(iv IntervalValue) int64                              { pending(); return 0 }

// RoundTimestamp applies timestamp(p), time(p).
func RoundTimestamp(ts int64, precision int) int64 { pending(); return 0 }

func (v IntervalValue) Add(w IntervalValue) (IntervalValue, error) { pending(); return v, nil }
func (v IntervalValue) Sub(w IntervalValue) (IntervalValue, error) { pending(); return v, nil }
func (v IntervalValue) Neg() (IntervalValue, error)                { pending(); return v, nil }
func (v IntervalValue) Mul(f float64) (IntervalValue, error)       { pending(); return v, nil }
func (v IntervalValue) Div(f float64) (IntervalValue, error)       { pending(); return v, nil }
func (v IntervalValue) Cmp(w IntervalValue) int                    { pending(); return 0 }

// Key is the normalised form: equal intervals have equal keys.
func (v IntervalValue) Key() (hi int64, lo uint64)              { pending(); return 0, 0 }
func (v IntervalValue) JustifyHours() (IntervalValue, error)    { pending(); return v, nil }
func (v IntervalValue) JustifyDays() (IntervalValue, error)     { pending(); return v, nil }
func (v IntervalValue) JustifyInterval() (IntervalValue, error) { pending(); return v, nil }

// Field is a unit of extract, date_part and date_trunc.
type Field uint8

// ParseField finds a field by its name in any case.
func ParseField(name string) (Field, bool) { pending(); return 0, false }

// TruncTimestamp is date_trunc.
func TruncTimestamp(f Field, ts int64) (int64, error)                       { pending(); return 0, nil }
func TruncTimestamptz(f Field, ts int64, loc *time.Location) (int64, error) { pending(); return 0, nil }
func TruncInterval(f Field, v IntervalValue) (IntervalValue, error)         { pending(); return v, nil }

// The Extract functions return ok false for NULL (a field of an infinite value).
func ExtractTimestamp(f Field, ts int64) (v Decimal, ok bool, err error) {
	pending()
	return v, false, nil
}
func ExtractTimestamptz(f Field, ts int64, loc *time.Location) (v Decimal, ok bool, err error) {
	pending()
	return v, false, nil
}
func ExtractDate(f Field, d int32) (v Decimal, ok bool, err error) { pending(); return v, false, nil }
func ExtractTime(f Field, t int64) (v Decimal, ok bool, err error) { pending(); return v, false, nil }
func ExtractInterval(f Field, iv IntervalValue) (v Decimal, ok bool, err error) {
	pending()
	return v, false, nil
}

// The DatePart functions are the same as float8.
func DatePartTimestamp(f Field, ts int64) (v float64, ok bool, err error) {
	pending()
	return v, false, nil
}
func DatePartTimestamptz(f Field, ts int64, loc *time.Location) (v float64, ok bool, err error) {
	pending()
	return v, false, nil
}
func DatePartDate(f Field, d int32) (v float64, ok bool, err error) { pending(); return v, false, nil }
func DatePartTime(f Field, t int64) (v float64, ok bool, err error) { pending(); return v, false, nil }
func DatePartInterval(f Field, iv IntervalValue) (v float64, ok bool, err error) {
	pending()
	return v, false, nil
}

func MakeDate(year, month, day int) (int32, error)       { pending(); return 0, nil }
func MakeTime(hour, min int, sec float64) (int64, error) { pending(); return 0, nil }
func MakeTimestamp(year, month, day, hour, min int, sec float64) (int64, error) {
	pending()
	return 0, nil
}
func MakeTimestamptz(year, month, day, hour, min int, sec float64, loc *time.Location) (int64, error) {
	pending()
	return 0, nil
}
func MakeInterval(years, months, weeks, days, hours, mins int, secs float64) (IntervalValue, error) {
	pending()
	return IntervalValue{}, nil
}

// DateBin is date_bin(stride, ts, origin).
func DateBin(stride IntervalValue, ts, origin int64) (int64, error) { pending(); return 0, nil }

// TimestampFromEpoch is to_timestamp(float8).
func TimestampFromEpoch(sec float64) (int64, error) { pending(); return 0, nil }

// DateFormat is a compiled template of to_char, to_date and to_timestamp.
type DateFormat struct{ _ int }

func CompileDateFormat(format string) (*DateFormat, error) { pending(); return nil, nil }
func (f *DateFormat) AppendTimestamp(dst []byte, ts int64) ([]byte, error) {
	pending()
	return dst, nil
}
func (f *DateFormat) AppendTimestamptz(dst []byte, ts int64, loc *time.Location) ([]byte, error) {
	pending()
	return dst, nil
}
func (f *DateFormat) AppendInterval(dst []byte, v IntervalValue) ([]byte, error) {
	pending()
	return dst, nil
}
func (f *DateFormat) ParseTimestamptz(s string, loc *time.Location) (int64, error) {
	pending()
	return 0, nil
}
func (f *DateFormat) ParseDate(s string) (int32, error) { pending(); return 0, nil }

// NumFormat is a compiled template of to_char and to_number for numbers.
type NumFormat struct{ _ int }

func CompileNumFormat(format string) (*NumFormat, error)                 { pending(); return nil, nil }
func (f *NumFormat) AppendNumeric(dst []byte, d Decimal) ([]byte, error) { pending(); return dst, nil }
func (f *NumFormat) AppendInt8(dst []byte, v int64) ([]byte, error)      { pending(); return dst, nil }
func (f *NumFormat) AppendFloat8(dst []byte, v float64) ([]byte, error)  { pending(); return dst, nil }
func (f *NumFormat) AppendFloat4(dst []byte, v float32) ([]byte, error)  { pending(); return dst, nil }
func (f *NumFormat) Parse(s string) (Decimal, error)                     { pending(); return Decimal{}, nil }
