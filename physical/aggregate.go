package physical

import (
	"context"
	"slices"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// aggregate groups its input by hashing and folds the aggregates' states, which
// live in columns indexed by group. Groups come out in the order of their first
// appearance.
//
// Over budget a PARTIAL aggregate gives out the states so far and starts anew.
// The others stop taking new groups: rows of known groups are folded as before,
// the rest goes to 16 files by hash, and after the groups in memory have been
// given out each file is aggregated in the same way. Those results are sorted by
// the row in which their group was first seen: when the budget is used up depends
// on what else runs, the order of the groups must not.
type aggregate struct {
	n       *node
	mode    proto.Aggregate_Mode
	keys    []*Expr
	keyTs   []types.Type
	inTs    []types.Type
	calls   []*aggCall
	pass    *aggPass
	pending []*aggPart // stack: the next one last
	out     *aggOutput
	late    *sorter // results of groups that were in files
	ended   bool
	any     bool // a row has been seen, or a result given
	canPass bool // PARTIAL: see passAfter
	passing bool
	seq     []int32 // 0, 1, 2, …
	always  []*proto.Row
}

// aggCall is the plan of one aggregate call.
type aggCall struct {
	make      func(ctx context.Context) (function.Aggregator, error)
	args      []*Expr
	argTs     []types.Type
	stateFrom int // FINAL: first input column of its states
	states    int
	filter    *Expr
	distinct  bool
	order     []*Expr
	orders    []keyOrder
	unordered bool // the result does not depend on the order of the rows
	same      bool // the state of a single row is its argument
	rows      bool // count(*)
}

// aggPart is rows that wait on disk.
type aggPart struct {
	file  *spillFile
	level int
}

const (
	spillFanOut   = 16
	maxSpillLevel = 6
	// maxPartialGroups bounds the table of a PARTIAL aggregate: beyond it the
	// table outgrows the caches and merging after the exchange is cheaper.
	maxPartialGroups = 1 << 18
)

func newAggregate(n *node, op *proto.Aggregate) (Operator, error) {
	op, err := n.liftAggregate(op)
	if err != nil {
		return nil, err
	}
	a := &aggregate{n: n, mode: op.Mode, inTs: n.inTypes(0), always: op.Always}
	if a.keys, err = n.compileAll(op.Keys, 0); err != nil {
		return nil, err
	}
	for _, k := range a.keys {
		a.keyTs = append(a.keyTs, k.Type)
	}
	at := len(a.keys)
	for _, c := range op.Calls {
		call, err := a.newCall(c)
		if err != nil {
			return nil, err
		}
		if op.Mode == proto.Aggregate_FINAL {
			call.stateFrom = at
			at += call.states
		}
		a.calls = append(a.calls, call)
	}
	a.canPass = a.passable()
	if op.Mode == proto.Aggregate_FINAL && at != len(a.inTs) {
		return nil, pgerr.New(pgerr.InternalError, "final aggregation of %d columns, expected %d", len(a.inTs), at)
	}
	every := slices.Clone(a.keys) // what is evaluated for all rows
	for _, c := range a.calls {
		if c.filter == nil {
			every = append(every, c.args...)
		}
	}
	n.ins[0] = pipelined(n.ins[0], every)
	return a, nil
}

func (a *aggregate) newCall(c *proto.AggCall) (*aggCall, error) {
	call := &aggCall{distinct: c.Distinct}
	for _, t := range c.ArgTypes {
		call.argTs = append(call.argTs, TypeOf(t))
	}
	if a.mode != proto.Aggregate_FINAL {
		var err error
		if call.args, err = a.n.compileAll(c.Args, 0); err != nil {
			return nil, err
		}
		if len(call.argTs) == 0 {
			for _, x := range call.args {
				call.argTs = append(call.argTs, x.Type)
			}
		}
		if c.Filter != nil {
			if call.filter, err = a.n.compile(c.Filter, 0); err != nil {
				return nil, err
			}
		}
		for _, k := range c.OrderBy {
			x, err := a.n.compile(k.Expr, 0)
			if err != nil {
				return nil, err
			}
			call.order = append(call.order, x)
			call.orders = append(call.orders, keyOrder{desc: k.Desc, nullsFirst: k.NullsFirst})
		}
		if a.mode == proto.Aggregate_PARTIAL && (c.Distinct || len(c.OrderBy) > 0) {
			return nil, pgerr.New(pgerr.InternalError, "partial aggregation with DISTINCT or ORDER BY")
		}
	} else {
		call.distinct = false
	}
	ts := call.argTs
	if c.Parts != nil {
		parts, err := newAggParts(a.n.env, c.Parts, ts)
		if err != nil {
			return nil, err
		}
		if a.mode != proto.Aggregate_SINGLE && parts.combine == nil {
			return nil, pgerr.New(pgerr.InternalError, "aggregate %s has no partial states", c.Parts.Name)
		}
		call.states = 2
		lanes := !c.Distinct && len(c.OrderBy) == 0
		call.make = func(ctx context.Context) (function.Aggregator, error) { return parts.aggregator(ctx, lanes) }
		return call, nil
	}
	if c.Udf != nil && c.Function == "" {
		if a.n.env.UDF == nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "aggregate %s cannot be called here", c.Udf.Display)
		}
		env, ref := a.n.env, c.Udf
		call.states = 1 // opaque bytes
		call.make = func(ctx context.Context) (function.Aggregator, error) { return env.aggregator(ctx, ref, ts, a.n.stats) }
		return call, nil
	}
	f, ok := function.ByID(c.Function)
	if !ok || f.NewAggregate == nil {
		return nil, pgerr.New(pgerr.InternalError, "unknown aggregate %s in a plan", c.Function)
	}
	if a.mode != proto.Aggregate_SINGLE {
		if f.StateTypes == nil {
			return nil, pgerr.New(pgerr.InternalError, "aggregate %s has no partial states", f.ID)
		}
		states := f.StateTypes(ts)
		call.states = len(states)
		call.single(f.Name, states)
	}
	call.make = func(context.Context) (function.Aggregator, error) { return f.NewAggregate(ts), nil }
	switch f.Name {
	case "count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor",
		"variance", "var_pop", "var_samp", "stddev", "stddev_pop", "stddev_samp":
		call.unordered = true
	}
	return call, nil
}

