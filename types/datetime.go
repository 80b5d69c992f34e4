package types

import (
	"fmt"
	"math"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// addMonths moves a local time by months; a day that the month lacks becomes its last.
func addMonths(ts int64, months int32) (int64, bool) {
	if months == 0 {
		return ts, true
	}
	c := civilOf(ts)
	m := c.year*12 + int64(c.mon-1) + int64(months)
	c.year = floorDiv(m, 12)
	c.mon = int(m-c.year*12) + 1
	c.day = min(c.day, daysIn(c.year, c.mon))
	return c.micros()
}

func addDays(ts int64, days int32) (int64, bool) {
	t, ok := addInt64(ts, int64(days)*usecPerDay)
	return t, ok && inTimestamp(t)
}

// TimestampAdd returns ts + iv: months first, then days, then time. Errors are 22008.
func TimestampAdd(ts int64, iv IntervalValue) (int64, error) {
	return TimestamptzAdd(ts, iv, time.UTC)
}

// TimestamptzAdd is TimestampAdd where months and days move the local time of
// loc, so that a day may have 23 or 25 hours. A nil loc is UTC.
func TimestamptzAdd(ts int64, iv IntervalValue, loc *time.Location) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	ok := true
	if iv.Months != 0 || iv.Days != 0 {
		local := toLocal(ts, loc)
		if local, ok = addMonths(local, iv.Months); ok && iv.Days != 0 {
			local, ok = addDays(local, iv.Days)
		}
		if !ok {
			return 0, errTimestamp()
		}
		ts = toUTC(local, loc)
	}
	if iv.Micros != 0 {
		ts, ok = addInt64(ts, iv.Micros)
	}
	if !ok || !inTimestamp(ts) {
		return 0, errTimestamp()
	}
	return ts, nil
}

// TimestampSub returns a - b in days and time. Errors are 22008.
func TimestampSub(a, b int64) (IntervalValue, error) {
	if !TimestampFinite(a) || !TimestampFinite(b) {
		return IntervalValue{}, pgerr.New(pgerr.DatetimeFieldOverflow, "cannot subtract infinite timestamps")
	}
	us := a - b
	if (us < a) != (b > 0) {
		return IntervalValue{}, errInterval()
	}
	return IntervalValue{Micros: us}.JustifyHours()
}

// Age returns a - b in years, months, days and time, as the calendar counts them.
func Age(a, b int64) (IntervalValue, error) { return AgeTz(a, b, time.UTC) }

// AgeTz is Age by the local times of loc. A nil loc is UTC.
func AgeTz(a, b int64, loc *time.Location) (IntervalValue, error) {
	if !TimestampFinite(a) || !TimestampFinite(b) {
		return IntervalValue{}, errTimestamp()
	}
	neg := a < b
	if neg {
		a, b = b, a
	}
	x, y := civilOf(toLocal(a, loc)), civilOf(toLocal(b, loc))
	months := (x.year-y.year)*12 + int64(x.mon-y.mon)
	days := int64(x.day - y.day)
	us := x.timeOfDay() - y.timeOfDay()
	if us < 0 {
		us, days = us+usecPerDay, days-1
	}
	if days < 0 {
		// The days of the month in which the earlier time lies.
		days, months = days+int64(daysIn(y.year, y.mon)), months-1
	}
	if neg {
		months, days, us = -months, -days, -us
	}
	return makeIntervalValue(months, days, us)
}

// DateAdd returns d + days. Errors are 22008.
func DateAdd(d int32, days int64) (int32, error) {
	if !DateFinite(d) {
		return d, nil
	}
	n, ok := addInt64(int64(d), days)
	if !ok || !inDate(n) {
		return 0, errDate()
	}
	return int32(n), nil
}

// DateSub returns the days from b to a. Errors are 22008.
func DateSub(a, b int32) (int32, error) {
	if !DateFinite(a) || !DateFinite(b) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "cannot subtract infinite dates")
	}
	return a - b, nil
}

