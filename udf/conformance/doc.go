// Package conformance is the suite that every runtime of user-defined functions
// passes: types × NULLs × forms of columns × kinds of functions, and what happens to
// results that break the contract. Run takes an artifact that has the functions of
// package decls (as source: Source), in whatever language; a runtime that cannot do something names the
// functions it lacks.
//
// For every type X (the names of docs/udf/protocol.md, "struct" for the composite type
// struct{a int64, b string, c []float64, "d d" numeric}, and list_ before it for
// arrays of it) there are
//
//	id_X(x)          the argument; not called for NULL
//	null_X(x)        the argument, NULL too
//	is_null_X(x)     whether it is NULL
//	first_X(x)       an aggregate: the first row's value
//	append_X(xs, x)  the array xs with x at its end; not for arrays
//	vector_X(x)      the same as null_X, a batch at a time
//	echo_X(k, x)     a grouped map from columns k int64, x X to the same
//	whole_X(k, x)    the same with whole groups, backwards
//	batch_X(k, x)    batches of four rows: their number, x
//	table_X(k, x)    a table function of k rows: their number from 0, x
//	window_X(x)      a window function: the value in the last row of the frame
//
// and add_X(a, b) and the aggregate sum_X(x) for numbers; see package decls for the
// rest: errors and the rows they name, on_error, large groups, describe, cancels.
package conformance
