package udf

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// flushBytes is the size at which a grouped map's output is sent; chunkBytes
// bounds one Result unless a single row is larger.
const (
	flushBytes = 1 << 20
	chunkBytes = 8 << 20
)

// stream is one use of a function by the host. Everything runs in its own
// goroutine (run), but for slots, work, free and grown, which the server's
// reading goroutine feeds.
type stream struct {
	srv  *server
	id   uint32
	fn   *function
	args []Type // as declared in SQL
	outs []Type

	in    [wire.InSlots]slot
	outSl [wire.OutSlots]slot
	work  chan frame
	free  chan int
	grown chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	stop   atomic.Bool
	// cancelled, of await, says that the Cancel has been read; stop may say so before.
	cancelled bool
	due       atomic.Bool // output has waited: what there is should go
	progress  atomic.Uint64
	reported  uint64 // progress at the last Progress frame; of the server's ticker

	// The current frame.
	cur  frame
	cols []column

	describes bool // the stream asks for the output columns
	goesOn    bool // groups of an aggregate may fail
	outNames  []string

	// Grouped map: position in the frame, and output not sent yet.
	busy      bool // cur is a frame
	atEnd     bool
	ends      []int32
	pos, k    int
	group     int64
	out       []*outCol
	outGroups []int32
	outBase   int64

	began  time.Time     // user code has cur since then
	waited time.Duration // of that, for output slots

	msg wire.BatchMsg
	buf []byte
}

// frame is a Batch or End frame.
type frame struct {
	h   wire.Header
	msg wire.BatchMsg
}

// slot is a piece of shared memory, or of the heap where there is none.
type slot struct {
	mem    []byte
	placed bool // the host sees what is in it
}

func newStream(srv *server, id uint32, fn *function, o *wire.OpenMsg) (*stream, error) {
	s := &stream{
		srv: srv, id: id, fn: fn,
		work:  make(chan frame, wire.InSlots+2),
		free:  make(chan int, wire.OutSlots),
		grown: make(chan struct{}, 1),
	}
	s.describes, s.outNames = o.Kind == wire.DescribeKind, o.OutNames
	s.goesOn = o.OnError == wire.OnErrorNull && o.Kind == kindAggregate
	if s.describes && fn.describe == nil || !s.describes && o.Kind != fn.desc.Kind {
		return nil, fmt.Errorf("function %q is %s, not %s", o.Function, fn.desc.Kind, o.Kind)
	}
	var err error
	args := fn.args
	if o.Kind == kindWindow {
		args = append(args[:len(args):len(args)], Int64, Int64) // the frames
	}
	if s.args, err = parseTypes(o.Args, args); err != nil {
		return nil, err
	}
	outs := fn.out
	switch {
	case s.describes:
		outs = []Type{String, String}
		for i := range s.args {
			s.args[i] |= Nullable // those that are not constant
		}
	case fn.describe != nil && len(outs) == 0:
		for i, n := range o.Out {
			t, ok := typeByName(n)
			if !ok {
				return nil, fmt.Errorf("column %d is %s", i+1, n)
			}
			outs = append(outs, t|Nullable)
		}
	}
	if s.outs, err = parseTypes(o.Out, outs); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// parseTypes reads SQL-side types and checks them against the Go side's.
func parseTypes(names []string, want []Type) ([]Type, error) {
	if len(names) != len(want) {
		return nil, fmt.Errorf("%d columns, want %d", len(names), len(want))
	}
	ts := make([]Type, len(names))
	for i, n := range names {
		var err error
		if ts[i], err = declared(n, want[i]); err != nil {
			return nil, fmt.Errorf("column %d is %w", i+1, err)
		}
	}
	return ts, nil
}

// run serves the stream until the host cancels it.
func (s *stream) run() {
	defer s.srv.streams.Done()
	s.guard(func() { // an error has been sent when it returns; the host closes the stream
		if err := s.srv.initialise(); err != nil {
			panic(raised{fmt.Errorf("init: %w", err)})
		}
		s.send(wire.Header{Type: wire.Opened}, nil, nil)
		switch s.fn.desc.Kind {
		case kindScalar:
			s.runScalar()
		case kindAggregate:
			s.runAggregate()
		default:
			s.runGrouped()
		}
	})
	s.await(func() bool { return false })
	for range s.work {
	}
	for j := range s.in {
		s.in[j].release(s.srv, false, j)
	}
	for j := range s.outSl {
		s.outSl[j].release(s.srv, true, j)
	}
	s.send(wire.Header{Type: wire.Closed}, nil, nil)
}

// release lets go of the memory of a slot.
func (sl *slot) release(srv *server, out bool, j int) {
	if sl.placed {
		srv.place(out, j, nil)
	}
	*sl = slot{}
}

// guard runs f; a panic in it is sent to the host as the stream's error.
func (s *stream) guard(f func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, is := v.(cancelled); is {
			return
		}
		s.fail(toMessage(v))
	}()
	f()
}

