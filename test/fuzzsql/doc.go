// Package fuzzsql asks random questions and compares the answers: of a server in
// one process, of one with tasks so small that every query is cut and shuffled,
// of three workers with such tasks, and of Postgres.
//
//	go test ./test/fuzzsql                                              a short run without Postgres
//	go test ./test/fuzzsql -postgres 'host=/tmp user=postgres' -statements 3000  a long one with it
//	make fuzz-sql PG='host=/tmp user=postgres'
//
// The Postgres database should be made with --lc-collate=C and UTC; the tables go
// into a schema fuzzsql. Statement number i of a seed is always the same:
// -seed S -from i -statements 1 repeats one.
//
// The generator (generate.go) writes only what has one right answer: sums of
// floats are of few binary digits, whatever depends on the order of rows orders
// by every column, divisors are never zero.
package fuzzsql
