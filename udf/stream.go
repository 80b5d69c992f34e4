package udf

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// outSlotBytes is the first size of an output slot; the child asks for more.
const outSlotBytes = 256 << 10

// pieceBytes is the size at which input is cut into pieces.
const pieceBytes = 4 << 20

// cancelGrace is how long a child may take to answer a Cancel. User code that
// does not return is ended with the whole child.
const cancelGrace = 300 * time.Millisecond

// connGrace is the same for a server elsewhere, or in this program: the answer comes
// over a network, or from a busy scheduler, and nothing is gained by an early end.
const connGrace = 5 * time.Second

// stream is the host's side of one use of a function. Its methods are called by
// the stream's user (one goroutine, or one for each role); the child's reading
// goroutine feeds it through handle.
type stream struct {
	c     *child
	id    uint32
	name  string          // for errors
	query string          // for logs; under mu
	ctx   context.Context // of who uses it now; under mu
	key   string          // of streams that may be parked, else ""
	outs  []types.Type
	// args are the declared types of arguments, outNames the names of outs; both may
	// be missing.
	args     []types.Type
	outNames []string
	// timeout is the longest time without progress, 0 = none.
	timeout time.Duration

	writing atomic.Int64 // when the last write to the child began, on clock

	// memMu is held for reading while slots are copied from and to, so that they
	// are not unmapped under a copy when the child ends or another goroutine
	// closes the stream.
	memMu sync.RWMutex
	in    [wire.InSlots]region
	outMu sync.Mutex // the child's reading goroutine enlarges them
	out   [wire.OutSlots]region

	msg wire.BatchMsg // of the sender
	ins []inCol       // of the sender
	buf []byte        // of the sender: frames that go with the next batch

	mu       sync.Mutex
	opened   bool
	closed   bool // by the user
	gone     bool // Closed received, or the child is dead
	finished bool
	err      error
	busy     [wire.InSlots]bool
	seq      uint64
	results  []result
	inflight int                         // batches without Done
	done     int64                       // groups
	sizes    [2 * wire.InSlots]stateSize // by batch
	died     bool                        // the child was lost while it worked for the stream
	stuck    bool                        // no progress for the timeout
	advance  time.Time
	figures  Figures
	goesOn   bool         // groups may fail
	failed   []*CallError // that nobody has taken yet
	calls    string       // user code was in these when the child was asked
	said     bool         // calls is the answer
	wake     [2]chan struct{}
}

// maxStreamFailures bounds the failures of groups that are kept with what they say
// until somebody takes them; figures count all.
const maxStreamFailures = 10_000

// maxCalls bounds what is kept of a plugin's answer to Where, in bytes.
const maxCalls = 4 << 10

// The roles of goroutines that wait on a stream.
const (
	receiver = iota
	sender
)

// stateSize is the bytes of aggregate states after batch seq.
type stateSize struct {
	seq   uint64
	bytes int64
}

// result is a Result frame whose columns wait in an output slot.
type result struct {
	seq  uint64
	slot int
	last bool
	msg  wire.BatchMsg
}

