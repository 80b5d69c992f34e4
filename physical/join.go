package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// join joins its left input, row by row in order, with the right one, which it
// reads first and keeps in a hash table (joinBuild); without equal keys every
// pair is a candidate. Output is in the order of the left rows and, for each, of
// the right rows; RIGHT and FULL give the unmatched right rows at the end. SEMI and
// ANTI keep the left side instead where it is small (flipPass).
//
// Over budget both sides go to 16 pairs of files by the hash of the keys, which
// are then joined pair by pair in the same way. What comes out is merged by the number
// of its left row, so that the order is the same: whether the budget suffices depends on
// what else runs. A join without equal keys cannot do that and fails with 53200.
type join struct {
	n        *node
	kind     proto.Join_Kind
	lk, rk   []*Expr
	residual *Expr
	nullSafe []bool
	isInt    bool
	lts, rts []types.Type
	filters  []*scanFilter // of scans on the left, to be told about the right side

	// flipFilters are of scans on the right, for when the left side is held.
	flipFilters []*scanFilter

	pending []*joinPart // stack
	late    *sorter     // what pairs of files gave
	pass    *joinPass
	flipped *flipPass
	started bool
	made    map[int]*keyFilter // what filters were told
	// What MARK needs to know of the whole right side.
	anyRight, nullRight bool
}

type joinPart struct {
	left, right *spillFile
	level       int
}

func newJoin(n *node, op *proto.Join) (*join, error) {
	j := &join{n: n, kind: op.Kind, nullSafe: op.NullSafe, lts: n.inTypes(0), rts: n.inTypes(1)}
	var err error
	if j.lk, err = n.compileAll(op.LeftKeys, 0); err != nil {
		return nil, err
	}
	if j.rk, err = n.compileAll(op.RightKeys, 1); err != nil {
		return nil, err
	}
	if len(j.lk) != len(j.rk) {
		return nil, pgerr.New(pgerr.InternalError, "join of %d keys with %d", len(j.lk), len(j.rk))
	}
	j.isInt = isIntKey(j.lk, j.rk, j.nullSafe)
	for i := range j.lk {
		if a, b := j.lk[i].Type, j.rk[i].Type; a.Phys() != b.Phys() && !(j.isInt && len(j.lk) == 1) {
			return nil, pgerr.New(pgerr.InternalError, "join of %s with %s", a, b)
		}
	}
	if op.Residual != nil {
		ts := append(append([]types.Type(nil), j.lts...), j.rts...)
		if j.residual, err = Compile(n.env, op.Residual, ts); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// markColumns marks the columns that e reads.
func markColumns(e *proto.Expr, used []bool) {
	if e == nil {
		return
	}
	each := func(es []*proto.Expr) {
		for _, x := range es {
			markColumns(x, used)
		}
	}
	switch n := e.Node.(type) {
	case *proto.Expr_Column:
		used[n.Column.Index] = true
	case *proto.Expr_Call:
		each(n.Call.Args)
	case *proto.Expr_Case:
		for _, w := range n.Case.Whens {
			markColumns(w.Cond, used)
			markColumns(w.Result, used)
		}
		markColumns(n.Case.Else, used)
	case *proto.Expr_Bool:
		each(n.Bool.Args)
	case *proto.Expr_Is:
		markColumns(n.Is.Arg, used)
		markColumns(n.Is.Right, used)
	case *proto.Expr_Cast:
		markColumns(n.Cast.Arg, used)
	case *proto.Expr_Coalesce:
		each(n.Coalesce.Args)
	case *proto.Expr_In:
		markColumns(n.In.Arg, used)
	case *proto.Expr_Array:
		each(n.Array.Elems)
	}
}

func (j *join) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		if j.pass != nil {
			b, err := j.pass.Next(ctx)
			switch {
			case err != nil:
				return nil, err
			case b != nil && j.late == nil:
				return b, nil
			case b != nil:
				if err := j.late.addToRun(ctx, b.Dense()); err != nil {
					return nil, err
				}
				continue
			}
			j.pass.close()
			j.pass = nil
			if j.late != nil {
				if err := j.late.endRun(ctx); err != nil {
					return nil, err
				}
			}
		}
		if j.flipped != nil {
			return j.flipped.Next(ctx)
		}
		if !j.started {
			j.started = true
			var left batchSource = j.n.ins[0]
			if j.canFlip() {
				var err error
				if left, err = j.flip(ctx); err != nil {
					return nil, err
				}
				if j.flipped != nil {
					continue
				}
			}
			if err := j.beginFirst(ctx, left); err != nil {
				return nil, err
			}
			continue
		}
		if len(j.pending) == 0 {
			return j.late.nextLate(ctx)
		}
		p := j.pending[len(j.pending)-1]
		j.pending = j.pending[:len(j.pending)-1]
		err := j.beginPart(ctx, p)
		if err != nil {
			return nil, err
		}
	}
}