func (a *aggregate) Next(ctx context.Context) (*vector.Batch, error) {
	for {
		if a.out != nil {
			b, err := a.out.Next(ctx)
			switch {
			case err != nil:
				return nil, err
			case b != nil && a.pass.level == 0:
				return b, nil
			case b != nil:
				if err := a.late.addToRun(ctx, b); err != nil {
					return nil, err
				}
				continue
			}
			if a.late != nil {
				if err := a.late.endRun(ctx); err != nil {
					return nil, err
				}
			}
			a.out = nil
			a.pass.close()
			a.pass = nil
		}
		if a.ended && len(a.pending) == 0 {
			return a.late.nextLate(ctx)
		}
		if a.passing && !a.ended {
			b, err := a.n.ins[0].Next(ctx)
			if err != nil {
				return nil, err
			}
			if b == nil {
				a.ended = true
				return nil, nil
			}
			if b.Rows() > 0 {
				return a.through(ctx, b)
			}
			continue
		}
		var err error
		if !a.ended {
			err = a.run(ctx, a.n.ins[0], 0)
		} else {
			p := a.pending[len(a.pending)-1]
			a.pending = a.pending[:len(a.pending)-1]
			err = a.runPart(ctx, p)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (a *aggregate) runPart(ctx context.Context, p *aggPart) error {
	defer p.file.close()
	r, err := p.file.reader()
	if err != nil {
		return err
	}
	return a.run(ctx, r, p.level)
}

// run aggregates in until its end, or, partial, until the budget is used up.
func (a *aggregate) run(ctx context.Context, in batchSource, level int) error {
	if a.pass == nil {
		p, err := newAggPass(ctx, a, level)
		if err != nil {
			return err
		}
		a.pass = p
	}
	p := a.pass
	if len(a.always) > 0 && len(a.keys) > 0 && level == 0 && p.groups == 0 {
		if err := p.addGroups(ctx, a.always); err != nil {
			return err
		}
	}
	full := false
	for !full {
		b, err := in.Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			a.ended = true
			break
		}
		a.any = true
		if full, err = p.add(ctx, b); err != nil {
			return err
		}
		if !full && p.useless() {
			full, a.passing = true, true
		}
	}
	parts, err := p.parts(ctx)
	if len(parts) > 0 && a.late == nil {
		a.late = newLate(a.n)
	}
	for i := len(parts) - 1; i >= 0; i-- { // a stack: the first on top
		a.pending = append(a.pending, parts[i])
	}
	if err != nil {
		return err // Close closes them
	}
	if len(a.keys) == 0 {
		if a.mode == proto.Aggregate_PARTIAL && !a.any {
			p.close()
			a.pass = nil
			return nil
		}
		p.grow(1)
	}
	a.out, err = p.finish(ctx)
	return err
}

func (a *aggregate) Close() error {
	if a.pass != nil {
		a.pass.close()
	}
	for _, p := range a.pending {
		p.file.close()
	}
	a.pending = nil
	if a.late != nil {
		a.late.close()
	}
	return a.n.closeInputs()
}
