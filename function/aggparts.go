package function

import "github.com/volleydb/volley/types"

// AggParts makes an Aggregate of other functions: CREATE AGGREGATE … (SFUNC = …).
// The planner binds them into expressions for each call. Of Postgres' rules:
//
//   - Step takes the state and the arguments and gives the next state. A Strict one
//     is not called for rows with NULL; without an initial state the first value of
//     its argument is the state.
//   - Final takes the last state, and NULLs for the arguments if Extra. A nil one
//     leaves the state as the result.
//   - Combine folds a state into another. Without it states cannot be merged: all
//     rows of a group are folded by one task.
type AggParts struct {
	Step, Combine, Final *Function
	State                types.Type // AnyElement and AnyArray follow the arguments
	Init                 *string    // text of the initial state; nil = NULL
	Extra                bool
}
