package planner

import (
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
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
	// lazy nodes may not be asked for all their rows; steady plans must not depend on
	// what functions were measured to cost: see spread.go.
	lazy   map[Node]bool
	steady bool
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
		return p.costlyScan(n)
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
		if p.lazy[n] {
			return p.filter(s, n.Cond)
		}
		return p.costlyFilter(s, n.Cond)
	case *Project:
		s, err := p.lower(n.In)
		if err != nil {
			return nil, err
		}
		if p.lazy[n] {
			return p.project(s, n.Exprs, n.Out)
		}
		return p.costly(s, n.Exprs, n.Out)
	case *ProjectSet:
		return p.projectSet(n)
	case *Limit:
		return p.limit(n)
	case *Sort:
		return p.sortNode(n, 0)
	case *Aggregate:
		return p.aggregate(p.costlyArgs(n))
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
		if c.Distinct || len(c.Order) > 0 || c.stateTypes() == nil {
			partial = false
		}
		vol = vol || c.F.UDF != nil && c.parts == nil && c.F.Volatility == function.Volatile || c.parts.volatileCode()
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
		for _, t := range c.stateTypes() {
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
		final[i] = &proto.AggCall{Function: c.Function, Udf: c.Udf, Parts: c.Parts, Returns: c.Returns, ArgTypes: c.ArgTypes}
	}
	hash := part.hash
	out, err := op(part, proto.Aggregate_FINAL, keys, final, n.Out, groups)
	if err == nil {
		out.hash = hash
	}
	return out, err
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
		f.volatile = f.volatile || c.F.UDF != nil && c.parts == nil && c.F.Volatility == function.Volatile || c.parts.volatileCode() || volatileUDF(c.Args...)
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
