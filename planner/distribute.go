package planner

import (
	"math"
	"slices"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
)

// phys turns logical nodes into stages.
type phys struct {
	b      *binder
	stages []*proto.Stage
	nextOp uint32
	shared map[*SharedPlan]*sharedStage
	est    *estimator
	// serial is set inside a Dependent's inner plan: it runs as a part of one task, once
	// per outer row, so nothing in it is cut.
	serial int
	outer  [][]Col // columns bound by the enclosing Dependents
}

type sharedStage struct {
	id   uint32
	cols []Col
	rows float64
}

func (p *phys) tasksFor(rows, bytes float64) int {
	if p.serial > 0 {
		return 1
	}
	return p.b.o.sizes().tasksFor(rows, bytes)
}

// ensure joins the columns of enclosing queries that es read to s.
func (p *phys) ensure(s *stream, es ...Expr) (*stream, error) {
	if len(p.outer) == 0 {
		return s, nil
	}
	have := idsOf(s.cols)
	need := colSet{}
	for id := range columnsOf(es...) {
		if !have[id] {
			need[id] = true
		}
	}
	for level := len(p.outer) - 1; level >= 0 && len(need) > 0; level-- {
		if !idsOf(p.outer[level]).meets(need) {
			continue
		}
		o := p.outerRef(level)
		op := p.node(concatCols(s.cols, o.cols), s.rows, s, o)
		op.Node = &proto.Operator_Join{Join: &proto.Join{Kind: proto.Join_CROSS}}
		s = &stream{op: op, cols: concatCols(s.cols, o.cols), frag: s.frag, rows: s.rows}
		for _, c := range o.cols {
			delete(need, c.ID)
		}
	}
	return s, nil
}

func (p *phys) outerRef(level int) *stream {
	cols := p.outer[level]
	op := p.node(cols, 1)
	op.Node = &proto.Operator_OuterRef{OuterRef: &proto.OuterRef{Level: uint32(level)}}
	return &stream{op: op, cols: cols, rows: 1, frag: &fragment{tasks: 1}}
}

// lower plans a node.
func (p *phys) lower(n Node) (*stream, error) {
	s, err := p.lowerNode(n)
	if err == nil {
		s.rows = p.est.of(n).rows
		s.op.RowsEstimate = s.rows
	}
	return s, err
}

func (p *phys) lowerNode(n Node) (*stream, error) {
	if err := p.b.ctx.Err(); err != nil {
		return nil, pgerr.From(err)
	}
	switch n := n.(type) {
	case *Scan:
		return p.scan(n)
	case *Series:
		return p.series(n)
	case *VirtualScan:
		op := p.node(n.Out, 100)
		op.Node = &proto.Operator_VirtualScan{VirtualScan: &proto.VirtualScan{Name: n.Name, Columns: n.Source}}
		return &stream{op: op, cols: n.Out, rows: 100, frag: &fragment{tasks: 1, coordinator: true}}, nil
	case *Values:
		return p.values(n)
	case *Filter:
		s, err := p.lower(n.In)
		if err != nil {
			return nil, err
		}
		return p.filter(s, n.Cond)
	case *Project:
		s, err := p.lower(n.In)
		if err != nil {
			return nil, err
		}
		return p.project(s, n.Exprs, n.Out)
	case *ProjectSet:
		return p.projectSet(n)
	case *Limit:
		return p.limit(n)
	case *Sort:
		return p.sortNode(n, 0)
	case *Aggregate:
		return p.aggregate(n)
	case *Join:
		return p.join(n)
	case *AsofJoin:
		return p.asof(n)
	case *Window:
		return p.window(n)
	case *Union:
		return p.union(n)
	case *GroupedMap:
		return p.groupedMap(n)
	case *TableFunc:
		return p.tableFunc(n)
	case *SingleRow:
		s, err := p.lower(n.In)
		if err != nil {
			return nil, err
		}
		if s, err = p.gather(s, nil); err != nil {
			return nil, err
		}
		op := p.node(s.cols, 1, s)
		op.Node = &proto.Operator_SingleRow{SingleRow: &proto.SingleRow{}}
		return &stream{op: op, cols: s.cols, frag: impure(s.frag), rows: 1}, nil
	case *Dependent:
		return p.dependent(n)
	case *Shared:
		return p.sharedRead(n)
	case *RecursiveUnion:
		return p.recursiveUnion(n)
	case *WorkTable:
		return p.workTable(n), nil
	}
	return nil, pgerr.New(pgerr.InternalError, "node %T cannot be planned", n)
}

