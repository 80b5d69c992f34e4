package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggPass is one run over rows: the table, the states, and the files of the rows
// that found no room.
type aggPass struct {
	a      *aggregate
	table  *groupTable // nil without keys
	groups int
	calls  []*callState
	level  int
	held   int64
	frozen bool
	files  []*spillFile
	buf    []int32
	rows   int64   // that were folded
	seen   int64   // of the input, at level 0
	first  []int64 // by group, the row in which it was first seen; from level 1 on
}

// callState is the state of one call in one pass.
type callState struct {
	*aggCall
	agg function.Aggregator
	// DISTINCT: the distinct (group, args, order keys) since the last overflow.
	set *groupTable
	// Rows to be folded in order at the end, as (group, args, order keys).
	sorter *sorter
	ts     []types.Type
	base   int // column of the first argument: 1, or 0 without keys, when there is no group
	// counts are the rows per group whose last argument is not NULL, for an aggregate
	// that keeps fewer of sorted rows then; else nil.
	counts []int64
}

func newAggPass(ctx context.Context, a *aggregate, level int) (*aggPass, error) {
	p := &aggPass{a: a, level: level}
	if len(a.keys) > 0 {
		p.table = newGroupTable(a.keyTs)
	}
	for _, c := range a.calls {
		s := &callState{aggCall: c}
		var err error
		if s.agg, err = c.make(ctx); err != nil {
			p.close()
			return nil, err
		}
		p.calls = append(p.calls, s)
		if c.distinct || len(c.order) > 0 {
			s.prepareSort(a.n, len(a.keys) > 0)
		}
	}
	if p.table == nil {
		p.grow(1)
	}
	return p, nil
}

func (p *aggPass) grow(n int) {
	if n > p.groups {
		p.groups = n
		for _, c := range p.calls {
			c.agg.Grow(n)
		}
	}
}

var groupType = types.T(types.Int4)

// prepareSort lays out the rows that are kept: group, arguments, order keys.
func (s *callState) prepareSort(n *node, grouped bool) {
	var cols []int
	var orders []keyOrder
	if grouped {
		s.base, s.ts = 1, append(s.ts, groupType)
		cols, orders = append(cols, 0), append(orders, keyOrder{})
	}
	for _, x := range s.args {
		s.ts = append(s.ts, x.Type)
	}
	for i, x := range s.order {
		cols = append(cols, len(s.ts))
		orders = append(orders, s.orders[i])
		s.ts = append(s.ts, x.Type)
	}
	if s.distinct {
		for i := range s.args {
			cols = append(cols, s.base+i)
			orders = append(orders, keyOrder{})
		}
		s.set = newGroupTable(s.ts)
	}
	s.sorter = newSorter(n, s.ts, columnKeys(n.env, cols, s.ts, orders), 0)
	if _, ok := s.agg.(function.Ranked); ok && !s.distinct && s.ascending() {
		s.counts = make([]int64, 1)
	}
}

// addGroups makes groups that have no rows yet.
func (p *aggPass) addGroups(ctx context.Context, keys []*proto.Row) error {
	v := &values{rows: keys, types: p.a.keyTs, env: p.a.n.env}
	for {
		b, err := v.Next(ctx)
		if b == nil || err != nil {
			return err
		}
		if _, err := p.table.find(ctx, b.Cols(), b.Rows(), make([]int32, b.Rows()), true); err != nil {
			return err
		}
		p.grow(p.table.n)
	}
}

// add folds a batch. full says that a PARTIAL aggregate must give out its states.
func (p *aggPass) add(ctx context.Context, b *vector.Batch) (full bool, err error) {
	var groups []int32
	if p.table != nil {
		keys, err := evalAll(ctx, p.a.keys, b)
		if err != nil {
			return false, err
		}
		n := b.Rows()
		if cap(p.buf) < n {
			p.buf = make([]int32, n)
		}
		groups = p.buf[:n]
		if _, err = p.table.find(ctx, keys, n, groups, !p.frozen); err != nil {
			return false, err
		}
		seen := p.seen
		p.seen += int64(n)
		if p.level > 0 {
			for i, r := range vector.Values[int64](b.Col(len(p.a.inTs)).Flatten())[:n] {
				if int(groups[i]) == len(p.first) { // groups are numbered as they come
					p.first = append(p.first, r)
				}
			}
		}
		if p.frozen {
			if b, groups, err = p.divert(ctx, b, keys, groups, seen); err != nil || b == nil {
				return false, err
			}
		}
		p.grow(p.table.n)
	}
	p.rows += int64(b.Rows())
	for _, c := range p.calls {
		if p.a.mode == proto.Aggregate_FINAL {
			err = c.merge(b, groups)
		} else {
			err = c.update(ctx, b, groups)
		}
		if err != nil {
			return false, err
		}
	}
	return p.charge(ctx)
}

