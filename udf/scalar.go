package udf

import (
	"context"
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
	side    *localCalls // searches for failing rows while local has other batches to do
	closed  bool
	nsRow   float64 // measured cost of a row, 0 = unknown

	queue  []*scalarCall         // submitted, not collected; oldest first
	frames map[uint64]*callPiece // in flight, by their sequence numbers in s
	apart  bool                  // no piece has rows of several calls: one of them has failed
	failed error                 // of sending in Submit: the next Collect's

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

// MaxSubmitted is how many batches a ScalarStream takes ahead of Collect.
const MaxSubmitted = 16

// scalarCall is one batch on its way through the function.
type scalarCall struct {
	args  []*vector.Vector // of the rows to call
	n     int              // rows to call
	rows  []int32          // their numbers in the batch, nil for 0 … n-1
	total int              // rows of the batch
	ahead bool             // other work goes on meanwhile: it need not be cut to overlap
	bytes int              // see packedBytes; 0 = not known
	sent  int
	local *localCall // of all rows, nil if there is none
	out   *collector

	bad     []int32  // rows that have failed, ascending; they are not sent again
	suspect *suspect // where a failing row is being searched, nil if nowhere
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
	s.frames, s.failed = map[uint64]*callPiece{}, nil
	if s.nsRow == 0 {
		s.nsRow = s.h.rowCost(s.ref)
	}
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
// wait. Batches that are too small for a frame of their own stay until there are
// more, or until one is collected: see Window. Each Submit needs its Collect, which
// also has the errors of the batch; the vectors of args must stay as they are until
// then. At most MaxSubmitted batches can be under way.
func (s *ScalarStream) Submit(ctx context.Context, args []*vector.Vector, n int) error {
	if len(s.queue) >= MaxSubmitted {
		return pgerr.New(pgerr.InternalError, "function %s: more than %d batches submitted", s.ref.GetDisplay(), MaxSubmitted)
	}
	if err := s.enqueue(args, n, true); err != nil {
		return err
	}
	// With a limit on calls at once, turns are held during Collect only: whoever
	// holds one must not wait for anything else.
	if s.turns != nil || s.failed != nil || ctx.Err() != nil {
		return nil
	}
	switch {
	case s.s != nil:
		s.s.use(ctx)
		s.failed = s.pump(false)
	case s.local != nil:
		s.submitLocal()
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
		var first *callPiece
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
			if pgerr.ClassOf(err) == pgerr.Transient { // of a process that was ended because of this
				err = pgerr.From(context.Cause(ctx))
			}
			return nil, err
		}
		if running && s.mixed(err, first) {
			s.apart = true // which tells the calls apart, too
			continue
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

// Close ends the stream.
func (s *ScalarStream) Close() error {
	idle := len(s.queue) == 0 && len(s.frames) == 0 && s.private == "" && s.failed == nil
	s.closed, s.queue = true, nil
	if s.s != nil {
		if s.nsRow > 0 {
			s.h.setRowCost(s.ref, s.nsRow)
		}
		if !idle || !s.s.park() {
			s.s.close()
		}
		s.s = nil
	}
	s.endLocal()
	s.endPrivate()
	return nil
}
