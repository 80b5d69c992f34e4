// Bench compares Volley with DuckDB and with plain Go loops: the same files, the
// same number of threads, one run, each pair measured alternately. It is a
// module of its own so that DuckDB never enters the product's go.mod.
package main