func impure(f *fragment) *fragment {
	if !f.pure {
		return f
	}
	c := *f
	c.pure = false
	return &c
}

func (p *phys) scan(n *Scan) (*stream, error) {
	n = n.numberLast()
	scan := &proto.Scan{Format: n.Format, Name: n.Name, Columns: n.Source, Limit: n.Limit}
	if k := len(n.Source); k > 0 && n.Source[k-1] == rowNumber {
		scan.Columns, scan.RowId = n.Source[:k-1], true
	}
	f := n.Files
	rows := float64(f.Rows)
	if n.Format == "csv" {
		scan.Csv = f.CSV.Options
		scan.FileSchema = protoFields(f.Schema)
	}
	if n.Format == "json" {
		scan.Json = f.JSON.Options
		scan.FileSchema = protoFields(f.Schema)
	}
	if len(f.Extra) > 0 || f.ByName {
		scan.Extra, scan.ByName, scan.FileSchema = protoFields(f.Extra), f.ByName, protoFields(f.Schema)
	}
	if n.Filter != nil {
		var err error
		if scan.Filter, err = lowerExpr(n.Filter, layoutOf(n.Out)); err != nil {
			// The filter reads an enclosing query's columns.
			s := p.scanOp(n.Out, rows, scan, f.Splits, p.tasksFor(rows, float64(f.Bytes)))
			return p.filter(s, n.Filter)
		}
		rows *= selectivity(n.Filter)
	}
	return p.scanOp(n.Out, rows, scan, f.Splits, p.tasksFor(float64(f.Rows), float64(f.Bytes))), nil
}

// series plans generate_series as a scan of ranges: a split is (first value in
// offset, number of values in length, step in size).
func (p *phys) series(n *Series) (*stream, error) {
	count := int64(0)
	if n.Step > 0 && n.To >= n.From {
		count = (n.To-n.From)/n.Step + 1
	} else if n.Step < 0 && n.To <= n.From {
		count = (n.From-n.To)/-n.Step + 1
	}
	// Pieces of exactly the rows per task but for the last keep every value's place
	// independent of the rest; more pieces than tasks are spread.
	per := int64(p.b.o.sizes().rowsPerTask)
	if p.serial > 0 || count/maxTasks > per {
		per = count/maxTasks + 1
	}
	var splits []*proto.Split
	for at := int64(0); at < count; at += per {
		splits = append(splits, &proto.Split{Offset: n.From + at*n.Step, Length: min(per, count-at), Size: n.Step, Rows: min(per, count-at), RowBase: at})
	}
	scan := &proto.Scan{Format: "series", Name: "generate_series", Columns: []string{n.Out.Name}}
	return p.scanOp(n.Cols(), float64(count), scan, splits, p.tasksFor(float64(count), 0)), nil
}

func (p *phys) values(n *Values) (*stream, error) {
	one := &stream{frag: &fragment{tasks: 1}}
	v := &proto.Values{}
	correlated := false
	for _, r := range n.Rows {
		for _, e := range r {
			correlated = correlated || len(columnsOf(e)) > 0
		}
	}
	if correlated {
		if len(n.Rows) != 1 {
			// Rows over an enclosing query's columns: a union of projections.
			u := &Union{Out: n.Out}
			for _, r := range n.Rows {
				pr := &Project{In: &Values{Rows: [][]Expr{{}}}, Exprs: r}
				for _, c := range n.Out {
					pr.Out = append(pr.Out, p.b.newCol(c.Name, c.T))
				}
				u.In = append(u.In, pr)
			}
			return p.lower(u)
		}
		s, err := p.lower(&Values{Rows: [][]Expr{{}}})
		if err != nil {
			return nil, err
		}
		return p.project(s, n.Rows[0], n.Out)
	}
	for _, r := range n.Rows {
		es, err := lowerExprs(r, nil)
		if err != nil {
			return nil, err
		}
		v.Rows = append(v.Rows, &proto.Row{Exprs: es})
		if volatileUDF(r...) {
			one.frag.volatile = true
		}
	}
	one.op = p.node(n.Out, float64(len(n.Rows)))
	one.op.Node = &proto.Operator_Values{Values: v}
	one.cols, one.rows = n.Out, float64(len(n.Rows))
	return one, nil
}

