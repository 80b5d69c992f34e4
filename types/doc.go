// Package types holds SQL types: their identity, Postgres OID, physical
// representation in a column vector, and their text and binary codecs.
//
// A Type is a small comparable value. Phys says how a column of the type is
// laid out (package vector); everything else about a value (parsing, printing,
// arithmetic on numeric, interval and dates) is functions on those physical
// scalars, so that CSV readers, casts and the wire protocol share one codec.
//
// Semantics, text and errors are those of Postgres 15, from which testdata holds
// answers. Where Volley has a limit of its own: numeric has 38 significant
// digits (fractional digits beyond are rounded off, more integer digits are
// 22003) and no infinities; timestamps end in the year 294247; arrays have one
// dimension that starts at 1.
package types
