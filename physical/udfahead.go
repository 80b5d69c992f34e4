package physical

import (
	"context"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// ahead is the input of an operator that calls user code for every row: it reads
// batches before it hands them out and submits them, so that the function works
// while the operator uses the result of the batch before and while the next one
// is made; one of them, or several where the function is cheap and batches are
// packed into larger frames. What goes wrong with a batch, in its input, its
// arguments or the function, is an error of that batch: it comes when the batch
// does, so that a LIMIT that is reached before it never sees it.
type ahead struct {
	in    Operator
	calls []*udfCall
	queue []aheadBatch // that were read, oldest first
	depth int          // batches to have when one is handed out
	size  int64        // bytes of the batches in queue
	ended bool         // there is no more to read
	err   error        // why, nil for the end of the input
}

// aheadBatch is a batch that waits for being handed out.
type aheadBatch struct {
	b    *vector.Batch
	sent bool // all calls have been submitted
	size int64
}

// aheadBytes bounds what is read ahead, but for one batch: rows may be much wider
// than what the functions get of them.
const aheadBytes = 16 << 20

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
	case *cast:
		return settled(x.arg)
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
	if len(a.queue) == 0 {
		a.read(ctx)
	}
	if len(a.queue) == 0 {
		return nil, a.err
	}
	x := a.queue[0]
	a.queue = append(a.queue[:0], a.queue[1:]...)
	a.size -= x.size
	// What was not submitted is evaluated when it has been handed out: before
	// anything that comes after it.
	last := x
	if n := len(a.queue); n > 0 {
		last = a.queue[n-1]
	}
	a.depth = min(2*a.depth+1, a.window())
	for last.sent && !a.ended && (len(a.queue) == 0 || len(a.queue) < a.depth && a.size < aheadBytes) {
		a.read(ctx)
		if n := len(a.queue); n > 0 {
			last = a.queue[n-1]
		}
	}
	return x.b, nil
}

// window is how many batches to be ahead. It grows from one: whoever needs a few
// rows only is not to wait for many.
func (a *ahead) window() int {
	n := 1
	for _, c := range a.calls {
		if p, ok := c.stream.(UDFPipeline); ok {
			n = max(n, p.Window())
		}
	}
	return n
}

func (a *ahead) read(ctx context.Context) {
	if a.ended {
		return
	}
	b, err := a.in.Next(ctx)
	if b == nil || err != nil {
		a.ended, a.err = true, err
		return
	}
	x := aheadBatch{b, true, b.Size()}
	a.size += x.size
	for _, c := range a.calls {
		x.sent = c.submit(ctx, b) && x.sent
	}
	a.queue = append(a.queue, x)
}

func (a *ahead) Close() error { return a.in.Close() }

// udfTicket is a batch that was submitted, or that failed to be.
type udfTicket struct {
	b   *vector.Batch
	err error
}

// submit begins the call for b; eval with the same batch ends it. False if eval is
// to do all of it.
func (x *udfCall) submit(ctx context.Context, b *vector.Batch) bool {
	if b.Rows() == 0 || x.unpiped {
		return false
	}
	fc := *x.env.ctx()
	fc.Context = ctx
	args, constant, done, err := x.evalArgs(&fc, b)
	switch {
	case err != nil:
		x.pending = append(x.pending, udfTicket{b, err})
		return true
	case done != nil || constant:
		return x.settledConst() // then no batch is ever submitted
	}
	if x.dictionary(args) && x.viable(args) {
		return false // eval is as quick
	}
	if err := x.open(ctx); err != nil {
		x.pending = append(x.pending, udfTicket{b, positioned(err, x.pos)})
		return true
	}
	pipe, ok := x.stream.(UDFPipeline)
	if !ok {
		x.unpiped = true
		return false
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
	return true
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
