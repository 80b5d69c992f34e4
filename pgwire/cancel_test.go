package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	userCancel = "E(V:ERROR C:57014 M:canceling statement due to user request)"
	adminEnd   = "E(V:FATAL C:57P01 M:terminating connection due to administrator command) EOF"
)

func sendCancel(t testing.TB, addr string, pid uint32, key []byte) {
	t.Helper()
	c := dial(t, addr)
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	b = binary.BigEndian.AppendUint32(b, cancelRequest)
	b = binary.BigEndian.AppendUint32(b, pid)
	c.send(append(b, key...))
	if got := c.until("Z"); got != "EOF" {
		t.Errorf("a cancel request was answered: %s", got)
	}
}

func TestCancelRequest(t *testing.T) {
	for _, version := range []uint32{version30, version32} {
		e := newEngine()
		_, addr := serverFor(t, e, nil)
		c := dial(t, addr)
		c.send(startupPacket(version, "user", "ann"))
		c.until("Z")

		// Nothing runs: nothing happens.
		sendCancel(t, addr, c.pid, c.key)
		c.send(query("select 1"))
		if got := c.until("Z"); !strings.HasSuffix(got, "C(SELECT 1) Z(I)") {
			t.Errorf("after cancelling nothing: %s", got)
		}
		for _, send := range [][]byte{
			query("select 1; select sleep(); select 1"),
			bytes.Join([][]byte{parseMsg("", "select sleep()"), bindMsg("", "", nil), executeMsg("", 0), sync_}, nil),
			query("copy t from stdin"),
		} {
			c.send(send)
			<-e.sleeping
			wrong := bytes.Clone(c.key)
			wrong[0]++
			sendCancel(t, addr, c.pid, wrong)
			sendCancel(t, addr, c.pid, c.key[:len(c.key)-1])
			sendCancel(t, addr, c.pid+1, c.key)
			_ = c.nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if got := c.until("E"); !strings.HasSuffix(got, "i/o timeout") {
				t.Fatalf("a wrong key cancels: %s", got)
			}
			_ = c.nc.SetReadDeadline(time.Now().Add(30 * time.Second))
			sendCancel(t, addr, c.pid, c.key)
			if got := c.until("Z"); !strings.HasSuffix(got, userCancel+" Z(I)") {
				t.Errorf("got %s", got)
			}
		}
	}
}

func TestStatementTimeout(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr, "statement_timeout", "20ms")
	const want = "E(V:ERROR C:57014 M:canceling statement due to statement timeout) Z(I)"
	c.send(query("select sleep()"))
	if got := c.until("Z"); got != n8+" "+want {
		t.Errorf("simple: %s", got)
	}
	c.send(parseMsg("", "select sleep()"), bindMsg("", "", nil), executeMsg("", 0), sync_)
	if got := c.until("Z"); got != "1 2 "+want {
		t.Errorf("extended: %s", got)
	}
	c.send(query("select 1"))
	if got := c.until("Z"); !strings.HasSuffix(got, "C(SELECT 1) Z(I)") {
		t.Errorf("after a timeout: %s", got)
	}
	// The clock stands still while a portal is suspended.
	c.send(query("begin"))
	c.until("Z")
	c.send(parseMsg("", "select n from series(9)"), bindMsg("", "", nil), executeMsg("", 1), sync_)
	c.until("Z")
	time.Sleep(40 * time.Millisecond)
	c.send(executeMsg("", 8), sync_) // beyond the batch at hand
	if got, want := c.until("Z"), `D("9") s Z(T)`; !strings.HasSuffix(got, want) {
		t.Errorf("a suspended portal: %s", got)
	}
}

func TestIdleTimeouts(t *testing.T) {
	_, addr := serverFor(t, newEngine(), nil)
	c := connect(t, addr, "idle_session_timeout", "20", "idle_in_transaction_session_timeout", "0")
	c.send(query("begin"))
	c.until("Z")
	time.Sleep(40 * time.Millisecond) // in a transaction it does not count
	c.send(query("commit"))
	if got, want := c.until("E"), "C(COMMIT) Z(I) E(V:FATAL C:57P05 M:terminating connection due to idle-session timeout)"; got != want {
		t.Errorf("got %s", got)
	}
	c = connect(t, addr, "idle_in_transaction_session_timeout", "20ms")
	c.send(query("begin"))
	if got, want := c.until("E"), "C(BEGIN) Z(T) E(V:FATAL C:25P03 M:terminating connection due to idle-in-transaction timeout)"; got != want {
		t.Errorf("got %s", got)
	}
}

