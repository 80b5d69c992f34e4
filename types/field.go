package types

import (
	"math"
	"strings"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// Field is a unit of extract, date_part and date_trunc.
type Field uint8

// The fields.
const (
	FieldInvalid Field = iota
	Microseconds
	Milliseconds
	Second
	Minute
	Hour
	Day
	Week
	Month
	Quarter
	Year
	Decade
	Century
	Millennium
	ISOYear
	DOW
	ISODOW
	DOY
	Julian
	Epoch
	TimezoneSecond
	TimezoneHour
	TimezoneMinute
)

var fieldNames = [...]string{"", "microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month",
	"quarter", "year", "decade", "century", "millennium", "isoyear", "dow", "isodow", "doy", "julian", "epoch",
	"timezone", "timezone_hour", "timezone_minute"}

// String returns the name of f.
func (f Field) String() string { return fieldNames[f] }

// ParseField finds a field by its name or an abbreviation, in any case.
func ParseField(name string) (Field, bool) {
	w := strings.ToLower(name)
	for f := range fieldNames {
		if f > 0 && fieldNames[f] == w {
			return Field(f), true
		}
	}
	switch w {
	case "qtr":
		return Quarter, true
	case "jd", "j":
		return Julian, true
	case "msecond":
		return Milliseconds, true
	}
	switch unitNamed(w) {
	case uMicrosecond:
		return Microseconds, true
	case uMillisecond:
		return Milliseconds, true
	case uSecond:
		return Second, true
	case uMinute:
		return Minute, true
	case uHour:
		return Hour, true
	case uDay:
		return Day, true
	case uWeek:
		return Week, true
	case uMonth:
		return Month, true
	case uYear:
		return Year, true
	case uDecade:
		return Decade, true
	case uCentury:
		return Century, true
	case uMillennium:
		return Millennium, true
	}
	return FieldInvalid, false
}

// FieldNamed is ParseField with Postgres' error for values of type t, 22023.
func FieldNamed(name string, t Type) (Field, error) {
	if f, ok := ParseField(name); ok {
		return f, nil
	}
	return FieldInvalid, pgerr.New(pgerr.InvalidParameterValue, "unit \"%s\" not recognized for type %s", strings.ToLower(name), t.Bare())
}

func errField(f Field, id ID) error {
	return pgerr.New(pgerr.FeatureNotSupported, "unit \"%s\" not supported for type %s", f, T(id))
}

// errTruncField tells a unit that date_trunc lacks: most are not even known to it.
func errTruncField(f Field, id ID) error {
	if f >= TimezoneSecond {
		return errField(f, id)
	}
	return pgerr.New(pgerr.InvalidParameterValue, "unit \"%s\" not recognized for type %s", f, T(id))
}

// isoWeek returns the ISO 8601 year and week of a day.
func isoWeek(days int64) (year int64, week int) {
	// The Thursday of a week decides to which year it belongs.
	thursday := days - (days + 3 - floorDiv(days+3, 7)*7) + 3
	y, _, _ := dateOf(thursday)
	return y, int((thursday-daysOf(y, 1, 1))/7) + 1
}

// weekday returns 0 for Sunday to 6.
func weekday(days int64) int { return int(days + 4 - floorDiv(days+4, 7)*7) }

// startOf returns the first year of the span of n years that year lies in, as
// centuries and millennia count, which begin with year 1.
func startOf(year, n int64) int64 {
	if year > 0 {
		return (year+n-1)/n*n - (n - 1)
	}
	return -((n-1-(year-1))/n)*n + 1
}

func decadeOf(year int64) int64 {
	if year >= 0 {
		return year / 10
	}
	return -((8 - (year - 1)) / 10)
}

// spanOf counts centuries and millennia, with no number 0.
func spanOf(year, n int64) int64 {
	if year > 0 {
		return (year + n - 1) / n
	}
	return -((n - 1 - (year - 1)) / n)
}

// TruncTimestamp is date_trunc. Errors are 0A000 and 22008.
func TruncTimestamp(f Field, ts int64) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	t, ok := truncLocal(f, ts)
	if !ok {
		return 0, errTruncField(f, Timestamp)
	}
	if !inTimestamp(t) {
		return 0, errTimestamp()
	}
	return t, nil
}