func selectivity(cond Expr) float64 {
	s := 1.0
	for range conjuncts(nil, cond) {
		s *= 0.3
	}
	return max(s, 0.01)
}

func (p *phys) filter(s *stream, cond Expr) (*stream, error) {
	s, err := p.ensure(s, cond)
	if err != nil {
		return nil, err
	}
	e, err := lowerExpr(cond, s.layout())
	if err != nil {
		return nil, err
	}
	rows := s.rows * selectivity(cond)
	op := p.node(s.cols, rows, s)
	op.Node = &proto.Operator_Filter{Filter: &proto.Filter{Cond: e}}
	f := s.frag
	if volatileUDF(cond) {
		c := *f
		c.volatile = true
		f = &c
	}
	return &stream{op: op, cols: s.cols, frag: f, hash: s.hash, rows: rows}, nil
}

func (p *phys) projectSet(n *ProjectSet) (*stream, error) {
	if g, err := pluginSet(n); g != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return p.batchMap(g)
	}
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	for _, c := range n.Calls {
		if s, err = p.ensure(s, c.Args...); err != nil {
			return nil, err
		}
	}
	ps := &proto.ProjectSet{}
	for _, c := range n.Calls {
		e, err := lowerExpr(c, s.layout())
		if err != nil {
			return nil, err
		}
		ps.Calls = append(ps.Calls, e.GetCall())
	}
	cols := concatCols(s.cols, n.Out)
	op := p.node(cols, s.rows*10, s)
	op.Node = &proto.Operator_ProjectSet{ProjectSet: ps}
	return &stream{op: op, cols: cols, frag: impure(s.frag), hash: s.hash, rows: s.rows * 10}, nil
}

func (p *phys) limitOp(s *stream, count, offset int64) *stream {
	rows := s.rows
	if count >= 0 {
		rows = min(rows, float64(count))
	}
	op := p.node(s.cols, rows, s)
	op.Node = &proto.Operator_Limit{Limit: &proto.Limit{Limit: count, Offset: offset}}
	return &stream{op: op, cols: s.cols, frag: impure(s.frag), rows: rows}
}

func (p *phys) limit(n *Limit) (*stream, error) {
	top := int64(0)
	if n.Count > 0 && n.Count < 1<<40 && n.Offset < 1<<40 {
		top = n.Count + n.Offset
	}
	var s *stream
	var err error
	switch in := n.In.(type) {
	case *Sort:
		s, err = p.sortNode(in, top)
	case *Project:
		sort, ok := in.In.(*Sort)
		if !ok {
			s, err = p.lower(in)
			break
		}
		if s, err = p.sortNode(sort, top); err == nil {
			s, err = p.project(s, in.Exprs, in.Out)
		}
	default:
		s, err = p.lower(n.In)
	}
	if err != nil {
		return nil, err
	}
	if !s.single() {
		if n.Count >= 0 && n.Count <= math.MaxInt64-n.Offset {
			s = p.limitOp(s, n.Count+n.Offset, 0)
		}
		if s, err = p.gather(s, nil); err != nil {
			return nil, err
		}
	}
	return p.limitOp(s, n.Count, n.Offset), nil
}

func keyExprs(ks []SortKey) []Expr {
	var es []Expr
	for _, k := range ks {
		es = append(es, k.Expr)
	}
	return es
}

func withExprs(ks []SortKey, es []Expr) []SortKey {
	out := make([]SortKey, len(ks))
	for i, k := range ks {
		out[i] = SortKey{es[i], k.Desc, k.NullsFirst}
	}
	return out
}

