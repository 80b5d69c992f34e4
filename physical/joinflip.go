package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// maxFlipped is up to how many left rows a SEMI or ANTI join holds in place of its
// right side.
const maxFlipped = 1 << 16

// canFlip: NULL rules of MARK need the whole right side, and a scan below the left
// side would begin before it is told what the right one has. It is of use where the
// right side is not small either.
func (j *join) canFlip() bool {
	kind := j.kind == proto.Join_SEMI || j.kind == proto.Join_ANTI
	in := j.n.op.Inputs
	if right := in[1].RowsEstimate; right > 0 && (right < vector.DefaultRows || right < in[0].RowsEstimate) {
		return false
	}
	return kind && len(j.lk) > 0 && len(j.filters) == 0 && !volatileExprs(j.n.op.GetJoin().Residual)
}

// flip reads the left side of a SEMI or ANTI join. If it is small that is what is
// held, and the right side, which may be large, only marks the rows that it
// matches. Otherwise it returns the left side, with what was read of it before the
// rest.
func (j *join) flip(ctx context.Context) (batchSource, error) {
	read := &replayed{rest: j.n.ins[0], mem: j.n.mem}
	var keyBufs []*vector.Batch
	rows, held := 0, int64(0)
	for {
		b, err := j.n.ins[0].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		b = b.Dense()
		keys, err := evalAll(ctx, j.lk, b)
		if err != nil {
			return nil, err
		}
		need := batchBytes(b) + joinTableBytes(b.Rows(), keys, j.isInt)
		for c, x := range j.lk {
			if !isColumn(x) {
				need += vectorBytes(keys[c])
			}
		}
		read.bs, keyBufs = append(read.bs, b), append(keyBufs, vector.NewBatch(keys, b.Rows()))
		rows += b.Rows()
		if rows > maxFlipped || j.n.mem.growWithin(held, need, maxColumnBytes) != nil {
			read.needs = append(read.needs, 0)
			return read, nil
		}
		read.needs = append(read.needs, need)
		held += need
	}
	if rows == 0 {
		j.flipped = &flipPass{}
		return nil, nil
	}
	rts := make([]types.Type, len(j.rk))
	for i, x := range j.rk {
		rts[i] = x.Type
	}
	cols, keys := sideColumns(j.lts, j.lk, read.bs, keyBufs)
	build, err := newJoinBuild(ctx, cols, keys, rts, j.nullSafe, j.isInt, rows)
	if err != nil {
		return nil, err
	}
	build.seen = make([]bool, rows)
	j.tell(build, j.flipFilters)
	j.flipped = &flipPass{j: j, build: build, unseen: rows - len(build.nullRows)}
	return nil, nil
}

// replayed gives batches that were read already, and are charged, before the rest.
type replayed struct {
	bs    []*vector.Batch
	needs []int64 // charged for them
	rest  batchSource
	mem   *Account
}

func (r *replayed) Next(ctx context.Context) (*vector.Batch, error) {
	if len(r.bs) == 0 {
		return r.rest.Next(ctx)
	}
	b := r.bs[0]
	r.mem.Shrink(r.needs[0])
	r.bs[0] = nil
	r.bs, r.needs = r.bs[1:], r.needs[1:]
	return b, nil
}

// flipPass is a SEMI or ANTI join that holds its left side.
type flipPass struct {
	j      *join
	build  *joinBuild // of the left side
	unseen int        // rows that may be found yet
	done   bool       // the right side has been read
	at     int        // next row to give out
}

func (p *flipPass) Next(ctx context.Context) (*vector.Batch, error) {
	if p.build == nil {
		return nil, nil
	}
	for !p.done && p.unseen > 0 {
		b, err := p.j.n.ins[1].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		if err := p.mark(ctx, b); err != nil {
			return nil, err
		}
	}
	p.done = true
	want := p.j.kind == proto.Join_SEMI
	var rows []int32
	limit := p.j.n.env.batchRows()
	for p.at < p.build.rows && len(rows) < limit {
		if p.build.seen[p.at] == want {
			rows = append(rows, int32(p.at))
		}
		p.at++
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return vector.NewBatch(p.build.cols, p.build.rows).Select(rows), nil
}

// mark notes the left rows that rows of the right side match.
func (p *flipPass) mark(ctx context.Context, b *vector.Batch) error {
	keys, err := evalAll(ctx, p.j.rk, b)
	if err != nil {
		return err
	}
	k, err := p.build.probe(ctx, keys, p.j.nullSafe, b.Rows())
	if err != nil || k.hits == 0 {
		return err
	}
	seen, next := p.build.seen, p.build.next
	limit := p.j.n.env.batchRows()
	var right, left []int32
	for i, r := range k.at {
		for r >= 0 {
			if !seen[r] {
				if p.j.residual == nil {
					seen[r] = true
					p.unseen--
				} else {
					right, left = append(right, int32(i)), append(left, r)
				}
			} else if p.j.residual == nil {
				break // and so are the other rows of the key
			}
			if next == nil {
				break
			}
			r = next[r] - 1
		}
		if len(left) >= limit {
			if err := p.test(ctx, b, left, right); err != nil {
				return err
			}
			right, left = nil, nil
		}
	}
	if len(left) > 0 {
		return p.test(ctx, b, left, right)
	}
	return nil
}

// test marks the left rows of pairs that pass the residual.
func (p *flipPass) test(ctx context.Context, b *vector.Batch, left, right []int32) error {
	if err := cancelled(ctx); err != nil {
		return err
	}
	in := vector.NewBatch(nil, len(left)).Beside(p.build.cols, left, false).Append(b.Select(right))
	v, err := p.j.residual.Eval(ctx, in)
	if err != nil {
		return err
	}
	for _, i := range trueRows(flat(v)) {
		if r := left[i]; !p.build.seen[r] {
			p.build.seen[r] = true
			p.unseen--
		}
	}
	return nil
}