// TruncTimestamptz is date_trunc in the local time of loc. A nil loc is UTC.
func TruncTimestamptz(f Field, ts int64, loc *time.Location) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	local := toLocal(ts, loc)
	t, ok := truncLocal(f, local)
	if !ok {
		return 0, errTruncField(f, Timestamptz)
	}
	if f >= Day {
		t = toUTC(t, loc)
	} else {
		t -= local - ts // the offset stays within a day
	}
	if !inTimestamp(t) {
		return 0, errTimestamp()
	}
	return t, nil
}

func floorTo(ts, unit int64) int64 { return floorDiv(ts, unit) * unit }

func truncLocal(f Field, ts int64) (int64, bool) {
	switch f {
	case Microseconds:
		return ts, true
	case Milliseconds:
		return floorTo(ts, 1000), true
	case Second:
		return floorTo(ts, usecPerSec), true
	case Minute:
		return floorTo(ts, usecPerMin), true
	case Hour:
		return floorTo(ts, usecPerHour), true
	case Day:
		return floorTo(ts, usecPerDay), true
	case Week:
		days, _ := splitDay(ts)
		return (days - (days + 3 - floorDiv(days+3, 7)*7)) * usecPerDay, true
	}
	days, _ := splitDay(ts)
	y, m, _ := dateOf(days)
	switch f {
	case Month:
	case Quarter:
		m = (m-1)/3*3 + 1
	case Year:
		m = 1
	case Decade:
		y, m = decadeOf(y)*10, 1
	case Century:
		y, m = startOf(y, 100), 1
	case Millennium:
		y, m = startOf(y, 1000), 1
	default:
		return 0, false
	}
	return daysOf(y, m, 1) * usecPerDay, true
}

// TruncInterval is date_trunc of an interval. Errors are 0A000.
func TruncInterval(f Field, v IntervalValue) (IntervalValue, error) {
	months := func(n int32) IntervalValue { return IntervalValue{Months: v.Months / n * n} }
	micros := func(n int64) IntervalValue {
		return IntervalValue{Months: v.Months, Days: v.Days, Micros: v.Micros / n * n}
	}
	switch f {
	case Microseconds:
		return v, nil
	case Milliseconds:
		return micros(1000), nil
	case Second:
		return micros(usecPerSec), nil
	case Minute:
		return micros(usecPerMin), nil
	case Hour:
		return micros(usecPerHour), nil
	case Day:
		return IntervalValue{Months: v.Months, Days: v.Days}, nil
	case Month:
		return months(1), nil
	case Quarter:
		return months(3), nil
	case Year:
		return months(12), nil
	case Decade:
		return months(120), nil
	case Century:
		return months(1200), nil
	case Millennium:
		return months(12000), nil
	case Week:
		return v, pgerr.New(pgerr.FeatureNotSupported, "unit \"week\" not supported for type interval").
			WithDetail("Months usually have fractional weeks.")
	}
	return v, errTruncField(f, Interval)
}

// part is a field's value: v × 10^-scale, or julian's, which needs a quotient.
type part struct {
	v     int64
	scale int32
	none  bool  // NULL
	inf   int8  // the sign of an infinity
	frac  int64 // of a day, for Julian
	day   bool  // Julian of a time, which shows its fraction
}

func (p part) decimal() (Decimal, bool, error) {
	switch {
	case p.inf != 0:
		return nan, true, errInfinity("numeric infinity is not supported")
	case p.day:
		q, err := NewDecimal(p.frac, 0).Div(NewDecimal(usecPerDay, 0))
		if err == nil {
			q, err = q.Add(NewDecimal(p.v, 0))
		}
		return q, true, err
	}
	return NewDecimal(p.v, p.scale), !p.none, nil
}

