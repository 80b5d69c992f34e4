package udf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// groupPieceRows bounds the rows of a frame of a grouped map.
const groupPieceRows = 64 << 10

// GroupOptions are the choices of GroupedMap.
type GroupOptions struct {
	// MaxOutputRows bounds the rows of one GroupOutput; 0 = no bound of its own.
	MaxOutputRows int
	// Whole sends every group in one piece, whatever the function's contract is.
	Whole bool
	// MaxGroupBytes bounds such a group where CREATE FUNCTION does not; 0 = the author's
	// bound, or a default.
	MaxGroupBytes int64
	// OnError is for TolerantGroupedMap: what becomes of groups that fail.
	OnError OnError
	// Charge, if it is not nil, is told the bytes that the stream holds for its groups:
	// it may refuse more, and gets less than 0 when they are given back.
	Charge func(bytes int64) error
}

// GroupedMapStream runs a grouped-map function over consecutive groups. One
// goroutine may send while another receives; a single goroutine uses Wait to
// know which of the two will not block:
//
//	for {
//		canSend, canRecv, err := s.Wait(ctx)
//		switch {
//		case err != nil: …
//		case canRecv: out, err := s.Recv(ctx) // io.EOF when all is done
//		case canSend: s.Send(ctx, cols, n, ends) or s.CloseSend()
//		}
//	}
//
// Rows where an argument of a STRICT function is NULL are left out of their
// group.
type GroupedMapStream struct {
	s      *stream
	strict []bool // nil if not STRICT
	max    int

	mu         sync.Mutex
	piece      groupPiece   // what is not sent yet
	whole      *wholeGroups // nil for functions that take groups piece by piece
	closedSend bool
	endSent    bool
	sentEnds   int64        // groups whose end was sent
	sentOpen   bool         // rows after it were, too
	pending    atomic.Bool  // there is something to send as soon as there is room
	rest       *GroupOutput // what MaxOutputRows kept back
}

// groupPiece is a Send whose rows from from on still have to be sent.
type groupPiece struct {
	cols []*vector.Vector
	n    int
	ends []int32
	from int
	k    int // next of ends
}

func (p *groupPiece) empty() bool { return p.from == p.n && p.k == len(p.ends) }

// GroupOutput is rows that the function emitted.
type GroupOutput struct {
	Cols []*vector.Vector // the function's columns, n rows each
	N    int
	// Row i belongs to group Base + Groups[i]; groups are numbered from 0 in the
	// order they were sent. Rows come in ascending order of groups.
	Base   int64
	Groups []int32
	// Done says that groups below it are finished: no later output names them.
	Done int64
}

// GroupedMap opens a stream to a grouped-map function; see OwnProcesses.
func (h *Host) GroupedMap(ctx context.Context, ref *proto.UDF, o GroupOptions) (*GroupedMapStream, error) {
	return h.groupedMap(ctx, ref, o, h.ownProcess(ctx, ref))
}

// groupedMap is GroupedMap on a private child, see get.
func (h *Host) groupedMap(ctx context.Context, ref *proto.UDF, o GroupOptions, private string) (*GroupedMapStream, error) {
	var outs []types.Type
	for _, c := range ref.GetColumns() {
		outs = append(outs, typeFromProto(c.GetType()))
	}
	kind := kindGroupedMap
	switch function.Kind(ref.GetKind()) {
	case function.Table:
		kind = kindTable
	case function.Window:
		kind = kindWindow
		outs = []types.Type{typeFromProto(ref.GetReturns())}
		ref = withFrames(ref)
		o.Whole = true
	}
	s, f, err := h.openIn(ctx, ref, kind, outs, private)
	if err != nil {
		return nil, err
	}
	g := &GroupedMapStream{s: s, max: o.MaxOutputRows}
	if ref.GetStrict() || kind == kindTable {
		// A table function's row is a group: left out, it is a group of no rows.
		g.strict = notNull(ref, f)
	}
	if kind == kindWindow {
		g.strict = nil
	}
	if o.Whole || f.Contract == wire.ContractGroup || f.Contract == wire.ContractRows {
		g.whole = newWholeGroups(ref, f, o)
	}
	return g, nil
}