func (j *join) beginPart(ctx context.Context, p *joinPart) error {
	left, err := p.left.reader()
	if err == nil {
		var right *spillReader
		if right, err = p.right.reader(); err == nil {
			err = j.begin(ctx, left, right, p.level)
		}
	}
	p.right.close()
	if err != nil || j.pass == nil {
		p.left.close()
		return err
	}
	j.pass.leftFile = p.left
	return nil
}

// begin reads the right side into memory and starts a pass over the left; or, if
// it does not fit, cuts both into pairs of files.
func (j *join) begin(ctx context.Context, left, right batchSource, level int) error {
	var bufs, keyBufs []*vector.Batch
	var held int64
	rows := 0
	var rightFiles []*spillFile
	ends := j.kind == proto.Join_RIGHT || j.kind == proto.Join_FULL // with right rows, which are numbered, too
	number := afterLeft
	rts := j.rts
	if ends {
		rts = append(slices.Clone(rts), ordinalType)
	}
	closeRight := func() {
		for _, f := range rightFiles {
			f.close()
		}
	}
	toFiles := func(b *vector.Batch, keys []*vector.Vector) error {
		hashes := make([]uint64, b.Rows())
		exchange.HashRows(keys, b.Rows(), hashes)
		if ends && level == 0 {
			b, number = withNumbers(b, number), number+int64(b.Rows())
		}
		return partitionRows(ctx, rightFiles, b, allRows(b.Rows()), hashes, level)
	}
	for {
		b, err := right.Next(ctx)
		if err != nil {
			closeRight()
			return err
		}
		if b == nil {
			break
		}
		b = b.Dense()
		keys, err := evalAll(ctx, j.rk, b)
		if err != nil {
			closeRight()
			return err
		}
		if level == 0 {
			j.anyRight = true
			for _, x := range nullKeys(keys, j.nullSafe, b.Rows()) {
				j.nullRight = j.nullRight || x
			}
		}
		if rightFiles != nil {
			if err := toFiles(b, keys); err != nil {
				closeRight()
				return err
			}
			continue
		}
		need := batchBytes(b) + joinTableBytes(b.Rows(), keys, j.isInt)
		for c, x := range j.rk {
			if !isColumn(x) {
				need += vectorBytes(keys[c])
			}
		}
		if err := j.n.mem.growWithin(held, need, maxColumnBytes); err != nil {
			switch {
			case j.canSpill(level) && held > 0:
				rightFiles = newPartitions(j.n.env, j.n.stats, rts)
				bufs, keyBufs = append(bufs, b), append(keyBufs, vector.NewBatch(keys, b.Rows()))
				for i := range bufs {
					if err := toFiles(bufs[i], keyBufs[i].Cols()); err != nil {
						closeRight()
						return err
					}
					bufs[i] = nil
				}
				bufs, keyBufs = nil, nil
				j.n.mem.Shrink(held)
				held = 0
				continue
			case j.n.env.SpillDir == "" || held+need > maxColumnBytes:
				return err
			}
			if err := j.n.mem.Must(need); err != nil {
				return err
			}
		}
		held += need
		rows += b.Rows()
		bufs, keyBufs = append(bufs, b), append(keyBufs, vector.NewBatch(keys, b.Rows()))
	}
	if rightFiles != nil {
		return j.partition(ctx, left, rightFiles, level)
	}
	if level == 0 {
		rts = j.rts
	}
	cols, keys := sideColumns(rts, j.rk, bufs, keyBufs)
	lts := make([]types.Type, len(j.lk))
	for i, x := range j.lk {
		lts[i] = x.Type
	}
	build, err := newJoinBuild(ctx, cols, keys, lts, j.nullSafe, j.isInt, rows)
	if err != nil {
		return err
	}
	if ends {
		build.seen = make([]bool, rows)
	}
	if len(cols) > len(j.rts) {
		build.cols, build.number = cols[:len(j.rts)], cols[len(j.rts)]
	}
	if level == 0 {
		held += j.tell(build, j.filters)
	}
	j.probeWith(build, left, held)
	return nil
}

