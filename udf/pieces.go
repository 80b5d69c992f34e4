package udf

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// callPiece is what one frame has of the calls of a ScalarStream: a part of one, where
// calls are large or costly, or several whole ones.
type callPiece struct {
	parts []callPart
	rows  int
	at    int // parts that have been answered
	got   int // rows that have been answered
}

// callPart is a part of a call: its rows begin … end-1, of which there is at least one.
type callPart struct {
	call       *scalarCall
	begin, end int
}

// pieceNanos is the work that a piece should at least be, so that the frames of
// about 20 µs do not show; with less than two pieces per call nothing overlaps.
const pieceNanos = 250e3

// aheadNanos is the most for a batch whose caller does not wait for it: it is
// sent as one piece up to here, since the results of pieces are copied once more,
// and a piece of a long one is to be there while others are computed.
const aheadNanos = 10e6

// firstPiece is the rows of a piece while the cost of a row is unknown. Where rows are
// costly it is as many as well, or as many as take longNanos: there is nothing to
// overlap with then, while a processor that is busy with user code may take
// milliseconds to hand the next piece over.
const (
	firstPiece = 64
	longNanos  = 100e6
)

// packRows bounds the rows of a piece of several calls.
const packRows = 64 << 10

// maxWindow bounds Window.
const maxWindow = 8

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
	rows := max(1, int(min(nanos/s.nsRow, 1<<20)), int(min(longNanos/s.nsRow, firstPiece)))
	if rows >= n {
		return n
	}
	// Equal pieces rather than a small last one.
	k := (n + rows - 1) / rows
	return (n + k - 1) / k
}

// pack returns how many rows like those of c a piece of several calls should have;
// 0 if c goes alone.
func (s *ScalarStream) pack(c *scalarCall) int {
	if s.nsRow == 0 || s.apart || !c.ahead || c.n == 0 || c.suspect != nil || len(c.bad) > 0 {
		return 0
	}
	if c.bytes == 0 {
		c.bytes = packedBytes(c.args, c.n)
	}
	if c.bytes < 0 {
		return 0
	}
	rows := int(min(pieceNanos/s.nsRow, packRows, float64(pieceBytes)*float64(c.n)/float64(c.bytes)))
	if rows < c.n {
		return 0
	}
	return rows
}

// packedBytes is about what n rows take in a slot, -1 if they cannot stand in one
// frame with others.
func packedBytes(args []*vector.Vector, n int) int {
	size := 1
	for _, a := range args {
		k := kindOf(a.Type)
		if k != wire.Bytes && (k.Width() == 0 || k == wire.Fixed16 || k == wire.Decimal) {
			return -1
		}
		size += aboutBytes(a, 0, n)
	}
	return size
}

// Window is how many batches the caller should have submitted when it collects the
// oldest, as far as it can, for the plugin to be busy: more than one where frames of
// one batch each would cost more than the function.
func (s *ScalarStream) Window() int {
	if s.local != nil && len(s.queue) > 0 {
		return s.localWindow()
	}
	if s.s == nil || len(s.queue) == 0 {
		return 1
	}
	c := s.queue[len(s.queue)-1]
	rows := s.pack(c)
	if c.n == 0 || rows < 2*c.n { // nothing to call, as where all rows are NULL
		return 1
	}
	return min(2*(rows/c.n), maxWindow) // two frames
}

