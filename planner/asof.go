package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
)

// AsofJoin gives every left row with the one right row that has the same keys and
// is nearest in order: the last one not after it, or (After) the first one not
// before it; with Strict also not at it. Left rows without one are dropped or
// (Outer) given with NULLs. Right rows with a NULL in keys or order do not reach it.
//
// It is planned as a merge: both sides are partitioned by the hash of the keys (or
// the right side, when it is small, is copied to the left one's tasks), every task
// sorts its part of both by keys and order, and a streaming operator goes through
// them once, holding one right row. So the work is that of two sorts, spread by the
// keys over all tasks, it spills as sorts do, and of right rows that tie in order
// the last one in input order is taken, for any number of workers. A union of both
// sides under a window (last_value IGNORE NULLS) would be the same sort over wider
// rows and a call per right column; a hash table of sorted arrays would have to hold
// the right side in memory.
type AsofJoin struct {
	Left, Right         Node
	LeftKeys, RightKeys []Expr
	LeftAt, RightAt     Expr
	After, Strict       bool
	Outer               bool
}

// Cols are the left columns, then the right ones.
func (n *AsofJoin) Cols() []Col { return concatCols(n.Left.Cols(), n.Right.Cols()) }

// Inputs are both sides.
func (n *AsofJoin) Inputs() []Node { return []Node{n.Left, n.Right} }

func (n *AsofJoin) exprs() []Expr {
	es := append(append([]Expr(nil), n.LeftKeys...), n.RightKeys...)
	return append(es, n.LeftAt, n.RightAt)
}

// joinMark takes the mark of ASOF, SEMI or ANTI off the left side of a join; see
// parser/clauses.go.
func joinMark(larg *pg.Node) (*pg.Node, string) {
	j := larg.GetJoinExpr()
	if j == nil || j.Alias != nil || j.Quals != nil || len(j.UsingClause) > 0 || j.IsNatural || j.Jointype != pg.JoinType_JOIN_INNER {
		return larg, ""
	}
	items := j.Rarg.GetRangeFunction().GetFunctions()
	if len(items) != 1 || len(items[0].GetList().GetItems()) == 0 {
		return larg, ""
	}
	for _, kind := range []string{"asof", "semi", "anti"} {
		if callsOnly(items[0].GetList().Items[0], "volley_"+kind) {
			return j.Larg, kind
		}
	}
	return larg, ""
}

// markedKind is the kind of a join with a mark.
func (b *binder) markedKind(mark string, kind proto.Join_Kind, loc int32) (proto.Join_Kind, error) {
	switch {
	case mark == "asof" && (kind == proto.Join_INNER || kind == proto.Join_LEFT):
		return kind, nil
	case mark == "semi" && kind == proto.Join_INNER:
		return proto.Join_SEMI, nil
	case mark == "anti" && kind == proto.Join_INNER:
		return proto.Join_ANTI, nil
	}
	return kind, b.unsupported(loc, "this kind of ASOF, SEMI or ANTI JOIN")
}

// asofJoin plans ASOF [LEFT] JOIN with its bound condition.
func (sc *selectCtx) asofJoin(l, r Node, cond Expr, outer bool, loc int32) (Node, error) {
	b := sc.b
	left, right := idsOf(l.Cols()), idsOf(r.Cols())
	if freeColumns(r).meets(left) {
		return nil, b.unsupported(loc, "a LATERAL item on the right of ASOF JOIN")
	}
	refuse := func(what string) error {
		return pgerr.New(pgerr.SyntaxError, "%s", what).
			WithHint("Write a ASOF JOIN b ON a.k = b.k AND a.t >= b.t, with one of >=, >, <= and < and any number of =.").At(b.pos(loc))
	}
	n := &AsofJoin{Outer: outer}
	var lcond, rcond []Expr
	for _, c := range conjuncts(nil, cond) {
		cs := columnsOf(c)
		if isVolatile(c) {
			return nil, b.unsupported(loc, "a volatile function in the condition of ASOF JOIN")
		}
		if !cs.meets(left) {
			rcond = append(rcond, c) // which right rows there are to find
			continue
		}
		if !cs.meets(right) {
			if outer {
				return nil, b.unsupported(loc, "a condition over the left side alone in ASOF LEFT JOIN")
			}
			lcond = append(lcond, c)
			continue
		}
		if x, y, nullSafe, ok := b.equalKey(c, left, right); ok && !nullSafe {
			n.LeftKeys, n.RightKeys = append(n.LeftKeys, x), append(n.RightKeys, y)
			continue
		}
		call, ok := c.(*Call)
		if !ok || len(call.Args) != 2 || !isInequality(call.F.Op) {
			return nil, refuse("the condition of ASOF JOIN may have equalities and one inequality between the two sides only")
		}
		if n.LeftAt != nil {
			return nil, refuse("the condition of ASOF JOIN has more than one inequality")
		}
		op, x, y := call.F.Op, call.Args[0], call.Args[1]
		if columnsOf(x).meets(right) {
			x, y, op = y, x, map[string]string{">=": "<=", "<=": ">=", ">": "<", "<": ">"}[op]
		}
		if columnsOf(x).meets(right) || columnsOf(y).meets(left) {
			return nil, refuse("each operand of the inequality of ASOF JOIN must be of one side")
		}
		var err error
		if n.LeftAt, n.RightAt, err = b.comparable(x, y); err != nil {
			return nil, b.at(err, loc)
		}
		n.After, n.Strict = op[0] == '<', len(op) == 1
	}
	if n.LeftAt == nil {
		return nil, refuse("the condition of ASOF JOIN has no inequality between the two sides")
	}
	for _, e := range append(n.RightKeys[:len(n.RightKeys):len(n.RightKeys)], n.RightAt) {
		rcond = append(rcond, &Is{Op: proto.IsTest_NOT_NULL, Arg: e})
	}
	n.Left, n.Right = filter(l, lcond), filter(r, rcond)
	return n, nil
}

