package types

import (
	"encoding/binary"

	"github.com/volleydb/volley/pgerr"
)

// Postgres counts days and microseconds from 2000-01-01 on the wire.
const (
	pgEpochDays   = 10957
	pgEpochMicros = pgEpochDays * usecPerDay
)

// DateToWire and TimestampToWire turn a value into what Postgres sends.
func DateToWire(d int32) int32 {
	if !DateFinite(d) {
		return d
	}
	return d - pgEpochDays
}

// DateFromWire is the inverse of DateToWire. Errors are 22008.
func DateFromWire(w int32) (int32, error) {
	if !DateFinite(w) {
		return w, nil
	}
	d := int64(w) + pgEpochDays
	if !inDate(d) {
		return 0, errDate()
	}
	return int32(d), nil
}

// TimestampToWire turns a timestamp into what Postgres sends.
func TimestampToWire(ts int64) int64 {
	if !TimestampFinite(ts) {
		return ts
	}
	return ts - pgEpochMicros
}

// TimestampFromWire is the inverse of TimestampToWire. Errors are 22008.
func TimestampFromWire(w int64) (int64, error) {
	if !TimestampFinite(w) {
		return w, nil
	}
	if w >= endTimestamp-pgEpochMicros || w < minTimestamp-pgEpochMicros {
		return 0, errTimestamp()
	}
	return w + pgEpochMicros, nil
}

// TimeFromWire checks a time of day. Errors are 22008.
func TimeFromWire(w int64) (int64, error) {
	if w < 0 || w > usecPerDay {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "time out of range")
	}
	return w, nil
}

// Signs of a numeric on the wire.
const (
	wireNegative = 0x4000
	wireNaN      = 0xC000
	wirePosInf   = 0xD000
	wireNegInf   = 0xF000
)

// AppendNumericBinary appends d as Postgres sends it: digits in base 10000
// without leading and trailing zero digits.
func AppendNumericBinary(dst []byte, d Decimal) []byte {
	if d.NaN {
		return append(dst, 0, 0, 0, 0, wireNaN>>8, 0, 0, 0)
	}
	m, neg := d.mag()
	// Align the point to a group of four digits; 38 digits and 3 may exceed 128 bits.
	pad := (4 - d.Scale&3) & 3
	var groups [12]uint16
	n := len(groups)
	var low uint64
	m, low = m.divMod64([4]uint64{10000, 1000, 100, 10}[pad])
	low *= pow10[pad].lo
	for first := true; first || !m.isZero(); first = false {
		if !first {
			m, low = m.divMod64(10000)
		}
		n--
		groups[n] = uint16(low)
	}
	weight := len(groups) - n - 1 - int((d.Scale+pad)/4)
	g := groups[n:]
	for len(g) > 0 && g[0] == 0 {
		g, weight = g[1:], weight-1
	}
	for len(g) > 0 && g[len(g)-1] == 0 {
		g = g[:len(g)-1]
	}
	sign := uint16(0)
	if len(g) == 0 {
		weight = 0
	} else if neg {
		sign = wireNegative
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(g)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(d.Scale))
	for _, x := range g {
		dst = binary.BigEndian.AppendUint16(dst, x)
	}
	return dst
}

func errWireNumeric(what string) error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid %s in external \"numeric\" value", what)
}

// ParseNumericBinary is the inverse of AppendNumericBinary. Digits beyond the
// 38th behind the point are rounded off; errors are 22P03, 22003 and 0A000.
func ParseNumericBinary(data []byte) (Decimal, error) {
	if len(data) < 8 {
		return nan, errWireNumeric("length")
	}
	n := int(binary.BigEndian.Uint16(data))
	weight := int(int16(binary.BigEndian.Uint16(data[2:])))
	sign := binary.BigEndian.Uint16(data[4:])
	dscale := int(binary.BigEndian.Uint16(data[6:]))
	if len(data) != 8+2*n {
		return nan, errWireNumeric("length")
	}
	switch sign {
	case 0, wireNegative:
	case wireNaN:
		return nan, nil
	case wirePosInf, wireNegInf:
		return nan, errInfinity("numeric infinity is not supported")
	default:
		return nan, errWireNumeric("sign")
	}
	if dscale > 0x3FFF {
		return nan, errWireNumeric("scale")
	}
	// The value is the digits as an integer times 10000^(weight-n+1).
	var m u128
	ok := true
	short := n <= 9
	var text []byte
	for i := range n {
		g := binary.BigEndian.Uint16(data[8+2*i:])
		if g > 9999 {
			return nan, errWireNumeric("digit")
		}
		if short {
			m, _ = m.mul64(10000)
			m, _ = m.add(u128{0, uint64(g)})
		} else {
			text = appendDigits(text, uint64(g), 4)
		}
	}
	scale := 4 * (n - 1 - weight)
	if n == 0 {
		return Decimal{Scale: int32(min(dscale, maxScale))}, nil
	}
	if !short {
		if sign == wireNegative {
			text = append([]byte{'-'}, text...)
		}
		text = append(text, 'e')
		text = AppendInt(text, int64(-scale))
		d, err := parseNumericSlow(str(text), len(text)-len(trimSign(text)), sign == wireNegative)
		if err != nil {
			return nan, err
		}
		return d.toScale(min(dscale, maxScale), truncate)
	}
	if scale < 0 {
		if m, ok = scaleUp(m, int32(min(-scale, maxDigits+1))); !ok || !m.less(limit) && !m.isZero() {
			return nan, errNumericOverflow()
		}
		scale = 0
	}
	d := fromMag(m, sign == wireNegative, int32(scale))
	return d.toScale(min(dscale, maxScale), truncate)
}

func trimSign(b []byte) []byte {
	if len(b) > 0 && b[0] == '-' {
		return b[1:]
	}
	return b
}
