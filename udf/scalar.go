package udf

import (
	"context"
	"errors"
	"fmt"

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
// choice. It belongs to one goroutine.
type ScalarStream struct {
	h       *Host
	ref     *proto.UDF
	returns types.Type
	notNull []bool  // arguments that the function cannot take as NULL
	s       *stream // nil after it was lost
	closed  bool
	nsRow   float64 // measured cost of a row, 0 = unknown
}

// Scalar opens a stream to a scalar function.
func (h *Host) Scalar(ctx context.Context, ref *proto.UDF) (*ScalarStream, error) {
	s := &ScalarStream{h: h, ref: ref, returns: typeFromProto(ref.GetReturns())}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *ScalarStream) open(ctx context.Context) error {
	st, f, err := s.h.open(ctx, s.ref, kindScalar, []types.Type{s.returns})
	if err != nil {
		return err
	}
	s.s, s.notNull = st, notNull(s.ref, f)
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
	if s.closed {
		return nil, pgerr.New(pgerr.InternalError, "function %s: the stream is closed", s.ref.GetDisplay())
	}
	if len(args) != len(s.ref.GetArgs()) {
		return nil, pgerr.New(pgerr.InternalError, "function %s called with %d arguments, want %d", s.ref.GetDisplay(), len(args), len(s.ref.GetArgs()))
	}
	if n == 0 {
		return vector.New(s.returns, 0), nil
	}
	rows := rowsToCall(args, s.notNull, n)
	if rows == nil {
		return s.attempt(ctx, args, n, nil)
	}
	if len(rows) == 0 {
		return vector.NewNull(s.returns, n), nil
	}
	sub := make([]*vector.Vector, len(args))
	for i, a := range args {
		sub[i] = vector.Gather(a, rows)
	}
	v, err := s.attempt(ctx, sub, len(rows), rows)
	if err != nil {
		return nil, err
	}
	idx := make([]int32, n)
	for i := range idx {
		idx[i] = -1
	}
	for k, r := range rows {
		idx[r] = int32(k)
	}
	return vector.GatherNull(v, idx), nil
}

// attempt runs the call, again when the child was lost. rows are the caller's
// numbers of the rows, nil for 0 … n-1.
func (s *ScalarStream) attempt(ctx context.Context, args []*vector.Vector, n int, rows []int32) (*vector.Vector, error) {
	for try := 1; ; try++ {
		var v *vector.Vector
		var err error
		if s.s == nil {
			err = s.open(ctx)
		}
		if err == nil {
			v, err = s.run(ctx, args, n)
		}
		if err == nil {
			return v, nil
		}
		if s.s != nil {
			s.s.close() // after an error the stream takes no more batches
			s.s = nil
		}
		if pgerr.ClassOf(err) == pgerr.Transient && try < lostAttempts && ctx.Err() == nil {
			continue
		}
		var ce *CallError
		if rows != nil && errors.As(err, &ce) && ce.Row >= 0 && int(ce.Row) < len(rows) {
			ce.setRow(int64(rows[ce.Row]))
		}
		return nil, err
	}
}

// pieceNanos is the work that a piece should at least be, so that the frames of
// about 20 µs do not show; with less than two pieces per call nothing overlaps.
const pieceNanos = 250e3

// firstPiece is the rows of a piece while the cost of a row is unknown.
const firstPiece = 64

// piece returns the rows of the next piece of n that are left.
func (s *ScalarStream) piece(n int) int {
	if s.nsRow == 0 {
		return min(n, firstPiece)
	}
	rows := max(1, int(min(pieceNanos/s.nsRow, 1<<20)))
	if rows >= n {
		return n
	}
	// Equal pieces rather than a small last one.
	k := (n + rows - 1) / rows
	return (n + k - 1) / k
}

func (s *ScalarStream) run(ctx context.Context, args []*vector.Vector, n int) (*vector.Vector, error) {
	st := s.s
	out := newCollector(s.returns, n)
	sent := 0
	starts := map[uint64]int{} // first row of the pieces in flight
	for out.at < n {
		if err := ctx.Err(); err != nil {
			st.close()
			return nil, pgerr.From(context.Cause(ctx))
		}
		if sent < n {
			st.mu.Lock()
			slot := st.nextSlot()
			st.mu.Unlock()
			if slot >= 0 {
				to := fit(args, sent, n, s.piece(n-sent))
				seq, err := st.send(slot, wire.OpRows, args, sent, to, nil, 0, 0)
				if err != nil {
					return nil, s.place(err, starts)
				}
				starts[seq] = sent
				sent = to
				continue
			}
		}
		// Credits travel with the next batch, but the child may need them for the
		// batches that it has.
		st.mu.Lock()
		stuck := len(st.results) == 0 && st.inflight > 0 && len(st.buf) > 0
		st.mu.Unlock()
		if stuck {
			if err := st.flush(); err != nil {
				return nil, err
			}
		}
		err := st.wait(ctx, receiver, func() bool { return len(st.results) > 0 })
		if err != nil {
			return nil, s.place(err, starts)
		}
		r, cols, _, err := st.receive(true)
		if err != nil {
			return nil, s.place(err, starts)
		}
		if out.at+cols[0].Len > n || out.at+cols[0].Len > sent {
			return nil, st.broken(fmt.Errorf("%d rows too many", out.at+cols[0].Len-sent), 0)
		}
		if err := out.add(cols[0]); err != nil {
			return nil, err
		}
		if r.last {
			begin, rows := starts[r.seq], out.at
			delete(starts, r.seq)
			s.measured(float64(max(r.msg.Done, 0)) / float64(max(rows-begin, 1)))
			if begin, ok := starts[r.seq+1]; ok && begin != out.at || !ok && out.at != sent {
				return nil, st.broken(fmt.Errorf("%d rows, want %d", out.at, sent), 0)
			}
		}
	}
	return out.v, nil
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
func (s *ScalarStream) place(err error, starts map[uint64]int) error {
	var ce *CallError
	if errors.As(err, &ce) && ce.Row >= 0 {
		ce.setRow(ce.Row + int64(starts[ce.seq]))
	}
	return err
}

// Close ends the stream.
func (s *ScalarStream) Close() error {
	s.closed = true
	if s.s != nil {
		s.s.close()
		s.s = nil
	}
	return nil
}
