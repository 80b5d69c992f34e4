package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// registerSubqueries adds what the planner makes of subqueries; users have no
// reason to call it.
func registerSubqueries(r *registry) {
	// single_row(value, n) is the value of a scalar subquery that had n rows.
	r.scalar("single_row(anyelement,int8) anyelement", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		count := args[1]
		for i := 0; i < n; i++ {
			if !count.IsNull(i) && vector.At[int64](count, i) > 1 {
				return nil, pgerr.New(pgerr.CardinalityViolation, "more than one row returned by a subquery used as an expression")
			}
		}
		return args[0], nil
	}, called, doc("the value of a subquery that has at most one row"))
}