// sorted brings all rows into one task in order: every task sorts its own, the
// gather merges.
func (p *phys) sorted(s *stream, keys []SortKey, top int64) (*stream, error) {
	s, es, err := p.columnsFor(s, keyExprs(keys))
	if err != nil {
		return nil, err
	}
	keys = withExprs(keys, es)
	if s, err = p.sort(s, keys, top); err != nil {
		return nil, err
	}
	return p.gather(s, keys)
}

func (p *phys) sortNode(n *Sort, top int64) (*stream, error) {
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	return p.sorted(s, n.Keys, top)
}

// spread partitions s by keys unless rows with equal keys are together already
// and the work fits a task.
func (p *phys) spread(s *stream, keys []Expr) (*stream, error) {
	return p.spreadOver(s, keys, p.tasksFor(s.rows, 0))
}

// spreadOver is spread with the number of tasks.
func (p *phys) spreadOver(s *stream, keys []Expr, n int) (*stream, error) {
	if s.partitioned(keys) && (!s.single() || n == 1) {
		return s, nil
	}
	if n == 1 {
		return p.gather(s, nil)
	}
	return p.shuffle(s, keys, n)
}

// guessedAway is the share of a scan's rows that conditions leave, one in so many,
// from which on the estimate is not trusted to choose a single task: a constant
// that a column is compared with is more often a frequent value than a rare one.
const guessedAway = 1000

func (p *phys) aggregate(n *Aggregate) (*stream, error) {
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	var all []Expr
	nodeExprs(n, func(e Expr) { all = append(all, e) })
	if s, err = p.ensure(s, all...); err != nil {
		return nil, err
	}
	partial := true
	vol := false
	for _, c := range n.Calls {
		if c.Distinct || len(c.Order) > 0 || c.F.StateTypes == nil {
			partial = false
		}
		vol = vol || c.F.UDF != nil && c.F.Volatility == function.Volatile
	}
	groups := p.est.of(n).rows
	keysOut := n.Out[:len(n.Keys)]
	op := func(in *stream, mode proto.Aggregate_Mode, keys []Expr, calls []*proto.AggCall, cols []Col, rows float64) (*stream, error) {
		ks, err := lowerExprs(keys, in.layout())
		if err != nil {
			return nil, err
		}
		o := p.node(cols, rows, in)
		agg := &proto.Aggregate{Mode: mode, Keys: ks, Calls: calls}
		if mode != proto.Aggregate_FINAL {
			for _, r := range n.Always {
				es, err := lowerExprs(r, nil)
				if err != nil {
					return nil, err
				}
				agg.Always = append(agg.Always, &proto.Row{Exprs: es})
			}
		}
		o.Node = &proto.Operator_Aggregate{Aggregate: agg}
		f := *in.frag
		f.pure = false
		f.volatile = f.volatile || vol || volatileUDF(all...)
		return &stream{op: o, cols: cols, frag: &f, rows: rows}, nil
	}
	lowerCalls := func(in *stream) ([]*proto.AggCall, error) {
		var out []*proto.AggCall
		for _, c := range n.Calls {
			l, err := lowerAgg(c, in.layout())
			if err != nil {
				return nil, err
			}
			out = append(out, l)
		}
		return out, nil
	}
	single := func(in *stream, keys []Expr) (*stream, error) {
		calls, err := lowerCalls(in)
		if err != nil {
			return nil, err
		}
		out, err := op(in, proto.Aggregate_SINGLE, keys, calls, n.Out, groups)
		if err != nil {
			return nil, err
		}
		// Keys that were partitioned by are partitioned by still.
		for i, k := range keys {
			if c, ok := k.(*Column); ok && len(in.hash) == 1 && in.hash[0] == c.ID {
				out.hash = []ColID{keysOut[i].ID}
			}
		}
		return out, nil
	}
	if s.single() || len(n.Keys) > 0 && len(n.Always) == 0 && s.partitioned(n.Keys) {
		return single(s, n.Keys)
	}
	if !partial {
		if len(n.Always) > 0 {
			// One task has the groups without rows; several would each have them.
			if s, err = p.gather(s, nil); err != nil {
				return nil, err
			}
			return single(s, n.Keys)
		}
		if len(n.Keys) == 0 {
			if s, err = p.gather(s, nil); err != nil {
				return nil, err
			}
			return single(s, nil)
		}
		s, keys, err := p.columnsFor(s, n.Keys)
		if err != nil {
			return nil, err
		}
		if s, err = p.spread(s, keys); err != nil {
			return nil, err
		}
		return single(s, keys)
	}
	calls, err := lowerCalls(s)
	if err != nil {
		return nil, err
	}
	cols := append([]Col(nil), keysOut...)
	for _, c := range n.Calls {
		for _, t := range c.F.StateTypes(c.ArgTypes) {
			cols = append(cols, p.b.newCol("", t))
		}
	}
	part, err := op(s, proto.Aggregate_PARTIAL, n.Keys, calls, cols, groups)
	if err != nil {
		return nil, err
	}
	keys := make([]Expr, len(keysOut))
	for i, c := range keysOut {
		keys[i] = c.ref()
	}
	if len(keys) == 0 {
		part, err = p.gather(part, nil)
	} else {
		// A guess of many groups that is wrong costs some empty tasks; one of few
		// makes one task merge everybody's groups in a table beyond the caches. Of
		// keys whose values are counted every task has each group at most once.
		arriving := max(groups, s.rows/2)
		if in := p.est.of(n.In); s.frag.pure && in.rows < in.base/guessedAway {
			// So few are left only if every guess about the conditions holds.
			arriving = max(arriving, in.base/4)
		}
		if p.est.counted(n) {
			arriving = min(arriving, groups*float64(s.frag.tasks))
		}
		by := keys
		if n.Spread > 0 {
			by = keys[:n.Spread]
		}
		part, err = p.spreadOver(part, by, p.tasksFor(arriving, 0))
	}
	if err != nil {
		return nil, err
	}
	final := make([]*proto.AggCall, len(n.Calls))
	for i, c := range calls {
		final[i] = &proto.AggCall{Function: c.Function, Udf: c.Udf, Returns: c.Returns, ArgTypes: c.ArgTypes}
	}
	hash := part.hash
	out, err := op(part, proto.Aggregate_FINAL, keys, final, n.Out, groups)
	if err == nil {
		out.hash = hash
	}
	return out, err
}

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

