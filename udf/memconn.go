package udf

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memoryPipe returns the two ends of a connection within the program. Writes never
// wait, as those to a socket do not while it has room: two sides that write at the
// same time must not wait for each other. What may be under way is bounded by the
// slots of the streams.
func memoryPipe() (net.Conn, net.Conn) {
	a, b := newMemoryQueue(), newMemoryQueue()
	return &memoryConn{r: a, w: b}, &memoryConn{r: b, w: a}
}

type memoryQueue struct {
	mu     sync.Mutex
	filled sync.Cond
	buf    []byte
	at     int
	closed bool
}

func newMemoryQueue() *memoryQueue {
	q := &memoryQueue{}
	q.filled.L = &q.mu
	return q
}

// keepQueue is how large an empty queue's buffer may stay.
const keepQueue = 1 << 20

func (q *memoryQueue) read(b []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.at == len(q.buf) && !q.closed && len(b) > 0 {
		q.filled.Wait()
	}
	n := copy(b, q.buf[q.at:])
	q.at += n
	if q.at == len(q.buf) {
		q.at, q.buf = 0, q.buf[:0]
		if cap(q.buf) > keepQueue {
			q.buf = nil
		}
		if n == 0 && q.closed {
			return 0, io.EOF
		}
	}
	return n, nil
}

func (q *memoryQueue) write(b []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, io.ErrClosedPipe
	}
	q.buf = append(q.buf, b...)
	q.filled.Signal()
	return len(b), nil
}

func (q *memoryQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// memoryConn is one end; closing it ends both directions.
type memoryConn struct{ r, w *memoryQueue }

func (c *memoryConn) Read(b []byte) (int, error)  { return c.r.read(b) }
func (c *memoryConn) Write(b []byte) (int, error) { return c.w.write(b) }

func (c *memoryConn) Close() error {
	c.r.close()
	c.w.close()
	return nil
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

func (c *memoryConn) LocalAddr() net.Addr  { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr{} }

// Deadlines are not supported.
func (c *memoryConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
