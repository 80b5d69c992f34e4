package types

import (
	"encoding/binary"
	"math/bits"
)

// AppendDecimalKey appends 19 bytes whose order is that of numeric, NaN above
// all; the display scale does not matter: a class (negative, zero, positive, NaN),
// the exponent of the leading digit, and the coefficient scaled to 38 digits.
func AppendDecimalKey(dst []byte, v Decimal) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, 19)...)
	d := dst[at:]
	if v.NaN {
		d[0] = 3
		return dst
	}
	if v.Hi == 0 && v.Lo == 0 {
		d[0] = 1
		return dst
	}
	hi, lo := uint64(v.Hi), v.Lo
	neg := v.Hi < 0
	if neg {
		var c uint64
		lo, c = bits.Add64(^lo, 1, 0)
		hi = ^hi + c
	}
	exp := 38 - int(v.Scale) + 1<<15
	for {
		h, l := bits.Mul64(lo, 10)
		o, m := bits.Mul64(hi, 10)
		h, c := bits.Add64(h, m, 0)
		// Below 10^38 there is one more digit to the left.
		if o != 0 || c != 0 || h > keyLimitHi || h == keyLimitHi && l >= keyLimitLo {
			break
		}
		hi, lo = h, l
		exp--
	}
	d[0] = 2
	binary.BigEndian.PutUint16(d[1:], uint16(exp))
	binary.BigEndian.PutUint64(d[3:], hi)
	binary.BigEndian.PutUint64(d[11:], lo)
	if neg {
		d[0] = 0
		for i := 1; i < 19; i++ {
			d[i] = ^d[i]
		}
	}
	return dst
}

// 10^38.
const (
	keyLimitHi = 0x4b3b4ca85a86c47a
	keyLimitLo = 0x098a224000000000
)

// AppendIntervalKey appends 16 bytes in the order of intervals: the length in
// microseconds with months of 30 days.
func AppendIntervalKey(dst []byte, v IntervalValue) []byte {
	const day = 86_400_000_000
	days := int64(v.Months)*30 + int64(v.Days)
	u := uint64(days)
	if days < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, day)
	var c uint64
	if days < 0 {
		lo, c = bits.Add64(^lo, 1, 0)
		hi = ^hi + c
	}
	lo, c = bits.Add64(lo, uint64(v.Micros), 0)
	hi += uint64(v.Micros>>63) + c
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, hi^1<<63), lo)
}
