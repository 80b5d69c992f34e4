package physical

import (
	"context"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// sortOp sorts its input, stably. See sorter for how.
type sortOp struct {
	n      *node
	s      *sorter
	loaded bool
}

func newSort(n *node, op *proto.Sort) (Operator, error) {
	keys, err := compileSortKeys(n.env, op.Keys, n.inTypes(0))
	if err != nil {
		return nil, err
	}
	return &sortOp{n: n, s: newSorter(n, n.types, keys, op.Limit)}, nil
}

func (s *sortOp) Next(ctx context.Context) (*vector.Batch, error) {
	for !s.loaded {
		b, err := s.n.ins[0].Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			s.loaded = true
			break
		}
		if err := s.s.add(ctx, b); err != nil {
			return nil, err
		}
	}
	return s.s.Next(ctx)
}

func (s *sortOp) Close() error {
	s.s.close()
	return s.n.closeInputs()
}

// sorter collects rows and gives them back in order; rows with equal keys keep
// the order in which they were added.
//
// In memory: the keys are packed into 64 bits where their ranges allow and sorted
// by radix, else encoded as bytes, sorted by radix on the first eight that differ
// and by comparison among equals; then the columns are gathered batch by batch.
// A single key with few values is not sorted but counted: see sortGroups.
// Over budget, sorted runs go to disk and are merged, 32 at a time. With a limit
// only the first rows are kept, and a row that sorts behind the last of them is
// dropped at once.
type sorter struct {
	n      *node
	ts     []types.Type
	keys   *sortKeys
	limit  int64 // 0 = all
	buf    []*vector.Batch
	rows   int
	held   int64      // bytes charged
	run    *spillFile // of addToRun, the last of runs; or nil
	levels []int      // of runs, where addToRun made them: how often they were merged
	runs   []*spillFile
	cutoff []byte // with a limit: keys not below it are of no use
	// cutPrefix is the prefix of the cutoff.
	cutPrefix uint64

	sorted *vector.Batch // the rows in memory
	order  []int32
	at     int
	pieces []sortPiece // in place of sorted, where sortGroups applies
	merge  *merger
	ready  bool
	left   int64 // rows still to give, with a limit
}

const (
	mergeFanIn = 32
	// sortRowBytes is what sorting needs per row beside the row: keys and order.
	sortRowBytes = 40
	// maxSortBytes keeps a run's columns within 32-bit offsets.
	maxSortBytes = 1 << 30
)

func newSorter(n *node, ts []types.Type, keys *sortKeys, limit int64) *sorter {
	return &sorter{n: n, ts: ts, keys: keys, limit: limit, left: limit}
}

func (s *sorter) add(ctx context.Context, b *vector.Batch) error {
	if s.cutoff != nil {
		rows, err := s.below(ctx, b)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		b = selectRows(b, rows)
	}
	b = b.Dense()
	need := batchBytes(b) + int64(b.Rows())*sortRowBytes
	if s.held+need > maxSortBytes && s.n.env.SpillDir != "" && len(s.buf) > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
	}
	if s.held+need > maxColumnBytes && len(s.buf) > 0 {
		return s.n.mem.tooLarge()
	}
	if err := s.n.mem.Grow(need); err != nil {
		if s.n.env.SpillDir == "" {
			return err
		}
		if len(s.buf) > 0 {
			if err := s.spill(ctx); err != nil {
				return err
			}
		}
		if err := s.n.mem.Must(need); err != nil {
			return err
		}
	}
	s.held += need
	s.buf = append(s.buf, b)
	s.rows += b.Rows()
	if s.limit > 0 && int64(s.rows) >= 2*s.limit+8192 {
		return s.prune(ctx)
	}
	return nil
}

