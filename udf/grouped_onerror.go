package udf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// maxRetained bounds the input of one group that is kept to call the function
// again, should another group, or this one, end its process. Of a larger group only
// errors that the function raises can be left out.
const maxRetained = 32 << 20

// TolerantGroups is a GroupedMapStream on which groups may fail: nothing of what
// they emitted is given out, and for OnErrorNull a row of NULLs in its place.
// Groups that have not ended when another fails are called again, on a process of
// the stream's own once one was lost. To that end it keeps the input of groups that
// are not finished, up to a bound, and their output: both count in
// GroupOptions.Charge. It belongs to one goroutine, which calls Wait before Send and
// Recv.
type TolerantGroups struct {
	h    *Host
	ref  *proto.UDF
	o    GroupOptions
	outs []types.Type // of a row of NULLs, none if there is to be none

	in       *GroupedMapStream // nil before the first group and after a failure
	inClosed bool
	private  string  // names the process that this stream has for itself
	ids      []int64 // numbers of the groups that in was sent and has not finished
	base     int64   // in's number of ids[0]
	open     bool    // the last of ids goes on in what is to be sent
	lost     int     // processes, through no fault of these groups
	deaths   int
	before   Figures // of streams that are gone

	// Where a group that ends processes is searched: level deaths on groups below
	// until so far. Then one frame at a time is under way, of few groups.
	level    int
	until    int64
	atOnce   int // groups of a Send, 0 = no bound
	rowsOnce int // rows of a Send, 0 = no bound: small again after an error, since what was sent is sent again

	queue  []*groupInput // of groups that are not finished; oldest first
	held   int64         // bytes of queue
	pos    int           // what is to be sent next: of queue,
	row, k int           // its row and its end
	gone   int64         // a group whose input was let go, -1 if none
	tail   int64         // group of the next row that Send gets
	closed bool
	ended  bool

	bad      map[int64]bool
	nulls    []int64 // groups whose row of NULLs is due; ascending
	waiting  []*groupRows
	heldOut  int64
	ready    []*GroupOutput
	done     int64 // groups below it are finished
	failures []GroupFailure
}

// groupInput is what one Send got.
type groupInput struct {
	cols  []*vector.Vector
	n     int
	ends  []int32
	first int64 // group of row 0
	size  int64
}

// groupRows is output of groups that were not finished when it came; ids are theirs.
type groupRows struct {
	cols []*vector.Vector
	ids  []int64
	size int64
}

// TolerantGroupedMap is GroupedMap for an OnError that is not OnErrorFail.
func (h *Host) TolerantGroupedMap(ctx context.Context, ref *proto.UDF, o GroupOptions) (*TolerantGroups, error) {
	t := &TolerantGroups{h: h, ref: ref, o: o, gone: -1, bad: map[int64]bool{}}
	if o.OnError == OnErrorNull && function.Kind(ref.GetKind()) != function.Window { // whose partitions are the caller's to fill
		for _, c := range ref.GetColumns() {
			t.outs = append(t.outs, typeFromProto(c.GetType()))
		}
	}
	return t, t.start(ctx) // what is wrong with the function is no group's fault
}

func (t *TolerantGroups) start(ctx context.Context) (err error) {
	t.in, err = t.h.groupedMap(ctx, t.ref, t.o, t.private)
	if err != nil {
		t.in = nil
	}
	return err
}

func (t *TolerantGroups) charge(n int64) error {
	if t.o.Charge == nil || n == 0 {
		return nil
	}
	return t.o.Charge(n)
}

// Send queues n rows; see GroupedMapStream. It does not block.
func (t *TolerantGroups) Send(ctx context.Context, cols []*vector.Vector, n int, ends []int32) error {
	if t.closed {
		return pgerr.New(pgerr.InternalError, "function %s: Send after CloseSend", displayName(t.ref))
	}
	size := bytesOf(cols, 0, n)
	if t.held+size > maxRetained {
		t.letGo()
	}
	if err := t.charge(size); err != nil {
		t.letGo()
		if err := t.charge(size); err != nil {
			return err
		}
	}
	t.held += size
	t.queue = append(t.queue, &groupInput{cols: cols, n: n, ends: ends, first: t.tail, size: size})
	t.tail += int64(len(ends))
	return nil
}

