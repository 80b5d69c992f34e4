package types

import (
	"math"
	"math/bits"
)

// makeIntervalValue makes an interval of wide parts. Errors are 22008.
func makeIntervalValue(months, days, micros int64) (IntervalValue, error) {
	if months != int64(int32(months)) || days != int64(int32(days)) {
		return IntervalValue{}, errInterval()
	}
	return IntervalValue{Months: int32(months), Days: int32(days), Micros: micros}, nil
}

// addInt64 returns a + b and whether it did not overflow.
func addInt64(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

// Add returns v + w, part by part.
func (v IntervalValue) Add(w IntervalValue) (IntervalValue, error) {
	us, ok := addInt64(v.Micros, w.Micros)
	if !ok {
		return v, errInterval()
	}
	return makeIntervalValue(int64(v.Months)+int64(w.Months), int64(v.Days)+int64(w.Days), us)
}

// Sub returns v - w, part by part.
func (v IntervalValue) Sub(w IntervalValue) (IntervalValue, error) {
	us := v.Micros - w.Micros
	if (us < v.Micros) != (w.Micros > 0) {
		return v, errInterval()
	}
	return makeIntervalValue(int64(v.Months)-int64(w.Months), int64(v.Days)-int64(w.Days), us)
}

// Neg returns -v.
func (v IntervalValue) Neg() (IntervalValue, error) { return IntervalValue{}.Sub(v) }

// roundMicro rounds to microseconds, in seconds.
func roundMicro(v float64) float64 { return math.RoundToEven(v*1e6) / 1e6 }

// Mul returns v × f. Fractions of months become days of a month of 30, and
// fractions of days become time, as in Postgres.
func (v IntervalValue) Mul(f float64) (IntervalValue, error) {
	return v.scale(float64(v.Months)*f, float64(v.Days)*f, float64(v.Micros)*f)
}

// Div returns v / f in the manner of Mul. Division by zero is 22012.
func (v IntervalValue) Div(f float64) (IntervalValue, error) {
	if f == 0 {
		return v, errDivisionByZero()
	}
	return v.scale(float64(v.Months)/f, float64(v.Days)/f, float64(v.Micros)/f)
}

func (v IntervalValue) scale(months, days, micros float64) (IntervalValue, error) {
	in32 := func(f float64) bool { return f >= math.MinInt32 && f <= math.MaxInt32 } // false for NaN
	if !in32(months) || !in32(days) {
		return v, errInterval()
	}
	m, d := math.Trunc(months), math.Trunc(days)
	restDays := roundMicro((months - m) * 30)
	wholeRest := math.Trunc(restDays)
	sec := roundMicro((days - d + restDays - wholeRest) * 86400)
	if math.Abs(sec) >= 86400 {
		whole := math.Trunc(sec / 86400)
		d += whole
		sec -= whole * 86400
	}
	us := math.RoundToEven(micros + sec*usecPerSec)
	if !(us >= math.MinInt64 && us < -math.MinInt64) {
		return v, errInterval()
	}
	return makeIntervalValue(int64(m), int64(d+wholeRest), int64(us))
}

// Key returns the length of v in microseconds as a 128-bit number, with months
// of 30 days and days of 24 hours: equal intervals have equal keys, and keys
// order as the intervals do.
func (v IntervalValue) Key() (hi int64, lo uint64) {
	days := int64(v.Months)*30 + int64(v.Days)
	a := days
	if a < 0 {
		a = -a
	}
	h, l := bits.Mul64(uint64(a), usecPerDay)
	if days < 0 {
		var b uint64
		l, b = bits.Sub64(0, l, 0)
		h, _ = bits.Sub64(0, h, b)
	}
	l, c := bits.Add64(l, uint64(v.Micros), 0)
	return int64(h) + v.Micros>>63 + int64(c), l
}

// Cmp compares the lengths of v and w, as Key gives them.
func (v IntervalValue) Cmp(w IntervalValue) int {
	vh, vl := v.Key()
	wh, wl := w.Key()
	switch {
	case vh == wh && vl == wl:
		return 0
	case vh < wh || vh == wh && vl < wl:
		return -1
	}
	return 1
}

// JustifyHours moves whole 24 hours to days.
func (v IntervalValue) JustifyHours() (IntervalValue, error) {
	days := int64(v.Days) + v.Micros/usecPerDay
	us := v.Micros % usecPerDay
	if days > 0 && us < 0 {
		days, us = days-1, us+usecPerDay
	} else if days < 0 && us > 0 {
		days, us = days+1, us-usecPerDay
	}
	return makeIntervalValue(int64(v.Months), days, us)
}

// JustifyDays moves whole 30 days to months.
func (v IntervalValue) JustifyDays() (IntervalValue, error) {
	months, days := int64(v.Months)+int64(v.Days/30), int64(v.Days%30)
	if months > 0 && days < 0 {
		months, days = months-1, days+30
	} else if months < 0 && days > 0 {
		months, days = months+1, days-30
	}
	return makeIntervalValue(months, days, v.Micros)
}

// JustifyInterval does both, and makes the signs of all parts agree.
func (v IntervalValue) JustifyInterval() (IntervalValue, error) {
	days := int64(v.Days) + v.Micros/usecPerDay
	us := v.Micros % usecPerDay
	months := int64(v.Months) + days/30
	days %= 30
	if months > 0 && (days < 0 || days == 0 && us < 0) {
		months, days = months-1, days+30
	} else if months < 0 && (days > 0 || days == 0 && us > 0) {
		months, days = months+1, days-30
	}
	if days > 0 && us < 0 {
		days, us = days-1, us+usecPerDay
	} else if days < 0 && us > 0 {
		days, us = days+1, us-usecPerDay
	}
	return makeIntervalValue(months, days, us)
}

// MakeInterval is make_interval. Errors are 22008.
func MakeInterval(years, months, weeks, days, hours, mins int, secs float64) (IntervalValue, error) {
	s := math.RoundToEven(secs * usecPerSec)
	if !(math.Abs(s) < 1<<62) {
		return IntervalValue{}, errInterval()
	}
	us := int64(s)
	if !addMul(&us, int64(hours), usecPerHour) || !addMul(&us, int64(mins), usecPerMin) {
		return IntervalValue{}, errInterval()
	}
	return makeIntervalValue(int64(years)*12+int64(months), int64(weeks)*7+int64(days), us)
}
