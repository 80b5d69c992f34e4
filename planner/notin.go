package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// notIn turns WHERE x NOT IN (subquery) over a large subquery into an anti join,
// whose sides can be partitioned and spilled; a mark join cannot be partitioned,
// since one NULL on its right side concerns every row of the left one. The NULLs are
// counted instead, over one reading of the subquery:
//
//	x NOT IN (s)  =  no row of s equals x
//	                 AND (s is empty OR x IS NOT NULL AND s has no NULL)
//
// read says how often each column is read in the whole plan: a mark that somebody
// else reads stays.
func (b *binder) notIn(n Node, read map[ColID]int, est *estimator) (Node, error) {
	n, err := b.mapInputs(n, func(in Node) (Node, error) { return b.notIn(in, read, est) })
	if err != nil {
		return nil, err
	}
	f, ok := n.(*Filter)
	if !ok {
		return n, nil
	}
	j, ok := f.In.(*Join)
	if !ok || j.Kind != proto.Join_MARK || len(j.LeftKeys) != 1 || j.NullSafe[0] || j.Cond != nil || read[j.Mark.ID] != 1 || isVolatile(j.LeftKeys[0]) {
		return n, nil
	}
	var rest []Expr
	found := false
	for _, c := range conjuncts(nil, f.Cond) {
		if not, ok := c.(*Bool); ok && not.Op == proto.Bool_NOT {
			if m, ok := not.Args[0].(*Column); ok && m.ID == j.Mark.ID {
				found = true
				continue
			}
		}
		rest = append(rest, c)
	}
	if !found || est.of(j.Right).rows <= b.o.sizes().broadcastRows {
		return n, nil
	}

	keyed := &Project{In: j.Right, Exprs: []Expr{j.RightKeys[0]}, Out: []Col{b.newCol("key", j.RightKeys[0].Type())}}
	in, err := b.rules(keyed, idsOf(keyed.Out), est)
	if err != nil {
		return nil, err
	}
	plan := &SharedPlan{Name: "not in", In: inOrder(in, keyed.Out), refs: 2}
	reader := func() (*Shared, Expr) {
		c := b.newCol("key", keyed.Out[0].T)
		return &Shared{Plan: plan, Out: []Col{c}}, c.ref()
	}

	matched, key := reader()
	anti := *j
	anti.Kind, anti.Mark, anti.Right, anti.RightKeys = proto.Join_ANTI, Col{}, matched, []Expr{key}

	counted, key := reader()
	var star *function.Function
	for _, f := range function.Lookup("count") {
		if len(f.Args) == 0 {
			star = f
		}
	}
	null := &Is{Op: proto.IsTest_NULL, Arg: key}
	rows, nulls := b.newCol("rows", types.T(types.Int8)), b.newCol("nulls", types.T(types.Int8))
	counts := &Aggregate{In: counted, Calls: []*AggCall{{F: star, T: rows.T}, {F: star, T: nulls.T, Filter: null}}, Out: []Col{rows, nulls}}

	empty, err := b.operator("=", []Expr{rows.ref(), constInt8(0)}, -1)
	if err != nil {
		return nil, err
	}
	clean, err := b.operator("=", []Expr{nulls.ref(), constInt8(0)}, -1)
	if err != nil {
		return nil, err
	}
	decided := &Bool{Op: proto.Bool_OR, Args: []Expr{empty, and(&Is{Op: proto.IsTest_NOT_NULL, Arg: j.LeftKeys[0]}, clean)}}
	return &Filter{In: &Join{Kind: proto.Join_CROSS, Left: &anti, Right: counts}, Cond: and(append(rest, decided)...)}, nil
}

// columnReads counts how often a plan's expressions read each column, with once
// for what the plan itself is asked for.
func columnReads(n Node, need colSet) map[ColID]int {
	read := map[ColID]int{}
	for id := range need {
		read[id]++
	}
	var visit func(Node)
	visit = func(n Node) {
		nodeExprs(n, func(e Expr) {
			walk(e, func(e Expr) bool {
				if c, ok := e.(*Column); ok {
					read[c.ID]++
				}
				return true
			})
		})
		for _, in := range n.Inputs() {
			visit(in)
		}
	}
	visit(n)
	return read
}
