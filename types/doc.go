// Package types holds SQL types: their identity, Postgres OID, physical
// representation in a column vector, and their text and binary codecs.
//
// A Type is a small comparable value. Phys says how a column of the type is
// laid out (package vector); everything else about a value (parsing, printing,
// arithmetic on numeric, interval and dates) is functions on those physical
// scalars, so that CSV readers, casts and the wire protocol share one codec.
package types