func (p part) float(f Field) (float64, bool) {
	switch {
	case p.inf != 0:
		return math.Inf(int(p.inf)), true
	case f == Second:
		return float64(p.v/usecPerSec) + float64(p.v%usecPerSec)/usecPerSec, !p.none
	case f == Milliseconds:
		return float64(p.v/usecPerSec)*1000 + float64(p.v%usecPerSec)/1000, !p.none
	case p.scale > 0:
		return float64(p.v) / floatPow10[p.scale], !p.none
	}
	return float64(p.v) + float64(p.frac)/usecPerDay, !p.none
}

// infinitePart: what grows with time is infinite, what comes round is NULL.
func infinitePart(f Field, positive bool, id ID) (part, error) {
	sign := int8(-1)
	if positive {
		sign = 1
	}
	switch f {
	case Year, Decade, Century, Millennium, ISOYear, Julian, Epoch:
		return part{inf: sign}, nil
	case FieldInvalid:
		return part{}, errField(f, id)
	}
	return part{none: true}, nil
}

// datePart handles the fields of a day.
func datePart(f Field, days int64) (p part, ok bool) {
	y, m, d := dateOf(days)
	switch f {
	case Day:
		p.v = int64(d)
	case Month:
		p.v = int64(m)
	case Quarter:
		p.v = int64(m-1)/3 + 1
	case Week:
		_, w := isoWeek(days)
		p.v = int64(w)
	case Year:
		p.v = noYearZero(y)
	case ISOYear:
		iy, _ := isoWeek(days)
		p.v = noYearZero(iy)
	case Decade:
		p.v = decadeOf(y)
	case Century:
		p.v = spanOf(y, 100)
	case Millennium:
		p.v = spanOf(y, 1000)
	case DOW:
		p.v = int64(weekday(days))
	case ISODOW:
		p.v = int64((weekday(days)+6)%7) + 1
	case DOY:
		p.v = days - daysOf(y, 1, 1) + 1
	case Julian:
		p.v = days - minDate
	default:
		return p, false
	}
	return p, true
}

func noYearZero(y int64) int64 {
	if y > 0 {
		return y
	}
	return y - 1
}

// timePart handles the fields of a time of day, or of an interval's time.
func timePart(f Field, us int64) (p part, ok bool) {
	switch f {
	case Microseconds:
		p.v = us % usecPerMin
	case Milliseconds:
		p = part{v: us % usecPerMin, scale: 3}
	case Second:
		p = part{v: us % usecPerMin, scale: 6}
	case Minute:
		p.v = us / usecPerMin % 60
	case Hour:
		p.v = us / usecPerHour
	default:
		return p, false
	}
	return p, true
}

func timestampPart(f Field, ts int64, tz bool, loc *time.Location) (part, error) {
	id := Timestamp
	if tz {
		id = Timestamptz
	}
	if !TimestampFinite(ts) {
		return infinitePart(f, ts > 0, id)
	}
	local := toLocal(ts, loc)
	days, us := splitDay(local)
	if p, ok := timePart(f, us); ok {
		return p, nil
	}
	if p, ok := datePart(f, days); ok {
		if f == Julian {
			p.frac, p.day = us, true
		}
		return p, nil
	}
	off := (local - ts) / usecPerSec
	switch {
	case f == Epoch:
		return part{v: ts, scale: 6}, nil
	case f == TimezoneSecond && tz:
		return part{v: off}, nil
	case f == TimezoneHour && tz:
		return part{v: off / 3600}, nil
	case f == TimezoneMinute && tz:
		return part{v: off / 60 % 60}, nil
	}
	return part{}, errField(f, id)
}

func dateFieldPart(f Field, d int32) (part, error) {
	if !DateFinite(d) {
		if f < Day || f > Epoch {
			return part{}, errField(f, Date)
		}
		return infinitePart(f, d > 0, Date)
	}
	if p, ok := datePart(f, int64(d)); ok {
		return p, nil
	}
	if f == Epoch {
		return part{v: int64(d) * 86400}, nil
	}
	return part{}, errField(f, Date)
}

func timeFieldPart(f Field, t int64) (part, error) {
	if p, ok := timePart(f, t); ok {
		return p, nil
	}
	if f == Epoch {
		return part{v: t, scale: 6}, nil
	}
	return part{}, errField(f, Time)
}