func (p *phys) window(n *Window) (*stream, error) {
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	es := append(append([]Expr(nil), n.Partition...), keyExprs(n.Order)...)
	s, es, err = p.columnsFor(s, es)
	if err != nil {
		return nil, err
	}
	part, order := es[:len(n.Partition)], withExprs(n.Order, es[len(n.Partition):])
	keys := make([]SortKey, 0, len(es))
	for _, e := range part {
		keys = append(keys, SortKey{Expr: e})
	}
	keys = append(keys, order...)
	if len(part) > 0 {
		if s, err = p.spread(s, part); err != nil {
			return nil, err
		}
		s, err = p.sort(s, keys, 0)
	} else {
		s, err = p.sorted(s, keys, 0)
	}
	if err != nil {
		return nil, err
	}
	var args []Expr
	for _, c := range n.Calls {
		args = append(append(args, c.Args...), c.Filter)
		for _, r := range c.Ranges {
			if r != nil {
				args = append(args, r.Key, r.Limit)
			}
		}
	}
	if s, err = p.ensure(s, args...); err != nil {
		return nil, err
	}
	w := &proto.Window{}
	if w.PartitionBy, err = lowerExprs(part, s.layout()); err != nil {
		return nil, err
	}
	if w.OrderBy, err = lowerKeys(order, s.layout()); err != nil {
		return nil, err
	}
	f := *impure(s.frag)
	for _, c := range n.Calls {
		l, err := lowerWindowCall(c, s.layout())
		if err != nil {
			return nil, err
		}
		w.Calls = append(w.Calls, l)
		f.volatile = f.volatile || c.F.UDF != nil && c.F.Volatility == function.Volatile || volatileUDF(c.Args...)
	}
	cols := concatCols(s.cols, n.Out)
	op := p.node(cols, s.rows, s)
	op.Node = &proto.Operator_Window{Window: w}
	return &stream{op: op, cols: cols, frag: &f, hash: s.hash, rows: s.rows}, nil
}

