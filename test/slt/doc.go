// Command slt runs sqllogictest files of other projects on an embedded Volley
// and counts the records that pass.
//
//	go run ./test/slt test/select1.test test/random/expr
//	go run ./test/slt -postgres 'host=/tmp user=postgres' FILES   the same on a Postgres
//	go run ./test/slt -failures out.txt FILES                     with what went wrong
//
// Arguments are files, or directories of *.test, *.test_slow, *.slt and
// *.logictest files. Every file has a schema and a session of its own.
//
// The runner understands the format of SQLite's corpus (statement ok and error,
// query with types, nosort, rowsort and valuesort, labels, hash-threshold and
// hashed results, skipif, onlyif, halt; it goes by the name of postgresql) and of
// what the others have added, as far as it can be told from a file: rows of
// several values on a line, "statement error" and "query error" with a pattern,
// "statement count", column names, loop, foreach and concurrentloop, mode skip,
// require, include, sleep. A file that requires what is not there, or uses a
// directive that is not known, is skipped from there on, and counted as such.
//
// With -compare and -postgres both are run, and only records that Postgres
// passes and Volley does not are failures.
//
// -nokeys reads CREATE TABLE without PRIMARY KEY and UNIQUE and leaves out what is
// about indexes: much of SQLite's corpus only wants to see that they do not change
// an answer.
package main