// letGo forgets what was sent of the group that is under way.
func (t *TolerantGroups) letGo() {
	k := 0
	for k < t.pos && len(t.queue[k].ends) == 0 && t.queue[k].first == t.done {
		k++
	}
	if k > 0 {
		t.gone = t.done
		t.forget(k)
	}
}

// forget drops the first k of queue, which were sent.
func (t *TolerantGroups) forget(k int) {
	for _, q := range t.queue[:k] {
		t.held -= q.size
		_ = t.charge(-q.size) // giving back is never refused
	}
	t.queue = append(t.queue[:0], t.queue[k:]...)
	t.pos -= k
}

// CloseSend says that no more rows come.
func (t *TolerantGroups) CloseSend() error {
	t.closed = true
	return nil
}

// Wait blocks until Send may be called, or Recv has something to return. It is
// where the work is done.
func (t *TolerantGroups) Wait(ctx context.Context) (canSend, canRecv bool, err error) {
	for {
		if len(t.ready) > 0 || t.ended {
			return false, true, nil
		}
		pending := t.seek()
		if t.in == nil {
			switch {
			case pending:
				if err := t.start(ctx); err != nil {
					return false, false, err
				}
			case !t.closed:
				return true, false, nil
			default:
				t.finish()
				continue
			}
		}
		if !pending && t.closed && !t.inClosed {
			t.inClosed = true
			if err := t.in.CloseSend(); err != nil {
				if err := t.failed(ctx, err); err != nil {
					return false, false, err
				}
			}
			continue
		}
		canSend, canRecv, err := t.waitIn(ctx)
		if err == nil && canSend && !canRecv {
			t.finished(t.in.settled())
		}
		switch {
		case err != nil:
		case canRecv:
			err = t.receive(ctx)
		case canSend && pending:
			err = t.sendNext(ctx)
		case canSend && !t.closed:
			return true, false, nil
		}
		if err != nil {
			if err := t.failed(ctx, err); err != nil {
				return false, false, err
			}
		}
	}
}

// waitIn is in.Wait; while a group is searched nothing can be sent before the last
// frame is done with.
func (t *TolerantGroups) waitIn(ctx context.Context) (canSend, canRecv bool, err error) {
	if t.level == 0 {
		return t.in.Wait(ctx)
	}
	g, s := t.in, t.in.s
	s.use(ctx)
	for {
		if err := g.pumpAll(); err != nil {
			return false, false, err
		}
		g.mu.Lock()
		idle, kept := g.piece.empty(), g.rest != nil
		g.mu.Unlock()
		err = s.wait(ctx, receiver, func() bool {
			canRecv = kept || len(s.results) > 0 || s.finished
			canSend = idle && s.inflight == 0 && !t.inClosed
			return canRecv || canSend || !idle && s.nextSlot() >= 0
		})
		if err != nil || canRecv || canSend {
			return canSend, canRecv, err
		}
	}
}

// seek moves the position past groups that have failed; false when nothing is left
// to send.
func (t *TolerantGroups) seek() bool {
	for t.pos < len(t.queue) {
		p := t.queue[t.pos]
		switch {
		case t.row == p.n && t.k == len(p.ends):
			t.pos, t.row, t.k = t.pos+1, 0, 0
		case !t.bad[p.first+int64(t.k)]:
			return true
		case t.k < len(p.ends):
			t.row = int(p.ends[t.k])
			t.k++
		default:
			t.row = p.n
		}
	}
	return false
}