func isInequality(op string) bool {
	switch op {
	case ">=", ">", "<=", "<":
		return true
	}
	return false
}

// pushAsof moves conditions over left columns below the join; those over its keys
// hold for the right rows, too.
func (b *binder) pushAsof(n *AsofJoin, conds []Expr) (Node, error) {
	j := *n
	left, right := idsOf(n.Left.Cols()), idsOf(n.Right.Cols())
	by := map[ColID]Expr{}
	keys := colSet{}
	for i, k := range n.LeftKeys {
		if c, ok := k.(*Column); ok && c.T == n.RightKeys[i].Type() {
			by[c.ID] = n.RightKeys[i]
			keys[c.ID] = true
		}
	}
	var toLeft, toRight, stay []Expr
	for _, c := range conds {
		cs := columnsOf(c)
		if n.Outer && rejectsNull(c, right) {
			j.Outer = false
		}
		if isVolatile(c) || len(cs) == 0 || !left.has(cs) {
			stay = append(stay, c)
			continue
		}
		toLeft = append(toLeft, c)
		if keys.has(cs) && !hasUDF(c) {
			toRight = append(toRight, substitute(c, by))
		}
	}
	var err error
	if j.Left, err = b.pushDown(n.Left, toLeft); err != nil {
		return nil, err
	}
	if j.Right, err = b.pushDown(n.Right, toRight); err != nil {
		return nil, err
	}
	return filter(&j, stay), nil
}

// asof plans an AsofJoin.
func (p *phys) asof(n *AsofJoin) (*stream, error) {
	side := func(in Node, keys []Expr, at Expr) (*stream, []Expr, error) {
		s, err := p.lower(in)
		if err != nil {
			return nil, nil, err
		}
		es := append(keys[:len(keys):len(keys)], at)
		if s, err = p.ensure(s, es...); err != nil {
			return nil, nil, err
		}
		return p.columnsFor(s, es)
	}
	l, lk, err := side(n.Left, n.LeftKeys, n.LeftAt)
	if err != nil {
		return nil, err
	}
	r, rk, err := side(n.Right, n.RightKeys, n.RightAt)
	if err != nil {
		return nil, err
	}
	keys := len(n.LeftKeys)
	parts := p.tasksFor(max(l.rows, r.rows), 0)
	merged := false // the left rows come in order
	switch {
	case l.single() && r.single() && (parts == 1 || keys == 0):
	case l.single() && parts == 1:
		r, err = p.gather(r, nil)
	case r.rows <= p.b.o.sizes().broadcastRows && !l.single():
		r = p.broadcast(r, l.frag.tasks)
	case keys > 0:
		parts = max(parts, 2)
		if l, err = p.shuffle(l, lk[:keys], parts); err != nil {
			return nil, err
		}
		r, err = p.shuffle(r, rk[:keys], parts)
	default: // nothing to partition by
		if l, err = p.sorted(l, asofOrder(lk, n.After), 0); err != nil {
			return nil, err
		}
		r, err = p.sorted(r, asofOrder(rk, n.After), 0)
		merged = true
	}
	if err != nil {
		return nil, err
	}
	if !merged {
		if l, err = p.sort(l, asofOrder(lk, n.After), 0); err != nil {
			return nil, err
		}
		if r, err = p.sort(r, asofOrder(rk, n.After), 0); err != nil {
			return nil, err
		}
	}
	j := &proto.AsofJoin{After: n.After, Strict: n.Strict, Outer: n.Outer}
	if j.LeftKeys, err = lowerExprs(lk, l.layout()); err != nil {
		return nil, err
	}
	if j.RightKeys, err = lowerExprs(rk, r.layout()); err != nil {
		return nil, err
	}
	cols := concatCols(l.cols, r.cols)
	op := p.node(cols, l.rows, l, r)
	op.Node = &proto.Operator_AsofJoin{AsofJoin: j}
	return &stream{op: op, cols: cols, frag: impure(merge(l.frag, r.frag)), hash: l.hash, rows: l.rows}, nil
}

// asofOrder is the order of the merge: by keys, then away from the row that is
// looked for.
func asofOrder(es []Expr, after bool) []SortKey {
	ks := make([]SortKey, len(es))
	for i, e := range es {
		ks[i].Expr = e
	}
	ks[len(es)-1].Desc = after
	return ks
}
