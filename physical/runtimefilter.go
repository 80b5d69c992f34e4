package physical

import (
	"slices"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// RuntimeFilter says that a join tells a scan below its probe side which values
// its build side has: the scan drops rows with others before it reads the rest of
// their columns. Column is the scan's, Key the number of the join's key.
type RuntimeFilter struct {
	Scan   *proto.Operator
	Column int
	Key    int
}

// RuntimeFilters returns the scans that a join's keys restrict: those of the same
// stage whose column reaches the probe side unchanged, and where a row more or
// less changes nothing but the rows that are made of it. Such joins give nothing
// for a left row without a match.
func RuntimeFilters(op *proto.Operator) []RuntimeFilter {
	j := op.GetJoin()
	if j == nil || len(op.Inputs) != 2 || volatileExprs(j.Residual) {
		return nil
	}
	switch j.Kind {
	case proto.Join_INNER, proto.Join_SEMI, proto.Join_RIGHT:
	default:
		return nil
	}
	return keyScans(op.Inputs[0], j.LeftKeys, j.RightKeys, j.NullSafe)
}

// keyScans returns the scans below in that keys come from, which are equal to
// others.
func keyScans(in *proto.Operator, keys, others []*proto.Expr, nullSafe []bool) []RuntimeFilter {
	var out []RuntimeFilter
	for k, e := range keys {
		if nullSafeAt(nullSafe, k) || k >= len(others) {
			continue
		}
		col, ok := sameValue(e)
		if !ok {
			continue
		}
		var found []RuntimeFilter
		sources(in, col, &found)
		right := TypeOf(others[k].Type)
		for _, f := range found {
			t := TypeOf(f.Scan.Fields[f.Column].Type)
			if t.Phys() != right.Phys() && !(isIntPhys(t.Phys()) && isIntPhys(right.Phys())) || t.Phys() == types.PhysBytes && t.ID != right.ID && !(t.IsString() && right.IsString()) {
				continue
			}
			f.Key = k
			out = append(out, f)
		}
	}
	return out
}

// sameValue is the column whose value e has: itself, or widened.
func sameValue(e *proto.Expr) (int, bool) {
	for {
		c := e.GetCast()
		if c == nil {
			break
		}
		to, from := TypeOf(e.Type), TypeOf(c.Arg.Type)
		if !to.IsInteger() || !from.IsInteger() || keyWidth(to.Phys()) < keyWidth(from.Phys()) {
			return 0, false
		}
		e = c.Arg
	}
	c := e.GetColumn()
	if c == nil {
		return 0, false
	}
	return int(c.Index), true
}

// sources appends the scans that column col of op comes from.
func sources(op *proto.Operator, col int, out *[]RuntimeFilter) {
	below := func(i int) { sources(op.Inputs[i], col, out) }
	switch n := op.Node.(type) {
	case *proto.Operator_Scan:
		if n.Scan.Limit == 0 && (col < len(n.Scan.Columns) || col == len(n.Scan.Columns) && n.Scan.RowId) {
			*out = append(*out, RuntimeFilter{Scan: op, Column: col})
		}
	case *proto.Operator_Filter:
		if !volatileExprs(n.Filter.Cond) {
			below(0)
		}
	case *proto.Operator_Project:
		if c, ok := sameValue(n.Project.Exprs[col]); ok && !volatileExprs(n.Project.Exprs...) {
			col = c
			below(0)
		}
	case *proto.Operator_ProjectSet:
		for _, c := range n.ProjectSet.Calls {
			if volatileCall(c) {
				return
			}
		}
		if col < len(op.Inputs[0].Fields) {
			below(0)
		}
	case *proto.Operator_Sort:
		if n.Sort.Limit == 0 {
			below(0)
		}
	case *proto.Operator_Aggregate:
		// Whole groups come or go.
		a := n.Aggregate
		if a.Mode == proto.Aggregate_FINAL || len(a.Always) > 0 || col >= len(a.Keys) {
			return
		}
		for _, c := range a.Calls {
			if volatileExprs(append(slices.Clone(c.Args), c.Filter)...) || c.Udf != nil && function.Volatility(c.Udf.Volatility) == function.Volatile {
				return
			}
		}
		if c, ok := sameValue(a.Keys[col]); ok && !volatileExprs(a.Keys...) {
			col = c
			below(0)
		}
	case *proto.Operator_Window:
		// Whole partitions do.
		for _, e := range n.Window.PartitionBy {
			if c := e.GetColumn(); c != nil && int(c.Index) == col && col < len(op.Inputs[0].Fields) {
				for _, w := range n.Window.Calls {
					if w.Udf != nil || volatileExprs(w.Args...) {
						return
					}
				}
				below(0)
				return
			}
		}
	case *proto.Operator_Union:
		for i := range op.Inputs {
			below(i)
		}
	case *proto.Operator_Join:
		if volatileExprs(n.Join.Residual) {
			return
		}
		left := len(op.Inputs[0].Fields)
		switch n.Join.Kind {
		case proto.Join_INNER, proto.Join_CROSS:
			if col >= left {
				col -= left
				below(1)
				return
			}
			below(0)
		case proto.Join_LEFT, proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK:
			if col < left {
				below(0)
			}
		}
	}
}

// volatileExprs reports a volatile call: how often it is evaluated must not
// change.
func volatileExprs(es ...*proto.Expr) bool {
	for _, e := range es {
		if volatileExpr(e) {
			return true
		}
	}
	return false
}

func volatileCall(c *proto.Call) bool {
	if c.Udf != nil {
		return function.Volatility(c.Udf.Volatility) == function.Volatile || volatileExprs(c.Args...)
	}
	f, ok := function.ByID(c.Function)
	return !ok || f.Volatility == function.Volatile || volatileExprs(c.Args...)
}

func volatileExpr(e *proto.Expr) bool {
	if e == nil {
		return false
	}
	switch n := e.Node.(type) {
	case *proto.Expr_Call:
		return volatileCall(n.Call)
	case *proto.Expr_Case:
		for _, w := range n.Case.Whens {
			if volatileExprs(w.Cond, w.Result) {
				return true
			}
		}
		return volatileExpr(n.Case.Else)
	case *proto.Expr_Bool:
		return volatileExprs(n.Bool.Args...)
	case *proto.Expr_Is:
		return volatileExprs(n.Is.Arg, n.Is.Right)
	case *proto.Expr_Cast:
		return volatileExpr(n.Cast.Arg)
	case *proto.Expr_Coalesce:
		return volatileExprs(n.Coalesce.Args...)
	case *proto.Expr_In:
		return volatileExpr(n.In.Arg)
	case *proto.Expr_Array:
		return volatileExprs(n.Array.Elems...)
	}
	return false
}
