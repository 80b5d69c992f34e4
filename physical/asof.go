package physical

import (
	"bytes"
	"context"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// asofJoin gives every left row with the last right row that is not behind it (with
// strict, that is before it) and has equal keys; see planner.AsofJoin. Both inputs
// are sorted by keys and order. It goes through them once: the state is one row of
// the right side and what is left of a batch of each. Output is in the order of the
// left rows.
type asofJoin struct {
	n             *node
	lk, rk        []*Expr
	orders        []keyOrder
	strict, outer bool
	rts           []types.Type

	l     *asofBatch // nil: read the next
	i     int        // next row of l
	lEnd  bool
	r     *asofBatch // nil: at the end
	j     int        // next row of r
	rOpen bool
	cand  *asofBatch // has the last right row that is not behind the left one
	at    int32
}

// asofBatch is a batch with the prefixes of its keys, and of the order among equal
// keys; whole keys are encoded when prefixes do not decide.
type asofBatch struct {
	b             *vector.Batch
	keys, order   []*vector.Vector
	orders        []keyOrder
	kp, op        prefixes
	kfull, ofull  encodedKeys
	kReady, oDone bool
	null          []bool // rows with a NULL in keys or order; nil for none
}

// maxAsofPieces bounds the right batches that an output batch is made of.
const maxAsofPieces = 32

func newAsofJoin(n *node, op *proto.AsofJoin) (Operator, error) {
	a := &asofJoin{n: n, strict: op.Strict, outer: op.Outer, rts: n.inTypes(1)}
	var err error
	if a.lk, err = n.compileAll(op.LeftKeys, 0); err != nil {
		return nil, err
	}
	if a.rk, err = n.compileAll(op.RightKeys, 1); err != nil {
		return nil, err
	}
	if len(a.lk) != len(a.rk) || len(a.lk) == 0 {
		return nil, pgerr.New(pgerr.InternalError, "ASOF join of %d keys with %d", len(a.lk), len(a.rk))
	}
	for i := range a.lk {
		if x, y := a.lk[i].Type, a.rk[i].Type; x.Phys() != y.Phys() {
			return nil, pgerr.New(pgerr.InternalError, "ASOF join of %s with %s", x, y)
		}
	}
	a.orders = make([]keyOrder, len(a.lk))
	a.orders[len(a.lk)-1].desc = op.After
	return a, nil
}

// read makes the next batch of an input ready to compare; nil at the end.
func (a *asofJoin) read(ctx context.Context, in int, keys []*Expr) (*asofBatch, error) {
	if err := cancelled(ctx); err != nil {
		return nil, err
	}
	b, err := a.n.ins[in].Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	b = b.Dense()
	vs, err := evalAll(ctx, keys, b)
	if err != nil {
		return nil, err
	}
	n, k := b.Rows(), len(keys)-1
	out := &asofBatch{b: b, keys: vs[:k], order: vs[k:], orders: a.orders}
	out.kp = keyPrefixes(out.keys, a.orders[:k], n)
	out.op = keyPrefixes(out.order, a.orders[k:], n)
	for _, v := range vs {
		v = v.Flatten()
		if !v.HasNulls() {
			continue
		}
		if out.null == nil {
			out.null = make([]bool, n)
		}
		for i := range n {
			out.null[i] = out.null[i] || v.IsNull(i)
		}
	}
	return out, nil
}

// compareKeys compares the keys of row i with those of row j of another batch.
func (x *asofBatch) compareKeys(i int, y *asofBatch, j int) int {
	if p, q := x.kp.bits[i], y.kp.bits[j]; p != q {
		if p < q {
			return -1
		}
		return 1
	}
	if x.kp.exact && y.kp.exact {
		return 0
	}
	return bytes.Compare(x.fullKey(i), y.fullKey(j))
}

func (x *asofBatch) fullKey(i int) []byte {
	if len(x.keys) == 0 {
		return nil
	}
	if !x.kReady {
		x.kfull, x.kReady = encodeKeys(x.keys, x.orders[:len(x.keys)], x.b.Rows()), true
	}
	return x.kfull.at(i)
}

// compareOrder does the same with the order.
func (x *asofBatch) compareOrder(i int, y *asofBatch, j int) int {
	if p, q := x.op.bits[i], y.op.bits[j]; p != q {
		if p < q {
			return -1
		}
		return 1
	}
	if x.op.exact && y.op.exact {
		return 0
	}
	return bytes.Compare(x.fullOrder(i), y.fullOrder(j))
}

func (x *asofBatch) fullOrder(i int) []byte {
	if !x.oDone {
		x.ofull, x.oDone = encodeKeys(x.order, x.orders[len(x.keys):], x.b.Rows()), true
	}
	return x.ofull.at(i)
}

// asofPiece is what an output batch takes of one right batch; -1 is no row.
type asofPiece struct {
	b   *vector.Batch
	idx []int32
}

func (a *asofJoin) Next(ctx context.Context) (*vector.Batch, error) {
	for !a.lEnd {
		if a.l == nil {
			l, err := a.read(ctx, 0, a.lk)
			if err != nil {
				return nil, err
			}
			if l == nil {
				a.lEnd = true
				break
			}
			a.l, a.i = l, 0
		}
		if !a.rOpen {
			a.rOpen = true
			if err := a.nextRight(ctx); err != nil {
				return nil, err
			}
		}
		b, err := a.some(ctx)
		if b != nil || err != nil {
			return b, err
		}
	}
	return nil, nil
}

func (a *asofJoin) nextRight(ctx context.Context) (err error) {
	a.r, err = a.read(ctx, 1, a.rk)
	a.j = 0
	return err
}

// some joins the next rows of the left batch; nil when none has given a row.
func (a *asofJoin) some(ctx context.Context) (*vector.Batch, error) {
	l, n := a.l, a.l.b.Rows()
	rows := make([]int32, 0, n-a.i)
	var pieces []asofPiece
	for ; a.i < n; a.i++ {
		found := false
		if l.null == nil || !l.null[a.i] {
			if err := a.advance(ctx); err != nil {
				return nil, err
			}
			found = a.cand != nil && a.cand.compareKeys(int(a.at), l, a.i) == 0
		}
		if !found && !a.outer {
			continue
		}
		last := len(pieces) - 1
		if found && (last < 0 || pieces[last].b != a.cand.b) {
			if last >= 0 && pieces[last].b == nil {
				pieces[last].b = a.cand.b // so far only rows without a partner
			} else if len(pieces) == maxAsofPieces {
				break // the row comes again
			} else {
				pieces = append(pieces, asofPiece{b: a.cand.b})
			}
		} else if last < 0 {
			pieces = append(pieces, asofPiece{})
		}
		r := int32(-1)
		if found {
			r = a.at
		}
		p := &pieces[len(pieces)-1]
		p.idx = append(p.idx, r)
		rows = append(rows, int32(a.i))
	}
	if a.i >= n {
		a.l = nil
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return a.output(l.b, rows, pieces), nil
}

// advance moves the candidate to the last right row that is not behind the left one.
func (a *asofJoin) advance(ctx context.Context) error {
	for a.r != nil {
		n := a.r.b.Rows()
		for ; a.j < n; a.j++ {
			c := a.r.compareKeys(a.j, a.l, a.i)
			if c == 0 {
				c = a.r.compareOrder(a.j, a.l, a.i)
				if c == 0 && a.strict {
					return nil
				}
			}
			if c > 0 {
				return nil
			}
			if a.r.null == nil || !a.r.null[a.j] {
				a.cand, a.at = a.r, int32(a.j)
			}
		}
		if err := a.nextRight(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *asofJoin) output(left *vector.Batch, rows []int32, pieces []asofPiece) *vector.Batch {
	cols := make([]*vector.Vector, 0, left.NumCols()+len(a.rts))
	if len(rows) < left.Rows() {
		left = gatherBatch(left, rows)
	}
	for c := range left.NumCols() {
		cols = append(cols, left.Col(c))
	}
	parts := make([]*vector.Vector, len(pieces))
	for c, t := range a.rts {
		for i, p := range pieces {
			if p.b == nil {
				parts[i] = vector.NewNull(t, len(p.idx))
			} else {
				parts[i] = vector.GatherNull(p.b.Col(c), p.idx)
			}
		}
		if len(parts) == 1 {
			cols = append(cols, parts[0])
		} else {
			cols = append(cols, vector.Concat(parts))
		}
	}
	return vector.NewBatch(cols, len(rows))
}

func (a *asofJoin) Close() error { return a.n.closeInputs() }
