package types

import (
	"math"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// Microseconds per unit.
const (
	usecPerSec  = 1_000_000
	usecPerMin  = 60 * usecPerSec
	usecPerHour = 60 * usecPerMin
	usecPerDay  = 24 * usecPerHour
)

// The finite values: from 4713-11-24 BC, as in Postgres, to 5874897 AD for
// dates and to 294247-01-10 AD for timestamps, where 64 bits from 1970 end
// (Postgres, which counts from 2000, ends 30 years later).
const (
	minDate      = -2440588
	endDate      = 2145042906
	minTimestamp = minDate * usecPerDay
	endTimestamp = math.MaxInt64
)

func inDate(d int64) bool       { return d >= minDate && d < endDate }
func inTimestamp(ts int64) bool { return ts >= minTimestamp && ts < endTimestamp }

// DateValid reports whether d is a date: in range, or an infinity.
func DateValid(d int32) bool { return inDate(int64(d)) || !DateFinite(d) }

// TimestampValid reports whether ts is a timestamp: in range, or an infinity.
func TimestampValid(ts int64) bool { return inTimestamp(ts) || !TimestampFinite(ts) }

// TimeValid reports whether t is a time of day.
func TimeValid(t int64) bool { return t >= 0 && t <= usecPerDay }

func errDate() error      { return pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range") }
func errTimestamp() error { return pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range") }
func errInterval() error  { return pgerr.New(pgerr.DatetimeFieldOverflow, "interval out of range") }

// civil is a date and time of day in the proleptic Gregorian calendar; year 0 is 1 BC.
type civil struct {
	year           int64
	mon, day       int // 1-based
	hour, min, sec int
	usec           int
}

// daysOf counts days from 1970-01-01 in 400-year eras that start on 1 March.
// month and day may be out of range by little.
func daysOf(year int64, mon, day int) int64 {
	y := year
	if mon <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	m := int64(mon+9) % 12
	doe := yoe*365 + yoe/4 - yoe/100 + (153*m+2)/5 + int64(day) - 1
	return era*146097 + doe - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) (year int64, mon, day int) {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := uint32(z - era*146097)
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy-(153*mp+2)/5) + 1
	mon = int(mp) + 3
	year = int64(yoe) + era*400
	if mon > 12 {
		mon -= 12
		year++
	}
	return year, mon, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// splitDay returns days and the microseconds in the day, which are not negative.
func splitDay(ts int64) (days, usec int64) {
	days = floorDiv(ts, usecPerDay)
	return days, ts - days*usecPerDay
}

func civilOf(ts int64) (c civil) {
	days, us := splitDay(ts)
	c.year, c.mon, c.day = dateOf(days)
	c.setTime(us)
	return c
}

func (c *civil) setTime(us int64) {
	sec := us / usecPerSec
	c.usec = int(us % usecPerSec)
	c.hour, c.min, c.sec = int(sec/3600), int(sec/60%60), int(sec%60)
}

func (c *civil) timeOfDay() int64 {
	return (int64(c.hour)*3600+int64(c.min)*60+int64(c.sec))*usecPerSec + int64(c.usec)
}

// micros returns the timestamp, false if it is out of range.
func (c *civil) micros() (int64, bool) {
	ts, ok := c.local()
	return ts, ok && inTimestamp(ts)
}

// local is micros for a local time, which may leave the range by an offset.
func (c *civil) local() (int64, bool) {
	if c.year < -5000 || c.year > 300000 {
		return 0, false
	}
	days := daysOf(c.year, c.mon, c.day)
	if days < minDate-1 || days > endTimestamp/usecPerDay {
		return 0, false
	}
	return addInt64(days*usecPerDay, c.timeOfDay())
}

var monthDays = [2][13]int{
	{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31},
	{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31},
}

func isLeap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysIn(year int64, mon int) int {
	if isLeap(year) {
		return monthDays[1][mon]
	}
	return monthDays[0][mon]
}

// offsetAt returns seconds east of UTC at a time in seconds since 1970.
func offsetAt(sec int64, loc *time.Location) int64 {
	if loc == time.UTC || loc == nil {
		return 0
	}
	_, off := time.Unix(sec, 0).In(loc).Zone()
	return int64(off)
}

// toLocal turns a timestamptz into the local time of loc. It may leave the range.
func toLocal(ts int64, loc *time.Location) int64 {
	if loc == time.UTC || loc == nil {
		return ts
	}
	return ts + offsetAt(floorDiv(ts, usecPerSec), loc)*usecPerSec
}

// toUTC turns a local time of loc into a timestamptz. A time that a clock set
// forward skips counts by the offset before, one that occurs twice by the offset
// after, as in Postgres. It may leave the range.
func toUTC(local int64, loc *time.Location) int64 {
	if loc == time.UTC || loc == nil {
		return local
	}
	sec := floorDiv(local, usecPerSec)
	before, after := offsetAt(sec-86400, loc), offsetAt(sec+86400, loc)
	off := before
	if before != after {
		if offsetAt(sec-after, loc) == after {
			off = after
			if offsetAt(sec-before, loc) == before && before < after {
				off = before
			}
		}
	}
	return local - off*usecPerSec
}