// open opens a stream on a child and waits until the child's Init hooks ran.
func (c *child) open(ctx context.Context, o wire.OpenMsg, name string, outs []types.Type, timeout time.Duration) (*stream, error) {
	s := &stream{c: c, name: name, query: queryOf(ctx), ctx: ctx, outs: outs, timeout: timeout, advance: time.Now()}
	for i := range s.wake {
		s.wake[i] = make(chan struct{}, 1)
	}
	if err := c.add(s); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	frames := appendFrame(nil, wire.Header{Type: wire.Open, Stream: s.id}, payload)
	if frames, err = s.outSlots(frames); err != nil {
		s.close()
		return nil, err
	}
	if err := c.write(s, frames, nil); err != nil {
		err = s.failure(err) // which closing would hide
		s.close()
		return nil, err
	}
	if err := s.wait(ctx, receiver, func() bool { return s.opened }); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// outSlots appends the messages that give the child its output slots.
func (s *stream) outSlots(frames []byte) ([]byte, error) {
	// A child that dies now takes its memory with it; slots made after that
	// would be nobody's.
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	if err := s.ended(); err != nil {
		return nil, err
	}
	for j := range s.out {
		r, err := s.c.mem.alloc(outSlotBytes)
		if err != nil {
			return nil, err
		}
		s.outMu.Lock()
		s.out[j] = r
		s.outMu.Unlock()
		frames = appendFrame(frames, wire.Header{Type: wire.Slot, Stream: s.id, Slot: uint16(j)}, slotMsg(true, r))
	}
	return frames, nil
}

func slotMsg(out bool, r region) []byte {
	m := wire.SlotMsg{Out: out, Off: uint64(r.off), Size: uint64(len(r.mem))}
	return m.Append(nil)
}

func appendFrame(dst []byte, h wire.Header, payload []byte) []byte {
	h.Len = uint32(len(payload))
	var b [wire.HeaderSize]byte
	h.Put(b[:])
	return append(append(dst, b[:]...), payload...)
}

// rested says that the caller was busy elsewhere: that the child waited for it
// is not a lack of progress.
func (s *stream) rested() {
	s.mu.Lock()
	s.advance = time.Now()
	s.mu.Unlock()
}

// wait blocks until ready, which is called with mu held, or until the stream or
// ctx ends. A stream that makes no progress for its timeout ends here.
func (s *stream) wait(ctx context.Context, role int, ready func() bool) error {
	var timer *time.Timer
	for {
		s.mu.Lock()
		s.ctx = ctx
		ok, err, since := ready(), s.err, s.advance
		working := s.inflight > 0 || !s.opened
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case err != nil:
			return err
		}
		var expired <-chan time.Time
		if s.timeout > 0 && working {
			left := s.timeout - time.Since(since)
			if left <= 0 {
				detail := "The limit is on the time without progress on one batch."
				if w := s.askWhere(role); w != "" {
					detail += " It was in " + w + "."
				}
				err := s.late(detail)
				s.close()
				return err
			}
			if timer == nil {
				timer = time.NewTimer(left)
				defer timer.Stop()
			} else {
				timer.Reset(left)
			}
			expired = timer.C
		}
		select {
		case <-s.wake[role]:
		case <-expired:
		case <-ctx.Done():
			s.close()
			return pgerr.From(context.Cause(ctx))
		}
	}
}

// late ends the stream because the function's time is over.
func (s *stream) late(detail string) error {
	err := pgerr.New(pgerr.QueryCanceled, "function %s did not finish within %s", s.name, s.timeout).
		WithClass(pgerr.UDF).WithDetail("%s", detail)
	s.mu.Lock()
	s.stuck = true
	s.mu.Unlock()
	s.fail(err)
	return err
}

// use notes the context of a call that may write to the child.
func (s *stream) use(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
}

// context is that of who uses the stream now.
func (s *stream) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx
}

// askWhere asks the child which calls user code is in. "" if it cannot say so at once.
func (s *stream) askWhere(role int) string {
	if !s.c.where || !s.c.post(wire.Header{Type: wire.Where, Stream: s.id}) {
		return ""
	}
	t := time.NewTimer(cancelGrace)
	defer t.Stop()
	for {
		s.mu.Lock()
		calls, said := s.calls, s.said || s.err != nil
		s.mu.Unlock()
		if said {
			return calls
		}
		select {
		case <-s.wake[role]:
		case <-t.C:
			return ""
		}
	}
}