func (s *stream) fail(m *wire.ErrorMsg) {
	s.sendJSON(wire.Header{Type: wire.Error, Seq: s.cur.h.Seq}, m)
}

// failAt sends what user code panicked with or returned, with its place.
func (s *stream) failAt(v any, row int64, group int64, args []column, i int) {
	s.fail(placed(v, row, group, args, i))
}

// placed describes what user code panicked with or returned, with its place.
func placed(v any, row int64, group int64, args []column, i int) *wire.ErrorMsg {
	m := toMessage(v)
	if m.Row < 0 {
		m.Row = row
	} else if args != nil && group < 0 {
		i = int(m.Row)
	}
	m.Group = group
	if args != nil && i >= 0 {
		if a := values(args, i); a != "" {
			m.Args = a
			d := "Arguments: " + a + "."
			if m.Detail != "" {
				d += " " + m.Detail
			}
			m.Detail = d
		}
	}
	return m
}

// next receives the next frame; it panics with cancelled at a Cancel.
func (s *stream) next() frame {
	s.await(func() bool { return len(s.work) > 0 })
	f, ok := <-s.work
	if !ok {
		panic(cancelled{})
	}
	s.progress.Add(1)
	return f
}

// load makes cols the columns of frame f.
func (s *stream) load(f frame) {
	s.cur = f
	mem := s.in[f.h.Slot].mem
	if len(s.cols) != len(f.msg.Cols) {
		s.cols = make([]column, len(f.msg.Cols))
	}
	for i := range s.cols {
		typ, name := Bytes, "" // of states
		if i < len(s.args) {
			typ = s.args[i]
			if i < len(s.fn.desc.Args) {
				name = s.fn.desc.Args[i].Name
			}
		}
		m := f.msg.Cols[i].In(mem, int(f.msg.Rows))
		s.cols[i] = newColumn(&m, typ, name)
	}
}

func (s *stream) frameGroups(f frame) []int32 {
	if f.msg.Groups == 0 {
		return nil
	}
	mem := s.in[f.h.Slot].mem
	return unsafe.Slice((*int32)(unsafe.Pointer(&mem[f.msg.GroupsAt])), f.msg.Groups)
}

// acquire takes a free output slot of at least size bytes.
func (s *stream) acquire(size int) int {
	if size > wire.MaxSlot {
		panic(Errorf("54000", "a result of %d bytes is larger than the limit of %d", size, wire.MaxSlot))
	}
	begin := time.Now()
	defer func() { s.waited += time.Since(begin) }()
	s.await(func() bool { return len(s.free) > 0 })
	var j int
	select {
	case j = <-s.free:
	case <-s.ctx.Done():
		panic(cancelled{})
	}
	s.progress.Add(1)
	if len(s.outSl[j].mem) < size {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(size))
		s.send(wire.Header{Type: wire.Grow, Slot: uint16(j)}, b[:], nil)
		s.await(func() bool { return len(s.grown) > 0 })
		select {
		case <-s.grown:
		case <-s.ctx.Done():
			panic(cancelled{})
		}
	}
	return j
}