// Send queues n rows. ends are the rows at which groups end (exclusive,
// ascending, repeated for a group of no rows): with n = 10 and ends 3, 7 the
// rows 7 to 9 belong to a group that goes on in the next piece. It blocks while
// an earlier piece waits for room.
func (g *GroupedMapStream) Send(ctx context.Context, cols []*vector.Vector, n int, ends []int32) error {
	g.s.use(ctx)
	if g.strict != nil {
		if rows := rowsToCall(cols, g.strict, n); rows != nil {
			cols, ends = filterGroups(cols, rows, ends)
			n = len(rows)
		}
	}
	prev := int32(0)
	for _, e := range ends {
		if e < prev || int(e) > n {
			return pgerr.New(pgerr.InternalError, "function %s: a group of %d rows ends at row %d after row %d", g.s.name, n, e, prev)
		}
		prev = e
	}
	if g.whole != nil {
		var err error
		if cols, n, ends, err = g.whole.add(g.s.name, cols, n, ends); err != nil || len(ends) == 0 {
			return err
		}
	}
	for {
		g.mu.Lock()
		if g.closedSend {
			g.mu.Unlock()
			return pgerr.New(pgerr.InternalError, "function %s: Send after CloseSend", g.s.name)
		}
		if g.piece.empty() {
			g.piece = groupPiece{cols: cols, n: n, ends: ends}
			err := g.pump()
			g.mu.Unlock()
			return err
		}
		err := g.pump()
		full := !g.piece.empty()
		g.mu.Unlock()
		if err != nil {
			return err
		}
		if !full {
			continue
		}
		if err := g.s.wait(ctx, sender, func() bool { return g.s.nextSlot() >= 0 }); err != nil {
			return err
		}
	}
}

// filterGroups keeps the given rows.
func filterGroups(cols []*vector.Vector, rows []int32, ends []int32) ([]*vector.Vector, []int32) {
	out := make([]*vector.Vector, len(cols))
	for i, c := range cols {
		out[i] = vector.Gather(c, rows)
	}
	moved := make([]int32, len(ends))
	k := 0
	for i, e := range ends {
		for k < len(rows) && rows[k] < e {
			k++
		}
		moved[i] = int32(k)
	}
	return out, moved
}

// CloseSend says that no more rows come; it ends the open group. It does not block.
func (g *GroupedMapStream) CloseSend() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closedSend = true
	defer g.s.signal() // whoever receives may have to send the rest
	return g.pump()
}

// pump sends what there is to send and room for; mu is held.
func (g *GroupedMapStream) pump() error {
	s := g.s
	defer func() { g.pending.Store(!g.piece.empty()) }()
	for !g.piece.empty() {
		s.mu.Lock()
		slot, err := s.nextSlot(), s.err
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if slot < 0 {
			return nil
		}
		p := &g.piece
		to := p.from
		if p.from < p.n {
			to = fit(p.cols, p.from, p.n, groupPieceRows)
		}
		if g.whole != nil && p.k < len(p.ends) {
			// Whole groups: as many as fit, but one at least.
			last := p.ends[p.k]
			for _, e := range p.ends[p.k:] {
				if int(e) > to {
					break
				}
				last = e
			}
			to = int(last)
		}
		// Ends up to the last row of this frame; the empty groups after it too.
		k := p.k
		for k < len(p.ends) && int(p.ends[k]) <= to {
			k++
		}
		ends := p.ends[p.k:k]
		if p.from > 0 {
			ends = append([]int32(nil), ends...)
			for i := range ends {
				ends[i] -= int32(p.from)
			}
		}
		if _, err := s.send(slot, wire.OpRows, p.cols, p.from, to, ends, 0, 0); err != nil {
			return err
		}
		g.sentEnds += int64(len(ends))
		if to > p.from || len(ends) > 0 {
			g.sentOpen = to > p.from && (len(ends) == 0 || int(ends[len(ends)-1]) < to-p.from)
		}
		p.from, p.k = to, k
	}
	g.piece = groupPiece{}
	if g.closedSend && g.whole != nil && g.whole.rows > 0 {
		cols, n := g.whole.take()
		g.piece = groupPiece{cols: cols, n: n, ends: []int32{int32(n)}}
		return g.pump()
	}
	if g.closedSend && !g.endSent {
		g.endSent = true
		if err := s.c.write(s, appendFrame(nil, wire.Header{Type: wire.End, Stream: s.id}, nil), nil); err != nil {
			return s.failure(err)
		}
	}
	return nil
}

// pumpAll is pump for those who do not hold mu.
func (g *GroupedMapStream) pumpAll() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pump()
}

