package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// joinPass probes one build side with left rows.
type joinPass struct {
	j        *join
	build    *joinBuild
	left     batchSource
	leftFile *spillFile // closed at the end; nil for the operator's input
	held     int64
	shared   *sharedBuild // whose build it is; nil: its own
	limit    int          // pairs per output batch
	numbered bool         // left rows have numbers, which the output has, too

	b    *vector.Batch // current left batch
	p    *probeKeys
	row  int   // next left row
	cand int32 // next candidate of row, when inRow
	in   bool  // in the middle of row's candidates
	hit  bool  // row has matched, as far as its candidates were tested
	lost bool  // the left side has ended
	at   int   // RIGHT, FULL: next build row to look at after that
}

func (p *joinPass) close() {
	p.leftFile.close()
	p.j.n.mem.Shrink(p.held)
	if p.shared != nil {
		p.j.n.env.Builds.release(p.shared)
		p.shared = nil
	}
	p.held, p.build, p.b, p.p = 0, nil, nil, nil
}

func (p *joinPass) Next(ctx context.Context) (*vector.Batch, error) {
	for !p.lost {
		if p.b == nil {
			b, err := p.left.Next(ctx)
			if err != nil {
				return nil, err
			}
			if b == nil {
				p.lost = true
				break
			}
			keys, err := evalAll(ctx, p.j.lk, b)
			if err != nil {
				return nil, err
			}
			p.b, p.row, p.in, p.hit = b, 0, false, false
			if p.p, err = p.build.probe(ctx, keys, p.j.nullSafe, b.Rows()); err != nil {
				return nil, err
			}
		}
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		out, err := p.some(ctx)
		if err != nil {
			return nil, err
		}
		if p.row >= p.b.Rows() {
			p.b = nil
		}
		if out != nil && out.Rows() > 0 {
			return out, nil
		}
	}
	return p.unmatched()
}

// some joins the next rows of the current batch.
func (p *joinPass) some(ctx context.Context) (*vector.Batch, error) {
	j := p.j
	switch j.kind {
	case proto.Join_SEMI, proto.Join_ANTI, proto.Join_MARK:
		if j.residual == nil {
			return p.exists(ctx)
		}
		return p.existsResidual(ctx)
	}
	outer := j.kind == proto.Join_LEFT || j.kind == proto.Join_FULL
	var ps pairs
	switch {
	case len(j.lk) == 0 || p.build.next != nil || outer && j.residual != nil:
		ps = p.collect(outer, j.residual != nil)
	default:
		if p.row = p.b.Rows(); outer {
			ps = pairs{nil, p.p.at}
		} else {
			ps = p.p.unique()
		}
	}
	if j.residual != nil && !outer {
		return p.passing(ctx, ps)
	}
	if j.residual != nil {
		keep, err := p.test(ctx, ps)
		if err != nil {
			return nil, err
		}
		ol, or := ps.left[:0], ps.right[:0]
		for i, r := range ps.right {
			switch {
			case r < 0: // the end of the row's candidates
				if !p.hit {
					ol, or = append(ol, ps.left[i]), append(or, -1)
				}
				p.hit = false
			case keep[i]:
				p.hit = true
				ol, or = append(ol, ps.left[i]), append(or, r)
			}
		}
		ps = pairs{ol, or}
	}
	p.see(ps.right)
	if len(ps.right) == 0 {
		return nil, nil
	}
	return p.joined(ps, outer), nil
}

// see marks build rows that have matched.
func (p *joinPass) see(rows []int32) {
	if p.build.seen == nil {
		return
	}
	for _, r := range rows {
		if r >= 0 {
			p.build.seen[r] = true
		}
	}
}

// joined returns pairs as a batch of the columns of both sides, which copies none.
func (p *joinPass) joined(ps pairs, null bool) *vector.Batch {
	b := p.b
	if ps.left != nil {
		b = b.Select(ps.left)
	}
	out := b.Beside(p.build.cols, ps.right, null)
	if p.numbered {
		return out.Project(p.numberLast(len(p.build.cols)))
	}
	return out
}

