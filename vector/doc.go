// Package vector holds the columns and batches that operators work on.
//
// A Vector is one column of a batch in Arrow's layout: fixed-width values in a
// raw buffer, or 32-bit offsets and bytes, with an LSB validity bitmap that is
// nil when there is no NULL. Booleans take a byte each while they are in the
// engine and become bits at the edges (ToArrow, FromArrow). A vector can also be
// Const (one value for all rows, as literals are) or Dict (codes into a
// dictionary, as low-cardinality strings come from files) or Scaled (numerics of
// one scale as 64-bit integers); Flat is the plain form, and Flatten makes it.
//
// A Batch is columns of equal length with an optional selection vector: a
// filter selects rows without copying, and Col gathers a column the first time
// somebody asks for it.
//
// Ownership: vectors and batches are immutable once they have left the function
// that made them. They live in Go memory and nobody releases them; an operator
// that holds batches across Next calls charges their Size to its memory account
// and gives it back when it drops them.
package vector
