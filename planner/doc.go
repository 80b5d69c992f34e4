// Package planner turns a parsed statement into a physical plan of stages.
//
// The way of a query through the package, file by file:
//
//	bind.go, select.go, from.go, exprs.go, calls.go,   names and types are resolved
//	subquery.go, apply.go, scope.go, coerce.go         against a catalog; the result
//	                                                   is a tree of logical nodes
//	logical.go, expr.go                                that tree
//	pushdown.go, prune.go                              rules over it
//	physical.go, distribute.go, lower.go               operators with a distribution
//	                                                   and an ordering; exchanges where
//	                                                   the property is missing; stages
//	explain.go                                         the plan as text
//
// The planner is pure: a catalog snapshot, files' metadata and settings go in, a
// plan comes out. The number of tasks of a stage, which of them reads what and
// the number of shuffle partitions are functions of the data's size alone, never
// of the cluster, so a query gives the same rows on one machine and on many.
package planner