// sendNext sends what comes next: up to the next group that has failed.
func (t *TolerantGroups) sendNext(ctx context.Context) error {
	p := t.queue[t.pos]
	row, k := t.row, t.k
	to, kk := row, k
	for kk == k || !t.bad[p.first+int64(kk)] {
		end := p.n
		if kk < len(p.ends) {
			end = int(p.ends[kk])
		}
		if t.rowsOnce > 0 && end-row > t.rowsOnce {
			if kk == k {
				to = min(end, row+t.rowsOnce)
			}
			if kk > k || to < end {
				break
			}
		}
		to = end
		if kk == len(p.ends) {
			break
		}
		kk++
		if t.atOnce > 0 && kk-k >= t.atOnce || kk == len(p.ends) && to == p.n {
			break
		}
	}
	ends := make([]int32, kk-k)
	for i := range ends {
		ends[i] = p.ends[k+i] - int32(row)
	}
	for g := k; g < kk; g++ {
		t.begin(p.first + int64(g))
		t.open = false
	}
	last := row
	if kk > k {
		last = int(p.ends[kk-1])
	}
	if to > last {
		t.begin(p.first + int64(kk))
		t.open = true
	}
	t.row, t.k = to, kk
	if t.rowsOnce > 0 {
		t.rowsOnce *= 2
		if t.rowsOnce >= groupPieceRows {
			t.rowsOnce = 0
		}
	}
	return t.in.Send(ctx, sliceAll(p.cols, row, to), to-row, ends)
}

// begin notes that rows of group g go to the stream.
func (t *TolerantGroups) begin(g int64) {
	if !t.open {
		t.ids = append(t.ids, g)
		t.open = true
	}
}

// receive takes an output of the stream.
func (t *TolerantGroups) receive(ctx context.Context) error {
	o, err := t.in.Recv(ctx)
	if errors.Is(err, io.EOF) {
		t.finish()
		return nil
	}
	if err != nil {
		return err
	}
	if o.N > 0 {
		r := &groupRows{cols: o.Cols, ids: make([]int64, o.N)}
		for i, g := range o.Groups {
			at := o.Base + int64(g) - t.base
			if at < 0 || at >= int64(len(t.ids)) {
				return pgerr.New(pgerr.ExternalRoutineInvocationError, "function %s returned rows for a group that is not open", displayName(t.ref))
			}
			r.ids[i] = t.ids[at]
		}
		for _, c := range o.Cols {
			r.size += c.Size()
		}
		if err := t.charge(r.size); err != nil {
			e := *pgerr.From(err)
			e.Hint = "What a group emits is kept until it ends, unless volley.on_error is fail. Raise work_mem."
			return &e
		}
		t.heldOut += r.size
		t.waiting = append(t.waiting, r)
	}
	t.finished(o.Done)
	return nil
}

// finish ends the stream: everything is there.
func (t *TolerantGroups) finish() {
	t.leave()
	t.base, t.ids = t.base+int64(len(t.ids)), nil
	t.done = math.MaxInt64
	t.release()
	t.ended = true
	t.forget(len(t.queue))
}

// finished notes that in has finished its groups below d.
func (t *TolerantGroups) finished(d int64) {
	if n := min(d-t.base, int64(len(t.ids))); n > 0 {
		t.base += n
		t.ids = t.ids[n:]
	}
	done := t.tail
	if len(t.ids) > 0 {
		done = t.ids[0]
	} else if t.seek() {
		done = t.queue[t.pos].first + int64(t.k)
	}
	for t.bad[done] { // what remains of it is passed over
		done++
	}
	if done <= t.done {
		return
	}
	t.done = done
	if t.level > 0 && done >= t.until {
		t.level, t.atOnce = 0, 0
	}
	t.release()
	k := 0
	for k < t.pos && t.queue[k].first+int64(len(t.queue[k].ends)) < done {
		k++
	}
	t.forget(k)
}

