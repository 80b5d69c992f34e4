package pgwire

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// pipeListener gives a server connections of net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

// FuzzServer sends random bytes after the startup, or in its place. Whatever
// they are, the server answers in whole messages, does not panic, and closes
// the session when the client goes.
func FuzzServer(f *testing.F) {
	for _, m := range [][]byte{
		query("select 1; select"), query("select n from series(9)"), query("copy t from stdin"), query("call fail()"),
		parseMsg("a", "select $1::int8, $2::text", 20, 0), bindMsg("p", "a", []string{"1", "NULL"}, 1), describeMsg('S', "a"), describeMsg('P', "p"),
		executeMsg("p", 2), closeMsg('S', "a"), closeMsg('P', "p"), sync_, flush_, frame('d', []byte("1\t2\n")), frame('c'), frame('f', "no"), frame('X'),
		frame('F', 1), {'!', 0, 0, 0, 4}, {'Q', 0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(true, m)
		f.Add(true, append(m, sync_...))
	}
	f.Add(true, append(append(append(parseMsg("", "select $1::int8"), bindMsg("", "", []string{"x"})...), executeMsg("", 1)...), sync_...))
	f.Add(false, startupPacket(version30, "user", "ann", "options", "-c a=b"))
	f.Add(false, startupPacket(sslRequest))
	f.Add(false, startupPacket(cancelRequest, "abcd"))

	e := newEngine()
	s := New(Config{NewSession: e.NewSession, MaxMessageBytes: 1 << 20, AuthTimeout: time.Second})
	ln := &pipeListener{make(chan net.Conn), make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln) }()
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		<-served
		if e.open.Load() != 0 || e.results.Load() != 0 {
			f.Errorf("%d sessions and %d results were left open", e.open.Load(), e.results.Load())
		}
	})
	f.Fuzz(func(t *testing.T, started bool, data []byte) {
		ours, theirs := net.Pipe()
		ln.conns <- theirs
		_ = ours.SetDeadline(time.Now().Add(5 * time.Second))
		read := make(chan struct{})
		go func() {
			defer close(read)
			checkMessages(t, ours, started)
		}()
		if started {
			_, _ = ours.Write(startupPacket(version30, "user", "ann"))
		}
		_, _ = ours.Write(data)
		if started {
			_, _ = ours.Write(append(sync_, frame('X')...))
		} else {
			_ = ours.Close()
		}
		// An announced length, or select sleep(), may make the server wait for ever.
		hangUp := time.AfterFunc(20*time.Millisecond, func() { _ = ours.Close() })
		<-read
		hangUp.Stop()
		_ = ours.Close()
	})
}

// checkMessages reads the answers, up to the end: whole messages, if the
// client has started as one should.
func checkMessages(t *testing.T, nc net.Conn, started bool) {
	if !started {
		_, _ = io.Copy(io.Discard, nc)
		return
	}
	var head [5]byte
	for {
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			if err == io.ErrUnexpectedEOF {
				t.Errorf("half a message: %q", head)
			}
			return
		}
		if n := int64(binary.BigEndian.Uint32(head[1:])); n < 4 {
			t.Errorf("a message %c of length %d", head[0], n)
		} else if m, err := io.CopyN(io.Discard, nc, n-4); err != nil && err != io.ErrClosedPipe {
			t.Errorf("%d of %d bytes of message %c: %v", m, n-4, head[0], err)
			return
		}
	}
}
