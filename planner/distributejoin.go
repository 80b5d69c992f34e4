package planner

import (
	"slices"

	"github.com/volleydb/volley/proto"
)

func (p *phys) join(n *Join) (*stream, error) {
	l, err := p.lower(n.Left)
	if err != nil {
		return nil, err
	}
	r, err := p.lower(n.Right)
	if err != nil {
		return nil, err
	}
	kind := n.Kind
	lk, rk := n.LeftKeys, n.RightKeys
	// The build side is the right one: make it the smaller where order permits.
	if kind == proto.Join_INNER && r.rows > 2*l.rows && r.rows > 1000 {
		l, r, lk, rk = r, l, rk, lk
	}
	if l, err = p.ensure(l, lk...); err != nil {
		return nil, err
	}
	if r, err = p.ensure(r, rk...); err != nil {
		return nil, err
	}
	rightDrives := kind == proto.Join_RIGHT || kind == proto.Join_FULL
	switch {
	case l.single() && r.single() && (len(lk) == 0 || p.tasksFor(max(l.rows, r.rows), 0) == 1):
	case !rightDrives && (r.rows <= p.b.o.sizes().broadcastRows || len(lk) == 0 || kind == proto.Join_MARK):
		if l.single() {
			r, err = p.gather(r, nil)
		} else {
			r = p.broadcast(r, l.frag.tasks)
		}
	case len(lk) > 0:
		parts := max(p.tasksFor(max(l.rows, r.rows), 0), 2)
		if l, lk, err = p.columnsFor(l, lk); err != nil {
			return nil, err
		}
		if r, rk, err = p.columnsFor(r, rk); err != nil {
			return nil, err
		}
		l, r, err = p.together(l, r, lk, rk, parts)
	default:
		if l, err = p.gather(l, nil); err != nil {
			return nil, err
		}
		r, err = p.gather(r, nil)
	}
	if err != nil {
		return nil, err
	}
	j := &proto.Join{Kind: kind, NullSafe: n.NullSafe}
	if j.LeftKeys, err = lowerExprs(lk, l.layout()); err != nil {
		return nil, err
	}
	if j.RightKeys, err = lowerExprs(rk, r.layout()); err != nil {
		return nil, err
	}
	if n.Cond != nil {
		lr := concatCols(l.cols, r.cols)
		if missing := columnsOf(n.Cond); len(p.outer) > 0 && !idsOf(lr).has(missing) {
			if l, err = p.ensure(l, missingRefs(n.Cond, lr)...); err != nil {
				return nil, err
			}
			// The left columns moved: lower the keys again.
			if j.LeftKeys, err = lowerExprs(lk, l.layout()); err != nil {
				return nil, err
			}
			lr = concatCols(l.cols, r.cols)
		}
		if j.Residual, err = lowerExpr(n.Cond, layoutOf(lr)); err != nil {
			return nil, err
		}
	}
	var cols []Col
	rows := l.rows
	switch kind {
	case proto.Join_SEMI, proto.Join_ANTI:
		cols = l.cols
		rows /= 2
	case proto.Join_MARK:
		cols = concatCols(l.cols, []Col{n.Mark})
	default:
		lc, rc := l.cols, r.cols
		if rightDrives {
			lc = p.withoutOuter(lc)
		}
		if kind == proto.Join_LEFT || kind == proto.Join_FULL {
			rc = p.withoutOuter(rc)
		}
		cols = concatCols(lc, rc)
		if len(lk) == 0 {
			rows *= max(r.rows, 1)
		} else {
			rows = max(rows, r.rows)
		}
	}
	op := p.node(cols, rows, l, r)
	op.Node = &proto.Operator_Join{Join: j}
	f := merge(l.frag, r.frag)
	f = impure(f)
	out := &stream{op: op, cols: cols, frag: f, rows: rows}
	if !rightDrives {
		out.hash = l.hash
	}
	return out, nil
}

// withoutOuter are cols with other names for those of enclosing queries: on the side
// of an outer join that is given with NULLs they are no longer the outer row's.
func (p *phys) withoutOuter(cols []Col) []Col {
	for _, outer := range p.outer {
		ids := idsOf(outer)
		for i, c := range cols {
			if ids[c.ID] {
				cols = slices.Clone(cols)
				cols[i] = p.b.newCol(c.Name, c.T)
			}
		}
	}
	return cols
}

// together brings rows of l and r with equal keys into the same of about parts
// tasks. A side that is partitioned by keys already stays where it is, of two the
// larger.
func (p *phys) together(l, r *stream, lk, rk []Expr, parts int) (*stream, *stream, error) {
	li, ri := l.hashedBy(lk), r.hashedBy(rk)
	stays := func(s *stream, at []int) bool { return at != nil && 2*s.frag.tasks >= parts }
	pick := func(keys []Expr, at []int) []Expr {
		out := make([]Expr, len(at))
		for i, k := range at {
			out[i] = keys[k]
		}
		return out
	}
	var err error
	switch {
	case stays(l, li) && stays(r, ri) && slices.Equal(li, ri) && l.frag.tasks == r.frag.tasks:
	case stays(l, li) && (!stays(r, ri) || l.rows >= r.rows):
		r, err = p.shuffle(r, pick(rk, li), l.frag.tasks)
	case stays(r, ri):
		l, err = p.shuffle(l, pick(lk, ri), r.frag.tasks)
	default:
		if l, err = p.shuffle(l, lk, parts); err == nil {
			r, err = p.shuffle(r, rk, parts)
		}
	}
	return l, r, err
}

// hashedBy are the places among keys of the columns that rows were shuffled by, in
// their order; nil if they were not, or by others.
func (s *stream) hashedBy(keys []Expr) []int {
	if s.single() || len(s.hash) == 0 {
		return nil
	}
	var at []int
	for _, id := range s.hash {
		i := slices.IndexFunc(keys, func(e Expr) bool {
			c, ok := e.(*Column)
			return ok && c.ID == id
		})
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return at
}

// missingRefs are the columns of e that cols do not have.
func missingRefs(e Expr, cols []Col) []Expr {
	have := idsOf(cols)
	var out []Expr
	walk(e, func(e Expr) bool {
		if c, ok := e.(*Column); ok && !have[c.ID] {
			out = append(out, c)
		}
		return true
	})
	return out
}