// numberLast moves the column after those of the left side behind n others.
func (p *joinPass) numberLast(n int) []int {
	k := len(p.j.lts)
	var idx []int
	for i := range k + 1 + n {
		if i != k {
			idx = append(idx, i)
		}
	}
	return append(idx, k)
}

// passing returns the pairs that pass the residual.
func (p *joinPass) passing(ctx context.Context, ps pairs) (*vector.Batch, error) {
	if len(ps.right) == 0 {
		return nil, nil
	}
	b := p.joined(ps, false)
	v, err := p.j.residual.Eval(ctx, b)
	if err != nil {
		return nil, err
	}
	rows := trueRows(flat(v))
	if p.build.seen != nil {
		for _, i := range rows {
			p.build.seen[ps.right[i]] = true
		}
	}
	return selectRows(b, rows), nil
}

// collect gathers up to limit candidate pairs. With outer a left row without any
// gives (row, -1); with ends every row does after its candidates.
func (p *joinPass) collect(outer, ends bool) pairs {
	n := p.b.Rows()
	lp := make([]int32, 0, min(p.limit, 2*n)+8)
	rp := make([]int32, 0, min(p.limit, 2*n)+8)
	first, next, rows := p.p.at, p.build.next, int32(p.build.rows)
	every := len(p.j.lk) == 0
	for p.row < n && len(lp) < p.limit {
		r := p.cand
		if !p.in {
			r = first[p.row]
			if r < 0 {
				if outer {
					lp, rp = append(lp, int32(p.row)), append(rp, -1)
				}
				p.row++
				continue
			}
		}
		for r >= 0 && len(lp) < p.limit {
			lp, rp = append(lp, int32(p.row)), append(rp, r)
			switch {
			case every:
				if r++; r == rows {
					r = -1
				}
			case next == nil:
				r = -1
			default:
				r = next[r] - 1
			}
		}
		if r >= 0 {
			p.in, p.cand = true, r
			return pairs{lp, rp}
		}
		p.in = false
		if outer && ends {
			lp, rp = append(lp, int32(p.row)), append(rp, -1)
		}
		p.row++
	}
	return pairs{lp, rp}
}

// test evaluates the residual for pairs of collect; those without a right row are
// false.
func (p *joinPass) test(ctx context.Context, ps pairs) ([]bool, error) {
	keep := make([]bool, len(ps.left))
	at, l, r := make([]int32, 0, len(keep)), make([]int32, 0, len(keep)), make([]int32, 0, len(keep))
	for i, x := range ps.right {
		if x >= 0 {
			at, l, r = append(at, int32(i)), append(l, ps.left[i]), append(r, x)
		}
	}
	if len(at) == 0 {
		return keep, nil
	}
	v, err := p.j.residual.Eval(ctx, p.joined(pairs{l, r}, false))
	if err != nil {
		return nil, err
	}
	for _, i := range trueRows(flat(v)) {
		keep[at[i]] = true
	}
	return keep, nil
}

// exists answers SEMI, ANTI and MARK for the whole batch by the keys alone.
func (p *joinPass) exists(ctx context.Context) (*vector.Batch, error) {
	p.row = p.b.Rows()
	if p.j.kind == proto.Join_MARK {
		found := make([]bool, p.row)
		for i, r := range p.p.at {
			found[i] = r >= 0
		}
		return p.mark(ctx, p.b, found, 0)
	}
	want, hits := int32(0), p.p.hits
	if p.j.kind == proto.Join_ANTI {
		want, hits = -1, p.row-hits
	}
	switch hits {
	case 0:
		return nil, nil
	case p.row:
		return p.b, nil
	}
	sel := dirtyInts(p.row)
	k := 0
	for i, r := range p.p.at {
		sel[k] = int32(i)
		k += int((r>>31 ^ want) + 1) // r>>31 is -1 without a match, else 0
	}
	return p.b.Select(sel[:k:k]), nil
}

