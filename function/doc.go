// Package function holds the one Function description that the planner resolves
// and the operators run, and the built-in scalar, aggregate, window and table
// functions. A UDF is the same thing to both: package udf makes Functions whose
// implementation is a plugin.
//
// A built-in is found on a worker by its ID, which is its qualified name and
// argument types ("pg_catalog.lower(text)"). The functions behind operators are
// functions like any other, under Postgres' names ("pg_catalog.int4pl(int4,int4)"),
// with Op set. Kernels work on whole vectors.
//
// To add a function, write its kernel in the file of its family and one line in
// that file's register function: the signature in pg_type's names, the kernel,
// and what deviates from an immutable, strict function. Where Postgres has the
// function too, its OID goes into oids.go; others get one from their signature.
// A line in testdata/scalar.tsv (name, arguments as type:text, the result that
// Postgres gives) is its test.
//
// Two settings that are not a user's are asked for by name: volley.backend_pid
// (pg_backend_pid) and volley.start_time (pg_postmaster_start_time).
package function
