package udf

import (
	"strings"
	"unsafe"
)

// copyString is copy into what is large enough. A call costs more than to move a few
// words. They are integers, since compilers for WebAssembly move arrays by calls.
func copyString(dst []byte, s string) int {
	n := len(s)
	if n < 8 || n > 64 {
		return copy(dst, s)
	}
	to, from := unsafe.Pointer(&dst[:n][0]), unsafe.Pointer(unsafe.StringData(s))
	for i := 0; i < n-8; i += 8 {
		*(*uint64)(unsafe.Add(to, i)) = *(*uint64)(unsafe.Add(from, i))
	}
	*(*uint64)(unsafe.Add(to, n-8)) = *(*uint64)(unsafe.Add(from, n-8)) // overlaps what is there
	return n
}

// dirty is memory for n bytes that is not cleared: a strings.Builder is the way to it.
func dirty(n int) []byte {
	var b strings.Builder
	b.Grow(n + 1)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}
