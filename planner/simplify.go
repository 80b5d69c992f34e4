package planner

import (
	"github.com/volleydb/volley/proto"
)

// terms are the conjuncts of a condition, with those that all arms of an OR
// have in common taken out of it: (a AND x) OR (a AND y) is a AND (x OR y). What
// was an OR over a join can so give it keys.
func terms(cond Expr) []Expr {
	var out []Expr
	for _, c := range conjuncts(nil, cond) {
		out = append(out, factor(c)...)
	}
	return out
}

// arms are the alternatives of an OR, flattened; one for anything else.
func arms(out []Expr, e Expr) []Expr {
	if b, ok := e.(*Bool); ok && b.Op == proto.Bool_OR {
		for _, a := range b.Args {
			out = arms(out, a)
		}
		return out
	}
	return append(out, e)
}

func factor(e Expr) []Expr {
	list := arms(nil, e)
	if len(list) < 2 || isVolatile(e) {
		return []Expr{e}
	}
	rest := make([][]Expr, len(list))
	for i, a := range list {
		rest[i] = terms(a)
	}
	var common []Expr
	for _, c := range rest[0] {
		everywhere := true
		for _, r := range rest[1:] {
			everywhere = everywhere && contains(r, c)
		}
		if everywhere && !contains(common, c) {
			common = append(common, c)
		}
	}
	if len(common) == 0 {
		if b, ok := e.(*Bool); ok {
			return []Expr{oneOf(&Bool{Op: b.Op, Args: list})}
		}
		return []Expr{e}
	}
	or := &Bool{Op: proto.Bool_OR}
	for _, r := range rest {
		var own []Expr
		for _, c := range r {
			if !contains(common, c) {
				own = append(own, c)
			}
		}
		if len(own) == 0 {
			return common // this arm is true whenever they are
		}
		or.Args = append(or.Args, and(own...))
	}
	return append(common, oneOf(or))
}

// oneOf is an OR of comparisons of one column with constants as a list of values.
func oneOf(or *Bool) Expr {
	var in *InList
	for _, a := range or.Args {
		call, ok := a.(*Call)
		if !ok || len(call.Args) != 2 || !isEquality(call.F) {
			return or
		}
		col, ok1 := call.Args[0].(*Column)
		c, ok2 := call.Args[1].(*Const)
		if !ok1 || !ok2 || col.T != c.T || c.V == nil || in != nil && !sameExpr(in.Arg, col) {
			return or
		}
		if in == nil {
			in = &InList{Arg: col}
		}
		in.Values = append(in.Values, c)
	}
	return in
}

func contains(list []Expr, e Expr) bool {
	for _, x := range list {
		if sameExpr(x, e) {
			return true
		}
	}
	return false
}

// impliedBy is what an OR over more than the columns of own says about them
// alone: the OR of what every arm says, nil if one says nothing. It may be
// checked early in addition to the OR itself.
func impliedBy(e Expr, own colSet) Expr {
	list := arms(nil, e)
	if len(list) < 2 || isVolatile(e) || hasUDF(e) {
		return nil
	}
	or := &Bool{Op: proto.Bool_OR}
	for _, a := range list {
		var mine []Expr
		for _, c := range conjuncts(nil, a) {
			if cs := columnsOf(c); len(cs) > 0 && own.has(cs) {
				mine = append(mine, c)
			}
		}
		if len(mine) == 0 {
			return nil
		}
		or.Args = append(or.Args, and(mine...))
	}
	return or
}

// nullWith reports that e is NULL whenever all columns of ids are.
func nullWith(e Expr, ids colSet) bool {
	switch e := e.(type) {
	case *Column:
		return ids[e.ID]
	case *Call:
		if !e.F.Strict {
			return false
		}
		for _, a := range e.Args {
			if nullWith(a, ids) {
				return true
			}
		}
	case *Cast:
		return nullWith(e.Arg, ids)
	case *Bool:
		return e.Op == proto.Bool_NOT && nullWith(e.Args[0], ids)
	case *InList:
		return len(e.Values) > 0 && nullWith(e.Arg, ids)
	case *Case:
		// What a scalar subquery becomes: NULL unless a row matched.
		for _, w := range e.Whens {
			if !rejectsNull(w.Cond, ids) && !nullWith(w.Result, ids) {
				return false
			}
		}
		return e.Else == nil || nullWith(e.Else, ids)
	case *Const:
		return e.V == nil || e.V.IsNull(0)
	}
	return false
}

// rejectsNull reports that a condition is not true when all columns of ids are NULL.
func rejectsNull(e Expr, ids colSet) bool {
	if isVolatile(e) {
		return false
	}
	switch x := e.(type) {
	case *Bool:
		switch x.Op {
		case proto.Bool_AND:
			for _, a := range x.Args {
				if rejectsNull(a, ids) {
					return true
				}
			}
			return false
		case proto.Bool_OR:
			for _, a := range x.Args {
				if !rejectsNull(a, ids) {
					return false
				}
			}
			return true
		}
	case *Is:
		switch x.Op {
		case proto.IsTest_NOT_NULL:
			return nullWith(x.Arg, ids)
		case proto.IsTest_TRUE:
			return rejectsNull(x.Arg, ids)
		}
		return false
	}
	return nullWith(e, ids)
}

// innerKind is the kind of a join whose result conds filter: rows that an outer
// join makes up with NULLs and a condition drops need not be made.
func innerKind(kind proto.Join_Kind, conds []Expr, left, right colSet) proto.Join_Kind {
	if kind != proto.Join_LEFT && kind != proto.Join_RIGHT && kind != proto.Join_FULL {
		return kind
	}
	noLeft, noRight := false, false // whether rows without a left or right partner are dropped
	for _, c := range conds {
		noLeft = noLeft || rejectsNull(c, left)
		noRight = noRight || rejectsNull(c, right)
	}
	switch {
	case kind == proto.Join_FULL && noLeft && noRight, kind == proto.Join_LEFT && noRight, kind == proto.Join_RIGHT && noLeft:
		return proto.Join_INNER
	case kind == proto.Join_FULL && noRight:
		return proto.Join_RIGHT
	case kind == proto.Join_FULL && noLeft:
		return proto.Join_LEFT
	}
	return kind
}