// divert sends the rows of unknown groups to the files and returns the rest. seen is the
// number of row 0, at level 0.
func (p *aggPass) divert(ctx context.Context, b *vector.Batch, keys []*vector.Vector, groups []int32, seen int64) (*vector.Batch, []int32, error) {
	var known, unknown []int32
	for i, g := range groups {
		if g >= 0 {
			known = append(known, int32(i))
		} else {
			unknown = append(unknown, int32(i))
		}
	}
	if len(unknown) == 0 {
		return b, groups, nil
	}
	hashes := make([]uint64, len(groups))
	exchange.HashRows(keys, len(groups), hashes)
	spill := b.Select(unknown).Dense()
	if p.level == 0 {
		number := make([]int64, len(unknown))
		for i, r := range unknown {
			number[i] = seen + int64(r)
		}
		spill = vector.NewBatch(append(slices.Clone(spill.Cols()), vector.FromSlice(ordinalType, number)), len(unknown))
	}
	all := make([]int32, len(unknown))
	for i, r := range unknown {
		all[i], hashes[i] = int32(i), hashes[r] // r >= i
	}
	if err := partitionRows(ctx, p.files, spill, all, hashes, p.level); err != nil {
		return nil, nil, err
	}
	if len(known) == 0 {
		return nil, nil, nil
	}
	sub := make([]int32, len(known))
	for i, r := range known {
		sub[i] = groups[r]
	}
	return b.Select(known), sub, nil
}

// spillPartition is the file of a row: bits that neither the exchange nor an
// outer level has used to choose.
func spillPartition(h uint64, level int) int {
	return int((hashInt(int64(h)+int64(level)*0x632BE59BD9B4E019) >> 57) % spillFanOut)
}

// partitionRows writes the given rows of b to the files by hash.
func partitionRows(ctx context.Context, files []*spillFile, b *vector.Batch, rows []int32, hashes []uint64, level int) error {
	var by [spillFanOut][]int32
	for _, r := range rows {
		f := spillPartition(hashes[r], level)
		by[f] = append(by[f], r)
	}
	for f, rs := range by {
		if len(rs) == 0 {
			continue
		}
		if err := files[f].write(ctx, b.Select(rs).Dense()); err != nil {
			return err
		}
	}
	return nil
}

func newPartitions(env *Env, stats *OperatorStats, ts []types.Type) []*spillFile {
	files := make([]*spillFile, spillFanOut)
	for i := range files {
		files[i] = newSpillFile(env, stats, ts)
	}
	return files
}

// size is the memory of the table and all states.
func (p *aggPass) size() int64 {
	var s int64
	if p.table != nil {
		s = p.table.size() + int64(8*cap(p.first))
	}
	for _, c := range p.calls {
		s += c.agg.Size()
		if c.set != nil {
			s += c.set.size()
		}
	}
	return s
}

// charge accounts for what the last batch added, and makes room when that is
// refused.
func (p *aggPass) charge(ctx context.Context) (full bool, err error) {
	now := p.size()
	mem := p.a.n.mem
	if now <= p.held {
		mem.Shrink(p.held - now)
		p.held = now
		return p.partialFull(), nil
	}
	keys := int64(0)
	if p.table != nil && !p.frozen {
		keys = p.table.size()
	}
	for _, c := range p.calls {
		if c.set != nil {
			keys = max(keys, c.set.size())
		}
	}
	if keys > maxColumnBytes {
		err = mem.tooLarge()
	} else {
		err = mem.Grow(now - p.held)
	}
	if err == nil {
		p.held = now
		return p.partialFull(), nil
	}
	if p.a.mode == proto.Aggregate_PARTIAL && p.table != nil {
		return true, nil // all of it is given up at once
	}
	if p.a.n.env.SpillDir == "" {
		return false, err
	}
	for _, c := range p.calls {
		if c.set != nil && c.set.n > 0 {
			if err := c.flushSet(ctx); err != nil {
				return false, err
			}
		}
	}
	now = p.size()
	if p.table != nil && !p.frozen && p.level < maxSpillLevel {
		p.frozen = true
		p.files = newPartitions(p.a.n.env, p.a.n.stats, append(slices.Clone(p.a.inTs), ordinalType))
	}
	if now > p.held {
		if err := mem.Must(now - p.held); err != nil {
			return false, err
		}
	} else {
		mem.Shrink(p.held - now)
	}
	p.held = now
	return false, nil
}

