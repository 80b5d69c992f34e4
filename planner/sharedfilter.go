package planner

import "github.com/volleydb/volley/proto"

// maxReaders is up to how many readers of a CTE have their conditions looked at.
const maxReaders = 16

// filterShared gives every plan with several readers the rows that one of them
// wants: the OR of the conditions under which they read it, which then moves
// towards its scans. The readers keep theirs.
func (b *binder) filterShared(n Node) (Node, error) {
	var plans []*SharedPlan
	_ = sharedPlans(n, map[*SharedPlan]bool{}, func(s *SharedPlan) error {
		plans = append(plans, s)
		return nil
	})
	if len(plans) == 0 {
		return n, nil
	}
	n, err := b.pushed(n, nil)
	if err != nil {
		return nil, err
	}
	readers := map[*SharedPlan][]Expr{}
	collectReaders(n, nil, readers)
	// A plan comes before those that read it: from the last to the first, all
	// readers are known.
	for i := len(plans) - 1; i >= 0; i-- {
		s := plans[i]
		var conds []Expr
		if !reads(s.In, s) {
			conds = anyOf(readers[s])
		}
		cols := s.In.Cols()
		in, err := b.pushed(s.In, conds)
		if err != nil {
			return nil, err
		}
		s.In = inOrder(in, cols)
		collectReaders(s.In, nil, readers)
	}
	return n, nil
}

func (b *binder) pushed(n Node, conds []Expr) (Node, error) {
	n, err := b.decorrelate(n)
	if err != nil {
		return nil, err
	}
	return b.pushDown(n, conds)
}

// collectReaders notes the condition of every reader over the columns of what it
// reads, nil for one without. cond is what filters n.
func collectReaders(n Node, cond Expr, into map[*SharedPlan][]Expr) {
	switch x := n.(type) {
	case *Filter:
		collectReaders(x.In, x.Cond, into)
		return
	case *Shared:
		own := idsOf(x.Out)
		by := map[ColID]Expr{}
		for i, c := range x.Plan.In.Cols() {
			if i < len(x.Out) {
				by[x.Out[i].ID] = c.ref()
			}
		}
		var mine []Expr
		for _, c := range conjuncts(nil, cond) {
			if cs := columnsOf(c); len(cs) > 0 && own.has(cs) && !isVolatile(c) && !hasUDF(c) {
				mine = append(mine, substitute(c, by))
			}
		}
		into[x.Plan] = append(into[x.Plan], and(mine...))
		return
	}
	for _, in := range n.Inputs() {
		collectReaders(in, nil, into)
	}
}

// anyOf are conditions that hold of all rows that one of the readers wants.
func anyOf(readers []Expr) []Expr {
	if len(readers) == 0 || len(readers) > maxReaders {
		return nil
	}
	var list []Expr
	for _, r := range readers {
		if r == nil {
			return nil
		}
		if !contains(list, r) {
			list = append(list, r)
		}
	}
	if len(list) == 1 {
		return terms(list[0])
	}
	return terms(&Bool{Op: proto.Bool_OR, Args: list})
}

// reads reports that n reads a shared plan, itself or through others.
func reads(n Node, s *SharedPlan) bool {
	if x, ok := n.(*Shared); ok {
		return x.Plan == s
	}
	for _, in := range n.Inputs() {
		if reads(in, s) {
			return true
		}
	}
	return false
}

// foldCond folds what a substitution has made constant in a condition, of which
// only matters whether it is true.
func (b *binder) foldCond(e Expr) Expr {
	x, ok := e.(*Bool)
	if !ok || x.Op == proto.Bool_NOT {
		return b.refold(e)
	}
	or := x.Op == proto.Bool_OR
	out := &Bool{Op: x.Op}
	for _, a := range x.Args {
		a = b.foldCond(a)
		c, is := a.(*Const)
		switch {
		case is && isTrue(c) == or:
			return boolConst(or)
		case is: // neither true in an AND, nor false or NULL in an OR, decides
		default:
			out.Args = append(out.Args, a)
		}
	}
	switch len(out.Args) {
	case 0:
		return boolConst(!or)
	case 1:
		return out.Args[0]
	}
	return out
}
