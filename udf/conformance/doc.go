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
//	echo_X(k, x)     a grouped map from columns k int64, x X to the same
//	append_X(xs, x)  the array xs with x at its end; not for arrays
//
// and add_X(a, b) and the aggregate sum_X(x) for numbers; see package decls for the
// rest.
package conformance