// sendRows sends all rows of cols in as many Results as it takes; the last is
// marked with flags.
func (s *stream) sendRows(cols []*outCol, groups []int32, base, done int64, flags uint8) {
	n := cols[0].n
	for from := 0; from < n; {
		to := from + rowsThatFit(cols, from, n, chunkBytes)
		var g []int32
		if groups != nil {
			g = groups[from:to]
		}
		size := layout(&s.msg, cols, from, to, len(g))
		j := s.acquire(size)
		mem := s.outSl[j].mem
		if len(g) > 0 {
			copy(unsafe.Slice((*int32)(unsafe.Pointer(&mem[0])), len(g)), g)
		}
		fill(&s.msg, mem, cols, from, to)
		s.msg.Base, s.msg.Done = base, done
		h := wire.Header{Type: wire.Result, Slot: uint16(j), Seq: s.cur.h.Seq}
		if to == n {
			h.Flags = flags
		}
		s.sendResult(h, mem[:size])
		from = to
	}
}

func (s *stream) sendResult(h wire.Header, used []byte) {
	s.buf = s.msg.Append(s.buf[:0])
	if s.outSl[h.Slot].placed {
		used = nil
	}
	s.send(h, s.buf, used)
}

func (s *stream) runScalar() {
	ret := s.fn.out[0]
	direct := ret >= Bool && ret <= Float64
	width := ret.kind().Width()
	out := newOutCol("", s.outs[0])
	rows := newSpans(s.fn)
	text := textSlot{slot: -1}
	for {
		f := s.next()
		if f.h.Type == wire.End {
			s.send(wire.Header{Type: wire.Finished}, nil, nil)
			return
		}
		s.load(f)
		n := int(f.msg.Rows)
		c := &call{n: n, args: s.cols, out: out, row: -1, progress: &s.progress, stop: &s.stop}
		out.reset()
		j := -1
		if direct {
			j = s.acquire(wire.Align(n * width))
			c.direct = s.outSl[j].mem[:n*width]
		} else if rows.cheap {
			s.placeText(&text, out, n)
		}
		placed := text.slot >= 0
		c.lends = !placed
		begin := time.Now()
		if !s.user(c, func() { rows.call(c, direct || placed) }) {
			return
		}
		nanos := int64(time.Since(begin))
		if !direct {
			text.per = float64(out.size()) / float64(max(n, 1))
			if !placed || !s.sendPlaced(&text, out, nanos) {
				s.sendRows([]*outCol{out}, nil, 0, nanos, wire.FlagLast)
			}
			if placed {
				out.offs, out.bytes = nil, nil // the slot's, or larger than is usual
			}
			continue
		}
		s.msg = wire.BatchMsg{Rows: uint32(n), Done: nanos, Cols: append(s.msg.Cols[:0], wire.Col{Kind: ret.kind()})}
		s.sendResult(wire.Header{Type: wire.Result, Flags: wire.FlagLast, Slot: uint16(j), Seq: f.h.Seq}, c.direct)
	}
}

// user runs user code for a batch; false when it failed and the error was sent.
func (s *stream) user(c *call, f func()) (ok bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, is := v.(cancelled); is {
			panic(v)
		}
		s.fail(c.fail(v))
	}()
	f()
	return true
}