// release makes ready what belongs to finished groups.
func (t *TolerantGroups) release() {
	for {
		bound := t.done
		if len(t.nulls) > 0 && t.nulls[0] < bound {
			bound = t.nulls[0]
		}
		if len(t.waiting) > 0 && t.waiting[0].ids[0] < bound {
			r := t.waiting[0]
			n, _ := slices.BinarySearch(r.ids, bound)
			o := &GroupOutput{Cols: r.cols, N: n, Base: r.ids[0], Groups: make([]int32, n), Done: r.ids[n-1]}
			for i := range o.Groups {
				o.Groups[i] = int32(r.ids[i] - o.Base)
			}
			if n == len(r.ids) {
				t.waiting = t.waiting[1:]
				t.heldOut -= r.size
				_ = t.charge(-r.size) // giving back is never refused
			} else {
				o.Cols = sliceAll(r.cols, 0, n)
				r.cols, r.ids = sliceAll(r.cols, n, len(r.ids)), r.ids[n:]
			}
			t.ready = append(t.ready, o)
			continue
		}
		if len(t.nulls) > 0 && t.nulls[0] < t.done {
			o := &GroupOutput{N: 1, Base: t.nulls[0], Groups: []int32{0}, Done: t.nulls[0]}
			for _, out := range t.outs {
				o.Cols = append(o.Cols, vector.NewNull(out, 1).Flatten())
			}
			t.nulls = t.nulls[1:]
			t.ready = append(t.ready, o)
			continue
		}
		return
	}
}

// Recv returns the next output, io.EOF after the last.
func (t *TolerantGroups) Recv(ctx context.Context) (*GroupOutput, error) {
	for len(t.ready) == 0 && !t.ended {
		canSend, _, err := t.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if canSend {
			return nil, pgerr.New(pgerr.InternalError, "function %s: Recv before there is an output", displayName(t.ref))
		}
	}
	if len(t.ready) > 0 {
		o := t.ready[0]
		t.ready = t.ready[1:]
		return o, nil
	}
	return nil, io.EOF
}

// TakeFailures returns the groups that failed since the last time.
func (t *TolerantGroups) TakeFailures() []GroupFailure {
	f := t.failures
	t.failures = nil
	return f
}

// failed finds out what to do about an error of in: nil to go on without the group
// at fault, or with the search for it.
func (t *TolerantGroups) failed(ctx context.Context, err error) error {
	if t.in == nil {
		return err
	}
	s := t.in.s
	died, stuck := s.fate()
	if (died || stuck) && s.c.firstToMourn() {
		t.before.Restarts++
	}
	s.mu.Lock()
	ended := s.done
	s.mu.Unlock()
	suspects := t.ids[min(max(ended-t.base, 0), int64(len(t.ids))):]
	t.leave()
	if ctx.Err() != nil {
		return err
	}
	var ce *CallError
	switch {
	case errors.As(err, &ce):
		at := ce.Group - t.base
		if ce.Group < 0 || at < 0 || at >= int64(len(t.ids)) {
			return err
		}
		t.culprit(t.ids[at], ce.Row, ce.Err, ce.args, ce.panic)
		t.rowsOnce = 1024
	case (died || stuck) && len(suspects) > 0:
		t.deaths++
		if t.deaths > maxDeathsSkip {
			e := *pgerr.From(err)
			e.Class = pgerr.UDF
			e.Message += fmt.Sprintf(" (%d times in one task)", t.deaths)
			return &e
		}
		alone := t.private != "" || stuck
		t.endPrivate() // it was hurt
		t.private = t.h.privateName()
		if alone && len(suspects) == 1 {
			t.culprit(suspects[0], -1, pgerr.From(err), "", true)
			t.level, t.atOnce = 0, 0
			break
		}
		t.level++
		t.until = suspects[len(suspects)-1] + 1
		if t.atOnce = int(math.Ceil(math.Sqrt(float64(len(suspects))))); t.level > 1 {
			t.atOnce = 1
		}
	case pgerr.ClassOf(err) == pgerr.Transient && t.lost < lostAttempts:
		t.lost++
	default:
		return err
	}
	return t.rewind(err)
}