// DateToTimestamp returns midnight of d. Errors are 22008.
func DateToTimestamp(d int32) (int64, error) { return DateToTimestamptz(d, time.UTC) }

// DateToTimestamptz returns midnight of d in loc. A nil loc is UTC.
func DateToTimestamptz(d int32, loc *time.Location) (int64, error) {
	switch {
	case d == DateInfinity:
		return TimestampInfinity, nil
	case d == DateNegInfinity:
		return TimestampNegInfinity, nil
	case int64(d) > endTimestamp/usecPerDay-1:
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range for timestamp")
	}
	ts := toUTC(int64(d)*usecPerDay, loc)
	if !inTimestamp(ts) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range for timestamp")
	}
	return ts, nil
}

// TimestampToDate returns the day of ts.
func TimestampToDate(ts int64) (int32, error) { return TimestamptzToDate(ts, time.UTC) }

// TimestamptzToDate returns the day of ts in loc. A nil loc is UTC.
func TimestamptzToDate(ts int64, loc *time.Location) (int32, error) {
	switch ts {
	case TimestampInfinity:
		return DateInfinity, nil
	case TimestampNegInfinity:
		return DateNegInfinity, nil
	}
	days, _ := splitDay(toLocal(ts, loc))
	return int32(days), nil
}

// TimestampToTimestamptz takes ts as local time of loc. Errors are 22008.
func TimestampToTimestamptz(ts int64, loc *time.Location) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	ts = toUTC(ts, loc)
	if !inTimestamp(ts) {
		return 0, errTimestamp()
	}
	return ts, nil
}

// TimestamptzToTimestamp returns the local time of loc. Errors are 22008.
func TimestamptzToTimestamp(ts int64, loc *time.Location) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	ts = toLocal(ts, loc)
	if !inTimestamp(ts) {
		return 0, errTimestamp()
	}
	return ts, nil
}

// TimestampToTime returns the time of day of a finite timestamp.
func TimestampToTime(ts int64) int64 {
	_, us := splitDay(ts)
	return us
}

// TimeAdd returns t + iv, modulo a day; months and days of iv do not count.
func TimeAdd(t int64, iv IntervalValue) int64 { return TimestampToTime(t + iv.Micros%usecPerDay) }

// TimeSub returns a - b.
func TimeSub(a, b int64) IntervalValue { return IntervalValue{Micros: a - b} }

// IntervalToTime returns the time part of iv modulo a day.
func IntervalToTime(iv IntervalValue) int64 { return TimestampToTime(iv.Micros) }

// RoundTimestamp applies timestamp(p), p from 0 to 6; ties go away from 2000-01-01.
func RoundTimestamp(ts int64, precision int) int64 {
	if precision >= 6 || precision < 0 || !TimestampFinite(ts) {
		return ts
	}
	u := int64(pow10[6-precision].lo)
	w := ts - pgEpochMicros
	if ts < pgEpochMicros {
		return pgEpochMicros + (w-u/2)/u*u
	}
	return pgEpochMicros + (w+u/2)/u*u
}

// RoundTime applies time(p), and interval(p) to the time part; ties go away from zero.
func RoundTime(t int64, precision int) int64 {
	if precision >= 6 || precision < 0 {
		return t
	}
	u := int64(pow10[6-precision].lo)
	if t < 0 {
		return (t - u/2) / u * u
	}
	return (t + u/2) / u * u
}

// MakeDate is make_date; a negative year is BC. Errors are 22008.
func MakeDate(year, month, day int) (int32, error) {
	c, err := makeYMD(year, month, day)
	if err != nil {
		return 0, err
	}
	days := daysOf(c.year, c.mon, c.day)
	if !inDate(days) {
		return 0, errMakeRange("date", int(c.year), month, day)
	}
	return int32(days), nil
}

func errMakeRange(what string, y, m, d int) error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "%s out of range: %d-%02d-%02d", what, y, m, d)
}

