// Package wiregrpc carries the byte stream of docs/udf/protocol.md in the messages of
// a gRPC stream, for both of its ends.
package wiregrpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/volleydb/volley/proto"
)

// MaxMessage is the size of the messages that are sent.
const MaxMessage = 1 << 20

// What both ends choose for their connection: batches are megabytes.
const (
	Window    = 16 << 20
	Buffer    = 256 << 10
	Keepalive = 20 * time.Second
)

// Stream is what the generated code has for either end.
type Stream interface {
	Send(*proto.Frames) error
	Recv() (*proto.Frames, error)
}

// Conn is a net.Conn over a stream; deadlines are the stream's own business. One
// goroutine reads, one at a time writes.
type Conn struct {
	s     Stream
	close func()
	rest  []byte

	mu     sync.Mutex
	closed bool
}

// NewConn makes the connection; close, which may be nil, ends the stream and what
// belongs to it, and is called once.
func NewConn(s Stream, close func()) *Conn { return &Conn{s: s, close: close} }

func (c *Conn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.s.Recv()
		if err != nil {
			return 0, c.ended(err)
		}
		c.rest = m.Data
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *Conn) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		k := min(len(b), MaxMessage)
		if err := c.s.Send(&proto.Frames{Data: b[:k]}); err != nil {
			return n - len(b), c.ended(err)
		}
		b = b[k:]
	}
	return n, nil
}

// ended is an error that says, as sockets do, that the other side is gone.
func (c *Conn) ended(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
}

// Close ends the stream.
func (c *Conn) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if !was && c.close != nil {
		c.close()
	}
	return nil
}

type addr struct{}

func (addr) Network() string { return "grpc" }
func (addr) String() string  { return "grpc" }

// LocalAddr is a name without meaning, as is RemoteAddr.
func (c *Conn) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return addr{} }

// SetDeadline does nothing, as do SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
