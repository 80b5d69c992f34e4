package types

import (
	"math"
	"time"
)

// TextOptions are the settings that text input and output depend on. A nil
// *TextOptions stands for UTC, the shortest exact floats and hex bytea.
type TextOptions struct {
	// Location is the session's time zone; nil is UTC.
	Location *time.Location
	// Now is the transaction's time, for 'now' and 'today'; zero is the clock's.
	Now time.Time
	// ExtraFloatDigits above 0 prints the shortest exact floats, as Postgres
	// does by default; 0 and below print 15 (float4: 6) digits plus its value.
	ExtraFloatDigits int
	// ByteaEscape prints bytea in the escape format.
	ByteaEscape bool
}

// DefaultText returns the options that nil stands for.
func DefaultText() TextOptions { return TextOptions{Location: time.UTC, ExtraFloatDigits: 1} }

// Loc returns the time zone, never nil.
func (o *TextOptions) Loc() *time.Location {
	if o == nil || o.Location == nil {
		return time.UTC
	}
	return o.Location
}

func (o *TextOptions) now() time.Time {
	if o == nil || o.Now.IsZero() {
		return time.Now()
	}
	return o.Now
}

// The infinities of date and of timestamp[tz].
const (
	DateInfinity         int32 = math.MaxInt32
	DateNegInfinity      int32 = math.MinInt32
	TimestampInfinity    int64 = math.MaxInt64
	TimestampNegInfinity int64 = math.MinInt64
)

// TimestampFinite reports that ts is neither infinity.
func TimestampFinite(ts int64) bool { return ts != TimestampInfinity && ts != TimestampNegInfinity }

// DateFinite reports that d is neither infinity.
func DateFinite(d int32) bool { return d != DateInfinity && d != DateNegInfinity }
