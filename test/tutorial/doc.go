// Package tutorial runs docs/udf/tutorial.md: its commands against a server of its
// own, in a new directory, and compares what they print.
package tutorial
