package udf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// The kinds of functions, as they stand in manifests.
const (
	kindScalar     = "scalar"
	kindAggregate  = "aggregate"
	kindGroupedMap = "grouped_map"
)

// ScalarStream calls one scalar function; vectorised or per row is the plugin's
// choice. It belongs to one goroutine. Call computes one batch; Submit and
// Collect have up to MaxSubmitted of them under way, so that the plugin works
// while its caller prepares the next batch.
type ScalarStream struct {
	h       *Host
	ref     *proto.UDF
	returns types.Type
	notNull []bool      // arguments that the function cannot take as NULL
	s       *stream     // nil after it was lost
	local   *localCalls // instead of s: the function is part of this program
	closed  bool
	nsRow   float64 // measured cost of a row, 0 = unknown

	queue  []*scalarCall       // submitted, not collected; oldest first
	pieces map[uint64]callPart // in flight, by their sequence numbers in s
	failed error               // of sending in Submit: the next Collect's

	onError  OnError
	names    []string // of the arguments
	label    string   // of the process
	query    string
	base     int64 // rows of the calls that were collected
	failures []RowFailure
	private  string // names the process that this stream has for itself, "" if it shares one
	fatal    bool   // a row of this stream has ended a process: it stays in its own
	deaths   int
	turns    chan struct{} // of the function's concurrency limit, nil if it has none
	figures  Figures
}

// MaxSubmitted is how many batches a ScalarStream takes ahead of Collect: one
// that is computed and one that waits, which is what there are slots for.
const MaxSubmitted = wire.InSlots

// scalarCall is one batch on its way through the function.
type scalarCall struct {
	args  []*vector.Vector // of the rows to call
	n     int              // rows to call
	rows  []int32          // their numbers in the batch, nil for 0 … n-1
	total int              // rows of the batch
	ahead bool             // other work goes on meanwhile: it need not be cut to overlap
	sent  int
	out   *collector

	bad     []int32  // rows that have failed, ascending; they are not sent again
	suspect *suspect // where a failing row is being searched, nil if nowhere
}

// callPart is a piece of a call: its rows begin … end-1.
type callPart struct {
	call       *scalarCall
	begin, end int
}

// Scalar opens a stream to a scalar function.
func (h *Host) Scalar(ctx context.Context, ref *proto.UDF) (*ScalarStream, error) {
	s := &ScalarStream{h: h, ref: ref, returns: typeFromProto(ref.GetReturns()), turns: h.turnsOf(ref)}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *ScalarStream) open(ctx context.Context) error {
	start := time.Now()
	if p := s.h.linkedPlugin(s.ref.GetDigest()); p != nil {
		err := s.openLocal(ctx, p)
		s.figures.StartNanos += int64(time.Since(start))
		return err
	}
	st, f, err := s.h.openIn(ctx, s.ref, kindScalar, []types.Type{s.returns}, s.private)
	s.figures.StartNanos += int64(time.Since(start))
	if err != nil {
		return err
	}
	s.s, s.notNull, s.label, s.query = st, notNull(s.ref, f), st.c.label, st.query
	s.names = s.names[:0]
	for _, a := range f.Args {
		s.names = append(s.names, a.Name)
	}
	s.pieces, s.failed = map[uint64]callPart{}, nil
	for _, c := range s.queue {
		c.sent = c.out.at // what has been answered counts
	}
	return nil
}

// notNull says which arguments must not be NULL: all of a STRICT function, and
// those whose Go type has no NULL.
func notNull(ref *proto.UDF, f *wire.Function) []bool {
	out := make([]bool, len(ref.GetArgs()))
	for i := range out {
		out[i] = ref.GetStrict() || i < len(f.Args) && !f.Args[i].Nullable
	}
	return out
}

// rowsToCall returns the rows where no argument that must not be NULL is, nil
// for all rows.
func rowsToCall(args []*vector.Vector, notNull []bool, n int) []int32 {
	var valid []byte
	for i, a := range args {
		if i < len(notNull) && notNull[i] {
			valid = vector.AndValid(valid, a.RowValid(), n)
		}
	}
	k := vector.CountValid(valid, n)
	if k == n {
		return nil
	}
	rows := make([]int32, 0, k)
	for i := range n {
		if vector.IsValid(valid, i) {
			rows = append(rows, int32(i))
		}
	}
	return rows
}

// lostAttempts is how often a call is repeated whose child went away through no
// fault of its own.
const lostAttempts = 3

// Call computes the function for n rows. Rows with NULL in an argument that the
// function cannot take (a STRICT function's, or a Go parameter that has no NULL)
// give NULL without a call. Large calls are cut in pieces of which two are in
// flight. When the child is lost through no fault of this call it is repeated on
// a fresh one.
func (s *ScalarStream) Call(ctx context.Context, args []*vector.Vector, n int) (*vector.Vector, error) {
	if len(s.queue) > 0 {
		return nil, pgerr.New(pgerr.InternalError, "function %s: Call before Collect", s.ref.GetDisplay())
	}
	if err := s.enqueue(args, n, false); err != nil {
		return nil, err
	}
	return s.Collect(ctx)
}

