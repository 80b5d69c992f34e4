package function

import (
	endian "encoding/binary"
	"math/bits"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// textLengths is length(text), in characters. Where a whole vector is ASCII that is
// the lengths in bytes, which the offsets tell.
func textLengths(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	if v := args[0]; v.Form != vector.Flat || !vector.IsASCII(v.Bytes[v.Offs[0]:v.Offs[n]]) {
		return lengths(v, n, countRunes), nil
	}
	return byteLengths(1)(nil, args, n)
}

// byteLengths is length(bytea), in units of which a byte has so many.
func byteLengths(units int32) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		v := args[0]
		if v.Form != vector.Flat {
			return lengths(v, n, func(b []byte) int32 { return units * int32(len(b)) }), nil
		}
		out := vector.NewDirty(types.T(types.Int4), n)
		begin := v.Offs[0]
		dst := vector.Values[int32](out)
		for i, end := range v.Offs[1 : n+1] {
			dst[i] = units * (end - begin)
			begin = end
		}
		return out, nil
	}
}

func lengths(v *vector.Vector, n int, length func([]byte) int32) *vector.Vector {
	out := vector.NewDirty(types.T(types.Int4), n)
	dst := vector.Values[int32](out)
	for i := range dst {
		dst[i] = length(v.BytesAt(i))
	}
	return out
}

// countRunes is utf8.RuneCount for what is valid UTF-8, as text is: the bytes that do
// not continue a character, eight at a time.
func countRunes(b []byte) int32 {
	const highBits = 0x8080808080808080
	n := len(b)
	for ; len(b) >= 8; b = b[8:] {
		w := endian.LittleEndian.Uint64(b)
		n -= bits.OnesCount64(w & ^(w << 1) & highBits)
	}
	for _, c := range b {
		if c&0xc0 == 0x80 {
			n--
		}
	}
	return int32(n)
}