// leave closes the stream and keeps its figures.
func (t *TolerantGroups) leave() {
	if t.in == nil {
		return
	}
	t.before.add(t.in.Figures())
	t.in.s.close()
	t.in, t.inClosed = nil, false
}

// rewind makes the first group that is not finished the next to be sent.
func (t *TolerantGroups) rewind(cause error) error {
	first := t.done
	for t.bad[first] {
		first++
	}
	if t.gone >= 0 && first <= t.gone && !t.bad[t.gone] {
		e := *pgerr.From(cause)
		if e.Class == pgerr.Transient {
			return &e // the task runs again
		}
		if e.Detail != "" {
			e.Detail += " "
		}
		e.Detail += fmt.Sprintf("The group under way is larger than %d MB, up to which a group is kept to be called again.", int64(maxRetained)>>20)
		return &e
	}
	t.ids, t.base, t.open = nil, 0, false
	t.pos, t.row, t.k = 0, 0, 0
	for t.pos < len(t.queue) && t.queue[t.pos].first+int64(len(t.queue[t.pos].ends)) < first {
		t.pos++
	}
	if t.pos < len(t.queue) {
		if p := t.queue[t.pos]; first > p.first {
			t.k = int(first - p.first)
			t.row = int(p.ends[t.k-1])
		}
	}
	// What they have emitted they will emit again; of those that failed it is not wanted.
	for i := len(t.waiting) - 1; i >= 0; i-- {
		r := t.waiting[i]
		n, _ := slices.BinarySearch(r.ids, t.done)
		if n == len(r.ids) {
			break
		}
		if n > 0 {
			r.cols, r.ids = sliceAll(r.cols, 0, n), r.ids[:n]
			break
		}
		t.waiting = t.waiting[:i]
		t.heldOut -= r.size
		_ = t.charge(-r.size) // giving back is never refused
	}
	t.finished(0)
	return nil
}

// culprit leaves out a group that is known to fail. stack says that the error has a
// stack, or what the process said, as its detail.
func (t *TolerantGroups) culprit(g, row int64, e *pgerr.Error, args string, stack bool) {
	t.before.Errors++
	t.bad[g] = true
	if len(t.outs) > 0 {
		i, _ := slices.BinarySearch(t.nulls, g)
		t.nulls = slices.Insert(t.nulls, i, g)
	}
	t.failures = append(t.failures, groupFailure(g, row, e, args, stack))
}

// groupFailure makes a failure of group g of an error; see culprit.
func groupFailure(g, row int64, e *pgerr.Error, args string, stack bool) GroupFailure {
	x := *e
	if x.Class == pgerr.Transient {
		x.Class = pgerr.UDF
	}
	f := GroupFailure{Failure: Failure{Err: &x, Args: args, At: time.Now()}, Group: g, Row: row + 1}
	detail := x.Detail
	if args != "" {
		detail = strings.TrimLeft(strings.TrimPrefix(detail, "Arguments: "+args+"."), " \n")
	}
	if stack {
		f.Stack = detail
	}
	return f
}

func (t *TolerantGroups) endPrivate() {
	if t.private != "" {
		t.h.endPrivate(t.ref, t.private)
		t.private = ""
	}
}

// Figures returns what was measured so far.
func (t *TolerantGroups) Figures() Figures {
	f := t.before
	if t.in != nil {
		f.add(t.in.Figures())
	}
	return f
}

// Close ends the stream, wherever it is.
func (t *TolerantGroups) Close() error {
	t.leave()
	t.endPrivate()
	_ = t.charge(-t.held - t.heldOut) // giving back is never refused
	t.held, t.heldOut, t.queue, t.waiting = 0, 0, nil, nil
	return nil
}