func (s *stream) runAggregate() {
	agg := s.fn.agg()
	state := newOutCol("", Bytes)
	final := newOutCol("", s.outs[0])
	var zeros []int32
	for {
		f := s.next()
		if f.h.Type == wire.End {
			s.send(wire.Header{Type: wire.Finished}, nil, nil)
			return
		}
		s.load(f)
		c := &call{n: int(f.msg.Rows), args: s.cols, row: -1, progress: &s.progress, stop: &s.stop}
		switch f.h.Flags {
		case wire.OpRows, wire.OpMerge:
			groups := s.frameGroups(f)
			if groups == nil {
				for len(zeros) < c.n {
					zeros = append(zeros, 0)
				}
				groups = zeros[:c.n]
			}
			begin := time.Now()
			if !s.user(c, func() { agg.grow(int(f.msg.Base)) }) {
				return
			}
			for again := true; again; {
				var ok bool
				if ok, again = s.userRows(c, agg, groups, func() {
					if f.h.Flags == wire.OpMerge {
						c.args[0].typ = Bytes
						agg.merge(c, groups)
					} else {
						agg.step(c, groups)
					}
				}); !ok && !again {
					return
				}
			}
			s.done(wire.DoneMsg{Bytes: agg.size(), Nanos: int64(time.Since(begin))})
		default:
			const chunk = 16384
			from, to := int(f.msg.Base), int(f.msg.Done)
			if !s.user(c, func() { agg.grow(to) }) {
				return
			}
			nanos := int64(0)
			for from < to {
				end := min(from+chunk, to)
				s.progress.Add(1)
				o := final
				if f.h.Flags == wire.OpState {
					o = state
				}
				begin := time.Now()
				for again := true; again; {
					o.reset()
					row := -1
					var ok bool
					if ok, again = s.userGroup(c, agg, int64(from), &row, func() {
						if f.h.Flags == wire.OpState {
							agg.state(o, from, end)
						} else {
							agg.final(o, from, end, &row)
						}
					}); !ok && !again {
						return
					}
				}
				var flags uint8
				if end == to {
					flags = wire.FlagLast
				}
				nanos += int64(time.Since(begin))
				s.sendRows([]*outCol{o}, nil, 0, nanos, flags)
				from = end
			}
		}
	}
}

// userRows is user for the rows of an aggregate; again says that the group of a row
// has failed and the others can go on.
func (s *stream) userRows(c *call, agg aggregate, groups []int32, f func()) (ok, again bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, is := v.(cancelled); is {
			panic(v)
		}
		if !s.goesOn || c.row < 0 || c.row >= len(groups) {
			s.failAt(v, int64(c.row), -1, c.args, c.row)
			return
		}
		g := int(groups[c.row])
		agg.kill(g)
		s.sendFailure(placed(v, int64(c.row), -1, c.args, c.row), int64(g))
		c.hi, c.row, again = c.row+1, -1, true // on from the next row
	}()
	f()
	return true, false
}

// userGroup is user for finish functions, whose place is a group.
func (s *stream) userGroup(c *call, agg aggregate, base int64, row *int, f func()) (ok, again bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		group := int64(-1)
		if *row >= 0 {
			group = base + int64(*row)
		}
		if !s.goesOn || group < 0 {
			s.failAt(v, -1, group, nil, -1)
			return
		}
		agg.kill(int(group))
		s.sendFailure(placed(v, -1, group, nil, -1), group)
		again = true
	}()
	f()
	return true, false
}

// sendFailure tells of a group that has failed while the stream goes on.
func (s *stream) sendFailure(m *wire.ErrorMsg, group int64) {
	m.Group = group
	h := wire.Header{Type: wire.Error, Flags: wire.FlagGoesOn, Seq: s.cur.h.Seq}
	s.sendJSON(h, m)
}

func (s *stream) done(m wire.DoneMsg) {
	s.buf = m.Append(s.buf[:0])
	s.send(wire.Header{Type: wire.Done, Slot: s.cur.h.Slot, Seq: s.cur.h.Seq}, s.buf, nil)
}

func (s *stream) runGrouped() {
	for i, t := range s.outs {
		name := ""
		switch {
		case i < len(s.outNames):
			name = s.outNames[i]
		case i < len(s.fn.desc.Columns):
			name = s.fn.desc.Columns[i].Name
		}
		s.out = append(s.out, newOutCol(name, t))
	}
	ctx := &Context{Context: s.ctx, Function: s.fn.desc.Name, log: s.log}
	g := &Group{s: s}
	for s.moreGroups() {
		*g = Group{s: s, row: -1}
		s.segment(g)
		if !s.callGroup(ctx, g) {
			return
		}
		for !g.ended && s.nextSegment(g) {
		}
		s.group++
	}
	s.flush()
	s.send(wire.Header{Type: wire.Finished}, nil, nil)
}

