//go:build !wasip1

package udf

// copyString is copy.
func copyString(dst []byte, s string) int { return copy(dst, s) }
