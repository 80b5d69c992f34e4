// Package physical runs one task's part of a query: it turns the plan's
// operators (proto.Operator) into a tree that pulls vector batches, and
// evaluates expressions over them.
//
// Contract of an Operator: Next gives batches with at least one row whose
// columns have the types of the plan's fields, then nil for ever; after an
// error or Close it is not called again. Close may be called at any time, once,
// and ends what the operator started (goroutines, files, UDF streams). A tree is
// driven by one goroutine. The invariants checker (Env.Check) holds every
// operator to it in tests.
//
// Memory: what an operator keeps across calls of Next is charged to its Account;
// when the budget is used up it spills to files in Env.SpillDir (spill.go), and
// only when it cannot does the query fail with 53200.
package physical