// Submit is the first half of Call: it sends what there is room for and does not
// wait. Each Submit needs its Collect, which also has the errors of the batch;
// the vectors of args must stay as they are until then. At most MaxSubmitted
// batches can be under way.
func (s *ScalarStream) Submit(ctx context.Context, args []*vector.Vector, n int) error {
	if len(s.queue) >= MaxSubmitted {
		return pgerr.New(pgerr.InternalError, "function %s: more than %d batches submitted", s.ref.GetDisplay(), MaxSubmitted)
	}
	if err := s.enqueue(args, n, true); err != nil {
		return err
	}
	// With a limit on calls at once, turns are held during Collect only: whoever
	// holds one must not wait for anything else.
	if s.s != nil && s.failed == nil && s.turns == nil && ctx.Err() == nil {
		s.failed = s.pump()
	}
	return nil
}

func (s *ScalarStream) enqueue(args []*vector.Vector, n int, ahead bool) error {
	if s.closed {
		return pgerr.New(pgerr.InternalError, "function %s: the stream is closed", s.ref.GetDisplay())
	}
	if len(args) != len(s.ref.GetArgs()) {
		return pgerr.New(pgerr.InternalError, "function %s called with %d arguments, want %d", s.ref.GetDisplay(), len(args), len(s.ref.GetArgs()))
	}
	c := &scalarCall{args: args, n: n, total: n, ahead: ahead}
	if rows := rowsToCall(args, s.notNull, n); rows != nil {
		c.rows, c.n, c.args = rows, len(rows), make([]*vector.Vector, len(args))
		for i, a := range args {
			c.args[i] = vector.Gather(a, rows)
		}
	}
	c.out = newCollector(s.returns, c.n)
	s.queue = append(s.queue, c)
	return nil
}

// Collect returns the result of the oldest batch submitted. After an error that
// is not one of ctx the batches submitted later can still be collected: they are
// computed again.
func (s *ScalarStream) Collect(ctx context.Context) (*vector.Vector, error) {
	if s.closed || len(s.queue) == 0 {
		return nil, pgerr.New(pgerr.InternalError, "function %s: nothing to collect", s.ref.GetDisplay())
	}
	c := s.queue[0]
	v := vector.New(s.returns, 0)
	if c.n > 0 {
		var err error
		v, err = s.attempt(ctx, c)
		if err != nil {
			s.queue = s.queue[1:]
			s.base += int64(c.total)
			return nil, err
		}
	}
	s.queue = s.queue[1:]
	s.base += int64(c.total)
	switch {
	case c.rows == nil:
		return v, nil
	case c.n == 0:
		return vector.NewNull(s.returns, c.total), nil
	}
	idx := make([]int32, c.total)
	for i := range idx {
		idx[i] = -1
	}
	for k, r := range c.rows {
		idx[r] = int32(k)
	}
	return vector.GatherNull(v, idx), nil
}

