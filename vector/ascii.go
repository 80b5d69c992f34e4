package vector

import "encoding/binary"

// IsASCII reports whether all bytes of b, of which there may be a whole column of text,
// are below 0x80.
func IsASCII(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 32; b = b[32:] {
		w := binary.NativeEndian.Uint64(b) | binary.NativeEndian.Uint64(b[8:]) | binary.NativeEndian.Uint64(b[16:]) | binary.NativeEndian.Uint64(b[24:])
		if w&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
