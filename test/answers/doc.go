// Package answers compares the answers to the queries of TPC-H, TPC-DS,
// ClickBench and H2O with stored ones, which DuckDB has given.
//
// testdata holds for each suite a directory of small Parquet files and a file
// of answers. Both are written, by DuckDB, with
//
//	cd bench && go run . -suite tpch -sf 0.01 -answers ../test/answers/testdata
//
// (tpch and tpcds with -sf 0.01, clickbench with -sf 0.003, h2o with -sf 0.002); the queries
// are those of bench/queries. The test needs neither.
//
// # What is compared
//
// Everything that a query determines: numbers exactly, floats within 1e-9 of
// their size, rows in any order but the sequence of the values that ORDER BY
// sorts by as it is. Of rows that tie, LIMIT may keep any: an answer to a query
// with LIMIT holds all rows that tie with its first or last one, and of these the
// right number has to be there. Only where ORDER BY has an expression that is not
// in the answer are rows of equal values before it taken for ties.
package answers