// below returns the rows whose keys are below the cutoff.
func (s *sorter) below(ctx context.Context, b *vector.Batch) ([]int32, error) {
	n := b.Rows()
	vs, err := evalAll(ctx, s.keys.exprs, b)
	if err != nil {
		return nil, err
	}
	p := keyPrefixes(vs, s.keys.orders, n)
	var rows []int32
	tied := 0
	for i, k := range p.bits {
		if k <= s.cutPrefix {
			rows = append(rows, int32(i))
			if k == s.cutPrefix {
				tied++
			}
		}
	}
	if tied == 0 {
		return rows, nil
	}
	for c := range vs {
		vs[c] = vector.Gather(vs[c], rows)
	}
	k := encodeKeys(vs, s.keys.orders, len(rows))
	kept := rows[:0]
	for i, r := range rows {
		if string(k.at(i)) < string(s.cutoff) {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// load concatenates what is buffered and sorts it.
func (s *sorter) load(ctx context.Context) (*vector.Batch, []int32, error) {
	all := s.keys.rankText(dropInto(s.ts, s.buf, vector.Join))
	s.buf, s.rows = nil, 0
	order, err := s.keys.sortRows(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	if s.limit > 0 && int64(len(order)) > s.limit {
		order = order[:s.limit]
	}
	return all, order, nil
}

// concatAndDrop concatenates column by column and drops each input column at
// once, so that the rows are held twice for one column only.
func concatAndDrop(ts []types.Type, bs []*vector.Batch) *vector.Batch {
	return dropInto(ts, bs, vector.Concat)
}

// dropInto is concatAndDrop with Concat or Join.
func dropInto(ts []types.Type, bs []*vector.Batch, concat func([]*vector.Vector) *vector.Vector) *vector.Batch {
	n := 0
	parts := make([][]*vector.Vector, len(ts))
	for i, b := range bs {
		n += b.Rows()
		for c := range ts {
			parts[c] = append(parts[c], b.Col(c))
		}
		bs[i] = nil
	}
	cols := make([]*vector.Vector, len(ts))
	for c, t := range ts {
		if len(parts[c]) == 0 {
			cols[c] = vector.New(t, 0)
			continue
		}
		cols[c] = concat(parts[c])
		parts[c] = nil
	}
	return vector.NewBatch(cols, n)
}

// prune keeps the first limit rows and remembers the last one's key.
func (s *sorter) prune(ctx context.Context) error {
	all, order, err := s.load(ctx)
	if err != nil {
		return err
	}
	b := gatherBatch(all, order)
	if int64(len(order)) == s.limit {
		last := b.Slice(b.Rows()-1, b.Rows())
		k, err := s.keys.encode(ctx, last)
		if err != nil {
			return err
		}
		s.cutoff = append([]byte(nil), k.at(0)...)
		vs, err := evalAll(ctx, s.keys.exprs, last)
		if err != nil {
			return err
		}
		s.cutPrefix = keyPrefixes(vs, s.keys.orders, 1).bits[0]
	}
	s.n.mem.Shrink(s.held)
	s.held = batchBytes(b) + int64(b.Rows())*sortRowBytes
	s.buf, s.rows = []*vector.Batch{b}, b.Rows()
	return s.n.mem.Must(s.held)
}

func gatherBatch(b *vector.Batch, rows []int32) *vector.Batch {
	if consecutive(rows) {
		// Input that was in order, such as a partition of one group.
		return b.Slice(int(rows[0]), int(rows[0])+len(rows))
	}
	cols := make([]*vector.Vector, b.NumCols())
	for c := range cols {
		cols[c] = vector.Gather(b.Col(c), rows)
	}
	return vector.NewBatch(cols, len(rows))
}

func consecutive(rows []int32) bool {
	for i, r := range rows {
		if r != rows[0]+int32(i) {
			return false
		}
	}
	return len(rows) > 0
}

// addToRun is add for rows that come in order until endRun. A few are kept, beyond the
// budget if need be, since a file for each of many small runs would cost more than they
// hold; the others go to a file as they come.
func (s *sorter) addToRun(ctx context.Context, b *vector.Batch) error {
	if s.run == nil {
		b = b.Dense()
		need := batchBytes(b) + int64(b.Rows())*sortRowBytes
		if s.held+need <= 2*spillBlock {
			if err := s.n.mem.Must(need); err != nil {
				return err
			}
			s.held += need
			s.buf, s.rows = append(s.buf, b), s.rows+b.Rows()
			return nil
		}
		if len(s.buf) > 0 {
			if err := s.spill(ctx); err != nil {
				return err
			}
			if err := s.oneMore(ctx); err != nil {
				return err
			}
		}
		s.run = newSpillFile(s.n.env, s.n.stats, s.ts)
		s.runs = append(s.runs, s.run)
	}
	return s.run.write(ctx, b)
}

// endRun says that what comes next is not in the order of what came before. Runs that
// have become many are merged, level by level, so that few files are open.
func (s *sorter) endRun(ctx context.Context) error {
	if s.run == nil {
		return nil
	}
	err := s.run.done()
	s.run = nil
	if err != nil {
		return err
	}
	return s.oneMore(ctx)
}

// oneMore notes a run that has ended.
func (s *sorter) oneMore(ctx context.Context) (err error) {
	s.levels = append(s.levels, 0)
	for n := len(s.runs); err == nil && n >= mergeFanIn && s.levels[n-1] == s.levels[n-mergeFanIn]; n = len(s.runs) {
		from := n - mergeFanIn
		var f *spillFile
		f, err = s.mergeRuns(ctx, s.runs[from:])
		if f == nil {
			return err
		}
		for _, r := range s.runs[from:] {
			r.close()
		}
		s.runs = append(s.runs[:from], f)
		s.levels = append(s.levels[:from], s.levels[from]+1)
	}
	return err
}

// spill writes what is buffered as a sorted run.
func (s *sorter) spill(ctx context.Context) error {
	all, order, err := s.load(ctx)
	if err != nil {
		return err
	}
	f := newSpillFile(s.n.env, s.n.stats, s.ts)
	s.runs = append(s.runs, f)
	step := s.n.env.batchRows()
	for from := 0; from < len(order); from += step {
		if err := f.write(ctx, gatherBatch(all, order[from:min(from+step, len(order))])); err != nil {
			return err
		}
	}
	s.n.mem.Shrink(s.held)
	s.held = 0
	return f.done()
}

// Next gives the rows in order; nothing may be added after the first call.
func (s *sorter) Next(ctx context.Context) (*vector.Batch, error) {
	if !s.ready {
		s.ready = true
		if err := s.finish(ctx); err != nil {
			return nil, err
		}
	}
	if s.merge != nil {
		if s.limit > 0 && s.left == 0 {
			return nil, nil
		}
		b, err := s.merge.Next(ctx)
		if b == nil || err != nil {
			return nil, err
		}
		if s.limit > 0 {
			if int64(b.Rows()) > s.left {
				b = b.Slice(0, int(s.left))
			}
			s.left -= int64(b.Rows())
		}
		return b, nil
	}
	if len(s.pieces) > 0 {
		b := s.nextPiece(s.n.env.batchRows())
		if len(s.pieces) == 0 {
			s.pieces = nil
			s.n.mem.Shrink(s.held)
			s.held = 0
		}
		return b, nil
	}
	to := min(s.at+s.n.env.batchRows(), len(s.order))
	if to == s.at {
		return nil, nil
	}
	b := gatherBatch(s.sorted, s.order[s.at:to])
	s.at = to
	if to == len(s.order) {
		s.sorted, s.order, s.at = nil, nil, 0
		s.n.mem.Shrink(s.held)
		s.held = 0
	}
	return b, nil
}

func (s *sorter) finish(ctx context.Context) error {
	var err error
	if len(s.runs) == 0 {
		if s.limit == 0 && len(s.buf) > 1 {
			var ok bool
			if s.pieces, ok, err = s.keys.sortGroups(ctx, s.buf); ok || err != nil {
				s.buf, s.rows = nil, 0
				return err
			}
		}
		s.sorted, s.order, err = s.load(ctx)
		return err
	}
	if len(s.buf) > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
	}
	// Runs stay in the order they were made, which the stability of the merge needs.
	for len(s.runs) > mergeFanIn {
		var next []*spillFile
		old := s.runs
		for from := 0; from < len(old); from += mergeFanIn {
			to := min(from+mergeFanIn, len(old))
			f, err := s.mergeRuns(ctx, old[from:to])
			if f != nil {
				next = append(next, f)
			}
			if err != nil {
				s.runs = append(next, old[from:]...)
				return err
			}
			for _, r := range old[from:to] {
				r.close()
			}
		}
		s.runs = next
	}
	s.merge, err = s.merger(s.runs)
	if err != nil {
		return err
	}
	for _, r := range s.runs {
		s.held += min(r.largest, spillBlock)
	}
	return s.n.mem.Must(s.held)
}

func (s *sorter) merger(runs []*spillFile) (*merger, error) {
	ins := make([]batchSource, len(runs))
	for i, r := range runs {
		var err error
		if ins[i], err = r.reader(); err != nil {
			return nil, err
		}
	}
	return newMerger(s.keys, s.ts, ins, s.n.env.batchRows()), nil
}

func (s *sorter) mergeRuns(ctx context.Context, runs []*spillFile) (*spillFile, error) {
	m, err := s.merger(runs)
	if err != nil {
		return nil, err
	}
	f := newSpillFile(s.n.env, s.n.stats, s.ts)
	left := s.limit
	for {
		b, err := m.Next(ctx)
		if err != nil {
			return f, err
		}
		if b == nil || s.limit > 0 && left <= 0 {
			return f, f.done()
		}
		left -= int64(b.Rows())
		if err := f.write(ctx, b); err != nil {
			return f, err
		}
	}
}

func (s *sorter) close() {
	for _, r := range s.runs {
		r.close()
	}
	s.runs, s.buf, s.sorted, s.order, s.pieces, s.merge = nil, nil, nil, nil, nil, nil
	s.n.mem.Shrink(s.held)
	s.held = 0
}
