package udf

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Timestamp is a timestamp without time zone: what a clock on the wall shows, as
// a time.Time in UTC.
type Timestamp struct{ time.Time }

// Timestamptz is a timestamp with time zone: an instant.
type Timestamptz struct{ time.Time }

// Day is a date: midnight UTC of it.
type Day struct{ time.Time }

// Clock is a time of day: microseconds since midnight, at most 24 hours.
type Clock int64

// ClockOf returns the time of day of t.
func ClockOf(t time.Time) Clock {
	h, m, s := t.Clock()
	return Clock(int64(h*3600+m*60+s)*1e6 + int64(t.Nanosecond()/1000))
}

// Duration is the time since midnight.
func (c Clock) Duration() time.Duration { return time.Duration(c) * time.Microsecond }

func (c Clock) String() string {
	s := fmt.Sprintf("%02d:%02d:%02d", c/3600e6, c/60e6%60, c/1e6%60)
	if us := c % 1e6; us != 0 {
		s += fmt.Sprintf(".%06d", us)
	}
	return s
}

// Interval is an interval; the three parts are independent, as in SQL.
type Interval struct {
	Months int32
	Days   int32
	Micros int64
}

func (v Interval) String() string {
	return fmt.Sprintf("%d mons %d days %s", v.Months, v.Days, time.Duration(v.Micros)*time.Microsecond)
}

// UUID is a uuid.
type UUID [16]byte

func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// JSON is the text of a json value, JSONB that of a jsonb value. What a function
// returns must be JSON; jsonb is brought into its normal form.
type (
	JSON  string
	JSONB string
)
