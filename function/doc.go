// Package function holds the one Function description that the planner resolves
// and the operators run, and the built-in scalar, aggregate, window and table
// functions. A UDF is the same thing to both: package udf makes Functions whose
// implementation is a plugin.
//
// A built-in is found on a worker by its ID, which is its name and argument
// types ("lower(text)"); kernels are functions over whole vectors.
package function
