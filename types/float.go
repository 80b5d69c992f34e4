package types

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// AppendFloat8 appends the shortest digits that read back as v, with an
// exponent below 1e-4 and from 1e15 on, as Postgres does.
func AppendFloat8(dst []byte, v float64) []byte { return appendFloat(dst, v, 64, 1e15) }

// AppendFloat4 is AppendFloat8 for real, with an exponent from 1e6 on.
func AppendFloat4(dst []byte, v float32) []byte { return appendFloat(dst, float64(v), 32, 1e6) }

func appendFloat(dst []byte, v float64, bits int, large float64) []byte {
	a := math.Abs(v)
	small := 1e-4
	if bits == 32 {
		small = float64(float32(1e-4))
	}
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case a > math.MaxFloat64:
		if v < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "Infinity"...)
	case a == 0:
		if math.Signbit(v) {
			dst = append(dst, '-')
		}
		return append(dst, '0')
	case a < large && v == math.Trunc(v):
		return strconv.AppendInt(dst, int64(v), 10)
	case a < small || a >= large:
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bits)
}

// ParseFloat8 reads a double precision. Errors are 22P02 and 22003; a non-zero
// number that underflows to zero is out of range too.
func ParseFloat8[S Chars](s S) (float64, error) { return parseFloat(str(s), 64, "double precision") }

// ParseFloat4 reads a real.
func ParseFloat4[S Chars](s S) (float32, error) {
	v, err := parseFloat(str(s), 32, "real")
	return float32(v), err
}

func parseFloat(in string, bits int, typ string) (float64, error) {
	s := trimSpace(in)
	// strconv takes underscores in hex numbers and wants a p exponent there; C does neither.
	if len(s) > 2 && strings.IndexByte(s, '_') >= 0 {
		return 0, errSyntax(typ, in)
	}
	hex := false
	if i := strings.IndexByte(s, '0'); i >= 0 && i <= 1 && len(s) > i+2 && s[i+1]|0x20 == 'x' {
		hex = true
		if !strings.ContainsAny(s, "pP") {
			s += "p0"
		}
	}
	v, err := strconv.ParseFloat(s, bits)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, errSyntax(typ, in)
	}
	if err != nil || v == 0 && !hex && hasNonzeroDigit(s) {
		return 0, pgerr.New(pgerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", trimSpace(in), typ)
	}
	return v, nil
}

// hasNonzeroDigit reports whether the mantissa of a number text is not zero.
func hasNonzeroDigit(s string) bool {
	for i := 0; i < len(s) && s[i]|0x20 != 'e'; i++ {
		if s[i]-'1' < 9 {
			return true
		}
	}
	return false
}

// AppendFloat8Digits appends v as Postgres does for extra_float_digits: the
// shortest exact form above 0, else 15 digits plus extra.
func AppendFloat8Digits(dst []byte, v float64, extra int) []byte {
	if extra > 0 || !finite(v) {
		return AppendFloat8(dst, v)
	}
	return strconv.AppendFloat(dst, v, 'g', max(15+extra, 1), 64)
}

// AppendFloat4Digits is AppendFloat8Digits for real, with 6 digits plus extra.
func AppendFloat4Digits(dst []byte, v float32, extra int) []byte {
	if extra > 0 || !finite(float64(v)) {
		return AppendFloat4(dst, v)
	}
	return strconv.AppendFloat(dst, float64(v), 'g', max(6+extra, 1), 64)
}

func finite(v float64) bool { return v-v == 0 }