func (p *aggPass) partialFull() bool {
	return p.a.mode == proto.Aggregate_PARTIAL && p.table != nil && p.table.n >= maxPartialGroups
}

// parts hands over the files that have rows.
func (p *aggPass) parts(context.Context) ([]*aggPart, error) {
	var out []*aggPart
	var first error
	for _, f := range p.files {
		if err := f.done(); err != nil && first == nil {
			first = err
		}
		if f.rows == 0 {
			f.close()
			continue
		}
		out = append(out, &aggPart{file: f, level: p.level + 1})
	}
	p.files = nil
	return out, first
}

func (p *aggPass) close() {
	for _, c := range p.calls {
		_ = c.agg.Close()
		if c.sorter != nil {
			c.sorter.close()
		}
	}
	for _, f := range p.files {
		f.close()
	}
	p.files, p.calls, p.table = nil, nil, nil
	p.a.n.mem.Shrink(p.held)
	p.held = 0
}

// merge folds states that another aggregate made.
func (s *callState) merge(b *vector.Batch, groups []int32) error {
	vs := make([]*vector.Vector, s.states)
	for i := range vs {
		vs[i] = b.Col(s.stateFrom + i)
		if vs[i].Form != vector.Const || !vs[i].IsNull(0) {
			vs[i] = flatOrScaled(vs[i])
		}
	}
	return s.agg.Merge(groups, vs, b.Rows())
}

// update folds rows, or keeps them for the end.
func (s *callState) update(ctx context.Context, b *vector.Batch, groups []int32) error {
	if s.filter != nil {
		v, err := s.filter.Eval(ctx, b)
		if err != nil {
			return err
		}
		rows := trueRows(flat(v))
		if len(rows) == 0 {
			return nil
		}
		if len(rows) < b.Rows() {
			b = b.Select(rows)
			if groups != nil {
				groups = pick(groups, rows)
			}
		}
	}
	n := b.Rows()
	vs := make([]*vector.Vector, len(s.args), len(s.args)+len(s.order)+1)
	_, dicts := s.agg.(function.DictTaker)
	dicts = dicts && s.sorter == nil
	for i, x := range s.args {
		v, err := x.Eval(ctx, b)
		if err != nil {
			return err
		}
		if !dicts {
			v = flat(v)
		}
		vs[i] = v
	}
	if s.sorter == nil {
		return s.agg.Update(groups, vs, n)
	}
	if s.counts != nil {
		s.count(groups, vs[len(vs)-1], n)
	}
	row := vs
	if s.base == 1 {
		row = append([]*vector.Vector{vector.FromSlice(groupType, append([]int32(nil), groups...))}, vs...)
	}
	for _, x := range s.order {
		v, err := x.Eval(ctx, b)
		if err != nil {
			return err
		}
		row = append(row, flat(v))
	}
	if s.set != nil {
		_, err := s.set.find(ctx, row, n, make([]int32, n), true)
		return err
	}
	return s.sorter.add(ctx, vector.NewBatch(row, n))
}

// flushSet moves the distinct rows so far to the sorter, which can spill.
func (s *callState) flushSet(ctx context.Context) error {
	n := s.set.n
	if n == 0 {
		return nil
	}
	vs := s.set.columns()
	s.set = newGroupTable(s.ts)
	return pieces(vs, n, func(vs []*vector.Vector, n int) error { return s.sorter.add(ctx, vector.NewBatch(vs, n)) })
}

// pieces calls f with the columns of a table in parts of a fair size.
func pieces(vs []*vector.Vector, n int, f func(vs []*vector.Vector, n int) error) error {
	const rows = 1 << 16
	for from := 0; from < n; from += rows {
		to := min(from+rows, n)
		part := make([]*vector.Vector, len(vs))
		for c, v := range vs {
			part[c] = piece(v, from, to)
		}
		if err := f(part, to-from); err != nil {
			return err
		}
	}
	return nil
}

