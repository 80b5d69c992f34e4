// Package costly tests queries with functions that take long for a row: their rows are
// dealt over tasks, and what comes out is the same, byte for byte, wherever they ran.
package costly
