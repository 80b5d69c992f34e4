package udf

import "unsafe"

// copyString is copy into what is large enough. Calls cost more in a module than to
// move a few words.
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