func (p *phys) union(n *Union) (*stream, error) {
	ins := make([]*stream, len(n.In))
	pure, single := true, true
	rows := 0.0
	for i, in := range n.In {
		s, err := p.lower(in)
		if err != nil {
			return nil, err
		}
		if !sameCols(s.cols, in.Cols()) {
			var es []Expr
			for _, c := range in.Cols() {
				es = append(es, c.ref())
			}
			if s, err = p.project(s, es, in.Cols()); err != nil {
				return nil, err
			}
		}
		ins[i] = s
		pure = pure && s.frag.pure
		single = single && s.single()
		rows += s.rows
	}
	var f *fragment
	if pure && !single {
		// Side by side: the tasks of the first input, then those of the next.
		f = &fragment{pure: true}
		for _, s := range ins {
			for _, r := range s.frag.scans {
				task := make([]uint32, len(r.task))
				for i, t := range r.task {
					task[i] = t + uint32(f.tasks)
				}
				f.scans = append(f.scans, &scanRef{scan: r.scan, splits: r.splits, task: task})
			}
			f.tasks += s.frag.tasks
			f.volatile = f.volatile || s.frag.volatile
		}
	} else {
		for i, s := range ins {
			g, err := p.gather(s, nil)
			if err != nil {
				return nil, err
			}
			ins[i] = g
			if f == nil {
				f = impure(g.frag)
			} else {
				f = merge(f, g.frag)
			}
		}
	}
	op := p.node(n.Out, rows, ins...)
	op.Node = &proto.Operator_Union{Union: &proto.Union{}}
	return &stream{op: op, cols: n.Out, frag: f, rows: rows}, nil
}

