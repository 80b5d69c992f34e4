package udf

import (
	"context"
	"fmt"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// aggregator is a function.Aggregator whose states live in the child. Updates
// and merges are sent and not waited for: an error shows at a later call, at the
// latest in State or Final.
type aggregator struct {
	ctx     context.Context
	s       *stream
	returns types.Type
	notNull []bool
	groups  int
	size    int64 // see Size
}

// Aggregate makes the states of an aggregate, which live in the child. ctx
// bounds all calls of the Aggregator. Rows with NULL in an argument that the
// function cannot take are left out. When the child is lost the states are lost
// with it: the error is Transient if it may be another's fault, and the task has to
// run again; see OwnProcesses.
func (h *Host) Aggregate(ctx context.Context, ref *proto.UDF, argTypes []types.Type) (function.Aggregator, error) {
	if len(argTypes) != len(ref.GetArgs()) {
		return nil, pgerr.New(pgerr.InternalError, "aggregate %s called with %d arguments, want %d", ref.GetDisplay(), len(argTypes), len(ref.GetArgs()))
	}
	ret := typeFromProto(ref.GetReturns())
	s, f, err := h.openIn(ctx, ref, kindAggregate, []types.Type{ret}, h.ownProcess(ctx, ref))
	if err != nil {
		return nil, err
	}
	return &aggregator{ctx: ctx, s: s, returns: ret, notNull: notNull(ref, f)}, nil
}

func (a *aggregator) Grow(n int) { a.groups = max(a.groups, n) }

func (a *aggregator) Update(groups []int32, args []*vector.Vector, n int) error {
	if rows := rowsToCall(args, a.notNull, n); rows != nil {
		n = len(rows)
		sub := make([]*vector.Vector, len(args))
		for i, c := range args {
			sub[i] = vector.Gather(c, rows)
		}
		args = sub
		if groups != nil {
			g := make([]int32, n)
			for i, r := range rows {
				g[i] = groups[r]
			}
			groups = g
		}
	}
	return a.send(wire.OpRows, groups, args, n)
}

func (a *aggregator) Merge(groups []int32, states []*vector.Vector, n int) error {
	return a.send(wire.OpMerge, groups, states, n)
}

func (a *aggregator) send(op uint8, groups []int32, cols []*vector.Vector, n int) error {
	a.groups = max(a.groups, 1)
	for from := 0; from < n; {
		slot, err := a.slot()
		if err != nil {
			return err
		}
		to := fit(cols, from, n, groupPieceRows)
		var g []int32
		if groups != nil {
			g = groups[from:to]
		}
		if _, err := a.s.send(slot, op, cols, from, to, g, int64(a.groups), 0); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// slot waits for a free input slot.
func (a *aggregator) slot() (slot int, err error) {
	err = a.s.wait(a.ctx, receiver, func() bool {
		slot = a.s.nextSlot()
		return slot >= 0
	})
	if err == nil {
		err = a.s.ended() // of an earlier batch
	}
	a.s.mu.Lock()
	if done := a.s.seq + 1 - wire.InSlots; a.s.seq >= wire.InSlots {
		if x := a.s.sizes[done%uint64(len(a.s.sizes))]; x.seq == done {
			a.size = x.bytes
		}
	}
	a.s.mu.Unlock()
	return slot, err
}

func (a *aggregator) State(from, to int) ([]*vector.Vector, error) {
	v, err := a.fetch(wire.OpState, from, to, types.T(types.Bytea))
	if err != nil {
		return nil, err
	}
	return []*vector.Vector{v}, nil
}

func (a *aggregator) Final(from, to int) (*vector.Vector, error) {
	return a.fetch(wire.OpFinal, from, to, a.returns)
}

func (a *aggregator) fetch(op uint8, from, to int, t types.Type) (*vector.Vector, error) {
	out := newCollector(t, to-from)
	if from == to {
		return out.v, nil
	}
	slot, err := a.slot()
	if err != nil {
		return nil, err
	}
	a.s.outs = []types.Type{t}
	if _, err := a.s.send(slot, op, nil, 0, 0, nil, int64(from), int64(to)); err != nil {
		return nil, err
	}
	for {
		if err := a.s.wait(a.ctx, receiver, func() bool { return len(a.s.results) > 0 }); err != nil {
			return nil, err
		}
		r, cols, _, err := a.s.receive(false)
		if err != nil {
			return nil, err
		}
		if out.at+cols[0].Len > to-from {
			return nil, a.s.broken(fmt.Errorf("more than %d results", to-from), 0)
		}
		if err := out.add(cols[0]); err != nil {
			return nil, err
		}
		if r.last {
			a.s.mu.Lock()
			a.s.figures.UserNanos += max(r.msg.Done, 0)
			a.s.mu.Unlock()
			break
		}
	}
	if out.at != to-from {
		return nil, a.s.broken(fmt.Errorf("%d results, want %d", out.at, to-from), 0)
	}
	return out.v, nil
}

// Figures returns what was measured so far.
func (a *aggregator) Figures() Figures { return a.s.measured() }

// TakeFailures returns the rows, or results, whose groups have failed since the last
// time, where volley.on_error of the reference is null. Their results are NULL.
func (a *aggregator) TakeFailures() []GroupFailure {
	a.s.mu.Lock()
	failed := a.s.failed
	a.s.failed = nil
	a.s.mu.Unlock()
	var out []GroupFailure
	for _, e := range failed {
		out = append(out, groupFailure(e.Group, -1, e.Err, e.args, e.panic))
	}
	return out
}

// Size is the memory of the states in the child, as far as they are values without
// pointers, before the batches that were sent last, which it may still be working on. It
// does not depend on how far the child is: callers spill by it, and in which order groups
// come depends on when they do.
func (a *aggregator) Size() int64 { return a.size }

func (a *aggregator) Close() error {
	a.s.close()
	return nil
}
