package planner

import (
	"slices"

	"github.com/volleydb/volley/proto"
)

// Sizes that decide how much a plan is cut. They see the data only, never the
// cluster: the same query over the same files has the same tasks everywhere.
const (
	// RowsPerTask is how many rows a task should get.
	RowsPerTask = 250_000
	maxTasks    = 64
)

// sizes are the cuts of one plan; all follow from the rows per task.
type sizes struct {
	rowsPerTask  float64
	bytesPerTask float64
	// broadcastRows is the largest build side that is copied to every task
	// instead of shuffling both sides.
	broadcastRows float64
}

func (o *Options) sizes() sizes {
	rows := float64(RowsPerTask)
	if o.RowsPerTask > 0 {
		rows = float64(o.RowsPerTask)
	}
	return sizes{rowsPerTask: rows, bytesPerTask: rows * 64, broadcastRows: rows * 4 / 5}
}

// fragment is a stage in the making: operators that run without data moving
// between tasks.
type fragment struct {
	tasks       int
	scans       []*scanRef
	inputs      []uint32
	coordinator bool // reads catalog tables
	volatile    bool
	// pure fragments consist of scans, filters and projections, so that tasks
	// of two of them can stand side by side in one stage.
	pure bool
}

// scanRef is a scan of a fragment with the task of each split.
type scanRef struct {
	scan   *proto.Scan
	splits []*proto.Split
	task   []uint32
}

// stream is a physical subplan: the operator on top, its columns and the
// fragment it belongs to.
type stream struct {
	op   *proto.Operator
	cols []Col
	frag *fragment
	// hash: rows with equal values of these columns are in the same task.
	hash []ColID
	rows float64
}

func (s *stream) layout() layout { return layoutOf(s.cols) }

// single reports that one task makes all rows.
func (s *stream) single() bool { return s.frag.tasks == 1 }

func (z sizes) tasksFor(rows, bytes float64) int {
	n := max(ceilDiv(rows, z.rowsPerTask), ceilDiv(bytes, z.bytesPerTask))
	return min(max(n, 1), maxTasks)
}

func ceilDiv(a, b float64) int {
	if a <= 0 {
		return 0
	}
	if a/b > maxTasks {
		return maxTasks
	}
	n := int(a / b)
	if float64(n)*b < a {
		n++
	}
	return n
}

// assign spreads splits over at most n tasks: contiguous runs of about equal
// weight, in order, so that the order of the tasks is the order of the files.
func assign(splits []*proto.Split, n int) (task []uint32, tasks int) {
	if len(splits) == 0 {
		return nil, 1
	}
	total := 0.0
	weight := func(s *proto.Split) float64 { return float64(max(s.Rows, 1)) }
	for _, s := range splits {
		total += weight(s)
	}
	n = min(n, len(splits))
	task = make([]uint32, len(splits))
	sum, cur, first := 0.0, 0, true
	for i, s := range splits {
		// Begin the next task when this one has its share; every task gets a split.
		left := len(splits) - i
		if !first && cur < n-1 && (sum+weight(s)/2 > total*float64(cur+1)/float64(n) || left <= n-1-cur) {
			cur++
		}
		first = false
		task[i] = uint32(cur)
		sum += weight(s)
	}
	return task, cur + 1
}

// merge joins two fragments of equally many tasks into one.
func merge(a, b *fragment) *fragment {
	if a == b {
		return a
	}
	return &fragment{
		tasks:       max(a.tasks, b.tasks),
		scans:       append(a.scans[:len(a.scans):len(a.scans)], b.scans...),
		inputs:      append(a.inputs[:len(a.inputs):len(a.inputs)], b.inputs...),
		coordinator: a.coordinator || b.coordinator,
		volatile:    a.volatile || b.volatile,
	}
}

// node makes an operator.
func (p *phys) node(cols []Col, rows float64, inputs ...*stream) *proto.Operator {
	p.nextOp++
	op := &proto.Operator{Id: p.nextOp, Fields: fieldsOf(cols), RowsEstimate: rows}
	for _, in := range inputs {
		op.Inputs = append(op.Inputs, in.op)
	}
	return op
}

// close makes a stage of a stream and returns its number.
func (p *phys) close(s *stream, out *proto.Partitioning) uint32 {
	f := s.frag
	st := &proto.Stage{Id: uint32(len(p.stages)), Root: s.op, Output: out, Tasks: uint32(f.tasks),
		Volatile: f.volatile, CoordinatorOnly: f.coordinator}
	seen := map[uint32]bool{}
	for _, in := range f.inputs {
		if !seen[in] {
			seen[in] = true
			st.Inputs = append(st.Inputs, in)
		}
	}
	for i, r := range f.scans {
		r.scan.ScanId = uint32(i)
		st.Splits = append(st.Splits, &proto.TaskSplits{Splits: r.splits, Task: r.task})
	}
	p.stages = append(p.stages, st)
	return st.Id
}

// read opens a fragment of n tasks over a stage.
func (p *phys) read(stage uint32, cols []Col, rows float64, n int, merge []*proto.SortKey) *stream {
	op := p.node(cols, rows)
	op.Node = &proto.Operator_ExchangeRead{ExchangeRead: &proto.ExchangeRead{Stage: stage, Merge: merge}}
	return &stream{op: op, cols: cols, rows: rows, frag: &fragment{tasks: n, inputs: []uint32{stage}}}
}