func (p *phys) groupedMap(n *GroupedMap) (*stream, error) {
	if n.BatchRows > 0 {
		return p.batchMap(n)
	}
	s, err := p.lower(n.In)
	if err != nil {
		return nil, err
	}
	es := append(append([]Expr(nil), n.Keys...), keyExprs(n.Order)...)
	s, es, err = p.columnsFor(s, es)
	if err != nil {
		return nil, err
	}
	keys, order := es[:len(n.Keys)], withExprs(n.Order, es[len(n.Keys):])
	if s, err = p.ensure(s, n.Args...); err != nil {
		return nil, err
	}
	all := make([]SortKey, 0, len(es))
	for _, e := range keys {
		all = append(all, SortKey{Expr: e})
	}
	all = append(all, order...)
	if len(keys) > 0 {
		if s, err = p.spread(s, keys); err != nil {
			return nil, err
		}
		s, err = p.sort(s, all, 0)
	} else {
		s, err = p.sorted(s, all, 0)
		if err == nil {
			s, err = p.gather(s, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	g := &proto.GroupedMap{Udf: udf.RefToProto(n.F), EmptyGroup: n.Empty}
	if g.Keys, err = lowerExprs(keys, s.layout()); err != nil {
		return nil, err
	}
	if g.Args, err = lowerExprs(n.Args, s.layout()); err != nil {
		return nil, err
	}
	for i := range keys {
		name := n.Out[i].Name
		if name == "" {
			name = "key"
		}
		g.KeyNames = append(g.KeyNames, name)
	}
	op := p.node(n.Out, s.rows, s)
	op.Node = &proto.Operator_GroupedMap{GroupedMap: g}
	f := *impure(s.frag)
	f.volatile = f.volatile || n.F.Volatility == function.Volatile
	return &stream{op: op, cols: n.Out, frag: &f, rows: s.rows}, nil
}

func (p *phys) tableFunc(n *TableFunc) (*stream, error) {
	tf := &proto.TableFunction{Ordinality: n.Ordinality, Function: n.F.ID}
	var in *stream
	var ins []*stream
	need := columnsOf(n.Args...)
	if len(need) > 0 {
		for level := len(p.outer) - 1; level >= 0; level-- {
			if idsOf(p.outer[level]).meets(need) {
				in = p.outerRef(level)
				break
			}
		}
		if in == nil || !idsOf(in.cols).has(need) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "arguments of %s from several enclosing queries are not supported", n.F.Name)
		}
		ins = append(ins, in)
	}
	var lay layout
	if in != nil {
		lay = in.layout()
	}
	if n.F.UDF != nil {
		if in == nil {
			in = p.oneRow()
		}
		return p.mapOver(in, &GroupedMap{F: n.F, Args: n.Args, BatchRows: 1, Ordinality: n.Ordinality, Out: n.Out}, 1000)
	}
	var err error
	if tf.Args, err = lowerExprs(n.Args, lay); err != nil {
		return nil, err
	}
	op := p.node(n.Out, 1000, ins...)
	op.Node = &proto.Operator_TableFunction{TableFunction: tf}
	return &stream{op: op, cols: n.Out, rows: 1000, frag: &fragment{tasks: 1}}, nil
}

func (p *phys) dependent(n *Dependent) (*stream, error) {
	l, err := p.lower(n.Left)
	if err != nil {
		return nil, err
	}
	if l, err = p.gather(l, nil); err != nil {
		return nil, err
	}
	need := freeColumns(n.Right)
	d := &proto.DependentJoin{Kind: n.Kind, Level: uint32(len(p.outer))}
	var bound []Col
	for i, c := range l.cols {
		if need[c.ID] {
			d.OuterColumns = append(d.OuterColumns, uint32(i))
			bound = append(bound, c)
		}
	}
	p.outer = append(p.outer, bound)
	p.serial++
	r, err := p.lower(n.Right)
	p.serial--
	p.outer = p.outer[:len(p.outer)-1]
	if err != nil {
		return nil, err
	}
	want := n.Out
	if n.Kind != proto.DependentJoin_EXISTS {
		// Exactly the columns that are seen above.
		inner := n.Right.Cols()
		if !sameCols(r.cols, inner) {
			p.outer = append(p.outer, bound)
			var es []Expr
			for _, c := range inner {
				es = append(es, c.ref())
			}
			r, err = p.project(r, es, inner)
			p.outer = p.outer[:len(p.outer)-1]
			if err != nil {
				return nil, err
			}
		}
	}
	cols := concatCols(l.cols, want)
	op := p.node(cols, l.rows, l, r)
	op.Node = &proto.Operator_DependentJoin{DependentJoin: d}
	return &stream{op: op, cols: cols, frag: impure(merge(l.frag, r.frag)), rows: l.rows}, nil
}

// sharedRead plans a CTE: in place for its only reader, as a stage of its own
// for several.
func (p *phys) sharedRead(n *Shared) (*stream, error) {
	rename := func(s *stream, from []Col) (*stream, error) {
		var es []Expr
		for _, c := range from {
			es = append(es, c.ref())
		}
		return p.project(s, es, n.Out)
	}
	if n.Plan.refs == 1 || p.serial > 0 {
		if p.serial > 0 && n.Plan.refs > 1 && anyVolatile(n.Plan.In) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "WITH query %q has volatile functions and is read by a correlated subquery; this is not supported", n.Plan.Name)
		}
		s, err := p.lower(n.Plan.In)
		if err != nil {
			return nil, err
		}
		return rename(s, n.Plan.In.Cols())
	}
	sh := p.shared[n.Plan]
	if sh == nil {
		s, err := p.lower(n.Plan.In)
		if err != nil {
			return nil, err
		}
		sh = &sharedStage{cols: s.cols, rows: s.rows}
		sh.id = p.close(s, &proto.Partitioning{Kind: proto.Partitioning_SINGLE, Count: 1})
		p.shared[n.Plan] = sh
	}
	return rename(p.read(sh.id, sh.cols, sh.rows, 1, nil), n.Plan.In.Cols())
}

func anyVolatile(n Node) bool {
	found := false
	nodeExprs(n, func(e Expr) { found = found || isVolatile(e) })
	for _, in := range n.Inputs() {
		found = found || anyVolatile(in)
	}
	return found
}

func isReg(t types.Type) bool {
	switch t.ID {
	case types.Regclass, types.Regproc, types.Regprocedure, types.Regtype, types.Regnamespace:
		return true
	}
	return false
}
