// Package storage reads and writes table data as files: CSV, Postgres' text
// format and Parquet, on the local disk.
//
// Planning (PlanCSV, PlanParquet, PlanTable) turns paths into a schema and
// splits; a split is a piece of one file that a task reads by itself. Running
// (OpenScan, NewWriter) turns splits into batches and batches into files.
// NewCopyReader and NewCopyEncoder are the same codecs on a stream, for COPY.
//
// CSV splits always start at a record: planning passes over the whole file once
// at memory speed, following quotes, so that a newline inside a quoted field is
// never taken for the end of a record and every split knows the ordinal of its
// first row. Line numbers of errors are found when the error happens, by
// counting the newlines before it.
package storage