// existsResidual answers them where a match must also pass the residual, for the
// rows whose candidates end in this round.
func (p *joinPass) existsResidual(ctx context.Context) (*vector.Batch, error) {
	from := p.row
	ps := p.collect(true, true)
	keep, err := p.test(ctx, ps)
	if err != nil {
		return nil, err
	}
	found := make([]bool, 0, p.row-from)
	for i, r := range ps.right {
		switch {
		case r < 0:
			found = append(found, p.hit)
			p.hit = false
		case keep[i]:
			p.hit = true
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	return p.answer(ctx, found, from)
}

// answer turns found, of the rows from from on, into output.
func (p *joinPass) answer(ctx context.Context, found []bool, from int) (*vector.Batch, error) {
	rows := p.b.Slice(from, from+len(found))
	if p.j.kind == proto.Join_MARK {
		return p.mark(ctx, rows, found, from)
	}
	want := p.j.kind == proto.Join_SEMI
	sel := make([]int32, 0, len(found))
	for i, f := range found {
		if f == want {
			sel = append(sel, int32(i))
		}
	}
	return selectRows(rows, sel), nil
}

// mark adds the value of x IN (right side): NULL instead of false where the
// comparison with some right row is NULL.
func (p *joinPass) mark(ctx context.Context, rows *vector.Batch, found []bool, from int) (*vector.Batch, error) {
	out := vector.FromSlice(boolType, found)
	j := p.j
	simple := len(j.lk) == 1 && j.residual == nil
	for i, f := range found {
		if f || len(j.lk) == 0 {
			continue
		}
		null := p.p.null != nil && p.p.null[from+i]
		unknown := false
		switch {
		case simple:
			unknown = null && j.anyRight || j.nullRight
		case null || len(p.build.nullRows) > 0:
			var err error
			if unknown, err = p.unknown(ctx, from+i, null); err != nil {
				return nil, err
			}
		}
		if unknown {
			if out.Valid == nil {
				out.Valid = vector.NewValid(len(found))
			}
			vector.SetNull(out.Valid, i)
		}
	}
	b := vector.NewBatch(append(append([]*vector.Vector(nil), rows.Cols()...), out), len(found))
	if p.numbered {
		b = b.Project(p.numberLast(1))
	}
	return b, nil
}

// unknown looks for a right row that a left row may equal but for NULLs and that
// passes the residual.
func (p *joinPass) unknown(ctx context.Context, row int, null bool) (bool, error) {
	var cands []int32
	test := func(r int32) {
		if p.build.mayEqual(p.p, row, r, p.j.nullSafe) {
			cands = append(cands, r)
		}
	}
	if null {
		for r := range p.build.rows {
			test(int32(r))
		}
	} else {
		for _, r := range p.build.nullRows {
			test(r)
		}
	}
	if len(cands) == 0 || p.j.residual == nil {
		return len(cands) > 0, nil
	}
	lp := make([]int32, len(cands))
	for i := range lp {
		lp[i] = int32(row)
	}
	keep, err := p.test(ctx, pairs{lp, cands})
	if err != nil {
		return false, err
	}
	for _, k := range keep {
		if k {
			return true, nil
		}
	}
	return false, nil
}

// unmatched gives the right rows that found no match.
func (p *joinPass) unmatched() (*vector.Batch, error) {
	if p.build.seen == nil {
		return nil, nil
	}
	var rows []int32
	for p.at < p.build.rows && len(rows) < p.limit {
		if !p.build.seen[p.at] {
			rows = append(rows, int32(p.at))
		}
		p.at++
	}
	if len(rows) == 0 {
		return nil, nil
	}
	cols := make([]*vector.Vector, 0, len(p.j.lts)+len(p.j.rts))
	for _, t := range p.j.lts {
		cols = append(cols, vector.NewNull(t, len(rows)))
	}
	for c := range p.j.rts {
		cols = append(cols, vector.Gather(p.build.cols[c], rows))
	}
	if p.numbered {
		cols = append(cols, vector.Gather(p.build.number, rows))
	}
	return vector.NewBatch(cols, len(rows)), nil
}