func makeYMD(year, month, day int) (c civil, err error) {
	c = civil{year: int64(year), mon: month, day: day}
	if year < 0 {
		c.year = int64(year) + 1 // -1 is 1 BC, year 0
	}
	if year == 0 || month < 1 || month > 12 || day < 1 || day > daysIn(c.year, month) {
		return c, errMakeRange("date field value", year, month, day)
	}
	if c.year < -5000 || c.year > 5900000 {
		return c, errMakeRange("date", int(c.year), month, day)
	}
	return c, nil
}

// MakeTime is make_time; 24:00:00 and second 60 are valid. Errors are 22008.
func MakeTime(hour, min int, sec float64) (int64, error) {
	us := math.RoundToEven(sec * usecPerSec)
	if hour < 0 || min < 0 || min > 59 || !(us >= 0 && us <= 60*usecPerSec) ||
		hour > 24 || hour == 24 && (min > 0 || us > 0) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "time field value out of range: %d:%02d:%s", hour, min, secText(sec))
	}
	return (int64(hour)*60+int64(min))*usecPerMin + int64(us), nil
}

// secText is C's %02g.
func secText(sec float64) string {
	s := fmt.Sprintf("%.6g", sec)
	if len(s) < 2 {
		s = "0" + s
	}
	return s
}

// MakeTimestamp is make_timestamp. Errors are 22008.
func MakeTimestamp(year, month, day, hour, min int, sec float64) (int64, error) {
	return MakeTimestamptz(year, month, day, hour, min, sec, time.UTC)
}

// MakeTimestamptz is make_timestamptz in loc. A nil loc is UTC.
func MakeTimestamptz(year, month, day, hour, min int, sec float64, loc *time.Location) (int64, error) {
	c, err := makeYMD(year, month, day)
	if err != nil {
		return 0, err
	}
	us, err := MakeTime(hour, min, sec)
	if err != nil {
		return 0, err
	}
	ts, ok := c.micros()
	if ok {
		ts, ok = addInt64(ts, us)
		ts = toUTC(ts, loc)
	}
	if !ok || !inTimestamp(ts) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range: %d-%02d-%02d %d:%02d:%s",
			year, month, day, hour, min, secText(sec))
	}
	return ts, nil
}

// DateBin is date_bin(stride, ts, origin): the start of the bin of ts. Errors
// are 22008, and 0A000 for a stride with months.
func DateBin(stride IntervalValue, ts, origin int64) (int64, error) {
	if !TimestampFinite(ts) {
		return ts, nil
	}
	if !TimestampFinite(origin) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "origin out of range")
	}
	if stride.Months != 0 {
		return 0, pgerr.New(pgerr.FeatureNotSupported, "timestamps cannot be binned into intervals containing months or years")
	}
	step := stride.Micros
	if !addMul(&step, int64(stride.Days), usecPerDay) {
		return 0, errInterval()
	}
	if step <= 0 {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "stride must be greater than zero")
	}
	diff := ts - origin
	if (diff < ts) != (origin > 0) {
		return 0, errInterval()
	}
	rest := diff % step
	if rest < 0 {
		rest += step
	}
	out := ts - rest
	if !inTimestamp(out) || out > ts {
		return 0, errTimestamp()
	}
	return out, nil
}

// TimestampFromEpoch is to_timestamp(float8). Errors are 22008.
func TimestampFromEpoch(sec float64) (int64, error) {
	switch {
	case math.IsNaN(sec):
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp cannot be NaN")
	case math.IsInf(sec, 1):
		return TimestampInfinity, nil
	case math.IsInf(sec, -1):
		return TimestampNegInfinity, nil
	}
	// From 2000, as Postgres rounds there.
	us := math.RoundToEven((sec - pgEpochDays*86400) * usecPerSec)
	if us >= minTimestamp-pgEpochMicros && us < endTimestamp-pgEpochMicros {
		return int64(us) + pgEpochMicros, nil
	}
	return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range: \"%g\"", sec)
}
