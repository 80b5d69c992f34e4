package physical

import (
	"context"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// ahead is the input of an operator that calls user code for every row: it reads
// one batch more than it hands out and submits it, so that the function works
// while the operator uses the result of the batch before and while the next one
// is made. What goes wrong with a batch, in its input, its arguments or the
// function, is an error of that batch: it comes when the batch does, so that a
// LIMIT that is reached before it never sees it.
type ahead struct {
	in    Operator
	calls []*udfCall
	begun bool
	next  *vector.Batch
	err   error // instead of next
}

// pipelined puts an ahead before an operator with the given expressions, unless
// they call nothing that may be called ahead.
func pipelined(in Operator, exprs []*Expr) Operator {
	var calls []*udfCall
	for _, x := range exprs {
		calls = aheadCalls(x.root, calls)
	}
	if len(calls) == 0 {
		return in
	}
	return &ahead{in: in, calls: calls}
}

// aheadCalls adds the calls in x that are made for every row, whatever other
// expressions say: not those below CASE, AND and the like. Nothing volatile is
// called ahead, neither a function nor in its arguments.
func aheadCalls(x evaluator, calls []*udfCall) []*udfCall {
	switch x := x.(type) {
	case *udfCall:
		if settled(x) {
			calls = append(calls, x)
		}
	case *call:
		for _, a := range x.args {
			calls = aheadCalls(a, calls)
		}
	}
	return calls
}

// settled reports whether evaluating x early, or in vain, shows nowhere.
func settled(x evaluator) bool {
	args := []evaluator(nil)
	switch x := x.(type) {
	case *column, *constant:
		return true
	case *udfCall:
		if x.volatility == function.Volatile {
			return false
		}
		args = x.args
	case *call:
		if x.volatility == function.Volatile {
			return false
		}
		args = x.args
	default:
		return false
	}
	for _, a := range args {
		if !settled(a) {
			return false
		}
	}
	return true
}

func (a *ahead) Next(ctx context.Context) (*vector.Batch, error) {
	if !a.begun {
		a.begun = true
		a.read(ctx)
	}
	b, err := a.next, a.err
	if b != nil {
		a.read(ctx)
	}
	return b, err
}

func (a *ahead) read(ctx context.Context) {
	if a.next, a.err = a.in.Next(ctx); a.next == nil || a.err != nil {
		a.next = nil
		return
	}
	for _, c := range a.calls {
		c.submit(ctx, a.next)
	}
}

func (a *ahead) Close() error { return a.in.Close() }

// udfTicket is a batch that was submitted, or that failed to be.
type udfTicket struct {
	b   *vector.Batch
	err error
}

// submit begins the call for b; eval with the same batch ends it. It does
// nothing for calls that are constant.
func (x *udfCall) submit(ctx context.Context, b *vector.Batch) {
	if b.Rows() == 0 || x.unpiped {
		return
	}
	fc := *x.env.ctx()
	fc.Context = ctx
	args, constant, done, err := x.evalArgs(&fc, b)
	switch {
	case err != nil:
		x.pending = append(x.pending, udfTicket{b, err})
		return
	case done != nil || constant:
		return
	}
	if x.dictionary(args) && x.viable(args) {
		return // eval is as quick
	}
	if err := x.open(ctx); err != nil {
		x.pending = append(x.pending, udfTicket{b, positioned(err, x.pos)})
		return
	}
	pipe, ok := x.stream.(UDFPipeline)
	if !ok {
		x.unpiped = true
		return
	}
	for i := range args {
		args[i] = flat(args[i])
	}
	start := time.Now()
	err = pipe.Submit(ctx, args, b.Rows())
	took := int64(time.Since(start))
	x.stats.UDFNanos += took
	x.figures.TotalNanos += took
	if err != nil {
		err = positioned(err, x.pos)
	}
	x.pending = append(x.pending, udfTicket{b, err})
}

// collect ends the call for b if it was submitted. Whoever evaluates another
// batch than the one that it was handed has no use for what was submitted.
func (x *udfCall) collect(ctx context.Context, b *vector.Batch) (out *vector.Vector, ok bool, err error) {
	for len(x.pending) > 0 {
		t := x.pending[0]
		x.pending = x.pending[1:]
		out, err = nil, t.err
		if err == nil {
			start := time.Now()
			out, err = x.stream.(UDFPipeline).Collect(ctx)
			x.called(t.b.Rows(), start)
			x.tolerate(t.b, false)
			if err != nil {
				err = positioned(err, x.pos)
			} else {
				out, err = x.checked(out, t.b.Rows())
			}
		}
		if t.b == b {
			return out, true, err
		}
		if ctx.Err() != nil {
			return nil, true, pgerr.From(context.Cause(ctx))
		}
	}
	return nil, false, nil
}