// attempt runs the oldest call, again when the child was lost, and in parts when a
// row of it fails: see blame.
func (s *ScalarStream) attempt(ctx context.Context, c *scalarCall) (*vector.Vector, error) {
	release, err := s.waitTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	for lost := 1; ; {
		var v *vector.Vector
		var err error
		if s.s == nil && s.local == nil {
			err = s.open(ctx)
		}
		running := err == nil
		if running {
			v, err = s.run(ctx, c)
		}
		if err == nil {
			s.settle()
			return v, nil
		}
		var died, stuck bool
		var first callPart
		if s.s != nil {
			died, stuck = s.s.fate()
			if (died || stuck) && s.s.c.firstToMourn() {
				s.figures.Restarts++
			}
			first = s.oldest()
			s.s.close() // after an error the stream takes no more batches
			s.s = nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if running {
			next := s.blame(c, err, died, stuck, first)
			if next == nil {
				continue
			}
			if died || stuck {
				return nil, next
			}
			err = next
		}
		if pgerr.ClassOf(err) != pgerr.Transient || lost >= lostAttempts {
			return nil, err
		}
		lost++
	}
}

// oldest is the piece in flight that was sent first.
func (s *ScalarStream) oldest() callPart {
	var first callPart
	at := uint64(math.MaxUint64)
	for seq, p := range s.pieces {
		if seq < at {
			at, first = seq, p
		}
	}
	return first
}

// pieceNanos is the work that a piece should at least be, so that the frames of
// about 20 µs do not show; with less than two pieces per call nothing overlaps.
const pieceNanos = 250e3

// aheadNanos is the same for a batch whose caller does not wait for it: it is
// sent as one piece up to here, since the results of pieces are copied once more,
// and a piece of a long one is to be there while others are computed.
const aheadNanos = 10e6

// firstPiece is the rows of a piece while the cost of a row is unknown.
const firstPiece = 64

// piece returns the rows of the next piece of c.
func (s *ScalarStream) piece(c *scalarCall) int {
	n := c.n - c.sent
	if s.nsRow == 0 {
		return min(n, firstPiece)
	}
	nanos := pieceNanos
	if c.ahead {
		nanos = aheadNanos
	}
	rows := max(1, int(min(nanos/s.nsRow, 1<<20)))
	if rows >= n {
		return n
	}
	// Equal pieces rather than a small last one.
	k := (n + rows - 1) / rows
	return (n + k - 1) / k
}

// pump sends what there is to send and room for.
func (s *ScalarStream) pump() error {
	st := s.s
	for _, c := range s.queue {
		for c.sent < c.n {
			bad := c.nextBad(c.sent)
			if bad == c.sent {
				c.sent++
				continue
			}
			if (s.nsRow == 0 || c.suspect != nil) && len(s.pieces) > 0 {
				return nil // what a row costs, or does, is about to be known
			}
			st.mu.Lock()
			slot := st.nextSlot()
			st.mu.Unlock()
			if slot < 0 {
				return nil
			}
			rows := s.piece(c)
			if q := c.suspect; q != nil && c.sent < q.hi {
				rows = min(q.step(), q.hi-c.sent)
			}
			to := fit(c.args, c.sent, c.n, min(rows, bad-c.sent))
			seq, err := st.send(slot, wire.OpRows, c.args, c.sent, to, nil, 0, 0)
			if err != nil {
				return err
			}
			s.figures.Batches++
			s.pieces[seq] = callPart{c, c.sent, to}
			c.sent = to
		}
		if c.suspect != nil {
			return nil
		}
	}
	return nil
}

// run computes c, the oldest call. The child answers in order, so what it sends
// before an error of a later call is c's.
func (s *ScalarStream) run(ctx context.Context, c *scalarCall) (*vector.Vector, error) {
	if s.local != nil {
		return s.runLocal(ctx, c)
	}
	st := s.s
	st.rested()
	out := c.out
	for {
		if err := s.pad(c); err != nil {
			return nil, err
		}
		if out.at >= c.n {
			return out.v, nil
		}
		if err := ctx.Err(); err != nil {
			st.close()
			return nil, pgerr.From(context.Cause(ctx))
		}
		err := s.failed
		if err == nil {
			err = s.pump()
		}
		// Credits travel with the next batch, but the child may need them for the
		// batches that it has.
		st.mu.Lock()
		waiting := len(st.results) > 0
		stuck := !waiting && st.inflight > 0 && len(st.buf) > 0
		st.mu.Unlock()
		if err != nil && !waiting {
			return nil, s.place(err)
		}
		if stuck {
			if err := st.flush(); err != nil {
				return nil, err
			}
		}
		err = st.wait(ctx, receiver, func() bool { return len(st.results) > 0 })
		if err != nil {
			return nil, s.place(err)
		}
		r, cols, _, err := st.receive(true)
		if err != nil {
			return nil, s.place(err)
		}
		part := s.pieces[r.seq]
		if part.call != c || out.at < part.begin || out.at+cols[0].Len > part.end {
			return nil, st.broken(fmt.Errorf("%d rows after row %d of a piece of rows %d to %d", cols[0].Len, out.at, part.begin, part.end), 0)
		}
		if err := out.add(cols[0]); err != nil {
			return nil, err
		}
		if r.last {
			delete(s.pieces, r.seq)
			s.figures.Rows += int64(part.end - part.begin)
			s.figures.UserNanos += max(r.msg.Done, 0)
			s.measured(float64(max(r.msg.Done, 0)) / float64(max(out.at-part.begin, 1)))
			if out.at != part.end {
				return nil, st.broken(fmt.Errorf("%d rows, want %d", out.at-part.begin, part.end-part.begin), 0)
			}
		}
	}
}

// measured updates the cost of a row.
func (s *ScalarStream) measured(ns float64) {
	ns = max(ns, 0.1)
	if s.nsRow == 0 {
		s.nsRow = ns
		return
	}
	s.nsRow += (ns - s.nsRow) / 4
}

// place turns a row of a piece into a row of the call.
func (s *ScalarStream) place(err error) error {
	var ce *CallError
	if errors.As(err, &ce) {
		part := s.pieces[ce.seq]
		ce.begin, ce.end = part.begin, part.end
		if ce.Row >= 0 && ce.Row < int64(part.end-part.begin) {
			ce.setRow(ce.Row + int64(part.begin))
		} else {
			ce.Row = -1
		}
	}
	return err
}

// Close ends the stream.
func (s *ScalarStream) Close() error {
	s.closed, s.queue = true, nil
	if s.s != nil {
		s.s.close()
		s.s = nil
	}
	s.endLocal()
	s.endPrivate()
	return nil
}
