// Package logic holds the SQL tests: files in sqllogictest format that every
// shape of a server must answer alike.
//
// # Modes
//
// Each testdata/*.test file is run embedded and with 1, 2 and 3 workers, and in
// each of these twice: as a user would run it, and with volley.rows_per_task so
// low ("cut") that a few rows are enough for several tasks, partial aggregates,
// shuffled joins and merges. A file has a schema of its own. The expected rows
// are those of Postgres 15 wherever Postgres can run the statement:
//
//	go test ./test/logic -run TestLogic/embedded/joins
//	go test ./test/logic -postgres 'host=/tmp port=5432 user=postgres'           compare the files with a Postgres
//	go test ./test/logic -postgres '…' -rewrite -files joins,select              write its answers into the files
//	go test ./test/logic -rewrite -files joins                                   write Volley's answers
//
// The Postgres database should be made with --lc-collate=C and UTC. A rewrite
// touches only what is expected, never the statements, and only records that are
// not skipped in the mode that writes: run Volley's first, Postgres's after it.
//
// # Format
//
// Records are separated by empty lines; # begins a comment line.
//
//	statement ok
//	CREATE TABLE t (a int)
//
//	statement notice relation "t" already exists, skipping
//	CREATE TABLE IF NOT EXISTS t (a int)
//
//	statement count 3
//	INSERT INTO t VALUES (1), (2), (NULL)
//
//	statement error 42703 column "b" does not exist
//	SELECT b FROM t
//	----
//	HINT: …
//
//	query IT rowsort
//	SELECT a, 'x' FROM t
//	----
//	1     x
//	NULL  x
//
//	compare
//	SELECT a, random() FROM t
//
// statement error takes an optional SQLSTATE and a text that the message has to
// contain, or a regular expression that has to match it. Lines after ---- are
// DETAIL, HINT or CONTEXT lines that must be there.
//
// query takes one letter per column (B boolean, I integer, R float or numeric, D
// date, time or interval, T everything else) and rowsort (the rows are sorted
// before they are compared), valuesort (all values are), or nosort, which is
// the default; with "names" the first line is the column names. Columns are
// separated by a tab or two or more spaces. NULL is NULL, the empty string
// (empty); a newline is written \n, a tab \t, and spaces that would be taken for
// a separator ␠.
//
// compare has no expected rows: all modes must give the same bytes in the same
// order. Give volley.seed first when it draws random numbers.
//
// "modes embedded 3workers-cut" at the head of a file names the modes that it is
// run in, for files of scalar expressions.
//
// doc_*.test follow the chapters of Postgres' documentation. What Volley refuses or
// answers differently there has skipif volley.
//
// skipif NAME and onlyif NAME before a record leave it out; the names are
// embedded, cluster, cut, uncut, volley and postgres. "session NAME" lets the
// following records run in another session, "default" being the first; "halt"
// ends the file. $TMP stands for a directory of the run that the server can
// read and write.
package logic
