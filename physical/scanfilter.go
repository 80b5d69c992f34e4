package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/storage"
	"github.com/volleydb/volley/vector"
)

// share counts how many of the rows that a condition sees pass it.
type share struct{ in, out int64 }

func (s *share) add(in, out int) {
	if s.in > 1<<16 {
		s.in, s.out = s.in/2, s.out/2 // what was long ago counts less
	}
	s.in, s.out = s.in+int64(in), s.out+int64(out)
}

// of is the share, a guess before anything was seen.
func (s *share) of() float64 {
	if s.in == 0 {
		return 0.5
	}
	return float64(s.out) / float64(s.in)
}

// scanFilter restricts a column to the keys of a join's build side. A filter that
// drops few rows rests for some batches and is then tried again.
type scanFilter struct {
	key    int
	step   scanStep
	set    *keyFilter // by the join before the scan's first batch; nil = none
	passed share
	rest   int // batches
}

const (
	// uselessShare of the rows passing makes a filter rest for restBatches.
	uselessShare = 0.8
	restBatches  = 16
)

// scanStep is a condition on a scan with the columns that it is the first to read.
type scanStep struct {
	need   []bool
	conds  []*Expr
	col    int
	filter *scanFilter // instead of conds
}

// stepsOf cuts conjuncts where one reads a column that those before do not.
func stepsOf(conds []*Expr, exprs []*proto.Expr, width int) []*scanStep {
	var out []*scanStep
	seen := make([]bool, width)
	for i, c := range conds {
		need, fresh := make([]bool, width), false
		markColumns(exprs[i], need)
		for k := range need {
			fresh = fresh || need[k] && !seen[k]
			seen[k] = seen[k] || need[k]
		}
		if !fresh && len(out) > 0 {
			last := out[len(out)-1]
			last.conds = append(last.conds, c)
			continue
		}
		out = append(out, &scanStep{need: need, conds: []*Expr{c}})
	}
	return out
}

// restrict makes the place for what a join finds out about a column.
func (s *scan) restrict(col, key int) *scanFilter {
	f := &scanFilter{key: key}
	f.step = scanStep{need: make([]bool, s.width()), col: col, filter: f}
	f.step.need[col] = true
	s.filters = append(s.filters, f)
	return f
}

// keepDict leaves a column dictionary-encoded for the operator above.
func (s *scan) keepDict(col int) {
	if s.dicts == nil {
		s.dicts = make([]bool, s.width()+1)
	}
	s.dicts[col] = true
}

// begin keeps the filters that joins have set, and has the reader leave out row
// groups that they exclude.
func (s *scan) begin() {
	s.filters = slices.DeleteFunc(s.filters, func(f *scanFilter) bool { return f.set == nil })
	if k, ok := s.in.(storage.DictKeeper); ok && (len(s.fixed)+len(s.filters) > 0 || s.dicts != nil) {
		k.KeepDicts()
	}
	narrower, _ := s.in.(storage.Narrower)
	skipper, _ := s.in.(storage.RowSkipper)
	for _, f := range s.filters {
		switch {
		case !f.set.isInt:
		case f.step.col < len(s.op.Columns):
			if narrower != nil {
				narrower.Narrow(f.step.col, f.set.lo, f.set.hi)
			}
		case skipper != nil:
			skipper.SkipRows(func(from, to int64) bool { return !f.set.anyIn(from, to-1) })
		}
	}
}