func intervalPart(f Field, v IntervalValue) (part, error) {
	if p, ok := timePart(f, v.Micros); ok {
		return p, nil
	}
	m := int64(v.Months)
	switch f {
	case Day:
		return part{v: int64(v.Days)}, nil
	case Month:
		return part{v: m % 12}, nil
	case Quarter:
		return part{v: m%12/3 + 1}, nil
	case Year:
		return part{v: m / 12}, nil
	case Decade:
		return part{v: m / 120}, nil
	case Century:
		return part{v: m / 1200}, nil
	case Millennium:
		return part{v: m / 12000}, nil
	}
	return part{}, errField(f, Interval)
}

// intervalSeconds is the part of epoch that days and months make, in seconds;
// a year has 365.25 days, which is why it is counted in quarters.
func intervalSeconds(v IntervalValue) int64 {
	m := int64(v.Months)
	return (1461*(m/12) + 120*(m%12) + 4*int64(v.Days)) * (86400 / 4)
}

// ExtractTimestamp is extract from a timestamp; ok is false for NULL (a field of
// an infinite value). Errors are 0A000: a field the type lacks, or the numeric
// infinity of year, epoch and the like.
func ExtractTimestamp(f Field, ts int64) (v Decimal, ok bool, err error) {
	p, err := timestampPart(f, ts, false, time.UTC)
	if err != nil {
		return nan, false, err
	}
	return p.decimal()
}

// ExtractTimestamptz is extract from a timestamptz by the local time of loc.
func ExtractTimestamptz(f Field, ts int64, loc *time.Location) (v Decimal, ok bool, err error) {
	p, err := timestampPart(f, ts, true, loc)
	if err != nil {
		return nan, false, err
	}
	return p.decimal()
}

// ExtractDate is extract from a date.
func ExtractDate(f Field, d int32) (v Decimal, ok bool, err error) {
	p, err := dateFieldPart(f, d)
	if err != nil {
		return nan, false, err
	}
	return p.decimal()
}

// ExtractTime is extract from a time.
func ExtractTime(f Field, t int64) (v Decimal, ok bool, err error) {
	p, err := timeFieldPart(f, t)
	if err != nil {
		return nan, false, err
	}
	return p.decimal()
}

// ExtractInterval is extract from an interval.
func ExtractInterval(f Field, iv IntervalValue) (v Decimal, ok bool, err error) {
	if f == Epoch {
		// Seconds of days and months times 10^6 may exceed 64 bits.
		v, err = NewDecimal(intervalSeconds(iv), 0).Add(NewDecimal(iv.Micros, 6))
		return v, true, err
	}
	p, err := intervalPart(f, iv)
	if err != nil {
		return nan, false, err
	}
	return p.decimal()
}

// DatePartTimestamp is date_part of a timestamp: ExtractTimestamp as float8.
func DatePartTimestamp(f Field, ts int64) (v float64, ok bool, err error) {
	p, err := timestampPart(f, ts, false, time.UTC)
	v, ok = p.float(f)
	return v, ok, err
}

// DatePartTimestamptz is date_part of a timestamptz.
func DatePartTimestamptz(f Field, ts int64, loc *time.Location) (v float64, ok bool, err error) {
	p, err := timestampPart(f, ts, true, loc)
	v, ok = p.float(f)
	return v, ok, err
}

// DatePartDate is date_part of a date, which Postgres reads as a timestamp.
func DatePartDate(f Field, d int32) (v float64, ok bool, err error) {
	ts, err := DateToTimestamp(d)
	if err != nil {
		return 0, false, err
	}
	return DatePartTimestamp(f, ts)
}

// DatePartTime is date_part of a time.
func DatePartTime(f Field, t int64) (v float64, ok bool, err error) {
	p, err := timeFieldPart(f, t)
	v, ok = p.float(f)
	return v, ok, err
}

// DatePartInterval is date_part of an interval.
func DatePartInterval(f Field, iv IntervalValue) (v float64, ok bool, err error) {
	if f == Epoch {
		return float64(iv.Micros)/usecPerSec + float64(intervalSeconds(iv)), true, nil
	}
	p, err := intervalPart(f, iv)
	v, ok = p.float(f)
	return v, ok, err
}
