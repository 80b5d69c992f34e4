package types

import (
	"cmp"
	"math"
)

// CompareFloat orders float4 and float8 as Postgres does: -0 equals 0, NaN
// equals NaN and is greater than everything else.
func CompareFloat[T float32 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	an, bn := a != a, b != b
	switch {
	case an && bn:
		return 0
	case an:
		return 1
	}
	return -1
}

// EqualFloat reports a = b in SQL, where NaN equals NaN.
func EqualFloat[T float32 | float64](a, b T) bool { return a == b || a != a && b != b }

// CompareBool orders false before true.
func CompareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// CompareInt orders the integer representations (also dates, times, oids).
func CompareInt[T int16 | int32 | int64](a, b T) int { return cmp.Compare(a, b) }

// FloatKey maps v to an integer whose unsigned order is SQL's order and whose
// equality is SQL's equality: -0 is 0, all NaNs are one and the greatest. It
// serves radix sorts and hashing alike.
func FloatKey(v float64) uint64 {
	if v != v {
		return math.MaxUint64
	}
	b := math.Float64bits(v + 0) // -0 + 0 is 0
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// IntKey maps v to an integer whose unsigned order is v's order.
func IntKey(v int64) uint64 { return uint64(v) ^ 1<<63 }
