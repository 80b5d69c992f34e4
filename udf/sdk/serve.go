package udf

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// Levels of Log frames are those of log/slog plus 8.
const levelInfo = 8

// Serve answers a host until it goes away; it does not return. Started by hand
// the program prints what it is, and its manifest with --manifest.
func Serve() {
	p := &registered
	switch {
	case len(os.Args) > 1 && os.Args[1] == "--manifest":
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(p.manifest()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case os.Getenv(wire.EnvCookie) == "":
		fmt.Fprintln(os.Stderr, "This is a plugin of functions for Volley. Make an artifact of it with: volley udf build DIR\nFunctions:")
		for _, f := range p.funcs {
			fmt.Fprintf(os.Stderr, "  %s (%s)\n", f.desc.Name, f.desc.Kind)
		}
		os.Exit(2)
	}
	// A runaway recursion should end here, not with the machine's memory.
	debug.SetMaxStack(64 << 20)
	err := connect(p).serve()
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "volley: control socket:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// slotAlign is what the address of a slot that is placed must be a multiple of: the
// pages of all systems.
const slotAlign = 64 << 10

// server is the plugin's side of the control socket.
type server struct {
	plugin *plugin
	conn   io.ReadWriter
	shared bool
	// ownProcess says that the program does nothing else: its stacks can be looked at.
	ownProcess bool
	// attach, where streams cannot run beside the reading of frames, is called
	// before a stream runs; see pump.go.
	attach func(*stream)
	// place, where it is not nil, lays a slot over memory of this program.
	place func(out bool, j int, mem []byte) bool

	// ballast, of a program of its own, is memory that is never touched, and so never
	// there; but the collector counts it. It runs when the heap has grown to five times
	// what lives, which in a program of scalar functions is next to nothing: several
	// times in each batch of text.
	ballast []byte

	reader  *bufio.Reader // of readFrame
	payload []byte

	sendMu sync.Mutex
	buf    []byte

	maps map[uint64][]byte // of the shared memory, by offset; of serve

	mu      sync.Mutex
	byID    map[uint32]*stream
	streams sync.WaitGroup

	initOnce sync.Once
	initErr  error
}

// initialise runs the Init hooks, once.
func (srv *server) initialise() error {
	srv.initOnce.Do(func() {
		defer func() {
			if v := recover(); v != nil {
				srv.initErr = &Error{Message: fmt.Sprint("panic: ", v), Detail: userStack()}
			}
		}()
		for _, f := range srv.plugin.inits {
			if srv.initErr = f(context.Background()); srv.initErr != nil {
				return
			}
		}
	})
	return srv.initErr
}

func (srv *server) serve() error {
	srv.byID = map[uint32]*stream{}
	srv.maps = map[uint64][]byte{}
	if err := srv.sendJSON(wire.Header{Type: wire.Hello}, wire.HelloMsg{Magic: wire.Magic, ABI: wire.ABI, Manifest: srv.plugin.manifest(), Where: srv.ownProcess}); err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	if srv.attach == nil {
		go srv.reportProgress(stop)
	}
	srv.reader = bufio.NewReaderSize(srv.conn, 64<<10)
	for {
		if err := srv.readFrame(); err != nil {
			return err
		}
	}
}

// readFrame reads a frame and acts on it.
func (srv *server) readFrame() error {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(srv.reader, head[:]); err != nil {
		return err
	}
	var h wire.Header
	if err := h.Get(head[:]); err != nil {
		return err
	}
	if cap(srv.payload) < int(h.Len) {
		srv.payload = make([]byte, h.Len)
	}
	payload := srv.payload[:h.Len]
	if _, err := io.ReadFull(srv.reader, payload); err != nil {
		return err
	}
	if err := srv.handle(h, payload, srv.reader); err != nil {
		return fmt.Errorf("frame %d: %w", h.Type, err)
	}
	return nil
}

func (srv *server) handle(h wire.Header, payload []byte, r io.Reader) error {
	if h.Type == wire.Welcome {
		var w wire.WelcomeMsg
		if err := json.Unmarshal(payload, &w); err != nil {
			return err
		}
		if w.ABI != wire.ABI {
			return fmt.Errorf("host speaks protocol %d, this plugin %d", w.ABI, wire.ABI)
		}
		return nil
	}
	if h.Type == wire.Open {
		return srv.open(h, payload)
	}
	srv.mu.Lock()
	s := srv.byID[h.Stream]
	srv.mu.Unlock()
	if s == nil {
		_, err := io.CopyN(io.Discard, r, int64(h.Body))
		return err
	}
	switch h.Type {
	case wire.Slot:
		return s.define(h, payload)
	case wire.Batch:
		f := frame{h: h}
		if err := f.msg.Parse(payload); err != nil {
			return err
		}
		if int(h.Slot) >= wire.InSlots {
			return fmt.Errorf("slot %d", h.Slot)
		}
		if h.Body > 0 {
			if _, err := io.ReadFull(r, s.in[h.Slot].mem[:h.Body]); err != nil {
				return err
			}
		}
		s.work <- f
	case wire.End:
		s.work <- frame{h: h}
	case wire.Where:
		s.send(wire.Header{Type: wire.Calls}, []byte(s.where()), nil)
	case wire.Credit:
		s.free <- int(h.Slot)
	case wire.Cancel:
		srv.mu.Lock()
		delete(srv.byID, h.Stream)
		srv.mu.Unlock()
		s.stop.Store(true)
		if srv.attach != nil {
			s.cancelled = true // nobody else looks at it
		}
		s.cancel()
		close(s.work)
	default:
		return fmt.Errorf("unknown type")
	}
	return nil
}

func (srv *server) open(h wire.Header, payload []byte) error {
	var o wire.OpenMsg
	if err := json.Unmarshal(payload, &o); err != nil {
		return err
	}
	fail := func(code, format string, args ...any) error {
		return srv.sendJSON(wire.Header{Type: wire.Error, Stream: h.Stream},
			wire.ErrorMsg{Code: code, Message: fmt.Sprintf(format, args...), Row: -1, Group: -1})
	}
	fn := srv.plugin.find(o.Function)
	if fn == nil {
		return fail("39000", "the plugin has no function %q", o.Function)
	}
	s, err := newStream(srv, h.Stream, fn, &o)
	if err != nil {
		return fail("39000", "signature: %v", err)
	}
	srv.mu.Lock()
	srv.byID[h.Stream] = s
	srv.mu.Unlock()
	srv.streams.Add(1)
	if srv.attach != nil {
		srv.attach(s)
		s.run()
		return nil
	}
	go s.run()
	return nil
}

// define maps a slot. The host redefines a slot only while the stream does not
// use it: an input slot before it is filled again, an output slot after Grow.
func (s *stream) define(h wire.Header, payload []byte) error {
	var m wire.SlotMsg
	if err := m.Parse(payload); err != nil {
		return err
	}
	slots := s.in[:]
	if m.Out {
		slots = s.outSl[:]
	}
	if int(h.Slot) >= len(slots) || m.Size > wire.MaxSlot {
		return fmt.Errorf("slot %d of %d bytes", h.Slot, m.Size)
	}
	sl := &slots[h.Slot]
	first := sl.mem == nil
	if s.srv.shared {
		mem, err := s.srv.mapped(m.Off, m.Size)
		if err != nil {
			return err
		}
		sl.mem = mem
	} else if s.srv.place != nil && m.Size > 0 {
		mem := make([]byte, m.Size+slotAlign)
		mem = mem[-uintptr(unsafe.Pointer(&mem[0]))&(slotAlign-1):][:m.Size:m.Size]
		sl.placed = s.srv.place(m.Out, int(h.Slot), mem)
		sl.mem = mem
	} else {
		sl.mem = make([]byte, m.Size)
	}
	if m.Out {
		if first {
			s.free <- int(h.Slot)
		} else {
			s.grown <- struct{}{}
		}
	}
	return nil
}

// reportProgress tells the host which streams' user code advances, so that it
// can tell slow from stuck.
func (srv *server) reportProgress(stop chan struct{}) {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		var ids []uint32
		srv.mu.Lock()
		for id, s := range srv.byID {
			s.due.Store(true)
			if p := s.progress.Load(); p != s.reported {
				s.reported = p
				ids = append(ids, id)
			}
		}
		srv.mu.Unlock()
		for _, id := range ids {
			_ = srv.send(wire.Header{Type: wire.Progress, Stream: id}, nil, nil)
		}
	}
}

// send writes a frame. An error is not acted on by streams: the reading
// goroutine sees the end of the socket too and ends the process.
func (srv *server) send(h wire.Header, payload, body []byte) error {
	srv.sendMu.Lock()
	defer srv.sendMu.Unlock()
	h.Len = uint32(len(payload))
	if !srv.shared {
		h.Body = uint32(len(body))
	}
	if cap(srv.buf) < wire.HeaderSize+len(payload) {
		srv.buf = make([]byte, 0, 2*(wire.HeaderSize+len(payload)))
	}
	b := srv.buf[:wire.HeaderSize]
	h.Put(b)
	b = append(b, payload...)
	if _, err := srv.conn.Write(b); err != nil {
		return err
	}
	if h.Body > 0 {
		_, err := srv.conn.Write(body)
		return err
	}
	return nil
}

func (srv *server) sendJSON(h wire.Header, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return srv.send(h, b, nil)
}

func (s *stream) send(h wire.Header, payload, body []byte) {
	h.Stream = s.id
	_ = s.srv.send(h, payload, body)
}

func (s *stream) sendJSON(h wire.Header, v any) {
	h.Stream = s.id
	_ = s.srv.sendJSON(h, v)
}

func (s *stream) log(level uint8, text string) {
	s.send(wire.Header{Type: wire.Log, Flags: level}, []byte(text), nil)
}
