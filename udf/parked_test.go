package udf

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// parkOne opens a stream of the function, uses it and leaves it parked.
func parkOne(t *testing.T, h *Host, name string) *stream {
	t.Helper()
	ctx := testContext(t)
	r := scalarRef("refuse", types.Int8, types.Int8)
	r.Display = name
	s, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(detail(err))
	}
	if _, err := s.Call(ctx, []*vector.Vector{ints(1)}, 1); err != nil {
		t.Fatal(detail(err))
	}
	st := s.s
	s.Close()
	return st
}

// Functions that are one symbol of an artifact do not share streams: errors and logs
// have the name of the one that was called.
func TestParkedNames(t *testing.T) {
	h := testHost(t, nil)
	first := parkOne(t, h, "first")
	r := scalarRef("refuse", types.Int8, types.Int8)
	for _, c := range []struct {
		name    string
		version uint32
		says    string
	}{{"second", 0, "function second: "}, {"first", 2, "function first@2: "}, {"first", 0, "function first: "}} {
		r.Display, r.Version = c.name, c.version
		if _, err := call(testContext(t), h, r, ints(-1)); !strings.Contains(detail(err), c.says) {
			t.Errorf("%s@%d: %s", c.name, c.version, detail(err))
		}
	}
	if !first.closed {
		t.Error("the stream of the first one was not used again")
	}
}

// A stream that fails while it is parked goes when its time has come, or when somebody
// finds it so.
func TestParkedFails(t *testing.T) {
	h := testHost(t, nil)
	first := parkOne(t, h, "f")
	first.fail(pgerr.New(pgerr.InternalError, "unasked"))
	if next := parkOne(t, h, "f"); next == first {
		t.Error("a stream is used that has failed")
	}
	c := first.c
	c.mu.Lock()
	left := c.streams[first.id]
	c.mu.Unlock()
	if left != nil {
		t.Error("a stream stays that has failed")
	}
}

// Streams with large slots are not kept beyond what a process may keep of its memory.
func TestParkedBytes(t *testing.T) {
	h := testHost(t, nil)
	ctx := testContext(t)
	var open []*ScalarStream
	v := vector.New(types.T(types.Int8), 1_000_000) // slots of 8 MB for them and their results
	for range 4 {
		s := packedStream(t, h, scalarRef("id_int64", types.Int8, types.Int8))
		for range 2 {
			if err := s.Submit(ctx, []*vector.Vector{v}, v.Len); err != nil {
				t.Fatal(detail(err))
			}
		}
		for range 2 {
			if _, err := s.Collect(ctx); err != nil {
				t.Fatal(detail(err))
			}
		}
		open = append(open, s)
	}
	c := open[0].s.c
	for _, s := range open {
		s.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, p := range c.parked {
		sum += p.s.slotBytes()
	}
	if len(c.parked) == 0 || len(c.parked) == len(open) || sum > keepBytes {
		t.Errorf("%d streams with %d MB", len(c.parked), sum>>20)
	}
}

// That a function hangs is told in time although its process reads nothing any more and
// another call waits for the socket.
func TestTimeoutSocketFull(t *testing.T) {
	h := testHost(t, func(c *HostConfig) { c.NoSharedMemory = true })
	ctx := testContext(t)
	r := scalarRef("sleeps", types.Int8, types.Int8)
	r.TimeoutMs = 1000
	slow, err := h.Scalar(ctx, r)
	if err != nil {
		t.Fatal(detail(err))
	}
	defer slow.Close()
	large, err := h.Scalar(ctx, scalarRef("id_int64", types.Int8, types.Int8))
	if err != nil {
		t.Fatal(detail(err))
	}
	if err := slow.Submit(ctx, []*vector.Vector{ints(60_000)}, 1); err != nil {
		t.Fatal(detail(err))
	}
	if err := syscall.Kill(h.Children()[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	large.nsRow = 1
	done := make(chan error, 1)
	go func() {
		defer large.Close()
		v := vector.New(types.T(types.Int8), 250_000)
		_, err := large.Call(ctx, []*vector.Vector{v}, v.Len)
		done <- err
	}()
	begin := time.Now()
	if _, err := slow.Collect(ctx); pgerr.Code(err) != "57014" {
		t.Error(detail(err))
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("after %v", took)
	}
	if err := <-done; err != nil {
		t.Error(detail(err))
	}
}

// What a plugin says about where it is goes to other processes: it is text, and not
// much of it.
func TestCallsText(t *testing.T) {
	s := &stream{}
	if err := s.handle(wire.Header{Type: wire.Calls}, []byte("a\xff\x00b"+strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.calls, "a\uFFFD\uFFFDb") || len(s.calls) > 2*maxCalls {
		t.Errorf("%.20q, %d bytes", s.calls, len(s.calls))
	}
}