// Wait blocks until Send would not block (and CloseSend was not called), or Recv
// has something to return.
func (g *GroupedMapStream) Wait(ctx context.Context) (canSend, canRecv bool, err error) {
	s := g.s
	s.use(ctx)
	for {
		if err := g.pumpAll(); err != nil {
			return false, false, err
		}
		g.mu.Lock()
		idle, closed, kept := g.piece.empty(), g.closedSend, g.rest != nil
		g.mu.Unlock()
		err = s.wait(ctx, receiver, func() bool {
			canRecv = kept || len(s.results) > 0 || s.finished
			// A piece that waits for room can go on when a slot is free.
			room := s.nextSlot() >= 0
			canSend = idle && room && !closed
			return canRecv || canSend || !idle && room
		})
		if err != nil || canRecv || canSend {
			return canSend, canRecv, err
		}
	}
}

// Recv returns the next output, io.EOF after the last. An error that belongs to
// a group is a *CallError.
func (g *GroupedMapStream) Recv(ctx context.Context) (*GroupOutput, error) {
	s := g.s
	if g.rest != nil {
		return g.cut(g.rest), nil
	}
	s.use(ctx)
	for {
		if err := g.pumpAll(); err != nil {
			return nil, err
		}
		var have, finished bool
		err := s.wait(ctx, receiver, func() bool {
			have, finished = len(s.results) > 0, s.finished
			return have || finished || g.pending.Load() && s.nextSlot() >= 0
		})
		if err != nil {
			return nil, err
		}
		switch {
		case have:
			r, cols, groups, err := s.receive(false)
			if err != nil {
				var ce *CallError
				if errors.As(err, &ce) && ce.Row >= 0 && ce.Group < 0 && int(ce.Row) < len(groups) {
					ce.Group = r.msg.Base + int64(groups[ce.Row])
				}
				return nil, err
			}
			prev := int32(0)
			if len(groups) != int(r.msg.Rows) || r.msg.Base < 0 {
				return nil, s.broken(fmt.Errorf("%d group numbers for %d rows", len(groups), r.msg.Rows), 0)
			}
			for _, x := range groups {
				if x < prev {
					return nil, s.broken(errors.New("group numbers that descend"), 0)
				}
				prev = x
			}
			return g.cut(&GroupOutput{Cols: cols, N: int(r.msg.Rows), Base: r.msg.Base, Groups: groups, Done: r.msg.Done}), nil
		case finished:
			return nil, io.EOF
		}
	}
}

// cut keeps back what is more than the longest output wanted.
func (g *GroupedMapStream) cut(o *GroupOutput) *GroupOutput {
	g.rest = nil
	if g.max <= 0 || o.N <= g.max {
		return o
	}
	head, rest := *o, *o
	head.Cols, rest.Cols = make([]*vector.Vector, len(o.Cols)), make([]*vector.Vector, len(o.Cols))
	for i, c := range o.Cols {
		head.Cols[i], rest.Cols[i] = vector.Slice(c, 0, g.max), vector.Slice(c, g.max, o.N)
	}
	head.N, rest.N = g.max, o.N-g.max
	head.Groups, rest.Groups = o.Groups[:g.max], o.Groups[g.max:]
	head.Done = min(o.Done, o.Base+int64(rest.Groups[0]))
	g.rest = &rest
	return &head
}

// Done returns the number of groups that are finished and whose output, if they
// had any, has arrived at this stream: Recv may not have returned it yet.
func (g *GroupedMapStream) Done() int64 {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	return g.s.done
}

// Blame adds to the error of a process that ended, or hung, the group it was working
// on, where it can only have been one.
func (g *GroupedMapStream) Blame(err error) error {
	died, stuck := g.s.fate()
	if !died && !stuck || pgerr.ClassOf(err) == pgerr.Transient {
		return err
	}
	var ce *CallError
	if errors.As(err, &ce) {
		return err
	}
	g.mu.Lock()
	n := g.sentEnds
	if g.sentOpen {
		n++
	}
	g.mu.Unlock()
	g.s.mu.Lock()
	done := g.s.done
	g.s.mu.Unlock()
	if n-done != 1 {
		return err
	}
	return &CallError{Group: done, Row: -1, Err: pgerr.From(err)}
}

// settled is Done where Recv has nothing to return, else 0.
func (g *GroupedMapStream) settled() int64 {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if g.rest != nil || len(g.s.results) > 0 {
		return 0
	}
	return g.s.done
}

// Figures returns what was measured so far.
func (g *GroupedMapStream) Figures() Figures { return g.s.measured() }

// Close ends the stream, wherever it is.
func (g *GroupedMapStream) Close() error {
	g.s.close()
	if g.whole != nil {
		g.whole.free()
	}
	return nil
}