func (s *stream) signal() {
	for _, w := range s.wake {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// fail ends the stream with err unless it has failed already.
func (s *stream) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.signal()
}

// failure is the stream's own error where it has one, else err.
func (s *stream) failure(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return err
}

// fate says whether the child was lost while it worked for the stream, and
// whether it did not finish in time.
func (s *stream) fate() (died, stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.died, s.stuck
}

// ended is the error of a stream that cannot be used any more.
func (s *stream) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// freeMemory gives the slots back; the child does not use them any more.
func (s *stream) freeMemory() {
	s.memMu.Lock()
	defer s.memMu.Unlock()
	for i := range s.in {
		s.c.mem.release(s.in[i])
		s.in[i] = region{}
	}
	for i := range s.out {
		s.c.mem.release(s.out[i])
		s.out[i] = region{}
	}
}

// slotBytes is the size of all slots.
func (s *stream) slotBytes() int {
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	s.outMu.Lock()
	defer s.outMu.Unlock()
	n := 0
	for i := range s.in {
		n += len(s.in[i].mem)
	}
	for i := range s.out {
		n += len(s.out[i].mem)
	}
	return n
}

// grow replaces output slot j, which the child holds, by one of n bytes.
func (s *stream) grow(j int, n uint64) error {
	if j >= wire.OutSlots || n > wire.MaxSlot {
		return fmt.Errorf("slot %d of %d bytes", j, n)
	}
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	if s.ended() != nil {
		return nil // the child is about to be told
	}
	r, err := s.c.mem.alloc(int(n))
	if err != nil {
		s.fail(err)
		return nil
	}
	s.outMu.Lock()
	s.c.mem.release(s.out[j])
	s.out[j] = r
	s.outMu.Unlock()
	return s.c.reply(appendFrame(nil, wire.Header{Type: wire.Slot, Stream: s.id, Slot: uint16(j)}, slotMsg(true, r)))
}

// active reports whether the child works for the stream.
func (s *stream) active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inflight > 0 || !s.opened
}

// taken reports whether the child has opened the stream, so that user code may have run
// for it.
func (s *stream) taken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// receive takes the oldest result's columns out of their slot and gives the slot
// back: at once, or (lazy, only where one goroutine sends and receives) with the
// next batch.
func (s *stream) receive(lazy bool) (result, []*vector.Vector, []int32, error) {
	s.memMu.RLock()
	defer s.memMu.RUnlock()
	s.mu.Lock()
	r := s.results[0]
	s.results = append(s.results[:0], s.results[1:]...)
	ended := s.err
	closed := s.closed
	s.mu.Unlock()
	s.outMu.Lock()
	mem := s.out[r.slot].mem
	s.outMu.Unlock()
	// What was answered before an error of a later batch counts, as long as the
	// slots are there.
	if ended != nil && (closed || mem == nil) {
		return result{}, nil, nil, ended
	}
	rows := int(r.msg.Rows)
	if len(r.msg.Cols) != len(s.outs) {
		return r, nil, nil, s.broken(fmt.Errorf("%d columns, want %d", len(r.msg.Cols), len(s.outs)), r.seq)
	}
	cols := make([]*vector.Vector, len(s.outs))
	var err error
	for i := range cols {
		if cols[i], err = copyOut(mem, &r.msg.Cols[i], rows, s.outs[i]); err != nil {
			if i < len(s.outNames) {
				err = inColumn(err, s.outNames[i])
			}
			return r, nil, nil, s.broken(err, r.seq)
		}
	}
	var groups []int32
	if n := int(r.msg.Groups); n > 0 {
		if r.msg.GroupsAt%8 != 0 || uint64(r.msg.GroupsAt)+4*uint64(n) > uint64(len(mem)) || n != rows {
			return r, nil, nil, s.broken(fmt.Errorf("%d group numbers for %d rows", n, rows), r.seq)
		}
		groups = append([]int32(nil), int32s(mem, r.msg.GroupsAt, n)...)
	}
	if ended != nil {
		return r, cols, groups, nil
	}
	credit := wire.Header{Type: wire.Credit, Stream: s.id, Slot: uint16(r.slot)}
	if lazy {
		s.buf = appendFrame(s.buf, credit, nil)
		return r, cols, groups, nil
	}
	if err := s.c.write(s, appendFrame(nil, credit, nil), nil); err != nil {
		return r, nil, nil, s.failure(err)
	}
	return r, cols, groups, nil
}

// broken is the error for a plugin that breaks its contract.
// seq is the batch of a badRow.
func (s *stream) broken(err error, seq uint64) error {
	return notAllowed(s.name, s.c.label, err, seq)
}

