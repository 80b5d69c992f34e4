package physical

import (
	"context"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggParts is the plan of an aggregate made of functions (CREATE AGGREGATE …
// SFUNC): expressions that all its states share.
type aggParts struct {
	name          string
	state         types.Type
	args          []types.Type
	init          *Expr // nil: NULL
	step          *Expr
	combine       *Expr // nil: states cannot be merged
	final         *Expr // nil: the state is the result
	strict        bool  // step: rows with NULL are not folded
	combineStrict bool
}

func newAggParts(env *Env, p *proto.AggParts, args []types.Type) (*aggParts, error) {
	a := &aggParts{name: p.Name, state: TypeOf(p.State), args: args, strict: p.StepStrict, combineStrict: p.CombineStrict}
	for _, x := range []struct {
		to *(*Expr)
		e  *proto.Expr
		in []types.Type
	}{
		{&a.init, p.Init, nil}, {&a.step, p.Step, append([]types.Type{a.state}, args...)},
		{&a.combine, p.Combine, []types.Type{a.state, a.state}}, {&a.final, p.Final, []types.Type{a.state}},
	} {
		if x.e == nil {
			continue
		}
		var err error
		if *x.to, err = Compile(env, x.e, x.in); err != nil {
			return nil, err
		}
	}
	if a.step == nil {
		return nil, pgerr.New(pgerr.InternalError, "aggregate %s has no transition function", p.Name)
	}
	return a, nil
}

// aggregator makes the states of a call. lanes says that the rows of a group may be
// folded in pieces that are then combined.
func (p *aggParts) aggregator(ctx context.Context, lanes bool) (function.Aggregator, error) {
	a := &partsAgg{aggParts: p, ctx: ctx, lanes: lanes && p.combine != nil, init: vector.NewNull(p.state, 1)}
	if p.init != nil {
		v, err := p.init.Eval(ctx, vector.NewBatch(nil, 1))
		if err != nil {
			return nil, err
		}
		a.init = v.Flatten()
	}
	return a, nil
}

// partsAgg is the states of one call. What a group's state is, is a row of one of
// the vectors that steps have given.
//
// Rows are folded in rounds: the first row of every group in the batch, then the
// second of those that have one. A round is one evaluation over as many rows as
// groups are in it, so a batch of few groups takes many rounds. Where states can be
// merged, long runs of rows are cut into pieces of laneRows, folded side by side as
// groups of their own, and combined in their order.
type partsAgg struct {
	*aggParts
	ctx   context.Context
	lanes bool
	init  *vector.Vector // one row
	cells []cell
	held  []*vector.Vector // that cells point into
	rows  int              // of held
	bytes int64
	count []int32 // scratch, per group: zero between calls
}

// cell is where a state is; the zero value is a group without rows: the initial one.
type cell struct{ v, row int32 } // v counts from 1

const laneRows = 32

func (a *partsAgg) Grow(n int) {
	if n > len(a.cells) {
		a.cells = append(a.cells, make([]cell, n-len(a.cells))...)
		a.count = append(a.count, make([]int32, n-len(a.count))...)
	}
}

func (a *partsAgg) Update(groups []int32, args []*vector.Vector, n int) error {
	a.Grow(1)
	args = append([]*vector.Vector(nil), args...)
	for i, v := range args {
		args[i] = v.Flatten()
	}
	if a.strict {
		if rows := notNull(args, n); rows != nil {
			args = gatherArgs(args, rows)
			groups = pickOr(groups, rows)
			n = len(rows)
		}
	}
	if n == 0 {
		return nil
	}
	order, most := a.ordinals(groups, n)
	if a.lanes && most > 2*laneRows {
		return a.inLanes(groups, order, args, n)
	}
	return a.fold(groups, order, int(most), func(states *vector.Vector, fresh bool, rows []int32) (*vector.Vector, error) {
		if fresh && a.strict && a.aggParts.init == nil {
			return vector.Gather(args[0], rows).Retype(a.state), nil
		}
		cols := append([]*vector.Vector{states}, gatherArgs(args, rows)...)
		v, err := a.step.Eval(a.ctx, vector.NewBatch(cols, len(rows)))
		if err != nil {
			return nil, err
		}
		return v.Flatten(), nil
	})
}

// notNull is the rows without NULL, nil when that is all.
func notNull(args []*vector.Vector, n int) []int32 {
	var valid []byte
	for _, v := range args {
		valid = vector.AndValid(valid, v.Valid, n)
	}
	if valid == nil || vector.CountValid(valid, n) == n {
		return nil
	}
	rows := make([]int32, 0, n)
	for i := range n {
		if vector.IsValid(valid, i) {
			rows = append(rows, int32(i))
		}
	}
	return rows
}

func pickOr(groups, rows []int32) []int32 {
	if groups == nil {
		return nil
	}
	return pick(groups, rows)
}

// ordinals numbers the rows of each group, and gives the most rows of one.
func (a *partsAgg) ordinals(groups []int32, n int) (order []int32, most int32) {
	order = make([]int32, n)
	if groups == nil {
		for i := range order {
			order[i] = int32(i)
		}
		return order, int32(n)
	}
	for i, g := range groups[:n] {
		order[i] = a.count[g]
		a.count[g]++
		most = max(most, a.count[g])
	}
	for _, g := range groups[:n] {
		a.count[g] = 0
	}
	return order, most
}

// fold runs the rounds. next gives the states after the given rows, all of different
// groups, fresh if these have had no rows before.
func (a *partsAgg) fold(groups, order []int32, rounds int, next func(states *vector.Vector, fresh bool, rows []int32) (*vector.Vector, error)) error {
	n := len(order)
	// Rows by round, in their order.
	starts := make([]int32, rounds+1)
	for _, o := range order {
		starts[o+1]++
	}
	for r := range rounds {
		starts[r+1] += starts[r]
	}
	byRound := make([]int32, n)
	at := append([]int32(nil), starts[:rounds]...)
	for i, o := range order {
		byRound[at[o]] = int32(i)
		at[o]++
	}
	group := func(row int32) int32 {
		if groups == nil {
			return 0
		}
		return groups[row]
	}
	for r := range rounds {
		if r&0xff == 0xff {
			if err := cancelled(a.ctx); err != nil {
				return err
			}
		}
		rows := byRound[starts[r]:starts[r+1]]
		var fresh, known []int32
		if r == 0 {
			for _, row := range rows {
				if a.cells[group(row)].v == 0 {
					fresh = append(fresh, row)
				} else {
					known = append(known, row)
				}
			}
		} else {
			known = rows
		}
		for _, part := range []struct {
			rows  []int32
			fresh bool
		}{{fresh, true}, {known, false}} {
			if len(part.rows) == 0 {
				continue
			}
			gs := make([]int32, len(part.rows))
			for i, row := range part.rows {
				gs[i] = group(row)
			}
			v, err := next(a.states(gs), part.fresh, part.rows)
			if err != nil {
				return err
			}
			a.put(gs, v)
		}
	}
	a.compact()
	return nil
}

// states gathers the states of groups.
func (a *partsAgg) states(groups []int32) *vector.Vector {
	from := a.cells[groups[0]].v
	rows := make([]int32, len(groups))
	for i, g := range groups {
		c := a.cells[g]
		if c.v != from {
			return a.mixed(groups)
		}
		rows[i] = c.row
	}
	if from == 0 {
		return vector.Gather(a.init, rows)
	}
	return vector.Gather(a.held[from-1], rows)
}

func (a *partsAgg) mixed(groups []int32) *vector.Vector {
	b := vector.NewBuilder(a.state, len(groups))
	for _, g := range groups {
		if c := a.cells[g]; c.v == 0 {
			b.AppendFrom(a.init, 0)
		} else {
			b.AppendFrom(a.held[c.v-1], int(c.row))
		}
	}
	return b.Build()
}

// put makes v the states of groups.
func (a *partsAgg) put(groups []int32, v *vector.Vector) {
	a.held = append(a.held, v)
	a.rows += v.Len
	a.bytes += vectorBytes(v)
	for i, g := range groups {
		a.cells[g] = cell{int32(len(a.held)), int32(i)}
	}
}

// compact puts the states into one vector when most of what is held is no state any
// more.
func (a *partsAgg) compact() {
	live := len(a.cells)
	if len(a.held) < 2 || a.rows < 2*live+1<<12 && len(a.held) < 1<<10 {
		return
	}
	var groups []int32
	for g, c := range a.cells {
		if c.v != 0 {
			groups = append(groups, int32(g))
		}
	}
	v := a.mixed(groups)
	a.held, a.rows, a.bytes = nil, 0, 0
	a.put(groups, v)
}

// inLanes folds pieces of the groups' rows as groups of their own.
func (a *partsAgg) inLanes(groups, order []int32, args []*vector.Vector, n int) error {
	// lane[g] + order/laneRows is the piece of a row.
	pieces := map[int32]int32{}
	for i, o := range order {
		g := int32(0)
		if groups != nil {
			g = groups[i]
		}
		pieces[g] = max(pieces[g], o/laneRows+1)
	}
	first := make(map[int32]int32, len(pieces))
	var of []int32 // per piece: its group
	for i := range n {
		g := int32(0)
		if groups != nil {
			g = groups[i]
		}
		if _, ok := first[g]; !ok {
			first[g] = int32(len(of))
			for range pieces[g] {
				of = append(of, g)
			}
		}
	}
	lane := make([]int32, n)
	for i, o := range order {
		g := int32(0)
		if groups != nil {
			g = groups[i]
		}
		lane[i] = first[g] + o/laneRows
	}
	part := &partsAgg{aggParts: a.aggParts, ctx: a.ctx, init: a.init}
	part.Grow(len(of))
	if err := part.Update(lane, args, n); err != nil {
		return err
	}
	for {
		states, err := part.State(0, len(of))
		if err != nil {
			return err
		}
		// Neighbours of one group are combined until it has one state.
		up := make([]int32, len(of))
		var next []int32
		start, halved := 0, false
		for i, g := range of {
			if i > 0 && of[i-1] != g {
				start = i
			}
			if (i-start)%2 == 0 {
				next = append(next, g)
			} else {
				halved = true
			}
			up[i] = int32(len(next) - 1)
		}
		if !halved {
			return a.Merge(of, states, len(of))
		}
		part = &partsAgg{aggParts: a.aggParts, ctx: a.ctx, init: a.init}
		part.Grow(len(next))
		if err := part.Merge(up, states, len(of)); err != nil {
			return err
		}
		of = next
	}
}

// Merge folds states: columns as State gives them. A group without rows takes the
// first. NULL that a strict step made stays NULL; for a strict combine function any
// other NULL is no state.
func (a *partsAgg) Merge(groups []int32, states []*vector.Vector, n int) error {
	a.Grow(1)
	if a.combine == nil {
		return pgerr.New(pgerr.InternalError, "states of aggregate %s cannot be merged", a.name)
	}
	in, seen := states[0].Flatten(), states[1].Flatten()
	rows := make([]int32, 0, n)
	for i, ok := range vector.Values[bool](seen)[:n] {
		if ok && (!a.combineStrict || a.strict || !in.IsNull(i)) {
			rows = append(rows, int32(i))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if len(rows) < n {
		in = vector.Gather(in, rows)
		groups = pickOr(groups, rows)
	}
	order, most := a.ordinals(groups, len(rows))
	return a.fold(groups, order, int(most), func(have *vector.Vector, fresh bool, rows []int32) (*vector.Vector, error) {
		add := vector.Gather(in, rows)
		if fresh {
			return add, nil
		}
		v, err := a.combine.Eval(a.ctx, vector.NewBatch([]*vector.Vector{have, add}, len(rows)))
		if err != nil {
			return nil, err
		}
		if v = v.Flatten(); a.combineStrict && !a.strict && have.Valid != nil {
			b := vector.NewBuilder(a.state, len(rows))
			for i := range rows {
				if have.IsNull(i) {
					b.AppendFrom(add, i)
				} else {
					b.AppendFrom(v, i)
				}
			}
			v = b.Build()
		}
		return v, nil
	})
}

func (a *partsAgg) all(from, to int) []int32 {
	gs := make([]int32, to-from)
	for i := range gs {
		gs[i] = int32(from + i)
	}
	return gs
}

func (a *partsAgg) State(from, to int) ([]*vector.Vector, error) {
	seen := make([]bool, to-from)
	if from == to {
		return []*vector.Vector{vector.New(a.state, 0), vector.FromSlice(types.T(types.Bool), seen)}, nil
	}
	a.Grow(to)
	for i := range seen {
		seen[i] = a.cells[from+i].v != 0
	}
	return []*vector.Vector{a.states(a.all(from, to)), vector.FromSlice(types.T(types.Bool), seen)}, nil
}

func (a *partsAgg) Final(from, to int) (*vector.Vector, error) {
	a.Grow(to)
	if from == to {
		t := a.state
		if a.final != nil {
			t = a.final.Type
		}
		return vector.New(t, 0), nil
	}
	v := a.states(a.all(from, to))
	if a.final == nil {
		return v, nil
	}
	return a.final.Eval(a.ctx, vector.NewBatch([]*vector.Vector{v}, to-from))
}

func (a *partsAgg) Size() int64 { return a.bytes + int64(12*cap(a.cells)) }

func (a *partsAgg) Close() error { return nil }