// order chooses the conditions of the next batch: the filters that drop most
// first, those of the plan, which may fail, in their own order.
func (s *scan) order() {
	s.steps = s.steps[:0]
	for _, f := range s.filters {
		if f.rest > 0 {
			f.rest--
			continue
		}
		s.steps = append(s.steps, &f.step)
	}
	slices.SortStableFunc(s.steps, func(a, b *scanStep) int {
		switch x, y := a.filter.passed.of(), b.filter.passed.of(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	if len(s.fixed) == 0 {
		return
	}
	at := len(s.steps)
	if s.passed.in > 0 {
		for i, st := range s.steps {
			if st.filter.passed.of() > s.passed.of() {
				at = i
				break
			}
		}
	}
	s.steps = slices.Insert(s.steps, at, s.fixed...)
}

// filtered reads a batch and applies the conditions, which may leave no row of it.
func (s *scan) filtered(ctx context.Context) (*vector.Batch, error) {
	s.order()
	if s.late != nil && len(s.steps) > 0 && slices.Contains(s.steps[0].need[:len(s.op.Columns)], false) {
		return s.filteredLate(ctx)
	}
	b, err := s.in.Next(ctx)
	if b == nil || err != nil {
		return nil, err
	}
	if err := s.checkWidth(b.NumCols()); err != nil {
		return nil, err
	}
	b = retypeBatch(b, s.n.types)
	r := &lateBatch{size: b.Rows(), cols: slices.Clone(b.Cols())}
	for _, st := range s.steps {
		if err := s.apply(ctx, r, st); err != nil {
			return nil, err
		}
	}
	return r.batch(s.dicts), nil
}

// isWide reports that v's dictionary is not for operators other than the scan:
// they go by it for every batch.
func isWide(v *vector.Vector) bool {
	return v.Form == vector.Dict && v.Child.Len > storage.MaxKeptDict
}

// lateBatch is a batch under way.
type lateBatch struct {
	cols []*vector.Vector // nil: not read yet
	size int              // rows of cols
	rows []int32          // what they are in the reader's batch; nil = all of it
	sel  []int32          // of the rows of cols, those that have passed; nil = all
}

// compact drops what has not passed, if that is half or more.
func (r *lateBatch) compact() {
	if r.sel == nil || len(r.sel) > r.size/2 {
		return
	}
	for i, c := range r.cols {
		if c != nil {
			r.cols[i] = vector.Gather(c, r.sel)
		}
	}
	if r.rows != nil {
		for i, x := range r.sel {
			r.sel[i] = r.rows[x]
		}
	}
	r.rows, r.sel, r.size = r.sel, nil, len(r.sel)
}

// batch is what has passed, in columns that any operator takes. Those that keep
// names, if it is not nil, may have wide dictionaries still.
func (r *lateBatch) batch(keep []bool) *vector.Batch {
	wide := func(i int) bool { return isWide(r.cols[i]) && (keep == nil || !keep[i]) }
	for i := range r.cols {
		if wide(i) {
			r.compact()
			for k := i; k < len(r.cols); k++ {
				if wide(k) {
					r.cols[k] = r.cols[k].Flatten()
				}
			}
			break
		}
	}
	b := vector.NewBatch(r.cols, r.size)
	if r.sel != nil {
		b = b.Select(r.sel)
	}
	return b
}

// apply narrows the rows of r to those that pass a condition.
func (s *scan) apply(ctx context.Context, r *lateBatch, st *scanStep) error {
	in := r.size
	if r.sel != nil {
		in = len(r.sel)
	}
	if in == 0 {
		return nil
	}
	var rows []int32
	if f := st.filter; f != nil {
		if isWide(r.cols[st.col]) {
			r.cols[st.col] = r.cols[st.col].Flatten()
		}
		rows = f.set.rows(r.cols[st.col], r.sel, dirtyRows(in)[:0])
		f.passed.add(in, len(rows))
		if f.passed.in >= vector.DefaultRows && f.passed.of() > uselessShare {
			f.passed, f.rest = share{}, restBatches
		}
		if len(rows) == in {
			return nil
		}
		r.sel = rows
		return nil
	}
	b := vector.NewBatch(r.cols, r.size)
	if r.sel != nil {
		b = b.Select(r.sel)
	}
	rows, err := filterRows(ctx, st.conds, b)
	if err != nil || rows == nil {
		s.passed.add(in, in)
		return err
	}
	s.passed.add(in, len(rows))
	if r.sel != nil {
		for i, x := range rows {
			rows[i] = r.sel[x]
		}
	}
	r.sel = rows
	return nil
}

func (s *scan) filteredLate(ctx context.Context) (*vector.Batch, error) {
	cols, n, err := s.late.Begin(ctx, s.steps[0].need)
	if err != nil || n == 0 {
		return nil, err
	}
	if err := s.checkWidth(len(cols)); err != nil {
		return nil, err
	}
	retype := func() {
		for i, c := range cols {
			if c != nil {
				cols[i] = c.Retype(s.n.types[i])
			}
		}
	}
	retype()
	r := &lateBatch{cols: cols, size: n}
	for i, st := range s.steps {
		if i > 0 {
			if r.compact(); r.size == 0 {
				break
			}
			if err := s.late.Rest(ctx, cols, st.need, r.rows); err != nil {
				return nil, err
			}
			retype()
		}
		if err := s.apply(ctx, r, st); err != nil {
			return nil, err
		}
	}
	r.compact()
	if err := s.late.Rest(ctx, cols, nil, r.rows); err != nil {
		return nil, err
	}
	if r.size == 0 {
		return vector.NewBatch(nil, 0), nil
	}
	retype()
	return r.batch(s.dicts), nil
}
