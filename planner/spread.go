package planner

import (
	"math"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
)

// A task has about RowsPerTask rows, however long a function takes for one of them. So
// that costly functions use every processor nevertheless, the rows of a single task are
// dealt over several before such a call and collected again, in their order, after it:
// what stands above sees the same rows in the same order in one task, and results are
// those of the plan without. This is why the plan may depend on measured times here.
const (
	costlyRow = 2e3   // least nanoseconds of a row
	costlyAll = 100e6 // least nanoseconds of all rows
	longTask  = 300e6 // nanoseconds that are enough for a task: to hand over the next takes 1 or 2 ms
	shortTask = 50e6  // nanoseconds that a task should have, where few are left for each slot

	leastDealt = 4   // tasks for each slot, unless they were short: none is to wait long for the last
	maxDealt   = 120 // tasks, beyond leastDealt for each slot
	someSlots  = 12  // what is taken for their number if that is not known
	maxPiece   = 256 // rows that are dealt at once
)

// CostUnit is what COST counts of user-defined functions, in nanoseconds: about what
// cpu_operator_cost, its unit in Postgres, takes.
const CostUnit = 25

// rowCost is what user code in es takes for a row, in nanoseconds; 0 when it is not
// known, or may not be moved to other tasks: volatile functions are evaluated where the
// plan has them, and functions whose failures leave rows out change how many there are.
func (p *phys) rowCost(es ...Expr) float64 {
	sum, fixed := 0.0, false
	for _, e := range es {
		fixed = fixed || isVolatile(e)
		walk(e, func(e Expr) bool {
			c, ok := e.(*Call)
			if !ok || c.F.UDF == nil || c.F.Kind != function.Scalar {
				return true
			}
			fixed = fixed || c.F.Volatility == function.Volatile || p.b.skips(c.F)
			switch {
			case c.F.UDF.Cost > 0:
				sum += c.F.UDF.Cost * CostUnit
			case p.b.o.MeasuredCost != nil && !p.steady:
				sum += p.b.o.MeasuredCost(c.F)
			}
			return true
		})
	}
	if fixed {
		return 0
	}
	return sum
}

// dealing says over how many tasks, in pieces of how many rows, the rows of s are to be
// dealt for es; 0 if they are not.
func (p *phys) dealing(s *stream, es ...Expr) (tasks, piece int) {
	if p.serial > 0 || len(p.outer) > 0 || !s.single() || s.frag.coordinator || s.rows < 2 {
		return 0, 0
	}
	slots := 0
	if p.b.o.Slots != nil && !p.steady {
		slots = p.b.o.Slots()
	}
	return dealt(p.rowCost(es...), s.rows, slots)
}

// dealt is dealing for rows that take row nanoseconds each, over some slots: as many
// tasks for each of them.
func dealt(row, rows float64, slots int) (tasks, piece int) {
	if row < costlyRow || row*rows < costlyAll {
		return 0, 0
	}
	if slots <= 0 {
		slots = someSlots
	}
	share := row * rows / float64(slots) // of a slot
	each := max(math.Ceil(share/longTask), min(leastDealt, math.Ceil(share/shortTask)))
	each = min(each, max(leastDealt, math.Floor(float64(maxDealt)/float64(slots))))
	tasks = int(min(each*float64(slots), rows))
	return tasks, int(max(1, min(rows/float64(8*tasks), maxPiece)))
}

// costly is project, over several tasks if that pays.
func (p *phys) costly(s *stream, es []Expr, cols []Col) (*stream, error) {
	n, piece := p.dealing(s, es...)
	if n == 0 {
		return p.project(s, es, cols)
	}
	id := p.close(s, &proto.Partitioning{Kind: proto.Partitioning_CHUNK, Count: uint32(n), ChunkRows: uint32(piece)})
	s, err := p.project(p.read(id, s.cols, s.rows, n, nil), es, cols)
	if err != nil {
		return nil, err
	}
	s.op.RowsEstimate = s.rows
	id = p.close(s, &proto.Partitioning{Kind: proto.Partitioning_SINGLE, Count: 1})
	out := p.read(id, s.cols, s.rows, 1, nil)
	out.op.GetExchangeRead().ChunkRows = uint32(piece)
	return out, nil
}

// costlyFilter is filter; where it pays the condition is computed over several tasks
// first.
func (p *phys) costlyFilter(s *stream, cond Expr) (*stream, error) {
	if n, _ := p.dealing(s, cond); n == 0 {
		return p.filter(s, cond)
	}
	cols := s.cols
	refs := make([]Expr, len(cols))
	for i, c := range cols {
		refs[i] = c.ref()
	}
	c := p.b.newCol("", types.T(types.Bool))
	s, err := p.costly(s, append(refs[:len(refs):len(refs)], cond), concatCols(cols, []Col{c}))
	if err != nil {
		return nil, err
	}
	if s, err = p.filter(s, c.ref()); err != nil {
		return nil, err
	}
	return p.project(s, refs, cols)
}

// costlyArgs computes the arguments of aggregates that cost much before the node.
func (p *phys) costlyArgs(n *Aggregate) *Aggregate {
	var es []Expr
	var cols []Col
	before := func(e Expr) Expr {
		if e == nil || p.rowCost(e) < costlyRow {
			return e
		}
		for i, x := range es {
			if sameExpr(x, e) {
				return cols[i].ref()
			}
		}
		c := p.b.newCol("", e.Type())
		es, cols = append(es, e), append(cols, c)
		return c.ref()
	}
	out := *n
	out.Calls = append([]*AggCall(nil), n.Calls...)
	for i, c := range out.Calls {
		k := *c
		k.Args = append([]Expr(nil), c.Args...)
		for j := range k.Args {
			k.Args[j] = before(k.Args[j])
		}
		out.Calls[i] = &k
	}
	if len(es) == 0 {
		return n
	}
	below := &Project{In: n.In}
	for _, c := range n.In.Cols() {
		below.Exprs, below.Out = append(below.Exprs, c.ref()), append(below.Out, c)
	}
	below.Exprs, below.Out = append(below.Exprs, es...), append(below.Out, cols...)
	out.In = below
	return &out
}

// costlyScan is scan, with a filter that costs much after it.
func (p *phys) costlyScan(n *Scan) (*stream, error) {
	if n.Filter == nil || p.lazy[n] || p.rowCost(n.Filter) < costlyRow {
		return p.scan(n)
	}
	all := *n
	all.Filter = nil
	s, err := p.scan(&all)
	if err != nil {
		return nil, err
	}
	if k, _ := p.dealing(s, n.Filter); k == 0 {
		return p.scan(n)
	}
	return p.costlyFilter(s, n.Filter)
}

// steady reports that a plan must be the same whatever its functions were measured to
// cost: random() depends on the stage that it is in, and rows stand in other tasks
// above a UNION whose inputs are single tasks.
func steady(n Node) bool {
	_, union := n.(*Union)
	found := union
	nodeExprs(n, func(e Expr) { found = found || isVolatile(e) })
	for _, in := range n.Inputs() {
		found = found || steady(in)
	}
	return found
}

// stopsEarly marks projections and filters below a LIMIT, whose rows may never be asked
// for: they are not computed all at once.
func (p *phys) stopsEarly(n Node) {
	if p.lazy == nil {
		p.lazy = map[Node]bool{}
	}
	for {
		p.lazy[n] = true
		switch x := n.(type) {
		case *Project:
			n = x.In
		case *Filter:
			n = x.In
		default:
			return
		}
	}
}