// gather brings a stream into one task: in task order, or merged by keys that
// every task's output is sorted by.
func (p *phys) gather(s *stream, keys []SortKey) (*stream, error) {
	if s.single() {
		return s, nil
	}
	ks, err := lowerKeys(keys, s.layout())
	if err != nil {
		return nil, err
	}
	id := p.close(s, &proto.Partitioning{Kind: proto.Partitioning_SINGLE, Count: 1})
	return p.read(id, s.cols, s.rows, 1, ks), nil
}

// shuffle partitions a stream by the hash of columns into n tasks.
func (p *phys) shuffle(s *stream, keys []Expr, n int) (*stream, error) {
	ks, err := lowerExprs(keys, s.layout())
	if err != nil {
		return nil, err
	}
	id := p.close(s, &proto.Partitioning{Kind: proto.Partitioning_HASH, Keys: ks, Count: uint32(n)})
	out := p.read(id, s.cols, s.rows, n, nil)
	for _, k := range keys {
		if c, ok := k.(*Column); ok {
			out.hash = append(out.hash, c.ID)
		}
	}
	return out, nil
}

// broadcast gives every one of n tasks the whole stream.
func (p *phys) broadcast(s *stream, n int) *stream {
	id := p.close(s, &proto.Partitioning{Kind: proto.Partitioning_BROADCAST, Count: 1})
	return p.read(id, s.cols, s.rows, n, nil)
}

// partitioned reports that rows with equal keys meet in one task.
func (s *stream) partitioned(keys []Expr) bool {
	if s.single() {
		return true
	}
	if len(s.hash) == 0 {
		return false
	}
	have := colSet{}
	for _, k := range keys {
		if c, ok := k.(*Column); ok {
			have[c.ID] = true
		}
	}
	for _, id := range s.hash {
		if !have[id] {
			return false
		}
	}
	return true
}

// columnsFor computes expressions that are not columns beside s, so that they
// are evaluated once and can be sorted and shuffled by.
func (p *phys) columnsFor(s *stream, es []Expr) (*stream, []Expr, error) {
	out := append([]Expr(nil), es...)
	have := idsOf(s.cols)
	var extra []Expr
	var cols []Col
	for i, e := range es {
		if c, ok := e.(*Column); ok && have[c.ID] {
			continue
		}
		found := false
		for j, x := range extra {
			if sameExpr(x, e) {
				out[i], found = cols[j].ref(), true
			}
		}
		if !found {
			c := p.b.newCol("", e.Type())
			extra, cols = append(extra, e), append(cols, c)
			out[i] = c.ref()
		}
	}
	if len(extra) == 0 {
		return s, out, nil
	}
	all := make([]Expr, 0, len(s.cols)+len(extra))
	for _, c := range s.cols {
		all = append(all, c.ref())
	}
	n, err := p.project(s, append(all, extra...), concatCols(s.cols, cols))
	return n, out, err
}

// project adds a Project operator.
func (p *phys) project(s *stream, es []Expr, cols []Col) (*stream, error) {
	s, err := p.ensure(s, es...)
	if err != nil {
		return nil, err
	}
	exprs, err := lowerExprs(es, s.layout())
	if err != nil {
		return nil, err
	}
	op := p.node(cols, s.rows, s)
	op.Node = &proto.Operator_Project{Project: &proto.Project{Exprs: exprs}}
	f := s.frag
	if volatileUDF(es...) {
		c := *f
		c.volatile = true
		f = &c
	}
	out := &stream{op: op, cols: cols, frag: f, rows: s.rows}
	// The distribution survives if its columns do, perhaps under other names.
	for _, id := range s.hash {
		i := slices.IndexFunc(es, func(e Expr) bool {
			c, ok := e.(*Column)
			return ok && c.ID == id
		})
		if i < 0 {
			out.hash = nil
			break
		}
		out.hash = append(out.hash, cols[i].ID)
	}
	return out, nil
}

// sort orders every task's rows.
func (p *phys) sort(s *stream, keys []SortKey, topN int64) (*stream, error) {
	if len(keys) == 0 {
		return s, nil
	}
	ks, err := lowerKeys(keys, s.layout())
	if err != nil {
		return nil, err
	}
	rows := s.rows
	if topN > 0 {
		rows = min(rows, float64(topN))
	}
	op := p.node(s.cols, rows, s)
	op.Node = &proto.Operator_Sort{Sort: &proto.Sort{Keys: ks, Limit: topN}}
	f := *s.frag
	f.pure = false
	return &stream{op: op, cols: s.cols, frag: &f, hash: s.hash, rows: rows}, nil
}

// scanOp makes a scan whose splits are spread over at most n tasks.
func (p *phys) scanOp(cols []Col, rows float64, scan *proto.Scan, splits []*proto.Split, n int) *stream {
	if p.serial > 0 {
		n = 1
	}
	task, tasks := assign(splits, n)
	op := p.node(cols, rows)
	op.Node = &proto.Operator_Scan{Scan: scan}
	return &stream{op: op, cols: cols, rows: rows,
		frag: &fragment{tasks: tasks, pure: true, scans: []*scanRef{{scan: scan, splits: splits, task: task}}}}
}
