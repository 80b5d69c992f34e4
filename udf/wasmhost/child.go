package wasmhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// The environment of a child. EnvRuntime is "wasm"; the others are the module's
// file, the directory of the machine code cache (in a server's environment: the one
// for all artifacts), the bytes of memory of an instance, how many may compute at a time, and "1" for frozen clocks.
const (
	EnvRuntime = "VOLLEY_UDF_RUNTIME"
	EnvModule  = "VOLLEY_WASM_MODULE"
	EnvCache   = "VOLLEY_WASM_CACHE"
	EnvLimit   = "VOLLEY_WASM_LIMIT"
	EnvProcs   = "VOLLEY_WASM_PROCS"
	EnvFrozen  = "VOLLEY_WASM_FROZEN"
)

// Overhead is the resident memory that a child has besides its modules' memory:
// the machine code, and the heap of this program.
const Overhead = 256 << 20

func init() {
	if os.Getenv(EnvRuntime) != "wasm" || os.Getenv(wire.EnvCookie) == "" {
		return
	}
	if err := Serve(); err != nil {
		fmt.Fprintln(os.Stderr, "volley:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Serve is the whole child process, from its environment; it returns when the
// host has gone.
func Serve() error {
	syscall.CloseOnExec(wire.ControlFD)
	syscall.CloseOnExec(wire.MemoryFD)
	cfg := config{cache: os.Getenv(EnvCache), frozen: os.Getenv(EnvFrozen) == "1"}
	var err error
	if cfg.limit, err = strconv.ParseInt(os.Getenv(EnvLimit), 10, 64); err != nil {
		return err
	}
	if cfg.procs, err = strconv.Atoi(os.Getenv(EnvProcs)); err != nil {
		return err
	}
	// A module's machine code runs to its end before the collector can stop the
	// world, so there must be processors left and as little collection as possible:
	// see child.tick.
	runtime.GOMAXPROCS(cfg.procs + 2)
	module, err := os.ReadFile(os.Getenv(EnvModule))
	if err != nil {
		return err
	}
	e, err := newEngine(context.Background(), module, cfg)
	if err != nil {
		return err
	}
	module = nil
	debug.FreeOSMemory()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(Overhead)
	c := &child{e: e, conn: os.NewFile(wire.ControlFD, "control"), shared: os.Getenv(wire.EnvShared) != "",
		maps: map[uint64][]byte{}, streams: map[uint32]*stream{}, at: map[*instance]*stream{}}
	if err := c.serve(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// child is the process's side of the control socket.
type child struct {
	e      *engine
	conn   io.ReadWriter
	shared bool

	sendMu sync.Mutex
	buf    []byte

	maps map[uint64][]byte // of the shared memory, by offset; under mu

	mu      sync.Mutex
	streams map[uint32]*stream
	at      map[*instance]*stream // nil value: idle
	idle    []*instance           // the last one was used last
}

// region is a piece of the memory that is shared with the host, mapped here.
type region struct {
	off int64
	mem []byte
}

// stream is one use of a function.
type stream struct {
	id     uint32
	scalar bool

	// Under child.mu.
	in, out [wire.InSlots]region
	inst    *instance // nil: none yet, or none any more
	pending []item    // for the instance that there is not yet
	dead    bool      // its instance ended: only Cancel counts
}

const maxIdle = 16 // instances that are kept

func (c *child) serve() error {
	hello := wire.HelloMsg{Magic: wire.Magic, ABI: wire.ABI}
	m, err := c.first()
	if err != nil {
		return err
	}
	hello.ABI, hello.Manifest = m.ABI, m.Manifest
	if err := c.sendJSON(wire.Header{Type: wire.Hello}, hello); err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	go c.tick(stop)
	r := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		head := make([]byte, wire.HeaderSize, 128)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		var h wire.Header
		if err := h.Get(head); err != nil {
			return err
		}
		head = append(head, make([]byte, h.Len)...)
		if _, err := io.ReadFull(r, head[wire.HeaderSize:]); err != nil {
			return err
		}
		if err := c.handle(item{h: h, head: head}, r); err != nil {
			return fmt.Errorf("frame %d: %w", h.Type, err)
		}
	}
}

// first starts the first instance and asks it for its manifest.
func (c *child) first() (*wire.HelloMsg, error) {
	got := make(chan *wire.HelloMsg, 1)
	failed := make(chan error, 1)
	c.start(got, failed)
	select {
	case m := <-got:
		return m, nil
	case err := <-failed:
		if err == nil {
			return <-got, nil // sent before
		}
		return nil, err
	}
}

// start starts an instance, which becomes idle when it has said hello. Later
// ones say it to nobody.
func (c *child) start(hello chan<- *wire.HelloMsg, failed chan<- error) {
	in := c.e.newInstance(&output{w: os.Stderr})
	in.slot = c.slot
	if c.shared {
		in.region = c.region
	}
	in.emit = func(in *instance, h wire.Header, payload, body []byte) {
		if h.Type != wire.Hello {
			c.emit(in, h, payload, body)
			return
		}
		var m wire.HelloMsg
		if err := json.Unmarshal(payload, &m); err != nil {
			panic(fmt.Errorf("hello: %w", err))
		}
		select {
		case hello <- &m:
		default:
		}
		c.mu.Lock()
		c.at[in] = nil
		c.idle = append(c.idle, in)
		c.mu.Unlock()
		failed <- nil
	}
	go func() {
		var main func(context.Context) error
		if c.e.plain {
			main = in.servePlain
		}
		err := in.run(main)
		c.mu.Lock()
		s, said := c.at[in]
		delete(c.at, in)
		for i, x := range c.idle {
			if x == in {
				c.idle = append(c.idle[:i:i], c.idle[i+1:]...)
				break
			}
		}
		in.mu.Lock()
		left, closed := in.queue, in.closed
		in.closed = true
		in.mu.Unlock()
		c.mu.Unlock()
		switch {
		case s != nil:
			c.bury(s, left, in.ended(err))
		case !said:
			m := in.ended(err)
			text := m.Message
			if m.Detail != "" {
				text += " (" + m.Detail + ")"
			}
			failed <- &startError{m, text}
		case !closed:
			fmt.Fprintln(os.Stderr, "volley: an idle instance ended:", in.ended(err).Message)
		}
	}()
}

// startError is an instance that ended before it said hello.
type startError struct {
	m    *wire.ErrorMsg
	text string
}

func (e *startError) Error() string { return e.text }

// bury tells the host that a stream's instance ended.
func (c *child) bury(s *stream, left []item, m *wire.ErrorMsg) {
	_ = c.sendJSON(wire.Header{Type: wire.Error, Stream: s.id, Seq: lastBatch(left)}, m)
	c.mu.Lock()
	s.inst, s.dead = nil, true
	cancelled := false
	for _, it := range append(left, s.pending...) {
		cancelled = cancelled || it.h.Type == wire.Cancel
	}
	s.pending = nil
	if cancelled {
		delete(c.streams, s.id)
	}
	c.mu.Unlock()
	if cancelled {
		_ = c.send(wire.Header{Type: wire.Closed, Stream: s.id}, nil, nil)
	}
}

// lastBatch is the sequence number of the batch before the first that waits.
func lastBatch(left []item) uint64 {
	for _, it := range left {
		if it.h.Type == wire.Batch {
			return it.h.Seq - 1
		}
	}
	return 0
}

// handle takes a frame from the host.
func (c *child) handle(it item, r io.Reader) error {
	switch it.h.Type {
	case wire.Welcome:
		var w wire.WelcomeMsg
		if err := json.Unmarshal(it.head[wire.HeaderSize:], &w); err != nil {
			return err
		}
		if w.ABI != wire.ABI {
			return fmt.Errorf("host speaks protocol %d, this program %d", w.ABI, wire.ABI)
		}
		return nil
	case wire.Open:
		var o wire.OpenMsg
		if err := json.Unmarshal(it.head[wire.HeaderSize:], &o); err != nil {
			return err
		}
		s := &stream{id: it.h.Stream, scalar: o.Kind == "scalar", pending: []item{it}}
		c.mu.Lock()
		c.streams[s.id] = s
		var in *instance
		if n := len(c.idle); n > 0 {
			in = c.idle[n-1]
			c.idle = c.idle[:n-1]
			c.give(s, in)
		}
		c.mu.Unlock()
		if in == nil {
			go c.assign(s)
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[it.h.Stream]
	if s == nil || s.dead && it.h.Type != wire.Cancel {
		_, err := io.CopyN(io.Discard, r, int64(it.h.Body))
		return err
	}
	switch it.h.Type {
	case wire.Slot:
		if err := c.define(s, it); err != nil {
			return err
		}
	case wire.Batch:
		if int(it.h.Slot) >= len(s.in) {
			return fmt.Errorf("slot %d", it.h.Slot)
		}
		mem := s.in[it.h.Slot].mem
		var m wire.BatchMsg
		if err := m.Parse(it.head[wire.HeaderSize:]); err != nil {
			return err
		}
		n := used(&m)
		if n > len(mem) || int(it.h.Body) > len(mem) {
			return fmt.Errorf("batch of %d bytes in a slot of %d", n, len(mem))
		}
		if it.h.Body > 0 {
			if _, err := io.ReadFull(r, mem[:it.h.Body]); err != nil {
				return err
			}
		} else {
			it.h.Body = uint32(n)
			it.h.Put(it.head)
		}
		it.body = mem[:it.h.Body]
	case wire.Cancel:
		if s.dead {
			delete(c.streams, s.id)
			go func() { _ = c.send(wire.Header{Type: wire.Closed, Stream: s.id}, nil, nil) }()
			return nil
		}
		if s.inst != nil { // it may not look at frames for long
			s.inst.mem.raise(s.inst.stopAt.Load())
		}
	}
	if s.inst == nil {
		s.pending = append(s.pending, it)
	} else {
		s.inst.push(it)
	}
	return nil
}

// used is how much of its slot a batch takes.
func used(m *wire.BatchMsg) int {
	end := 0
	if m.Groups > 0 {
		end = int(m.GroupsAt) + 4*int(m.Groups)
	}
	var walk func(cols []wire.Col, rows int)
	walk = func(cols []wire.Col, rows int) {
		for i := range cols {
			c := &cols[i]
			if c.HasValid {
				end = max(end, int(c.Valid)+(rows+7)/8)
			}
			kids := rows
			switch {
			case c.Kind == wire.Struct:
			case c.Kind == wire.List:
				end = max(end, int(c.Data)+4*(rows+1))
				kids = int(c.BytesLen)
			case c.Kind.Width() > 0:
				end = max(end, int(c.Data)+rows*c.Kind.Width())
			default:
				end = max(end, int(c.Data)+4*(rows+1), int(c.Bytes)+int(c.BytesLen))
			}
			walk(c.Kids, kids)
		}
	}
	walk(m.Cols, int(m.Rows))
	return end
}

// give hands an instance the stream and what came for it; c.mu is held.
func (c *child) give(s *stream, in *instance) {
	c.at[in] = s
	s.inst = in
	for _, it := range s.pending {
		in.push(it)
	}
	s.pending = nil
}

// assign makes an instance for s.
func (c *child) assign(s *stream) {
	failed := make(chan error, 1)
	c.start(nil, failed)
	err := <-failed
	var se *startError
	if errors.As(err, &se) {
		c.bury(s, nil, se.m)
		return
	}
	c.mu.Lock()
	n := len(c.idle)
	if n > 0 { // the new one, or one that has become free meanwhile
		in := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.give(s, in)
	}
	c.mu.Unlock()
	if n == 0 { // somebody else took it
		c.assign(s)
	}
}

// define says where a slot lies. The host redefines a slot only while nobody uses
// it. c.mu is held.
func (c *child) define(s *stream, it item) error {
	var m wire.SlotMsg
	if err := m.Parse(it.head[wire.HeaderSize:]); err != nil {
		return err
	}
	slots := s.in[:]
	if m.Out {
		slots = s.out[:]
	}
	if int(it.h.Slot) >= len(slots) || m.Size > wire.MaxSlot {
		return fmt.Errorf("slot %d of %d bytes", it.h.Slot, m.Size)
	}
	var mem []byte
	if c.shared {
		var err error
		if mem, err = c.mapped(m.Off, m.Size); err != nil {
			return err
		}
	} else {
		mem = make([]byte, m.Size)
	}
	slots[it.h.Slot] = region{int64(m.Off), mem}
	return nil
}

// mapped maps a region of the shared memory, for ever, as udf/sdk does.
func (c *child) mapped(off, size uint64) ([]byte, error) {
	if mem := c.maps[off]; len(mem) == int(size) {
		return mem, nil
	}
	mem, err := syscall.Mmap(wire.MemoryFD, int64(off), int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err == nil {
		c.maps[off] = mem
	}
	return mem, err
}

// slot is the place of a Result's n bytes of columns.
func (c *child) slot(in *instance, j, n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.at[in]
	if s == nil || j >= len(s.out) || n > len(s.out[j].mem) {
		return nil
	}
	return s.out[j].mem[:n]
}

// region is where a slot of the instance's stream lies in the shared memory.
func (c *child) region(in *instance, out bool, j int) region {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.at[in]
	switch {
	case s == nil || j < 0 || j >= len(s.in):
		return region{}
	case out:
		return s.out[j]
	}
	return s.in[j]
}

// emit passes a frame of a module on. A module speaks for its stream only.
func (c *child) emit(in *instance, h wire.Header, payload, body []byte) {
	c.mu.Lock()
	s := c.at[in]
	closed := h.Type == wire.Closed
	switch {
	case s == nil || h.Stream != s.id:
		c.mu.Unlock()
		if h.Type == wire.Log {
			return
		}
		panic(fmt.Errorf("a frame of type %d for another stream", h.Type))
	case closed:
		in.reclaim() // the host gives the slots to others
		delete(c.streams, s.id)
		c.at[in] = nil
		in.progressAt.Store(0)
		in.stopAt.Store(0)
		in.idleSince = time.Now()
		if len(c.idle) < maxIdle {
			c.idle = append(c.idle, in)
		} else {
			in.end()
		}
	}
	c.mu.Unlock()
	h.Body = 0
	_ = c.send(h, payload, body)
}

// send writes a frame. Errors are the reading goroutine's to see.
func (c *child) send(h wire.Header, payload, body []byte) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	h.Len = uint32(len(payload))
	if !c.shared {
		h.Body = uint32(len(body))
	}
	if cap(c.buf) < wire.HeaderSize {
		c.buf = make([]byte, wire.HeaderSize, 1<<10)
	}
	b := c.buf[:wire.HeaderSize]
	h.Put(b)
	c.buf = append(b, payload...)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	if h.Body > 0 {
		_, err := c.conn.Write(body)
		return err
	}
	return nil
}

func (c *child) sendJSON(h wire.Header, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.send(h, b, nil)
}

// keepIdle is how long instances beyond the first are kept that nobody uses.
const keepIdle = 30 * time.Second

// tick tells the host which streams advance, ends instances that nobody uses, and
// collects this program's garbage when no module computes.
func (c *child) tick(stop <-chan struct{}) {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	var stats runtime.MemStats
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		var ids []uint32
		var old *instance
		c.mu.Lock()
		for in, s := range c.at {
			if s == nil {
				continue
			}
			if p := in.steps(); p != in.reported {
				in.reported = p
				ids = append(ids, s.id)
			}
		}
		if len(c.idle) > 1 && time.Since(c.idle[0].idleSince) > keepIdle {
			old = c.idle[0]
			c.idle = c.idle[1:]
		}
		c.mu.Unlock()
		if old != nil {
			old.end()
		}
		for _, id := range ids {
			_ = c.send(wire.Header{Type: wire.Progress, Stream: id}, nil, nil)
		}
		if n%8 == 7 && len(c.e.tokens) == 0 {
			// ReadMemStats stops the world too.
			if runtime.ReadMemStats(&stats); stats.HeapAlloc > 64<<20 {
				runtime.GC()
			}
		}
	}
}