func notAllowed(name, label string, err error, seq uint64) error {
	if e, ok := err.(*pgerr.Error); ok { // a limit of ours
		return e
	}
	e := pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s returned %s", name, err)
	if b, ok := err.(*badRow); ok {
		ce := &CallError{Group: -1, Err: e, seq: seq, where: "function " + name + " of " + label}
		ce.setRow(int64(b.row))
		return ce
	}
	return e
}

// handle takes a frame from the child. It never blocks. body is in the slot.
func (s *stream) handle(h wire.Header, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance = time.Now()
	defer s.signal()
	switch h.Type {
	case wire.Opened:
		s.opened = true
		s.c.served.Store(true)
	case wire.Progress:
	case wire.Calls:
		s.calls, s.said = plainText(string(payload[:min(len(payload), maxCalls)])), true
	case wire.Finished:
		s.finished = true
	case wire.Result:
		r := result{seq: h.Seq, slot: int(h.Slot), last: h.Flags&wire.FlagLast != 0}
		if err := r.msg.Parse(payload); err != nil {
			return err
		}
		if r.slot >= wire.OutSlots || len(s.results) >= wire.OutSlots {
			return fmt.Errorf("result in slot %d", r.slot)
		}
		s.results = append(s.results, r)
		if r.last {
			s.release(h.Seq)
		}
	case wire.Done:
		var m wire.DoneMsg
		if err := m.Parse(payload); err != nil {
			return err
		}
		s.done = m.Done
		s.sizes[h.Seq%uint64(len(s.sizes))] = stateSize{h.Seq, m.Bytes}
		s.figures.UserNanos += max(m.Nanos, 0)
		s.release(h.Seq)
	case wire.Error:
		var m wire.ErrorMsg
		if err := json.Unmarshal(payload, &m); err != nil {
			return err
		}
		switch {
		case s.goesOn && h.Flags&wire.FlagGoesOn != 0:
			s.figures.Errors++
			if len(s.failed) < maxStreamFailures {
				s.failed = append(s.failed, s.callError(h.Seq, &m))
			}
		case s.err == nil:
			s.err = s.callError(h.Seq, &m)
		}
	default:
		return fmt.Errorf("unknown frame")
	}
	return nil
}

// release marks the input slot of batch seq as free: batches end in order and
// alternate over the slots that were free. mu is held.
func (s *stream) release(seq uint64) {
	if s.inflight > 0 {
		s.inflight--
		s.busy[s.slotOf(seq)] = false
	}
}

// slotOf is the input slot of a batch: they are used in turn.
func (s *stream) slotOf(seq uint64) int { return int(seq % wire.InSlots) }

// nextSlot is the slot of the next batch if it is free, else -1; mu is held.
func (s *stream) nextSlot() int {
	if i := s.slotOf(s.seq + 1); !s.busy[i] {
		return i
	}
	return -1
}

// callError makes the client's error of an Error frame.
func (s *stream) callError(seq uint64, m *wire.ErrorMsg) *CallError {
	return newCallError(s.name, s.c.label, seq, m)
}

func newCallError(name, label string, seq uint64, m *wire.ErrorMsg) *CallError {
	e := pgerr.New(m.Code, "function %s: %s", name, m.Message)
	e.Detail, e.Hint = m.Detail, m.Hint
	if e.Class != pgerr.UDF && e.Class != pgerr.Resource {
		e.Class = pgerr.User
	}
	ce := &CallError{Group: m.Group, Err: e, seq: seq, panic: m.Panic, args: m.Args, where: "function " + name + " of " + label}
	ce.setRow(m.Row)
	return ce
}

// close ends the stream. It does not wait for the child: a child that does not
// answer within cancelGrace is ended.
func (s *stream) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	if s.err == nil {
		s.err = pgerr.New(pgerr.InternalError, "function %s: the stream is closed", s.name)
	}
	gone := s.gone
	s.mu.Unlock()
	s.signal()
	if !gone {
		s.c.cancel(s)
	}
}