// TestClientGone closes the socket while a statement runs, with and without
// messages that were sent ahead.
func TestClientGone(t *testing.T) {
	e := newEngine()
	s, addr := serverFor(t, e, nil)
	for i, send := range [][]byte{
		query("select sleep()"),
		bytes.Join([][]byte{parseMsg("", "select sleep()"), bindMsg("", "", nil), executeMsg("", 0), sync_, frame('X')}, nil),
		query("select n from big"),
	} {
		c := connect(t, addr)
		c.send(send)
		if i < 2 {
			<-e.sleeping
		} else {
			c.until("D")
		}
		_ = c.nc.Close()
		eventually(t, "the statement is cancelled and the session closed", func() bool {
			return e.cancels.Load() >= int64(min(i+1, 2)) && e.open.Load() == 0 && s.Connections() == 0
		})
	}
}

// TestBackpressure lets a client not read: the server must not collect the result.
func TestBackpressure(t *testing.T) {
	e := newEngine()
	_, addr := serverFor(t, e, nil)
	c := connect(t, addr)
	c.send(query("select n from big"))
	time.Sleep(50 * time.Millisecond)
	sendCancel(t, addr, c.pid, c.key)
	rows := 0
	for {
		m, err := c.recv()
		if err != nil {
			t.Fatal(err)
		}
		if m[0] == 'E' {
			break
		}
		rows++
	}
	// What fits into the sockets' buffers, not what 50 ms can produce and more.
	if rows > 4_000_000 {
		t.Errorf("%d rows were sent to a client that did not read", rows)
	}
	if got := c.until("Z"); got != "Z(I)" {
		t.Error(got)
	}
}

// TestInboxIsBounded sends without reading while a statement runs.
func TestInboxIsBounded(t *testing.T) {
	e := newEngine()
	s, addr := serverFor(t, e, nil)
	c := connect(t, addr)
	c.send(query("select sleep()"))
	<-e.sleeping
	blob := frame('d', make([]byte, 100<<10))
	_ = c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	sent := 0
	for {
		n, err := c.nc.Write(blob)
		if sent += n; err != nil || sent > 64<<20 {
			break
		}
	}
	s.mu.Lock()
	in := s.keys[int32(c.pid)].in
	s.mu.Unlock()
	in.mu.Lock()
	held := in.bytes
	in.mu.Unlock()
	if held > inboxBytes+len(blob) {
		t.Errorf("the inbox holds %d bytes of %d", held, sent)
	}
	sendCancel(t, addr, c.pid, c.key)
}

func TestShutdown(t *testing.T) {
	e := newEngine()
	s := New(Config{NewSession: e.NewSession})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln) }()
	addr := ln.Addr().String()
	idle, inTx, running, handshaking := connect(t, addr), connect(t, addr), connect(t, addr), dial(t, addr)
	inTx.send(query("begin"))
	inTx.until("Z")
	running.send(query("select sleep()"))
	<-e.sleeping
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	ended, begun := make(chan error, 1), time.Now()
	go func() { ended <- s.Shutdown(ctx) }()
	for _, c := range []*rawClient{idle, inTx} {
		if got := c.until("Z"); got != adminEnd {
			t.Errorf("idle: %s", got)
		}
	}
	if got := handshaking.until("Z"); got != "EOF" {
		t.Errorf("in the handshake: %s", got)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		_ = nc.Close()
		t.Error("a new connection was accepted")
	}
	if got := running.until("Z"); got != n8+" "+adminEnd {
		t.Errorf("running: %s", got)
	}
	if err := <-ended; err != context.DeadlineExceeded {
		t.Errorf("Shutdown: %v", err)
	}
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("Shutdown took %v", d)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if e.open.Load() != 0 || e.results.Load() != 0 {
		t.Error("something was left open")
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

// TestServeContext ends the server by Serve's context; a client that does not
// read cannot hold it up for longer than hardStop.
func TestServeContext(t *testing.T) {
	e := newEngine()
	s := New(Config{NewSession: e.NewSession})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	running := connect(t, ln.Addr().String())
	running.send(query("select sleep()"))
	<-e.sleeping
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := running.until("Z"); got != n8+" "+adminEnd {
		t.Errorf("running: %s", got)
	}
	if e.open.Load() != 0 {
		t.Error("a session was left open")
	}
}

// TestCancelBetweenSteps cancels while a message is being handled but nothing
// runs just now: the next step is cancelled. When idle it means nothing.
func TestCancelBetweenSteps(t *testing.T) {
	s := &session{e: newEngine()}
	c := &conn{sess: s}
	next := func() error {
		ctx, cancel := context.WithCancelCause(context.Background())
		c.enter(cancel)
		c.leave()
		return context.Cause(ctx)
	}
	reason := errors.New("because")
	c.setBusy(true)
	c.cancelRunning(reason)
	if got := next(); got != reason {
		t.Errorf("the next step: %v", got)
	}
	if got := next(); got != nil {
		t.Errorf("the step after it: %v", got)
	}
	c.cancelRunning(reason)
	c.setBusy(false)
	c.cancelRunning(reason)
	c.setBusy(true)
	if got := next(); got != nil {
		t.Errorf("after idling: %v", got)
	}
}