// callGroup runs user code on one group.
func (s *stream) callGroup(ctx *Context, g *Group) (ok bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, is := v.(cancelled); is {
			panic(v)
		}
		s.failGroup(v, g)
	}()
	call := s.fn.grouped
	if s.describes {
		call = s.describe
	}
	if err := call(ctx, g); err != nil {
		s.failGroup(raised{err}, g)
		return false
	}
	return true
}

func (s *stream) failGroup(v any, g *Group) {
	row := g.row
	if row < 0 && g.to-g.from == 1 && g.begun {
		row = 0
	}
	var re *rowError
	if r, is := v.(raised); is && asRowError(r.err, &re) {
		row = re.row
	}
	if row < 0 || row >= g.to-g.from || !s.busy {
		s.failAt(v, -1, s.group, nil, -1)
		return
	}
	m := v
	if re != nil {
		m = raised{re.err}
	}
	s.failAt(m, g.before+int64(row), s.group, s.cols, g.from+row)
}

// checkNulls refuses NULL in columns that were not declared Nullable.
func (s *stream) checkNulls(g *Group) {
	for i := range s.cols {
		c := &s.cols[i]
		if c.valid == nil || c.typ&Nullable != 0 {
			continue
		}
		if r := c.firstNull(g.from, g.to); r >= 0 {
			g.row = r - g.from
			panic(&Error{Code: "22004", Message: fmt.Sprintf("null value in column %q", c.name),
				Hint: fmt.Sprintf("Declare the column as udf.%s | udf.Nullable (where the source stands in CREATE FUNCTION … RETURNS TABLE (…): add CALLED ON NULL INPUT), or filter the rows.", title(c.typ))})
		}
	}
}

func title(t Type) string {
	n := t.String()
	return string(n[0]-'a'+'A') + n[1:]
}

// moreGroups reports whether another group begins, receiving frames as needed.
func (s *stream) moreGroups() bool {
	for {
		if s.busy && (s.pos < int(s.cur.msg.Rows) || s.k < len(s.ends)) {
			return true
		}
		if !s.nextFrame() {
			return false
		}
	}
}

// nextFrame ends the current frame and receives the next; false after End.
func (s *stream) nextFrame() bool {
	if s.atEnd {
		return false
	}
	if s.busy {
		nanos := int64(time.Since(s.began) - s.waited)
		s.flush()
		s.busy = false
		s.done(wire.DoneMsg{Done: s.group, Nanos: nanos})
	}
	f := s.next()
	if f.h.Type == wire.End {
		s.atEnd = true
		return false
	}
	s.load(f)
	s.busy, s.pos, s.k = true, 0, 0
	s.began, s.waited = time.Now(), 0
	s.ends = s.frameGroups(f)
	return true
}

// segment gives g the next rows of the frame that belong to one group.
func (s *stream) segment(g *Group) {
	g.from = s.pos
	if s.k < len(s.ends) {
		g.to, g.ended = int(s.ends[s.k]), true
		s.k++
	} else {
		g.to, g.ended = int(s.cur.msg.Rows), false
	}
	s.pos = g.to
}

// nextSegment gives g its rows of the next frame; false when there are none.
func (s *stream) nextSegment(g *Group) bool {
	if !s.nextFrame() {
		g.ended = true
		g.from, g.to = 0, 0
		return false
	}
	s.segment(g)
	return true
}

// flush sends the output collected so far.
func (s *stream) flush() {
	s.due.Store(false)
	if len(s.outGroups) > 0 {
		s.sendRows(s.out, s.outGroups, s.outBase, s.group, 0)
		for _, o := range s.out {
			o.reset()
		}
		s.outGroups = s.outGroups[:0]
	}
	s.outBase = s.group
}
