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
	// row_limit(n, offset) is n, the value of a LIMIT, or of an OFFSET.
	r.scalar("row_limit(int8,bool) int8", func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		for i := 0; i < n; i++ {
			if args[0].IsNull(i) || vector.At[int64](args[0], i) >= 0 {
				continue
			}
			if vector.At[bool](args[1], i) {
				return nil, pgerr.New(pgerr.InvalidRowCountInOffset, "OFFSET must not be negative")
			}
			return nil, pgerr.New(pgerr.InvalidRowCountInLimit, "LIMIT must not be negative")
		}
		return args[0], nil
	}, called, doc("the number of rows that LIMIT or OFFSET stands for"))
}
