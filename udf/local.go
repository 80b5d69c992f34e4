package udf

import (
	"context"
	"time"
	"unsafe"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// localCalls runs a scalar function of this program for one ScalarStream, on a
// goroutine of its own: one that does not come back can then be left behind. The
// goroutine works on vectors, which nobody changes, and on memory of its own.
type localCalls struct {
	fn       *sdk.LocalScalar
	label    string
	name     string
	args     []types.Type
	returns  types.Type
	requests chan localRequest // has room for all that can be under way
	done     chan struct{}     // closed when the goroutine is gone
	lost     bool              // it is left behind
	tick     *time.Ticker      // of a timeout, nil before the first wait
}

type localRequest struct {
	n      int
	args   []wire.Mem
	direct []byte
	answer chan localAnswer // has room: the answer of a call that was left behind is nobody's
}

// localCall is a call that was submitted.
type localCall struct {
	v      *vector.Vector // where results are written to, nil if they come with the answer
	answer chan localAnswer
}

type localAnswer struct {
	res   wire.Mem
	fail  *wire.ErrorMsg
	ok    bool
	nanos int64
}

func (l *localCalls) serve() {
	defer close(l.done)
	for r := range l.requests {
		begin := time.Now()
		var a localAnswer
		a.res, a.fail, a.ok = l.fn.Call(r.n, r.args, r.direct)
		a.nanos = int64(time.Since(begin))
		r.answer <- a
	}
}

// close ends the goroutine, or lets it end by itself.
func (l *localCalls) close() {
	l.fn.Cancel()
	close(l.requests)
	if l.tick != nil {
		l.tick.Stop()
	}
	if l.lost {
		return
	}
	select { // calls that were submitted may be under way
	case <-l.done:
		return
	default:
	}
	t := time.NewTimer(cancelGrace)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
		l.lost = true
	}
}

// submit asks for a call of the function on n rows of args and does not wait. There
// are at most MaxSubmitted at a time.
func (l *localCalls) submit(args []*vector.Vector, n int) (*localCall, error) {
	c := &localCall{answer: make(chan localAnswer, 1)}
	r := localRequest{n: n, args: make([]wire.Mem, len(args)), answer: c.answer}
	for i, a := range args {
		in, err := makeIn(a, l.args[i], 0, n)
		if err != nil {
			return nil, err
		}
		r.args[i] = in.local()
	}
	if l.fn.Direct() {
		c.v = vector.NewDirty(l.returns, n)
		r.direct = c.v.Raw()
	}
	l.requests <- r
	return c, nil
}

// collect waits for what was submitted.
func (l *localCalls) collect(ctx context.Context, c *localCall, timeout time.Duration) (v *vector.Vector, nanos int64, err error) {
	var a localAnswer
	select {
	case a = <-c.answer:
	default:
		if a, err = l.await(ctx, c, timeout); err != nil {
			return nil, 0, err
		}
	}
	switch v = c.v; {
	case !a.ok: // by a Cancel, which is a lost one's
		return nil, 0, pgerr.New(pgerr.InternalError, "function %s was cancelled", l.name)
	case a.fail != nil:
		return nil, a.nanos, newCallError(l.name, l.label, 0, a.fail)
	}
	if v == nil {
		v, err = takeCol(&a.res, l.returns, nil)
	}
	if err != nil {
		return nil, a.nanos, notAllowed(l.name, l.label, err, 0)
	}
	return v, a.nanos, nil
}

// ticks is how often time is looked at during a timeout: to set a timer for each call
// would cost more than the call of a cheap function.
const ticks = 4

// await waits for an answer. What does not come in time, or when nobody wants it any
// more, is left to itself.
func (l *localCalls) await(ctx context.Context, c *localCall, timeout time.Duration) (localAnswer, error) {
	var tick <-chan time.Time
	if timeout > 0 {
		if l.tick == nil {
			l.tick = time.NewTicker(max(timeout/ticks, time.Millisecond))
		}
		tick = l.tick.C
	}
	progress, since := l.fn.Progress(), time.Now()
	for {
		select {
		case a := <-c.answer:
			return a, nil
		case <-ctx.Done():
			l.fn.Cancel()
			l.lost = true
			t := time.NewTimer(cancelGrace)
			defer t.Stop()
			select {
			case <-c.answer:
			case <-t.C:
			}
			return localAnswer{}, pgerr.From(context.Cause(ctx))
		case <-tick:
			now := time.Now() // the tick may have waited since before this wait began
			if p := l.fn.Progress(); p != progress {
				progress, since = p, now
			}
			if now.Sub(since) < timeout {
				continue
			}
			l.fn.Cancel()
			l.lost = true
			return localAnswer{}, pgerr.New(pgerr.QueryCanceled, "function %s did not finish within %s", l.name, timeout).
				WithClass(pgerr.UDF).WithDetail("The limit is on the time without progress on one batch.").
				WithHint("The function is part of the server's program and goes on in the background until it returns: nothing can end it but the end of the program.")
		}
	}
}

func offsetBytes(offs []int32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&offs[0])), 4*len(offs))
}

// local is the column in the vector's own buffers as far as they have the form that
// the SDK reads.
func (x *inCol) local() wire.Mem {
	v := x.v
	if x.from != 0 || x.to != v.Len {
		v = vector.Slice(v, x.from, x.to)
	}
	if v.Form != vector.Flat {
		v = v.Flatten()
	}
	m := wire.Mem{Kind: x.kind, Rows: v.Len, Stays: true}
	if v.HasNulls() {
		m.Valid = v.Valid
	}
	switch w := x.kind.Width(); {
	case x.kind == wire.Fixed16:
		m.Data = make([]byte, 16*v.Len)
		for i := range v.Len {
			if !v.IsNull(i) {
				copy(m.Data[16*i:], v.BytesAt(i))
			}
		}
	case w > 0:
		m.Data = v.Raw()[:w*v.Len]
	case x.kind != wire.Struct:
		m.Data, m.Bytes = offsetBytes(v.Offs[:v.Len+1]), v.Bytes
	}
	for i := range x.kids {
		m.Kids = append(m.Kids, x.kids[i].local())
	}
	return m
}