// pump sends what there is to send and room for. All of it must go if the caller
// waits for the oldest call; else what is small may stay.
func (s *ScalarStream) pump(all bool) error {
	st := s.s
	for k := 0; k < len(s.queue); {
		c := s.queue[k]
		if c.sent >= c.n {
			k++
			continue
		}
		if s.turns != nil && k > 0 {
			return nil // it would go on after the turn, which ends with the oldest
		}
		bad := c.nextBad(c.sent)
		if bad == c.sent {
			c.sent++
			continue
		}
		if (s.nsRow == 0 || c.suspect != nil) && len(s.frames) > 0 {
			return nil // what a row costs, or does, is about to be known
		}
		st.mu.Lock()
		slot := st.nextSlot()
		st.mu.Unlock()
		if slot < 0 {
			return nil
		}
		p := &callPiece{}
		if room := s.pack(c); room > 0 && c.sent == 0 {
			full := false
			for _, x := range s.queue[k:] {
				room = min(room, s.pack(x))
				if full = p.rows+x.n > room; full {
					break
				}
				p.add(x, 0, x.n)
			}
			if !full && !all && p.rows+c.n <= room {
				return nil // there will be more
			}
			all = false // of what follows only what is full
		} else {
			rows := s.piece(c)
			if q := c.suspect; q != nil && c.sent < q.hi {
				rows = min(q.step(), q.hi-c.sent)
			}
			p.add(c, c.sent, fit(c.args, c.sent, c.n, min(rows, bad-c.sent)))
		}
		seq, err := st.sendPiece(slot, p)
		if err != nil {
			return err
		}
		s.figures.Batches++
		s.frames[seq] = p
		for _, x := range p.parts {
			x.call.sent = x.end
		}
		if c.suspect != nil && c.sent >= c.n {
			return nil
		}
	}
	return nil
}

func (p *callPiece) add(c *scalarCall, begin, end int) {
	p.parts = append(p.parts, callPart{c, begin, end})
	p.rows += end - begin
}

// take gives rows of a result to the calls that they are of.
func (p *callPiece) take(v *vector.Vector) error {
	if p.got+v.Len > p.rows {
		return fmt.Errorf("%d rows after %d of a piece of %d", v.Len, p.got, p.rows)
	}
	p.got += v.Len
	for from := 0; from < v.Len; {
		x := p.parts[p.at]
		n := min(x.end-x.call.out.at, v.Len-from)
		part := v
		if n < v.Len {
			part = vector.Slice(v, from, from+n)
		}
		if err := x.call.out.add(part); err != nil {
			return err
		}
		if from += n; x.call.out.at == x.end {
			p.at++
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
	st.use(ctx)
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
			err = s.pump(c.sent == 0)
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
		p := s.frames[r.seq]
		if err != nil {
			// A bad row is one of this result, before which there may have been others.
			var ce *CallError
			if p != nil && errors.As(err, &ce) && ce.Row >= 0 {
				ce.Row += int64(p.got)
			}
			return nil, s.place(err)
		}
		if p == nil || p.at == len(p.parts) || out.at < c.n && p.parts[p.at].call != c {
			return nil, st.broken(fmt.Errorf("%d rows that nobody waits for", cols[0].Len), 0)
		}
		if err := p.take(cols[0]); err != nil {
			if _, ok := err.(*pgerr.Error); ok {
				return nil, err
			}
			return nil, st.broken(err, 0)
		}
		if r.last {
			delete(s.frames, r.seq)
			s.figures.Rows += int64(p.rows)
			s.figures.UserNanos += max(r.msg.Done, 0)
			s.measured(float64(max(r.msg.Done, 0)) / float64(max(p.got, 1)))
			if p.got != p.rows {
				return nil, st.broken(fmt.Errorf("%d rows, want %d", p.got, p.rows), 0)
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

// oldest is the piece in flight that was sent first, nil if there is none.
func (s *ScalarStream) oldest() (first *callPiece) {
	at := uint64(math.MaxUint64)
	for seq, p := range s.frames {
		if seq < at {
			at, first = seq, p
		}
	}
	return first
}

// mixed reports whether what went wrong did so in a piece of several calls. first is
// the oldest piece when the stream ended.
func (s *ScalarStream) mixed(err error, first *callPiece) bool {
	var ce *CallError
	if errors.As(err, &ce) {
		return ce.mixed
	}
	return first != nil && len(first.parts) > 1
}

// place turns a row of a piece into a row of the call.
func (s *ScalarStream) place(err error) error {
	var ce *CallError
	if errors.As(err, &ce) {
		p := s.frames[ce.seq]
		if p == nil {
			return err
		}
		ce.mixed = len(p.parts) > 1
		part := p.parts[0]
		ce.begin, ce.end = part.begin, part.end
		if ce.Row >= 0 && ce.Row < int64(part.end-part.begin) {
			ce.setRow(ce.Row + int64(part.begin))
		} else {
			ce.Row = -1
		}
	}
	return err
}