// drain folds the rows that were kept.
func (s *callState) drain(ctx context.Context) error {
	if s.sorter == nil {
		return nil
	}
	if s.set != nil {
		if s.unordered && len(s.sorter.buf) == 0 && len(s.sorter.runs) == 0 {
			n := s.set.n
			vs := s.set.columns()
			s.set = nil
			return pieces(vs, n, s.feed)
		}
		if err := s.flushSet(ctx); err != nil {
			return err
		}
		s.set = nil
	}
	if f, ok := s.agg.(function.SelfSorting); ok && !s.distinct && s.ascending() && len(s.sorter.runs) == 0 && f.TakeUnsorted() {
		buf := s.sorter.buf
		s.sorter.buf = nil
		for i, b := range buf {
			if err := cancelled(ctx); err != nil {
				return err
			}
			if err := s.feed(slices.Clone(b.Cols()), b.Rows()); err != nil {
				return err
			}
			buf[i] = nil
		}
		return nil
	}
	if f, ok := s.agg.(function.Ranked); ok && s.counts != nil {
		f.TakeCounts(s.counts)
	}
	var last []byte
	for {
		b, err := s.sorter.Next(ctx)
		if b == nil || err != nil {
			return err
		}
		if s.distinct {
			k := encodeKeys(b.Cols()[:s.base+len(s.args)], nil, b.Rows())
			rows := make([]int32, 0, b.Rows())
			for i := range b.Rows() {
				if key := k.at(i); last == nil || string(key) != string(last) {
					rows = append(rows, int32(i))
					last = append(last[:0], key...)
				}
			}
			if len(rows) == 0 {
				continue
			}
			b = selectRows(b, rows)
		}
		if err := s.feed(b.Cols(), b.Rows()); err != nil {
			return err
		}
	}
}

// count adds the rows of v that are not NULL to their groups.
func (s *callState) count(groups []int32, v *vector.Vector, n int) {
	v = v.Flatten() // not a constant, whose bitmap has one bit
	if groups == nil {
		s.counts[0] += int64(vector.CountValid(v.Valid, n))
		return
	}
	for i, g := range groups[:n] {
		if int(g) >= len(s.counts) {
			s.counts = append(s.counts, make([]int64, max(int(g)+1, 2*len(s.counts))-len(s.counts))...)
		}
		if v.Valid == nil || vector.IsValid(v.Valid, i) {
			s.counts[g]++
		}
	}
}

// ascending reports that the order is that of the last argument alone, with NULLs
// on either side.
func (s *callState) ascending() bool {
	return len(s.order) == 1 && len(s.args) > 0 && !s.orders[0].desc
}

func (s *callState) feed(vs []*vector.Vector, n int) error {
	if n == 0 {
		return nil
	}
	for i := range vs {
		vs[i] = flat(vs[i])
	}
	var groups []int32
	if s.base == 1 {
		groups = vector.Values[int32](vs[0].Flatten())
	}
	return s.agg.Update(groups, vs[s.base:s.base+len(s.args)], n)
}

// finish ends the input and returns the results.
func (p *aggPass) finish(ctx context.Context) (*aggOutput, error) {
	for _, c := range p.calls {
		if err := c.drain(ctx); err != nil {
			return nil, err
		}
	}
	o := &aggOutput{p: p}
	if p.table != nil {
		o.keys = p.table.columns()
	}
	return o, nil
}

// aggOutput gives out the groups of a pass; from level 1 on with one column more, the
// rows in which they were first seen.
type aggOutput struct {
	p    *aggPass
	keys []*vector.Vector
	at   int
}

func (o *aggOutput) Next(context.Context) (*vector.Batch, error) {
	p := o.p
	to := min(o.at+p.a.n.env.batchRows(), p.groups)
	if to <= o.at {
		return nil, nil
	}
	var cols []*vector.Vector
	for _, k := range o.keys {
		cols = append(cols, piece(k, o.at, to))
	}
	for _, c := range p.calls {
		if p.a.mode == proto.Aggregate_PARTIAL {
			vs, err := c.agg.State(o.at, to)
			if err != nil {
				return nil, err
			}
			cols = append(cols, vs...)
			continue
		}
		v, err := c.agg.Final(o.at, to)
		if err != nil {
			return nil, err
		}
		cols = append(cols, v)
	}
	for i, t := range p.a.n.types {
		cols[i] = cols[i].Retype(t)
	}
	if p.level > 0 {
		cols = append(cols, vector.FromSlice(ordinalType, p.first[o.at:to]))
	}
	b := vector.NewBatch(cols, to-o.at)
	o.at = to
	return b, nil
}