// probeWith starts a pass over the left side.
func (j *join) probeWith(build *joinBuild, left batchSource, held int64) {
	j.pass = &joinPass{j: j, build: build, left: left, held: held, limit: j.n.env.batchRows(), numbered: j.late != nil}
	switch j.kind {
	case proto.Join_INNER, proto.Join_SEMI, proto.Join_RIGHT, proto.Join_CROSS:
		j.pass.lost = build.rows == 0 // nothing can match: the left side is not read
	}
}

// isColumn reports a key that is a column as it is.
func isColumn(x *Expr) bool {
	_, ok := x.root.(*column)
	return ok
}

// sideColumns puts the batches of a side together, columns of types ts and the keys
// ks. Keys that are columns share their memory.
func sideColumns(ts []types.Type, ks []*Expr, bufs, keyBufs []*vector.Batch) (cols, keys []*vector.Vector) {
	var made []types.Type
	var at []int // in keys
	keys = make([]*vector.Vector, len(ks))
	for c, x := range ks {
		if !isColumn(x) {
			made, at = append(made, x.Type), append(at, c)
		}
	}
	for i, b := range keyBufs {
		keyBufs[i] = b.Project(at)
	}
	for i, v := range concatAndDrop(made, keyBufs).Cols() {
		keys[at[i]] = v
	}
	cols = dropInto(ts, bufs, joinColumns).Cols()
	for c, x := range ks {
		if col, ok := x.root.(*column); ok {
			keys[c] = cols[col.i].Retype(x.Type)
		}
	}
	return cols, keys
}

// maxJoinDict is the size up to which the columns of a right side keep their
// dictionaries: what comes out refers to all of it.
const maxJoinDict = 4096

func joinColumns(vs []*vector.Vector) *vector.Vector {
	v := vector.Join(vs)
	if v.Form == vector.Dict && v.Child.Len > maxJoinDict {
		return v.Flatten()
	}
	return v
}

// tell makes the filters of scans on the other side, which have not begun; it
// returns their bytes.
func (j *join) tell(b *joinBuild, filters []*scanFilter) int64 {
	made := map[int]*keyFilter{}
	held := int64(0)
	for _, f := range filters {
		set, ok := made[f.key]
		if !ok {
			if set = newKeyFilter(b.keys[f.key], b.null, b.rows, j.n.mem.Grow); set != nil {
				held += set.bytes
			}
			made[f.key] = set
		}
		f.set = set
	}
	j.made = made
	return held
}

// canSpill: MARK over several keys, or with a residual, must see all rows at once
// to tell NULL from false.
func (j *join) canSpill(level int) bool {
	simple := j.kind != proto.Join_MARK || len(j.lk) == 1 && j.residual == nil
	return j.n.env.SpillDir != "" && len(j.lk) > 0 && level < maxSpillLevel && simple
}

// partition writes the left side to files like the right one.
func (j *join) partition(ctx context.Context, left batchSource, right []*spillFile, level int) error {
	if j.late == nil {
		j.late = newLate(j.n)
	}
	lefts := newPartitions(j.n.env, j.n.stats, append(slices.Clone(j.lts), ordinalType))
	err := j.partitionLeft(ctx, left, lefts, level)
	for i := range right {
		for _, f := range []*spillFile{right[i], lefts[i]} {
			if e := f.done(); err == nil {
				err = e
			}
		}
	}
	if err != nil {
		for i := range right {
			right[i].close()
			lefts[i].close()
		}
		return err
	}
	for i := len(right) - 1; i >= 0; i-- {
		if lefts[i].rows == 0 && right[i].rows == 0 {
			continue
		}
		j.pending = append(j.pending, &joinPart{left: lefts[i], right: right[i], level: level + 1})
	}
	return nil
}

func (j *join) partitionLeft(ctx context.Context, left batchSource, files []*spillFile, level int) error {
	number := int64(0)
	for {
		b, err := left.Next(ctx)
		if b == nil || err != nil {
			return err
		}
		keys, err := evalAll(ctx, j.lk, b)
		if err != nil {
			return err
		}
		hashes := make([]uint64, b.Rows())
		exchange.HashRows(keys, b.Rows(), hashes)
		if level == 0 {
			b, number = withNumbers(b, number), number+int64(b.Rows())
		}
		if err := partitionRows(ctx, files, b, allRows(b.Rows()), hashes, level); err != nil {
			return err
		}
	}
}

func (j *join) Close() error {
	if j.pass != nil {
		j.pass.close()
		j.pass = nil
	}
	j.flipped = nil
	for _, p := range j.pending {
		p.left.close()
		p.right.close()
	}
	j.pending = nil
	if j.late != nil {
		j.late.close()
	}
	return j.n.closeInputs()
}
